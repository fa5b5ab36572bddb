"""The rows that break a rule: which ones are kept, and what a report shows of them."""

from __future__ import annotations

from collections import defaultdict

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from validators.file_checks import field_count
from validators.reports import Sample, masked
from validators.rows import BLOCK, FILE, LINES, MALFORMED_ROW, RAW, ROW_ID, RULES, text_column
from validators.rules import RULES_BY_ID

MAX_SAMPLES = 20
"""Rows that a report shows per rule."""
MAX_QUARANTINED_ROWS = 100_000
"""Rows kept per file in quarantine; the file itself is whole in error/ or archive/."""


def quarantined_rows(positions: DataFrame, broken: DataFrame) -> DataFrame:
    """The rows that break a rule: file, row (the header is row 1, blank lines aside), lines, rules, fields as text.

    At most MAX_QUARANTINED_ROWS of each file, the first ones.

    Args:
        positions: what `read_positions` gives of exactly the files that the broken rows were read with: how Spark
            numbers rows depends on all of them.
        broken: the columns of `details`.
    """
    blocks = positions.groupBy(FILE, BLOCK).agg(F.min(ROW_ID).alias("_first"), F.count("*").alias("_rows"))
    earlier = Window.partitionBy(FILE).orderBy(BLOCK).rowsBetween(Window.unboundedPreceding, -1)
    offsets = blocks.select(FILE, BLOCK, "_first", F.coalesce(F.sum("_rows").over(earlier), F.lit(0)).alias("_before"))
    order = Window.partitionBy(FILE).orderBy(BLOCK, ROW_ID)
    return (
        broken.withColumn("_rank", F.row_number().over(order))
        .where(F.col("_rank") <= MAX_QUARANTINED_ROWS)
        .join(F.broadcast(offsets), [FILE, BLOCK])
        .select(
            F.col(FILE).alias("file"),
            (F.col("_before") + F.col(ROW_ID) - F.col("_first") + 2).alias("row"),
            F.col(LINES).alias("lines"),
            F.col(RULES).alias("rules"),
            F.col(RAW).alias("fields"),
            *(name for name in broken.columns if name.startswith(text_column(""))),
        )
    )


def samples(broken: DataFrame) -> dict[str, dict[str, list[Sample]]]:
    """By file and rule id, the first rows that break the rule.

    Args:
        broken: what `quarantined_rows` gives.
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
