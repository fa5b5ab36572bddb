"""Everything that can go wrong for a client, as problem details (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from lambdas.kpi_api.messages import Response

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:music-kpi:problem:"
RETRY_AFTER_SECONDS = 2


class ProblemError(Exception):
    """A request that gets no answer but this problem.

    Args:
        detail: what is wrong with this request and what would be right.
        members: further members of the problem.
    """

    status: ClassVar[HTTPStatus]
    kind: ClassVar[str]
    title: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, **members: Any) -> None:  # noqa: ANN401 - any JSON
        super().__init__(detail)
        self.detail = detail
        self.members = members

    def response(self, request_id: str) -> Response:
        """The problem as a response.

        Args:
            request_id: told to the client where the cause stands in our logs only.
        """
        body = {
            "type": TYPE_PREFIX + self.kind,
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
            **self.members,
            **({"request_id": request_id} if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else {}),
        }
        headers = {"Content-Type": PROBLEM_JSON, "Cache-Control": "no-store", **self.headers}
        return Response(self.status, headers, json.dumps(body, ensure_ascii=False))


class InvalidParametersError(ProblemError):
    """Parameters of the path or the query are not what they must be."""

    status = HTTPStatus.BAD_REQUEST
    kind = "invalid-parameters"
    title = "Invalid parameters"

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(
            "; ".join(f"{name} {why}" for name, why in errors.items()) + ".",
            errors=[{"parameter": name, "detail": why} for name, why in errors.items()],
        )


class InvalidCursorError(ProblemError):
    """A cursor that was not given for this request."""

    status = HTTPStatus.BAD_REQUEST
    kind = "invalid-cursor"
    title = "Invalid cursor"

    def __init__(self) -> None:
        super().__init__(
            "cursor must be the next_cursor of an answer to this same path with the same from and to; leave it out to "
            "start with the first page."
        )


class UnknownPathError(ProblemError):
    """There is nothing under this path."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-path"
    title = "Unknown path"

    def __init__(self) -> None:
        super().__init__("There is nothing here; v1/openapi.json describes every path.")


class UnknownDayError(ProblemError):
    """A day without published KPIs."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-day"
    title = "Unknown day"

    def __init__(self, date: str) -> None:
        super().__init__(f"{date} has no published KPIs; v1/days lists the days that have.")


class UnknownGenreError(ProblemError):
    """A genre without plays, on a day or at all."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-genre"
    title = "Unknown genre"

    def __init__(self, genre: str, date: str | None) -> None:
        on_date = f" on {date}" if date else ""
        super().__init__(f"There are no plays of the genre {genre!r}{on_date}; v1/days/<date>/genres lists genres.")


class MethodNotAllowedError(ProblemError):
    """A method other than those of reading."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    kind = "method-not-allowed"
    title = "Method not allowed"
    headers: ClassVar[Mapping[str, str]] = {"Allow": "GET, HEAD, OPTIONS"}

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is not for here: the KPIs are for reading, by GET, HEAD and OPTIONS.")


class DayChangedError(ProblemError):
    """The pages of an answer would be of two computations."""

    status = HTTPStatus.CONFLICT
    kind = "day-changed"
    title = "The day was computed again"

    def __init__(self, date: str) -> None:
        super().__init__(f"{date} was computed again since the first page; start again without a cursor.")


class BusyError(ProblemError):
    """DynamoDB throttles or does not answer in time, or days change faster than they are read."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "busy"
    title = "Busy"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(RETRY_AFTER_SECONDS)}

    def __init__(self, what: str = "The database is busy") -> None:
        super().__init__(f"{what}; ask again in {RETRY_AFTER_SECONDS} seconds.")


class InternalError(ProblemError):
    """Our fault."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    kind = "internal"
    title = "Internal error"

    def __init__(self) -> None:
        super().__init__("Something is wrong on our side; the log has it under the request_id.")
