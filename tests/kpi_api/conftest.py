"""The handler over table `kpis` on moto's server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from glue_scripts.names import SUMMARY, genre_sort_key
from lambdas.kpi_api import handler
from tests.kpi_api.gateway import proxy_event
from tests.kpi_api.rows import computed_rows
from tests.kpi_api.service import kpi_service

ORIGINS = "https://reports.example.com, https://other.example.com"


@dataclass(frozen=True)
class Answer:
    """What the handler returned."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:  # noqa: ANN401
        """The body, its numbers with their digits."""
        return json.loads(self.text, parse_float=Decimal)


@dataclass(frozen=True)
class Kpis:
    """The table with its rows, and the API over it."""

    table: Any
    rows: list[dict[str, Any]]

    def get(self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, **query: Any) -> Answer:  # noqa: ANN401
        """Calls the handler; `from_` stands for the parameter `from`."""
        text = urlencode({name.rstrip("_"): value for name, value in query.items()}, doseq=True)
        answer = handler.handler(proxy_event(method, path, text, headers), None)
        return Answer(answer["statusCode"], answer["headers"], answer["body"])

    def summary(self, date: str) -> dict[str, Any]:
        """A day's SUMMARY as it was written."""
        return self._row(date, SUMMARY)

    def genre(self, date: str, genre: str) -> dict[str, Any]:
        """A genre's row as it was written."""
        return self._row(date, genre_sort_key(1, genre))

    def _row(self, date: str, sort_key: str) -> dict[str, Any]:
        return next(row for row in self.rows if (row["pk"], row["sk"]) == (f"DAY#{date}", sort_key))


@pytest.fixture(scope="module")
def kpis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kpis]:
    """The table of one test module; what a test changes in it, it puts back."""
    rows = computed_rows()
    with kpi_service(rows, tmp_path_factory.mktemp("moto"), allowed_origins=ORIGINS) as table:
        yield Kpis(table, rows)
