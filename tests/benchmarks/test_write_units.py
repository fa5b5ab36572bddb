"""Write units are those of what is really written, by DynamoDB's rules for the sizes of items."""

from __future__ import annotations

from decimal import Decimal

import pytest

from benchmarks.dataset import Size
from benchmarks.kpi_kernels import make_rows
from benchmarks.write_units import days, genre_rows, item_bytes, report, units_by_version, write_units
from glue_scripts.kpi_items import DayKpis


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("", 0),
        ("abc", 3),
        ("ä\U0001f3b5", 6),
        (0, 1),
        (7, 2),
        (1500, 2),
        (-27, 3),
        (Decimal("1234.50"), 4),
        (Decimal("9" * 38), 20),
        (None, 1),
        (True, 1),
        ([], 3),
        (["a", "bc"], 3 + 2 + 3),
        ({"k": "v", "n": 10}, 3 + 2 + 2 + 1 + 2),
    ],
    ids=str,
)
def test_the_size_of_a_value(value: object, size: int) -> None:
    assert item_bytes({"name": value}) == len("name") + size


def test_a_unit_is_a_kb_that_is_begun() -> None:
    assert [write_units({"n": "x" * size}) for size in (0, 1023, 1024, 2047, 2048)] == [1, 1, 2, 2, 3]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DayKpis, DayKpis]:
    folder = tmp_path_factory.mktemp("rows")
    make_rows(folder, Size(plays=3000, days=1, users=100, tracks=300, genres=20))
    return days(folder)


def test_what_publishing_asks_for_is_counted(made: tuple[DayKpis, DayKpis]) -> None:
    before, after = made
    first, second, third = units_by_version([before, after, after])
    of_before, of_after = (sum(map(write_units, genre_rows(day))) for day in made)
    unknown_tracks = 1
    assert first == {"rows": of_before + unknown_tracks, "SUMMARY": 2, "index": 2, "ledger": 3}
    assert second == {**first, "rows": of_after + unknown_tracks}
    assert third == {**second, "deletes": of_before + unknown_tracks}


def test_the_report_has_a_line_for_each_publication(made: tuple[DayKpis, DayKpis]) -> None:
    lines = report(*made).splitlines()
    assert lines[0].endswith(" plays, 20 genres")
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| a day is published",
        "| ---",
        "| the first time",
        "| the second time",
        "| each later time",
    ]
