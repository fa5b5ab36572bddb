"""Counts plays over four grouping sets, in Arrow: one pass over the plays of each partition.

Each set is one kind of row, with nulls in the columns of the others, as SQL's GROUPING SETS give them:

    set          grouped by      counts
    LISTENERS    user_id, day    listens, listening_time_ms, unknown_track_plays
    SONGS        day, track      listens
    HOURS        hour, genre     listens, listening_time_ms, unique_listeners
    DAYS         day, genre      unique_listeners

All plays of a user are in one partition, so all counts add up over partitions, and LISTENERS has one row per group.

Arrow and not Spark, because Spark hashes all plays twice for each aggregation, and needs most of a short run to compile
what it does (docs/decisions/0009-plays-are-counted-in-arrow.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Broadcast
from pyspark.sql import DataFrame

LISTENERS = "listeners"
SONGS = "songs"
HOURS = "hours"
DAYS = "days"

SCHEMA = (
    "grouping_set string, user_id string, day int, hour int, track int, genre string, "
    "listens long, listening_time_ms long, unknown_track_plays long, unique_listeners long"
)
_COLUMNS = [column.split()[0] for column in SCHEMA.split(", ")]

HOURS_PER_DAY = 24


@dataclass(frozen=True)
class TrackArrays:
    """What is counted of tracks; a track's number is its place in the first two.

    Attributes:
        durations: int64, milliseconds.
        genres: lists of int32, places in `genre_names`; each genre of a track once.
        genre_names: strings.
    """

    durations: pa.Array
    genres: pa.ListArray
    genre_names: pa.Array

    @classmethod
    def of(cls, tracks: DataFrame) -> TrackArrays:
        """Collects track, from 0 without gaps, duration_ms and genres, an array of strings."""
        rows = tracks.select("duration_ms", "genres").orderBy("track").collect()
        genres = pa.array([row["genres"] for row in rows], pa.list_(pa.string()))
        names = genres.flatten().dictionary_encode()
        return cls(
            durations=pa.array([row["duration_ms"] for row in rows], pa.int64()),
            genres=pa.ListArray.from_arrays(genres.offsets, names.indices),
            genre_names=names.dictionary,
        )


def count_plays(plays: DataFrame, tracks: DataFrame) -> DataFrame:
    """The rows of all grouping sets, of each partition by itself.

    Args:
        plays: user_id string; track int, null if unknown; unknown_track string, the id of such a track; hour int, since
            1970; second int, of the hour. All plays of a user in one partition; duplicates are one play.
        tracks: track int, from 0 without gaps; duration_ms long; genres, an array of distinct strings.

    Returns:
        SCHEMA.
    """
    arrays = plays.sparkSession.sparkContext.broadcast(TrackArrays.of(tracks))
    return plays.mapInArrow(partial(_count_partition, arrays), SCHEMA)


def grouping_sets(plays: pa.Table, tracks: TrackArrays) -> pa.Table:
    """The rows of all grouping sets of all plays of some users: see `count_plays`."""
    users = plays["user_id"].dictionary_encode().unify_dictionaries()
    user = pa.chunked_array([chunk.indices for chunk in users.chunks])
    distinct = _grouped(plays.append_column("user", user), "user", "track", "unknown_track", "hour", "second")
    played = _with_day(distinct.aggregate([]).combine_chunks())
    played = played.append_column("duration_ms", tracks.durations.take(played["track"].chunk(0)))
    of_users = _users_of_hours(played, tracks.genres)
    sets = {
        LISTENERS: _listeners(played, users.chunk(0).dictionary),
        SONGS: _songs(played),
        HOURS: _hours(of_users),
        DAYS: _days(of_users),
    }
    counts = pa.concat_tables(
        [table.append_column("grouping_set", pa.repeat(name, table.num_rows)) for name, table in sets.items()],
        promote_options="default",
    )
    return counts.append_column("genre", tracks.genre_names.take(counts["genre_number"])).select(_COLUMNS)


def _count_partition(tracks: Broadcast[TrackArrays], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    of_partition = list(batches)
    if of_partition:
        yield from grouping_sets(pa.Table.from_batches(of_partition), tracks.value).to_batches()


def _listeners(played: pa.Table, user_ids: pa.Array) -> pa.Table:
    counts = _grouped(played, "user", "day").aggregate(
        [
            ([], "count_all"),
            ("duration_ms", "sum", pc.ScalarAggregateOptions(min_count=0)),
            ("track", "count", pc.CountOptions(mode="only_null")),
        ]
    )
    names = {"count_all": "listens", "duration_ms_sum": "listening_time_ms", "track_count": "unknown_track_plays"}
    return counts.rename_columns(names).append_column("user_id", user_ids.take(counts["user"]))


def _songs(played: pa.Table) -> pa.Table:
    counts = _grouped(played.filter(pc.is_valid(played["track"])), "day", "track").aggregate([([], "count_all")])
    return counts.rename_columns({"count_all": "listens"})


def _users_of_hours(played: pa.Table, genres_of_tracks: pa.ListArray) -> pa.Table:
    """Plays of known tracks, once for each genre: user, hour, day, genre_number, listens, listening_time_ms."""
    genres = genres_of_tracks.take(played["track"].chunk(0))
    plays = played.select(["user", "hour", "duration_ms"]).take(pc.list_parent_indices(genres))
    plays = plays.append_column("genre_number", pc.list_flatten(genres))
    counts = _grouped(plays, "user", "hour", "genre_number").aggregate([([], "count_all"), ("duration_ms", "sum")])
    return _with_day(counts.rename_columns({"count_all": "listens", "duration_ms_sum": "listening_time_ms"}))


def _hours(of_users: pa.Table) -> pa.Table:
    counts = _grouped(of_users, "hour", "genre_number").aggregate(
        [("listens", "sum"), ("listening_time_ms", "sum"), ([], "count_all")]
    )
    return counts.rename_columns(
        {"listens_sum": "listens", "listening_time_ms_sum": "listening_time_ms", "count_all": "unique_listeners"}
    )


def _days(of_users: pa.Table) -> pa.Table:
    users = _grouped(of_users, "user", "day", "genre_number").aggregate([])
    counts = _grouped(users, "day", "genre_number").aggregate([([], "count_all")])
    return counts.rename_columns({"count_all": "unique_listeners"})


def _with_day(table: pa.Table) -> pa.Table:
    """Adds the day since 1970 of column hour. By way of a float, because Arrow's integers are divided towards 0."""
    day = pc.floor(pc.divide(table["hour"].cast(pa.float64()), HOURS_PER_DAY)).cast(pa.int32())
    return table.append_column("day", day)


def _grouped(table: pa.Table, *keys: str) -> pa.TableGroupBy:
    """Without threads of Arrow's own: Spark has a task at work on each core already."""
    return table.group_by(keys, use_threads=False)
