"""Judges the files of one dataset together: rules by Great Expectations, then the rows that break one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from validators.expectations import WARNS_PREFIX, SuiteResult, expectation_suite, run_suite
from validators.file_checks import field_count
from validators.reports import Sample, masked
from validators.rows import (
    BLOCK,
    FAILS_PREFIX,
    FILE,
    LINES,
    MALFORMED_ROW,
    RAW,
    ROW_ID,
    ReadableFile,
    failing,
    flag_columns,
    text_column,
)
from validators.rules import RULES_BY_ID
from validators.schemas import REQUIRED_COLUMNS

MAX_SAMPLES = 20
"""Rows that a report shows per rule."""
MAX_QUARANTINED_ROWS = 100_000
"""Rows kept per file in quarantine; the file itself is whole in error/ or archive/."""

FINGERPRINT = "_fingerprint"


def judge_batch(
    judged: DataFrame,
    dataset: str,
    files: Sequence[ReadableFile],
    *,
    tolerances: Mapping[str, float],
    current_snapshot_rows: int,
    known: Mapping[str, DataFrame],
) -> SuiteResult:
    """Runs the dataset's suite over all its files of the batch.

    Args:
        judged: what `judge_files` gives.
        dataset: the dataset.
        files: the same files.
        tolerances: overrides by rule id.
        current_snapshot_rows: valid rows of the dataset's current snapshot, 0 where there is none.
        known: by id column (track_id, user_id), a frame of that one column; a column without frame is not warned of.
    """
    columns = REQUIRED_COLUMNS[dataset]
    warned = judged.withColumn(FINGERPRINT, F.when(~failing(judged), F.struct(*columns)))
    warnings = ["duplicate_rows"]
    for column, ids in known.items():
        rule_id = f"unknown_{column.removesuffix('_id')}"
        marked = ids.select(column).distinct().withColumn("_known", F.lit(True))
        warned = (
            warned.join(F.broadcast(marked), column, "left")
            .withColumn(WARNS_PREFIX + rule_id, F.col("_known").isNull())
            .drop("_known")
        )
        warnings.append(rule_id)
    suite = expectation_suite(
        dataset,
        [file.name for file in files],
        tolerances=tolerances,
        current_snapshot_rows=current_snapshot_rows,
        warnings=tuple(warnings),
    )
    return run_suite(warned, suite, tolerances)


def broken_rows(positions: DataFrame, judged: DataFrame) -> DataFrame:
    """The rows that break a rule: file, row (the header is row 1, blank lines aside), lines, rules, fields as text.

    At most MAX_QUARANTINED_ROWS of each file, the first ones.

    Args:
        positions: what `read_positions` gives.
        judged: what `judge_files` gives of the same files.
    """
    blocks = positions.groupBy(FILE, BLOCK).agg(F.min(ROW_ID).alias("_first"), F.count("*").alias("_rows"))
    earlier = Window.partitionBy(FILE).orderBy(BLOCK).rowsBetween(Window.unboundedPreceding, -1)
    offsets = blocks.select(FILE, BLOCK, "_first", F.coalesce(F.sum("_rows").over(earlier), F.lit(0)).alias("_before"))
    order = Window.partitionBy(FILE).orderBy(BLOCK, ROW_ID)
    return (
        judged.where(failing(judged))
        .withColumn("_rank", F.row_number().over(order))
        .where(F.col("_rank") <= MAX_QUARANTINED_ROWS)
        .join(F.broadcast(offsets), [FILE, BLOCK])
        .select(
            F.col(FILE).alias("file"),
            (F.col("_before") + F.col(ROW_ID) - F.col("_first") + 2).alias("row"),
            F.col(LINES).alias("lines"),
            _broken_rules(judged).alias("rules"),
            F.col(RAW).alias("fields"),
            *(text_column(column) for column in _checked_columns(judged)),
        )
    )


def samples(broken: DataFrame) -> dict[str, dict[str, list[Sample]]]:
    """By file and rule id, the first rows that break the rule.

    Args:
        broken: what `broken_rows` gives.
    """
    texts = [name for name in broken.columns if name.startswith(text_column(""))]
    order = Window.partitionBy("file", "rule").orderBy("row")
    rows = (
        broken.select("file", "row", "lines", "fields", F.explode("rules").alias("rule"), *texts)
        .withColumn("_rank", F.row_number().over(order))
        .where(F.col("_rank") <= MAX_SAMPLES)
        .collect()
    )
    found: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda row: row["row"]):
        column = RULES_BY_ID[row["rule"]].column
        sample = Sample(
            row=row["row"],
            lines=row["lines"],
            value=masked(column, row[text_column(column)]) if column else None,
            fields=field_count(row["fields"][0]) if row["rule"] == MALFORMED_ROW else None,
        )
        found[row["file"]][row["rule"]].append(sample)
    return found


def _broken_rules(judged: DataFrame) -> Column:
    names = [F.when(F.col(flag), flag.removeprefix(FAILS_PREFIX)) for flag in flag_columns(judged)]
    return F.filter(F.array(*names), lambda name: name.isNotNull())


def _checked_columns(judged: DataFrame) -> list[str]:
    columns = {RULES_BY_ID[flag.removeprefix(FAILS_PREFIX)].column for flag in flag_columns(judged)}
    return sorted(column for column in columns if column)
