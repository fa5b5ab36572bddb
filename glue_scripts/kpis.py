"""The KPIs: pure functions from accepted plays and reference snapshots to the rows of the table `kpis`.

No I/O and no AWS. The session's time zone must be UTC: it decides the day and the hour of a play.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from glue_scripts.grouping_sets import DAYS, HOURS, HOURS_PER_DAY, LISTENERS, SONGS, count_plays
from glue_scripts.names import GENRE_INDEX_PARTITION_KEY, SUMMARY
from glue_scripts.session import kept

UNKNOWN_COUNTRY = "unknown"
OTHER_COUNTRIES = "other"
MAX_COUNTRIES = 300
"""At most so many countries in a SUMMARY row: a DynamoDB item holds 400 KB."""

SECONDS_PER_HOUR = 3600
EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date()

_PLAY_TOTALS = ("listens", "listening_time_ms", "unknown_track_plays")
_SONG = ("rank", "track_id", "track_name", "artists", "listens")

Item = dict[str, Any]


def kpi_items(
    plays: DataFrame, songs: DataFrame, users: DataFrame, *, partitions: int, top_songs: int, top_genres: int
) -> list[Item]:
    """Computes every KPI row of every day that has a play.

    Args:
        plays: user_id string, track_id string, listen_time timestamp in whole seconds. Duplicates are one play.
        songs: track_id, track_name, artists, track_genre strings, duration_ms integer. Conflicts are resolved here.
        users: user_id, user_country strings. Conflicts are resolved here.
        partitions: see `partitions_to_count`.
        top_songs: how many songs a genre's day ranks.
        top_genres: how many genres a day ranks.

    Returns:
        DynamoDB items with `pk` and `sk`: integers as int, times in milliseconds, averages and ratios as Decimal with
        two decimals. Without `claim`, `computed_at` and the snapshots, which the publisher knows.
    """
    with (
        kept(catalogue(songs)) as tracks,
        kept(count_plays(plays_of_users(plays, tracks, partitions), tracks)) as counts,
    ):
        hours = hourly_genres(counts).collect()
        listeners_of = {(row["day"], row["genre"]): row["unique_listeners"] for row in daily_genres(counts).collect()}
        songs_of = _grouped(ranked_songs(counts, tracks, top_songs).collect(), "day", "genre")
        countries_of = _grouped(daily_countries(counts, users).collect(), "day")
    hour_items = [_hour_item(row) for row in hours]
    genre_items = _genre_items(hour_items, listeners_of, songs_of)
    genres_of: dict[str, list[Item]] = defaultdict(list)
    for item in genre_items:
        genres_of[item["date"]].append(item)
    dated = {_date(day): countries for (day,), countries in countries_of.items()}
    summaries = [_summary_item(date, genres_of[date], countries, top_genres) for date, countries in dated.items()]
    return [*hour_items, *genre_items, *summaries]


def catalogue(songs: DataFrame) -> DataFrame:
    """One row per track: track_id, track, duration_ms, track_name, artists, genres (array of distinct strings).

    `track` is its number in the order of the ids, from 0. Of a track's conflicting rows the least (duration_ms,
    track_name, artists) holds for all its genres; a missing name is less than any name.
    """
    # Spark warns of a window without partitions.
    order = Window.partitionBy(F.lit(0)).orderBy("track_id")
    return (
        songs.groupBy("track_id")
        .agg(
            F.min(F.struct("duration_ms", "track_name", "artists")).alias("least"),
            F.collect_set("track_genre").alias("genres"),
        )
        .select("track_id", (F.row_number().over(order) - 1).alias("track"),
                F.col("least.duration_ms").cast("bigint").alias("duration_ms"), "least.track_name", "least.artists",
                "genres")
        # Where the window has put them.
        .coalesce(1)
    )  # fmt: skip


def partitions_to_count(plays: DataFrame) -> int:
    """In how many partitions to count plays: what is made of them is kept, for which Spark merges nothing (see `kept`).

    As many as they are read in, each of one FILE_PART of Parquet: two million plays. And as many more as it takes for
    the last ones to keep every core at work.

    Args:
        plays: as they are read. Of a frame with a join, Spark would have to run a part to tell.
    """
    cores = plays.sparkSession.sparkContext.defaultParallelism
    return cores * max(ceil(plays.rdd.getNumPartitions() / cores), 1)


def plays_of_users(plays: DataFrame, tracks: DataFrame, partitions: int) -> DataFrame:
    """Plays as `count_plays` takes them, all of a user in one partition: user_id, track, unknown_track, hour, second.

    They are exchanged once, here; numbers in place of ids and times make what is exchanged, and compared, smaller.
    """
    seconds = F.unix_timestamp("listen_time")
    return (
        plays.join(F.broadcast(tracks.select("track_id", "track")), "track_id", "left")
        .select("user_id", "track", F.when(F.col("track").isNull(), F.col("track_id")).alias("unknown_track"),
                F.floor(seconds / SECONDS_PER_HOUR).cast("int").alias("hour"),
                F.pmod(seconds, F.lit(SECONDS_PER_HOUR)).cast("int").alias("second"))
        .repartition(partitions, "user_id")
    )  # fmt: skip


def hourly_genres(counts: DataFrame) -> DataFrame:
    """Per hour and genre: hour, genre, listens, listening_time_ms, unique_listeners."""
    totals = map(_total, ("listens", "listening_time_ms", "unique_listeners"))
    return _of_set(counts, HOURS).groupBy("hour", "genre").agg(*totals)


def daily_genres(counts: DataFrame) -> DataFrame:
    """Per day and genre: day, genre, unique_listeners."""
    return _of_set(counts, DAYS).groupBy("day", "genre").agg(_total("unique_listeners"))


def ranked_songs(counts: DataFrame, tracks: DataFrame, top_songs: int) -> DataFrame:
    """The most played songs per day and genre: day, genre, rank, track_id, track_name, artists, listens."""
    order = Window.partitionBy("day", "genre").orderBy(F.desc("listens"), F.asc("track_id"))
    return (
        _of_set(counts, SONGS)
        .groupBy("day", "track")
        .agg(_total("listens"))
        .join(F.broadcast(tracks), "track")
        .select("day", F.explode("genres").alias("genre"), "track_id", "track_name", "artists", "listens")
        .withColumn("rank", F.row_number().over(order))
        .where(F.col("rank") <= top_songs)
    )


def daily_countries(counts: DataFrame, users: DataFrame) -> DataFrame:
    """All plays per day and country of the listener; at most MAX_COUNTRIES of a day and `other`.

    Of a user's conflicting rows the least country holds; an unknown user or a missing country is `unknown`.

    Returns:
        day, country, listens, unique_listeners, listening_time_ms, unknown_track_plays.
    """
    countries = users.groupBy("user_id").agg(F.min("user_country").alias("country"))
    order = Window.partitionBy("day").orderBy(F.desc("listens"), F.asc("country"))
    is_named = F.col("rank") <= MAX_COUNTRIES
    return (
        _of_set(counts, LISTENERS)
        .join(countries, "user_id", "left")
        .groupBy("day", F.coalesce("country", F.lit(UNKNOWN_COUNTRY)).alias("country"))
        .agg(F.count("*").alias("unique_listeners"), *map(_total, _PLAY_TOTALS))
        .withColumn("rank", F.row_number().over(order))
        .groupBy("day", F.when(is_named, F.col("country")).otherwise(OTHER_COUNTRIES).alias("country"))
        .agg(_total("unique_listeners"), *map(_total, _PLAY_TOTALS))
    )


def ratio(total: int, count: int) -> Decimal:
    """`total / count` rounded half up to two decimals: floor((200 * total + count) / (2 * count)) / 100 in integers."""
    return Decimal((200 * total + count) // (2 * count)).scaleb(-2)


def _total(column: str) -> Column:
    return F.sum(column).alias(column)


def _of_set(counts: DataFrame, grouping_set: str) -> DataFrame:
    return counts.where(F.col("grouping_set") == grouping_set)


def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).isoformat()


def _grouped(rows: list[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    return groups


def _measures(date: str, genre: str, listens: int, unique_listeners: int, listening_time_ms: int) -> Item:
    return {
        "date": date,
        "genre": genre,
        "listens": listens,
        "unique_listeners": unique_listeners,
        "listening_time_ms": listening_time_ms,
        "avg_listening_time_ms_per_user": ratio(listening_time_ms, unique_listeners),
        "avg_listening_time_ms_per_play": ratio(listening_time_ms, listens),
    }


def _hour_item(row: Row) -> Item:
    day, hour = divmod(row["hour"], HOURS_PER_DAY)
    date, genre = _date(day), row["genre"]
    return {
        "pk": f"DAY#{date}",
        "sk": f"HOUR#{hour:02}#GENRE#{genre}",
        "hour": f"{hour:02}",
        **_measures(date, genre, row["listens"], row["unique_listeners"], row["listening_time_ms"]),
    }


def _genre_items(
    hour_items: list[Item], listeners_of: dict[tuple[int, str], int], songs_of: dict[tuple[Any, ...], list[Row]]
) -> list[Item]:
    """Listens and times of a day are those of its hours together."""
    listens: Counter[tuple[str, str]] = Counter()
    times: Counter[tuple[str, str]] = Counter()
    for item in hour_items:
        listens[item["date"], item["genre"]] += item["listens"]
        times[item["date"], item["genre"]] += item["listening_time_ms"]
    items = []
    for (day, genre), unique_listeners in listeners_of.items():
        date = _date(day)
        genre_key = f"GENRE#{genre}"
        songs = sorted(songs_of[day, genre], key=lambda song: song["rank"])
        items.append(
            {
                "pk": f"DAY#{date}",
                "sk": genre_key,
                GENRE_INDEX_PARTITION_KEY: genre_key,
                **_measures(date, genre, listens[date, genre], unique_listeners, times[date, genre]),
                "top_songs": [{name: song[name] for name in _SONG} for song in songs],
            }
        )
    return items


def _summary_item(date: str, genres: list[Item], countries: list[Row], top_genres: int) -> Item:
    ranked = sorted(genres, key=lambda genre: (-genre["listens"], genre["genre"].encode()))[:top_genres]
    totals = {name: sum(row[name] for row in countries) for name in ("unique_listeners", *_PLAY_TOTALS)}
    return {
        "pk": f"DAY#{date}",
        "sk": SUMMARY,
        GENRE_INDEX_PARTITION_KEY: SUMMARY,
        "date": date,
        **totals,
        "listens_per_listener": ratio(totals["listens"], totals["unique_listeners"]),
        "top_genres": [
            {"rank": rank, "genre": genre["genre"], "listens": genre["listens"]}
            for rank, genre in enumerate(ranked, start=1)
        ],
        "listens_by_country": {row["country"]: row["listens"] for row in countries},
    }
