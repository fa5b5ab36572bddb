"""Every bad request gets a problem that says what is wrong and what would be right."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdas.kpi_api.cursors import cursor, position
from lambdas.kpi_api.problems import InvalidCursorError
from tests.kpi_api.conftest import Answer, Kpis
from tests.kpi_api.recorded import counted_calls
from tests.kpi_api.rows import DAYS

DAY = DAYS[-1]


def problem(answer: Answer, status: int, kind: str) -> dict[str, Any]:
    """The problem, which must be of a status and kind."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = answer.json
    assert (body["status"], body["type"]) == (status, f"urn:music-kpi:problem:{kind}")
    return body


@pytest.mark.parametrize(
    ("path", "query", "parameter", "words"),
    [
        ("/v1/days", {"from_": "2024-02-30"}, "from", "must be a date that exists, as yyyy-mm-dd"),
        ("/v1/days", {"to": "20240625"}, "to", "not '20240625'"),
        ("/v1/days", {"to": "2024-06-25T00:00"}, "to", "yyyy-mm-dd"),
        ("/v1/days", {"to": "٢٠٢٤-٠٦-٢٥"}, "to", "yyyy-mm-dd"),
        ("/v1/days", {"from_": ""}, "from", "not ''"),
        (
            "/v1/days",
            {"from_": "2024-06-26", "to": DAY},
            "from",
            f"must not be after to, but 2024-06-26 is after {DAY}",
        ),
        ("/v1/days", {"limit": 0}, "limit", "must be a whole number from 1 to 366, not '0'"),
        ("/v1/days", {"limit": 367}, "limit", "from 1 to 366"),
        ("/v1/days", {"limit": "1.0"}, "limit", "not '1.0'"),
        ("/v1/days", {"limit": "9" * 5000}, "limit", "from 1 to 366"),
        ("/v1/days", {"limit": ["1", "2"]}, "limit", "must be given once, not 2 times"),
        ("/v1/days", {"until": DAY}, "until", "is not known here; known are: from, to, limit, cursor"),
        (f"/v1/days/{DAY}", {"limit": 1}, "limit", "is not known here; known are: none"),
        (f"/v1/days/{DAY}/genres", {"limit": 501}, "limit", "from 1 to 500"),
        ("/v1/days/2024-6-25", {}, "date", "must be a date that exists"),
        ("/v1/days/yesterday/genres", {}, "date", "not 'yesterday'"),
        ("/v1/days/2023-02-29/genres/pop", {}, "date", "not '2023-02-29'"),
        (f"/v1/days/{DAY}/genres/%FF", {}, "genre", "must be percent-encoded UTF-8, which '%FF' is not"),
        ("/v1/genres/%ED%A0%80/days", {}, "genre", "must be percent-encoded UTF-8"),
    ],
)
def test_a_parameter_that_is_not_what_it_must_be(
    kpis: Kpis, path: str, query: dict[str, Any], parameter: str, words: str
) -> None:
    with counted_calls() as calls:
        body = problem(kpis.get(path, **query), 400, "invalid-parameters")

    assert [error["parameter"] for error in body["errors"]] == [parameter]
    assert words in body["errors"][0]["detail"]
    assert words in body["detail"]
    assert not calls


def test_all_that_is_wrong_is_told_at_once(kpis: Kpis) -> None:
    body = problem(kpis.get("/v1/days", from_="x", limit="y", page="z"), 400, "invalid-parameters")

    assert [error["parameter"] for error in body["errors"]] == ["from", "limit", "page"]


def test_a_cursor_of_another_request(kpis: Kpis) -> None:
    cursors = {
        "/v1/days": kpis.get("/v1/days", limit=1).json["next_cursor"],
        "/v1/genres/pop/days": kpis.get("/v1/genres/pop/days", limit=1).json["next_cursor"],
        "/v1/genres/days/days": kpis.get("/v1/genres/days/days", limit=1).json["next_cursor"],
        f"/v1/days/{DAY}/genres": kpis.get(f"/v1/days/{DAY}/genres", limit=1).json["next_cursor"],
        f"/v1/days/{DAYS[0]}/genres": kpis.get(f"/v1/days/{DAYS[0]}/genres", limit=1).json["next_cursor"],
    }
    for path in cursors:
        for of, text in cursors.items():
            if path == of:
                assert kpis.get(path, cursor=text).status == 200
                assert kpis.get(path, cursor=text, limit=1).status == 200
            else:
                problem(kpis.get(path, cursor=text), 400, "invalid-cursor")
    problem(kpis.get("/v1/days", cursor=cursors["/v1/days"], from_=DAYS[0]), 400, "invalid-cursor")


@pytest.mark.parametrize("text", ["", "x", "é", "....", "A" * 5000, "eyJhIjoxfQ", "null", "=", "\0"])
def test_a_cursor_that_is_none(kpis: Kpis, text: str) -> None:
    for path in ("/v1/days", "/v1/genres/pop/days", f"/v1/days/{DAY}/genres"):
        body = problem(kpis.get(path, cursor=text), 400, "invalid-cursor")
        assert "next_cursor" in body["detail"]


def test_a_damaged_cursor(kpis: Kpis) -> None:
    text = kpis.get("/v1/days", limit=1).json["next_cursor"]
    for place in range(len(text)):
        damaged = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert kpis.get("/v1/days", cursor=damaged).status == 400
        assert kpis.get("/v1/days", cursor=text[:place]).status == 400


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-32", "later", "1999-99-99"])
def test_a_forged_cursor(kpis: Kpis, day: str) -> None:
    forged = cursor(["days", "0001-01-01", "9999-12-31"], [day])
    problem(kpis.get("/v1/days", cursor=forged), 400, "invalid-cursor")


@pytest.mark.parametrize("content", [{}, ["a", "b"], [1], "a"])
def test_a_cursor_of_another_form(content: object) -> None:
    text = cursor(["of"], content)  # type: ignore[arg-type]
    with pytest.raises(InvalidCursorError):
        position(["of"], text, 1)


def test_the_longest_cursor_is_read(kpis: Kpis) -> None:
    of = ["genres", DAY]
    text = cursor(of, ["\uffff" * 66, "1000000"])
    assert len(text) <= 1000
    assert position(of, text, 2) == ["\uffff" * 66, "1000000"]
    assert json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[9:])[1] == "1000000"


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/v1/days/2023-01-01", "unknown-day", "2023-01-01 has no published KPIs"),
        ("/v1/days/2023-01-01/genres", "unknown-day", "v1/days lists the days"),
        ("/v1/days/2023-01-01/genres/pop", "unknown-day", "2023-01-01"),
        (f"/v1/days/{DAY}/genres/polka", "unknown-genre", f"the genre 'polka' on {DAY}"),
        (f"/v1/days/{DAY}/genres/{'y' * 201}", "unknown-genre", "There are no plays of the genre"),
        (f"/v1/days/{DAY}/genres/", "unknown-genre", "There are no plays of the genre ''"),
        ("/v1/genres/polka/days", "unknown-genre", "There are no plays of the genre 'polka';"),
        (f"/v1/genres/{'y' * 3000}/days", "unknown-genre", "There are no plays of the genre"),
        ("/v1", "unknown-path", "v1/openapi.json describes every path"),
        ("/v1/", "unknown-path", "openapi"),
        ("/v1/hours", "unknown-path", "openapi"),
        ("/v1/genres", "unknown-path", "openapi"),
        ("/v1/genres/days", "unknown-path", "openapi"),
        ("/v2/days", "unknown-path", "openapi"),
        ("/assets/handler.py", "unknown-path", "openapi"),
        ("/assets/..%2Fhandler.py", "unknown-path", "openapi"),
        ("/assets/../handler.py", "unknown-path", "openapi"),
        ("/assets/index.html", "unknown-path", "openapi"),
        ("/assets/", "unknown-path", "openapi"),
    ],
)
def test_what_is_not_there(kpis: Kpis, path: str, kind: str, words: str) -> None:
    assert words in problem(kpis.get(path), 404, kind)["detail"]


def test_a_day_of_which_no_version_is_visible_yet_is_unknown(kpis: Kpis) -> None:
    row = {**kpis.genre(DAY, "pop"), "pk": "DAY#2024-07-01", "date": "2024-07-01"}
    kpis.table.put_item(Item=row)
    try:
        for path in ("/v1/days/2024-07-01", "/v1/days/2024-07-01/genres", "/v1/days/2024-07-01/genres/pop"):
            problem(kpis.get(path), 404, "unknown-day")
    finally:
        kpis.table.delete_item(Key={"pk": row["pk"], "sk": row["sk"]})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_kpis_are_for_reading(kpis: Kpis, method: str) -> None:
    for path in ("/v1/days", "/", "/nowhere"):
        answer = kpis.get(path, method=method)
        assert method in problem(answer, 405, "method-not-allowed")["detail"]
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


SEGMENTS = st.one_of(
    st.sampled_from(["v1", "days", "genres", "assets", "openapi.json", DAY, "pop", "", "..", "%2F", "%", "%00", "%FF"]),
    st.text(max_size=20),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    segments=st.lists(SEGMENTS, max_size=6),
    query=st.dictionaries(st.sampled_from(["from", "to", "limit", "cursor", "x"]), st.text(max_size=12), max_size=3),
    headers=st.dictionaries(st.sampled_from(["Origin", "If-None-Match", "X"]), st.text(max_size=12), max_size=3),
)
def test_whatever_comes_gets_an_answer(
    kpis: Kpis, segments: list[str], query: dict[str, str], headers: dict[str, str]
) -> None:
    answer = kpis.get("/" + "/".join(segments), headers=headers, **query)

    assert answer.status in (200, 304, 400, 404)
    if answer.status >= 400:
        assert {"type", "title", "status", "detail"} <= set(answer.json)
