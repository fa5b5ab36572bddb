"""Reference snapshots as they are stored: conflicts resolved, tracks numbered, users by bucket, once for all readers.

A snapshot is a folder of immutable Parquet objects and a document, and never listed:

- songs: `tracks.parquet`, `genres.parquet` and `track_genres.parquet`, the tables of `kpi_sql.CATALOGUE`;
- users: `part-<bucket>-of-<buckets>.parquet`, the table of `kpi_sql.USERS` by the bucket of the user: counting a bucket
  of plays, or a few plays, reads the users of those buckets and not all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glue_scripts.count_plays import Catalogue, no_users
from glue_scripts.kpi_sql import CATALOGUE, USERS
from glue_scripts.objects import Location, Objects, json_line
from glue_scripts.purged_users import delete_purged
from glue_scripts.user_buckets import BUCKET_HASH, BUCKET_SQL, buckets_for, buckets_of, buckets_of_document

if TYPE_CHECKING:
    from glue_scripts.ledger import Snapshot, Tombstones

USERS_FORMAT = "users-snapshot/1"
USERS_PER_BUCKET = 2**15
"""About half a megabyte of Parquet."""
PARALLEL_READS = 8

_USERS_BY_BUCKET = f"SELECT {BUCKET_SQL} AS bucket, user_id, user_country FROM users ORDER BY bucket, user_id"

_CATALOGUE_TABLES = tuple(query.table for query in CATALOGUE)


@dataclass(frozen=True)
class UsersSnapshot:
    """A stored users file.

    Attributes:
        folder: the prefix of its keys, with `/` at its end.
        buckets: into how many buckets its users are divided.
        rows: its users.
    """

    folder: str
    buckets: int
    rows: int

    def key(self, bucket: int) -> str:
        """Return the key of a bucket's users."""
        return f"{self.folder}part-{bucket:04}-of-{self.buckets:04}.parquet"

    def document(self) -> dict[str, Any]:
        """Return the snapshot's document."""
        return {"format": USERS_FORMAT, "hash": BUCKET_HASH, "buckets": self.buckets, "rows": self.rows}

    @classmethod
    def of_document(cls, folder: str, document: Mapping[str, Any]) -> UsersSnapshot:
        """Take over what `document` gave.

        Raises:
            DocumentError: the format or the hash is another: the snapshot was written by another version.
        """
        remedy = "Upload the users file again."
        buckets = buckets_of_document(document, USERS_FORMAT, what="A users snapshot", remedy=remedy)
        return cls(folder, buckets, document["rows"])


def write_songs(db: duckdb.DuckDBPyConnection, objects: Objects, folder: str, songs: pa.Table) -> Catalogue:
    """Resolve and store the valid rows of a songs file.

    Args:
        db: a connection.
        objects: where to write.
        folder: a prefix that no other job run uses, with `/` at its end.
        songs: track_id, track_name, artists, track_genre strings, duration_ms int64.
    """
    catalogue = Catalogue.of_songs(db, songs)
    for name in _CATALOGUE_TABLES:
        objects.write(f"{folder}{name}.parquet", to_parquet(getattr(catalogue, name)))
    return catalogue


@lru_cache(maxsize=1)
def read_songs(objects: Objects, folder: str) -> Catalogue:
    """Read a songs snapshot; once for several tasks of a process."""
    return Catalogue(**{name: _table(objects.read(f"{folder}{name}.parquet")) for name in _CATALOGUE_TABLES})


def write_users(db: duckdb.DuckDBPyConnection, objects: Objects, folder: str, tombstones: Tombstones) -> UsersSnapshot:
    """Resolve and store the valid rows of a users file. DuckDB holds them, and spills them where they are many.

    Args:
        db: a connection with the table `user_rows`: user_id, user_country VARCHAR.
        objects: where to write.
        folder: a prefix that no other job run uses, with `/` at its end.
        tombstones: the purged users, who are left out.
    """
    db.execute(f"CREATE OR REPLACE TABLE users AS {USERS.sql}")
    delete_purged(db, "users", tombstones)
    (rows,) = db.sql("SELECT count(*) FROM users").fetchall()[0]
    buckets = buckets_for(rows, USERS_PER_BUCKET)
    snapshot = UsersSnapshot(folder, buckets, rows)
    written = set()
    for bucket, users in _users_by_bucket(db, buckets):
        objects.write(snapshot.key(bucket), to_parquet(users))
        written.add(bucket)
    for bucket in set(range(buckets)) - written:
        objects.write(snapshot.key(bucket), to_parquet(no_users()))
    objects.write(f"{folder}snapshot.json", json_line(snapshot.document()))
    return snapshot


def _users_by_bucket(db: duckdb.DuckDBPyConnection, buckets: int) -> Iterator[tuple[int, pa.Table]]:
    """Read the table `users` bucket by bucket; those without users are left out."""
    ordered = db.sql(_USERS_BY_BUCKET, params={"buckets": buckets}).to_arrow_reader(USERS_PER_BUCKET)
    slices = (each for batch in ordered for each in _slices(pa.table(batch)))
    for bucket, of_bucket in groupby(slices, key=itemgetter(0)):
        yield bucket, pa.concat_tables(users for _, users in of_bucket)


def _slices(ordered: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """Divide rows that are ordered by their bucket."""
    bucket_of_row = ordered["bucket"].to_numpy()
    users = ordered.drop_columns("bucket")
    for bucket in np.unique(bucket_of_row).tolist():
        start, end = np.searchsorted(bucket_of_row, [bucket, bucket + 1]).tolist()
        yield bucket, users.slice(start, end - start)


def read_users(
    db: duckdb.DuckDBPyConnection, objects: Objects, snapshot: UsersSnapshot, user_ids: pa.Array
) -> pa.Table:
    """Read user_id and user_country of at least some users: the objects of their buckets, and no other.

    Args:
        db: a connection.
        objects: where to read.
        snapshot: the snapshot.
        user_ids: strings without nulls, each once; those that the snapshot does not know are not in the result.
    """
    buckets = np.unique(buckets_of(db, user_ids, snapshot.buckets)).tolist()
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        bodies = pool.map(objects.read, map(snapshot.key, buckets))
        return pa.concat_tables([no_users(), *map(_table, bodies)])


def read_users_snapshot(objects: Objects, folder: str) -> UsersSnapshot:
    """Read the document of a users snapshot."""
    return UsersSnapshot.of_document(folder, json.loads(bytes(objects.read(f"{folder}snapshot.json"))))


def folder_of(snapshot: Snapshot) -> str:
    """Return the prefix of a snapshot's keys, with `/` at its end."""
    return Location.of_uri(snapshot.uri).key


def objects_with_ids(objects: Objects, snapshot: Snapshot) -> list[str]:
    """Return the keys of the Parquet objects that have the ids of a snapshot: `track_id` of songs, `user_id` of users.

    Args:
        objects: where to read.
        snapshot: of songs or users.
    """
    folder = folder_of(snapshot)
    if snapshot.dataset == "songs":
        return [f"{folder}tracks.parquet"]
    users = read_users_snapshot(objects, folder)
    return [users.key(bucket) for bucket in range(users.buckets)]


def to_parquet(table: pa.Table) -> memoryview:
    """Return a table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, store_schema=False)
    return memoryview(sink.getvalue())


def _table(body: bytearray) -> pa.Table:
    return pq.read_table(pa.BufferReader(body), use_threads=False)
