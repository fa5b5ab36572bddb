"""The KPIs: pure functions from accepted plays and reference snapshots to the rows of the table `kpis`.

No I/O and no AWS. The session's time zone must be UTC: it decides the day and the hour of a play.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
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

SECONDS_PER_HOUR = 3600
HOURS_PER_DAY = 24
EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date()

_PLAY_TOTALS = ("listens", "listening_time_ms", "unknown_track_plays")
_SONG = ("rank", "track_id", "track_name", "artists", "listens")

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
    tracks = catalogue(songs).persist(StorageLevel.MEMORY_AND_DISK)
    distinct = distinct_plays(plays, tracks).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        of_genres = plays_of_genres(distinct, tracks)
        hours = hourly_genres(of_genres).collect()
        listeners = genre_listeners(of_genres).collect()
        songs_of = _grouped(ranked_songs(distinct, tracks, top_songs).collect(), "day", "genre")
        countries_of = _grouped(daily_countries(distinct, tracks, users).collect(), "day")
    finally:
        distinct.unpersist()
        tracks.unpersist()
    hour_items = _hour_items(hours, listeners)
    genre_items = _genre_items(hour_items, listeners, songs_of)
    genres_of: dict[str, list[Item]] = defaultdict(list)
    for item in genre_items:
        genres_of[item["date"]].append(item)
    dated = {_date(day): countries for (day,), countries in countries_of.items()}
    summaries = [_summary_item(date, genres_of[date], countries, top_genres) for date, countries in dated.items()]
    return [*hour_items, *genre_items, *summaries]


def catalogue(songs: DataFrame) -> DataFrame:
    """One row per track: track_id, track, duration_ms, track_name, artists, genres (array of distinct strings).

    `track` is its number in the order of the ids. Of a track's conflicting rows the least (duration_ms, track_name,
    artists) holds for all its genres; a missing name is less than any name.
    """
    # Spark warns of a window without partitions.
    order = Window.partitionBy(F.lit(0)).orderBy("track_id")
    return (
        songs.groupBy("track_id")
        .agg(
            F.min(F.struct("duration_ms", "track_name", "artists")).alias("least"),
            F.collect_set("track_genre").alias("genres"),
        )
        .select("track_id", F.row_number().over(order).alias("track"),
                F.col("least.duration_ms").cast("bigint").alias("duration_ms"), "least.track_name", "least.artists",
                "genres")
    )  # fmt: skip


def distinct_plays(plays: DataFrame, tracks: DataFrame) -> DataFrame:
    """Every play once, all of a listener in one partition: user_id, track, hour.

    `track` is null where the catalogue does not know it, `hour` counts since 1970. Nothing that is counted per listener
    is exchanged again after this; numbers in place of ids and times make what is exchanged, and compared, smaller.
    """
    known = plays.join(F.broadcast(tracks.select("track_id", "track")), "track_id", "left")
    unknown_track = F.when(F.col("track").isNull(), F.col("track_id")).alias("unknown_track")
    return (
        known.select("user_id", "track", unknown_track, F.unix_timestamp("listen_time").alias("second"))
        .repartition("user_id")
        .distinct()
        .select("user_id", "track", F.floor(F.col("second") / SECONDS_PER_HOUR).cast("int").alias("hour"))
    )


def plays_of_genres(distinct: DataFrame, tracks: DataFrame) -> DataFrame:
    """Each play of a known track once for each of its genres: user_id, hour, genre, duration_ms."""
    return distinct.join(F.broadcast(tracks.select("track", "duration_ms", "genres")), "track").select(
        "user_id", "hour", F.explode("genres").alias("genre"), "duration_ms"
    )


def hourly_genres(of_genres: DataFrame) -> DataFrame:
    """Plays per hour and genre: hour, genre, listens, listening_time_ms."""
    return of_genres.groupBy("hour", "genre").agg(
        F.count("*").alias("listens"), F.sum("duration_ms").alias("listening_time_ms")
    )


def genre_listeners(of_genres: DataFrame) -> DataFrame:
    """Unique listeners per day and genre: day, genre, of_day, and of_hours, an array of 24 numbers.

    One bit for each hour in which somebody listened makes one aggregation of what would be two, by day and by hour.
    """
    hours = F.bit_or(F.expr(f"shiftleft(1, pmod(hour, {HOURS_PER_DAY}))")).alias("hours")
    of_hours = [F.sum(F.expr(f"shiftright(hours, {hour}) & 1")) for hour in range(HOURS_PER_DAY)]
    return (
        of_genres.groupBy("user_id", _day(), "genre")
        .agg(hours)
        .groupBy("day", "genre")
        .agg(F.count("*").alias("of_day"), F.array(*of_hours).alias("of_hours"))
    )


def ranked_songs(distinct: DataFrame, tracks: DataFrame, top_songs: int) -> DataFrame:
    """The most played songs per day and genre: day, genre, rank, track_id, track_name, artists, listens."""
    order = Window.partitionBy("day", "genre").orderBy(F.desc("listens"), F.asc("track_id"))
    return (
        distinct.groupBy(_day(), "track")
        .agg(F.count("*").alias("listens"))
        .join(F.broadcast(tracks), "track")
        .select("day", F.explode("genres").alias("genre"), "track_id", "track_name", "artists", "listens")
        .withColumn("rank", F.row_number().over(order))
        .where(F.col("rank") <= top_songs)
    )


def daily_countries(distinct: DataFrame, tracks: DataFrame, users: DataFrame) -> DataFrame:
    """All plays per day and country of the listener; at most MAX_COUNTRIES of a day and `other`.

    Of a user's conflicting rows the least country holds; an unknown user or a missing country is `unknown`.

    Returns:
        day, country, listens, unique_listeners, listening_time_ms, unknown_track_plays.
    """
    countries = users.groupBy("user_id").agg(F.min("user_country").alias("country"))
    order = Window.partitionBy("day").orderBy(F.desc("listens"), F.asc("country"))
    is_named = F.col("rank") <= MAX_COUNTRIES
    return (
        distinct.join(F.broadcast(tracks.select("track", "duration_ms")), "track", "left")
        .groupBy("user_id", _day())
        .agg(
            F.count("*").alias("listens"),
            F.coalesce(F.sum("duration_ms"), F.lit(0)).alias("listening_time_ms"),
            F.count_if(F.col("track").isNull()).alias("unknown_track_plays"),
        )
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


def _day() -> Column:
    return F.floor(F.col("hour") / HOURS_PER_DAY).cast("int").alias("day")


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


def _hour_items(hours: list[Row], listeners: list[Row]) -> list[Item]:
    of_hours = {(row["day"], row["genre"]): row["of_hours"] for row in listeners}
    items = []
    for row in hours:
        day, hour = divmod(row["hour"], HOURS_PER_DAY)
        date, genre = _date(day), row["genre"]
        unique_listeners = of_hours[day, genre][hour]
        items.append(
            {
                "pk": f"DAY#{date}",
                "sk": f"HOUR#{hour:02}#GENRE#{genre}",
                "hour": f"{hour:02}",
                **_measures(date, genre, row["listens"], unique_listeners, row["listening_time_ms"]),
            }
        )
    return items


def _genre_items(
    hour_items: list[Item], listeners: list[Row], songs_of: dict[tuple[Any, ...], list[Row]]
) -> list[Item]:
    """Listens and times of a day are those of its hours together."""
    listens: Counter[tuple[str, str]] = Counter()
    times: Counter[tuple[str, str]] = Counter()
    for item in hour_items:
        listens[item["date"], item["genre"]] += item["listens"]
        times[item["date"], item["genre"]] += item["listening_time_ms"]
    items = []
    for row in listeners:
        date, genre = _date(row["day"]), row["genre"]
        genre_key = f"GENRE#{genre}"
        songs = sorted(songs_of[row["day"], genre], key=lambda song: song["rank"])
        items.append(
            {
                "pk": f"DAY#{date}",
                "sk": genre_key,
                GENRE_INDEX_PARTITION_KEY: genre_key,
                **_measures(date, genre, listens[date, genre], row["of_day"], times[date, genre]),
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
