"""Which task counts what: works on blobs, run by `spread` in the driver or in Spark's tasks.

    objects of a bucket --> count --by day--> add up and rank --> the days' tables

A run may have fewer buckets than another of the same day. Its objects are read once, and divided:

    objects of coarser runs --> divide --by bucket--> count ...
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from glue_scripts.blobs import Blob, blobs_of, table_of
from glue_scripts.count_plays import Catalogue, compute_days, count_bucket, no_songs, no_users
from glue_scripts.many_plays import Gathered, SpilledPlays
from glue_scripts.objects import Objects
from glue_scripts.packing import packed
from glue_scripts.stored_plays import PLAYS_PER_BUCKET, Plays, StoredPlays, day_number, tables_from_parquet
from glue_scripts.stored_snapshots import PARALLEL_READS, UsersSnapshot, read_songs, read_users
from glue_scripts.storing import PLAYS, divided
from glue_scripts.user_buckets import buckets_for
from validators.closed_duckdb import Share, closed_connection

if TYPE_CHECKING:
    from glue_scripts.ledger import Tombstones
    from glue_scripts.spread import Workers

UNITS_PER_PART = 8
"""The most buckets whose divided plays one task holds."""

_UNIT = "unit"
_DIVIDE = "divide"


@dataclass(frozen=True)
class Counting:
    """What the tasks that count plays have to know.

    Attributes:
        objects: where to read.
        songs: the folder of the songs snapshot; None where there is none: every track is unknown.
        users: the users snapshot; None where there is none.
        tombstones: the purged users.
        withdrawn: the hashes of the withdrawn files.
        share: what a task may use.
        top_songs: how many tracks a genre's day ranks.
    """

    objects: Objects
    songs: str | None
    users: UsersSnapshot | None
    tombstones: Tombstones
    withdrawn: frozenset[str]
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


def count_days(objects: Iterable[StoredPlays], counting: Counting, workers: Workers) -> dict[str, pa.Table]:
    """Compute the KPIs of some days.

    Args:
        objects: the objects of all days and of all runs that make them up.
        counting: what the tasks have to know.
        workers: where the work is done; in more tasks than theirs, where these would hold too much.

    Returns:
        The tables of `kpi_sql.DAY_RESULTS` by name; none where no day has a play.
    """
    planned = plan(objects)
    if not planned.units:
        return {}
    unit_parts = min(len(planned.units), max(workers.tasks, -(-len(planned.units) // UNITS_PER_PART)))
    of_parts = [[unit.blob() for unit in planned.units[part::unit_parts]] for part in range(unit_parts)]
    if planned.divisions:
        divisions = [[division.blob()] for division in planned.divisions]
        blobs = workers.start([*of_parts, *divisions]).map(partial(_divide_part, counting)).by_key(unit_parts)
    else:
        blobs = workers.start(of_parts)
    results = blobs.map(partial(_count_part, counting)).by_key(workers.tasks).map(partial(_finish_part, counting))
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
        tables = _counted_tables(counting, keys)
        with closed_connection(counting.share) as db:
            for some in packed(tables, lambda table: table.num_rows, PLAYS_PER_BUCKET):
                yield from divided(db, Plays.of(some), buckets, first_key=blob.key)


def _count_part(counting: Counting, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Count units, one after another; the results' key is the day."""
    with closed_connection(counting.share) as db:
        _catalogue(counting, db).register(db)
        units: list[Blob] = []
        gathered = Gathered(db)
        for blob in blobs:
            if blob.name == PLAYS:
                gathered.add(blob.key, table_of(blob))
            else:
                units.append(blob)
        for unit in units:
            for table in _counted_tables(counting, json.loads(unit.payload)):
                gathered.add(unit.key, table)
            with gathered.taken(unit.key) as plays:
                if len(plays):
                    yield from _count_unit(counting, db, plays)


def _count_unit(counting: Counting, db: duckdb.DuckDBPyConnection, plays: Plays | SpilledPlays) -> Iterator[Blob]:
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


def _counted_tables(counting: Counting, keys: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the plays of objects without those of withdrawn files, as `stored_tables` does."""
    withdrawn = pa.array(sorted(counting.withdrawn), pa.string())
    for table in stored_tables(counting.objects, keys):
        yield table.filter(pc.invert(pc.is_in(table["file"], value_set=withdrawn))) if counting.withdrawn else table


def stored_tables(objects: Objects, keys: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the plays of objects, at most a million at a time. At most PARALLEL_READS objects are in memory."""
    waiting = iter(keys)
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        ahead = deque(pool.submit(objects.read, key) for key in islice(waiting, PARALLEL_READS))
        while ahead:
            body = ahead.popleft().result()
            yield from tables_from_parquet(body)
            ahead.extend(pool.submit(objects.read, key) for key in islice(waiting, 1))


def _catalogue(counting: Counting, db: duckdb.DuckDBPyConnection) -> Catalogue:
    if counting.songs is None:
        return Catalogue.of_songs(db, no_songs())
    return read_songs(counting.objects, counting.songs)
