"""Makes calls of the AWS API fail inside of the embedded AWS, as a test says: which call, how, and how often."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_plus

import pytest
from botocore import xform_name
from moto.dynamodb.responses import DynamoHandler
from moto.glue.responses import GlueResponse
from moto.s3.responses import S3Response
from moto.sns.responses import SNSResponse
from moto.stepfunctions.responses import StepFunctionResponse

_RESPONSES: Final[dict[str, Any]] = {
    "s3": S3Response,
    "glue": GlueResponse,
    "dynamodb": DynamoHandler,
    "sns": SNSResponse,
    "states": StepFunctionResponse,
}
_STATUS: Final = {"InternalError": 500, "InternalServerError": 500, "SlowDown": 503, "AccessDenied": 403}
"""HTTP status of an error code; 400 of any other."""


@dataclass
class Fault:
    """Calls of one operation that fail.

    Attributes:
        operation: service and operation as IAM writes them: `s3:CopyObject`.
        about: only calls about this: of S3 the beginning of the key (of a listing: of its prefix), of other services a
            part of the request's text.
        error: the error code of the answer.
        first: the number of the first call that fails, counted from 1.
        times: how many calls fail from there on; None: every one, until `lift`.
        is_done: the call is done, and only its answer is lost.
        meanwhile: what happens just before a call is answered, in place of an error.
        calls: how many calls came so far.
    """

    operation: str
    about: str
    error: str
    first: int
    times: int | None
    is_done: bool
    meanwhile: Callable[[], object] | None = None
    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lift(self) -> None:
        """End the fault: the cause is gone."""
        self.times = 0

    def hits(self, subject: str) -> bool:
        """Count a call, and tell whether it fails."""
        if not (subject.startswith(self.about) if self.operation.startswith("s3:") else self.about in subject):
            return False
        with self._lock:
            self.calls += 1
            return self.calls >= self.first and (self.times is None or self.calls < self.first + self.times)


class Faults:
    """The faults of one test; they end with it.

    Args:
        monkeypatch: Puts moto's answers back.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._faults: dict[str, list[Fault]] = {}

    def fail(
        self,
        operation: str,
        about: str = "",
        *,
        error: str = "InternalError",
        first: int = 1,
        times: int | None = 1,
        is_done: bool = False,
    ) -> Fault:
        """Make calls fail; the arguments are the attributes of `Fault`."""
        fault = Fault(operation, about, error, first, times, is_done)
        if operation not in self._faults:
            self._faults[operation] = []
            self._patch(operation)
        self._faults[operation].append(fault)
        return fault

    def meanwhile(self, operation: str, about: str, happens: Callable[[], object]) -> Fault:
        """Let something happen just before the first such call is answered, such as what another execution does."""
        fault = self.fail(operation, about)
        fault.meanwhile = happens
        return fault

    def _patch(self, operation: str) -> None:
        service, _, action = operation.partition(":")
        method = xform_name(action)
        answer: Callable[..., Any] = getattr(_RESPONSES[service], method)

        def answer_or_fail(response: Any, *given: Any, **named: Any) -> Any:  # noqa: ANN401 # whatever moto gives
            # Of HEAD, moto has not read the request when it answers: it is given bucket, query and key.
            subject = str(given[2]) if given else _subject(service, response)
            hit = [fault for fault in self._faults[operation] if fault.hits(subject)]
            if not hit:
                return answer(response, *given, **named)
            if hit[0].meanwhile:
                hit[0].meanwhile()
                return answer(response, *given, **named)
            if hit[0].is_done:
                answer(response, *given, **named)
            return _refusal(service, hit[0].error, f"the test makes {operation} fail")

        self._monkeypatch.setattr(_RESPONSES[service], method, answer_or_fail)


def _refusal(service: str, code: str, message: str) -> tuple[int, dict[str, object], str]:
    """An error as the service's protocol writes it; moto's own writer knows the errors of the models only."""
    status = _STATUS.get(code, 400)
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    if service == "s3":
        return status, {}, error
    if service == "sns":
        return status, {"status": status}, f"<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>"
    return status, {"status": status, "x-amzn-errortype": code}, json.dumps({"__type": code, "message": message})


def _subject(service: str, response: Any) -> str:  # noqa: ANN401 # moto's response object
    if service != "s3":
        return unquote_plus(str(response.body or response.params))
    return str(response.parse_key_name() or response.querystring.get("prefix", [""])[0])
