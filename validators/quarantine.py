"""The rows that break a rule: which ones are kept, and what a report shows of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from validators.counts import BYTES
from validators.reports import Sample, masked
from validators.rows import BLOCK, FILE, LINES, RAW, ROW_ID, RULES, length_column, text_column
from validators.rules import RULES_BY_ID

MAX_SAMPLES = 20
"""Rows that a report shows per rule."""
MAX_QUARANTINED_ROWS = 100_000
"""Rows kept per file in quarantine; the file itself is whole in error/ or archive/."""
MAX_QUARANTINED_BYTES = 64 * 1024**2
"""BYTES of the rows kept per file in quarantine."""
QUARANTINED_COLUMNS = ("row", "lines", "rules", "fields")
"""Of a row: its number (the header is row 1, blank lines aside), how many lines it takes, the rules that it breaks, and
its fields as text: none where the row is longer than `counts.MAX_ROW_BYTES`."""

_OFFSETS_SCHEMA = f"{FILE} string, {BLOCK} long, _offset long"
_VALUES = (text_column(""), length_column(""))
"""What the names of the columns begin with that say which value breaks a rule."""

Offsets = Mapping[tuple[str, int], int]
"""By file and block, what makes a row's ROW_ID its number in the file."""


def row_offsets(positions: DataFrame) -> Offsets:
    """How the rows of each block are numbered.

    Args:
        positions: what `read_positions` gives of exactly the files that the broken rows were read with: how Spark
            numbers rows depends on all of them.
    """
    blocks = positions.groupBy(FILE, BLOCK).agg(F.min(ROW_ID).alias("first"), F.count("*").alias("rows")).collect()
    rows_before: Counter[str] = Counter()
    offsets = {}
    for block in sorted(blocks, key=lambda block: block[BLOCK]):
        file = block[FILE]
        offsets[file, block[BLOCK]] = rows_before[file] - block["first"] + 2
        rows_before[file] += block["rows"]
    return offsets


def few_quarantined_rows(broken: Iterable[Row], offsets: Offsets) -> dict[str, list[dict[str, Any]]]:
    """By file, the rows that break a rule, in its order: QUARANTINED_COLUMNS, and the values of the columns with rules.

    Args:
        broken: the `broken_rows` of `collect_counts`.
        offsets: what `row_offsets` gives.
    """
    rows_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in broken:
        numbered = {"row": offsets[row[FILE], row[BLOCK]] + row[ROW_ID], "lines": row[LINES], "rules": row[RULES]}
        values = {name: value for name, value in row.asDict().items() if name.startswith(_VALUES)}
        rows_of[row[FILE]].append({**numbered, "fields": row[RAW], **values})
    return {file: sorted(rows, key=lambda row: row["row"]) for file, rows in rows_of.items()}


def many_quarantined_rows(broken: DataFrame, offsets: Offsets) -> DataFrame:
    """The same as a frame, with the column `file`: of each file, the first rows.

    They are at most MAX_QUARANTINED_ROWS, and their fields take at most MAX_QUARANTINED_BYTES.

    Args:
        broken: what `broken_rows` gives.
        offsets: what `row_offsets` gives.
    """
    numbers = [(file, block, offset) for (file, block), offset in offsets.items()]
    order = Window.partitionBy(FILE).orderBy(BLOCK, ROW_ID)
    return (
        broken.withColumn("_rank", F.row_number().over(order))
        .withColumn("_bytes_so_far", F.sum(BYTES).over(order.rowsBetween(Window.unboundedPreceding, Window.currentRow)))
        .where((F.col("_rank") <= MAX_QUARANTINED_ROWS) & (F.col("_bytes_so_far") <= MAX_QUARANTINED_BYTES))
        .join(F.broadcast(broken.sparkSession.createDataFrame(numbers, _OFFSETS_SCHEMA)), [FILE, BLOCK])
        .select(
            F.col(FILE).alias("file"),
            (F.col("_offset") + F.col(ROW_ID)).alias("row"),
            F.col(LINES).alias("lines"),
            F.col(RULES).alias("rules"),
            F.col(RAW).alias("fields"),
            *(name for name in broken.columns if name.startswith(_VALUES)),
        )
    )


def first_quarantined_rows(rows: DataFrame) -> dict[str, list[dict[str, Any]]]:
    """By file, in its order, the first MAX_SAMPLES rows of each rule, as if they broke no other; without their fields.

    Args:
        rows: what `many_quarantined_rows` gives.
    """
    order = Window.partitionBy("file", "rule").orderBy("row")
    first = (
        rows.withColumn("rule", F.explode("rules"))
        .withColumn("_rank", F.row_number().over(order))
        .where(F.col("_rank") <= MAX_SAMPLES)
        .withColumn("rules", F.array("rule"))
        .drop("fields")
        .orderBy("row")
        .collect()
    )
    rows_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in first:
        rows_of[row["file"]].append(row.asDict())
    return rows_of


def samples(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Sample]]:
    """By rule id, the first MAX_SAMPLES rows that break the rule.

    Args:
        rows: of a file, in its order: number, lines, rules, and the values of the columns with rules.
    """
    found: dict[str, list[Sample]] = defaultdict(list)
    for row in rows:
        for rule in row["rules"]:
            if len(found[rule]) < MAX_SAMPLES:
                found[rule].append(_sample(row, rule))
    return found


def _sample(row: Mapping[str, Any], rule: str) -> Sample:
    column = RULES_BY_ID[rule].column
    return Sample(
        row=row["row"],
        lines=row["lines"],
        value=masked(column, row[text_column(column)], row[length_column(column)]) if column else None,
    )
