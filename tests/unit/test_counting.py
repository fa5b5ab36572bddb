"""Which task counts what: no object is read twice, and no task holds more plays than a bucket has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from benchmarks.flat_rows import flat
from benchmarks.folder_objects import FolderObjects
from glue_scripts.blobs import MAX_BLOB_BYTES, Blob
from glue_scripts.count_plays import Catalogue, compute_days, count_bucket, no_users
from glue_scripts.counting import Counting, Plan, count_days, plan
from glue_scripts.kpi_items import kpis_by_day
from glue_scripts.ledger import NO_TOMBSTONES
from glue_scripts.spread import Blobs, Here, Workers
from glue_scripts.stored_plays import StoredPlays
from glue_scripts.stored_snapshots import UsersSnapshot, read_users, read_users_snapshot, write_songs
from glue_scripts.storing import divided
from glue_scripts.user_buckets import buckets_of
from tests import oracle
from tests.oracle import Play, Song, User
from tests.stored import Account, plays_of, share, songs_table, store_users
from validators.closed_duckdb import closed_connection

DAY = datetime(2024, 6, 25, tzinfo=UTC)
LONGEST = 2**31 - 1


@pytest.fixture
def db(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closed_connection(share(tmp_path)) as connection:
        yield connection


_numbers = count()


def of_run(date: str, buckets: int, rows: int) -> list[StoredPlays]:
    """The objects of a run of a day, all with this number of rows."""
    run = next(_numbers)
    return [StoredPlays(date, bucket, buckets, f"{date}/{run}/{bucket}", rows, 0) for bucket in range(buckets)]


def check(planned: Plan, objects: Sequence[StoredPlays]) -> None:
    """Every object is named once, by a unit of its own bucket or by a division into more buckets than it has."""
    by_key = {stored.key: stored for stored in objects}
    assert [unit.key for unit in planned.units] == list(range(len(planned.units)))
    named = [key for unit in planned.units for key in unit.objects]
    for unit in planned.units:
        assert len({(by_key[key].bucket, by_key[key].buckets) for key in unit.objects}) <= 1
    for division in planned.divisions:
        named += division.objects
        targets = planned.units[division.first_unit : division.first_unit + division.buckets]
        assert len(targets) == division.buckets
        for bucket, unit in enumerate(targets):
            assert {(by_key[key].bucket, by_key[key].buckets) for key in unit.objects} <= {(bucket, division.buckets)}
        assert all(by_key[key].buckets < division.buckets for key in division.objects)
    assert Counter(named) == Counter(list(by_key))


def test_small_days_are_counted_together() -> None:
    objects = [stored for day in range(1, 31) for stored in of_run(f"2024-06-{day:02}", 1, 10)]
    planned = plan(objects, plays_per_task=100)
    check(planned, objects)
    assert [len(unit.objects) for unit in planned.units] == [10, 10, 10]
    assert planned.divisions == []


def test_a_day_has_as_many_buckets_as_its_finest_run_and_coarser_runs_are_divided() -> None:
    objects = [*of_run("2024-06-25", 4, 10), *of_run("2024-06-25", 16, 5), *of_run("2024-06-25", 1, 30)]
    planned = plan(objects, plays_per_task=100)
    check(planned, objects)
    assert len(planned.units) == 16
    assert sum(len(division.objects) for division in planned.divisions) == 5


def test_many_small_runs_of_a_day_get_as_many_buckets_as_their_rows_ask_for() -> None:
    objects = [stored for _ in range(100) for stored in of_run("2024-06-25", 1, 10)]
    planned = plan(objects, plays_per_task=100)
    check(planned, objects)
    assert [list(unit.objects) for unit in planned.units] == [[]] * 16
    assert [len(division.objects) for division in planned.divisions] == [10] * 10


def test_days_of_different_numbers_of_buckets_stay_apart() -> None:
    objects = [*of_run("2024-06-25", 4, 10), *of_run("2024-06-26", 1, 10), *of_run("2024-06-27", 4, 10)]
    planned = plan(objects, plays_per_task=100)
    check(planned, objects)
    assert [len(unit.objects) for unit in planned.units] == [2, 2, 2, 2, 1]
    assert planned.divisions == []


def test_nothing_to_count_is_no_unit() -> None:
    assert plan([]) == Plan([], [])


@dataclass(frozen=True)
class CountingObjects(FolderObjects):
    """Counts the reads of each key."""

    reads: Counter[str] = field(default_factory=Counter, hash=False, compare=False)

    def read(self, key: str) -> bytearray:
        self.reads[key] += 1
        return super().read(key)


def test_each_object_is_read_once_also_where_it_is_divided(tmp_path: Path) -> None:
    objects = CountingObjects(tmp_path)
    account = Account(objects=objects)
    plays = [Play(str(number % 50), str(number % 7), DAY + timedelta(seconds=number)) for number in range(500)]
    runs = [account.store([plays_of(plays)], run=f"r{buckets}", buckets=buckets) for buckets in (1, 4, 16)]
    items = account.kpi_items(runs, [], [], top_songs=3, top_genres=5)
    assert items[0]["listens"] == 500
    of_plays = {key: reads for key, reads in objects.reads.items() if key.startswith("curated/plays/")}
    assert len(of_plays) > 20
    assert set(of_plays.values()) == {1}


def test_only_the_buckets_of_the_listeners_are_read(tmp_path: Path, db: duckdb.DuckDBPyConnection) -> None:
    objects = CountingObjects(tmp_path)
    ids = pa.array([f"user {number}" for number in range(100_000)])
    store_users(db, objects, "users/", [User(user_id, "NO") for user_id in ids.to_pylist()])
    snapshot = read_users_snapshot(objects, "users/")
    assert snapshot == UsersSnapshot("users/", 4, 100_000)
    bucket_of = buckets_of(db, ids, 16)
    for wanted, expected in ((range(16), 4), (range(5, 6), 1), (range(1, 14, 12), 1), (range(1, 3), 2), (range(0), 0)):
        listeners = ids.filter(pa.array(np.isin(bucket_of, wanted)))
        objects.reads.clear()
        found = read_users(db, objects, snapshot, listeners)["user_id"].to_pylist()
        assert set(found) >= set(listeners.to_pylist())
        assert len(objects.reads) == sum(objects.reads.values()) == expected


def test_listeners_whom_the_users_file_does_not_know_are_not_found(
    tmp_path: Path, db: duckdb.DuckDBPyConnection
) -> None:
    snapshot = store_users(db, FolderObjects(tmp_path), "users/", [User("a", "NO")])
    found = read_users(db, FolderObjects(tmp_path), snapshot, pa.array(["b"]))
    assert "b" not in found["user_id"].to_pylist()


@pytest.mark.parametrize("parts", [1, 3, 200])
def test_the_parts_of_a_plan_have_every_unit_once(tmp_path: Path, parts: int) -> None:
    account = Account(objects=FolderObjects(tmp_path))
    plays = [Play(str(number % 50), "t", DAY + timedelta(seconds=number)) for number in range(500)]
    (day,) = account.store([plays_of(plays)], run="r", buckets=64)
    given: list[list[Blob]] = []

    def start(of_parts: Sequence[Sequence[Blob]]) -> Blobs:
        given.extend(list(part) for part in of_parts)
        return Here(of_parts)

    counting = Counting(account.objects, None, None, NO_TOMBSTONES, frozenset(), account.share, top_songs=3)
    (kpis,) = kpis_by_day(count_days(day.objects, counting, Workers(start, parts)), top_genres=5).values()
    assert (kpis.summary["unknown_track_plays"], kpis.genres) == (500, [])
    assert len(given) == min(max(parts, 64 // 8), 64)
    assert sorted(blob.key for part in given for blob in part) == list(range(64))


def test_blobs_of_divided_plays_are_bounded(db: duckdb.DuckDBPyConnection) -> None:
    plays = plays_of([Play(f"{number:0200}", f"{number:0200}", DAY) for number in range(60_000)])
    sizes = [len(blob.payload) for blob in divided(db, plays, 1)]
    assert len(sizes) > 1
    assert max(sizes) <= MAX_BLOB_BYTES


# Sums


def catalogue_of(db: duckdb.DuckDBPyConnection, songs: Sequence[Song]) -> None:
    Catalogue.of_songs(db, songs_table(songs)).register(db)


def test_the_longest_durations_add_up_exactly(db: duckdb.DuckDBPyConnection) -> None:
    songs = [Song("t", None, None, "g", LONGEST)]
    plays = [Play(str(number % 3), "t", DAY + timedelta(seconds=number)) for number in range(20_000)]
    catalogue_of(db, songs)
    results = count_bucket(db, plays_of(plays), no_users(), NO_TOMBSTONES)
    items = flat(kpis_by_day(compute_days(db, results.items(), top_songs=3), top_genres=5))
    expected = oracle.kpi_items(plays, songs, [], top_songs=3, top_genres=5)
    assert sorted(items, key=lambda item: item["sk"]) == sorted(expected, key=lambda item: item["sk"])


def test_what_buckets_give_adds_up_beyond_64_bits(db: duckdb.DuckDBPyConnection) -> None:
    """Averages multiply by 200: 128 bits hold that, too."""
    catalogue_of(db, [Song("t", None, None, "g", LONGEST)])
    results = count_bucket(db, plays_of([Play("u", "t", DAY)]), no_users(), NO_TOMBSTONES)

    def greatest(table: pa.Table) -> pa.Table:
        names = [name for name in ("listens", "unique_listeners", "listening_time_ms") if name in table.column_names]
        for name in names:
            table = table.set_column(table.column_names.index(name), name, pa.array([2**63 - 1]))
        return table

    many = [(name, greatest(table)) for name, table in results.items()] * 3
    items = flat(kpis_by_day(compute_days(db, many, top_songs=3), top_genres=5))
    total = 3 * (2**63 - 1)
    assert {item["sk"]: item["listening_time_ms"] for item in items} == {
        "SUMMARY": total, "GENRE#g": total, "HOUR#00#GENRE#g": total
    }  # fmt: skip
    assert {item["listens"] for item in items} == {total}
    assert items[1]["avg_listening_time_ms_per_user"] == oracle.ratio(total, total)


def test_a_sum_that_does_not_fit_is_an_error_and_no_wrong_number(db: duckdb.DuckDBPyConnection) -> None:
    catalogue_of(db, [Song("t", None, None, "g", 2**62)])
    plays = plays_of([Play("u", "t", DAY + timedelta(seconds=number)) for number in range(2)])
    with pytest.raises(duckdb.ConversionException, match="out of range"):
        count_bucket(db, plays, no_users(), NO_TOMBSTONES)


# Snapshots


def test_a_songs_snapshot_resolves_conflicts_and_numbers_tracks_by_their_bytes(
    tmp_path: Path, db: duckdb.DuckDBPyConnection
) -> None:
    songs = [
        Song("b", "z", None, "pop", 5),
        Song("b", None, "x", "pop", 5),
        Song("b", None, None, "rock", 6),
        Song("\U0001f3b5", "n", "a", "rock", 1),
        Song("\uff5e", "n", "a", "Pop", 1),
    ]
    catalogue = write_songs(db, FolderObjects(tmp_path), "songs/", songs_table(songs))
    assert catalogue.tracks.to_pylist() == [
        {"track": 0, "track_id": "b", "duration_ms": 5, "track_name": None, "artists": "x"},
        {"track": 1, "track_id": "\uff5e", "duration_ms": 1, "track_name": "n", "artists": "a"},
        {"track": 2, "track_id": "\U0001f3b5", "duration_ms": 1, "track_name": "n", "artists": "a"},
    ]
    assert catalogue.genres.to_pylist() == [
        {"genre": 0, "genre_name": "Pop"}, {"genre": 1, "genre_name": "pop"}, {"genre": 2, "genre_name": "rock"}
    ]  # fmt: skip
    assert [tuple(row.values()) for row in catalogue.track_genres.to_pylist()] == [(0, 1), (0, 2), (1, 0), (2, 2)]


def test_a_users_snapshot_has_the_least_country_of_each_user(tmp_path: Path, db: duckdb.DuckDBPyConnection) -> None:
    users = [User("a", "SE"), User("a", None), User("a", "NO"), User("b", None), User("c", "é")]
    snapshot = store_users(db, FolderObjects(tmp_path), "users/", users)
    found = read_users(db, FolderObjects(tmp_path), snapshot, pa.array(["a"]))
    assert {row["user_id"]: row["user_country"] for row in found.to_pylist()} == {"a": "NO", "b": None, "c": "é"}
