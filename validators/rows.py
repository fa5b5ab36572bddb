"""Rows: read as text, typed, and judged by the row rules.

Both Glue jobs read files through this module, so that the rows that are judged valid are the rows that are computed.
The session must run in UTC with ANSI mode on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    rows = _read_alike(files, lambda alike: _read_rows(spark, alike, dataset))
    typed = rows.select(
        # Spark moves a filter below a plain projection, where every rule would parse its column anew. It moves nothing
        # below a generator.
        F.inline(F.array(F.struct(*_TYPED[dataset]()))),
        *(F.col(column).alias(text_column(column)) for column in REQUIRED_COLUMNS[dataset]),
        FILE,
        BLOCK,
        ROW_ID,
        LINES,
        RAW,
        FAILS_PREFIX + MALFORMED_ROW,
    )
    well_formed = ~F.col(FAILS_PREFIX + MALFORMED_ROW)
    flags = _broken_rules(dataset, {file.name: file.last_modified for file in files})
    return typed.select(
        *REQUIRED_COLUMNS[dataset],
        *(text_column(column) for column in REQUIRED_COLUMNS[dataset]),
        FILE,
        BLOCK,
        ROW_ID,
        LINES,
        RAW,
        FAILS_PREFIX + MALFORMED_ROW,
        *((well_formed & broken).alias(FAILS_PREFIX + rule_id) for rule_id, broken in flags.items()),
    )


def read_positions(spark: SparkSession, files: Sequence[ReadableFile]) -> DataFrame:
    """FILE, BLOCK and ROW_ID of each row, as `judge_files` gives them, in a fraction of its time: nothing is parsed."""
    return _read_alike(files, lambda alike: _read_csv(spark, alike, is_parsed=False).select(*_position()))


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
    """The dataset's required columns as strings, with FILE, BLOCK, ROW_ID, LINES, RAW and `_fails_malformed_row`."""
    header, is_line_per_row = files[0].header, files[0].is_line_per_row
    columns = [F.col(f"`{name}`") for name in _column_names(header)]
    fields = F.array(*columns)
    texts = [*columns[:-1], _without_carriage_return(columns[-1])]
    text = F.when(F.col(_CORRUPT).isNull(), F.concat_ws("", fields)).otherwise(F.col(_CORRUPT))
    return _read_csv(spark, files, is_parsed=True).select(
        *(texts[header.index(column)].alias(column) for column in REQUIRED_COLUMNS[dataset]),
        *_position(),
        (F.lit(1) if is_line_per_row else _line_count(text)).alias(LINES),
        F.when(F.col(_CORRUPT).isNull(), fields).otherwise(F.array(_CORRUPT)).alias(RAW),
        F.col(_CORRUPT).isNotNull().alias(FAILS_PREFIX + MALFORMED_ROW),
    )


def _position() -> list[Column]:
    return [
        F.col("_metadata.file_name").alias(FILE),
        F.col("_metadata.file_block_start").alias(BLOCK),
        F.monotonically_increasing_id().alias(ROW_ID),
    ]


def failing(judged: DataFrame) -> Column:
    """True where a row breaks at least one row rule."""
    return reduce(lambda one, other: one | other, [F.col(name) for name in flag_columns(judged)])


def flag_columns(judged: DataFrame) -> list[str]:
    """The columns `_fails_<rule id>`."""
    return [name for name in judged.columns if name.startswith(FAILS_PREFIX)]


def text_column(column: str) -> str:
    """The name of the column that holds a column's text as it stands in the file."""
    return f"_text_{column}"


def valid_rows(judged: DataFrame, dataset: str) -> DataFrame:
    """The rows that break no row rule: the typed columns of the dataset."""
    return judged.where(~failing(judged)).select(*REQUIRED_COLUMNS[dataset])


def _streams() -> list[Column]:
    return [_identifier("user_id"), _identifier("track_id"), _timestamp("listen_time")]


def _songs() -> list[Column]:
    return [
        _identifier("track_id"),
        _name("track_name"),
        _name("artists"),
        _name("album_name"),
        _identifier("track_genre"),
        _integer("duration_ms"),
        _integer("popularity"),
        _boolean("explicit"),
    ]


def _users() -> list[Column]:
    return [
        _identifier("user_id"),
        _name("user_name"),
        _integer("user_age"),
        _identifier("user_country"),
        _date_or_timestamp("created_at"),
    ]


_TYPED = {"streams": _streams, "songs": _songs, "users": _users}


def _broken_rules(dataset: str, last_modified: Mapping[str, datetime]) -> dict[str, Column]:
    if dataset == "streams":
        return {
            "null_user_id": F.col("user_id").isNull(),
            "long_user_id": _longer("user_id", MAX_ID_BYTES),
            "null_track_id": F.col("track_id").isNull(),
            "long_track_id": _longer("track_id", MAX_ID_BYTES),
            "bad_listen_time": F.col("listen_time").isNull(),
            "future_listen_time": F.coalesce(F.col("listen_time") > _latest(last_modified), F.lit(False)),
            "early_listen_time": F.coalesce(
                F.col("listen_time") < F.lit(EARLIEST_LISTEN_TIME).cast("timestamp"), F.lit(False)
            ),
        }
    if dataset == "songs":
        return {
            "null_track_id": F.col("track_id").isNull(),
            "long_track_id": _longer("track_id", MAX_ID_BYTES),
            "null_track_genre": F.col("track_genre").isNull(),
            "long_track_genre": _longer("track_genre", MAX_GENRE_BYTES),
            "bad_duration_ms": ~F.coalesce(F.col("duration_ms").between(0, MAX_DURATION_MS), F.lit(False)),
            "bad_popularity": _given_but_null("popularity"),
            "bad_explicit": _given_but_null("explicit"),
        }
    return {
        "null_user_id": F.col("user_id").isNull(),
        "long_user_id": _longer("user_id", MAX_ID_BYTES),
        "bad_user_age": _given_but_null("user_age"),
        "long_user_country": _longer("user_country", MAX_COUNTRY_BYTES),
        "bad_created_at": _given_but_null("created_at"),
    }


def _blank_is_null(text: Column) -> Column:
    return F.when(text != "", text)


def _trimmed(column: str) -> Column:
    """Without ASCII whitespace at both ends, null where nothing is left.

    btrim looks at every character, and few texts have anything to trim: «!» is the first character after the blank.
    """
    text = F.col(column)
    ends = (F.endswith(text, F.lit(blank)) for blank in _ASCII_WHITESPACE)
    may_be_trimmed = reduce(lambda one, other: one | other, ends, text < "!")
    return F.when(may_be_trimmed, _blank_is_null(F.btrim(text, F.lit(_ASCII_WHITESPACE)))).otherwise(text)


def _identifier(column: str) -> Column:
    return _trimmed(column).alias(column)


def _name(column: str) -> Column:
    return _blank_is_null(F.substring(F.col(column), 1, MAX_NAME_CHARACTERS)).alias(column)


def _integer(column: str) -> Column:
    text = _trimmed(column)
    return F.when(text.rlike(_INTEGER), text.cast("bigint")).alias(column)


def _boolean(column: str) -> Column:
    text = F.lower(_trimmed(column))
    return F.when(text.isin(*_TRUE), True).when(text.isin(*_FALSE), False).alias(column)


def _timestamp(column: str) -> Column:
    """A timestamp to the second. try_cast, because the patterns let a 30th of February pass.

    One without fraction and zone, as nearly all are, is parsed as it stands: that takes half as long.
    """
    text = F.col(column)
    zone = F.regexp_extract(text, _TIMESTAMP, 2)
    to_the_second = F.concat(F.substring(text, 1, 10), F.lit(" "), F.substring(text, 12, 8), zone)
    return (
        F.when(text.rlike(_PLAIN_TIMESTAMP), _try_timestamp(text))
        .when(text.rlike(_TIMESTAMP), _try_timestamp(to_the_second))
        .alias(column)
    )


def _date_or_timestamp(column: str) -> Column:
    date = F.when(F.col(column).rlike(_DATE), _try_timestamp(F.col(column)))
    return F.coalesce(_timestamp(column), date).alias(column)


def _try_timestamp(text: Column) -> Column:
    # Without a format it is `try_cast(text AS TIMESTAMP)`, which the Python API of Spark 3.5 lacks.
    return F.try_to_timestamp(text)


def _longer(column: str, max_bytes: int) -> Column:
    return F.coalesce(F.octet_length(column) > max_bytes, F.lit(False))


def _given_but_null(column: str) -> Column:
    return F.col(column).isNull() & _trimmed(text_column(column)).isNotNull()


def _latest(last_modified: Mapping[str, datetime]) -> Column:
    pairs = [
        F.lit(part)
        for file, moment in last_modified.items()
        for part in (file, moment + timedelta(hours=FUTURE_GRACE_HOURS))
    ]
    return F.create_map(*pairs)[F.col(FILE)]


def _column_names(header: Sequence[str]) -> list[str]:
    """The file's own names where Spark can tell them apart and from its own, otherwise numbers.

    With other names than the file's, Spark warns for each file that header and schema differ.
    """
    is_usable = all(_PLAIN_NAME.fullmatch(name) for name in header) and len({*map(str.lower, header)}) == len(header)
    return list(header) if is_usable else [f"c{position}" for position in range(len(header))]


def _without_carriage_return(last: Column) -> Column:
    r"""Spark ends rows as the first one ends: where that is \n, it leaves the \r of a later \r\n in the last field."""
    return F.when(F.endswith(last, F.lit("\r")), F.substr(last, F.lit(1), F.length(last) - 1)).otherwise(last)


def _line_count(text: Column) -> Column:
    breaks = F.length(F.regexp_replace(F.btrim(text, F.lit("\r\n")), r"[^\n\r]|\r(?=\n)", ""))
    return F.when(text.contains("\n") | text.contains("\r"), F.lit(1) + breaks).otherwise(1)
