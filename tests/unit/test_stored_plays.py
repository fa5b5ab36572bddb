"""Stored plays: one object for each day and bucket, sorted, distinct per play and file; and the documents of a run."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.folder_objects import FolderObjects
from glue_scripts import coded
from glue_scripts.ledger import NO_TOMBSTONES, Tombstones, salted_hash
from glue_scripts.objects import DocumentError
from glue_scripts.stored_plays import Plays, RunOfDay, StoredPlays, document_key, plays_to_parquet
from glue_scripts.user_buckets import BucketCountError
from tests.oracle import Play
from tests.stored import Account, plays_of, table_from_parquet

Row = tuple[str, datetime, str, str]

START = datetime(2000, 1, 1, tzinfo=UTC)
EMPTY = RunOfDay("r", "2000-01-01", 4, [], None)


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(objects=FolderObjects(tmp_path))


def random_plays(seed: int, count: int) -> list[Play]:
    rng = random.Random(seed)
    users = [*"aBb10é", "e\u0301", "\uff5e", "\U0001f3b5", *map(str, range(40))]
    plays = [
        Play(rng.choice(users), rng.choice(users), START + timedelta(seconds=rng.randrange(3 * 86_400)))
        for _ in range(count)
    ]
    return [*plays, *rng.choices(plays, k=count // 3)]


def stored_rows(account: Account, stored: StoredPlays) -> list[Row]:
    table = pq.read_table(account.objects.folder / stored.key, partitioning=None)
    assert [str(column.type) for column in table.columns] == ["string", "string", "timestamp[us, tz=UTC]", "string"]
    rows = table.select(["user_id", "listen_time", "track_id", "file"]).to_pylist()
    assert table.num_rows == stored.rows
    return [tuple(row.values()) for row in rows]


def by_bytes(row: Row) -> tuple[bytes, datetime, bytes, bytes]:
    return row[0].encode(), row[1], row[2].encode(), row[3].encode()


@pytest.mark.parametrize("buckets", [1, 4])
def test_an_object_for_each_day_and_bucket_sorted_and_distinct_per_play_and_file(
    account: Account, buckets: int
) -> None:
    files = {f"file-{number}": random_plays(number, 300) for number in range(3)}
    files["file-9"] = files["file-0"][:50]
    stored = account.store([plays_of(plays, file) for file, plays in files.items()], run="r", buckets=buckets)
    expected = {
        (play.user_id, play.listen_time, play.track_id, file) for file, plays in files.items() for play in plays
    }
    found: list[Row] = []
    for day in stored:
        assert len({each.bucket for each in day.objects}) == len(day.objects)
        for each in day.objects:
            name = f"part-{each.bucket:04}-of-{buckets:04}.parquet"
            assert each.key == f"curated/plays/listen_date={day.date}/run=r/{name}"
            rows = stored_rows(account, each)
            assert rows == sorted(rows, key=by_bytes)
            assert {row[1].date().isoformat() for row in rows} == {day.date}
            found += rows
    assert len(found) == len(expected)
    assert set(found) == expected


def test_rows_that_do_not_fit_into_63_bits_are_stored_the_same(account: Account) -> None:
    """Days of 26 years are 14 bits, seconds of a day 17, 100,000 users and tracks 17 each, three files 2: 67 bits."""
    rng = random.Random(1)
    days = [0, 26 * 365, *(rng.randrange(26 * 365) for _ in range(8))]
    plays = [
        Play(
            f"user {rng.randrange(10**5)}",
            f"track {number}",
            START + timedelta(rng.choice(days), rng.randrange(86_400)),
        )
        for number in range(100_000)
    ]
    files = [plays_of([*plays, *plays[:1000]], f"file-{number}") for number in range(3)]
    stored = account.store(files, run="r", buckets=1)
    assert sum(each.rows for day in stored for each in day.objects) == 300_000
    (last,) = stored[-1].objects
    rows = stored_rows(account, last)
    assert rows == sorted(rows, key=by_bytes)


def test_a_month_of_a_bucket_is_sorted_by_one_key(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days count from the first one: five bits, where days since 1970 have fifteen."""
    monkeypatch.delattr(coded, "_by_several_keys")
    plays = [
        Play(f"user {number}", f"track {number}", START + timedelta(days=9000 + number % 31)) for number in range(2**17)
    ]
    files = [plays_of(plays, f"file-{number}") for number in range(2)]
    days = account.store(files, run="r", buckets=1)
    assert sum(each.rows for day in days for each in day.objects) == 2**18


def test_a_repeated_task_writes_equal_objects_whatever_came_first(tmp_path: Path) -> None:
    files = [plays_of(random_plays(number, 200), f"file-{number}") for number in range(3)]

    def stored(name: str, given: list[Plays]) -> tuple[object, dict[str, bytes]]:
        account = Account(objects=FolderObjects(tmp_path / name))
        days = account.store(given, run="r", buckets=4)
        folder = tmp_path / name / "curated"
        return days, {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}

    assert stored("one", files) == stored("other", [*reversed(files), files[0]])


def test_purged_users_are_not_stored_and_a_day_of_theirs_alone_stays_in_the_run(account: Account) -> None:
    tombstones = Tombstones("salt", frozenset({salted_hash("salt", "gone")}))
    tomorrow = START + timedelta(days=1)
    plays = [Play("gone", "t", START), Play("gone", "t", tomorrow), Play("stays", "t", tomorrow)]
    stored = account.store([plays_of(plays, "f")], run="r", buckets=4, tombstones=tombstones)
    today, after = stored
    assert (today.date, after.date) == ("2000-01-01", "2000-01-02")
    assert today.objects == []
    (of_tomorrow,) = after.objects
    assert stored_rows(account, of_tomorrow) == [("stays", tomorrow, "t", "f")]
    assert b"gone" not in b"".join(path.read_bytes() for path in account.objects.folder.rglob("*.parquet"))


def test_plays_come_back_from_parquet_with_each_id_once() -> None:
    plays = plays_of(random_plays(3, 500), "f")
    again = Plays.of([table_from_parquet(plays_to_parquet([plays])[1])])
    assert again.table().to_pylist() == plays.table().to_pylist()
    assert len(set(again.users.values.to_pylist())) == len(again.users.values)


def test_many_ids_stay_a_dictionary_in_the_file() -> None:
    """Arrow gives a dictionary up at 1 MB: the rest of the column is then plain text, and as slow to read."""
    ids = [f"track of some forty characters {number:09}" for number in range(60_000)]
    _, body = plays_to_parquet([plays_of([Play("u", track_id, START) for track_id in ids * 4])])
    column = pq.ParquetFile(pa.BufferReader(body)).metadata.row_group(0).column(1)
    assert column.path_in_schema == "track_id"
    assert column.total_uncompressed_size < 60_000 * 60


def test_the_document_of_a_day_names_hash_buckets_objects_and_rows(account: Account) -> None:
    plays = [Play("1", "t", START), Play("user", "t", START), Play("1", "t", START + timedelta(days=1))]
    day, _ = account.store([plays_of(plays)], run="r-1", buckets=2)
    assert day.document_key == document_key("r-1", "2000-01-01") == "curated/runs/listen_date=2000-01-01/r-1.json"
    assert day.document() == {
        "format": "plays-run/2",
        "run": "r-1",
        "execution_arn": "arn:e",
        "date": "2000-01-01",
        "hash": "sha256-2",
        "buckets": 2,
        "rows": 2,
        "objects": [{"bucket": 0, "rows": 2, "size": day.objects[0].size}],
    }
    assert RunOfDay.of_document(json.loads(json.dumps(day.document()))) == day


@pytest.mark.parametrize("change", [{"format": "plays-run/1"}, {"hash": "murmur3"}], ids=str)
def test_a_run_of_another_version_is_refused(change: dict[str, str]) -> None:
    document = EMPTY.document() | change
    with pytest.raises(DocumentError, match=r"^A run of the format .* Run the version of the job that wrote it\.$"):
        RunOfDay.of_document(document)


def test_a_run_with_an_impossible_number_of_buckets_is_refused() -> None:
    with pytest.raises(BucketCountError):
        RunOfDay.of_document(replace(EMPTY, buckets=3).document())


def test_no_file_has_no_days(account: Account) -> None:
    assert account.store([], run="r", buckets=4, tombstones=NO_TOMBSTONES) == []
