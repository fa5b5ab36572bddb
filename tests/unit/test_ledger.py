"""The ledger moves forward only, and its conditions are DynamoDB's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date as calendar_date
from datetime import timedelta
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError

from glue_scripts import ledger
from glue_scripts.ledger import (
    MAX_RUNS_MERGED,
    NO_TOMBSTONES,
    Batch,
    Day,
    FileStatus,
    RecordedVerdict,
    RunItem,
    Snapshot,
    UnknownBatchError,
    batch_key,
    file_of,
    newest_of,
)
from glue_scripts.names import FIRST_DATE
from glue_scripts.objects import file_name
from tests.unit.conftest import Tables

FILE = ("raw/streams/a#b.csv", "v1")
DATE, OTHER_DATE = "2024-06-25", "2024-06-26"
UPLOADED_AT = "2024-06-27T00:00:00Z"


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


# Days


def test_each_claim_of_a_day_has_a_number_of_its_own(tables: Tables) -> None:
    assert [tables.ledger.claim_day(DATE) for _ in range(3)] == [1, 2, 3]
    assert tables.ledger.claim_day(OTHER_DATE) == 1


def test_every_claimed_day_is_listed_even_if_nothing_else_is_known_of_it(tables: Tables) -> None:
    for date in ("2024-12-31", FIRST_DATE, "2024-06-25", "2024-06-25"):
        tables.ledger.claim_day(date)
    tables.ledger.commit_run("2024-06-24", "run-1")
    assert tables.ledger.days() == [Day(FIRST_DATE, 1, 0), Day("2024-06-25", 2, 0), Day("2024-12-31", 1, 0)]
    assert tables.ledger.dates() == [FIRST_DATE, "2024-06-25", "2024-12-31"]


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2024-06-25", "2024-06-25", [25]),
        ("2024-06-01", "2024-06-24", []),
        ("2024-06-26", "2024-06-28", [26, 27, 28]),
    ],
)
def test_days_are_listed_from_a_first_to_a_last_both_included(
    tables: Tables, first: str, last: str, days: list[int]
) -> None:
    for day in range(25, 31):
        tables.ledger.claim_day(f"2024-06-{day}")
    assert tables.ledger.dates(first, last) == [f"2024-06-{day}" for day in days]


def test_many_days_are_listed_page_by_page(tables: Tables) -> None:
    dates = [f"2024-06-{day:02}" for day in range(1, 31)]
    for date in reversed(dates):
        tables.ledger.claim_day(date)
    small_pages(tables, 7)
    assert tables.ledger.dates() == dates
    assert tables.ledger.dates(dates[3], dates[-2]) == dates[3:-1]


def test_a_day_tells_its_claims_and_what_is_noted_as_published(tables: Tables) -> None:
    assert tables.ledger.day(DATE) is None
    for _ in range(3):
        tables.ledger.claim_day(DATE)
    assert tables.ledger.day(DATE) == Day(DATE, claim=3, published=0)
    tables.ledger.note_published(DATE, 2)
    assert tables.ledger.day(DATE) == Day(DATE, claim=3, published=2)


def test_what_is_noted_as_published_never_goes_back(tables: Tables) -> None:
    tables.ledger.claim_day(DATE)
    for version in (2, 11, 9):
        tables.ledger.note_published(DATE, version)
    assert tables.ledger.days() == [Day(DATE, claim=1, published=11)]


# Runs of a day


def test_a_run_counts_from_when_it_is_committed_on_its_day_only(tables: Tables) -> None:
    assert tables.ledger.runs(DATE) == frozenset()
    for run in ("a", "b"):
        tables.ledger.commit_run(DATE, run)
    assert tables.ledger.runs(DATE) == {"a", "b"}
    assert tables.ledger.runs(OTHER_DATE) == frozenset()
    assert tables.ledger.dates() == [], "it is the claim that lists a day"


def test_a_run_that_is_committed_again_stays_as_it_was(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    for moment in ("2024-07-01T00:00:00Z", "2024-07-02T00:00:00Z"):
        monkeypatch.setattr("glue_scripts.ledger.utc_now", lambda moment=moment: moment)
        tables.ledger.commit_run(DATE, "a")
    assert tables.ledger_table.scan()["Items"] == [
        {"pk": f"RUNS#{DATE}", "sk": "a", "committed_at": "2024-07-01T00:00:00Z"}
    ]


def test_many_runs_are_read_page_by_page(tables: Tables) -> None:
    runs = {f"run-{number}" for number in range(30)}
    for run in runs:
        tables.ledger.commit_run(DATE, run)
    small_pages(tables, 7)
    assert tables.ledger.runs(DATE) == runs


def test_a_run_is_replaced_once_however_often_it_is_asked_for(tables: Tables) -> None:
    for run in ("a", "b"):
        tables.ledger.commit_run(DATE, run)
    assert tables.ledger.replace_run(DATE, "a", "c")
    assert tables.ledger.replace_run(DATE, "a", "c")
    assert tables.ledger.runs(DATE) == {"b", "c"}
    assert tables.ledger.is_replaced(DATE, "a")
    assert not tables.ledger.is_replaced(DATE, "b")


def test_a_run_that_somebody_else_has_replaced_stays_so(tables: Tables) -> None:
    tables.ledger.commit_run(DATE, "a")
    assert tables.ledger.replace_run(DATE, "a", "c")
    assert not tables.ledger.replace_run(DATE, "a", "d")
    assert not tables.ledger.replace_run(DATE, "a", None)
    assert tables.ledger.runs(DATE) == {"c"}


@pytest.mark.parametrize("is_committed", [True, False])
def test_of_two_that_replace_a_run_at_the_same_moment_one_hears_that_it_was_too_late(
    tables: Tables, is_committed: bool
) -> None:
    """The other one comes between what the first has read and what it writes. No play is lost by that."""
    if is_committed:
        tables.ledger.commit_run(DATE, "a")
    other = once(lambda: tables.ledger.replace_run(DATE, "a", "c"))
    tables.before_each_request(lambda operation, params: other() if marks(params, "a") else None)
    assert not tables.ledger.replace_run(DATE, "a", "d")
    tables.ledger.commit_run(DATE, "a")
    assert tables.ledger.is_replaced(DATE, "a")
    assert tables.ledger.runs(DATE) >= {"c"}


def test_a_run_that_is_committed_while_it_is_replaced_is_replaced_by_a_committed_one(tables: Tables) -> None:
    commit = once(lambda: tables.ledger.commit_run(DATE, "a"))
    tables.before_each_request(lambda operation, params: commit() if marks(params, "a") else None)
    assert tables.ledger.replace_run(DATE, "a", "b")
    assert tables.ledger.runs(DATE) == {"b"}


def test_a_run_that_replaces_another_is_committed_before_the_other_is_marked(tables: Tables) -> None:
    """In between both count, which are the same plays; the other way round neither would."""
    tables.ledger.commit_run(DATE, "a")
    seen: list[frozenset[str]] = []
    tables.before_each_request(
        lambda operation, params: seen.append(tables.ledger.runs(DATE)) if marks(params, "a") else None
    )
    tables.ledger.replace_run(DATE, "a", "b")
    assert seen == [{"a", "b"}]


def test_a_day_may_lose_all_its_runs_and_get_new_ones(tables: Tables) -> None:
    tables.ledger.commit_run(DATE, "a")
    assert tables.ledger.replace_run(DATE, "a", None)
    assert tables.ledger.replace_run(DATE, "a", None)
    assert tables.ledger.runs(DATE) == frozenset()
    tables.ledger.commit_run(DATE, "b")
    assert tables.ledger.runs(DATE) == {"b"}


def test_a_run_that_was_replaced_is_not_committed_again(tables: Tables) -> None:
    """A KPI job commits it and dies, a purge replaces it, and the redrive commits it again."""
    tables.ledger.commit_run(DATE, "a")
    tables.ledger.replace_run(DATE, "a", "b")
    tables.ledger.replace_run(DATE, "b", "c")
    tables.ledger.commit_run(DATE, "a")
    assert tables.ledger.runs(DATE) == {"c"}
    tables.ledger.replace_run(DATE, "c", None)
    tables.ledger.commit_run(DATE, "a")
    assert tables.ledger.runs(DATE) == frozenset()


def test_a_run_can_be_replaced_before_it_is_committed(tables: Tables) -> None:
    """A purge between a validation and the redrive of the KPI job."""
    assert tables.ledger.replace_run(DATE, "a", "b")
    assert tables.ledger.replace_run(DATE, "b", "c")
    assert tables.ledger.replace_run(DATE, "other", None)
    assert tables.ledger.runs(DATE) == frozenset()
    assert tables.ledger.dates() == []
    for run in ("a", "other"):
        tables.ledger.commit_run(DATE, run)
    assert tables.ledger.runs(DATE) == {"c"}


def test_a_run_that_is_swapped_between_two_pages_is_not_lost(tables: Tables) -> None:
    """The first page was read before the successor was committed, the second one after the other was marked."""
    for run in ("b", "c"):
        tables.ledger.commit_run(DATE, run)
    small_pages(tables, 1)
    swap = once(lambda: tables.ledger.replace_run(DATE, "c", "a"))
    tables.before_each_request(lambda operation, params: swap() if "ExclusiveStartKey" in params else None)
    requests = tables.recorded()
    assert tables.ledger.runs(DATE) == {"a", "b"}
    assert len([params for operation, params in requests if is_first_page(operation, params)]) == 2


def test_a_run_that_is_swapped_for_one_on_a_later_page_counts_with_it(tables: Tables) -> None:
    for run in ("a", "b"):
        tables.ledger.commit_run(DATE, run)
    small_pages(tables, 1)
    swap = once(lambda: tables.ledger.replace_run(DATE, "a", "c"))
    tables.before_each_request(lambda operation, params: swap() if "ExclusiveStartKey" in params else None)
    assert tables.ledger.runs(DATE) == {"a", "b", "c"}, "the same plays twice count once"
    assert tables.ledger.runs(DATE) == {"b", "c"}


def small_pages(tables: Tables, items: int) -> None:
    """Lets each answer of Query hold few items."""

    def limit(operation: str, params: dict[str, Any]) -> None:
        if operation == "Query":
            params["Limit"] = items

    tables.before_each_request(limit)


def is_first_page(operation: str, params: dict[str, Any]) -> bool:
    return operation == "Query" and "ExclusiveStartKey" not in params


def once(happens: Callable[[], object]) -> Callable[[], None]:
    """What happens at the first call only, those that it leads to itself included."""
    happenings = [happens]

    def happen() -> None:
        if happenings:
            happenings.pop()()

    return happen


def marks(params: dict[str, Any], run: str) -> bool:
    """Whether a request marks a run as replaced."""
    return params.get("Key", {}).get("sk") == run and ":new" in params.get("ExpressionAttributeValues", {})


# Snapshots


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


def test_of_two_uploads_of_a_key_in_one_second_the_events_sequencer_decides(tables: Tables) -> None:
    """Version ids say nothing of the order. A shorter sequencer is filled with zeros, and case does not count."""
    moment, key = "2024-06-01T00:00:00Z", "raw/songs/a.csv"
    first = replace(snapshot(moment, key, "z"), sequencer="0055AED6DCD90281E5")
    second = replace(snapshot(moment, key, "a"), sequencer="0055aed6dcd90281e501")
    assert newest_of([first, second], None) == second
    assert newest_of([second, first], first) == second
    assert tables.ledger.make_current(first)
    assert tables.ledger.make_current(second)
    assert not tables.ledger.make_current(first)
    assert tables.ledger.current_snapshot("songs") == second


# Batches


BATCH = Batch(
    execution_arn="arn:aws:states:us-east-1:123456789012:execution:pipeline:one",
    run="jr_1",
    dates=["2024-06-25", "2024-06-26"],
    snapshots=[Snapshot("songs", "s3://bucket/reference/songs/jr_1/", "raw/songs/a.csv", "v1", "2024-06-01", 7)],
    document_uri="s3://bucket/processing/one/accepted.json",
    size=123,
)


def test_the_first_run_that_records_a_batch_decides(tables: Tables) -> None:
    assert not tables.ledger.has_batch(BATCH.execution_arn)
    for batch in (BATCH, replace(BATCH, run="jr_2", dates=["2024-06-25"], snapshots=[])):
        tables.ledger.record_batch(batch, waiting_since=None)
        assert tables.ledger.batch(BATCH.execution_arn) == BATCH
    assert tables.ledger.has_batch(BATCH.execution_arn)


def test_a_batch_that_was_not_recorded_is_an_error(tables: Tables) -> None:
    with pytest.raises(UnknownBatchError, match="execution:pipeline:one became in the lake"):
        tables.ledger.batch(BATCH.execution_arn)


def waiting(number: int) -> Batch:
    return replace(BATCH, execution_arn=f"{BATCH.execution_arn}-{number}", snapshots=[])


def test_batches_that_wait_are_listed_the_oldest_first(tables: Tables) -> None:
    for number in (3, 1, 2):
        tables.ledger.record_batch(waiting(number), waiting_since=f"2024-06-0{number}T00:00:00Z")
    tables.ledger.record_batch(BATCH, waiting_since=None)
    assert tables.ledger.waiting_batches(2) == [waiting(1), waiting(2)]
    assert tables.ledger.waiting_batches(9) == [waiting(1), waiting(2), waiting(3)]


def test_a_batch_waits_until_a_run_begins_it_and_one_run_is_the_first(tables: Tables) -> None:
    tables.ledger.record_batch(waiting(1), waiting_since=UPLOADED_AT)
    assert [tables.ledger.begin_batch(waiting(1).execution_arn, run) for run in ("jr_1", "jr_2")] == [True, False]
    assert tables.ledger.waiting_batches(9) == []
    assert tables.ledger.batch(waiting(1).execution_arn) == waiting(1)


def test_a_run_whose_answer_is_lost_has_begun_the_batch(tables: Tables) -> None:
    tables.ledger.record_batch(waiting(1), waiting_since=UPLOADED_AT)
    assert [tables.ledger.begin_batch(waiting(1).execution_arn, "jr_1") for _ in range(2)] == [True, True]


def test_a_batch_that_was_not_recorded_cannot_be_begun(tables: Tables) -> None:
    assert not tables.ledger.begin_batch(BATCH.execution_arn, "jr_1")
    assert not tables.ledger.has_batch(BATCH.execution_arn)


def test_a_batch_of_every_day_since_the_first_fits_into_an_item(tables: Tables) -> None:
    first = calendar_date.fromisoformat(FIRST_DATE)
    dates = [(first + timedelta(days=number)).isoformat() for number in range(41 * 365)]
    long = replace(BATCH.snapshots[0], key="k" * 1024, version_id="v" * 1024)
    tables.ledger.record_batch(replace(BATCH, dates=dates, snapshots=[long, long]), waiting_since=UPLOADED_AT)
    assert tables.ledger.batch(BATCH.execution_arn).dates == dates
    item = tables.ledger_table.get_item(Key=batch_key(BATCH.execution_arn))["Item"]
    assert len(json.dumps(item, default=int)) < 400 * 1024


# Purged users


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


def test_the_tombstones_of_many_users_are_read_page_by_page_and_consistently(tables: Tables) -> None:
    users = [f"user {number}" for number in range(30)]
    for user in users:
        tables.ledger.purge_user(user)
    small_pages(tables, 7)
    requests = tables.recorded()
    tombstones = tables.ledger.purged_users()
    assert all(user in tombstones for user in users)
    assert len(tombstones.hashes) == 30
    assert len(requests) == 5
    assert all(params["ConsistentRead"] for _, params in requests)


def test_the_first_tombstone_makes_the_salt_of_all(tables: Tables) -> None:
    assert tables.ledger.purged_users() == NO_TOMBSTONES
    tables.ledger.purge_user("ann")
    salt = tables.ledger.purged_users().salt
    tables.ledger.purge_user("bob")
    assert tables.ledger.purged_users().salt == salt != ""


# Keys and the index of files


@pytest.mark.parametrize(
    ("key", "version_id"),
    [
        ("raw/streams/" + "k" * 1012, "v" * 1024),
        ("raw/streams/" + "\U0001f3b5" * 253, "null"),
        ("raw/streams/a#b.csv", "v#1"),
        ("raw/streams/FILE#\x01\t ä/ .csv", "_.-"),
        ("raw/streams/a.csv ", "v1"),
    ],
    ids=["1,024 letters", "1,024 bytes of notes", "number signs", "controls", "blank at the end"],
)
def test_a_file_of_any_key_that_s3_takes_has_an_item_of_its_own(tables: Tables, key: str, version_id: str) -> None:
    ledger = tables.ledger
    assert len(key.encode()) <= 1024
    others = [(key, "other"), (key[:-1], version_id)]
    for name in (*others, (key, version_id)):
        ledger.receive_file(*name, {"execution": "one", "uploaded_at": UPLOADED_AT})
    assert ledger.advance_file(key, version_id, FileStatus.ACCEPTED, {"key": key}) is FileStatus.RECEIVED
    assert ledger.file_status_and_execution(key, version_id) == (FileStatus.ACCEPTED, "one")
    assert [ledger.file_status_and_execution(*name)[0] for name in others] == [FileStatus.RECEIVED] * 2
    assert {file_of(item) for item in ledger.files_with_status(FileStatus.RECEIVED)} == set(others)
    assert [file_of(item) for item in ledger.files_with_status(FileStatus.ACCEPTED)] == [(key, version_id)]
    assert ledger.known_files([(key, version_id), (key, "unknown"), *others]) == {(key, version_id), *others}


def test_a_key_and_a_version_are_not_mistaken_for_another_key_and_version(tables: Tables) -> None:
    tables.ledger.receive_file("raw/a#v1", "v2", {"execution": "one"})
    assert tables.ledger.file_status_and_execution("raw/a", "v1#v2") == (None, None)


def test_files_with_a_status_are_listed_those_uploaded_last_first_and_nothing_else_is(tables: Tables) -> None:
    ledger = tables.ledger
    for day in (3, 1, 30, 2):
        ledger.receive_file(f"raw/{day}", "v1", {"execution": "one", "uploaded_at": f"2024-06-{day:02}T00:00:00Z"})
    ledger.receive_file("raw/gone", "v1", {"execution": "one"})
    ledger.advance_file("raw/2", "v1", FileStatus.ACCEPTED, {})
    ledger.record_batch(BATCH, waiting_since=UPLOADED_AT)
    ledger.commit_run(DATE, "run-1")
    ledger.claim_day(DATE)
    ledger.make_current(snapshot(UPLOADED_AT))
    ledger.purge_user("ann")
    small_pages(tables, 2)
    received = list(ledger.files_with_status(FileStatus.RECEIVED))
    assert [file_of(item) for item in received] == [("raw/30", "v1"), ("raw/3", "v1"), ("raw/1", "v1")]
    assert received[0]["execution"] == "one", "with all their attributes"
    assert [file_of(item) for item in ledger.files_with_status(FileStatus.ACCEPTED)] == [("raw/2", "v1")]
    assert list(ledger.files_with_status(FileStatus.LOADED)) == []


def test_many_files_are_looked_up_each_by_its_key_and_consistently(tables: Tables) -> None:
    files = [(f"raw/{number}", f"v{number % 3}") for number in range(40)]
    for name in files[::2]:
        tables.ledger.receive_file(*name, {"execution": "one"})
    requests = tables.recorded()
    assert tables.ledger.known_files(files) == set(files[::2])
    assert [(operation, params["ConsistentRead"]) for operation, params in requests] == [("GetItem", True)] * 40
    assert tables.ledger.known_files([]) == set()


def give_up(operation: str, requests: int) -> None:
    if operation == "Query" and requests > 50:
        pytest.fail("it reads again and again")


def test_a_run_whose_successor_was_replaced_before_it_was_committed_is_replaced_by_the_last_one(tables: Tables) -> None:
    """An interrupted purge had written b; another one replaced b, and the first one is repeated."""
    ledger = tables.ledger
    ledger.commit_run(DATE, "a")
    ledger.replace_run(DATE, "b", "c")
    queries = tables.recorded()
    tables.before_each_request(lambda operation, _: give_up(operation, len(queries)))
    assert ledger.replace_run(DATE, "a", "b")
    assert ledger.replace_run(DATE, "a", "b")
    assert ledger.runs(DATE) == {"c"}


def test_a_run_whose_successor_was_replaced_by_nothing_before_it_was_committed_is_gone(tables: Tables) -> None:
    ledger = tables.ledger
    ledger.commit_run(DATE, "a")
    ledger.replace_run(DATE, "b", None)
    queries = tables.recorded()
    tables.before_each_request(lambda operation, _: give_up(operation, len(queries)))
    assert ledger.replace_run(DATE, "a", "b")
    assert ledger.runs(DATE) == frozenset()


def test_days_from_a_first_after_the_last_are_none_and_are_not_asked_for(tables: Tables) -> None:
    requests = tables.recorded()
    assert tables.ledger.days("2024-06-26", "2024-06-25") == []
    assert requests == []


# Runs that are merged


def test_merged_runs_are_replaced_in_one_step_and_only_if_all_of_them_still_count(tables: Tables) -> None:
    for run in "abc":
        tables.ledger.commit_run(DATE, run)
    assert tables.ledger.replace_runs(DATE, "ab", "ab")
    assert tables.ledger.runs(DATE) == {"ab", "c"}
    assert not tables.ledger.replace_runs(DATE, "bc", "bc")
    assert not tables.ledger.replace_runs(DATE, ["c", "never committed"], "other")
    assert tables.ledger.runs(DATE) == {"ab", "c"}


def test_a_merged_run_takes_the_place_of_more_runs_unless_it_was_replaced_meanwhile(tables: Tables) -> None:
    for run in "abc":
        tables.ledger.commit_run(DATE, run)
    assert tables.ledger.replace_runs(DATE, "a", "merged")
    assert tables.ledger.replace_runs(DATE, "b", "merged")
    assert tables.ledger.runs(DATE) == {"merged", "c"}
    assert tables.ledger.replace_run(DATE, "merged", "clean")
    assert not tables.ledger.replace_runs(DATE, "c", "merged")
    assert tables.ledger.runs(DATE) == {"clean", "c"}


def test_a_merge_that_dynamodb_refuses_for_another_reason_is_an_error(tables: Tables) -> None:
    with pytest.raises(ClientError):
        tables.ledger.replace_runs(DATE, [f"run-{number}" for number in range(MAX_RUNS_MERGED + 10)], "merged")


def test_every_run_of_a_day_is_listed_with_what_replaced_it_and_when(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "utc_now", lambda: "2026-01-01T00:00:00Z")
    for run in "abc":
        tables.ledger.commit_run(DATE, run)
    tables.ledger.replace_runs(DATE, "ab", "ab")
    tables.ledger.replace_run(DATE, "never committed", None)
    assert tables.ledger.run_items(DATE) == {
        "a": RunItem(True, "ab", "2026-01-01T00:00:00Z"),
        "ab": RunItem(True, None, None),
        "b": RunItem(True, "ab", "2026-01-01T00:00:00Z"),
        "c": RunItem(True, None, None),
        "never committed": RunItem(False, "", "2026-01-01T00:00:00Z"),
    }


# Withdrawn files


def test_a_withdrawn_file_is_left_out_until_it_is_restored(tables: Tables) -> None:
    tables.ledger.withdraw_file("raw/streams/a.csv", "v1")
    tables.ledger.withdraw_file("raw/streams/a.csv", "v1")
    assert tables.ledger.withdrawn_files() == {file_name("raw/streams/a.csv", "v1")}
    tables.ledger.restore_file("raw/streams/a.csv", "v1")
    assert tables.ledger.withdrawn_files() == frozenset()
    found = tables.ledger.withdrawal("raw/streams/a.csv", "v1")
    assert found
    assert not found.is_withdrawn
    assert tables.ledger.withdrawal("raw/streams/a.csv", "v2") is None


def test_a_withdrawal_is_to_be_computed_until_that_is_noted_of_what_it_is_now(tables: Tables) -> None:
    file = ("raw/streams/a.csv", "v1")
    tables.ledger.withdraw_file(*file)
    tables.ledger.note_withdrawal_computed(*file, is_withdrawn=False)
    assert [found.is_computed for found in tables.ledger.withdrawals()] == [False]
    tables.ledger.note_withdrawal_computed(*file, is_withdrawn=True)
    assert [found.is_computed for found in tables.ledger.withdrawals()] == [True]
    tables.ledger.restore_file(*file)
    assert [found.is_computed for found in tables.ledger.withdrawals()] == [False]


def test_withdrawals_are_read_page_by_page_and_consistently(tables: Tables) -> None:
    keys = [f"raw/streams/{number}.csv" for number in range(30)]
    for key in keys:
        tables.ledger.withdraw_file(key, "v1")
    small_pages(tables, 7)
    requests = tables.recorded()
    assert tables.ledger.withdrawn_files() == {file_name(key, "v1") for key in keys}
    assert len(requests) == 5
    assert all(params["ConsistentRead"] for _, params in requests)


# Writes that meet a merge


def refuse(tables: Tables, times: int) -> list[str]:
    """Lets DynamoDB refuse the next updates as those of an item that a transaction is at work on; notes each."""
    refused: list[str] = []

    def before_call(model: Any, **_: object) -> tuple[AWSResponse, dict[str, Any]] | None:  # noqa: ANN401 - botocore has no types
        if len(refused) >= times:
            return None
        refused.append(model.name)
        error = {"Code": "TransactionConflictException", "Message": "Transaction is ongoing for the item"}
        return AWSResponse("", 400, HTTPHeaders(), None), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}

    tables.ledger_table.meta.client.meta.events.register("before-call.dynamodb.UpdateItem", before_call)  # type: ignore[arg-type]
    return refused


def test_a_commit_that_meets_a_merge_is_repeated(tables: Tables) -> None:
    """A redrive commits a run while another job merges it."""
    refused = refuse(tables, 2)
    tables.ledger.commit_run(DATE, "a")
    assert tables.ledger.runs(DATE) == {"a"}
    assert len(refused) == 2


def test_a_commit_that_always_meets_a_merge_is_an_error(tables: Tables) -> None:
    refuse(tables, 100)
    with pytest.raises(ClientError, match="TransactionConflictException"):
        tables.ledger.commit_run(DATE, "a")
