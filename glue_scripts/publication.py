"""Publishes days: claim, compute, write, until what is visible holds what was committed.

The order of the steps is the proof that KPIs are right under any history of files; see docs/exactness.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from glue_scripts.kpi_items import Item
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Claim, Ledger, Snapshot, Tombstones, utc_now
from glue_scripts.names import KPIS_PARTITION_KEY, KPIS_SORT_KEY, SUMMARY

MAX_CLAIMS = 5
"""How often a job claims a day anew when the job that superseded it does not publish."""
MAX_POLLS = 300
POLL_SECONDS = 2.0
"""A superseded job looks so often, at this interval, whether the later claim is published: ten minutes."""
PARALLEL_DAYS = 8
MAX_DAYS_AT_ONCE = 31
"""Days claimed and computed together: a day of the public files has 2,700 rows, which the driver holds in memory."""

logger = logging.getLogger(__name__)

Snapshots = Mapping[str, Snapshot | None]
"""By dataset, `songs` and `users`: the snapshot used; None where there is none."""
Compute = Callable[[Sequence[Claim], Snapshots, Tombstones], list[Item]]
"""Computes all rows of the claimed days from exactly their runs, purged users left out."""


class DayNotPublishedError(RuntimeError):
    """Days stayed unpublished although they were claimed again and again."""


@dataclass(frozen=True)
class Publisher:
    """What publishing needs.

    Attributes:
        ledger: claims and published days.
        kpi_table: the rows.
        compute: from claims, snapshots and tombstones to rows.
        sleep: waits for so many seconds.
    """

    ledger: Ledger
    kpi_table: KpiTable
    compute: Compute
    sleep: Callable[[float], None] = time.sleep

    def publish(self, runs: Mapping[str, str | None]) -> None:
        """Commits runs to their days and returns when rows that hold them are visible.

        Args:
            runs: by date, the lake run to commit, complete in the lake; None recomputes the day as it is.

        Raises:
            DayNotPublishedError: other jobs kept superseding this one and did not publish either.
        """
        dates = sorted(runs)
        for start in range(0, len(dates), MAX_DAYS_AT_ONCE):
            self._publish_together({date: runs[date] for date in dates[start : start + MAX_DAYS_AT_ONCE]})

    def _publish_together(self, runs: Mapping[str, str | None]) -> None:
        waiting = dict(runs)
        for _ in range(MAX_CLAIMS):
            # 5. Commit the run to the day and claim the day, in one atomic update.
            claims = [self.ledger.claim_day(date, run) for date, run in waiting.items()]
            # 6. Only then read the tombstones, the snapshot pointers and the days' runs, and compute.
            tombstones = self.ledger.purged_users()
            snapshots = {dataset: self.ledger.current_snapshot(dataset) for dataset in ("songs", "users")}
            items = _items_by_day(self.compute(claims, snapshots, tombstones))
            # 7. Write under the claim; 8. where a claim is superseded, wait for the later one's rows.
            superseded = self._write(claims, items, snapshots)
            late = self._not_published_in_time(superseded)
            if not late:
                return
            # Without the run: it is committed.
            waiting = dict.fromkeys(sorted(late))
        raise DayNotPublishedError(
            f"Not published after {MAX_CLAIMS} claims: {', '.join(sorted(waiting))}. The plays are committed; "
            "redrive the execution when no other one computes these days."
        )

    def _write(self, claims: Sequence[Claim], items: Mapping[str, list[Item]], snapshots: Snapshots) -> list[Claim]:
        """Writes days in parallel; returns the claims that were superseded."""

        def write(claim: Claim) -> bool:
            return self._write_day(claim, items.get(claim.date, []), snapshots)

        with ThreadPoolExecutor(max_workers=PARALLEL_DAYS) as pool:
            written = list(pool.map(write, claims))
        return [claim for claim, is_written in zip(claims, written, strict=True) if not is_written]

    def _write_day(self, claim: Claim, items: list[Item], snapshots: Snapshots) -> bool:
        uris = {dataset: snapshot.uri for dataset, snapshot in snapshots.items() if snapshot}
        stamped = [_with_snapshots(item, uris) if item[KPIS_SORT_KEY] == SUMMARY else item for item in items]
        unknown_plays = sum(item["unknown_track_plays"] for item in items if item[KPIS_SORT_KEY] == SUMMARY)
        is_written = self.kpi_table.write_day(claim, stamped, utc_now()) and self.ledger.publish_day(
            claim, unknown_plays=unknown_plays, snapshots=uris
        )
        outcome = "published" if is_written else "superseded"
        logger.info("%s %s: claim %d, %d runs, %d rows", outcome, claim.date, claim.number, len(claim.runs), len(items))
        return is_written

    def _not_published_in_time(self, superseded: Iterable[Claim]) -> set[str]:
        """Waits for the claims that superseded ours; returns the dates that did not get published."""
        missing = {claim.date: claim for claim in superseded}
        for _ in range(MAX_POLLS):
            missing = {
                date: claim for date, claim in missing.items() if self.ledger.published_claim(date) < claim.number
            }
            if not missing:
                break
            self.sleep(POLL_SECONDS)
        return set(missing)


def _items_by_day(items: Iterable[Item]) -> dict[str, list[Item]]:
    by_day: dict[str, list[Item]] = {}
    for item in items:
        by_day.setdefault(str(item[KPIS_PARTITION_KEY]).removeprefix("DAY#"), []).append(item)
    return by_day


def _with_snapshots(summary: Item, uris: Mapping[str, str]) -> Item:
    return {**summary, "songs_snapshot": uris.get("songs"), "users_snapshot": uris.get("users")}
