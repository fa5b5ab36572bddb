"""Readers while days are published: every answer is of one version, whole, under that version's tag."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from glue_scripts import kpi_table, publication
from glue_scripts.names import summary_key
from lambdas.kpi_api import reader
from tests.kpi_api.conftest import Answer, Kpis
from tests.kpi_api.publishing import Listens, Publishing, made_up_day
from tests.kpi_api.recorded import answered, counted_calls, operation, parameters, replies, response
from tests.kpi_api.rows import COMPUTED_AT, stored
from tests.kpi_api.service import kpi_service
from tests.kpi_api.test_bad_requests import problem

DAY: Final = "2024-07-01"
OTHER_DAY: Final = "2024-06-30"
GENRES: Final = f"/v1/days/{DAY}/genres"
PATHS: Final = (
    "/v1/days",
    f"/v1/days/{DAY}",
    GENRES,
    f"{GENRES}/pop",
    f"{GENRES}/odd",
    f"{GENRES}/even",
    "/v1/genres/pop/days",
    "/v1/genres/odd/days",
    "/v1/genres/even/days",
)
State = dict[str, tuple[int, str | None, Any]]
"""Status, tag and body by path."""


def listens(version: int) -> Listens:
    """A day's plays in a version: no figure is that of another version, and a genre comes or goes."""
    return {
        "jazz": 100 + version,
        "odd" if version % 2 else "even": 200 + version,
        "pop": 300 + version,
        "rock": version,
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kpis]:
    with kpi_service([], tmp_path_factory.mktemp("moto")) as table:
        yield Kpis(table, [])


@pytest.fixture(scope="module")
def publishing(service: Kpis) -> Publishing:
    publishing = Publishing(service.table)
    publishing.publish(OTHER_DAY, {"pop": 1, "odd": 2, "even": 3})
    return publishing


class Days:
    """Publishes DAY, whose figures follow from its version."""

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing
        self.table = publishing.table

    def publish(self, *versions: int) -> None:
        for version in versions:
            self._publishing.publish(DAY, listens(version))

    def lose_all_plays(self) -> None:
        self._publishing.publish(DAY, {})

    def start_over(self) -> None:
        self._publishing.forget(DAY)


@pytest.fixture
def days(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Days]:
    """Publishes in a second that does not end, so that two histories have equal answers."""
    monkeypatch.setattr(publication, "utc_now", lambda: COMPUTED_AT)
    days = Days(publishing)
    yield days
    days.start_over()


@pytest.fixture(scope="module")
def history(service: Kpis, publishing: Publishing) -> list[State]:
    """What every path answers at rest, by the version of DAY from 0, which is none."""
    states = [state(service)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication, "utc_now", lambda: COMPUTED_AT)
        for version in range(1, 7):
            publishing.publish(DAY, listens(version))
            states.append(state(service))
    publishing.forget(DAY)
    return states


def seen(answer: Answer) -> tuple[int, str | None, Any]:
    return answer.status, answer.headers.get("ETag"), answer.json


def state(service: Kpis) -> State:
    """What every path answers, and the genres in pages, too."""
    return {**{path: seen(service.get(path)) for path in PATHS}, "in pages": (200, None, genres_in_pages(service))}


def genres_in_pages(service: Kpis) -> list[Any]:
    """Version and genres of each page; none where there is no such day."""
    found: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = service.get(GENRES, limit=2, **cursor)
        if answer.status == 404:
            return found
        found.append((answer.json["version"], answer.json["genres"]))
        if answer.json["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json["next_cursor"]}


@contextmanager
def before_reads(wanted: Callable[[int], bool], happens: Callable[[], object]) -> Iterator[None]:
    """Lets something happen right before some of the reads of DynamoDB, by their number from 1."""
    numbers = itertools.count(1)

    def reply(_: AWSPreparedRequest) -> None:
        if wanted(next(numbers)):
            happens()

    with replies(reply):
        yield


@contextmanager
def index_of(content: bytes) -> Iterator[None]:
    """Lets the index lag: it answers as it once did."""
    with replies(lambda request: response(request, content) if is_of_index(request) else None):
        yield


def is_of_index(request: AWSPreparedRequest) -> bool:
    return "IndexName" in parameters(request)


def index_now(service: Kpis) -> bytes:
    """What the index answers at this moment to a request for a genre's days."""
    contents: list[bytes] = []

    def keep(request: AWSPreparedRequest) -> None:
        if is_of_index(request):
            contents.append(answered(request))

    with replies(keep):
        service.get("/v1/genres/pop/days")
    return contents[0]


def test_what_is_published_is_what_other_tests_put_into_the_table(days: Days) -> None:
    days.publish(1, 2)
    kept = [row for row in days.table.scan()["Items"] if row["pk"] == f"DAY#{DAY}"]
    rows_before = [row for row in stored(made_up_day(DAY, listens(1)), version=1) if row["sk"] != "SUMMARY"]
    expected = [*rows_before, *stored(made_up_day(DAY, listens(2)), version=2)]
    assert sorted(kept, key=lambda row: str(row["sk"])) == sorted(expected, key=lambda row: str(row["sk"]))


def test_at_rest_the_answers_are_of_the_visible_version(history: list[State]) -> None:
    for version, state in enumerate(history[1:], 1):
        assert state[f"/v1/days/{DAY}"][2]["version"] == version
        assert {row["genre"]: row["listens"] for row in state[GENRES][2]["genres"]} == listens(version)
        assert state["in pages"][2] == [(version, state[GENRES][2]["genres"][start : start + 2]) for start in (0, 2)]
        assert state[f"{GENRES}/odd"][0] == (200 if version % 2 else 404)
        assert [day["date"] for day in state["/v1/genres/even/days"][2]["days"]][-1] == OTHER_DAY
    assert len({state[path][1] for state in history[1:] for path in (GENRES,)}) == len(history) - 1


def test_at_each_step_of_publications_every_answer_is_the_old_or_the_new_one(
    service: Kpis, publishing: Publishing, days: Days, history: list[State], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kpi_table, "MAX_WRITES", 1)
    steps: list[tuple[str, State]] = []

    for version in (1, 2, 3):
        steps.clear()
        with publishing.before_each_write(lambda write: steps.append((write, state(service)))):
            days.publish(version)

        puts, deletes = len(listens(version)), len(listens(1)) if version == 3 else 0
        assert [write for write, _ in steps] == ["BatchWriteItem"] * puts + ["PutItem"] + ["BatchWriteItem"] * deletes
        assert [found for _, found in steps] == [history[version - 1]] * (puts + 1) + [history[version]] * deletes
        assert state(service) == history[version]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("path", PATHS)
def test_publications_between_two_reads_do_not_mix(
    service: Kpis, days: Days, history: list[State], path: str, times: int
) -> None:
    for number in itertools.count(1):
        days.start_over()
        days.publish(1, 2)
        later = range(3, 3 + times)
        with counted_calls() as calls, before_reads(number.__eq__, partial(days.publish, *later)):
            found = seen(service.get(path))
        assert found in [history[version][path] for version in (2, *later)]
        if number > calls.total():
            break


@pytest.mark.parametrize("path", [path for path in PATHS if "/odd" not in path and "/even" not in path])
def test_a_publication_before_each_read_keeps_nobody_from_an_answer(
    service: Kpis, days: Days, history: list[State], path: str
) -> None:
    days.publish(1)
    versions = itertools.count(2)
    with before_reads(lambda _: True, lambda: days.publish(next(versions))):
        found = seen(service.get(path))
    assert found in [state[path] for state in history[1:]]


@pytest.mark.parametrize(
    ("path", "calls"),
    [
        (GENRES, {"GetItem": 1 + reader.MAX_TRIES, "Query": reader.MAX_TRIES}),
        (f"{GENRES}/pop", {"GetItem": 1 + 2 * reader.MAX_TRIES}),
        ("/v1/genres/pop/days", {"Query": 1, "BatchGetItem": 2 * reader.MAX_TRIES}),
    ],
)
def test_a_day_that_changes_faster_than_it_is_read_is_told_as_503(
    service: Kpis, days: Days, path: str, calls: dict[str, int]
) -> None:
    days.publish(1, 2)
    versions = itertools.count(3)
    # Reads of SUMMARY, or of the index, and reads of rows take turns.
    with (
        counted_calls() as counted,
        before_reads(lambda number: number % 2 == 0, lambda: days.publish(next(versions), next(versions))),
    ):
        answer = service.get(path)
    detail = problem(answer, 503, "busy")["detail"]
    assert detail == f"{DAY} was computed again and again while it was read; ask again in 2 seconds."
    assert answer.headers["Retry-After"] == "2"
    assert counted == calls


class TestPagesOfGenres:
    """Pages of a day's genres are of one version, or there are none."""

    def test_a_cursor_of_an_older_version_is_told_as_409(self, service: Kpis, days: Days) -> None:
        days.publish(1)
        cursor = service.get(GENRES, limit=2).json["next_cursor"]
        for version in (2, 3):
            days.publish(version)
            problem(service.get(GENRES, limit=2, cursor=cursor), 409, "day-changed")

    @pytest.mark.parametrize("times", [1, 2])
    @pytest.mark.parametrize("number", [2, 3])
    def test_a_publication_while_a_later_page_is_read_is_told_as_409(
        self, service: Kpis, days: Days, number: int, times: int
    ) -> None:
        days.publish(1, 2)
        cursor = service.get(GENRES, limit=2).json["next_cursor"]
        with before_reads(number.__eq__, lambda: days.publish(*range(3, 3 + times))):
            problem(service.get(GENRES, limit=2, cursor=cursor), 409, "day-changed")

    @pytest.mark.parametrize("limit", [2, 3, 100])
    def test_rows_that_are_deleted_in_the_middle_of_a_query_are_not_missed(
        self, service: Kpis, days: Days, history: list[State], limit: int
    ) -> None:
        days.publish(1, 2)
        with self.rows_are_deleted_in_the_middle(days):
            answer = service.get(GENRES, limit=limit).json
        assert answer["version"] == 4
        assert answer["genres"] == history[4][GENRES][2]["genres"][:limit]

    def test_rows_that_are_deleted_in_the_middle_of_a_later_page_are_told_as_409(
        self, service: Kpis, days: Days
    ) -> None:
        days.publish(1, 2)
        cursor = service.get(GENRES, limit=1).json["next_cursor"]
        with self.rows_are_deleted_in_the_middle(days):
            problem(service.get(GENRES, limit=2, cursor=cursor), 409, "day-changed")

    @contextmanager
    def rows_are_deleted_in_the_middle(self, days: Days) -> Iterator[None]:
        """Lets a Query of version 2 miss a row between two that it finds: DynamoDB's is no snapshot."""
        due = ["Query", "GetItem"]

        def reply(request: AWSPreparedRequest) -> AWSResponse | None:
            if due[:1] != [operation(request)]:
                return None
            due.pop(0)
            if due:
                found = json.loads(answered(request))
                del found["Items"][1]
                return response(request, found)
            days.publish(3, 4)
            return None

        with replies(reply):
            yield


class TestDayWithoutPlays:
    """A day that lost its last play has a SUMMARY that is a marker."""

    def test_is_unknown_and_in_no_list_until_it_has_plays_again(
        self, service: Kpis, days: Days, history: list[State]
    ) -> None:
        days.publish(1)
        days.lose_all_plays()
        assert days.table.get_item(Key=summary_key(DAY))["Item"]["version"] == 2
        for path in (path for path in PATHS if DAY in path):
            problem(service.get(path), 404, "unknown-day")
        for path in (path for path in PATHS if DAY not in path):
            assert seen(service.get(path)) == history[0][path]
        days.publish(3)
        assert state(service) == history[3]

    @pytest.mark.parametrize("path", [GENRES, f"{GENRES}/pop"])
    def test_may_lose_them_while_it_is_read(self, service: Kpis, days: Days, path: str) -> None:
        days.publish(1, 2)

        def lose() -> None:
            days.lose_all_plays()
            days.lose_all_plays()

        with before_reads((2).__eq__, lose):
            problem(service.get(path), 404, "unknown-day")

    def test_may_still_stand_in_the_index(self, service: Kpis, days: Days, history: list[State]) -> None:
        path = "/v1/genres/pop/days"
        days.publish(1)
        index = index_now(service)
        for _ in range(3):
            days.lose_all_plays()
        with index_of(index):
            assert seen(service.get(path)) == history[0][path]


class TestIndexThatLags:
    """A series takes versions from the index and rows from the table."""

    @pytest.mark.parametrize("genre", ["pop", "odd", "even"])
    def test_a_version_that_is_gone_gives_way_to_the_visible_one(
        self, service: Kpis, days: Days, history: list[State], genre: str
    ) -> None:
        path = f"/v1/genres/{genre}/days"
        days.publish(1)
        index = index_now(service)
        for version in (2, 3, 4):
            days.publish(version)
            # Version 1 is kept until version 3 is visible. It has no plays of `even`.
            seen_version = 1 if version == 2 and genre != "even" else version
            with index_of(index):
                assert seen(service.get(path)) == history[seen_version][path]
