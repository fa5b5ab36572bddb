"""How the lake is laid out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from glue_scripts import lake
from glue_scripts.lake import Lake
from glue_scripts.ledger import Tombstones
from tests.mounts import mounted

BUCKET = "lake"


@pytest.fixture
def bucket(spark: SparkSession, tmp_path: Path) -> Iterator[Path]:
    """A folder that Spark takes for the bucket."""
    with mounted(spark, BUCKET, tmp_path):
        yield tmp_path


def test_a_day_has_a_file_for_each_so_many_plays_however_many_parts_they_were_read_in(
    spark: SparkSession, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "PLAYS_PER_FILE", 20)
    plays = spark.range(0, 100, 1, numPartitions=10).selectExpr(
        "'u' AS user_id",
        "cast(id AS string) AS track_id",
        "if(id % 10 < 3, timestamp '2024-06-25', timestamp '2024-06-26') AS listen_time",
    )
    assert Lake(spark, BUCKET).write_runs(plays, "one", Tombstones("", frozenset())) == ["2024-06-25", "2024-06-26"]
    lake_of_plays = bucket / "curated" / "plays"
    files = {
        date: list(lake_of_plays.glob(f"listen_date={date}/run=one/*.parquet")) for date in ("2024-06-25", "2024-06-26")
    }
    assert [len(of_date) for of_date in files.values()] == [2, 4]
    assert spark.read.parquet(lake_of_plays.as_uri()).count() == 100
