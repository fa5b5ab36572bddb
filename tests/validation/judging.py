"""Files judged in this process, by Spark and Great Expectations: what comes after the checks of their bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession

from validators.counts import count_rows
from validators.expectations import SuiteResult, judge_batch
from validators.file_checks import LinePerRow
from validators.rows import ReadableFile, judge_files

UPLOADED = datetime(2024, 6, 26, tzinfo=UTC)


def readable(folder: Path, texts: Mapping[str, str]) -> list[ReadableFile]:
    files = []
    for name, text in texts.items():
        path = folder / name
        path.write_text(text, newline="")
        header = tuple(next(csv.reader(io.StringIO(text))))
        shape = LinePerRow()
        list(shape.watch(iter([text])))
        files.append(
            ReadableFile(
                name=name,
                uri=path.as_uri(),
                header=header,
                last_modified=UPLOADED,
                is_line_per_row=shape.is_certain,
            )
        )
    return files


def judge(
    spark: SparkSession,
    folder: Path,
    texts: Mapping[str, str],
    dataset: str = "streams",
    *,
    tolerances: Mapping[str, float] | None = None,
    snapshot_rows: int = 0,
) -> SuiteResult:
    files = readable(folder, texts)
    rows = judge_files(spark, dataset, files)
    counted = count_rows(rows, dataset, {})
    return judge_batch(counted, dataset, list(texts), tolerances=tolerances or {}, current_snapshot_rows=snapshot_rows)


def broken(result: SuiteResult, file: str) -> dict[str, int]:
    return {found.rule.id: found.failed for found in result.results[file] if found.failed}


def rejected_by(result: SuiteResult, file: str) -> list[str]:
    return [found.rule.id for found in result.results[file] if not found.success]
