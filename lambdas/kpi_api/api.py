"""The routes, and what each of them answers.

| path | calls of DynamoDB, the client's retries not counted |
|---|---|
| `v1/days` | 1 Query of the index |
| `v1/days/<date>` | 1 GetItem |
| `v1/days/<date>/genres` | 1 GetItem, 1 Query; only the GetItem for a 304 |
| `v1/days/<date>/genres/<genre>` | 1 GetItem, 1 BatchGetItem of 25 keys (up to 3); only the GetItem for a 304 |
| `v1/genres/<genre>/days` | 1 Query of the index; 1 more where it finds nothing |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from http import HTTPStatus

from glue_scripts.names import GENRE_INDEX_PARTITION_KEY, KPIS_PARTITION_KEY, KPIS_SORT_KEY
from lambdas.kpi_api import files
from lambdas.kpi_api.cursors import cursor, position
from lambdas.kpi_api.messages import Request, Response, content_etag, json_text
from lambdas.kpi_api.parameters import MAX_GENRE_BYTES, Span, a_date, a_genre, a_number, checked, span
from lambdas.kpi_api.problems import (
    DayChangedError,
    InvalidCursorError,
    MethodNotAllowedError,
    ProblemError,
    UnknownDayError,
    UnknownGenreError,
    UnknownPathError,
)
from lambdas.kpi_api.store import Page, Row, Store

DEFAULT_DAYS, MAX_DAYS = 31, 366
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
        self._store = store
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
        return self._by_date(request, ["days"], {}, lambda days, limit: self._store.days(days, limit=limit))

    def _series(self, request: Request, encoded: str) -> Response:
        genre = _genre(encoded, None)

        def read(days: Span, limit: int) -> Page:
            page = self._store.series(genre, days, limit=limit)
            if not page.rows and not self._store.has_genre(genre):
                raise UnknownGenreError(genre, None)
            return page

        return self._by_date(request, ["series", genre], {"genre": genre}, read)

    def _by_date(self, request: Request, of: list[str], head: Row, read: Callable[[Span, int], Page]) -> Response:
        """A list of days, newest first. Its tag is made of its content: an index has no claim of its own."""
        values = checked(request.query, {"from": a_date, "to": a_date, "limit": a_number(1, MAX_DAYS), "cursor": str})
        days = span(values)
        of = [*of, days.first, days.last]
        if values["cursor"] is not None:
            days = _before(position(of, values["cursor"], 1)[0], days)
        page = read(days, values["limit"] or DEFAULT_DAYS)
        next_cursor = cursor(of, [page.rows[-1]["date"]]) if page.has_more else None
        body = {**head, "days": page.rows, "next_cursor": next_cursor}
        return Response.of_json(body, etag=content_etag(json_text(body)))

    def _day(self, request: Request, day: str) -> Response:
        checked(request.query, {})
        summary = self._summary(day)
        return Response.of_json(_day_body(summary), etag=_etag(summary))

    def _genres(self, request: Request, day: str) -> Response:
        values = checked(request.query, {"limit": a_number(1, MAX_GENRES), "cursor": str})
        summary = self._summary(day)
        of, claim = ["genres", summary["date"]], str(summary["claim"])
        after = None
        if values["cursor"] is not None:
            after, of_claim = position(of, values["cursor"], 2)
            if of_claim != claim:
                raise DayChangedError(day)
        if request.knows(_etag(summary)):
            return Response.not_modified(_etag(summary))
        page = self._store.genres(day, after=after, limit=values["limit"] or DEFAULT_GENRES)
        body = {
            **_of_day(summary, page.rows),
            "genres": [_without_claim(row) for row in page.rows],
            "next_cursor": cursor(of, [page.rows[-1]["genre"], claim]) if page.has_more else None,
        }
        return Response.of_json(body, etag=None if body["is_being_recomputed"] else _etag(summary))

    def _genre(self, request: Request, day: str, encoded: str) -> Response:
        checked(request.query, {})
        genre = _genre(encoded, day)
        summary = self._summary(day)
        if request.knows(_etag(summary)):
            return Response.not_modified(_etag(summary))
        rows = self._store.genre(day, genre)
        if rows.daily is None:
            raise UnknownGenreError(genre, day)
        body = {
            **_of_day(summary, [rows.daily, *rows.hours]),
            "genre": genre,
            **_without_claim(rows.daily),
            "hours": [_without_claim(row) for row in rows.hours],
        }
        return Response.of_json(body, etag=None if body["is_being_recomputed"] else _etag(summary))

    def _summary(self, day: str) -> Row:
        """A day's SUMMARY row, which is read before any other: it is written last."""
        checked({"date": [day]}, {"date": a_date})
        summary = self._store.summary(day)
        if summary is None:
            raise UnknownDayError(day)
        return summary

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
        return Span(days.first, (date.fromisoformat(day) - timedelta(days=1)).isoformat())
    except ValueError:
        raise InvalidCursorError from None


def _day_body(summary: Row) -> Row:
    countries = sorted(summary["listens_by_country"].items(), key=lambda entry: (-entry[1], entry[0]))
    keys = {KPIS_PARTITION_KEY, KPIS_SORT_KEY, GENRE_INDEX_PARTITION_KEY}
    rest = {name: value for name, value in summary.items() if name not in keys}
    return {**rest, "listens_by_country": dict(countries)}


def _of_day(summary: Row, rows: Sequence[Row]) -> Row:
    """What an answer says of the day that its rows belong to.

    A row with a greater claim than SUMMARY's is of a computation that is still being written (docs/exactness.md).
    """
    return {
        "date": summary["date"],
        "claim": summary["claim"],
        "computed_at": summary["computed_at"],
        "is_being_recomputed": any(row["claim"] > summary["claim"] for row in rows),
    }


def _without_claim(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "claim"}


def _etag(summary: Row) -> str:
    """Of everything that the day's published claim computed. Weak: API Gateway may compress the body.

    The moment tells apart the claims of a table that was dropped and made again; the version, what we make of a row.
    """
    return f'W/"{summary["claim"]}-{summary["computed_at"]}-{files.VERSION}"'
