"""Judged rows counted in one pass: the numbers that the rules are judged by, and the broken rows where they are few."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

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
    text_column,
)
from validators.rules import RULES_BY_ID
from validators.schemas import REQUIRED_COLUMNS

MAX_HELD_ROWS = 10_000
"""Broken rows that one task holds: of a part of 32 MB that many are one or two in a hundred, more than most rules
tolerate."""
WARNS_PREFIX = "_warns_"
"""Columns `_warns_<rule id>`: how many valid rows the warning is about."""
ROWS = "_rows"
QUARANTINED = "_quarantined"
DISTINCT = "_distinct"
"""How many of the valid rows differ in a column of the dataset."""
HELD = "_held"
"""A broken row, see `details`. Null where all other rows of a file are counted together."""

_VALID_ROW = "_valid_row"
_BROKEN = "_broken"
_FLAGS = "_flags"
# From 0, of the rows only for which it is asked for. Were it of all rows, some of the broken ones would not be held.
_NUMBER_IN_TASK = f"monotonically_increasing_id() & {(1 << 33) - 1}"


def count_rows(
    judged: DataFrame, dataset: str, known: Mapping[str, DataFrame], *, max_held: int = MAX_HELD_ROWS
) -> DataFrame:
    """Counts the rows of each file, all together but for the broken ones that are held.

    A row that breaks a rule counts as many rows as it has lines: a quote that is closed lines later has swallowed the
    rows between.

    Args:
        judged: what `judge_files` gives.
        dataset: the dataset.
        known: by id column (track_id, user_id), a frame of that one column; a column without frame is not warned of.
        max_held: how many broken rows each task may hold.

    Returns:
        FILE, HELD, ROWS, QUARANTINED, DISTINCT, and how many rows break each rule (`_fails_<rule id>`) or are warned of
        (`_warns_<rule id>`).
    """
    held = F.when(F.col(_BROKEN), F.when(F.expr(_NUMBER_IN_TASK) < max_held, F.struct(*details(judged))))
    # A null that Spark knows of at once spares an exchange where none is to be held.
    rows = judged.withColumn(_BROKEN, failing(judged)).withColumn(HELD, held if max_held else F.lit(None))
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
    return alike.groupBy(FILE, HELD).agg(
        F.expr(f"sum({ROWS} * {LINES}) AS {ROWS}"), F.expr(f"count({_VALID_ROW}) AS {DISTINCT}"), *map(F.expr, counts)
    )


def file_statistics(counted: DataFrame) -> dict[str, dict[str, int]]:
    """By file: `rows`, `quarantined`, `valid`, `duplicate_rows`, and failed rows by rule id.

    Args:
        counted: what `count_rows` gives.
    """
    numbers = [name for name in counted.columns if name not in (FILE, HELD)]
    statistics = {}
    for row in counted.groupBy(FILE).agg(*(F.sum(name).alias(name) for name in numbers)).collect():
        counts = row.asDict()
        file, rows, quarantined, distinct = (counts.pop(name) for name in (FILE, ROWS, QUARANTINED, DISTINCT))
        valid = rows - quarantined
        statistics[file] = {
            "rows": rows,
            "quarantined": quarantined,
            "valid": valid,
            "duplicate_rows": valid - distinct,
            **{name.removeprefix(FAILS_PREFIX).removeprefix(WARNS_PREFIX): count for name, count in counts.items()},
        }
    return statistics


def holds_all_broken(counted: DataFrame) -> bool:
    """Whether each row that breaks a rule is held."""
    held = F.sum(F.when(F.col(HELD).isNotNull(), F.col(ROWS)).otherwise(0))
    (row,) = counted.agg((held == F.sum(QUARANTINED)).alias("all")).collect()
    return bool(row["all"])


def held_rows(counted: DataFrame) -> DataFrame:
    """The broken rows that are held: what `details` names."""
    return counted.where(F.col(HELD).isNotNull()).select(f"{HELD}.*")


def broken_rows(judged: DataFrame) -> DataFrame:
    """All broken rows, for which the files are read again: what `details` names."""
    return judged.where(failing(judged)).select(*details(judged))


def details(judged: DataFrame) -> list[Column]:
    """What is told of a broken row: FILE, BLOCK, ROW_ID, LINES, RAW, RULES, and the texts of the columns with rules."""
    rules = [flag.removeprefix(FAILS_PREFIX) for flag in flag_columns(judged)]
    broken = F.array(*(F.when(F.col(FAILS_PREFIX + rule), rule) for rule in rules))
    columns = {RULES_BY_ID[rule].column for rule in rules}
    return [
        *map(F.col, (FILE, BLOCK, ROW_ID, LINES, RAW)),
        F.filter(broken, lambda rule: rule.isNotNull()).alias(RULES),
        *(F.col(text_column(column)) for column in sorted(column for column in columns if column)),
    ]
