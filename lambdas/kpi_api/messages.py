"""Requests and responses, apart from how API Gateway wraps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from glue_scripts import names

JSON = "application/json"

_encode = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` would make an encoder for every value


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes:
        method: in capitals.
        path: without the stage, percent-encoded as the client sent it (REST APIs do not decode it).
        query: every value of each parameter, decoded.
        headers: by lower-case name.
        base_path: where the API begins in the client's eyes: `/`, or `/<stage>/`.
        request_id: API Gateway's, to find the request in the logs.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    base_path: str = "/"
    request_id: str = ""

    @classmethod
    def of_event(cls, event: Mapping[str, Any]) -> Request:
        """Reads an event of the REST proxy integration; absent maps are null there."""
        context = event.get("requestContext") or {}
        path = event["path"]
        return cls(
            method=event["httpMethod"],
            path=path,
            query=event.get("multiValueQueryStringParameters") or {},
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
            base_path=context.get("path", path).rstrip("/").removesuffix(path.rstrip("/")) + "/",
            request_id=context.get("requestId", ""),
        )

    def knows(self, etag: str) -> bool:
        """Whether the client says that it has this representation (`If-None-Match`, compared weakly)."""
        tags = [tag.strip().removeprefix("W/") for tag in self.headers.get("if-none-match", "").split(",")]
        return "*" in tags or etag.removeprefix("W/") in tags


@dataclass(frozen=True)
class Response:
    """What a client gets."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: str = ""

    @classmethod
    def of_json(cls, body: Mapping[str, Any], *, etag: str) -> Response:
        """A JSON body.

        Args:
            body: of str, int, Decimal, bool, None, dict and list.
            etag: names this state of the body.
        """
        return cls(HTTPStatus.OK, {"Content-Type": JSON, **kept(etag)}, json_text(body))

    @classmethod
    def not_modified(cls, etag: str) -> Response:
        """What the client has is still right."""
        return cls(HTTPStatus.NOT_MODIFIED, kept(etag))

    def unless_known(self, request: Request) -> Response:
        """This response, or 304 where the client has it already."""
        etag = self.headers.get("ETag")
        return Response.not_modified(etag) if etag and request.knows(etag) else self

    def plus(self, headers: Mapping[str, str]) -> Response:
        """This response with more headers."""
        return replace(self, headers={**self.headers, **headers})

    def to_proxy(self) -> dict[str, Any]:
        """As the proxy integration of API Gateway takes it."""
        return {
            "statusCode": int(self.status),
            "headers": {**self.headers, **names.HTTPS_ONLY},
            "body": self.body,
            "isBase64Encoded": False,
        }


def kept(etag: str) -> dict[str, str]:
    """Headers of what a client may keep for itself, if it asks each time whether that is still right."""
    return {"ETag": etag, "Cache-Control": "private, no-cache"}


def content_etag(text: str) -> str:
    """An entity tag of what stands in a text. Weak: API Gateway may compress the body."""
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'


def json_text(value: Any) -> str:  # noqa: ANN401 - any value of a row
    """JSON with every number's digits as DynamoDB has them; `json` knows Decimal only by way of float."""
    if isinstance(value, dict):
        return "{" + ",".join([f"{_encode(name)}:{json_text(part)}" for name, part in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([json_text(part) for part in value]) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return _encode(value)
