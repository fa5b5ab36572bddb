"""A file whose rows are lines is judged alike whether Spark reads it whole or in blocks, row numbers included."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from validators.counts import broken_rows, collect_counts, count_rows
from validators.file_checks import check_text
from validators.quarantine import few_quarantined_rows, many_quarantined_rows, row_offsets
from validators.rows import ReadableFile, judge_files, read_positions, valid_rows

BLOCK_BYTES = 700
GOOD = "user-{number},t1,2024-06-25 10:00:{second:02}"
ODD = (
    "",
    "user-1",
    "user-1,t1",
    "user-1,t1,2024-06-25 10:00:00,more",
    ",,",
    " u , t ,2024-06-25 10:00:00",
    "\tu\x0b,t1,2024-06-25T10:00:00Z",
    "u,\u3000t,2024-06-25 10:00:00.5+02:00",
    "u,t,2024-06-25 10:00:00 ",
    "u,t,yesterday",
    "\u00fc\u00e9\U0001f3b5,t,2024-06-25 10:00:00",
    "u\\,t,2024-06-25 10:00:00",
    "#u,t,2024-06-25 10:00:00",
)


@pytest.fixture
def small_blocks(spark: SparkSession) -> Iterator[None]:
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", str(BLOCK_BYTES))
    yield
    spark.conf.set("spark.sql.files.maxPartitionBytes", str(before))


def a_file(folder: Path, seed: int) -> ReadableFile:
    rng = random.Random(seed)
    lines = [
        rng.choice(ODD) if rng.random() < 0.2 else GOOD.format(number=number, second=number % 60)
        for number in range(rng.randrange(200, 400))
    ]
    data = "\n".join(["user_id,track_id,listen_time", "", *lines, rng.choice(["", "\n"])]).encode()
    text = check_text(io.BytesIO(data), "streams")
    assert text.is_line_per_row
    path = folder / f"{seed}.csv"
    path.write_bytes(data)
    return ReadableFile(
        name=path.name,
        uri=path.as_uri(),
        header=text.header,
        last_modified=datetime(2024, 6, 26, tzinfo=UTC),
        is_line_per_row=True,
    )


def rows_of(frame: DataFrame) -> list[str]:
    return sorted(str(row) for row in frame.collect())


def broken_of(spark: SparkSession, files: list[ReadableFile], judged: DataFrame) -> dict[str, list[dict[str, Any]]]:
    rows = collect_counts(count_rows(judged, "streams", {})).broken_rows
    assert rows is not None
    return few_quarantined_rows(rows, row_offsets(read_positions(spark, files)))


@pytest.mark.usefixtures("small_blocks")
def test_blocks_give_the_rows_of_the_whole(spark: SparkSession, tmp_path: Path) -> None:
    files = [a_file(tmp_path, seed) for seed in range(4)]
    whole_files = [replace(file, is_line_per_row=False) for file in files]
    in_blocks, whole = (judge_files(spark, "streams", given) for given in (files, whole_files))
    assert in_blocks.rdd.getNumPartitions() > 3 * len(files)
    assert rows_of(valid_rows(in_blocks, "streams")) == rows_of(valid_rows(whole, "streams"))
    expected = broken_of(spark, whole_files, whole)
    assert len([row for rows in expected.values() for row in rows]) > 50
    assert broken_of(spark, files, in_blocks) == expected
    for read, judged in ((whole_files, whole), (files, in_blocks)):
        many = many_quarantined_rows(broken_rows(judged), row_offsets(read_positions(spark, read)))
        found = {(row["file"], row["row"]): row.asDict() for row in many.collect()}
        assert found == {(file, row["row"]): {"file": file, **row} for file, rows in expected.items() for row in rows}
