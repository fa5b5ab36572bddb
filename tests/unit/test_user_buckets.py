"""The bucket of a user id is what the run's document promises, for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from glue_scripts.user_buckets import BUCKET_HASH, MAX_BUCKETS, BucketCountError, buckets_for, buckets_of
from tests.stored import share
from validators.closed_duckdb import closed_connection

IDS = ["1", "2", "user", "é", "e\u0301", "日本", "\U0001f3b5", " a", 'say "x"', "x" * 200, *map(str, range(100, 2000))]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closed_connection(share(tmp_path)) as connection:
        yield connection


@pytest.mark.parametrize("buckets", [1, 2, 16, MAX_BUCKETS])
def test_the_bucket_is_the_remainder_of_the_first_two_bytes_of_the_sha256(
    db: duckdb.DuckDBPyConnection, buckets: int
) -> None:
    expected = [int.from_bytes(hashlib.sha256(each.encode()).digest()[:2], "big") % buckets for each in IDS]
    assert buckets_of(db, pa.array(IDS), buckets).tolist() == expected


def test_known_ids_stay_in_their_buckets(db: duckdb.DuckDBPyConnection) -> None:
    """Stored runs depend on these numbers: if they change, BUCKET_HASH must change, too."""
    assert BUCKET_HASH == "sha256-2"
    assert buckets_of(db, pa.array(["1", "user", "é"]), MAX_BUCKETS).tolist() == [2950, 1272, 2713]


def test_a_bucket_of_four_holds_four_buckets_of_sixteen(db: duckdb.DuckDBPyConnection) -> None:
    ids = pa.array(IDS)
    assert (buckets_of(db, ids, 16) % 4).tolist() == buckets_of(db, ids, 4).tolist()


def test_users_are_spread_evenly(db: duckdb.DuckDBPyConnection) -> None:
    found = buckets_of(db, pa.array(map(str, range(64_000))), 64).tolist()
    assert all(900 < found.count(bucket) < 1100 for bucket in range(64))


def test_no_ids_have_no_buckets(db: duckdb.DuckDBPyConnection) -> None:
    assert buckets_of(db, pa.array([], pa.string()), 4).tolist() == []


@pytest.mark.parametrize("buckets", [0, -1, 3, 12, 2 * MAX_BUCKETS])
def test_another_number_than_a_power_of_two_is_refused(db: duckdb.DuckDBPyConnection, buckets: int) -> None:
    with pytest.raises(BucketCountError, match=f"^{buckets} buckets"):
        buckets_of(db, pa.array(IDS), buckets)


@pytest.mark.parametrize(
    ("rows", "buckets"), [(0, 1), (1, 1), (100, 1), (101, 2), (200, 2), (201, 4), (1600, 16), (10**12, MAX_BUCKETS)]
)
def test_as_many_buckets_as_rows_ask_for(rows: int, buckets: int) -> None:
    assert buckets_for(rows, 100) == buckets
