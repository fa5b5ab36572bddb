"""Rows of the oracle, stored and counted as the KPI job does it, on objects in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.flat_rows import flat
from benchmarks.folder_objects import FolderObjects
from glue_scripts.blobs import Blob
from glue_scripts.counting import Counting, count_days
from glue_scripts.kpi_items import kpis_by_day
from glue_scripts.ledger import NO_TOMBSTONES, Tombstones
from glue_scripts.spread import Blobs, Here, Workers
from glue_scripts.stored_plays import Plays, RunOfDay
from glue_scripts.stored_snapshots import UsersSnapshot, write_songs, write_users
from glue_scripts.storing import Storing, divided, store_plays
from tests.oracle import Play, Song, User
from validators.closed_duckdb import Share, closed_connection

Start = Callable[[Sequence[Sequence[Blob]]], Blobs]


def table_from_parquet(body: bytes | bytearray | memoryview) -> pa.Table:
    """Reads all plays of an object."""
    return pq.read_table(pa.BufferReader(body), read_dictionary=["user_id", "track_id", "file"])


def share(folder: Path, memory_mb: int = 200) -> Share:
    return Share(memory_mb=memory_mb, temp_folder=folder / "temp")


def plays_of(plays: Sequence[Play], file: str = "file-a") -> Plays:
    """Returns plays as the job that judged them has them, all of one file."""
    columns = {
        "user_id": pa.array([play.user_id for play in plays], pa.string()),
        "track_id": pa.array([play.track_id for play in plays], pa.string()),
        "listen_time": pa.array([play.listen_time for play in plays], pa.timestamp("us", "UTC")),
        "file": pa.array([file] * len(plays), pa.string()),
    }
    return Plays.of([pa.table(columns)])


def songs_table(songs: Iterable[Song]) -> pa.Table:
    types = [pa.string()] * 4 + [pa.int64()]
    columns = list(zip(*songs, strict=True)) or [()] * len(types)
    return pa.table(
        {name: pa.array(column, kind) for name, column, kind in zip(Song._fields, columns, types, strict=True)}
    )


def users_table(users: Iterable[User]) -> pa.Table:
    columns = list(zip(*users, strict=True)) or [(), ()]
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(User._fields, columns, strict=True)})


def store_users(
    db: duckdb.DuckDBPyConnection,
    objects: FolderObjects,
    folder: str,
    users: Iterable[User],
    tombstones: Tombstones = NO_TOMBSTONES,
) -> UsersSnapshot:
    db.register("user_rows", users_table(users))
    return write_users(db, objects, folder, tombstones)


@dataclass(frozen=True, kw_only=True)
class Account:
    """What is stored in a folder, and how work on it is run.

    Attributes:
        objects: the folder.
        start: `Here`, or `Spread.of` with a Spark context.
        parts: over how many tasks.
        memory_mb: what DuckDB may use.
    """

    objects: FolderObjects
    start: Start = Here
    parts: int = 3
    memory_mb: int = 200

    @property
    def share(self) -> Share:
        return share(self.objects.folder, self.memory_mb)

    def store(
        self, files: Sequence[Plays], *, run: str, buckets: int, tombstones: Tombstones = NO_TOMBSTONES
    ) -> Sequence[RunOfDay]:
        """Stores the plays of some files as a run, each file judged by a task of its own."""
        with closed_connection(self.share) as db:
            parts = [list(divided(db, plays, buckets)) for plays in files]
        names = frozenset(name for plays in files for name in plays.files.values.to_pylist())
        storing = Storing(self.objects, run, "arn:e", buckets, 0, names, tombstones, self.share)
        return store_plays(self.start(parts).by_key(self.parts), storing).days

    def kpi_items(
        self,
        runs: Iterable[Sequence[RunOfDay]],
        songs: Iterable[Song],
        users: Iterable[User],
        *,
        top_songs: int,
        top_genres: int,
        tombstones: Tombstones = NO_TOMBSTONES,
    ) -> list[dict[str, Any]]:
        """Stores both snapshots and computes the KPIs of all days of the runs, in the flat form of the oracle."""
        with closed_connection(self.share) as db:
            write_songs(db, self.objects, "songs/", songs_table(songs))
            snapshot = store_users(db, self.objects, "users/", users)
        counting = Counting(self.objects, "songs/", snapshot, tombstones, frozenset(), self.share, top_songs)
        stored = [each for run in runs for day in run for each in day.objects]
        tables = count_days(stored, counting, Workers(self.start, self.parts))
        return flat(kpis_by_day(tables, top_genres=top_genres))
