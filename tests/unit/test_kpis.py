"""Over how many partitions the KPIs are computed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession

from glue_scripts.grouping_sets import count_plays
from glue_scripts.kpis import catalogue, partitions_to_count, plays_of_users
from glue_scripts.session import kept
from tests.frames import plays_frame, songs_frame
from tests.oracle import Play, Song


@pytest.fixture
def session(spark: SparkSession) -> SparkSession:
    """With the number of partitions that Spark exchanges rows into where nobody says otherwise, as on Glue."""
    session = spark.newSession()
    session.conf.set("spark.sql.shuffle.partitions", "200")
    return session


def songs(session: SparkSession) -> DataFrame:
    return songs_frame(session, [Song("track", "Song", "Artist", "pop", 1000)])


def test_the_catalogue_is_one_partition(session: SparkSession) -> None:
    with kept(catalogue(songs(session))) as tracks:
        assert tracks.rdd.getNumPartitions() == 1


def test_plays_are_counted_in_as_many_partitions_as_they_are_read_in_and_by_both_cores(session: SparkSession) -> None:
    plays = plays_frame(
        session, [Play(str(user), "track", datetime(2024, 6, 25, 12, tzinfo=UTC)) for user in range(100)]
    )
    tracks = catalogue(songs(session))
    partitions = partitions_to_count(plays.repartition(3))
    with kept(count_plays(plays_of_users(plays, tracks, partitions), tracks)) as counts:
        assert counts.rdd.getNumPartitions() == 4


def test_no_plays_are_a_partition_of_each_core(session: SparkSession) -> None:
    nothing = session.createDataFrame(session.sparkContext.emptyRDD(), plays_frame(session, []).schema)
    assert nothing.rdd.getNumPartitions() == 0
    assert partitions_to_count(nothing) == 2
