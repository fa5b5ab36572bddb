"""How often DynamoDB is asked, and what becomes of its failures."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectTimeoutError

from lambdas.kpi_api import store
from tests.kpi_api.conftest import Kpis
from tests.kpi_api.recorded import counted_calls, failure, operation, parameters, replies, response
from tests.kpi_api.rows import DAYS
from tests.kpi_api.test_bad_requests import problem

DAY = DAYS[-1]
COSTS = {
    "/v1/openapi.json": {},
    "/v1/days": {"Query": 1},
    f"/v1/days/{DAY}": {"GetItem": 1},
    f"/v1/days/{DAY}/genres": {"GetItem": 1, "Query": 1},
    f"/v1/days/{DAY}/genres/pop": {"GetItem": 1, "BatchGetItem": 1},
    "/v1/genres/pop/days": {"Query": 1},
    "/v1/genres/polka/days": {"Query": 2},
    "/v1/days/2023-01-01/genres/pop": {"GetItem": 1},
}
READING = [path for path, cost in COSTS.items() if cost]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_TRY_AGAIN_SECONDS", 0)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.mark.parametrize("path", COSTS)
def test_an_answer_costs_the_calls_that_are_documented(kpis: Kpis, path: str) -> None:
    with counted_calls() as calls:
        kpis.get(path)
    assert calls == COSTS[path]


@pytest.mark.parametrize("path", [f"/v1/days/{DAY}/genres", f"/v1/days/{DAY}/genres/pop"])
def test_an_answer_that_the_client_has_costs_one_call(kpis: Kpis, path: str) -> None:
    etag = kpis.get(path).headers["ETag"]
    with counted_calls() as calls:
        assert kpis.get(path, headers={"If-None-Match": etag}).status == 304
    assert calls == {"GetItem": 1}


def test_everything_of_the_table_is_read_consistently(kpis: Kpis) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def note(request: AWSPreparedRequest) -> None:
        asked.append((operation(request), parameters(request)))

    with replies(note):
        for path in READING:
            kpis.get(path)
    for name, what in asked:
        of_table = what["RequestItems"]["kpis"] if name == "BatchGetItem" else what
        assert of_table.get("ConsistentRead", False) is ("IndexName" not in what)


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
        answer = kpis.get(path)
    body = problem(answer, 503, "busy")
    assert (answer.headers["Retry-After"], body["request_id"]) == ("2", "request-1")
    assert kpis.get(path).status in (200, 404)


@pytest.mark.parametrize("path", READING)
def test_a_silent_dynamodb_is_told_as_503(kpis: Kpis, path: str) -> None:
    def silence(request: AWSPreparedRequest) -> AWSResponse:
        raise ConnectTimeoutError(endpoint_url=request.url)

    with replies(silence):
        problem(kpis.get(path), 503, "busy")


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_what_dynamodb_refuses_is_our_fault_and_stays_in_the_log(
    kpis: Kpis, path: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with replies(failure(code)), caplog.at_level(logging.ERROR):
        answer = kpis.get(path)
    assert problem(answer, 500, "internal")["request_id"] == "request-1"
    assert "secret-internals" not in answer.text
    assert "secret-internals" in caplog.text


def test_keys_that_dynamodb_leaves_out_are_asked_for_again(kpis: Kpis) -> None:
    path = f"/v1/days/{DAY}/genres/pop"
    expected = kpis.get(path).json
    counts: Counter[str] = Counter()

    def leave_out(request: AWSPreparedRequest) -> AWSResponse | None:
        counts[operation(request)] += 1
        if operation(request) == "BatchGetItem" and counts["BatchGetItem"] < store.MAX_BATCH_TRIES:
            left = parameters(request)["RequestItems"]
            return response(request, {"Responses": {}, "UnprocessedKeys": left})
        return None

    with replies(leave_out):
        assert kpis.get(path).json == expected
    assert counts == {"GetItem": 1, "BatchGetItem": store.MAX_BATCH_TRIES}


def test_keys_that_dynamodb_leaves_out_every_time_are_told_as_503(kpis: Kpis) -> None:
    counts: Counter[str] = Counter()

    def leave_out(request: AWSPreparedRequest) -> AWSResponse | None:
        counts[operation(request)] += 1
        if operation(request) == "GetItem":
            return None
        return response(request, {"Responses": {}, "UnprocessedKeys": parameters(request)["RequestItems"]})

    with replies(leave_out):
        problem(kpis.get(f"/v1/days/{DAY}/genres/pop"), 503, "busy")
    assert counts == {"GetItem": 1, "BatchGetItem": store.MAX_BATCH_TRIES}
