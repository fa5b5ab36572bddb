"""Publishing days on real conditions: only the latest claim writes, and who is superseded waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from glue_scripts import publication
from glue_scripts.kpi_items import Item
from glue_scripts.ledger import Claim, Tombstones
from glue_scripts.publication import DayNotPublishedError, Publisher, Snapshots
from tests.unit.conftest import Tables

DATE = "2024-06-25"


def rows_of(claims: Sequence[Claim], _: Snapshots, __: Tombstones) -> list[Item]:
    """Rows that tell the runs they were computed from: many, so that a day takes several transactions."""
    return [
        {"pk": f"DAY#{claim.date}", "sk": sort_key, "runs": sorted(claim.runs), "unknown_track_plays": 0}
        for claim in claims
        for sort_key in ["SUMMARY", *(f"GENRE#{number:03}" for number in range(150))]
    ]


def publisher(tables: Tables, meanwhile: Callable[[], Any] = lambda: None) -> Publisher:
    """A publisher during whose first computation something happens."""
    happenings = [meanwhile]

    def compute(claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[Item]:
        if happenings:
            happenings.pop()()
        return rows_of(claims, snapshots, tombstones)

    return Publisher(tables.ledger, tables.kpi_table, compute)


def visible(tables: Tables) -> dict[str, Any]:
    return {str(item["sk"]): item for item in tables.kpis_table.scan()["Items"]}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "MAX_POLLS", 20)
    monkeypatch.setattr(publication, "POLL_SECONDS", 0.01)


def test_a_published_day_shows_all_its_runs(tables: Tables) -> None:
    publisher(tables).publish({DATE: "run-1"})
    publisher(tables).publish({DATE: "run-2"})
    rows = visible(tables)
    assert len(rows) == 151
    assert all(row["runs"] == ["run-1", "run-2"] and row["claim"] == 2 for row in rows.values())
    assert tables.ledger.published_claim(DATE) == 2


def test_who_is_superseded_writes_nothing_and_ends_when_the_later_claim_is_visible(tables: Tables) -> None:
    def overtake() -> None:
        publisher(tables).publish({DATE: "run-2"})

    publisher(tables, overtake).publish({DATE: "run-1"})
    assert all(row["runs"] == ["run-1", "run-2"] for row in visible(tables).values())
    assert tables.ledger.published_claim(DATE) == 2


def test_who_is_superseded_by_a_job_that_dies_claims_again(tables: Tables) -> None:
    publisher(tables, lambda: tables.ledger.claim_day(DATE, "run-2")).publish({DATE: "run-1"})
    assert all(row["runs"] == ["run-1", "run-2"] and row["claim"] == 3 for row in visible(tables).values())


def test_a_day_that_is_claimed_over_and_over_ends_in_an_error_that_names_it(tables: Tables) -> None:
    def compute(claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[Item]:
        tables.ledger.claim_day(DATE, None)
        return rows_of(claims, snapshots, tombstones)

    with pytest.raises(DayNotPublishedError, match=DATE):
        Publisher(tables.ledger, tables.kpi_table, compute).publish({DATE: "run-1"})
    assert visible(tables) == {}


def test_rows_that_do_not_change_are_not_written_again(tables: Tables) -> None:
    publisher(tables).publish({DATE: "run-1"})
    publisher(tables).publish({DATE: None})
    assert {row["sk"] for row in visible(tables).values() if row["claim"] == 2} == {"SUMMARY"}


def test_the_snapshots_of_a_day_stand_in_its_summary_and_in_the_ledger(tables: Tables) -> None:
    publisher(tables).publish({DATE: "run-1"})
    summary = visible(tables)["SUMMARY"]
    assert summary["songs_snapshot"] is None
    assert summary["users_snapshot"] is None
