"""The KPIs from stored plays: Arrow tables in, Arrow tables out. `kpi_sql` says what each table holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_scripts.kpi_sql import BUCKET_RESULTS, CATALOGUE, DAY_RESULTS, DISTINCT_PLAYS, HALF_UP, Query
from glue_scripts.many_plays import SpilledPlays, plays_table
from glue_scripts.packing import packed
from glue_scripts.purged_users import is_purged
from glue_scripts.stored_plays import NO_PLAYS, Plays

if TYPE_CHECKING:
    from glue_scripts.ledger import Tombstones

MAX_COUNTRIES = 300
"""Countries in a SUMMARY row: a DynamoDB item holds 400 KB."""

MAX_UNKNOWN_TRACKS = 1_000
"""Ids of unknown tracks that a day's row UNKNOWN_TRACKS lists: 200 KB at most, of the 400 KB of a DynamoDB item."""

MAX_JOINED_BYTES = 32 * 2**20

_PLAYS = """
    CREATE OR REPLACE TEMP VIEW plays AS
    SELECT user_id AS user_code, track_id AS track_code, make_timestamp(listen_time * 1000000) AS listen_time
    FROM numbers
"""


@dataclass(frozen=True)
class Catalogue:
    """The songs, as the queries of `kpi_sql.CATALOGUE` give them.

    Attributes:
        tracks: track, track_id, duration_ms, track_name, artists.
        genres: genre, genre_name.
        track_genres: track, genre.
    """

    tracks: pa.Table
    genres: pa.Table
    track_genres: pa.Table

    @classmethod
    def of_songs(cls, db: duckdb.DuckDBPyConnection, songs: pa.Table) -> Catalogue:
        """Resolve conflicting rows and number tracks and genres.

        Args:
            db: a connection.
            songs: valid rows: track_id, track_name, artists, track_genre strings, duration_ms int64.
        """
        db.register("songs", songs)
        for query in CATALOGUE:
            db.execute(f"CREATE OR REPLACE TABLE {query.table} AS {query.sql}")
        tables = {query.table: db.table(query.table).to_arrow_table() for query in CATALOGUE}
        db.unregister("songs")
        return cls(**tables)

    def register(self, db: duckdb.DuckDBPyConnection) -> None:
        """Make the tables `tracks`, `genres` and `track_genres`, once for all buckets that the connection counts."""
        for query in CATALOGUE:
            _replace(db, query.table, getattr(self, query.table))


def count_bucket(
    db: duckdb.DuckDBPyConnection, plays: Plays | SpilledPlays, users: pa.Table, tombstones: Tombstones
) -> dict[str, pa.Table]:
    """Count the plays of one bucket.

    Args:
        db: a connection with the catalogue's tables; that of the plays where they are spilled.
        plays: all plays, of any days, of the bucket's users.
        users: user_id and user_country of at least the bucket's users.
        tombstones: the purged users, read after the days were claimed.

    Returns:
        The tables of `kpi_sql.BUCKET_RESULTS` by name.

    Raises:
        duckdb.ConversionException: a sum exceeds 63 bits.
    """
    return _bucket_results(db, plays, users, is_purged(db, plays.users.values, tombstones))


def compute_days(
    db: duckdb.DuckDBPyConnection, results: Iterable[tuple[str, pa.Table]], *, top_songs: int
) -> dict[str, pa.Table]:
    """Add up the results of buckets, and rank.

    Args:
        db: a connection with the catalogue's tables; used for one computation.
        results: what `count_bucket` gave for all buckets of some days, name and table, in any order. DuckDB holds them
            and spills them; Python holds MAX_JOINED_BYTES of them.
        top_songs: how many tracks a genre's day ranks.

    Returns:
        The tables of `kpi_sql.DAY_RESULTS` by name.
    """
    # Without rows, for what no bucket has: plays of unknown tracks only give no genre.
    for name, table in _bucket_results(db, NO_PLAYS, no_users(), np.zeros(0, bool)).items():
        _replace(db, name, table)
    for name, table in _joined(results):
        db.register("result", table)
        db.execute(f"INSERT INTO {name} BY NAME FROM result")
        db.unregister("result")
    db.execute(HALF_UP)
    values = {"top_songs": top_songs, "max_countries": MAX_COUNTRIES, "max_unknown_tracks": MAX_UNKNOWN_TRACKS}
    return {query.table: _select(db, query, values) for query in DAY_RESULTS}


def insert_tables(db: duckdb.DuckDBPyConnection, name: str, tables: Iterable[pa.Table]) -> int:
    """Make a table of DuckDB, which spills it where rows are many; return how many rows it has.

    Args:
        db: a connection.
        name: of the table; it is not made where there are no tables.
        tables: with the same columns; read one by one.
    """
    rows = 0
    for number, some in enumerate(packed(tables, lambda table: table.nbytes, MAX_JOINED_BYTES)):
        given = pa.concat_tables(some)
        db.register("given", given)
        db.execute(f"INSERT INTO {name} BY NAME FROM given" if number else f"CREATE TABLE {name} AS FROM given")
        db.unregister("given")
        rows += given.num_rows
    return rows


def no_songs() -> pa.Table:
    """Return the rows of no songs file: every track is unknown."""
    text = pa.array([], pa.string())
    columns = dict.fromkeys(("track_id", "track_name", "artists", "track_genre"), text)
    return pa.table({**columns, "duration_ms": pa.array(np.zeros(0, np.int64))})


def no_users() -> pa.Table:
    """Return the rows of no users file: every user is unknown."""
    return pa.table(dict.fromkeys(("user_id", "user_country"), pa.array([], pa.string())))


def _bucket_results(
    db: duckdb.DuckDBPyConnection, plays: Plays | SpilledPlays, users: pa.Table, is_purged_user: npt.NDArray[np.bool_]
) -> dict[str, pa.Table]:
    """Run the queries of a bucket; `is_purged_user` has a value for each of the plays' user codes."""
    given = {
        "listeners": plays.users.values_table("user_code", "user_id").filter(pa.array(~is_purged_user)),
        "played_tracks": plays.tracks.values_table("track_code", "track_id"),
        "users": users,
    }
    for name, table in given.items():
        db.register(name, table)
    values = {"max_unknown_tracks": MAX_UNKNOWN_TRACKS}
    with plays_table(db, "numbers", plays):
        db.execute(_PLAYS)
        db.execute(f"CREATE OR REPLACE TABLE {DISTINCT_PLAYS.table} AS {DISTINCT_PLAYS.sql}")
        results = {query.table: _select(db, query, values) for query in BUCKET_RESULTS}
    for name in given:
        db.unregister(name)
    return results


def _joined(results: Iterable[tuple[str, pa.Table]]) -> Iterator[tuple[str, pa.Table]]:
    """Join tables of a name up to MAX_JOINED_BYTES together, because each INSERT costs as much as thousands of rows."""
    for some in packed(results, lambda result: result[1].nbytes, MAX_JOINED_BYTES):
        by_name: defaultdict[str, list[pa.Table]] = defaultdict(list)
        for name, table in some:
            by_name[name].append(table)
        yield from ((name, pa.concat_tables(tables)) for name, tables in by_name.items())


def _select(db: duckdb.DuckDBPyConnection, query: Query, values: Mapping[str, int]) -> pa.Table:
    """Run a query with those of the values that it names."""
    used = {name: value for name, value in values.items() if f"${name}" in query.sql}
    return db.sql(query.sql, params=used or None).to_arrow_table()


def _replace(db: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    db.register("given", table)
    db.execute(f"CREATE OR REPLACE TABLE {name} AS FROM given")
    db.unregister("given")
