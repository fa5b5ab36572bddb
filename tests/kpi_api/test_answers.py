"""What the API answers is what the table holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from lambdas.kpi_api.messages import json_text
from tests.day_kpis import without
from tests.kpi_api.conftest import Kpis
from tests.kpi_api.rows import COMPUTED_AT, DAYS, MADE_OF, ODD_GENRES, flat_rows, stored

DAY = DAYS[-1]
KEYS = {"pk", "sk", "index_pk"}
FIGURES = ("listens", "unique_listeners", "listening_time_ms")
AVERAGES = ("avg_listening_time_ms_per_user", "avg_listening_time_ms_per_play")


def genre_path(genre: str, day: str = DAY) -> str:
    return f"/v1/days/{day}/genres/{quote(genre, safe='')}"


def pages(kpis: Kpis, path: str, rows: str, **query: Any) -> list[list[Any]]:  # noqa: ANN401
    """The rows of every page, until there is no next one."""
    found: list[list[Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = kpis.get(path, **query, **cursor).json
        found.append(answer[rows])
        if answer["next_cursor"] is None:
            return found
        cursor = {"cursor": answer["next_cursor"]}


class TestDays:
    """Days, by themselves and in lists."""

    def test_are_listed_newest_first_with_their_totals(self, kpis: Kpis) -> None:
        answer = kpis.get("/v1/days")

        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert [day["date"] for day in answer.json["days"]] == sorted(DAYS, reverse=True)
        assert answer.json["next_cursor"] is None
        for day in answer.json["days"]:
            summary = kpis.summary(day["date"])
            assert day == {**{name: summary[name] for name in day if name != "claim"}, "claim": 1}
            assert {"listens", "version", "claim", "computed_at"} <= set(day)

    def test_are_listed_between_two_dates(self, kpis: Kpis) -> None:
        spans: list[tuple[dict[str, Any], list[str]]] = [
            ({"from_": DAYS[1]}, [DAYS[2], DAYS[1]]),
            ({"to": DAYS[1]}, [DAYS[1], DAYS[0]]),
            ({"from_": DAYS[1], "to": DAYS[1]}, [DAYS[1]]),
            ({"to": "2024-01-01"}, []),
        ]
        for query, expected in spans:
            assert [day["date"] for day in kpis.get("/v1/days", **query).json["days"]] == expected

    def test_come_in_pages(self, kpis: Kpis) -> None:
        assert [[day["date"] for day in page] for page in pages(kpis, "/v1/days", "days", limit=2)] == [
            [DAYS[2], DAYS[1]],
            [DAYS[0]],
        ]
        assert [len(page) for page in pages(kpis, "/v1/days", "days", limit=3)] == [3]

    def test_a_day_is_its_summary_row(self, kpis: Kpis) -> None:
        for day in DAYS:
            answer = kpis.get(f"/v1/days/{day}").json

            assert answer == {**without(kpis.summary(day), *KEYS), "claim": 1}
            assert answer | MADE_OF == answer
            listens = list(answer["listens_by_country"].values())
            assert listens == sorted(listens, reverse=True)


class TestGenres:
    """Genres of a day, and days of a genre."""

    def test_of_a_day_are_its_rows_in_the_order_of_bytes(self, kpis: Kpis) -> None:
        answer = kpis.get(f"/v1/days/{DAY}/genres").json

        assert [genre["genre"] for genre in answer["genres"]] == sorted(ODD_GENRES)
        for genre in answer["genres"]:
            row = kpis.genre(DAY, genre["genre"])
            assert genre == without(row, *KEYS, "date", "top_songs", "hours")
        assert without(answer, "genres") == {
            "date": DAY,
            "version": 1,
            "claim": 1,
            "computed_at": COMPUTED_AT,
            "is_being_recomputed": False,
            "next_cursor": None,
        }

    def test_of_a_day_come_in_pages(self, kpis: Kpis) -> None:
        found = pages(kpis, f"/v1/days/{DAY}/genres", "genres", limit=4)

        assert [len(page) for page in found] == [4, 4, 4, 3]
        assert [genre["genre"] for page in found for genre in page] == sorted(ODD_GENRES)

    @pytest.mark.parametrize("genre", ODD_GENRES)
    def test_a_genre_of_a_day_has_its_songs_and_hours(self, kpis: Kpis, genre: str) -> None:
        answer = kpis.get(genre_path(genre)).json

        row = kpis.genre(DAY, genre)
        assert without(answer, "version", "claim", "computed_at", "is_being_recomputed", "hours") == without(
            row, *KEYS, "hours"
        )
        assert (answer["version"], answer["claim"], answer["computed_at"]) == (1, 1, COMPUTED_AT)
        assert [without(hour, "hour") for hour in answer["hours"]] == list(row["hours"].values())
        assert [hour["hour"] for hour in answer["hours"]] == sorted(row["hours"])

    def test_a_slash_may_stand_for_itself(self, kpis: Kpis) -> None:
        assert kpis.get(f"/v1/days/{DAY}/genres/drum/bass").json["genre"] == "drum/bass"
        assert kpis.get("/v1/genres/drum/bass/days").json["genre"] == "drum/bass"

    @pytest.mark.parametrize("genre", ODD_GENRES)
    def test_a_series_is_the_rows_of_its_days_newest_first(self, kpis: Kpis, genre: str) -> None:
        path = f"/v1/genres/{quote(genre, safe='')}/days"

        days = kpis.get(path).json["days"]

        expected = [kpis.genre(day, genre) for day in sorted(DAYS, reverse=True)]
        assert days == [{name: row[name] for name in ("date", *FIGURES, *AVERAGES)} for row in expected]
        assert kpis.get(path, from_=DAYS[1], limit=1).json["days"] == days[:1]
        assert [day for page in pages(kpis, path, "days", limit=1) for day in page] == days

    def test_a_series_without_plays_in_its_span_is_empty(self, kpis: Kpis) -> None:
        answer = kpis.get("/v1/genres/pop/days", to="2024-01-01")

        assert (answer.status, answer.json["days"]) == (200, [])


class TestKeeping:
    """What clients may keep."""

    PATHS = (
        "/v1/days",
        f"/v1/days/{DAY}",
        f"/v1/days/{DAY}/genres",
        genre_path("pop"),
        "/v1/genres/pop/days",
        "/v1/openapi.json",
        "/",
    )

    @pytest.mark.parametrize("path", PATHS)
    def test_an_answer_that_the_client_has_is_not_sent_again(self, kpis: Kpis, path: str) -> None:
        first = kpis.get(path)
        assert "no-cache" in first.headers["Cache-Control"]
        for tags in (first.headers["ETag"], f'"other", {first.headers["ETag"]}', first.headers["ETag"][2:], "*"):
            again = kpis.get(path, headers={"If-None-Match": tags})
            assert (again.status, again.text) == (304, "")
            assert again.headers["ETag"] == first.headers["ETag"]
        assert kpis.get(path, headers={"if-none-match": 'W/"other"'}).status == 200

    @pytest.mark.parametrize("path", PATHS)
    def test_head_is_get_without_a_body(self, kpis: Kpis, path: str) -> None:
        head = kpis.get(path, method="HEAD")
        assert (head.status, head.headers, head.text) == (200, kpis.get(path).headers, "")

    def test_a_new_version_makes_new_tags(self, kpis: Kpis) -> None:
        paths = [path for path in self.PATHS if DAY in path]
        before = {path: kpis.get(path).headers["ETag"] for path in paths}
        with changed(kpis, [row for row in stored(flat_rows(), version=2) if row["date"] == DAY]):
            for path in paths:
                again = kpis.get(path, headers={"If-None-Match": before[path]})
                assert (again.status, again.json["version"], again.json["claim"]) == (200, 2, 2)
                assert again.headers["ETag"] != before[path]
        assert {path: kpis.get(path).headers["ETag"] for path in paths} == before

    @pytest.mark.parametrize("path", [path for path in PATHS if DAY in path])
    def test_a_tag_is_of_the_version_and_of_when_it_was_computed(self, kpis: Kpis, path: str) -> None:
        before = kpis.get(path).headers["ETag"]
        summary = kpis.summary(DAY)
        with changed(kpis, [{**summary, "computed_at": "2024-06-26T01:02:04Z"}]):
            assert kpis.get(path).headers["ETag"] != before
        with changed(kpis, [{**summary, "kpi_code": "other-code"}]):
            assert kpis.get(path).headers["ETag"] == before

    @pytest.mark.parametrize("path", [f"/v1/days/{DAY}/genres", genre_path("pop")])
    def test_no_answer_says_that_it_is_being_recomputed(self, kpis: Kpis, path: str) -> None:
        assert kpis.get(path).json["is_being_recomputed"] is False


@contextmanager
def changed(kpis: Kpis, rows: Iterable[dict[str, Any]]) -> Iterator[None]:
    """Puts rows, and makes the table as it was."""
    rows = list(rows)
    with kpis.table.batch_writer() as batch:
        for row in rows:
            batch.put_item(Item=row)
    try:
        yield
    finally:
        keys = [{"pk": row["pk"], "sk": row["sk"]} for row in rows]
        before = [row for row in kpis.rows if {"pk": row["pk"], "sk": row["sk"]} in keys]
        with kpis.table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
            for key in keys:
                batch.delete_item(Key=key)
            for row in before:
                batch.put_item(Item=row)


def test_other_sites_read_answers_only_where_they_are_allowed(kpis: Kpis) -> None:
    allowed, other = "https://reports.example.com", "https://evil.example.com"
    for path in ("/v1/days", "/v1/days/none"):
        headers = kpis.get(path, headers={"Origin": allowed}).headers
        assert (headers["Access-Control-Allow-Origin"], headers["Vary"]) == (allowed, "Origin")
        assert "ETag" in headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Origin" not in kpis.get(path, headers={"Origin": other}).headers
    preflight = kpis.get("/v1/days", method="OPTIONS", headers={"Origin": allowed})
    assert (preflight.status, preflight.text) == (204, "")
    assert "x-api-key" in preflight.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/v1/days", {}, 200),
        ("HEAD", "/v1/days", {}, 200),
        ("OPTIONS", "/v1/days", {}, 204),
        ("GET", "/v1/openapi.json", {}, 200),
        ("GET", "/", {}, 200),
        ("GET", "/assets/page.css", {}, 200),
        ("GET", "/v1/days", {"limit": "none"}, 400),
        ("GET", "/v1/days/1999-01-01", {}, 404),
        ("GET", "/nowhere", {}, 404),
        ("POST", "/v1/days", {}, 405),
    ],
)
def test_every_answer_says_that_the_api_is_asked_by_https_only(
    kpis: Kpis, method: str, path: str, query: dict[str, Any], status: int
) -> None:
    answer = kpis.get(path, method=method, **query)
    assert answer.status == status
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_an_answer_that_was_not_modified_says_it_as_well(kpis: Kpis) -> None:
    tag = kpis.get("/v1/days").headers["ETag"]
    again = kpis.get("/v1/days", headers={"if-none-match": tag})
    assert (again.status, again.headers["Strict-Transport-Security"]) == (304, "max-age=31536000")


def test_numbers_keep_their_digits() -> None:
    text = '{"a":12345678901234567.89,"b":[1,null,true],"c":"\\"é"}'
    assert json_text({"a": Decimal("12345678901234567.89"), "b": [1, None, True], "c": '"é'}) == text
