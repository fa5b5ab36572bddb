"""The proxy integration of a function: the event that it gets, and what it must answer.

Payload format 1.0, https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qsl

from local_aws.api_gateway.access import ApiKey
from local_aws.api_gateway.rest_api import RestApi, Route

_ANSWER_KEYS: Final = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})


class MalformedAnswerError(Exception):
    """The function's answer is not what the integration takes; the message is for the log, not for the client."""


@dataclass(frozen=True)
class ClientRequest:
    """A request as it came in.

    Attributes:
        method: In capitals.
        stage: First part of its path.
        raw_path: The rest of its path, as the client has encoded it.
        whole_path: All of its path, as the client has encoded it.
        query: The query, as the client has encoded it.
        headers: Name to values. Names come in the usual spelling, `X-Api-Key`, whatever the client wrote.
        body: Its body.
        address: The client's address.
        protocol: Such as `HTTP/1.1`.
    """

    method: str
    stage: str
    raw_path: str
    whole_path: str
    query: str
    headers: Mapping[str, list[str]]
    body: bytes
    address: str
    protocol: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def header(self, name: str) -> str:
        """The last value of a header; empty if there is none."""
        return self.headers.get(name, [""])[-1]


@dataclass(frozen=True)
class Answer:
    """What the client gets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def event_of(
    request: ClientRequest, route: Route, api: RestApi, *, account: str, key: ApiKey | None, signer: str | None
) -> dict[str, Any]:
    """Make the event for the function.

    Args:
        request: The client's request.
        route: What it matches.
        api: The API.
        account: Account id.
        key: The API key that it carries, if the method needs one.
        signer: The access key that has signed it, if the method needs that.
    """
    query = parse_qsl(request.query, keep_blank_values=True)
    is_binary = _is_binary(request.header("Content-Type"), api.binary_media_types)
    now = time.time()
    identity = dict.fromkeys(
        ("accessKey", "accountId", "apiKey", "apiKeyId", "caller", "cognitoAuthenticationProvider"), None
    ) | {
        "sourceIp": request.address,
        "userAgent": request.header("User-Agent") or None,
        **({"apiKey": key.value, "apiKeyId": key.id} if key else {}),
        **({"accessKey": signer, "accountId": account} if signer else {}),
    }
    return {
        "resource": route.resource.path,
        "path": request.raw_path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in request.headers.items()} or None,
        "multiValueHeaders": dict(request.headers) or None,
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": _grouped(query) or None,
        "pathParameters": dict(route.path_parameters) or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": account,
            "apiId": api.id,
            "resourceId": route.resource.id,
            "resourcePath": route.resource.path,
            "stage": request.stage,
            "path": f"/{request.stage}{request.raw_path}",
            "httpMethod": request.method,
            "protocol": request.protocol,
            "requestId": request.id,
            "extendedRequestId": request.id,
            "requestTime": datetime.fromtimestamp(now, tz=UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(now * 1000),
            "domainName": request.header("Host"),
            "domainPrefix": api.id,
            "identity": identity,
        },
        "body": _body_of(request.body, is_binary=is_binary),
        "isBase64Encoded": is_binary and bool(request.body),
    }


def answer_of(payload: str, request: ClientRequest, api: RestApi) -> Answer:
    """Read the function's answer.

    Args:
        payload: What the function returned, as JSON text.
        request: What it answers.
        api: The API.

    Raises:
        MalformedAnswerError: It is not what the integration takes.
    """
    answer = json.loads(payload)
    if not isinstance(answer, dict):
        raise MalformedAnswerError(f"the answer is no object: {payload[:200]}")
    if unknown := answer.keys() - _ANSWER_KEYS:
        raise MalformedAnswerError(f"unknown members {sorted(unknown)}")
    body = answer.get("body")
    if body is not None and not isinstance(body, str):
        raise MalformedAnswerError(f"body is no text but {type(body).__name__}")
    headers = tuple(_headers_of(answer))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers = (*headers, ("Content-Type", "application/json"))
    return Answer(_status_of(answer), headers, _bytes_of(body or "", answer, request, api))


def _status_of(answer: Mapping[str, Any]) -> int:
    status = answer.get("statusCode")
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        raise MalformedAnswerError(f"statusCode is no HTTP status but {status!r}")
    return status


def _headers_of(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Headers of both members; where a name is in both, the one with several values holds."""
    single, several = answer.get("headers") or {}, answer.get("multiValueHeaders") or {}
    if not isinstance(single, dict) or not isinstance(several, dict):
        raise MalformedAnswerError("headers and multiValueHeaders must be objects")
    for name, value in single.items():
        if name not in several:
            yield name, _header_value(name, value)
    for name, values in several.items():
        if not isinstance(values, list):
            raise MalformedAnswerError(f"header {name} of multiValueHeaders is no list")
        for value in values:
            yield name, _header_value(name, value)


def _header_value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise MalformedAnswerError(f"header {name} is no text but {type(value).__name__}")
    text = str(value)
    if "\n" in text or "\r" in text:
        raise MalformedAnswerError(f"header {name} has a line break")
    return text


def _bytes_of(body: str, answer: Mapping[str, Any], request: ClientRequest, api: RestApi) -> bytes:
    """Decoded only if the client asks for a binary type first, as API Gateway does it."""
    accepted = request.header("Accept").split(",")[0].split(";")[0].strip()
    if not answer.get("isBase64Encoded") or not _is_binary(accepted, api.binary_media_types):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise MalformedAnswerError(f"body is no base64: {error}") from error


def _is_binary(media_type: str, binary_media_types: tuple[str, ...]) -> bool:
    plain = media_type.split(";")[0].strip().lower()
    return any(fnmatchcase(plain, binary) or binary == "*/*" for binary in binary_media_types)


def _body_of(body: bytes, *, is_binary: bool) -> str | None:
    if not body:
        return None
    return base64.b64encode(body).decode() if is_binary else body.decode(errors="replace")


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values
