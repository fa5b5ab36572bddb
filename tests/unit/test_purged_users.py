"""Purged users are told by their hashes, and nobody else is taken for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from glue_scripts.ledger import NO_TOMBSTONES, Tombstones, salted_hash
from glue_scripts.purged_users import is_purged
from tests.stored import share
from validators.closed_duckdb import closed_connection

IDS = ["ann", "björn", "Björn", "ann ", "日本", "bjo\u0308rn"]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closed_connection(share(tmp_path)) as connection:
        yield connection


def purged(db: duckdb.DuckDBPyConnection, tombstones: Tombstones) -> list[str]:
    """Which of the users are purged."""
    found = is_purged(db, pa.array(IDS), tombstones)
    return [user_id for user_id, is_one in zip(IDS, found, strict=True) if is_one]


def test_without_tombstones_nobody_is_purged(db: duckdb.DuckDBPyConnection) -> None:
    assert purged(db, NO_TOMBSTONES) == []


def test_purged_users_are_told_and_no_others(db: duckdb.DuckDBPyConnection) -> None:
    names = ("björn", "日本", "nobody")
    tombstones = Tombstones("salt", frozenset(salted_hash("salt", user_id) for user_id in names))
    assert purged(db, tombstones) == ["björn", "日本"]
    assert purged(db, Tombstones("another salt", tombstones.hashes)) == []
    assert not len(is_purged(db, pa.array([], pa.string()), tombstones))
