"""Plays of one bucket, in memory, or in DuckDB where one user has so many that a task could not hold them.

Users are divided among buckets by a hash, so that a bucket has some PLAYS_PER_BUCKET plays. A user that stands for many
listeners, such as those who are not signed in, still has all its plays in one bucket.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from glue_scripts.coded import Coded
from glue_scripts.purged_users import is_purged
from glue_scripts.stored_plays import NO_PLAYS, PLAYS_PER_BUCKET, SECONDS_PER_DAY, Plays, PlaysOfDay, iso_date

if TYPE_CHECKING:
    from glue_scripts.ledger import Tombstones

MANY_PLAYS = 4 * PLAYS_PER_BUCKET
"""DuckDB holds more than these, and writes to the disk what exceeds its share of memory.

Sorting 4 million plays in memory takes 600 MB, sorting 30 million 4 GB.
"""
ROWS_AT_ONCE = 2**20
"""Rows that are read from DuckDB together."""

_IDS = ("users", "tracks", "files")
_DAYS = f"""
    SELECT DISTINCT listen_time // {SECONDS_PER_DAY} FROM {{table}} JOIN files_rank AS f ON f.code = file
"""
_SORTED = f"""
    SELECT DISTINCT u.rank AS users, t.rank AS tracks, f.rank AS files, listen_time,
        listen_time // {SECONDS_PER_DAY} AS day
    FROM {{table}}
    JOIN users_rank AS u ON u.code = user_id
    JOIN tracks_rank AS t ON t.code = track_id
    JOIN files_rank AS f ON f.code = file
    ORDER BY day, users, listen_time, tracks, files
"""


class SpilledPlays:
    """Plays in a table of DuckDB, with the columns of `Plays.numbers`.

    Args:
        db: a connection.
        table: the table's name; nothing else has it.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, table: str) -> None:
        self._db, self.table = db, table
        self._rows = 0
        self._values = dict.fromkeys(_IDS, pa.array([], pa.string()))
        db.execute(f"CREATE TABLE {table} (user_id INTEGER, track_id INTEGER, file INTEGER, listen_time BIGINT)")

    @property
    def users(self) -> Coded:
        """The user ids; without the codes of the plays, which DuckDB has."""
        return self._coded("users")

    @property
    def tracks(self) -> Coded:
        """The track ids, without codes."""
        return self._coded("tracks")

    @property
    def files(self) -> Coded:
        """The files' hashes, without codes."""
        return self._coded("files")

    def _coded(self, name: str) -> Coded:
        return Coded(np.zeros(0, np.int32), self._values[name])

    def __len__(self) -> int:
        return self._rows

    def add(self, plays: Plays) -> None:
        """Add plays."""
        self._rows += len(plays)
        codes = [self._codes(name, getattr(plays, name)) for name in _IDS]
        added = pa.table([*codes, pa.array(plays.seconds)], names=["user_id", "track_id", "file", "listen_time"])
        self._db.register("added", added)
        self._db.execute(f"INSERT INTO {self.table} FROM added")
        self._db.unregister("added")

    def _codes(self, name: str, ids: Coded) -> pa.Array:
        """The codes of ids in this table; those that are new get one."""
        is_new = pc.is_null(pc.index_in(ids.values, value_set=self._values[name]))
        self._values[name] = pa.concat_arrays([self._values[name], ids.values.filter(is_new)])
        return pc.index_in(ids.values, value_set=self._values[name]).take(pa.array(ids.codes))

    def by_day(self, files: Collection[str] | None, tombstones: Tombstones) -> Iterator[PlaysOfDay]:
        """What `stored_plays.plays_by_day` gives of some files, a day in parts of ROWS_AT_ONCE rows at most.

        Args:
            files: their hashes; None for all.
            tombstones: the purged users.
        """
        ids = {name: Coded(np.arange(len(values), dtype=np.int32), values) for name, values in self._values.items()}
        ranked = {name: of.ranked() for name, of in ids.items()}
        is_counted = {
            "users": ~is_purged(self._db, ids["users"].values, tombstones),
            "tracks": np.ones(len(ids["tracks"].codes), bool),
            "files": np.array([files is None or file in files for file in ids["files"].values.to_pylist()], bool),
        }
        for name, of in ranked.items():
            table = pa.table({"code": pa.array(ids[name].codes), "rank": pa.array(of.codes)})
            self._db.register(f"{name}_rank", table.filter(pa.array(is_counted[name])))
        left = {int(day) for (day,) in self._db.sql(_DAYS.format(table=self.table)).fetchall()}
        for plays in self._sorted(ranked):
            day = plays.seconds // SECONDS_PER_DAY
            for number in np.unique(day).tolist():
                left.discard(number)
                yield PlaysOfDay(iso_date(number), plays.take(np.flatnonzero(day == number)))
        for number in sorted(left):
            yield PlaysOfDay(iso_date(number), NO_PLAYS)
        for name in _IDS:
            self._db.unregister(f"{name}_rank")

    def _sorted(self, ranked: Mapping[str, Coded]) -> Iterator[Plays]:
        for batch in self._db.sql(_SORTED.format(table=self.table)).to_arrow_reader(ROWS_AT_ONCE):
            rows = {name: column.to_numpy() for name, column in zip(batch.schema.names, batch.columns, strict=True)}
            coded = {name: Coded(rows[name], of.values).compact() for name, of in ranked.items()}
            yield Plays(seconds=rows["listen_time"], **coded)


@contextmanager
def plays_table(db: duckdb.DuckDBPyConnection, name: str, plays: Plays | SpilledPlays) -> Iterator[None]:
    """Give SQL the table of `Plays.numbers`: user_id, track_id and file are codes, listen_time is in seconds."""
    if isinstance(plays, SpilledPlays):
        db.execute(f"CREATE TEMP VIEW {name} AS FROM {plays.table}")
        yield
        db.execute(f"DROP VIEW {name}")
    else:
        db.register(name, plays.numbers())
        yield
        db.unregister(name)


class Gathered:
    """Plays of some buckets, gathered table by table.

    Args:
        db: a connection, for the plays of a bucket that are too many.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._db = db
        self._tables: defaultdict[int, list[pa.Table]] = defaultdict(list)
        self._rows: Counter[int] = Counter()
        self._spilled: dict[int, SpilledPlays] = {}

    def add(self, key: int, plays: pa.Table) -> None:
        """Add plays of a bucket, as `Plays.of` takes them."""
        tables = self._tables[key]
        tables.append(plays)
        self._rows[key] += plays.num_rows
        if self._rows[key] > MANY_PLAYS:
            if key not in self._spilled:
                self._spilled[key] = SpilledPlays(self._db, f"plays_{key}")
            while tables:
                self._spilled[key].add(Plays.of([tables.pop()]))

    @property
    def buckets(self) -> list[int]:
        """The keys of the buckets that have plays and were not taken out, ascending."""
        return sorted(self._tables)

    @contextmanager
    def taken(self, key: int) -> Iterator[Plays | SpilledPlays]:
        """Take out the plays of a bucket, and forget them in the end."""
        tables, spilled = self._tables.pop(key, []), self._spilled.pop(key, None)
        yield spilled if spilled is not None else Plays.of(tables) if tables else NO_PLAYS
        if spilled is not None:
            self._db.execute(f"DROP TABLE {spilled.table}")
