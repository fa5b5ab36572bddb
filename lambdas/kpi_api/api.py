"""The routes, and what each of them answers.

| path | calls of DynamoDB, the client's retries not counted |
|---|---|
| `v1/days` | 1 Query of the index |
| `v1/days/<date>` | 1 GetItem |
| `v1/days/<date>/genres` | 1 GetItem, 1 Query; 1 GetItem more where the page does not hold all genres |
| `v1/days/<date>/genres/<genre>` | 2 GetItem; 3 where there is no such genre |
| `v1/genres/<genre>/days` | 1 Query of the index, 1 BatchGetItem; more where the genre has no plays on some days |

A 304 of the second to the fourth takes 1 GetItem. A Query is repeated for each further MB, up to 4 times in all. A
BatchGetItem takes 100 keys; it is repeated for keys that DynamoDB leaves out, up to 3 times in all. If a day is
published while it is read, the reads start over, up to 5 times in all.

`v1/genres/<genre>/days` looks at as many days as are wanted. If some of them have no plays of the genre, it reads their
SUMMARYs (a BatchGetItem for 100 days) and looks at the next hundred days, up to 366 days in all. So it makes at most 5
Query and 10 BatchGetItem. If a first page finds no day between `from` and `to`, it looks at the latest 366 days, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from http import HTTPStatus

from glue_scripts.names import DATE_INDEX_PARTITION_KEY, KPIS_PARTITION_KEY, KPIS_SORT_KEY
from lambdas.kpi_api import files
from lambdas.kpi_api.cursors import cursor, position
from lambdas.kpi_api.messages import Request, Response, content_etag, json_text
from lambdas.kpi_api.parameters import MAX_GENRE_BYTES, WHOLE, Span, a_date, a_genre, a_number, checked, span
from lambdas.kpi_api.problems import (
    DayChangedError,
    InvalidCursorError,
    MethodNotAllowedError,
    ProblemError,
    UnknownGenreError,
    UnknownPathError,
)
from lambdas.kpi_api.reader import MAX_DAYS, Reader
from lambdas.kpi_api.store import Page, Row, Store

DEFAULT_DAYS = 31
DEFAULT_GENRES, MAX_GENRES = 100, 500

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, if-none-match, x-amz-content-sha256, x-amz-date, "
    "x-amz-security-token, x-api-key",
    "Access-Control-Max-Age": "600",
}


class Api:
    """Answers requests.

    Args:
        store: where the rows are.
        allowed_origins: of other sites whose pages may read the answers; empty ones do not count.
    """

    def __init__(self, store: Store, *, allowed_origins: Collection[str]) -> None:
        self._reader = Reader(store)
        self._origins = {origin.strip() for origin in allowed_origins} - {""}

    def answer(self, request: Request) -> Response:
        """The response to a request, a problem included."""
        try:
            response = self._of_method(request)
        except ProblemError as problem:
            response = problem.response(request.request_id)
        if request.method == "HEAD":
            response = replace(response, body="")
        return response.plus({"X-Content-Type-Options": "nosniff", **self._cors(request)})

    def _of_method(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(HTTPStatus.NO_CONTENT, {"Allow": MethodNotAllowedError.headers["Allow"]})
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowedError(request.method)
        return self._of_path(request).unless_known(request)

    def _of_path(self, request: Request) -> Response:
        match request.path.split("/")[1:]:
            case [""]:
                return files.page(request.base_path)
            case ["assets", name]:
                return files.asset(name)
            case ["v1", "openapi.json"]:
                return files.openapi()
            case ["v1", *parts]:
                return self._of_kpis(request, parts)
            case _:
                raise UnknownPathError

    def _of_kpis(self, request: Request, parts: list[str]) -> Response:
        match parts:
            case ["days"]:
                return self._days(request)
            case ["days", day]:
                return self._day(request, day)
            case ["days", day, "genres"]:
                return self._genres(request, day)
            case ["days", day, "genres", *genre]:
                return self._genre(request, day, "/".join(genre))
            case ["genres", *genre, "days"] if genre:
                return self._series(request, "/".join(genre))
            case _:
                raise UnknownPathError

    def _days(self, request: Request) -> Response:
        def read(days: Span, limit: int) -> Page:
            page = self._reader.days(days, limit=limit)
            return replace(page, rows=[_with_claim(day) for day in page.rows])

        return self._by_date(request, ["days"], {}, read)

    def _series(self, request: Request, encoded: str) -> Response:
        genre = _genre(encoded, None)

        def read(days: Span, limit: int) -> Page:
            page = self._reader.series(genre, days, limit=limit)
            is_all = page.next_after is None and "cursor" not in request.query
            if is_all and not page.rows and (days == WHOLE or not self._reader.has_genre(genre)):
                raise UnknownGenreError(genre, None)
            return page

        return self._by_date(request, ["series", genre], {"genre": genre}, read)

    def _by_date(self, request: Request, of: list[str], head: Row, read: Callable[[Span, int], Page]) -> Response:
        """A list of days, newest first. Its tag is made of its content: a list has no version of its own."""
        values = checked(request.query, {"from": a_date, "to": a_date, "limit": a_number(1, MAX_DAYS), "cursor": str})
        days = span(values)
        of = [*of, days.first, days.last]
        if values["cursor"] is not None:
            days = _before(position(of, values["cursor"], 1)[0], days)
        page = read(days, values["limit"] or DEFAULT_DAYS)
        next_cursor = None if page.next_after is None else cursor(of, [page.next_after])
        body = {**head, "days": page.rows, "next_cursor": next_cursor}
        return Response.of_json(body, etag=content_etag(json_text(body)))

    def _day(self, request: Request, day: str) -> Response:
        checked(request.query, {})
        summary = self._summary(day)
        return Response.of_json(_day_body(summary), etag=_etag(summary))

    def _genres(self, request: Request, day: str) -> Response:
        values = checked(request.query, {"limit": a_number(1, MAX_GENRES), "cursor": str})
        limit = values["limit"] or DEFAULT_GENRES
        summary = self._summary(day)
        of = ["genres", summary["date"]]
        after = None
        if values["cursor"] is not None:
            after, of_version = position(of, values["cursor"], 2)
            if of_version != str(summary["version"]):
                raise DayChangedError(day)
        if request.knows(_etag(summary)):
            return Response.not_modified(_etag(summary))
        if after is None:
            summary, page = self._reader.first_genres(summary, limit=limit)
        else:
            page = self._reader.next_genres(summary, after=after, limit=limit)
        next_cursor = None if page.next_after is None else cursor(of, [page.next_after, str(summary["version"])])
        body = {**_head(summary), "genres": page.rows, "next_cursor": next_cursor}
        return Response.of_json(body, etag=_etag(summary))

    def _genre(self, request: Request, day: str, encoded: str) -> Response:
        checked(request.query, {})
        genre = _genre(encoded, day)
        summary = self._summary(day)
        if request.knows(_etag(summary)):
            return Response.not_modified(_etag(summary))
        summary, row = self._reader.genre(summary, genre)
        hours = [{"hour": hour, **measures} for hour, measures in sorted(row["hours"].items())]
        return Response.of_json({**_head(summary), **_without_keys(row), "hours": hours}, etag=_etag(summary))

    def _summary(self, day: str) -> Row:
        checked({"date": [day]}, {"date": a_date})
        return self._reader.summary(day)

    def _cors(self, request: Request) -> Mapping[str, str]:
        if not self._origins:
            return {}
        origin = request.headers.get("origin")
        if origin not in self._origins:
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "ETag, Retry-After",
            **(_PREFLIGHT if request.method == "OPTIONS" else {}),
        }


def _genre(encoded: str, day: str | None) -> str:
    genre: str = checked({"genre": [encoded]}, {"genre": a_genre})["genre"]
    if not 1 <= len(genre.encode()) <= MAX_GENRE_BYTES:
        raise UnknownGenreError(genre, day)
    return genre


def _before(day: str, days: Span) -> Span:
    """The days before the one that the last page ended with; a cursor by another's hand may name any text."""
    if not days.first < day <= days.last:
        raise InvalidCursorError
    try:
        return days.before(day)
    except ValueError:
        raise InvalidCursorError from None


def _day_body(summary: Row) -> Row:
    countries = sorted(summary["listens_by_country"].items(), key=lambda entry: (-entry[1], entry[0]))
    return {**_with_claim(_without_keys(summary)), "listens_by_country": dict(countries)}


def _head(summary: Row) -> Row:
    """What an answer says of the day that its rows belong to."""
    named = {name: summary[name] for name in ("date", "version", "computed_at")}
    # Every answer is of one version. Clients of API 1.0 read the flag.
    return {**_with_claim(named), "is_being_recomputed": False}


def _with_claim(row: Row) -> Row:
    """With the version under the name that it has for clients of API 1.0, too."""
    return {**row, "claim": row["version"]}


def _without_keys(row: Row) -> Row:
    keys = {KPIS_PARTITION_KEY, KPIS_SORT_KEY, DATE_INDEX_PARTITION_KEY}
    return {name: value for name, value in row.items() if name not in keys}


def _etag(summary: Row) -> str:
    """Of the visible version of a day. Weak: API Gateway may compress the body.

    The moment distinguishes versions of a table that was made again. The API's version covers changes of our answers.
    """
    return f'W/"{summary["version"]}-{summary["computed_at"]}-{files.VERSION}"'
