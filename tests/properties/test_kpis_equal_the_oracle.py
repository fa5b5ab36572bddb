"""The Spark KPIs equal the oracle's, row for row and to the last digit, on random data made to be difficult."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from pyspark.sql import SparkSession

from glue_scripts.kpis import kpi_items
from tests import oracle
from tests.frames import by_key, plays_frame, songs_frame, users_frame
from tests.oracle import Play, Song, User

TRICKY_TEXT = [
    "a", "B", "b", "Z", "10", "9", "é", "e\u0301", "ß", "ss", "ı", "I", "日本", "\uff5e", "\U0001f3b5",
    'say "x"', "a,b", "a\nb", "a\\", "#", "a b", "a\u00a0b",
]  # fmt: skip
"""Byte order, locale order and UTF-16 order differ on these: U+1F3B5 sorts after U+FF5E in UTF-8, before in UTF-16."""


class Data(NamedTuple):
    """Input of one KPI computation."""

    plays: list[Play]
    songs: list[Song]
    users: list[User]


def tricky_ids(rng: random.Random, count: int) -> list[str]:
    return [f"{rng.choice(TRICKY_TEXT)}{number % 7}{rng.choice(TRICKY_TEXT)}{number}" for number in range(count)]


def random_data(seed: int, *, plays: int, tracks: int, users: int, countries: int) -> Data:
    rng = random.Random(seed)
    genres = [*TRICKY_TEXT, "SUMMARY", "GENRE#a"]
    track_ids, user_ids = tricky_ids(rng, tracks), tricky_ids(rng, users)
    country_names = [None, "other", "unknown", *(f"{rng.choice(TRICKY_TEXT)}{number}" for number in range(countries))]

    def song(track_id: str) -> Song:
        name, artists = rng.choice([None, *TRICKY_TEXT]), rng.choice([None, *TRICKY_TEXT])
        return Song(track_id, name, artists, rng.choice(genres), rng.choice([0, 1, 333, 199_999, 2**31 - 1]))

    catalogue = [song(track_id) for track_id in track_ids[: tracks * 9 // 10] for _ in range(rng.randint(1, 4))]
    user_rows = [
        User(user_id, rng.choice(country_names))
        for user_id in user_ids[: users * 9 // 10]
        for _ in range(rng.randint(1, 2))
    ]
    start = datetime(2024, 2, 28, 22, tzinfo=UTC)
    popularity = [1 / rank for rank in range(1, tracks + 1)]
    rng.shuffle(popularity)
    listened = [
        Play(rng.choice(user_ids), track_id, start + timedelta(seconds=rng.choice([0, 1, rng.randrange(30 * 3600)])))
        for track_id in rng.choices(track_ids, popularity, k=plays)
    ]
    listened += rng.choices(listened, k=plays // 10)
    rng.shuffle(listened)
    return Data(listened, rng.sample(catalogue, k=len(catalogue)), rng.sample(user_rows, k=len(user_rows)))


def assert_spark_equals_oracle(
    spark: SparkSession, data: Data, *, top_songs: int, top_genres: int, partitions: int = 2
) -> None:
    expected = oracle.kpi_items(*data, top_songs=top_songs, top_genres=top_genres)
    actual = kpi_items(
        plays_frame(spark, data.plays),
        songs_frame(spark, data.songs),
        users_frame(spark, data.users),
        partitions=partitions,
        top_songs=top_songs,
        top_genres=top_genres,
    )
    assert by_key(actual) == by_key(expected)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_random_data(spark: SparkSession, seed: int) -> None:
    data = random_data(seed, plays=3000, tracks=80, users=60, countries=6)
    assert_spark_equals_oracle(spark, data, top_songs=3, top_genres=5)


def test_however_plays_are_spread_over_partitions_and_batches(spark: SparkSession) -> None:
    data = random_data(4, plays=500, tracks=40, users=30, countries=4)
    session = spark.newSession()
    session.conf.set("spark.sql.shuffle.partitions", "5")
    session.conf.set("spark.sql.adaptive.coalescePartitions.enabled", "false")
    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "7")
    assert_spark_equals_oracle(session, data, top_songs=3, top_genres=5, partitions=5)


def test_where_nearly_everything_ties(spark: SparkSession) -> None:
    data = random_data(4, plays=150, tracks=120, users=100, countries=4)
    assert_spark_equals_oracle(spark, data, top_songs=2, top_genres=7)


def test_with_more_countries_than_a_row_holds(spark: SparkSession) -> None:
    data = random_data(5, plays=2500, tracks=30, users=900, countries=700)
    assert_spark_equals_oracle(spark, data, top_songs=1, top_genres=1)


def test_without_a_catalogue_and_users(spark: SparkSession) -> None:
    plays = random_data(6, plays=200, tracks=10, users=10, countries=1).plays
    assert_spark_equals_oracle(spark, Data(plays, [], []), top_songs=3, top_genres=5)


def test_without_plays_there_is_no_row(spark: SparkSession) -> None:
    _, songs, users = random_data(7, plays=1, tracks=10, users=10, countries=1)
    assert_spark_equals_oracle(spark, Data([], songs, users), top_songs=3, top_genres=5)
    assert oracle.kpi_items([], songs, users, top_songs=3, top_genres=5) == []


def test_neither_order_nor_repetition_of_rows_matters(spark: SparkSession) -> None:
    data = random_data(8, plays=1000, tracks=40, users=30, countries=3)
    again = Data([*reversed(data.plays), *data.plays], [*reversed(data.songs), *data.songs], data.users[::-1] * 2)
    expected = oracle.kpi_items(*data, top_songs=3, top_genres=5)
    assert oracle.kpi_items(*again, top_songs=3, top_genres=5) == expected
    assert_spark_equals_oracle(spark, again, top_songs=3, top_genres=5)
