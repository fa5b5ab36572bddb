"""The lake's files without a person, as Spark reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from glue_scripts.lake import PLAYS_SCHEMA, USERS_SCHEMA
from operations.csv_rows import Cleaned
from operations.parquet_rows import count_rows, remove_rows
from tests.frames import plays_frame, plays_in
from tests.oracle import Play

PLAYS = [
    Play("u-1", "t", datetime(2024, 6, 25, 23, 59, 59, tzinfo=UTC)),
    Play("u-2", "t", datetime(2024, 6, 25, 0, 0, 0, tzinfo=UTC)),
    Play("u-10", "t é", datetime(2024, 6, 25, 12, 30, 15, tzinfo=UTC)),
]


def test_spark_reads_the_other_plays_back_to_the_second(spark: SparkSession, tmp_path: Path) -> None:
    plays_frame(spark, PLAYS).coalesce(1).write.parquet(str(tmp_path / "before"))
    (written,) = (tmp_path / "before").glob("*.parquet")
    (tmp_path / "after").mkdir()

    with written.open("rb") as source, (tmp_path / "after" / "part.parquet").open("wb") as target:
        assert count_rows(source, "u-1") == 1
        assert remove_rows(source, target, "u-1") == Cleaned(removed=1, left=2)

    left = spark.read.schema(PLAYS_SCHEMA).parquet(str(tmp_path / "after"))
    assert sorted(plays_in(left)) == sorted(PLAYS[1:])
    both = spark.read.schema(PLAYS_SCHEMA).parquet(str(tmp_path / "before"), str(tmp_path / "after"))
    assert sorted(plays_in(both)) == sorted([*PLAYS, *PLAYS[1:]])


def test_a_snapshot_keeps_its_columns(spark: SparkSession, tmp_path: Path) -> None:
    users = pa.table({"user_id": ["u-1", "u-2", None], "user_country": [None, "Peru", "Chad"]})
    pq.write_table(users, tmp_path / "users.parquet")

    with (tmp_path / "users.parquet").open("rb") as source, (tmp_path / "left.parquet").open("wb") as target:
        assert remove_rows(source, target, "u-1") == Cleaned(removed=1, left=2)

    rows = spark.read.schema(USERS_SCHEMA).parquet(str(tmp_path / "left.parquet")).collect()
    assert [tuple(row) for row in rows] == [("u-2", "Peru"), (None, "Chad")]


def test_a_file_without_users_is_not_counted() -> None:
    file = BytesIO()
    pq.write_table(pa.table({"track_id": ["u-1"]}), file)

    assert count_rows(file, "u-1") == 0
