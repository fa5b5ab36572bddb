"""Publishes days: claim, compute, write the rows of a version that nobody reads yet, and make it visible in one step.

The order of the steps is the proof that KPIs are right under any history of files; see docs/exactness.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from glue_scripts.kpi_items import DayKpis, Item
from glue_scripts.kpi_table import KpiTable, VisibleDay, summary_key, version_prefix
from glue_scripts.ledger import Claim, Day, Ledger, Snapshot, Tombstones, utc_now
from glue_scripts.names import DATE_INDEX_PARTITION_KEY, KPIS_SORT_KEY, SUMMARY

PARALLEL_DAYS = 8
MAX_DAYS_AT_ONCE = 31
"""Days claimed and computed together: the driver holds their rows in memory, a day of the public files has 113."""

logger = logging.getLogger(__name__)

Snapshots = Mapping[str, Snapshot | None]
"""By dataset, `songs` and `users`: the snapshot used; None where there is none."""
Compute = Callable[[Sequence[Claim], Snapshots, Tombstones], Mapping[str, DayKpis]]
"""Computes, by date, the claimed days that have plays, from exactly their runs, purged users left out."""


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

    def publish(self, runs: Mapping[str, str | None]) -> None:
        """Commits runs to their days and returns when rows that hold them are visible.

        Args:
            runs: by date, the lake run to commit, complete in the lake; None recomputes the day as it is.
        """
        dates = sorted(runs)
        for start in range(0, len(dates), MAX_DAYS_AT_ONCE):
            self._publish_together({date: runs[date] for date in dates[start : start + MAX_DAYS_AT_ONCE]})

    def days_that_may_lack_tracks(self) -> list[str]:
        """Days with plays of unknown tracks, and days being computed, which may have them: ascending dates."""
        return [
            day.date
            for day, visible in _days(self.ledger, self.kpi_table)
            if visible is None or visible.version < day.claim or visible.unknown_plays
        ]

    def _publish_together(self, runs: Mapping[str, str | None]) -> None:
        def claim(date: str) -> int:
            if run := runs[date]:
                self.ledger.commit_run(date, run)
            return self.ledger.claim_day(date)

        with ThreadPoolExecutor(max_workers=PARALLEL_DAYS) as pool:
            # 5. Commit the run to the day, then claim the day.
            versions = list(pool.map(claim, runs))
            # 6. Only then read the days' runs, the tombstones and the snapshot pointers, and compute.
            committed = list(pool.map(self.ledger.runs, runs))
            claims = [Claim(*of_day) for of_day in zip(runs, versions, committed, strict=True)]
            tombstones = self.ledger.purged_users()
            snapshots = {dataset: self.ledger.current_snapshot(dataset) for dataset in ("songs", "users")}
            kpis = self.compute(claims, snapshots, tombstones)
            made_of = {**self.made_with, **_names_of(snapshots)}
            list(pool.map(lambda claim: self._publish_day(claim, kpis.get(claim.date), made_of), claims))

    def _publish_day(self, claim: Claim, day: DayKpis | None, made_of: Mapping[str, Any]) -> None:
        # 7. Write the rows of the version, which nobody reads yet.
        self.kpi_table.write(_genre_rows(claim, day))
        # 8. Make it visible, unless a later one is: that one was claimed later, and holds at least as much.
        before = self.kpi_table.flip(_summary_row(claim, day, made_of))
        outcome = "published" if before is not None else "superseded"
        logger.info("%s %s: version %d of %d runs", outcome, claim.date, claim.version, len(claim.runs))
        if before is not None:
            self.ledger.note_published(claim.date, claim.version)
            # Readers that have just read the SUMMARY before may still read the version that it names.
            self.kpi_table.collect(claim.date, before)


def unpublished_days(ledger: Ledger, kpi_table: KpiTable) -> list[str]:
    """Days whose latest claim is not visible, consistently read: ascending dates.

    Where no job works, each is one whose job has died.
    """
    days = _days(ledger, kpi_table)
    return [day.date for day, visible in days if visible is None or visible.version < day.claim]


def _days(ledger: Ledger, kpi_table: KpiTable) -> list[tuple[Day, VisibleDay | None]]:
    """Every day, and what is visible of it. Claims are read first: what is claimed later reads the pointers later."""
    days = ledger.days()
    visible = kpi_table.visible([day.date for day in days])
    return [(day, visible.get(day.date)) for day in days]


def _genre_rows(claim: Claim, day: DayKpis | None) -> list[Item]:
    prefix = version_prefix(claim.version)
    key = summary_key(claim.date)
    return [{**key, KPIS_SORT_KEY: f"{prefix}GENRE#{row['genre']}", **row} for row in day.genres] if day else []


def _summary_row(claim: Claim, day: DayKpis | None, made_of: Mapping[str, Any]) -> Item:
    """SUMMARY; of a day without plays a marker, so that no older job's flip brings its plays back."""
    row = {**summary_key(claim.date), "version": claim.version, "computed_at": utc_now()}
    if day is None:
        return row
    return {**row, DATE_INDEX_PARTITION_KEY: SUMMARY, **day.summary, "genre_rows": len(day.genres), **made_of}


def _names_of(snapshots: Snapshots) -> Item:
    """The snapshots by their folder, and by their file, which stays the same when a purge writes the folder again."""
    used = {dataset: snapshot for dataset, snapshot in snapshots.items() if snapshot}
    return {
        **{f"{dataset}_snapshot": snapshot.uri if snapshot else None for dataset, snapshot in snapshots.items()},
        "snapshots": {dataset: snapshot.file for dataset, snapshot in used.items()},
    }
