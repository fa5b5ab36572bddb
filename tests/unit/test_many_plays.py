"""Plays that are too many for memory are stored, counted and asked about as few are."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.folder_objects import FolderObjects
from glue_scripts import many_plays
from glue_scripts.coded import Coded
from glue_scripts.ledger import Tombstones, salted_hash
from glue_scripts.many_plays import Gathered, SpilledPlays, plays_table
from glue_scripts.stored_plays import NO_PLAYS, Plays
from tests import oracle
from tests.oracle import Play, Song, User, by_key
from tests.stored import Account, plays_of, share, table_from_parquet
from validators.closed_duckdb import closed_connection

START = datetime(2024, 6, 25, 22, tzinfo=UTC)
SONGS = [Song(f"t{number}", None, "A", f"genre {number % 2}", 1000 + number) for number in range(3)]
USERS = [User("nobody", "FR"), User("é", None)]
PURGED = Tombstones("salt", frozenset({salted_hash("salt", "gone")}))


def plays(seed: int, count: int = 300) -> list[Play]:
    """Mostly of one user, on both sides of a midnight; many are repeated."""
    rng = random.Random(seed)
    users = ["nobody"] * 20 + ["é", "\uff5e", "\U0001f3b5", "gone"]
    return [
        Play(rng.choice(users), f"t{rng.randrange(5)}", START + timedelta(seconds=rng.randrange(9_000)))
        for _ in range(count)
    ] + [Play("gone", "t1", START + timedelta(days=3))]


@pytest.fixture(params=["in memory", "spilled", "spilled, few rows at once"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the plays of a bucket are held."""
    if request.param != "in memory":
        monkeypatch.setattr(many_plays, "MANY_PLAYS", 2)
    if request.param == "spilled, few rows at once":
        monkeypatch.setattr(many_plays, "ROWS_AT_ONCE", 7)
    return str(request.param)


def rows_of(folder: Path) -> dict[str, Any]:
    """By object of the lake, its rows in their order."""
    return {
        path.relative_to(folder).as_posix(): table_from_parquet(path.read_bytes()).to_pylist()
        for path in (folder / "curated").rglob("*.parquet")
    }


def test_objects_have_the_same_rows_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [plays_of(plays(number), f"file-{number}") for number in range(3)]

    def stored(name: str) -> tuple[Any, dict[str, Any]]:
        account = Account(objects=FolderObjects(tmp_path / name))
        days = account.store(files, run="r", buckets=4, tombstones=PURGED)
        return [(day.date, day.buckets, [each.rows for each in day.objects]) for day in days], rows_of(tmp_path / name)

    few = stored("few")
    monkeypatch.setattr(many_plays, "MANY_PLAYS", 2)
    monkeypatch.setattr(many_plays, "ROWS_AT_ONCE", 7)
    assert stored("many") == few
    assert few[0][-1] == ("2024-06-28", 4, []), "a day of a purged user alone"


@pytest.mark.usefixtures("held")
def test_days_are_what_the_oracle_computes(tmp_path: Path) -> None:
    account = Account(objects=FolderObjects(tmp_path))
    given = [plays(1), plays(2)]
    runs = [
        account.store([plays_of(some)], run=f"r{buckets}", buckets=buckets)
        for some, buckets in zip(given, (1, 4), strict=True)
    ]
    found = account.kpi_items(runs, SONGS, USERS, top_songs=2, top_genres=2, tombstones=PURGED)
    left = [play for some in given for play in some if play.user_id != "gone"]
    assert by_key(found) == by_key(oracle.kpi_items(left, SONGS, USERS, top_songs=2, top_genres=2))


def test_plays_of_files_that_are_not_stored_leave_no_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_plays, "MANY_PLAYS", 2)
    with closed_connection(share(tmp_path)) as db:
        gathered = Gathered(db)
        for name, day in (("a", 0), ("b", 1)):
            of_file = [Play("nobody", "t1", START + timedelta(days=day, seconds=number)) for number in range(9)]
            gathered.add(0, plays_of(of_file, name).table())
        with gathered.taken(0) as of_bucket:
            assert isinstance(of_bucket, SpilledPlays)
            assert {part.date for part in of_bucket.by_day({"a"}, PURGED)} == {"2024-06-25"}


def test_the_same_repeated_rows_are_found(tmp_path: Path, held: str) -> None:
    given = [plays_of(plays(number), f"file-{number}") for number in range(3)]
    with closed_connection(share(tmp_path)) as db:
        gathered = Gathered(db)
        for of_file in given:
            gathered.add(7, of_file.table())
        assert gathered.buckets == [7]
        with gathered.taken(7) as of_bucket:
            assert isinstance(of_bucket, SpilledPlays) == (held != "in memory")
            assert len(of_bucket) == sum(map(len, given))
            with plays_table(db, "valid", of_bucket):
                rows = db.sql("SELECT user_id, track_id, file, listen_time FROM valid").fetchall()
            ids = [of.values.to_pylist() for of in (of_bucket.users, of_bucket.tracks, of_bucket.files)]
            named = {(ids[0][user], ids[1][track], ids[2][file], second) for user, track, file, second in rows}
        assert db.sql("SHOW TABLES").fetchall() == []
    assert len(rows) == sum(map(len, given))
    assert named == {
        (play.user_id, play.track_id, f"file-{number}", int(play.listen_time.timestamp()))
        for number in range(3)
        for play in plays(number)
    }


def test_a_bucket_without_plays_has_none(tmp_path: Path) -> None:
    with closed_connection(share(tmp_path)) as db, Gathered(db).taken(3) as of_bucket:
        assert of_bucket is NO_PLAYS


def test_a_user_with_millions_of_plays_does_not_exceed_the_memory_of_a_task(tmp_path: Path) -> None:
    """DuckDB's share is smaller than the plays: it writes them to the disk."""
    count, at_once = 6_000_000, 500_000
    ids = [f"track-{number:020}" for number in range(1000)]
    account = Account(objects=FolderObjects(tmp_path), memory_mb=100)
    with closed_connection(account.share) as db:
        gathered = Gathered(db)
        for start in range(0, count, at_once):
            numbers = np.arange(start, start + at_once)
            nobody = Coded(np.zeros(at_once, np.int32), pa.array(["nobody"]))
            some = Plays(
                users=nobody,
                tracks=Coded((numbers % 1000).astype(np.int32), pa.array(ids)),
                seconds=int(START.timestamp()) + numbers // 1000,
                files=Coded(np.zeros(at_once, np.int32), pa.array(["f"])),
            )
            gathered.add(0, some.table())
        with gathered.taken(0) as of_bucket:
            assert isinstance(of_bucket, SpilledPlays)
            assert sum(len(part.plays) for part in of_bucket.by_day({"f"}, PURGED)) == count
