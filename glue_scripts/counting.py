"""Which task stores or counts what: works on blobs, run by `spread` in the driver or in Spark's tasks.

    storing     plays by bucket --by bucket--> sort, divide by day, write an object each --> what was written
    counting    objects of a bucket --> count --by day--> add up and rank --> the days' tables

A run may have fewer buckets than another of the same day. Its objects are read once, and divided:

    objects of coarser runs --> divide --by bucket--> count ...
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from glue_scripts.blobs import Blob, blobs_of, by_key, table_of
from glue_scripts.count_plays import Catalogue, compute_days, count_bucket, no_songs, no_users
from glue_scripts.objects import Objects
from glue_scripts.packing import packed
from glue_scripts.stored_plays import (
    PLAYS_PER_BUCKET,
    Plays,
    PlaysOfDay,
    RunOfDay,
    StoredPlays,
    day_number,
    object_key,
    plays_by_bucket,
    plays_by_day,
    plays_to_parquet,
    table_from_parquet,
)
from glue_scripts.stored_snapshots import PARALLEL_READS, UsersSnapshot, read_songs, read_users
from glue_scripts.user_buckets import buckets_for
from validators.closed_duckdb import Share, closed_connection

if TYPE_CHECKING:
    from glue_scripts.ledger import Tombstones
    from glue_scripts.spread import Blobs, Part

PARALLEL_WRITES = 4
UNITS_PER_PART = 8
"""The most buckets whose divided plays one task holds."""

_PLAYS = "plays"
_UNIT = "unit"
_DIVIDE = "divide"
_STORED = "stored"


# Storing.


@dataclass(frozen=True)
class Storing:
    """What the tasks that store plays have to know.

    Attributes:
        objects: where to write.
        run: the run's name.
        buckets: into how many buckets the run divides its users.
        tombstones: the purged users.
        share: what a task may use.
    """

    objects: Objects
    run: str
    buckets: int
    tombstones: Tombstones
    share: Share


@dataclass(frozen=True)
class StoredRun:
    """What was stored.

    Attributes:
        days: the run, day by day, ascending. Its documents are not written yet.
        rows_of_files: by the file's hash, its distinct plays, without purged users.
    """

    days: Sequence[RunOfDay]
    rows_of_files: Mapping[str, int]


def divided(db: duckdb.DuckDBPyConnection, plays: Plays, buckets: int, first_key: int = 0) -> Iterator[Blob]:
    """Divide plays by the bucket of their user, as blobs whose key is first_key + bucket."""
    for bucket, of_bucket in plays_by_bucket(db, plays, buckets):
        yield from blobs_of(of_bucket.table(), first_key + bucket, _PLAYS)


def store_plays(plays: Blobs, storing: Storing, parts: int) -> StoredRun:
    """Store plays as objects of a run, one for each day and bucket.

    Args:
        plays: what `divided` gave, for the run's number of buckets.
        storing: the run.
        parts: over how many tasks to spread the buckets.
    """
    days: defaultdict[str, list[StoredPlays]] = defaultdict(list)
    rows_of_files: Counter[str] = Counter()
    for blob in plays.by_key(parts).map(partial(_store_part, storing)).collect():
        stored_days, of_bucket = json.loads(blob.payload)
        rows_of_files.update(of_bucket)
        for date, rows, size in stored_days:
            of_day = days[date]
            if rows:
                key = object_key(storing.run, date, blob.key, storing.buckets)
                of_day.append(StoredPlays(date, blob.key, storing.buckets, key, rows, size))
    of_days = [
        RunOfDay(storing.run, date, storing.buckets, sorted(days[date], key=lambda stored: stored.bucket))
        for date in sorted(days)
    ]
    return StoredRun(of_days, rows_of_files)


def _store_part(storing: Storing, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Store buckets, one after another; tell of each its days, their rows and bytes, and its rows by file."""
    with closed_connection(storing.share) as db, ThreadPoolExecutor(PARALLEL_WRITES) as pool:
        for bucket, of_bucket in by_key(blobs).items():
            plays = Plays.of([table_of(blob) for blob in of_bucket])
            rows_of_files: Counter[str] = Counter()
            days: list[tuple[str, int, int]] = []
            by_day = plays_by_day(db, plays, storing.tombstones)
            for day, size in pool.map(partial(_store_day, storing, bucket), by_day):
                rows_of_files += _rows_of_files(day.plays)
                days.append((day.date, len(day.plays), size))
            yield Blob(bucket, _STORED, json.dumps([days, rows_of_files]).encode())


def _store_day(storing: Storing, bucket: int, day: PlaysOfDay) -> tuple[PlaysOfDay, int]:
    """Write the object of a day, if it has plays; return its size in bytes."""
    if not len(day.plays):
        return day, 0
    body = plays_to_parquet(day.plays)
    storing.objects.write(object_key(storing.run, day.date, bucket, storing.buckets), body)
    return day, len(body)


def _rows_of_files(plays: Plays) -> Counter[str]:
    counts = np.bincount(plays.files.codes, minlength=len(plays.files.values))
    return Counter(dict(zip(plays.files.values.to_pylist(), counts.tolist(), strict=True)))


# Counting.


@dataclass(frozen=True)
class Counting:
    """What the tasks that count plays have to know.

    Attributes:
        objects: where to read.
        songs: the folder of the songs snapshot; None where there is none: every track is unknown.
        users: the users snapshot; None where there is none.
        tombstones: the purged users.
        share: what a task may use.
        top_songs: how many tracks a genre's day ranks.
    """

    objects: Objects
    songs: str | None
    users: UsersSnapshot | None
    tombstones: Tombstones
    share: Share
    top_songs: int


@dataclass(frozen=True)
class Unit:
    """Plays that are counted together: of some days, and of the users of one bucket.

    Attributes:
        key: the unit's number.
        objects: the keys of the objects that hold this bucket and no other.
    """

    key: int
    objects: Sequence[str]

    def blob(self) -> Blob:
        """Describe the unit to the task that counts it."""
        return Blob(self.key, _UNIT, json.dumps(list(self.objects)).encode())


@dataclass(frozen=True)
class Division:
    """Objects of coarser runs, whose plays one task divides among units.

    Attributes:
        objects: the keys.
        first_unit: the unit of bucket 0.
        buckets: into how many buckets.
    """

    objects: Sequence[str]
    first_unit: int
    buckets: int

    def blob(self) -> Blob:
        """Describe the division to the task that does it."""
        return Blob(self.first_unit, _DIVIDE, json.dumps([self.buckets, list(self.objects)]).encode())


@dataclass(frozen=True)
class Plan:
    """What to count, and what to divide before."""

    units: Sequence[Unit]
    divisions: Sequence[Division]


def plan(objects: Iterable[StoredPlays], plays_per_task: int = PLAYS_PER_BUCKET) -> Plan:
    """Decide which plays are counted together.

    A day has as many buckets as the finest of its runs, or more where a bucket would have more than plays_per_task
    rows. Days that have few rows and the same number of buckets are counted together.

    Args:
        objects: of all days and runs that are to be counted.
        plays_per_task: how many rows a unit or a division has at most: a unit if users are spread evenly, a division
            if no object has more.
    """
    of_date: defaultdict[str, list[StoredPlays]] = defaultdict(list)
    for stored in objects:
        of_date[stored.date].append(stored)
    buckets_of: defaultdict[int, list[list[StoredPlays]]] = defaultdict(list)
    for _, of_day in sorted(of_date.items()):
        finest = max(stored.buckets for stored in of_day)
        buckets_of[max(finest, buckets_for(_rows(of_day), plays_per_task))].append(of_day)
    units: list[Unit] = []
    divisions: list[Division] = []
    for buckets, days in buckets_of.items():
        for some_days in packed(days, _rows, buckets * plays_per_task):
            group = [stored for of_day in some_days for stored in of_day]
            first_unit = len(units)
            whole: list[list[str]] = [[] for _ in range(buckets)]
            for stored in group:
                if stored.buckets == buckets:
                    whole[stored.bucket].append(stored.key)
            units += [Unit(first_unit + bucket, keys) for bucket, keys in enumerate(whole)]
            coarser = [stored for stored in group if stored.buckets < buckets]
            divisions += [
                Division([stored.key for stored in some], first_unit, buckets)
                for some in packed(coarser, lambda stored: stored.rows, plays_per_task)
            ]
    return Plan(units, divisions)


def _rows(objects: Iterable[StoredPlays]) -> int:
    return sum(stored.rows for stored in objects)


def count_days(
    objects: Iterable[StoredPlays], counting: Counting, start: Callable[[Sequence[Part]], Blobs], parts: int
) -> dict[str, pa.Table]:
    """Compute the KPIs of some days.

    Args:
        objects: the objects of all days and of all runs that make them up.
        counting: what the tasks have to know.
        start: `Here`, or `Spread.of` with a Spark context.
        parts: over how many tasks to spread the work; more where these would hold too much.

    Returns:
        The tables of `kpi_sql.DAY_RESULTS` by name; none where no day has a play.
    """
    planned = plan(objects)
    if not planned.units:
        return {}
    unit_parts = min(len(planned.units), max(parts, -(-len(planned.units) // UNITS_PER_PART)))
    of_parts = [[unit.blob() for unit in planned.units[part::unit_parts]] for part in range(unit_parts)]
    if planned.divisions:
        divisions = [[division.blob()] for division in planned.divisions]
        blobs = start([*of_parts, *divisions]).map(partial(_divide_part, counting)).by_key(unit_parts)
    else:
        blobs = start(of_parts)
    results = blobs.map(partial(_count_part, counting)).by_key(parts).map(partial(_finish_part, counting))
    tables: defaultdict[str, list[pa.Table]] = defaultdict(list)
    for blob in results.collect():
        tables[blob.name].append(table_of(blob))
    return {name: pa.concat_tables(of_name) for name, of_name in tables.items()}


def _divide_part(counting: Counting, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Divide the plays of coarser runs; pass on what else there is."""
    for blob in blobs:
        if blob.name != _DIVIDE:
            yield blob
            continue
        buckets, keys = json.loads(blob.payload)
        with closed_connection(counting.share) as db:
            plays = Plays.of(_read_plays(counting.objects, keys))
            yield from divided(db, plays, buckets, first_key=blob.key)


def _count_part(counting: Counting, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Count units, one after another; the results' key is the day."""
    with closed_connection(counting.share) as db:
        _catalogue(counting, db).register(db)
        for of_unit in by_key(blobs).values():
            yield from _count_unit(counting, db, of_unit)


def _count_unit(counting: Counting, db: duckdb.DuckDBPyConnection, blobs: Sequence[Blob]) -> Iterator[Blob]:
    (unit,) = (blob for blob in blobs if blob.name == _UNIT)
    keys = json.loads(unit.payload)
    pieces = [table_of(blob) for blob in blobs if blob.name == _PLAYS]
    tables = [*pieces, *_read_plays(counting.objects, keys)]
    if not tables:
        return
    plays = Plays.of(tables)
    users = no_users()
    if counting.users:
        users = read_users(db, counting.objects, counting.users, plays.users.values)
    for name, result in count_bucket(db, plays, users, counting.tombstones).items():
        for day in pc.unique(result["day"]):
            yield from blobs_of(result.filter(pc.equal(result["day"], day)), day_number(day.as_py()), name)


def _finish_part(counting: Counting, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Add up and rank the results of all buckets of some days."""
    with closed_connection(counting.share) as db:
        _catalogue(counting, db).register(db)
        results = ((blob.name, table_of(blob)) for blob in blobs)
        for name, table in compute_days(db, results, top_songs=counting.top_songs).items():
            yield from blobs_of(table, 0, name)


def _read_plays(objects: Objects, keys: Sequence[str]) -> list[pa.Table]:
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        return [table_from_parquet(body) for body in pool.map(objects.read, keys)]


def _catalogue(counting: Counting, db: duckdb.DuckDBPyConnection) -> Catalogue:
    if counting.songs is None:
        return Catalogue.of_songs(db, no_songs())
    return read_songs(counting.objects, counting.songs)
