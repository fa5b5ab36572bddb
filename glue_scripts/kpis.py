"""The KPIs: pure functions from accepted plays and reference snapshots to the rows of the table `kpis`.

No I/O and no AWS. The session's time zone must be UTC: it decides the day and the hour of a play.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from glue_scripts.names import GENRE_INDEX_PARTITION_KEY, SUMMARY

UNKNOWN_COUNTRY = "unknown"
OTHER_COUNTRIES = "other"
MAX_COUNTRIES = 300
"""At most so many countries in a SUMMARY row: a DynamoDB item holds 400 KB."""

Item = dict[str, Any]


def kpi_items(plays: DataFrame, songs: DataFrame, users: DataFrame, *, top_songs: int, top_genres: int) -> list[Item]:
    """Computes every KPI row of every day that has a play.

    Args:
        plays: user_id string, track_id string, listen_time timestamp in whole seconds. Duplicates are one play.
        songs: track_id, track_name, artists, track_genre strings, duration_ms integer. Conflicts are resolved here.
        users: user_id, user_country strings. Conflicts are resolved here.
        top_songs: how many songs a genre's day ranks.
        top_genres: how many genres a day ranks.

    Returns:
        DynamoDB items with `pk` and `sk`: integers as int, times in milliseconds, averages and ratios as Decimal with
        two decimals. Without `claim`, `computed_at` and the snapshots, which the publisher knows.
    """
    counts = play_counts(plays).persist(StorageLevel.MEMORY_AND_DISK)
    tracks = catalogue(songs).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        per_listener = listener_hours(counts, tracks).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            hours = hourly_genres(per_listener).collect()
            genres = daily_genres(per_listener).collect()
        finally:
            per_listener.unpersist()
        songs_of = _grouped(ranked_songs(counts, tracks, top_songs).collect(), "date", "genre")
        countries_of = _grouped(daily_countries(counts, users).collect(), "date")
        days = daily_totals(counts, tracks).collect()
    finally:
        counts.unpersist()
        tracks.unpersist()
    genres_of = _grouped(genres, "date")
    return [
        *(_hour_item(row) for row in hours),
        *(_genre_item(row, songs_of[row["date"], row["genre"]]) for row in genres),
        *(_summary_item(row, genres_of[(row["date"],)], countries_of[(row["date"],)], top_genres) for row in days),
    ]


def play_counts(plays: DataFrame) -> DataFrame:
    """Distinct plays, counted per listener, track and hour: date, hour, user_id, track_id, listens."""
    distinct_plays = plays.select("user_id", "track_id", "listen_time").distinct()
    return distinct_plays.groupBy(
        F.date_format("listen_time", "yyyy-MM-dd").alias("date"),
        F.date_format("listen_time", "HH").alias("hour"),
        "user_id",
        "track_id",
    ).agg(F.count("*").alias("listens"))


def catalogue(songs: DataFrame) -> DataFrame:
    """One row per track: track_id, duration_ms, track_name, artists, genres (array of distinct strings).

    Of a track's conflicting rows the least (duration_ms, track_name, artists) holds for all its genres; a missing
    name is less than any name.
    """
    return (
        songs.groupBy("track_id")
        .agg(
            F.min(F.struct("duration_ms", "track_name", "artists")).alias("least"),
            F.collect_set("track_genre").alias("genres"),
        )
        .select("track_id", F.col("least.duration_ms").cast("bigint").alias("duration_ms"), "least.track_name",
                "least.artists", "genres")
    )  # fmt: skip


def listener_hours(counts: DataFrame, tracks: DataFrame) -> DataFrame:
    """Plays of known tracks per genre, hour and listener: date, hour, genre, user_id, listens, listening_time_ms."""
    return (
        counts.join(F.broadcast(tracks.select("track_id", "duration_ms", "genres")), "track_id", "inner")
        .select("date", "hour", F.explode("genres").alias("genre"), "user_id", "listens", "duration_ms")
        .groupBy("date", "hour", "genre", "user_id")
        .agg(_total("listens"), F.sum(F.col("listens") * F.col("duration_ms")).alias("listening_time_ms"))
    )


def hourly_genres(per_listener: DataFrame) -> DataFrame:
    """KPIs per date, hour and genre: listens, unique_listeners, listening_time_ms."""
    return per_listener.groupBy("date", "hour", "genre").agg(
        _total("listens"), F.count("*").alias("unique_listeners"), _total("listening_time_ms")
    )


def daily_genres(per_listener: DataFrame) -> DataFrame:
    """KPIs per date and genre: listens, unique_listeners, listening_time_ms."""
    return (
        per_listener.groupBy("date", "genre", "user_id")
        .agg(_total("listens"), _total("listening_time_ms"))
        .groupBy("date", "genre")
        .agg(_total("listens"), F.count("*").alias("unique_listeners"), _total("listening_time_ms"))
    )


def ranked_songs(counts: DataFrame, tracks: DataFrame, top_songs: int) -> DataFrame:
    """The most played songs per date and genre: date, genre, rank, track_id, track_name, artists, listens."""
    order = Window.partitionBy("date", "genre").orderBy(F.desc("listens"), F.asc("track_id"))
    return (
        counts.groupBy("date", "track_id")
        .agg(_total("listens"))
        .join(F.broadcast(tracks), "track_id", "inner")
        .select("date", F.explode("genres").alias("genre"), "track_id", "track_name", "artists", "listens")
        .withColumn("rank", F.row_number().over(order))
        .where(F.col("rank") <= top_songs)
    )


def daily_countries(counts: DataFrame, users: DataFrame) -> DataFrame:
    """Plays per date and country of the listener: date, country, listens; at most MAX_COUNTRIES and `other`.

    Of a user's conflicting rows the least country holds; an unknown user or a missing country is `unknown`.
    """
    countries = users.groupBy("user_id").agg(F.min("user_country").alias("country"))
    order = Window.partitionBy("date").orderBy(F.desc("listens"), F.asc("country"))
    return (
        counts.groupBy("date", "user_id")
        .agg(_total("listens"))
        .join(countries, "user_id", "left")
        .groupBy("date", F.coalesce("country", F.lit(UNKNOWN_COUNTRY)).alias("country"))
        .agg(_total("listens"))
        .withColumn("rank", F.row_number().over(order))
        .groupBy(
            "date",
            F.when(F.col("rank") <= MAX_COUNTRIES, F.col("country")).otherwise(OTHER_COUNTRIES).alias("country"),
        )
        .agg(_total("listens"))
    )


def daily_totals(counts: DataFrame, tracks: DataFrame) -> DataFrame:
    """Totals per date over all plays: date, listens, unique_listeners, listening_time_ms, unknown_track_plays."""
    return (
        counts.join(F.broadcast(tracks.select("track_id", "duration_ms")), "track_id", "left")
        .groupBy("date", "user_id")
        .agg(
            _total("listens"),
            F.sum(F.coalesce(F.col("listens") * F.col("duration_ms"), F.lit(0))).alias("listening_time_ms"),
            F.sum(F.when(F.col("duration_ms").isNull(), F.col("listens")).otherwise(0)).alias("unknown_track_plays"),
        )
        .groupBy("date")
        .agg(
            _total("listens"),
            F.count("*").alias("unique_listeners"),
            _total("listening_time_ms"),
            _total("unknown_track_plays"),
        )
    )


def ratio(total: int, count: int) -> Decimal:
    """`total / count` rounded half up to two decimals: floor((200 * total + count) / (2 * count)) / 100 in integers."""
    return Decimal((200 * total + count) // (2 * count)).scaleb(-2)


def _total(column: str) -> Column:
    return F.sum(column).alias(column)


def _grouped(rows: list[Row], *keys: str) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    return groups


def _measures(row: Row) -> Item:
    return {
        "date": row["date"],
        "genre": row["genre"],
        "listens": row["listens"],
        "unique_listeners": row["unique_listeners"],
        "listening_time_ms": row["listening_time_ms"],
        "avg_listening_time_ms_per_user": ratio(row["listening_time_ms"], row["unique_listeners"]),
        "avg_listening_time_ms_per_play": ratio(row["listening_time_ms"], row["listens"]),
    }


def _hour_item(row: Row) -> Item:
    sort_key = f"HOUR#{row['hour']}#GENRE#{row['genre']}"
    return {"pk": f"DAY#{row['date']}", "sk": sort_key, "hour": row["hour"], **_measures(row)}


def _genre_item(row: Row, songs: list[Row]) -> Item:
    genre_key = f"GENRE#{row['genre']}"
    return {
        "pk": f"DAY#{row['date']}",
        "sk": genre_key,
        GENRE_INDEX_PARTITION_KEY: genre_key,
        **_measures(row),
        "top_songs": [
            {name: song[name] for name in ("rank", "track_id", "track_name", "artists", "listens")}
            for song in sorted(songs, key=lambda song: song["rank"])
        ],
    }


def _summary_item(row: Row, genres: list[Row], countries: list[Row], top_genres: int) -> Item:
    ranked = sorted(genres, key=lambda genre: (-genre["listens"], genre["genre"].encode()))[:top_genres]
    return {
        "pk": f"DAY#{row['date']}",
        "sk": SUMMARY,
        GENRE_INDEX_PARTITION_KEY: SUMMARY,
        "date": row["date"],
        "listens": row["listens"],
        "unique_listeners": row["unique_listeners"],
        "listens_per_listener": ratio(row["listens"], row["unique_listeners"]),
        "listening_time_ms": row["listening_time_ms"],
        "unknown_track_plays": row["unknown_track_plays"],
        "top_genres": [
            {"rank": rank, "genre": genre["genre"], "listens": genre["listens"]}
            for rank, genre in enumerate(ranked, start=1)
        ],
        "listens_by_country": {country["country"]: country["listens"] for country in countries},
    }
