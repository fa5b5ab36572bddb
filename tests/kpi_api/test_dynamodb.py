"""How often DynamoDB is asked, and what becomes of its failures."""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectTimeoutError

from lambdas.kpi_api import store
from tests.kpi_api.conftest import Answer, Kpis
from tests.kpi_api.publishing import made_up_day
from tests.kpi_api.recorded import answered, counted_calls, failure, operation, parameters, replies, response
from tests.kpi_api.rows import DAYS, Item, stored
from tests.kpi_api.test_bad_requests import problem

DAY = DAYS[-1]
COSTS = {
    "/v1/openapi.json": {},
    "/v1/days": {"Query": 1},
    f"/v1/days/{DAY}": {"GetItem": 1},
    f"/v1/days/{DAY}/genres": {"GetItem": 1, "Query": 1},
    f"/v1/days/{DAY}/genres?limit=2": {"GetItem": 2, "Query": 1},
    f"/v1/days/{DAY}/genres/pop": {"GetItem": 2},
    f"/v1/days/{DAY}/genres/polka": {"GetItem": 3},
    "/v1/days/2023-01-01/genres/pop": {"GetItem": 1},
    "/v1/genres/pop/days": {"Query": 1, "BatchGetItem": 1},
    "/v1/genres/pop/days?to=2023-01-01": {"Query": 2, "BatchGetItem": 1},
    "/v1/genres/polka/days": {"Query": 1, "BatchGetItem": 2},
    f"/v1/genres/polka/days?to={DAYS[0]}": {"Query": 3, "BatchGetItem": 6},
}
READING = [path for path, cost in COSTS.items() if cost]


def ask(kpis: Kpis, path: str, headers: dict[str, str] | None = None) -> Answer:
    """Asks for a path with a query."""
    path, _, query = path.partition("?")
    return kpis.get(path, headers=headers, **dict(parse_qsl(query)))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_TRY_AGAIN_SECONDS", 0)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.mark.parametrize("path", COSTS)
def test_an_answer_costs_the_calls_that_are_documented(kpis: Kpis, path: str) -> None:
    with counted_calls() as calls:
        ask(kpis, path)
    assert calls == COSTS[path]


@pytest.mark.parametrize("path", [f"/v1/days/{DAY}/genres", f"/v1/days/{DAY}/genres/pop"])
def test_an_answer_that_the_client_has_costs_one_call(kpis: Kpis, path: str) -> None:
    etag = ask(kpis, path).headers["ETag"]
    with counted_calls() as calls:
        assert ask(kpis, path, headers={"If-None-Match": etag}).status == 304
    assert calls == {"GetItem": 1}


def test_everything_of_the_table_is_read_consistently(kpis: Kpis) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def note(request: AWSPreparedRequest) -> None:
        asked.append((operation(request), parameters(request)))

    with replies(note):
        for path in READING:
            ask(kpis, path)
    for name, what in asked:
        of_table = what["RequestItems"]["kpis"] if name == "BatchGetItem" else what
        assert of_table.get("ConsistentRead", False) is ("IndexName" not in what)


def test_lists_leave_hours_and_songs_where_they_are(kpis: Kpis) -> None:
    asked: list[dict[str, Any]] = []

    def note(request: AWSPreparedRequest) -> None:
        what = parameters(request)
        asked.append(what.get("RequestItems", {}).get("kpis", what))

    with replies(note):
        for path in ("/v1/days", f"/v1/days/{DAY}/genres", "/v1/genres/polka/days"):
            kpis.get(path)
    lists = [what for what in asked if "ProjectionExpression" in what]
    assert len(lists) == 5
    for what in lists:
        wanted = {what["ExpressionAttributeNames"][name] for name in what["ProjectionExpression"].split(", ")}
        assert not wanted & {"hours", "top_songs", "top_genres", "listens_by_country"}


class TestLargeRows:
    """A Query of DynamoDB ends after 1 MB of rows, even if only a part of them is asked for."""

    PATH = "/v1/days/2024-08-01/genres"
    GENRES = tuple(f"genre-{number:02}" for number in range(20))

    def test_a_page_is_read_by_several_queries(self, kpis: Kpis) -> None:
        with large_rows(kpis, self.GENRES), counted_calls() as calls:
            answer = kpis.get(self.PATH).json
        assert tuple(row["genre"] for row in answer["genres"]) == self.GENRES
        assert answer["next_cursor"] is None
        assert calls == {"GetItem": 1, "Query": 3}

    def test_a_page_is_shorter_where_that_takes_too_many(self, kpis: Kpis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "MAX_QUERIES", 2)
        with large_rows(kpis, self.GENRES):
            first = kpis.get(self.PATH).json
            second = kpis.get(self.PATH, cursor=first["next_cursor"]).json
        assert 0 < len(first["genres"]) < len(self.GENRES)
        assert tuple(row["genre"] for row in first["genres"] + second["genres"]) == self.GENRES
        assert second["next_cursor"] is None

    @pytest.mark.parametrize("number", [3, 4])
    def test_rows_that_are_deleted_between_two_queries_are_not_missed(self, kpis: Kpis, number: int) -> None:
        numbers = itertools.count(1)

        def publish_twice(_: AWSPreparedRequest) -> None:
            if next(numbers) == number:
                put(kpis, large_day(self.GENRES[1:], version=3))
                delete(kpis, large_day(self.GENRES)[:-1])

        with large_rows(kpis, self.GENRES), replies(publish_twice):
            answer = kpis.get(self.PATH).json
        assert tuple(row["genre"] for row in answer["genres"]) == self.GENRES[1:]
        assert answer["version"] == 3


def large_day(genres: Sequence[str], version: int = 1) -> list[Item]:
    """The items of a day of which a Query finds some seven rows."""
    day = stored(made_up_day("2024-08-01", dict.fromkeys(genres, 1)), version=version)
    return [{**item, "top_songs": [{"track_name": "x" * 140_000}]} for item in day[:-1]] + day[-1:]


@contextmanager
def large_rows(kpis: Kpis, genres: Sequence[str]) -> Iterator[None]:
    """Has a day with large rows in the table for a while."""
    put(kpis, large_day(genres))
    try:
        yield
    finally:
        delete(kpis, [*large_day(genres), *large_day(genres, version=3)])


def put(kpis: Kpis, items: Sequence[Item]) -> None:
    with kpis.table.batch_writer() as batch:
        for item in items:
            batch.put_item(Item=item)


def delete(kpis: Kpis, items: Sequence[Item]) -> None:
    with kpis.table.batch_writer() as batch:
        for item in items:
            batch.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("ProvisionedThroughputExceededException", 400),
        ("RequestLimitExceeded", 400),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_a_busy_dynamodb_is_told_as_503(kpis: Kpis, path: str, code: str, status: int) -> None:
    with replies(failure(code, status)):
        answer = ask(kpis, path)
    body = problem(answer, 503, "busy")
    assert (answer.headers["Retry-After"], body["request_id"]) == ("2", "request-1")
    assert ask(kpis, path).status in (200, 404)


@pytest.mark.parametrize("path", READING)
def test_a_silent_dynamodb_is_told_as_503(kpis: Kpis, path: str) -> None:
    def silence(request: AWSPreparedRequest) -> AWSResponse:
        raise ConnectTimeoutError(endpoint_url=request.url)

    with replies(silence):
        problem(ask(kpis, path), 503, "busy")


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_what_dynamodb_refuses_is_our_fault_and_stays_in_the_log(
    kpis: Kpis, path: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with replies(failure(code)), caplog.at_level(logging.ERROR):
        answer = ask(kpis, path)
    assert problem(answer, 500, "internal")["request_id"] == "request-1"
    assert "secret-internals" not in answer.text
    assert "secret-internals" in caplog.text


def test_keys_that_dynamodb_leaves_out_are_asked_for_again(kpis: Kpis) -> None:
    path = "/v1/genres/pop/days"
    expected = ask(kpis, path).json
    counts: Counter[str] = Counter()

    def answer_the_first_only(request: AWSPreparedRequest) -> AWSResponse | None:
        counts[operation(request)] += 1
        if operation(request) != "BatchGetItem":
            return None
        asked = parameters(request)["RequestItems"]["kpis"]
        first, *left = asked["Keys"]
        found = json.loads(answered(request))["Responses"]["kpis"]
        of_first = [item for item in found if first["pk"]["S"] == f"DAY#{item['date']['S']}"]
        unprocessed = {"kpis": {**asked, "Keys": left}} if left else {}
        return response(request, {"Responses": {"kpis": of_first}, "UnprocessedKeys": unprocessed})

    with replies(answer_the_first_only):
        assert ask(kpis, path).json == expected
    assert counts == {"Query": 1, "BatchGetItem": len(DAYS)}
    assert len(DAYS) == store.MAX_BATCH_TRIES


def test_keys_that_dynamodb_leaves_out_every_time_are_told_as_503(kpis: Kpis) -> None:
    counts: Counter[str] = Counter()

    def leave_out(request: AWSPreparedRequest) -> AWSResponse | None:
        counts[operation(request)] += 1
        if operation(request) == "Query":
            return None
        return response(request, {"Responses": {}, "UnprocessedKeys": parameters(request)["RequestItems"]})

    with replies(leave_out):
        problem(kpis.get("/v1/genres/pop/days"), 503, "busy")
    assert counts == {"Query": 1, "BatchGetItem": store.MAX_BATCH_TRIES}
