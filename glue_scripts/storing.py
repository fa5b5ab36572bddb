"""Which task stores what: works on blobs of valid rows, run by `spread` in the driver or in Spark's tasks.

plays by bucket of their user --> those of accepted files: sort, divide by day, write an object each
rows of a users or songs file --> resolve, write a snapshot
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from glue_scripts.blobs import Blob, blobs_of, table_of
from glue_scripts.count_plays import insert_tables
from glue_scripts.file_days import FileDays
from glue_scripts.many_plays import Gathered, SpilledPlays
from glue_scripts.objects import Objects
from glue_scripts.stored_plays import (
    Plays,
    PlaysOfDay,
    RunOfDay,
    StoredPlays,
    object_key,
    plays_by_bucket,
    plays_by_day,
    plays_to_parquet,
)
from glue_scripts.stored_snapshots import write_songs, write_users
from validators.closed_duckdb import Share, closed_connection

if TYPE_CHECKING:
    from glue_scripts.ledger import Tombstones
    from glue_scripts.spread import Blobs

PARALLEL_WRITES = 4
PLAYS = "plays"
"""The name of blobs of plays; their key tells the bucket."""
ROWS = "rows"
"""The name of blobs of the valid rows of users and songs files; their key is the file's number."""

_STORED = "stored"
_COLUMNS = {
    "songs": ("track_id", "track_name", "artists", "track_genre", "duration_ms"),
    "users": ("user_id", "user_country"),
}


@dataclass(frozen=True)
class Storing:
    """What the tasks that store plays have to know.

    Attributes:
        objects: where to write.
        run: the run's name.
        execution_arn: the execution whose files are stored; None where runs are merged.
        buckets: into how many buckets the run divides its users.
        first_key: the key of the plays of bucket 0.
        files: the hashes of the files whose plays are stored: `objects.file_name`; None for all.
        tombstones: the purged users.
        share: what a task may use.
    """

    objects: Objects
    run: str
    execution_arn: str | None
    buckets: int
    first_key: int
    files: frozenset[str] | None
    tombstones: Tombstones
    share: Share


@dataclass(frozen=True)
class StoredRun:
    """What was stored of a run.

    Attributes:
        days: day by day, ascending. The documents are not written yet.
        files: the days of each file that has plays; none where `Storing.files` is None.
    """

    days: Sequence[RunOfDay]
    files: Sequence[FileDays]


@dataclass(frozen=True)
class StoringSnapshot:
    """What the task that stores a snapshot has to know.

    Attributes:
        objects: where to write.
        dataset: songs or users.
        key: the key of the file's rows.
        folder: a prefix that no other job run uses, with `/` at its end.
        tombstones: the purged users.
        share: what the task may use.
    """

    objects: Objects
    dataset: str
    key: int
    folder: str
    tombstones: Tombstones
    share: Share


def divided(db: duckdb.DuckDBPyConnection, plays: Plays, buckets: int, first_key: int = 0) -> Iterator[Blob]:
    """Divide plays by the bucket of their user, as blobs whose key is first_key + bucket."""
    for bucket, of_bucket in plays_by_bucket(db, plays, buckets):
        yield from blobs_of(of_bucket.table(), first_key + bucket, PLAYS)


def store_plays(plays: Blobs, storing: Storing) -> StoredRun:
    """Store plays as objects of a run, one for each day and bucket.

    Args:
        plays: what `divided` gave, for the run's number of buckets, exchanged by key. Other blobs do not matter.
        storing: the run.
    """
    days: defaultdict[str, list[StoredPlays]] = defaultdict(list)
    dates_of_file: defaultdict[str, set[str]] = defaultdict(set)
    for blob in plays.map(partial(_store_part, storing)).collect():
        stored, files = json.loads(blob.payload)
        for date, rows, size in stored:
            of_day = days[date]
            if rows:
                key = object_key(storing.run, date, blob.key, storing.buckets)
                of_day.append(StoredPlays(date, blob.key, storing.buckets, key, rows, size))
        for file, dates in files.items():
            dates_of_file[file].update(dates)
    return StoredRun(
        [
            RunOfDay(
                storing.run,
                date,
                storing.buckets,
                sorted(days[date], key=lambda stored: stored.bucket),
                storing.execution_arn,
            )
            for date in sorted(days)
        ],
        [FileDays(file, storing.run, sorted(dates_of_file[file])) for file in sorted(dates_of_file)],
    )


def store_snapshot(rows: Blobs, storing: StoringSnapshot) -> int:
    """Store the valid rows of a users or songs file as a snapshot; return how many rows the file had.

    Args:
        rows: blobs of rows, exchanged by key. Other blobs do not matter.
        storing: the snapshot.
    """
    return sum(int(blob.payload) for blob in rows.map(partial(_store_snapshot_part, storing)).collect())


def _store_part(storing: Storing, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Store buckets, one after another; tell of each its days, their rows and bytes, and of each file its days."""
    plays = (blob for blob in blobs if blob.name == PLAYS)
    with closed_connection(storing.share) as db, ThreadPoolExecutor(PARALLEL_WRITES) as pool:
        gathered = Gathered(db)
        for blob in plays:
            gathered.add(blob.key, table_of(blob))
        for key in gathered.buckets:
            files: dict[str, list[str]] = {}
            store = partial(_store_day, storing, key - storing.first_key, files)
            with gathered.taken(key) as of_bucket:
                if isinstance(of_bucket, SpilledPlays):
                    parts = of_bucket.by_day(storing.files, storing.tombstones)
                    stored = [store(of_day) for of_day in groupby(parts, key=attrgetter("date"))]
                else:
                    by_day = plays_by_day(db, _of_files(of_bucket, storing.files), storing.tombstones)
                    stored = list(pool.map(store, ((day.date, [day]) for day in by_day)))
            yield Blob(key - storing.first_key, _STORED, json.dumps([stored, files]).encode())


def _of_files(plays: Plays, files: frozenset[str] | None) -> Plays:
    if files is None:
        return plays
    is_accepted = np.array([file in files for file in plays.files.values.to_pylist()], bool)
    return plays if is_accepted.all() else plays.take(np.flatnonzero(is_accepted[plays.files.codes]))


def _store_day(
    storing: Storing, bucket: int, dates_of_file: dict[str, list[str]], of_day: tuple[str, Iterable[PlaysOfDay]]
) -> tuple[str, int, int]:
    """Write the object of a day, given in parts, if it has plays; return the date, its rows and its size in bytes.

    Enter the date with each file that has plays, where the run is of certain files.
    """
    date, parts = of_day
    files: set[str] = set()

    def plays() -> Iterator[Plays]:
        for part in parts:
            files.update(part.plays.files.values.to_pylist())
            yield part.plays

    rows, body = plays_to_parquet(plays())
    if not rows:
        return date, 0, 0
    storing.objects.write(object_key(storing.run, date, bucket, storing.buckets), body)
    for file in files if storing.files is not None else ():
        dates_of_file.setdefault(file, []).append(date)
    return date, rows, len(body)


def _store_snapshot_part(storing: StoringSnapshot, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Store the snapshot, where the file's rows are in this part; tell how many there are."""
    rows = [blob for blob in blobs if blob.name == ROWS and blob.key == storing.key]
    if not rows:
        return
    tables = (table_of(blob).select(_COLUMNS[storing.dataset]) for blob in rows)
    with closed_connection(storing.share) as db:
        if storing.dataset == "songs":
            songs = pa.concat_tables(tables)
            write_songs(db, storing.objects, storing.folder, songs)
            count = songs.num_rows
        else:
            count = insert_tables(db, "user_rows", tables)
            write_users(db, storing.objects, storing.folder, storing.tombstones)
    yield Blob(storing.key, _STORED, str(count).encode())
