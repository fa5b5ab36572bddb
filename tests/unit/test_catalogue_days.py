"""Which days a new songs snapshot computes: those that it may change, and none a second time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest

from glue_scripts import catalogue_days
from glue_scripts.catalogue_days import days_to_compute
from glue_scripts.kpi_items import DayKpis
from glue_scripts.ledger import Claim, Snapshot
from glue_scripts.publication import Publisher
from tests.unit.conftest import Tables

MADE_WITH = {"kpi_code": "0123456789ab", "kpi_settings": {"top_songs": 3, "top_genres": 5}}


def catalogue(day: int) -> Snapshot:
    """A songs snapshot; the later its day, the newer it is."""
    return Snapshot("songs", f"s3://bucket/{day}/", "raw/songs/songs.csv", f"v{day}", f"2024-06-{day:02}T00:00:00Z", 1)


@dataclass
class Days:
    """Days with plays of tracks that no catalogue knows, unless `known` says otherwise.

    Attributes:
        tables: the two tables.
        unknown: by date, the unknown tracks that its next computation finds; None for too many to list.
        known: the tracks that the current catalogue knows.
        asked: the tracks that were asked for, each time.
    """

    tables: Tables
    unknown: dict[str, Sequence[str] | None] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    asked: list[Collection[str]] = field(default_factory=list)

    @property
    def publisher(self) -> Publisher:
        return Publisher(self.tables.ledger, self.tables.kpi_table, self._compute, MADE_WITH)

    def publish(self, date: str, *unknown: str, too_many: bool = False) -> None:
        """Publishes a day with plays of known tracks, and of some unknown ones."""
        self.unknown[date] = None if too_many else unknown
        self.publisher.publish({date: ("run",)})

    def due(self) -> list[str]:
        """The days that the current catalogue may change."""
        return days_to_compute(self.publisher, self._known_tracks)

    def _compute(self, claims: Sequence[Claim], *_: object) -> Mapping[str, DayKpis]:
        return {claim.date: self._day(claim.date) for claim in claims}

    def _day(self, date: str) -> DayKpis:
        unknown = self.unknown[date]
        return DayKpis({"date": date, "listens": 5, "unknown_track_plays": int(unknown != ())}, [], unknown)

    def _known_tracks(self, songs: Snapshot, track_ids: Collection[str]) -> Collection[str]:
        assert songs == self.tables.ledger.current_snapshot("songs")
        self.asked.append(track_ids)
        return self.known.intersection(track_ids)


@pytest.fixture
def days(tables: Tables) -> Days:
    tables.ledger.make_current(catalogue(1))
    return Days(tables)


def test_a_day_of_whose_unknown_tracks_the_new_catalogue_knows_one_is_computed(days: Days) -> None:
    days.publish("2024-05-01", "t1", "t2")
    days.publish("2024-05-02", "t3")
    days.publish("2024-05-03")
    days.tables.ledger.make_current(catalogue(2))
    days.known = frozenset({"t2", "t9"})
    assert days.due() == ["2024-05-01"]
    assert days.asked == [{"t1", "t2", "t3"}]


def test_a_day_with_too_many_unknown_tracks_to_list_is_computed(days: Days) -> None:
    days.publish("2024-05-01", too_many=True)
    days.tables.ledger.make_current(catalogue(2))
    assert days.due() == ["2024-05-01"]


def test_a_day_that_was_published_with_the_current_catalogue_is_left_out(days: Days) -> None:
    """It has unknown tracks; no other computation with this catalogue would know them."""
    days.publish("2024-05-01", too_many=True)
    assert days.due() == []


def test_a_day_whose_claim_is_not_visible_is_computed_even_with_the_current_catalogue(days: Days) -> None:
    """Its job may have read the pointer before the catalogue became the current one."""
    days.publish("2024-05-01")
    for date in ("2024-05-01", "2024-05-02"):
        days.tables.ledger.claim_day(date)
    assert days.due() == ["2024-05-01", "2024-05-02"]


def test_a_catalogue_that_a_purge_wrote_again_is_the_same_one(days: Days) -> None:
    days.publish("2024-05-01", too_many=True)
    days.tables.ledger_table.update_item(
        Key={"pk": "SNAPSHOTS", "sk": "songs"},
        UpdateExpression="SET uri = :uri",
        ExpressionAttributeValues={":uri": "s3://bucket/without-a-person/"},
    )
    assert days.due() == []


def test_without_a_catalogue_days_that_are_not_visible_are_due(tables: Tables) -> None:
    tables.ledger.claim_day("2024-05-01")
    assert Days(tables).due() == ["2024-05-01"]


def test_a_version_whose_rows_are_gone_is_computed(days: Days) -> None:
    """The day was published twice since SUMMARY was read."""
    days.publish("2024-05-01", "t1")
    days.tables.kpis_table.delete_item(Key={"pk": "DAY#2024-05-01", "sk": "V#0000000001#UNKNOWN_TRACKS"})
    days.tables.ledger.make_current(catalogue(2))
    assert days.due() == ["2024-05-01"]


def test_unknown_tracks_of_a_few_days_at_a_time_are_in_memory(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_days, "MAX_DAYS_AT_ONCE", 2)
    for number in range(1, 6):
        days.publish(f"2024-05-{number:02}", f"t{number}")
    days.tables.ledger.make_current(catalogue(2))
    days.known = frozenset({"t1", "t4", "t5"})
    assert days.due() == ["2024-05-01", "2024-05-04", "2024-05-05"]
    assert days.asked == [{"t1", "t2"}, {"t3", "t4"}, {"t5"}]


class KilledError(Exception):
    """The job has used up its time."""


def test_runs_that_are_killed_make_progress_and_compute_each_day_once_more_at_most(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve days, two at a time; each run is killed in its fourth computation, before it publishes."""
    monkeypatch.setattr("glue_scripts.publication.MAX_DAYS_AT_ONCE", 2)
    dates = [f"2024-05-{number:02}" for number in range(1, 13)]
    for date in dates:
        days.publish(date, "t1")
    days.tables.ledger.make_current(catalogue(2))
    days.known = frozenset({"t1"})
    computed: list[str] = []

    def run() -> None:
        computations = count(1)

        def compute(claims: Sequence[Claim], *_: object) -> Mapping[str, DayKpis]:
            computed.extend(claim.date for claim in claims)
            if next(computations) == 4:
                raise KilledError
            return {claim.date: days._day(claim.date) for claim in claims}

        publisher = Publisher(days.tables.ledger, days.tables.kpi_table, compute, MADE_WITH)
        publisher.publish(dict.fromkeys(days.due(), ()))

    with pytest.raises(KilledError):
        run()
    run()
    assert days.due() == []
    assert {date: computed.count(date) for date in dates} == {date: 1 + (date in dates[6:8]) for date in dates}
