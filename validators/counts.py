"""Judged rows counted in one pass: the numbers that the rules are judged by, and the broken rows where they are few."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from validators.reports import MAX_VALUE_CHARACTERS
from validators.rows import (
    BLOCK,
    FAILS_PREFIX,
    FILE,
    LINES,
    RAW,
    ROW_ID,
    RULES,
    failing,
    flag_columns,
    length_column,
    text_column,
)
from validators.rules import RULES_BY_ID
from validators.schemas import REQUIRED_COLUMNS

MAX_ROW_BYTES = 32 * 1024
"""A broken row with more BYTES is kept without its fields: by its number, its rules and the starts of its values."""
MAX_HELD_ROWS_OF_TASK = 5_000
"""Broken rows that one Spark task holds. (A 32 MB split has about 800,000 rows.)"""
MAX_HELD_ROWS = 30_000
"""Broken rows that the driver holds."""
MAX_HELD_BYTES = 16 * 1024**2
"""BYTES of the broken rows that the driver holds."""
WARNS_PREFIX = "_warns_"
"""Columns `_warns_<rule id>`: how many valid rows the warning is about."""
ROWS = "_rows"
QUARANTINED = "_quarantined"
DISTINCT = "_distinct"
"""How many of the valid rows differ in a column of the dataset."""
GENRES = "genres"
GENRES_OF_TRACK = "genres_of_track"
"""Of a songs file: how many genres its valid rows have, and how many the track with the most of them has."""
HELD = "_held"
"""A broken row, see `_details`. Null where all other rows of a file are counted together."""

BYTES = "_bytes"
"""About how many bytes the kept fields of a broken row take in memory."""

FIELD_BYTES = 16
"""What a field takes beside its text in Spark's own format: a row may have a million empty fields."""
_VALID_ROW = "_valid_row"
_BROKEN = "_broken"
_FLAGS = "_flags"
# From 0, of the rows only for which it is asked for. Were it of all rows, some of the broken ones would not be held.
_NUMBER_IN_TASK = f"monotonically_increasing_id() & {(1 << 33) - 1}"


@dataclass(frozen=True)
class Counts:
    """What is counted of the files of a dataset.

    Attributes:
        statistics: by file `rows`, `quarantined`, `valid`, `duplicate_rows`, and failed rows by rule id.
        broken_rows: all broken rows: what `_details` names. None where they are too many to be held.
    """

    statistics: dict[str, dict[str, int]]
    broken_rows: list[Row] | None


def count_rows(judged: DataFrame, dataset: str, known: Mapping[str, DataFrame]) -> DataFrame:
    """Counts the rows of each file, all together but for the broken ones that are held.

    A row that breaks a rule counts as many rows as it has lines: a quote that is closed lines later has swallowed the
    rows between.

    Args:
        judged: what `judge_files` gives.
        dataset: the dataset.
        known: by id column (track_id, user_id), a frame of that one column; a column without frame is not warned of.

    Returns:
        FILE, HELD, ROWS, QUARANTINED, DISTINCT, and how many rows break each rule (`_fails_<rule id>`) or are warned of
        (`_warns_<rule id>`); for songs also GENRES and GENRES_OF_TRACK, each once for a file and 0 in other rows.
    """
    is_held = F.expr(_NUMBER_IN_TASK) < MAX_HELD_ROWS_OF_TASK
    held = F.when(F.col(_BROKEN), F.when(is_held, F.struct(*_details(judged))))
    rows = judged.withColumn(_BROKEN, failing(judged)).withColumn(HELD, held)
    flags = {QUARANTINED: _BROKEN, **{flag: flag for flag in flag_columns(judged)}}
    for column, ids in known.items():
        mark = f"_known_{column}"
        rows = rows.join(F.broadcast(ids.selectExpr(column, f"true AS {mark}").distinct()), column, "left")
        flags[f"{WARNS_PREFIX}unknown_{column.removesuffix('_id')}"] = f"{mark} IS NULL AND NOT {_BROKEN}"
    # A number with a bit for each flag that is true.
    bits = " | ".join(f"if({flag}, {1 << place}, 0)" for place, flag in enumerate(flags.values()))
    # First rows that are alike in everything that counts, then files: in one aggregation Spark would keep a sum of each
    # rule beside every distinct play.
    alike = rows.groupBy(
        FILE,
        HELD,
        F.expr(f"if({_BROKEN}, NULL, struct({', '.join(REQUIRED_COLUMNS[dataset])})) AS {_VALID_ROW}"),
        F.expr(f"if({_BROKEN}, {LINES}, 1) AS {LINES}"),
        F.expr(f"{bits} AS {_FLAGS}"),
    ).agg(F.count("*").alias(ROWS))
    counts = (
        f"sum(if({_FLAGS} & {1 << place} != 0, {ROWS} * {LINES}, 0)) AS {name}" for place, name in enumerate(flags)
    )
    counted = alike.groupBy(FILE, HELD).agg(
        F.expr(f"sum({ROWS} * {LINES}) AS {ROWS}"), F.expr(f"count({_VALID_ROW}) AS {DISTINCT}"), *map(F.expr, counts)
    )
    return _with_genres(counted, judged) if dataset == "songs" else counted


def _with_genres(counted: DataFrame, judged: DataFrame) -> DataFrame:
    """Rows of counts, and one more for each file, in which only GENRES and GENRES_OF_TRACK are counted."""
    pairs = judged.where(~failing(judged)).select(FILE, "track_id", "track_genre").distinct()
    of_tracks = pairs.groupBy(FILE, "track_id").agg(F.count("*").alias(GENRES_OF_TRACK))
    most = of_tracks.groupBy(FILE).agg(F.max(GENRES_OF_TRACK).alias(GENRES_OF_TRACK))
    genres = pairs.select(FILE, "track_genre").distinct().groupBy(FILE).agg(F.count("*").alias(GENRES))
    return counted.unionByName(genres.join(most, FILE), allowMissingColumns=True).na.fill(0)


@lru_cache(maxsize=1)
def collect_counts(counted: DataFrame) -> Counts:
    """Runs the query, once for a frame: Great Expectations asks for its statistics, then the quarantine for its rows.

    Args:
        counted: what `count_rows` gives.
    """
    numbers = [name for name in counted.columns if name not in (FILE, HELD)]
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    held: list[Row] = []
    held_bytes = 0
    # Not `collect`: hundreds of tasks may hold rows.
    for row in counted.toLocalIterator():
        totals[row[FILE]].update({name: row[name] for name in numbers})
        if row[HELD] is not None and len(held) < MAX_HELD_ROWS and held_bytes <= MAX_HELD_BYTES:
            held.append(row[HELD])
            held_bytes += row[HELD][BYTES]
    quarantined = sum(counts[QUARANTINED] for counts in totals.values())
    return Counts(
        statistics={file: _statistics(counts) for file, counts in totals.items()},
        broken_rows=held if sum(row[LINES] for row in held) == quarantined else None,
    )


def _statistics(counts: dict[str, int]) -> dict[str, int]:
    rows, quarantined, distinct = (counts.pop(name) for name in (ROWS, QUARANTINED, DISTINCT))
    valid = rows - quarantined
    return {
        "rows": rows,
        "quarantined": quarantined,
        "valid": valid,
        "duplicate_rows": valid - distinct,
        **{name.removeprefix(FAILS_PREFIX).removeprefix(WARNS_PREFIX): count for name, count in counts.items()},
    }


def broken_rows(judged: DataFrame) -> DataFrame:
    """All broken rows, for which the files are read again: what `_details` names."""
    return judged.where(failing(judged)).select(*_details(judged))


def _details(judged: DataFrame) -> list[Column]:
    """What is kept of a broken row, bounded in bytes however long the row is.

    FILE, BLOCK, ROW_ID, LINES, RAW (empty where the row has more than MAX_ROW_BYTES), BYTES, RULES, and of each column
    with rules the start of its text (`text_column`) and how many characters it has (`length_column`).
    """
    rules = [flag.removeprefix(FAILS_PREFIX) for flag in flag_columns(judged)]
    broken = F.array(*(F.when(F.col(FAILS_PREFIX + rule), rule) for rule in rules))
    columns = sorted({column for rule in rules if (column := RULES_BY_ID[rule].column)})
    size = f"octet_length(concat_ws('', {RAW})) + {FIELD_BYTES} * size({RAW})"
    return [
        *map(F.col, (FILE, BLOCK, ROW_ID, LINES)),
        F.expr(f"if({size} <= {MAX_ROW_BYTES}, {RAW}, CAST(array() AS array<string>)) AS {RAW}"),
        F.expr(f"if({size} <= {MAX_ROW_BYTES}, {size}, 0) AS {BYTES}"),
        F.filter(broken, lambda rule: rule.isNotNull()).alias(RULES),
        *(F.expr(f"left({text_column(name)}, {MAX_VALUE_CHARACTERS}) AS {text_column(name)}") for name in columns),
        *(F.expr(f"length({text_column(name)}) AS {length_column(name)}") for name in columns),
    ]
