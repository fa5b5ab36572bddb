"""The lake's files without a person, as the KPI job reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.folder_objects import FolderObjects
from glue_scripts.stored_plays import Plays, plays_to_parquet
from glue_scripts.stored_snapshots import read_users
from operations.csv_rows import Cleaned
from operations.parquet_rows import count_rows, remove_rows
from tests.oracle import Play, User
from tests.stored import plays_of, share, store_users, table_from_parquet
from validators.closed_duckdb import closed_connection

PLAYS = [
    Play("u-1", "t", datetime(2024, 6, 25, 23, 59, 59, tzinfo=UTC)),
    Play("u-2", "t", datetime(2024, 6, 25, 0, 0, 0, tzinfo=UTC)),
    Play("u-10", "t é", datetime(2024, 6, 25, 12, 30, 15, tzinfo=UTC)),
]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closed_connection(share(tmp_path)) as connection:
        yield connection


def test_the_other_plays_are_read_back_to_the_second_and_beside_files_that_were_not_cleaned() -> None:
    before = bytes(plays_to_parquet([plays_of(PLAYS)])[1])
    after = BytesIO()

    assert count_rows(BytesIO(before), "u-1") == 1
    assert remove_rows(BytesIO(before), after, "u-1") == Cleaned(removed=1, left=2)

    left = table_from_parquet(after.getvalue())
    assert Plays.of([left]).table().to_pylist() == plays_of(PLAYS[1:]).table().to_pylist()
    both = Plays.of([table_from_parquet(before), left])
    assert both.table().to_pylist() == plays_of([*PLAYS, *PLAYS[1:]]).table().to_pylist()


def test_a_file_of_one_person_is_read_as_no_plays() -> None:
    after = BytesIO()
    assert remove_rows(BytesIO(plays_to_parquet([plays_of(PLAYS[:1])])[1]), after, "u-1") == Cleaned(removed=1, left=0)
    assert len(Plays.of([table_from_parquet(after.getvalue())])) == 0


def test_the_other_users_of_a_snapshot_keep_their_countries(db: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    users = [User("u-1", "Chad"), User("u-2", "Peru"), User("u-3", None)]
    snapshot = store_users(db, objects, "users/", users)
    part, cleaned = tmp_path / snapshot.key(0), BytesIO()

    with part.open("rb") as source:
        assert remove_rows(source, cleaned, "u-1") == Cleaned(removed=1, left=2)
    part.write_bytes(cleaned.getvalue())

    found = read_users(db, objects, snapshot, pa.array(["u-1", "u-2", "u-3"]))
    assert sorted((row["user_id"], row["user_country"]) for row in found.to_pylist()) == [
        ("u-2", "Peru"),
        ("u-3", None),
    ]


def test_rows_without_a_user_stay() -> None:
    file, cleaned = BytesIO(), BytesIO()
    pq.write_table(pa.table({"user_id": ["u-1", "u-2", None], "user_country": [None, "Peru", "Chad"]}), file)

    assert remove_rows(file, cleaned, "u-1") == Cleaned(removed=1, left=2)

    rows = pq.read_table(cleaned).to_pylist()
    assert [tuple(row.values()) for row in rows] == [("u-2", "Peru"), (None, "Chad")]


def test_a_file_without_users_is_not_counted() -> None:
    file = BytesIO()
    pq.write_table(pa.table({"track_id": ["u-1"]}), file)

    assert count_rows(file, "u-1") == 0
