"""Publishing days on real conditions: a version is complete before it is visible, and what is visible only grows."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.conditions import Key
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from glue_scripts import names
from glue_scripts.kpi_items import DayKpis
from glue_scripts.kpi_table import VisibleDay
from glue_scripts.ledger import Claim, Day, Snapshot, Tombstones
from glue_scripts.names import version_prefix
from glue_scripts.publication import (
    MAX_DAYS_AT_ONCE,
    Compute,
    Publisher,
    Snapshots,
    read_days,
    unpublished,
)
from operations.kpis import read_rows
from tests.unit.conftest import Request, Tables

ROOT = Path(__file__).parents[2]
DATE = "2024-06-25"
GENRES = tuple(f"genre {number}" for number in range(30))
MADE_WITH = {"kpi_code": "0123456789ab", "kpi_settings": {"top_songs": 3, "top_genres": 5}}


def kpis_of(claim: Claim, genres: Sequence[str] = GENRES) -> DayKpis:
    """KPIs that tell the runs they were computed from: of many genres, so that a day takes several requests."""
    runs = sorted(claim.runs)
    rows = [{"date": claim.date, "genre": genre, "runs": runs, "hours": {}} for genre in genres]
    return DayKpis({"date": claim.date, "listens": len(runs), "unknown_track_plays": 0, "runs": runs}, rows, [])


def compute(
    claims: Sequence[Claim], _: Snapshots, __: Tombstones, ___: frozenset[str] = frozenset()
) -> Mapping[str, DayKpis]:
    """A day without runs has no plays."""
    return {claim.date: kpis_of(claim) for claim in claims if claim.runs}


def publisher(tables: Tables, computing: Compute = compute) -> Publisher:
    return Publisher(tables.ledger, tables.kpi_table, computing, MADE_WITH)


def during(happens: Callable[[], object]) -> Compute:
    """Computes, and meanwhile something happens: once."""
    happenings = [happens]

    def computing(
        claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones, _: frozenset[str]
    ) -> Mapping[str, DayKpis]:
        if happenings:
            happenings.pop()()
        return compute(claims, snapshots, tombstones)

    return computing


def versions(tables: Tables) -> set[int]:
    """Of all rows of the day, those that nobody reads among them."""
    keys = (str(row["sk"]) for row in tables.kpis_table.scan()["Items"])
    return {int(key.split("#")[1]) for key in keys if key.startswith("V#")}


def visible(tables: Tables) -> tuple[int, set[tuple[str, ...]]]:
    """What a reader sees: the version, and the runs that SUMMARY and the rows were computed from."""
    summary, genres = read_rows(tables.kpis_table, DATE)
    return int(summary.get("version", 0)), {tuple(row["runs"]) for row in ([summary, *genres] if genres else [])}


def listed(tables: Tables) -> list[str]:
    """The days that the index lists."""
    days = Key(names.DATE_INDEX_PARTITION_KEY).eq(names.SUMMARY)
    found = tables.kpis_table.query(IndexName=names.DATE_INDEX, KeyConditionExpression=days)["Items"]
    return [str(item["date"]) for item in found]


def operations(requests: Sequence[Request], table: str) -> list[str]:
    """What was asked of a table, the same operation in a row once."""
    of_table = [operation for operation, params in requests if params.get("TableName", "kpis") == table]
    return [operation for before, operation in pairwise(["", *of_table]) if operation != before]


# Order


def test_a_published_day_shows_all_its_runs(tables: Tables) -> None:
    publisher(tables).publish({DATE: ("run-1",)})
    assert visible(tables) == (1, {("run-1",)})
    publisher(tables).publish({DATE: ("run-2",)})
    assert visible(tables) == (2, {("run-1", "run-2")})
    assert listed(tables) == [DATE]


def test_the_rows_of_a_version_are_complete_before_summary_names_it(tables: Tables) -> None:
    publisher(tables).publish({DATE: ("run-1",)})
    found_before_the_flip: list[set[str]] = []

    def look(operation: str, params: dict[str, Any]) -> None:
        if operation == "PutItem" and params["TableName"] == "kpis":
            prefix = version_prefix(params["Item"]["version"])
            rows = Key("pk").eq(f"DAY#{DATE}") & Key("sk").begins_with(prefix)
            items = tables.kpis_table.query(KeyConditionExpression=rows, ConsistentRead=True)["Items"]
            found_before_the_flip.append({str(item["genre"]) for item in items})
            assert params["Item"]["genre_rows"] == len(items)
            assert visible(tables) == (1, {("run-1",)})

    tables.before_each_request(look)
    publisher(tables).publish({DATE: ("run-2",)})
    assert found_before_the_flip == [set(GENRES)]


def test_nothing_is_written_after_the_flip_but_the_hint_and_deletes_of_what_nobody_reads(tables: Tables) -> None:
    for run in ("run-1", "run-2"):
        publisher(tables).publish({DATE: (run,)})
    requests = tables.recorded()
    publisher(tables).publish({DATE: ("run-3",)})
    assert operations(requests, "kpis") == ["BatchWriteItem", "PutItem", "Query", "BatchWriteItem"]
    written = [write for _, params in requests for write in params.get("RequestItems", {}).get("kpis", [])]
    assert [next(iter(write)) for write in written] == ["PutRequest"] * 30 + ["DeleteRequest"] * 30
    assert all(write["PutRequest"]["Item"]["sk"].startswith(version_prefix(3)) for write in written[:30])
    assert all(write["DeleteRequest"]["Key"]["sk"].startswith(version_prefix(1)) for write in written[30:])


def test_runs_are_committed_then_days_claimed_and_only_then_is_read_what_they_are_computed_from(
    tables: Tables,
) -> None:
    def what(params: dict[str, Any]) -> str:
        key = params.get("Key") or {"pk": params["ExpressionAttributeValues"][":partition"]}
        return str(key["pk"])

    dates = [f"2024-06-{day:02}" for day in range(1, 10)]
    requests = tables.recorded()
    publisher(tables).publish(dict.fromkeys(dates, ("run-1",)))
    asked = [(operation, what(params)) for operation, params in requests if params.get("TableName") == "ledger"]
    for date in dates:
        of_day = [(operation, partition) for operation, partition in asked if partition == f"RUNS#{date}"]
        assert of_day == [("UpdateItem", f"RUNS#{date}"), ("Query", f"RUNS#{date}")]
    last_claim = [at for at, request in enumerate(asked) if request == ("UpdateItem", "DAYS")][len(dates) - 1]
    reads = [at for at, (operation, _) in enumerate(asked) if operation in ("Query", "GetItem")]
    assert min(reads) > last_claim
    assert [partition for operation, partition in asked if operation == "GetItem"] == ["SNAPSHOTS"] * 2
    assert asked.index(("Query", "PURGED")) > last_claim
    assert asked.index(("Query", "WITHDRAWN")) > last_claim


def test_what_the_days_are_computed_from_is_read_consistently(tables: Tables) -> None:
    requests = tables.recorded()
    publisher(tables).publish({DATE: ("run-1",)})
    reads = [params for operation, params in requests if operation in ("Query", "GetItem")]
    assert len(reads) == 6
    assert all(params["ConsistentRead"] and "IndexName" not in params for params in reads)


def test_many_days_are_published_a_month_at_a_time(tables: Tables) -> None:
    rounds: list[list[str]] = []

    def counted(claims: Sequence[Claim], *_: object) -> Mapping[str, DayKpis]:
        rounds.append([claim.date for claim in claims])
        return {claim.date: kpis_of(claim, ["pop"]) for claim in claims}

    dates = [f"2024-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29)]
    publisher(tables, counted).publish(dict.fromkeys(reversed(dates), ("run-1",)))
    assert rounds == [dates[:MAX_DAYS_AT_ONCE], dates[MAX_DAYS_AT_ONCE:]]
    assert {day.published for day in tables.ledger.days()} == {1}
    assert listed(tables) == dates


def test_no_job_makes_a_transaction_that_a_claim_could_meet(tables: Tables) -> None:
    """DynamoDB refuses an UpdateItem on an item that a transaction is at work on, and boto3 does not repeat it.

    The one transaction, of `Ledger.replace_runs`, is of runs; the ledger repeats what meets it.
    """
    made = []
    for path in sorted((ROOT / "glue_scripts").glob("*.py")):
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        named = [node.attr for node in tree if isinstance(node, ast.Attribute)]
        made += [path.name for name in named if name.startswith("transact")]
    assert made == ["ledger.py"]
    publisher(tables).publish({DATE: ("run-1", "run-2")})
    requests = tables.recorded()
    assert tables.ledger.replace_runs(DATE, ["run-1", "run-2"], "merged")
    ((operation, params),) = requests
    assert operation == "TransactWriteItems"
    assert {update["Update"]["Key"]["pk"] for update in params["TransactItems"]} == {f"RUNS#{DATE}"}


# Jobs at the same time


def test_a_job_that_is_overtaken_changes_nothing_and_ends_well(tables: Tables) -> None:
    overtake = during(lambda: publisher(tables).publish({DATE: ("run-2",)}))
    publisher(tables, overtake).publish({DATE: ("run-1",)})
    assert visible(tables) == (2, {("run-1", "run-2")})
    assert unpublished(*read_days(tables.ledger, tables.kpi_table)) == []


@dataclass
class Job:
    """A KPI job in a thread of its own that stands still while it computes, until the test lets it go on."""

    publisher: Publisher
    run: str
    error: list[BaseException] = field(default_factory=list)

    def begin(self) -> None:
        """Returns when the job has claimed the day."""
        self._has_claimed, self._may_go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        assert self._has_claimed.wait(30)

    def end(self) -> None:
        """Returns when the job has ended."""
        self._may_go_on.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert self.error == []

    def _work(self) -> None:
        try:
            Publisher(self.publisher.ledger, self.publisher.kpi_table, self._compute, MADE_WITH).publish(
                {DATE: (self.run,)}
            )
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            self.error.append(error)

    def _compute(
        self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones, _: frozenset[str]
    ) -> Mapping[str, DayKpis]:
        self._has_claimed.set()
        assert self._may_go_on.wait(30)
        return compute(claims, snapshots, tombstones)


def test_a_day_that_is_claimed_again_before_each_job_ends_still_grows_and_every_job_ends(tables: Tables) -> None:
    """A job that had to be the latest to publish would never end here."""
    jobs = [Job(publisher(tables), f"run-{number}") for number in range(1, 9)]
    jobs[0].begin()
    seen = []
    for job, next_one in pairwise(jobs):
        next_one.begin()
        job.end()
        version, runs = visible(tables)
        seen.append((version, max(map(len, runs))))
    assert seen == [(number, number) for number in range(1, 8)]
    jobs[-1].end()
    assert visible(tables) == (8, {tuple(f"run-{number}" for number in range(1, 9))})


def test_jobs_that_end_in_the_opposite_order_leave_the_last_claim_visible(tables: Tables) -> None:
    jobs = [Job(publisher(tables), f"run-{number}") for number in range(1, 6)]
    for job in jobs:
        job.begin()
    for job in reversed(jobs):
        job.end()
        assert visible(tables) == (5, {tuple(f"run-{number}" for number in range(1, 6))})


def test_a_reader_that_has_just_read_summary_still_finds_the_rows_of_its_version(tables: Tables) -> None:
    for run in ("run-1", "run-2", "run-3"):
        publisher(tables).publish({DATE: (run,)})
        latest, _ = visible(tables)
        assert versions(tables) == {latest - 1, latest} - {0}


# Days that lose their plays


def test_a_genre_without_plays_has_no_row_in_the_next_version(tables: Tables) -> None:
    def fewer(claims: Sequence[Claim], *_: object) -> Mapping[str, DayKpis]:
        return {claim.date: kpis_of(claim, GENRES[1:]) for claim in claims}

    publisher(tables).publish({DATE: ("run-1",)})
    publisher(tables, fewer).publish({DATE: ()})
    summary, genres = read_rows(tables.kpis_table, DATE)
    assert (summary["version"], summary["genre_rows"]) == (2, 29)
    assert {row["genre"] for row in genres} == set(GENRES[1:])


def test_a_day_that_lost_its_last_play_keeps_a_marker_that_no_index_lists(tables: Tables) -> None:
    publisher(tables).publish({DATE: ("run-1",)})
    tables.ledger.replace_run(DATE, "run-1", None)
    publisher(tables).publish({DATE: ()})
    summary, genres = read_rows(tables.kpis_table, DATE)
    assert summary.keys() == {"pk", "sk", "version", "computed_at"}
    assert (summary["version"], genres) == (2, [])
    assert listed(tables) == []
    assert tables.kpi_table.visible([DATE]) == {DATE: VisibleDay(version=2, unknown_plays=0, made_of={})}
    assert unpublished(*read_days(tables.ledger, tables.kpi_table)) == []


def test_an_older_job_does_not_bring_back_the_plays_of_a_day_that_has_lost_them(tables: Tables) -> None:
    """Were SUMMARY deleted and not a marker, the older job's flip would find nothing that is later than it."""
    publisher(tables).publish({DATE: ("run-1",)})

    def lose_the_plays() -> None:
        tables.ledger.replace_run(DATE, "run-1", None)
        publisher(tables).publish({DATE: ()})

    publisher(tables, during(lose_the_plays)).publish({DATE: ()})
    assert visible(tables) == (3, set())
    assert listed(tables) == []


def test_a_day_that_gets_plays_again_is_listed_again(tables: Tables) -> None:
    publisher(tables).publish({DATE: ()})
    assert (visible(tables), listed(tables)) == ((1, set()), [])
    publisher(tables).publish({DATE: ("run-1",)})
    assert (visible(tables), listed(tables)) == ((2, {("run-1",)}), [DATE])


# What SUMMARY and the ledger say


def test_summary_names_the_version_its_rows_and_all_that_the_numbers_are_a_function_of(tables: Tables) -> None:
    songs = Snapshot("songs", "s3://bucket/reference/songs/x/", "raw/songs/ä.csv", "v1", "2024-06-01T00:00:00Z", 7)
    tables.ledger.make_current(songs)
    publisher(tables).publish({DATE: ("run-1",)})
    summary, _ = read_rows(tables.kpis_table, DATE)
    assert {name: summary[name] for name in ("version", "genre_rows", "songs_snapshot", "users_snapshot")} == {
        "version": 1,
        "genre_rows": 30,
        "songs_snapshot": songs.uri,
        "users_snapshot": None,
    }
    made_of = {"snapshots": {"songs": songs.file}, **MADE_WITH}
    assert {name: summary[name] for name in made_of} == made_of
    assert songs.file == {
        "key_hash": "6c8e00032e62bee69843ff20869881ade8182304f49c9723f3211893ac5f7ed9",
        "version_id": "v1",
    }
    assert tables.kpi_table.visible([DATE])[DATE].made_of == made_of


def test_a_snapshot_of_the_same_file_in_another_folder_is_the_same_file(tables: Tables) -> None:
    """A purge writes a folder again."""
    one, other = (Snapshot("users", uri, "raw/users/a.csv", "v1", "2024-06-01T00:00:00Z", 7) for uri in ("a", "b"))
    assert one.file == other.file


def test_only_the_job_that_makes_its_version_visible_notes_it(tables: Tables) -> None:
    noted: list[int] = []

    def note(_: str, params: dict[str, Any]) -> None:
        if "published" in params.get("ExpressionAttributeNames", {}).values():
            noted.append(params["ExpressionAttributeValues"][":version"])

    tables.before_each_request(note)
    publisher(tables, during(lambda: publisher(tables).publish({DATE: ("run-2",)}))).publish({DATE: ("run-1",)})
    assert noted == [2]
    day = tables.ledger.day(DATE)
    assert day is not None
    assert (day.claim, day.published) == (2, 2)


# Jobs that die


class DiedError(Exception):
    """The job was killed."""


def dying_before(tables: Tables, operation: str) -> Publisher:
    """A publisher that dies before it asks the table of KPIs for an operation."""
    due = [operation]

    def die(asked: str, params: dict[str, Any]) -> None:
        if due == [asked] and params.get("TableName", "kpis") == "kpis":
            due.clear()
            raise DiedError

    tables.before_each_request(die)
    return publisher(tables)


@pytest.mark.parametrize(
    ("operation", "version", "is_published"),
    [("BatchWriteItem", 1, False), ("PutItem", 1, False), ("Query", 2, True)],
)
def test_a_job_that_dies_leaves_a_day_as_it_was_or_published_and_the_next_one_ends_its_work(
    tables: Tables, operation: str, version: int, is_published: bool
) -> None:
    publisher(tables).publish({DATE: ("run-1",)})
    with pytest.raises(DiedError):
        dying_before(tables, operation).publish({DATE: ("run-2",)})
    runs = ("run-1", "run-2") if is_published else ("run-1",)
    assert visible(tables) == (version, {runs})
    assert unpublished(*read_days(tables.ledger, tables.kpi_table)) == ([] if is_published else [DATE])
    for number in (3, 4):
        publisher(tables).publish({DATE: ()})
        assert visible(tables) == (number, {("run-1", "run-2")})
    assert versions(tables) == {3, 4}, "rows of the job that died are gone"


@contextmanager
def answers_lost(tables: Tables, operation: str) -> Iterator[list[str]]:
    """DynamoDB does what the first request of an operation asks for, and its answer does not arrive."""
    lost: list[str] = []

    def send_and_lose(request: AWSPreparedRequest, **_: object) -> None:
        if not lost:
            lost.append(operation)
            assert URLLib3Session().send(request).status_code == 200
            raise ConnectionClosedError(endpoint_url=request.url)

    events = tables.kpis_table.meta.client.meta.events
    events.register(f"before-send.dynamodb.{operation}", send_and_lose)
    yield lost
    events.unregister(f"before-send.dynamodb.{operation}", send_and_lose)


@pytest.mark.parametrize("operation", ["PutItem", "BatchWriteItem", "UpdateItem"])
def test_a_request_whose_answer_is_lost_and_that_is_sent_again_does_no_harm(tables: Tables, operation: str) -> None:
    """A flip that is sent again finds its own version visible, which is not before it."""
    publisher(tables).publish({DATE: ("run-1",)})
    with answers_lost(tables, operation) as lost:
        publisher(tables).publish({DATE: ("run-2",)})
    assert lost == [operation]
    assert visible(tables) == (2, {("run-1", "run-2")})
    assert unpublished(*read_days(tables.ledger, tables.kpi_table)) == []


def test_a_claim_whose_answer_is_lost_skips_a_version(tables: Tables) -> None:
    tables.ledger.commit_run(DATE, "run-1")
    with answers_lost(tables, "UpdateItem"):
        publisher(tables).publish({DATE: ()})
    assert visible(tables) == (2, {("run-1",)})
    assert unpublished(*read_days(tables.ledger, tables.kpi_table)) == []


# Which days are to be computed


def test_days_are_unpublished_by_what_is_visible_and_not_by_the_hint(tables: Tables) -> None:
    for date in ("2024-06-01", "2024-06-02"):
        publisher(tables).publish({date: ("run-1",)})
    tables.ledger.claim_day("2024-06-02")
    tables.ledger.note_published("2024-06-02", 2)
    tables.ledger.claim_day("2024-06-03")
    tables.ledger_table.update_item(
        Key={"pk": "DAYS", "sk": "2024-06-01"},
        UpdateExpression="REMOVE #published",
        ExpressionAttributeNames={"#published": "published"},
    )
    assert unpublished(*read_days(tables.ledger, tables.kpi_table)) == ["2024-06-02", "2024-06-03"]


def test_a_flip_whose_answer_is_lost_is_noted_all_the_same(tables: Tables) -> None:
    publisher(tables).publish({DATE: ("run-1",)})
    with answers_lost(tables, "PutItem"):
        publisher(tables).publish({DATE: ("run-2",)})
    assert visible(tables) == (2, {("run-1", "run-2")})
    assert tables.ledger.day(DATE) == Day(DATE, claim=2, published=2)
