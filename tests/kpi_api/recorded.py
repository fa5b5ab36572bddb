"""DynamoDB's answers at the wire of a real boto3 client: counted, replaced by others, or recorded and given again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict

from lambdas.kpi_api import handler

Reply = Callable[[AWSPreparedRequest], AWSResponse | None]


def client() -> Any:  # noqa: ANN401
    """The handler's client of DynamoDB."""
    return handler._api()._reader._store._client


def answered(request: AWSPreparedRequest) -> bytes:
    """DynamoDB's own answer to a request."""
    content: bytes = client()._endpoint.http_session.send(request).content
    return content


@contextmanager
def replies(reply: Reply) -> Iterator[None]:
    """Answers requests in DynamoDB's place; None leaves one to it."""
    events = client().meta.events

    def before_send(request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        return reply(request)

    events.register("before-send.dynamodb", before_send)
    try:
        yield
    finally:
        events.unregister("before-send.dynamodb", before_send)


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Counts requests to DynamoDB by operation."""
    counts: Counter[str] = Counter()

    def count(request: AWSPreparedRequest) -> None:
        counts[operation(request)] += 1

    with replies(count):
        yield counts


def operation(request: AWSPreparedRequest) -> str:
    """Such as `GetItem`."""
    target = request.headers["X-Amz-Target"]
    return (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]


def body(request: AWSPreparedRequest) -> str | bytes:
    """What an operation is asked with, as it is sent."""
    assert isinstance(request.body, str | bytes)
    return request.body


def parameters(request: AWSPreparedRequest) -> dict[str, Any]:
    """What an operation is asked with."""
    asked: dict[str, Any] = json.loads(body(request))
    return asked


def failure(code: str, status: int = 400) -> Reply:
    """A DynamoDB that answers everything with an error."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "arn:aws:dynamodb:secret-internals"}
    return lambda request: response(request, body, status)


def response(request: AWSPreparedRequest, body: Any, status: int = 200) -> AWSResponse:  # noqa: ANN401
    """A response with a JSON body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = HeadersDict({"content-type": "application/x-amz-json-1.0"})
    return AWSResponse(request.url, status, headers, _Raw(content))  # type: ignore[arg-type]


class _Raw:
    """The body as urllib3 hands it over."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._content
