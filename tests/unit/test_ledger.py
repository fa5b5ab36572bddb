"""The ledger moves forward only, and its conditions are DynamoDB's own."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date as calendar_date
from datetime import timedelta

import pytest

from glue_scripts.ledger import (
    Batch,
    Claim,
    Day,
    DayStatus,
    FileStatus,
    RecordedVerdict,
    Snapshot,
    UnknownBatchError,
    newest_of,
)
from glue_scripts.names import FIRST_DATE
from tests.unit.conftest import Tables

FILE = ("raw/streams/a#b.csv", "v1")


def snapshot(last_modified: str, key: str = "raw/songs/a.csv", version_id: str = "v1") -> Snapshot:
    return Snapshot(
        dataset="songs",
        uri=f"s3://bucket/reference/songs/{last_modified}/",
        key=key,
        version_id=version_id,
        last_modified=last_modified,
        rows=7,
    )


def test_the_newest_file_becomes_the_snapshot_unless_the_current_one_is_as_new() -> None:
    old, new = snapshot("2024-06-25T00:00:00Z"), snapshot("2024-06-26T00:00:00Z")
    same_second = replace(new, key="raw/songs/b.csv")
    assert newest_of([], None) is None
    assert newest_of([new, same_second, old], None) is same_second
    assert newest_of([old, new], old) is new
    assert newest_of([old, new], new) is None
    assert newest_of([old], new) is None


def test_a_file_that_nobody_has_seen_has_no_status(tables: Tables) -> None:
    assert tables.ledger.file_status_and_execution(*FILE) == (None, None)


def test_a_file_moves_forward(tables: Tables) -> None:
    tables.ledger.receive_file(*FILE, {"execution": "one"})
    assert tables.ledger.advance_file(*FILE, FileStatus.ACCEPTED, {"rows": 3}) is FileStatus.RECEIVED
    assert tables.ledger.advance_file(*FILE, FileStatus.LOADED, {}) is FileStatus.ACCEPTED
    assert tables.ledger.file_status_and_execution(*FILE)[0] is FileStatus.LOADED


def test_a_skipped_file_stays_skipped_and_a_judged_one_is_not_skipped(tables: Tables) -> None:
    tables.ledger.receive_file(*FILE, {"execution": "one"})
    assert tables.ledger.advance_file(*FILE, FileStatus.SKIPPED, {"skipped_as": "a folder"}) is FileStatus.RECEIVED
    assert tables.ledger.advance_file(*FILE, FileStatus.SKIPPED, {"skipped_as": "a folder"}) is FileStatus.SKIPPED
    assert tables.ledger.advance_file(*FILE, FileStatus.ACCEPTED, {}) is None
    tables.ledger.receive_file("rejected", "v1", {"execution": "one"})
    tables.ledger.advance_file("rejected", "v1", FileStatus.REJECTED, {})
    assert tables.ledger.advance_file("rejected", "v1", FileStatus.SKIPPED, {}) is None


@pytest.mark.parametrize("status", [FileStatus.REJECTED, FileStatus.ACCEPTED])
def test_a_file_never_moves_back(tables: Tables, status: FileStatus) -> None:
    tables.ledger.receive_file(*FILE, {"execution": "one"})
    tables.ledger.advance_file(*FILE, FileStatus.ACCEPTED, {})
    tables.ledger.advance_file(*FILE, FileStatus.LOADED, {})
    assert tables.ledger.advance_file(*FILE, status, {"rows": 9}) is None
    tables.ledger.receive_file(*FILE, {"execution": "two"})
    assert tables.ledger.file_status_and_execution(*FILE) == (FileStatus.LOADED, "one")


def test_the_execution_that_began_last_with_a_file_is_known_until_it_is_judged(tables: Tables) -> None:
    for execution in ("one", "two"):
        tables.ledger.receive_file(*FILE, {"execution": execution})
        assert tables.ledger.file_status_and_execution(*FILE) == (FileStatus.RECEIVED, execution)


def test_the_first_verdict_that_is_recorded_holds(tables: Tables) -> None:
    tables.ledger.receive_file(*FILE, {"execution": "two", "size": 5})
    first = tables.ledger.record_verdict(*FILE, FileStatus.ACCEPTED, "one", {"rows": 3})
    assert first == RecordedVerdict(FileStatus.ACCEPTED, "one", is_new=True, attributes={"rows": 3, "execution": "one"})
    second = tables.ledger.record_verdict(*FILE, FileStatus.REJECTED, "two", {"rows": 4})
    assert (second.status, second.execution, second.is_new) == (FileStatus.ACCEPTED, "one", False)
    assert {name: second.attributes[name] for name in ("rows", "size")} == {"rows": 3, "size": 5}
    tables.ledger.advance_file(*FILE, FileStatus.LOADED, {})
    assert tables.ledger.record_verdict(*FILE, FileStatus.REJECTED, "one", {}).status is FileStatus.LOADED


def test_a_repeated_step_is_no_error_and_tells_that_it_was_made_before(tables: Tables) -> None:
    tables.ledger.receive_file(*FILE, {"execution": "one"})
    tables.ledger.advance_file(*FILE, FileStatus.ACCEPTED, {})
    assert tables.ledger.advance_file(*FILE, FileStatus.LOADED, {}) is FileStatus.ACCEPTED
    assert tables.ledger.advance_file(*FILE, FileStatus.LOADED, {}) is FileStatus.LOADED


def test_a_claim_holds_every_run_committed_before_it(tables: Tables) -> None:
    first = tables.ledger.claim_day("2024-06-25", "run-1")
    second = tables.ledger.claim_day("2024-06-25", "run-2")
    again = tables.ledger.claim_day("2024-06-25", None)
    assert (first.number, second.number, again.number) == (1, 2, 3)
    assert second.runs == again.runs == {"run-1", "run-2"}


def test_only_the_latest_claim_can_publish(tables: Tables) -> None:
    first = tables.ledger.claim_day("2024-06-25", "run-1")
    second = tables.ledger.claim_day("2024-06-25", "run-2")
    assert not tables.ledger.publish_day(first, unknown_plays=0, snapshots={})
    assert tables.ledger.published_claim("2024-06-25") == 0
    assert tables.ledger.publish_day(second, unknown_plays=0, snapshots={})
    assert tables.ledger.published_claim("2024-06-25") == 2


def test_days_that_may_lack_tracks_are_those_with_unknown_plays_and_those_being_computed(tables: Tables) -> None:
    for date, unknown_plays in (("2024-06-25", 0), ("2024-06-24", 3)):
        tables.ledger.publish_day(
            tables.ledger.claim_day(date, "run-1"), unknown_plays=unknown_plays, snapshots={"songs": "s3://x"}
        )
    tables.ledger.claim_day("2024-06-23", "run-1")
    assert tables.ledger.days_that_may_lack_tracks() == ["2024-06-23", "2024-06-24"]


def test_a_snapshot_becomes_current_only_if_it_is_newer(tables: Tables) -> None:
    june, july = snapshot("2024-06-01T00:00:00Z"), snapshot("2024-07-01T00:00:00Z")
    assert tables.ledger.current_snapshot("songs") is None
    assert tables.ledger.make_current(july)
    assert not tables.ledger.make_current(june)
    assert not tables.ledger.make_current(july)
    assert tables.ledger.current_snapshot("songs") == july


def test_of_two_snapshots_of_one_second_key_and_version_decide(tables: Tables) -> None:
    moment = "2024-06-01T00:00:00Z"
    assert tables.ledger.make_current(snapshot(moment, "raw/songs/b.csv", "v1"))
    assert not tables.ledger.make_current(snapshot(moment, "raw/songs/a.csv", "v9"))
    assert tables.ledger.make_current(snapshot(moment, "raw/songs/b.csv", "v2"))


def test_every_claimed_day_is_listed_even_if_nothing_else_is_known_of_it(tables: Tables) -> None:
    for date in ("2024-12-31", "2001-01-01", "2024-06-25", "2024-06-25"):
        tables.ledger.claim_day(date, None)
    assert tables.ledger.dates() == ["2001-01-01", "2024-06-25", "2024-12-31"]
    assert tables.ledger.dates("2024-06-25", "2024-12-30") == ["2024-06-25"]


def test_a_day_tells_what_it_is_made_of_and_what_is_published(tables: Tables) -> None:
    assert tables.ledger.day("2024-06-25") is None
    first = tables.ledger.claim_day("2024-06-25", "run-1")
    tables.ledger.publish_day(first, unknown_plays=2, snapshots={"songs": "s3://x"})
    day = tables.ledger.day("2024-06-25")
    assert day == Day(
        date="2024-06-25",
        status=DayStatus.PUBLISHED_WITH_UNKNOWN_TRACKS,
        runs=frozenset({"run-1"}),
        claim=1,
        published=1,
        unknown_plays=2,
        snapshots={"songs": "s3://x"},
    )
    assert day.is_published
    tables.ledger.claim_day("2024-06-25", None)
    again = tables.ledger.day("2024-06-25")
    assert again is not None
    assert not again.is_published


def runs_of(tables: Tables, date: str) -> frozenset[str]:
    day = tables.ledger.day(date)
    assert day is not None
    return day.runs


def test_a_run_is_replaced_once_however_often_it_is_asked_for(tables: Tables) -> None:
    for run in ("a", "b"):
        tables.ledger.claim_day("2024-06-25", run)
    assert tables.ledger.replace_run("2024-06-25", "a", "c")
    assert tables.ledger.replace_run("2024-06-25", "a", "c")
    assert runs_of(tables, "2024-06-25") == {"b", "c"}


def test_a_run_that_somebody_else_has_replaced_stays_so(tables: Tables) -> None:
    tables.ledger.claim_day("2024-06-25", "a")
    assert tables.ledger.replace_run("2024-06-25", "a", "c")
    assert not tables.ledger.replace_run("2024-06-25", "a", "d")
    assert runs_of(tables, "2024-06-25") == {"c"}


def test_a_day_may_lose_all_its_runs_and_get_new_ones(tables: Tables) -> None:
    tables.ledger.claim_day("2024-06-25", "a")
    assert tables.ledger.replace_run("2024-06-25", "a", None)
    assert runs_of(tables, "2024-06-25") == frozenset()
    assert tables.ledger.claim_day("2024-06-25", "b").runs == {"b"}


def test_a_run_that_was_replaced_is_not_committed_again(tables: Tables) -> None:
    """A KPI job commits it and dies, a purge replaces it, and the redrive commits it again."""
    tables.ledger.claim_day("2024-06-25", "a")
    tables.ledger.replace_run("2024-06-25", "a", "b")
    tables.ledger.replace_run("2024-06-25", "b", "c")
    assert tables.ledger.claim_day("2024-06-25", "a").runs == {"c"}
    tables.ledger.replace_run("2024-06-25", "c", None)
    assert tables.ledger.claim_day("2024-06-25", "a").runs == frozenset()


def test_a_run_can_be_replaced_before_it_is_committed(tables: Tables) -> None:
    """A purge between a validation and the redrive of the KPI job."""
    assert tables.ledger.replace_run("2024-06-25", "a", "b")
    assert tables.ledger.day("2024-06-25") is None
    assert tables.ledger.dates() == []
    assert tables.ledger.claim_day("2024-06-25", "a") == Claim("2024-06-25", 1, frozenset({"b"}))


BATCH = Batch(
    execution_arn="arn:aws:states:us-east-1:123456789012:execution:pipeline:one",
    run="jr_1",
    dates=["2024-06-25", "2024-06-26"],
    snapshots=[Snapshot("songs", "s3://bucket/reference/songs/jr_1/", "raw/songs/a.csv", "v1", "2024-06-01", 7)],
    document_uri="s3://bucket/processing/one/accepted.json",
)


def test_the_first_run_that_records_a_batch_decides(tables: Tables) -> None:
    assert not tables.ledger.has_batch(BATCH.execution_arn)
    for batch in (BATCH, replace(BATCH, run="jr_2", dates=["2024-06-25"], snapshots=[])):
        tables.ledger.record_batch(batch)
        assert tables.ledger.batch(BATCH.execution_arn) == BATCH
    assert tables.ledger.has_batch(BATCH.execution_arn)


def test_a_batch_that_was_not_recorded_is_an_error(tables: Tables) -> None:
    with pytest.raises(UnknownBatchError, match="execution:pipeline:one became in the lake"):
        tables.ledger.batch(BATCH.execution_arn)


def test_a_batch_of_every_day_since_the_first_fits_into_an_item(tables: Tables) -> None:
    first = calendar_date.fromisoformat(FIRST_DATE)
    dates = [(first + timedelta(days=number)).isoformat() for number in range(41 * 365)]
    long = replace(BATCH.snapshots[0], key="k" * 1024, version_id="v" * 1024)
    tables.ledger.record_batch(replace(BATCH, dates=dates, snapshots=[long, long]))
    assert tables.ledger.batch(BATCH.execution_arn).dates == dates
    item = tables.ledger_table.get_item(Key={"pk": f"BATCH#{BATCH.execution_arn}"})["Item"]
    assert len(json.dumps(item, default=int)) < 400 * 1024


def test_a_tombstone_is_a_salted_hash_that_only_its_user_matches(tables: Tables) -> None:
    assert "ann" not in tables.ledger.purged_users()
    for user_id in ("ann", " ann\n", "björn", "ann"):
        tables.ledger.purge_user(user_id)
    tombstones = tables.ledger.purged_users()
    assert len(tombstones.hashes) == 2
    assert "ann" in tombstones
    assert "björn" in tombstones
    assert "anna" not in tombstones
    assert "ann" not in str(tables.ledger_table.scan()["Items"])


def test_a_snapshot_is_swapped_for_another_of_the_same_file_and_no_other_one(tables: Tables) -> None:
    june, july = snapshot("2024-06-01T00:00:00Z"), snapshot("2024-07-01T00:00:00Z")
    clean = replace(june, uri="s3://bucket/reference/songs/clean/", rows=6)
    tables.ledger.make_current(june)
    assert tables.ledger.replace_snapshot(june, clean)
    assert tables.ledger.current_snapshot("songs") == clean
    assert not tables.ledger.replace_snapshot(june, clean)
    assert not tables.ledger.make_current(june)
    assert tables.ledger.make_current(july)
    assert not tables.ledger.replace_snapshot(clean, june)
    assert tables.ledger.current_snapshot("songs") == july
