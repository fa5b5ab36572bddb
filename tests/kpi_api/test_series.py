"""A genre's days among more days than one request looks at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

import pytest

from lambdas.kpi_api import reader
from tests.kpi_api.conftest import Kpis
from tests.kpi_api.publishing import figures, made_up_day
from tests.kpi_api.recorded import counted_calls
from tests.kpi_api.rows import Item, stored
from tests.kpi_api.service import kpi_service
from tests.kpi_api.test_bad_requests import problem

NEWEST: Final = date(2024, 6, 25)
DATES: Final = tuple((NEWEST - timedelta(days=number)).isoformat() for number in range(400))
"""All days that have plays, newest first."""
RHYTHMS: Final = {"daily": range(0, 400), "weekly": range(3, 400, 7), "early": range(390, 400), "once": range(120, 121)}
"""The days of each genre, as places in DATES."""


@pytest.fixture(scope="module")
def kpis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kpis]:
    rows = [
        item
        for number, day in enumerate(DATES)
        for item in stored(made_up_day(day, {genre: number + 1 for genre, days in RHYTHMS.items() if number in days}))
    ]
    with kpi_service(rows, tmp_path_factory.mktemp("moto")) as table:
        yield Kpis(table, rows)


def expected(genre: str) -> list[Item]:
    """All days of a genre, newest first."""
    return [{"date": DATES[number], **figures(number + 1)} for number in RHYTHMS[genre]]


def pages(kpis: Kpis, genre: str, **query: Any) -> list[list[Item]]:  # noqa: ANN401
    """The days of every page, until there is no next one."""
    found: list[list[Item]] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = kpis.get(f"/v1/genres/{genre}/days", **query, **cursor)
        assert answer.status == 200
        found.append(answer.json["days"])
        if answer.json["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json["next_cursor"]}


@pytest.mark.parametrize("limit", [50, 366])
@pytest.mark.parametrize("genre", RHYTHMS)
def test_its_pages_hold_all_its_days_once(kpis: Kpis, genre: str, limit: int) -> None:
    found = pages(kpis, genre, limit=limit)

    assert [day for page in found for day in page] == expected(genre)
    assert all(len(page) <= limit for page in found)


@pytest.mark.parametrize(
    ("genre", "limit", "days", "calls"),
    [
        ("daily", 31, 31, {"Query": 1, "BatchGetItem": 1}),
        ("daily", 366, 366, {"Query": 1, "BatchGetItem": 4}),
        ("weekly", 1, 1, {"Query": 2, "BatchGetItem": 4}),
        ("weekly", 31, 31, {"Query": 3, "BatchGetItem": 6}),
        ("weekly", 366, 52, {"Query": 1, "BatchGetItem": 8}),
        ("once", 31, 1, {"Query": 5, "BatchGetItem": 10}),
        ("early", 31, 0, {"Query": 5, "BatchGetItem": 10}),
        ("polka", 366, 0, {"Query": 1, "BatchGetItem": 8}),
    ],
)
def test_one_request_looks_at_so_many_days_and_no_more(
    kpis: Kpis, genre: str, limit: int, days: int, calls: dict[str, int]
) -> None:
    with counted_calls() as counted:
        answer = kpis.get(f"/v1/genres/{genre}/days", limit=limit).json

    assert (len(answer["days"]), counted) == (days, calls)
    assert answer["next_cursor"] is not None


def test_a_page_without_days_leads_to_the_next_one(kpis: Kpis) -> None:
    assert [len(page) for page in pages(kpis, "early")] == [0, 10]
    assert [len(page) for page in pages(kpis, "polka")] == [0, 0]
    assert len(DATES) < 2 * reader.MAX_DAYS


@pytest.mark.parametrize(
    ("genre", "query", "dates"),
    [
        ("early", {"to": DATES[395]}, DATES[395:]),
        ("early", {"to": DATES[0], "from_": DATES[366]}, []),
        ("daily", {"from_": DATES[2], "to": DATES[1]}, DATES[1:3]),
        ("weekly", {"from_": DATES[2]}, []),
        ("weekly", {"from_": DATES[3]}, [DATES[3]]),
        ("once", {"to": DATES[121]}, []),
    ],
)
def test_between_two_dates(kpis: Kpis, genre: str, query: dict[str, Any], dates: list[str]) -> None:
    assert [day["date"] for day in pages(kpis, genre, **query)[0]] == [*dates]


@pytest.mark.parametrize(
    ("genre", "query", "calls"),
    [
        ("polka", {"from_": DATES[0]}, {"Query": 6, "BatchGetItem": 12}),
        ("polka", {"from_": "2030-01-01"}, {"Query": 6, "BatchGetItem": 10}),
        # It has plays, but on none of the latest days.
        ("early", {"from_": DATES[2]}, {"Query": 6, "BatchGetItem": 12}),
    ],
)
def test_a_genre_without_plays_on_the_days_asked_for_and_on_the_latest_days_is_unknown(
    kpis: Kpis, genre: str, query: dict[str, Any], calls: dict[str, int]
) -> None:
    with counted_calls() as counted:
        answer = kpis.get(f"/v1/genres/{genre}/days", **query)

    assert genre in problem(answer, 404, "unknown-genre")["detail"]
    assert counted == calls
