"""A DuckDB that sees only the tables it is given: rules and KPIs are SQL that it runs on Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

_CLOSED = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    # Without these two, a name in the SQL that is no table is looked up among Python's variables.
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
    "enable_external_access": "false",
}


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one connection may use of the machine.

    Attributes:
        memory_mb: DuckDB's tables and buffers in memory, in MB (10**6 bytes). Beyond it, DuckDB writes to temp_folder.
        temp_folder: where DuckDB writes what exceeds memory_mb, each connection in a folder of its own that is deleted
            on close. Created where it is missing.
    """

    memory_mb: int
    temp_folder: Path


@contextmanager
def closed_connection(share: Share) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty in-memory database that is closed on exit.

    SQL on this connection cannot read or write files, load extensions, see Python variables or change settings.
    Register Arrow tables under the names that the SQL uses, and pass values as parameters.

    The connection has one thread: Spark already runs one task on each core. Text is compared and ordered by its UTF-8
    bytes, which is DuckDB's default. Rows come in no particular order unless the SQL has an ORDER BY.

    Args:
        share: the memory and the temporary folder of this connection.

    Raises:
        duckdb.InvalidInputException: a setting is unknown to this version of DuckDB.
    """
    share.temp_folder.mkdir(parents=True, exist_ok=True)
    with (
        # A connection that closes deletes the files of others in the same folder.
        TemporaryDirectory(prefix="duckdb-", dir=share.temp_folder) as own_folder,
        duckdb.connect(":memory:") as connection,
    ):
        connection.execute("SET threads = 1")
        connection.execute("SET memory_limit = ?", [f"{share.memory_mb}MB"])
        connection.execute("SET temp_directory = ?", [own_folder])
        for name, value in _CLOSED.items():
            connection.execute(f"SET {name} = {value}")
        connection.execute("SET lock_configuration = true")
        yield connection
