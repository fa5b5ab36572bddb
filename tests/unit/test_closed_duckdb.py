"""SQL on a closed connection reaches only the tables it is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from validators.closed_duckdb import Share, closed_connection


@pytest.fixture
def temp_folder(tmp_path: Path) -> Path:
    return tmp_path / "spill"


@pytest.fixture
def db(temp_folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closed_connection(Share(memory_mb=50, temp_folder=temp_folder)) as connection:
        yield connection


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/hostname'",
        "COPY (SELECT 1) TO '{folder}/stolen.csv'",
        "ATTACH '{folder}/other.db'",
        "EXPORT DATABASE '{folder}/export'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM 's3://bucket/key.parquet'",
        "SET threads = 4",
        "SET memory_limit = '1TB'",
        "SET enable_external_access = true",
        "RESET memory_limit",
        "SELECT * FROM table_of_python",
    ],
)
def test_what_would_leave_the_connection_is_refused(db: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str) -> None:
    table_of_python = pa.table({"a": [1]})
    assert table_of_python.num_rows == 1
    with pytest.raises(duckdb.Error):
        db.execute(sql.format(folder=tmp_path)).fetchall()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_registered_tables_and_bound_values_are_what_it_sees(db: duckdb.DuckDBPyConnection) -> None:
    db.register("ids", pa.table({"id": ["a", "it's", "b"]}))
    assert db.execute("SELECT count(*) FROM ids WHERE id = ?", ["it's"]).fetchall() == [(1,)]


def test_what_exceeds_the_memory_goes_to_the_temporary_folder_and_is_deleted(temp_folder: Path) -> None:
    share = Share(memory_mb=50, temp_folder=temp_folder)
    texts = "CREATE TABLE texts AS SELECT 'a text of more than twelve bytes ' || range AS text FROM range(2000000)"
    with closed_connection(share) as first:
        first.execute(texts)
        with closed_connection(share) as second:
            second.execute(texts)
        assert sum(path.stat().st_size for path in temp_folder.rglob("*")) > 10_000_000
        # The second connection has left the files of the first one alone.
        assert first.execute("SELECT count(DISTINCT text) FROM texts").fetchall() == [(2_000_000,)]
    assert list(temp_folder.iterdir()) == []


def test_text_is_ordered_by_its_utf8_bytes(db: duckdb.DuckDBPyConnection) -> None:
    texts = ["a", "B", "b", "Z", "10", "9", "é", "e\u0301", "ß", "日本", "\uff5e", "\U0001f3b5", "a\x00b", "a\x01"]
    db.register("texts", pa.table({"text": texts}))
    rows = db.execute("SELECT text FROM texts ORDER BY text").fetchall()
    assert [text for (text,) in rows] == sorted(texts, key=str.encode)
