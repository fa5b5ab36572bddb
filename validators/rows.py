"""Rows: read as text, typed, and judged by the row rules.

Both Glue jobs read files through this module, so that the rows that are judged valid are the rows that are computed.
The session must run in UTC with ANSI mode on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from validators.schemas import (
    EARLIEST_LISTEN_TIME,
    FUTURE_GRACE_HOURS,
    MAX_COUNTRY_BYTES,
    MAX_DURATION_MS,
    MAX_GENRE_BYTES,
    MAX_ID_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_ROW_CHARACTERS,
    REQUIRED_COLUMNS,
)

FILE = "_file"
"""The name of the file a row is from, without its folder."""
BLOCK = "_block"
"""Where in its file the block begins that a row was read with, bytes: Spark reads a large file in several."""
ROW_ID = "_row_id"
"""Rises by one from row to row of a block."""
LINES = "_lines"
"""How many lines a row takes. A quote that is closed lines later swallows the rows between: they count as failed."""
RAW = "_raw"
"""The row's fields as text in the file's order; the whole text of a row that has not as many fields as the header."""
RULES = "_rules"
"""The ids of the rules that a row breaks."""
MALFORMED_ROW = "malformed_row"
FAILS_PREFIX = "_fails_"
"""Boolean columns `_fails_<rule id>`: true where the row breaks the row rule."""

_CORRUPT = "_corrupt_record"
_ASCII_WHITESPACE = " \t\n\r\x0b\x0c"
# Java's zone offsets end at 18:00. `\A` and `\z`, because `$` would let a final line break pass.
_TO_THE_SECOND = r"\A\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}"
_PLAIN_TIMESTAMP = _TO_THE_SECOND + r"\z"
_TIMESTAMP = _TO_THE_SECOND + r"(\.\d+)?(Z|[+-](0\d|1[0-7]):[0-5]\d|[+-]18:00)?\z"
_DATE = r"\A\d{4}-\d{2}-\d{2}\z"
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _-]*")
_INTEGER = r"\A[+-]?\d{1,18}\z"
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Not from `_metadata`, for which Spark copies every row.
_SOURCE = (f"substring_index(input_file_name(), '/', -1) AS {FILE}", f"input_file_block_start() AS {BLOCK}")
# Of the rows of all files that are read, above their union: below it Spark counts the parts of each branch from 0.
_NUMBER = "monotonically_increasing_id()"


@dataclass(frozen=True)
class ReadableFile:
    """A file that passed the checks of its bytes.

    Attributes:
        name: the last part of its URI; unique in the batch.
        uri: plain UTF-8 CSV that Spark can read.
        header: its columns, in its order.
        last_modified: when the object version was uploaded.
        is_line_per_row: see `CsvText.is_line_per_row`.
    """

    name: str
    uri: str
    header: tuple[str, ...]
    last_modified: datetime
    is_line_per_row: bool


def judge_files(spark: SparkSession, dataset: str, files: Sequence[ReadableFile]) -> DataFrame:
    """Reads files of one dataset, types their columns and judges each row.

    Returns:
        The typed columns of the dataset, their texts (see `text_column`), FILE, BLOCK, ROW_ID, LINES, RAW, and a
        boolean `_fails_<rule id>` per row rule.
    """
    columns = REQUIRED_COLUMNS[dataset]
    malformed = FAILS_PREFIX + MALFORMED_ROW
    rows = _read_alike(files, lambda alike: _read_rows(spark, alike, dataset))
    typed = rows.selectExpr(
        *(f"{typed} AS {column}" for column, typed in _TYPED[dataset].items()),
        *(f"{column} AS {text_column(column)}" for column in columns),
        *(FILE, BLOCK, f"{_NUMBER} AS {ROW_ID}", LINES, RAW, malformed),
    )
    flags = _broken_rules(dataset, {file.name: file.last_modified for file in files})
    return typed.selectExpr(
        *columns,
        *map(text_column, columns),
        *(FILE, BLOCK, ROW_ID, LINES, RAW, malformed),
        *(f"NOT {malformed} AND ({broken}) AS {FAILS_PREFIX}{rule_id}" for rule_id, broken in flags.items()),
    )


def read_positions(spark: SparkSession, files: Sequence[ReadableFile]) -> DataFrame:
    """FILE, BLOCK and ROW_ID of each row, as `judge_files` gives them, in a fraction of its time: nothing is parsed."""
    rows = _read_alike(files, lambda alike: _read_csv(spark, alike, is_parsed=False).selectExpr(*_SOURCE))
    return rows.selectExpr(FILE, BLOCK, f"{_NUMBER} AS {ROW_ID}")


def _read_alike(files: Sequence[ReadableFile], read: Callable[[Sequence[ReadableFile]], DataFrame]) -> DataFrame:
    """Reads files of one exact header together, and others apart, because Spark reads by position."""
    alike: dict[tuple[tuple[str, ...], bool], list[ReadableFile]] = defaultdict(list)
    for file in files:
        alike[file.header, file.is_line_per_row].append(file)
    return reduce(DataFrame.unionByName, map(read, alike.values()))


def _read_csv(spark: SparkSession, files: Sequence[ReadableFile], *, is_parsed: bool) -> DataFrame:
    """Plain UTF-8 CSV files that share one exact header, as text.

    Spark reads blocks of a file side by side where each row is a line.
    """
    names = _column_names(files[0].header)
    return (
        spark.read.schema(StructType([StructField(name, StringType()) for name in [*names, _CORRUPT]]))
        .option("header", True)
        .option("multiLine", not files[0].is_line_per_row)
        .option("escape", '"')
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", _CORRUPT)
        # Spark does not see that a row has too few or too many fields when a query asks for some of them only.
        .option("columnPruning", not is_parsed)
        # A row with more fields than this crashes the parser: more than a row has characters cannot be.
        .option("maxColumns", MAX_ROW_CHARACTERS + 2)
        .csv([file.uri for file in files])
    )


def _read_rows(spark: SparkSession, files: Sequence[ReadableFile], dataset: str) -> DataFrame:
    """The dataset's required columns as strings, with FILE, BLOCK, LINES, RAW and `_fails_malformed_row`."""
    header, is_line_per_row = files[0].header, files[0].is_line_per_row
    columns = [f"`{name}`" for name in _column_names(header)]
    texts = [*columns[:-1], _without_carriage_return(columns[-1])]
    fields = f"array({', '.join(columns)})"
    text = f"if({_CORRUPT} IS NULL, concat_ws('', {fields}), {_CORRUPT})"
    return _read_csv(spark, files, is_parsed=True).selectExpr(
        *(f"{texts[header.index(column)]} AS {column}" for column in REQUIRED_COLUMNS[dataset]),
        *_SOURCE,
        f"{1 if is_line_per_row else _line_count(text)} AS {LINES}",
        f"if({_CORRUPT} IS NULL, {fields}, array({_CORRUPT})) AS {RAW}",
        f"{_CORRUPT} IS NOT NULL AS {FAILS_PREFIX}{MALFORMED_ROW}",
    )


def failing(judged: DataFrame) -> Column:
    """True where a row breaks at least one row rule.

    Spark moves a filter below a projection, where every rule would parse its column anew. It does not where the filter
    asks for what the projection numbers: no ROW_ID is negative.
    """
    return F.expr(" OR ".join([*flag_columns(judged), f"{ROW_ID} < 0"]))


def flag_columns(judged: DataFrame) -> list[str]:
    """The columns `_fails_<rule id>`."""
    return [name for name in judged.columns if name.startswith(FAILS_PREFIX)]


def text_column(column: str) -> str:
    """The name of the column that holds a column's text as it stands in the file."""
    return f"_text_{column}"


def length_column(column: str) -> str:
    """The name of the column that holds how many characters a column's text has."""
    return f"_length_{column}"


def valid_rows(judged: DataFrame, dataset: str) -> DataFrame:
    """The rows that break no row rule: the typed columns of the dataset."""
    return judged.where(~failing(judged)).select(*REQUIRED_COLUMNS[dataset])


# What follows is SQL and not columns of Python's API: each function of that is several calls into the JVM, and a job's
# start would make two thousand of them for these columns.


def _blank_is_null(text: str) -> str:
    return f"nullif({text}, '')"


def _trimmed(column: str) -> str:
    """Without ASCII whitespace at both ends, null where nothing is left.

    btrim looks at every character, and few texts have anything to trim: «!» is the first character after the blank.
    """
    trimmed = _blank_is_null(f"btrim({column}, '{_ASCII_WHITESPACE}')")
    return f"CASE WHEN {column} < '!' OR substring({column}, -1, 1) <= ' ' THEN {trimmed} ELSE {column} END"


def _name(column: str) -> str:
    return _blank_is_null(f"substring({column}, 1, {MAX_NAME_CHARACTERS})")


def _integer(column: str) -> str:
    text = _trimmed(column)
    return f"CASE WHEN {text} RLIKE r'{_INTEGER}' THEN CAST({text} AS BIGINT) END"


def _boolean(column: str) -> str:
    text = f"lower({_trimmed(column)})"
    return f"CASE WHEN {text} IN {_TRUE} THEN true WHEN {text} IN {_FALSE} THEN false END"


def _timestamp(column: str) -> str:
    """A timestamp to the second. Tried, because the patterns let a 30th of February pass.

    One without fraction and zone, as nearly all are, is parsed as it stands: that takes half as long.
    """
    zone = f"regexp_extract({column}, r'{_TIMESTAMP}', 2)"
    to_the_second = f"concat(substring({column}, 1, 10), ' ', substring({column}, 12, 8), {zone})"
    return (
        f"CASE WHEN {column} RLIKE r'{_PLAIN_TIMESTAMP}' THEN try_to_timestamp({column})"
        f" WHEN {column} RLIKE r'{_TIMESTAMP}' THEN try_to_timestamp({to_the_second}) END"
    )


def _date_or_timestamp(column: str) -> str:
    date = f"CASE WHEN {column} RLIKE r'{_DATE}' THEN try_to_timestamp({column}) END"
    return f"coalesce({_timestamp(column)}, {date})"


_TYPED = {
    "streams": {
        "user_id": _trimmed("user_id"),
        "track_id": _trimmed("track_id"),
        "listen_time": _timestamp("listen_time"),
    },
    "songs": {
        "track_id": _trimmed("track_id"),
        "track_name": _name("track_name"),
        "artists": _name("artists"),
        "album_name": _name("album_name"),
        "track_genre": _trimmed("track_genre"),
        "duration_ms": _integer("duration_ms"),
        "popularity": _integer("popularity"),
        "explicit": _boolean("explicit"),
    },
    "users": {
        "user_id": _trimmed("user_id"),
        "user_name": _name("user_name"),
        "user_age": _integer("user_age"),
        "user_country": _trimmed("user_country"),
        "created_at": _date_or_timestamp("created_at"),
    },
}


def _broken_rules(dataset: str, last_modified: Mapping[str, datetime]) -> dict[str, str]:
    if dataset == "streams":
        return {
            "null_user_id": "user_id IS NULL",
            "long_user_id": _longer("user_id", MAX_ID_BYTES),
            "null_track_id": "track_id IS NULL",
            "long_track_id": _longer("track_id", MAX_ID_BYTES),
            "bad_listen_time": "listen_time IS NULL",
            "future_listen_time": f"coalesce({_is_future('listen_time', last_modified)}, false)",
            "early_listen_time": f"coalesce(listen_time < TIMESTAMP '{EARLIEST_LISTEN_TIME}', false)",
        }
    if dataset == "songs":
        return {
            "null_track_id": "track_id IS NULL",
            "long_track_id": _longer("track_id", MAX_ID_BYTES),
            "null_track_genre": "track_genre IS NULL",
            "long_track_genre": _longer("track_genre", MAX_GENRE_BYTES),
            "bad_duration_ms": f"NOT coalesce(duration_ms BETWEEN 0 AND {MAX_DURATION_MS}, false)",
            "bad_popularity": _given_but_null("popularity"),
            "bad_explicit": _given_but_null("explicit"),
        }
    return {
        "null_user_id": "user_id IS NULL",
        "long_user_id": _longer("user_id", MAX_ID_BYTES),
        "bad_user_age": _given_but_null("user_age"),
        "long_user_country": _longer("user_country", MAX_COUNTRY_BYTES),
        "bad_created_at": _given_but_null("created_at"),
    }


def _longer(column: str, max_bytes: int) -> str:
    return f"coalesce(octet_length({column}) > {max_bytes}, false)"


def _given_but_null(column: str) -> str:
    return f"{column} IS NULL AND {_trimmed(text_column(column))} IS NOT NULL"


def _is_future(column: str, last_modified: Mapping[str, datetime]) -> str:
    """Whether a moment is later than its file may tell of.

    Spark looks a file up by comparing one name after the other: not for what is early enough for every file.
    """
    latest = {file: moment + timedelta(hours=FUTURE_GRACE_HOURS) for file, moment in last_modified.items()}
    pairs = (f"{_literal(file)}, {_moment(moment)}" for file, moment in latest.items())
    return f"{column} > {_moment(min(latest.values()))} AND {column} > map({', '.join(pairs)})[{FILE}]"


def _moment(moment: datetime) -> str:
    return f"timestamp_micros({(moment - _EPOCH) // timedelta(microseconds=1)})"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _column_names(header: Sequence[str]) -> list[str]:
    """The file's own names where Spark can tell them apart and from its own, otherwise numbers.

    With other names than the file's, Spark warns for each file that header and schema differ.
    """
    is_usable = all(_PLAIN_NAME.fullmatch(name) for name in header) and len({*map(str.lower, header)}) == len(header)
    return list(header) if is_usable else [f"c{position}" for position in range(len(header))]


def _without_carriage_return(last: str) -> str:
    r"""Spark ends rows as the first one ends: where that is \n, it leaves the \r of a later \r\n in the last field."""
    return f"CASE WHEN endswith({last}, '\r') THEN substr({last}, 1, length({last}) - 1) ELSE {last} END"


def _line_count(text: str) -> str:
    inner_breaks = rf"length(regexp_replace(btrim({text}, '\r\n'), r'[^\n\r]|\r(?=\n)', ''))"
    return f"CASE WHEN contains({text}, '\n') OR contains({text}, '\r') THEN 1 + {inner_breaks} ELSE 1 END"
