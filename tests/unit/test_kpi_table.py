"""Rows of a version are written before anybody reads them, and versions that nobody reads any more are deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
import urllib3
from boto3.dynamodb.types import TypeSerializer
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError

from glue_scripts.kpi_items import Item
from glue_scripts.kpi_table import MAX_TRIES, MAX_WAIT_SECONDS, MAX_WRITES, KpiTable, ThrottledError, VisibleDay
from glue_scripts.names import is_marker, summary_key, version_prefix
from tests.unit.conftest import Request, Tables

DATE, OTHER_DATE = "2024-06-25", "2024-06-26"
MADE_OF = {"snapshots": {}, "kpi_code": "abc", "kpi_settings": {"top_songs": 3}}


def genre_row(version: int, genre: str, *, date: str = DATE) -> Item:
    return {**summary_key(date), "sk": f"{version_prefix(version)}GENRE#{genre}", "genre": genre}


def summary(version: int, *, date: str = DATE, **values: object) -> Item:
    return {**summary_key(date), "version": version, "listens": 1, "unknown_track_plays": 0, **MADE_OF, **values}


def keys(tables: Tables) -> set[tuple[str, str]]:
    return {(str(row["pk"]), str(row["sk"])) for row in tables.kpis_table.scan()["Items"]}


def keys_of(rows: Iterable[Item]) -> set[tuple[str, str]]:
    return {(row["pk"], row["sk"]) for row in rows}


def requests_in(request: Request) -> list[Any]:
    operation, params = request
    assert operation == "BatchWriteItem"
    ((name, requests),) = params["RequestItems"].items()
    assert name == "kpis"
    return list(requests)


# Writing


def test_as_many_rows_are_written_at_once_as_dynamodb_takes(tables: Tables) -> None:
    rows = [genre_row(1, f"genre {number}") for number in range(113)]
    requests = tables.recorded()
    tables.kpi_table.write(rows)
    assert [len(requests_in(request)) for request in requests] == [25, 25, 25, 25, 13]
    assert keys(tables) == keys_of(rows)


def test_a_version_without_rows_is_no_request(tables: Tables) -> None:
    requests = tables.recorded()
    tables.kpi_table.write([])
    assert requests == []


@dataclass
class Throttle:
    """Takes only some writes of each request, and gives the others back, as DynamoDB does where capacity is short.

    Attributes:
        takes: how many of the next requests it takes; of the requests after them, everything.
        asked: how many writes each request held.
        waits: seconds that were waited after each answer.
    """

    takes: list[int]
    asked: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    _left: list[Any] = field(default_factory=list)

    def on(self, tables: Tables) -> KpiTable:
        tables.before_each_request(self._cut)
        tables.kpis_table.meta.client.meta.events.register("after-call.dynamodb.BatchWriteItem", self._give_back)
        return KpiTable(tables.kpis_table, self.waits.append)

    def _cut(self, operation: str, params: dict[str, Any]) -> None:
        if operation == "BatchWriteItem":
            requests = params["RequestItems"]["kpis"]
            taken = self.takes.pop(0) if self.takes else len(requests)
            self.asked.append(len(requests))
            self._left = requests[taken:]
            # BatchWriteItem takes no empty list: a write that is given back as well is done again, to the same effect.
            params["RequestItems"] = {"kpis": requests[: max(taken, 1)]}

    def _give_back(self, parsed: dict[str, Any], **_: object) -> None:
        left = [as_dynamodb_answers(request) for request in self._left]
        parsed["UnprocessedItems"] = {"kpis": left} if left else {}


def as_dynamodb_answers(request: dict[str, Any]) -> dict[str, Any]:
    """A write with DynamoDB's types in place of Python's."""
    ((kind, ((what, attributes),)),) = ((kind, write.items()) for kind, write in request.items())
    serialize = TypeSerializer().serialize
    return {kind: {what: {name: serialize(value) for name, value in attributes.items()}}}


def test_what_dynamodb_leaves_out_is_written_again_after_a_wait(tables: Tables) -> None:
    rows = [genre_row(1, f"genre {number}") for number in range(60)]
    throttle = Throttle(takes=[25, 5, 0, 3])
    throttle.on(tables).write(rows)
    assert throttle.asked == [25, 25, 25, 25, 25, 2]
    assert len(throttle.waits) == 3
    assert keys(tables) == keys_of(rows)


def test_what_dynamodb_leaves_out_is_deleted_again_after_a_wait(tables: Tables) -> None:
    tables.kpi_table.write(genre_row(1, f"genre {number}") for number in range(30))
    throttle = Throttle(takes=[10, 0])
    throttle.on(tables).collect(DATE, 2)
    assert len(throttle.waits) == 2
    assert keys(tables) == set()


def test_waits_grow_and_have_a_limit(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glue_scripts.kpi_table.random.uniform", lambda _, longest: longest)
    throttle = Throttle(takes=[0] * (MAX_TRIES - 1))
    throttle.on(tables).write([genre_row(1, "pop")])
    assert throttle.waits == sorted(throttle.waits)
    assert (throttle.waits[0], throttle.waits[-1]) == (0.2, MAX_WAIT_SECONDS)
    assert keys(tables) == keys_of([genre_row(1, "pop")])


def test_a_throttle_that_lets_a_row_through_each_time_is_waited_for(tables: Tables) -> None:
    rows = [genre_row(1, f"genre {number}") for number in range(3 * MAX_TRIES)]
    throttle = Throttle(takes=[1] * len(rows))
    throttle.on(tables).write(rows)
    assert len(throttle.waits) == len(rows) - 1
    assert keys(tables) == keys_of(rows)


def test_a_throttle_that_does_not_end_is_an_error_that_names_the_table(tables: Tables) -> None:
    throttle = Throttle(takes=[0] * 1000)
    with pytest.raises(ThrottledError, match=r"taken no row of the table kpis in 12 tries\. Nothing is lost: redrive"):
        throttle.on(tables).write(genre_row(1, f"genre {number}") for number in range(60))
    assert len(throttle.asked) == MAX_TRIES


def test_other_errors_are_not_waited_for(tables: Tables) -> None:
    throttle = Throttle(takes=[])
    with pytest.raises(ClientError, match="ValidationException"):
        throttle.on(tables).write([genre_row(1, "pop"), genre_row(1, "pop")])
    assert throttle.waits == []


# Making a version visible


def test_a_later_version_becomes_visible_and_an_earlier_one_does_not(tables: Tables) -> None:
    table = tables.kpi_table
    assert table.flip(summary(2)) == 0
    assert table.flip(summary(11)) == 2
    assert table.flip(summary(9)) is None
    table.flip(summary(11, listens=7))
    (row,) = tables.kpis_table.scan()["Items"]
    assert (row["version"], row["listens"]) == (11, 1)


def test_a_summary_that_dynamodb_does_not_take_is_an_error(tables: Tables) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        tables.kpi_table.flip(summary(1, listens_by_country="x" * 410_000))


def test_what_is_visible_is_told_of_many_days(tables: Tables) -> None:
    dates = [f"2024-06-{day:02}" for day in range(1, 31)]
    for number, date in enumerate(dates[:-1], start=1):
        tables.kpi_table.flip(summary(number, date=date, unknown_track_plays=number % 3))
    tables.kpi_table.flip({**summary_key(OTHER_DATE), "version": 99, "computed_at": "2024-07-01T00:00:00Z"})
    visible = tables.kpi_table.visible(dates)
    assert visible.keys() == set(dates[:-1]), "a day that was never published is not among them"
    assert visible["2024-06-04"] == VisibleDay(version=4, unknown_plays=1, made_of=MADE_OF)
    assert visible[OTHER_DATE] == VisibleDay(version=99, unknown_plays=0, made_of={}), "a day without plays"
    assert tables.kpi_table.visible([]) == {}


def test_what_is_visible_is_read_consistently_and_not_from_an_index(tables: Tables) -> None:
    requests = tables.recorded()
    tables.kpi_table.visible([DATE, OTHER_DATE])
    assert [operation for operation, _ in requests] == ["GetItem"] * 2
    assert all(params["ConsistentRead"] for _, params in requests)


def test_a_marker_is_the_summary_of_a_day_without_plays() -> None:
    assert not is_marker(summary(1))
    assert is_marker({**summary_key(DATE), "version": 1})
    assert is_marker({})


# Deleting what nobody reads any more


def rows_of(versions: Sequence[int], *, date: str = DATE) -> list[Item]:
    return [genre_row(version, genre, date=date) for version in versions for genre in ("pop", "rock")]


def test_only_versions_before_the_oldest_that_is_read_are_deleted(tables: Tables) -> None:
    """Versions 2 and 8 are rows of jobs that died, 12 one of a job at work."""
    tables.kpi_table.write([*rows_of([2, 8, 9, 10, 11, 12]), *rows_of([1], date=OTHER_DATE)])
    tables.kpi_table.flip(summary(11))
    tables.kpi_table.collect(DATE, 10)
    left = [*rows_of([10, 11, 12]), *rows_of([1], date=OTHER_DATE), summary(11)]
    assert keys(tables) == keys_of(left)


def test_what_is_deleted_already_is_not_deleted_again(tables: Tables) -> None:
    tables.kpi_table.write(rows_of([1, 2, 3]))
    tables.kpi_table.collect(DATE, 3)
    requests = tables.recorded()
    tables.kpi_table.collect(DATE, 3)
    assert [operation for operation, _ in requests] == ["Query"]
    assert keys(tables) == keys_of(rows_of([3]))


def test_before_the_second_publication_of_a_day_nothing_is_deleted(tables: Tables) -> None:
    tables.kpi_table.write(rows_of([0, 1]))
    tables.kpi_table.collect(DATE, 0)
    assert keys(tables) == keys_of(rows_of([0, 1]))


def test_rows_on_many_pages_are_deleted(tables: Tables) -> None:
    def small_pages(operation: str, params: dict[str, Any]) -> None:
        if operation == "Query":
            params["Limit"] = 7

    rows = [genre_row(version, f"genre {number}") for version in (1, 2) for number in range(2 * MAX_WRITES)]
    tables.kpi_table.write(rows)
    tables.before_each_request(small_pages)
    tables.kpi_table.collect(DATE, 2)
    assert keys(tables) == keys_of(row for row in rows if row["sk"].startswith(version_prefix(2)))


def test_rows_sort_as_their_versions_do() -> None:
    versions = [0, 1, 9, 10, 99, 100, 10**9, 10**10 - 1]
    assert sorted(map(version_prefix, versions)) == list(map(version_prefix, versions))
    assert {len(version_prefix(version)) for version in versions} == {len("V#0000000001#")}


@dataclass
class Refusal:
    """Refuses whole requests to write, as DynamoDB does where it has capacity for none of the rows.

    Attributes:
        code: of the error.
        times: how many of the next requests are refused.
        waits: seconds that were waited.
    """

    code: str
    times: int
    waits: list[float] = field(default_factory=list)

    def on(self, tables: Tables) -> KpiTable:
        tables.kpis_table.meta.client.meta.events.register("before-send.dynamodb.BatchWriteItem", self._refuse)  # type: ignore[arg-type]
        return KpiTable(tables.kpis_table, self.waits.append)

    def _refuse(self, request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        if self.times == 0:
            return None
        self.times -= 1
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{self.code}", "message": "too much"})
        raw = urllib3.HTTPResponse(BytesIO(body.encode()), preload_content=False)
        return AWSResponse(request.url, 400, HTTPHeaders(), raw)


@pytest.fixture
def _without_the_waits_of_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "ThrottlingException"])
@pytest.mark.usefixtures("_without_the_waits_of_boto3")
def test_a_request_that_is_refused_as_a_whole_is_sent_again_after_a_wait(tables: Tables, code: str) -> None:
    rows = [genre_row(1, "pop"), genre_row(1, "rock")]
    refusal = Refusal(code, 25)
    refusal.on(tables).write(rows)
    assert keys(tables) == keys_of(rows)
    assert len(refusal.waits) == 2, "boto3 makes ten tries before us"


@pytest.mark.usefixtures("_without_the_waits_of_boto3")
def test_refusals_that_do_not_end_are_an_error_that_says_what_to_do(tables: Tables) -> None:
    refusal = Refusal("ThrottlingException", 10_000)
    with pytest.raises(ThrottledError, match="has taken no row"):
        refusal.on(tables).write([genre_row(1, "pop")])
    assert len(refusal.waits) == MAX_TRIES - 1
