"""Publishes days: claim, compute, write the rows of a version that nobody reads yet, and make it visible in one step.

The order of the steps is the proof that KPIs are right under any history of files; see docs/exactness.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from glue_scripts.kpi_items import DayKpis, Item
from glue_scripts.kpi_table import KpiTable, VisibleDay
from glue_scripts.ledger import Claim, Day, Ledger, Snapshot, Tombstones, utc_now
from glue_scripts.names import (
    DATE_INDEX_PARTITION_KEY,
    KPIS_SORT_KEY,
    SUMMARY,
    genre_sort_key,
    summary_key,
    unknown_tracks_key,
)

PARALLEL_DAYS = 8
MAX_DAYS_AT_ONCE = 31
"""Days claimed and computed together: the driver holds their rows in memory, a day of the public files has 113."""

logger = logging.getLogger(__name__)

Snapshots = Mapping[str, Snapshot | None]
"""By dataset, `songs` and `users`: the snapshot used; None where there is none."""
Compute = Callable[[Sequence[Claim], Snapshots, Tombstones, frozenset[str]], Mapping[str, DayKpis]]
"""Computes, by date, the claimed days that have plays: from exactly their runs, without purged users and without the
withdrawn files, which are named by their hashes."""


@dataclass(frozen=True)
class ComputedDay:
    """A day that was computed.

    Attributes:
        claim: the claim, with the runs that the day was computed from.
        tombstones: the purged users, whom its rows leave out.
    """

    claim: Claim
    tombstones: Tombstones


@dataclass(frozen=True)
class Publisher:
    """What publishing needs.

    Attributes:
        ledger: claims and runs.
        kpi_table: the rows.
        compute: from claims, snapshots and tombstones to KPIs.
        made_with: what else the numbers are a function of, by attribute of SUMMARY: `kpi_code`, the version of the
            code, and `kpi_settings`.
    """

    ledger: Ledger
    kpi_table: KpiTable
    compute: Compute
    made_with: Mapping[str, Any]

    def publish(self, runs: Mapping[str, tuple[str, ...]]) -> list[ComputedDay]:
        """Commits runs to their days and returns when rows that hold them are visible.

        Args:
            runs: by date, the lake runs to commit, complete in the lake; none recomputes the day as it is.

        Returns:
            The days, by ascending date.
        """
        dates = sorted(runs)
        days: list[ComputedDay] = []
        for start in range(0, len(dates), MAX_DAYS_AT_ONCE):
            days += self._publish_together({date: runs[date] for date in dates[start : start + MAX_DAYS_AT_ONCE]})
        return days

    def _publish_together(self, runs: Mapping[str, tuple[str, ...]]) -> list[ComputedDay]:
        def claim(date: str) -> int:
            for run in runs[date]:
                self.ledger.commit_run(date, run)
            return self.ledger.claim_day(date)

        with ThreadPoolExecutor(max_workers=PARALLEL_DAYS) as pool:
            # 5. Commit the runs to the day, then claim the day.
            versions = list(pool.map(claim, runs))
            # 6. Only then read the days' runs, the tombstones, withdrawals and snapshot pointers, and compute.
            committed = list(pool.map(self.ledger.runs, runs))
            claims = [Claim(*of_day) for of_day in zip(runs, versions, committed, strict=True)]
            tombstones = self.ledger.purged_users()
            withdrawn = self.ledger.withdrawn_files()
            snapshots = {dataset: self.ledger.current_snapshot(dataset) for dataset in ("songs", "users")}
            kpis = self.compute(claims, snapshots, tombstones, withdrawn)
            made_of = {**self.made_with, **_names_of(snapshots)}
            list(pool.map(lambda claim: self._publish_day(claim, kpis.get(claim.date), made_of), claims))
        return [ComputedDay(claim, tombstones) for claim in claims]

    def _publish_day(self, claim: Claim, day: DayKpis | None, made_of: Mapping[str, Any]) -> None:
        # 7. Write the rows of the version, which nobody reads yet.
        self.kpi_table.write(_rows(claim, day))
        # 8. Make it visible, unless a later one is: that one was claimed later, and holds at least as much.
        before = self.kpi_table.flip(_summary_row(claim, day, made_of))
        outcome = "published" if before is not None else "superseded"
        logger.info("%s %s: version %d of %d runs", outcome, claim.date, claim.version, len(claim.runs))
        if before is not None:
            self.ledger.note_published(claim.date, claim.version)
            # Readers that have just read the SUMMARY before may still read the version that it names.
            self.kpi_table.collect(claim.date, before)


def read_days(ledger: Ledger, kpi_table: KpiTable) -> tuple[list[Day], dict[str, VisibleDay]]:
    """Every day that was claimed, by ascending date, and by date what is visible of those that were ever published.

    Claims are read first: a day that is claimed later also reads the snapshot pointers later.
    """
    claimed = ledger.days()
    return claimed, kpi_table.visible([day.date for day in claimed])


def unpublished(claimed: Iterable[Day], visible: Mapping[str, VisibleDay]) -> list[str]:
    """Days whose latest claim is not visible: a job is computing each, or has died."""
    return [day.date for day in claimed if day.date not in visible or visible[day.date].version < day.claim]


def _rows(claim: Claim, day: DayKpis | None) -> list[Item]:
    if day is None:
        return []
    key = summary_key(claim.date)
    genres = [{**key, KPIS_SORT_KEY: genre_sort_key(claim.version, row["genre"]), **row} for row in day.genres]
    unknown = {**unknown_tracks_key(claim.date, claim.version), "track_ids": day.unknown_tracks}
    return [*genres, unknown] if day.summary["unknown_track_plays"] else genres


def _summary_row(claim: Claim, day: DayKpis | None, made_of: Mapping[str, Any]) -> Item:
    """SUMMARY; of a day without plays a marker, so that no older job's flip brings its plays back."""
    row = {**summary_key(claim.date), "version": claim.version, "computed_at": utc_now()}
    if day is None:
        return row
    return {**row, DATE_INDEX_PARTITION_KEY: SUMMARY, **day.summary, "genre_rows": len(day.genres), **made_of}


def _names_of(snapshots: Snapshots) -> Item:
    """The snapshots by their folder, and by their file, which stays the same when a purge writes the folder again."""
    return {
        **{f"{dataset}_snapshot": snapshot.uri if snapshot else None for dataset, snapshot in snapshots.items()},
        "snapshots": {dataset: snapshot.file for dataset, snapshot in snapshots.items() if snapshot},
    }
