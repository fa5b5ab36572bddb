"""Accepted plays as they are stored: a run of a day is one Parquet object for each bucket of users, and one document.

Objects are immutable, and their keys follow from the run, the day and the bucket. A repeated task writes the same rows
in the same order under the same key. Readers of a day's run read its document; they list nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glue_scripts.coded import Coded, Integers, distinct_rows
from glue_scripts.names import PLAYS_PREFIX, RUNS_PREFIX
from glue_scripts.purged_users import is_purged
from glue_scripts.user_buckets import BUCKET_HASH, buckets_of, buckets_of_document, rows_by_bucket

if TYPE_CHECKING:
    from glue_scripts.ledger import Tombstones
    from glue_scripts.objects import Objects

RUN_FORMAT = "plays-run/2"
DAY_FOLDER = "listen_date="
"""What a folder's name begins with that holds a day: Athena partitions by it."""
PARALLEL_DOCUMENTS = 8
"""Documents of a run that are read or written at the same time."""
PLAYS_PER_BUCKET = 2**20
"""Plays of all days together. A task holds the plays of one bucket: some 50 MB, and 300 MB while they are counted."""

SECONDS_PER_DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date()

_MICROSECONDS = 1_000_000
_LISTEN_TIME = pa.timestamp("us", "UTC")
_TEXT = ["user_id", "track_id", "file"]
_DICTIONARY_BYTES = 16 * 2**20
"""With Arrow's limit of 1 MB, a dictionary of 50,000 track ids is given up and the rest of the column is plain text."""


@dataclass(frozen=True)
class Plays:
    """Plays in memory, a row each.

    Attributes:
        users: the user ids.
        tracks: the track ids.
        seconds: int64, of the listen time since 1970 in UTC.
        files: the hash that `objects.file_name` gives, of the file that the play came in.
    """

    users: Coded
    tracks: Coded
    seconds: Integers
    files: Coded

    @classmethod
    def of(cls, tables: Sequence[pa.Table]) -> Plays:
        """Take over tables with the columns user_id, track_id, listen_time (timestamp in UTC) and file."""
        table = pa.concat_tables(tables)
        microseconds = table["listen_time"].cast(_LISTEN_TIME).cast(pa.int64()).to_numpy()
        return cls(
            users=Coded.of(table["user_id"]),
            tracks=Coded.of(table["track_id"]),
            seconds=microseconds // _MICROSECONDS,
            files=Coded.of(table["file"]),
        )

    def table(self) -> pa.Table:
        """Return user_id, track_id and file as dictionaries of strings, listen_time in microseconds and UTC."""
        return pa.table(
            {
                "user_id": self.users.array(),
                "track_id": self.tracks.array(),
                "listen_time": pa.array(self.seconds * _MICROSECONDS).view(_LISTEN_TIME),
                "file": self.files.array(),
            }
        )

    def numbers(self) -> pa.Table:
        """Return user_id, track_id and file as int32 codes, listen_time as int64 seconds."""
        codes = {"user_id": self.users.codes, "track_id": self.tracks.codes, "file": self.files.codes}
        return pa.table({**codes, "listen_time": self.seconds})

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, rows: Integers) -> Plays:
        """Return some of the plays; ids that no play has any more are dropped."""
        return Plays(
            users=self.users.take(rows).compact(),
            tracks=self.tracks.take(rows).compact(),
            seconds=self.seconds[rows],
            files=self.files.take(rows).compact(),
        )


_NOTHING = Coded(np.zeros(0, np.int32), pa.array([], pa.string()))
NO_PLAYS = Plays(users=_NOTHING, tracks=_NOTHING, seconds=np.zeros(0, np.int64), files=_NOTHING)


@dataclass(frozen=True)
class PlaysOfDay:
    """What an object holds.

    Attributes:
        date: yyyy-mm-dd.
        plays: sorted by user_id, listen_time, track_id and file, text by its UTF-8 bytes. Each play has one row for
            each file that has it.
    """

    date: str
    plays: Plays


@dataclass(frozen=True)
class StoredPlays:
    """One object of a run.

    Attributes:
        date: yyyy-mm-dd.
        bucket: the users whose plays it holds.
        buckets: into how many buckets the run divides its users.
        key: the object key.
        rows: its rows.
        size: its bytes.
    """

    date: str
    bucket: int
    buckets: int
    key: str
    rows: int
    size: int


@dataclass(frozen=True)
class RunOfDay:
    """What a run stored of one day, as its document describes it.

    Attributes:
        name: the run.
        date: yyyy-mm-dd.
        buckets: into how many buckets the run divides its users.
        objects: none where the day's plays are all of purged users.
        execution_arn: the execution whose files it holds; None where it holds merged runs.
    """

    name: str
    date: str
    buckets: int
    objects: Sequence[StoredPlays]
    execution_arn: str | None

    @property
    def rows(self) -> int:
        """The rows of all objects."""
        return sum(stored.rows for stored in self.objects)

    @property
    def size(self) -> int:
        """The bytes of all objects."""
        return sum(stored.size for stored in self.objects)

    @property
    def document_key(self) -> str:
        """The key of the document."""
        return document_key(self.name, self.date)

    def document(self) -> dict[str, Any]:
        """Return the document, for `objects.write_json`."""
        return {
            "format": RUN_FORMAT,
            "run": self.name,
            "execution_arn": self.execution_arn,
            "date": self.date,
            "hash": BUCKET_HASH,
            "buckets": self.buckets,
            "rows": self.rows,
            "objects": [{"bucket": each.bucket, "rows": each.rows, "size": each.size} for each in self.objects],
        }

    @classmethod
    def read(cls, objects: Objects, run: str, date: str) -> RunOfDay:
        """Read what a run stored of a day.

        Raises:
            DocumentError: see `of_document`.
        """
        return cls.of_document(json.loads(bytes(objects.read(document_key(run, date)))))

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> RunOfDay:
        """Take over what `document` gave.

        Raises:
            DocumentError: the format or the hash is another: the run was written by another version.
        """
        name, date = document["run"], document["date"]
        remedy = "Run the version of the job that wrote it."
        buckets = buckets_of_document(document, RUN_FORMAT, what="A run", remedy=remedy)
        objects = [
            StoredPlays(
                date,
                each["bucket"],
                buckets,
                object_key(name, date, each["bucket"], buckets),
                each["rows"],
                each["size"],
            )
            for each in document["objects"]
        ]
        return cls(name, date, buckets, objects, document["execution_arn"])


def documents_folder(date: str) -> str:
    """Return the prefix of the documents of a day's runs."""
    return f"{RUNS_PREFIX}{DAY_FOLDER}{date}/"


def plays_folder(date: str) -> str:
    """Return the prefix of the objects of a day's runs."""
    return f"{PLAYS_PREFIX}{DAY_FOLDER}{date}/"


def document_key(run: str, date: str) -> str:
    """Return the key of the document of a run of a day."""
    return f"{documents_folder(date)}{run}.json"


def run_of_document_key(key: str) -> tuple[str, str]:
    """Return the date and the run of a document, by what `document_key` gave."""
    folder, _, name = key.removeprefix(f"{RUNS_PREFIX}{DAY_FOLDER}").partition("/")
    return folder, name.removesuffix(".json")


def object_key(run: str, day: str, bucket: int, buckets: int) -> str:
    """Return the key of a run's object, under the prefix that Athena partitions by listen_date and run."""
    return f"{plays_folder(day)}run={run}/part-{bucket:04}-of-{buckets:04}.parquet"


def run_of_object_key(key: str) -> str:
    """Return the run of an object, by what `object_key` gave."""
    return key.split("/")[3].removeprefix("run=")


def plays_by_bucket(db: duckdb.DuckDBPyConnection, plays: Plays, buckets: int) -> Iterator[tuple[int, Plays]]:
    """Divide plays by the bucket of their user; buckets without plays are left out.

    Args:
        db: a connection.
        plays: in any order.
        buckets: into how many.
    """
    bucket_of_play = buckets_of(db, plays.users.values, buckets)[plays.users.codes]
    for bucket, rows in rows_by_bucket(bucket_of_play, buckets):
        if len(rows):
            yield bucket, plays.take(rows)


def plays_by_day(db: duckdb.DuckDBPyConnection, plays: Plays, tombstones: Tombstones) -> Iterator[PlaysOfDay]:
    """Sort plays, drop repeated ones and those of purged users, and divide them by day.

    Args:
        db: a connection.
        plays: of one bucket, from any files, in any order.
        tombstones: the purged users.

    Yields:
        Every day of which there are plays, ascending. A day whose plays are all of purged users has no rows: an earlier
        run of the same files may have claimed the day, and the day must be computed without the users.
    """
    users, tracks, files = plays.users.ranked(), plays.tracks.ranked(), plays.files.ranked()
    day, second = np.divmod(plays.seconds, SECONDS_PER_DAY)
    first_day = day.min() if len(day) else 0
    columns = distinct_rows(
        [day - first_day, *(column.astype(np.int64) for column in (users.codes, second, tracks.codes, files.codes))]
    )
    purged = is_purged(db, users.values, tombstones)
    days = columns[0]
    for number in np.unique(days):
        rows = slice(*np.searchsorted(days, [number, number + 1]))
        _, user, of_day, track, file = (column[rows] for column in columns)
        stays = ~purged[user]
        yield PlaysOfDay(
            iso_date(int(number + first_day)),
            Plays(
                users=Coded(user[stays].astype(np.int32), users.values).compact(),
                tracks=Coded(track[stays].astype(np.int32), tracks.values).compact(),
                seconds=(number + first_day) * SECONDS_PER_DAY + of_day[stays],
                files=Coded(file[stays].astype(np.int32), files.values).compact(),
            ),
        )


def iso_date(day: int) -> str:
    """Return the date, yyyy-mm-dd, of a day counted from 1970-01-01."""
    return (EPOCH + timedelta(days=day)).isoformat()


def day_number(day: str | date) -> int:
    """Return the days from 1970-01-01 to a date."""
    return ((date.fromisoformat(day) if isinstance(day, str) else day) - EPOCH).days


def plays_to_parquet(parts: Iterable[Plays]) -> tuple[int, memoryview]:
    """Return a Parquet file: user_id, track_id, file strings; listen_time timestamp in microseconds and UTC.

    Args:
        parts: the plays; read one by one. Each is a row group or several.

    Returns:
        How many plays there are, and the file.
    """
    rows = 0
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        NO_PLAYS.table().schema,
        use_dictionary=_TEXT,
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
        column_encoding={"listen_time": "DELTA_BINARY_PACKED"},
        store_schema=False,
    ) as writer:
        for plays in parts:
            writer.write_table(plays.table())
            rows += len(plays)
    return rows, memoryview(sink.getvalue())


def tables_from_parquet(body: bytes | bytearray | memoryview) -> Iterator[pa.Table]:
    """Read what `plays_to_parquet` wrote, as `Plays.of` takes it: one row group, a million rows at most, at a time."""
    with pq.ParquetFile(pa.BufferReader(body), read_dictionary=_TEXT) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, use_threads=False)
