"""Each call of DynamoDB that the API makes fails in each way, once and for good: the table of docs/faults.md."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ReadTimeoutError

from tests import fault_table
from tests.kpi_api.conftest import Kpis
from tests.kpi_api.recorded import Reply, counted_calls, failure, operation, replies
from tests.kpi_api.rows import DAYS

CALLER: Final = "Lambda `kpi_api`"


@dataclass(frozen=True)
class Call:
    """A call of DynamoDB; `path` is the request that makes it."""

    operation: str
    purpose: str
    path: str


CALLS: Final = [
    Call("dynamodb:GetItem", "a day", f"/v1/days/{DAYS[-1]}"),
    Call("dynamodb:GetItem", "a genre's day", f"/v1/days/{DAYS[-1]}/genres/pop"),
    Call("dynamodb:Query", "a day's genres", f"/v1/days/{DAYS[-1]}/genres"),
    Call("dynamodb:Query", "days", "/v1/days"),
    Call("dynamodb:BatchGetItem", "a genre's days", "/v1/genres/pop/days"),
]


def refusal(error: str) -> Callable[[AWSPreparedRequest], AWSResponse | None]:
    """How a call fails."""

    def no_answer(request: AWSPreparedRequest) -> AWSResponse:
        raise ReadTimeoutError(endpoint_url=request.url)

    refusals: dict[str, Reply] = {
        "throttled": failure("ThrottlingException"),
        "server error": failure("InternalServerError", 500),
        "no answer": no_answer,
        "access denied": failure("AccessDeniedException"),
    }
    return refusals[error]


def test_the_page_tells_of_every_call_of_the_api(kpis: Kpis) -> None:
    for call in CALLS:
        with counted_calls() as calls:
            assert kpis.get(call.path).status == 200
        assert call.operation.removeprefix("dynamodb:") in calls
    fault_table.assert_complete(CALLER, CALLS)


@pytest.mark.parametrize(("call", "error", "times"), fault_table.cells(CALLS), ids=fault_table.name_of)
def test_a_call_of_the_api_fails(
    kpis: Kpis, call: Call, error: str, times: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    numbers = itertools.count(1)
    refuse = refusal(error)

    def fail(request: AWSPreparedRequest) -> AWSResponse | None:
        if f"dynamodb:{operation(request)}" != call.operation or (times == "once" and next(numbers) > 1):
            return None
        return refuse(request)

    with replies(fail):
        status = kpis.get(call.path).status
    assert kpis.get(call.path).status == 200
    fault_table.check(CALLER, CALLS, call, error, times, "retried" if status == 200 else str(status))
