"""The processor time that an answer costs in the handler, boto3's work included, on answers of DynamoDB kept in memory.

`pytest tests/kpi_api/test_speed.py -n 0 -s` prints the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from glue_scripts.names import day_key
from lambdas.kpi_api import handler
from lambdas.kpi_api.messages import json_text
from lambdas.kpi_api.store import decoded
from tests.kpi_api.gateway import proxy_event
from tests.kpi_api.recorded import answered, body, replies, response
from tests.kpi_api.rows import stored
from tests.kpi_api.service import kpi_service
from tests.oracle import Play, Song, User, kpi_items

DAY: Final = "2024-06-25"
GENRES: Final = 113
ROWS: Final = 1 + GENRES
"""SUMMARY, and each genre with all of its hours: a few more hours than the 2,594 of the real files' day."""
SERIES_GENRE: Final = "genre-007"
SERIES_DAYS: Final = 31
LIMIT_UNITS: Final = 3.5
"""Of `unit`: machines differ, and one differs from hour to hour. 20 ms on the machine of docs/api.md."""
REPEATS: Final = 15


@pytest.fixture(scope="module")
def full_day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    songs = [
        Song(f"{genre:03}-{number}", f"A song of {number}", "Some;Body", f"genre-{genre:03}", 200_123)
        for genre in range(GENRES)
        for number in range(3)
    ]
    hours = [datetime.fromisoformat(f"{DAY}T{hour:02}:10:00").replace(tzinfo=UTC) for hour in range(24)]
    plays = [Play(f"u{hour.hour % 7}", song.track_id, hour) for song in songs for hour in hours]
    users = [User(f"u{number}", f"Country {number}") for number in range(7)]
    rows = stored(kpi_items(plays, songs, users, top_songs=3, top_genres=5))
    assert len(rows) == ROWS
    with pytest.MonkeyPatch.context() as patch:
        # moto takes a second for the rows of a day, and longer where other work is done beside it.
        patch.setattr(handler, "_CLIENT", handler._CLIENT.merge(Config(read_timeout=60)))
        with kpi_service([*rows, *earlier_days(rows)], Path(tmp_path_factory.mktemp("moto"))):
            yield rows


def earlier_days(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same figures on the days before, of one genre."""
    for number in range(1, SERIES_DAYS):
        date = (datetime.fromisoformat(DAY) - timedelta(days=number)).date().isoformat()
        kept = (row for row in rows if row.get("genre", SERIES_GENRE) == SERIES_GENRE)
        yield from ({**row, "pk": day_key(date), "date": date} for row in kept)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time of this thread, the median of several runs."""
    spent = []
    for _ in range(REPEATS):
        before = time.thread_time()
        work()
        spent.append(time.thread_time() - before)
    return median(spent)


def unit() -> float:
    """What the processor time is compared with: that of a sum of a hundred thousand squares."""
    return cpu_seconds(lambda: sum(number * number for number in range(100_000)))


class Recording:
    """What DynamoDB answers, asked once."""

    def __init__(self) -> None:
        self._contents: dict[bytes | str, bytes] = {}

    def keep(self, request: AWSPreparedRequest) -> None:
        """Asks DynamoDB in place of the client, who then asks a second time."""
        self._contents[body(request)] = answered(request)

    def give(self, request: AWSPreparedRequest) -> AWSResponse:
        """The answer to an equal request."""
        return response(request, self._contents[body(request)])


@pytest.mark.parametrize(
    ("path", "query", "rows"),
    [
        (f"/v1/days/{DAY}", "", 1),
        (f"/v1/days/{DAY}/genres", "limit=500", GENRES),
        (f"/v1/days/{DAY}/genres/{SERIES_GENRE}", "", 2),
        (f"/v1/genres/{SERIES_GENRE}/days", f"limit={SERIES_DAYS}", 2 * SERIES_DAYS),
    ],
)
@pytest.mark.usefixtures("full_day")
def test_an_answer_costs_little_processor_time(path: str, query: str, rows: int) -> None:
    def ask() -> dict[str, Any]:
        return handler.handler(proxy_event("GET", path, query), None)

    recording = Recording()
    with replies(recording.keep):
        expected = ask()
    assert expected["statusCode"] == 200
    with replies(recording.give):
        assert ask() == expected
        spent = cpu_seconds(ask)

    print(f"\n{path}: {rows} rows, {1000 * spent:.1f} ms")
    assert spent < LIMIT_UNITS * unit()


def test_all_rows_of_a_day_are_decoded_and_written_quickly(full_day: list[dict[str, Any]]) -> None:
    serialize = TypeSerializer().serialize
    items = [{name: serialize(value) for name, value in row.items()} for row in full_day]

    spent = cpu_seconds(lambda: json_text({"rows": [decoded(item) for item in items]}))

    print(f"\nall rows of a day, decoded and written as JSON: {ROWS} rows, {1000 * spent:.1f} ms")
    assert spent < 5 * LIMIT_UNITS * unit()
