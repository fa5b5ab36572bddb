"""Merges the runs of a day that has many, so that the day costs what a day of one run costs.

The runs that are merged stay committed and are marked as replaced; computations under way still read their objects.
`operations collect` deletes these later.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from glue_scripts.blobs import Blob
from glue_scripts.counting import UNITS_PER_PART, stored_tables
from glue_scripts.ledger import MAX_RUNS_MERGED, Ledger, Tombstones
from glue_scripts.objects import Objects, json_line
from glue_scripts.packing import packed
from glue_scripts.publication import ComputedDay
from glue_scripts.spread import workers_for
from glue_scripts.stored_plays import PARALLEL_DOCUMENTS, PLAYS_PER_BUCKET, Plays, RunOfDay, StoredPlays
from glue_scripts.storing import Storing, divided, store_plays
from glue_scripts.user_buckets import buckets_for
from validators.closed_duckdb import Share, closed_connection

if TYPE_CHECKING:
    from pyspark import SparkContext

MANY_RUNS: Final = 32
"""A day with so many runs or more has them merged."""

_OBJECTS = "objects"

logger = logging.getLogger(__name__)


class LakeRuns(Protocol):
    """The runs of the lake: Parquet, or plain Python where a test runs thousands of histories."""

    def rows(self, date: str, runs: Collection[str]) -> Mapping[str, int]:
        """How many rows each of some runs of a day has."""
        ...

    def merge(self, date: str, runs: Collection[str], name: str, tombstones: Tombstones) -> None:
        """Writes the rows of some runs of a day as one run, those of withdrawn files too, without purged users."""
        ...


def merge_runs(ledger: Ledger, lake: LakeRuns, days: Iterable[ComputedDay], job_run: str) -> None:
    """Merges the runs of the days that have many.

    A merged run leaves out exactly the users whom the rows of this computation leave out. A user who was purged later
    stays in it, and the purge finds the run.

    Args:
        ledger: the ledger.
        lake: the runs.
        days: days that were published, in the order of their publication; the last computation of a day counts.
        job_run: the id of this run of the job: names the new runs.
    """
    for day in {day.claim.date: day for day in days}.values():
        claim = day.claim
        if len(claim.runs) < MANY_RUNS:
            continue
        if runs := runs_to_merge(lake.rows(claim.date, claim.runs)):
            merged = f"{job_run}-merged-{claim.version}"
            lake.merge(claim.date, runs, merged, day.tombstones)
            # Only now, because the new run must be complete.
            is_merged = _swap(ledger, claim.date, runs, merged)
            logger.info("merged %d runs of %s: %s", len(runs), claim.date, "done" if is_merged else "superseded")


def _swap(ledger: Ledger, date: str, runs: Sequence[str], merged: str) -> bool:
    """Put a merged run in the place of others; return False as soon as somebody else has replaced one of them.

    Then nothing names the merged run, or some of the others stay beside it: a play that is in two runs counts once.
    """
    parts = (runs[start : start + MAX_RUNS_MERGED] for start in range(0, len(runs), MAX_RUNS_MERGED))
    return all(ledger.replace_runs(date, some, merged) for some in parts)


def runs_to_merge(rows: Mapping[str, int]) -> list[str]:
    """Decide which runs of a day are merged into one; none where they are too few.

    A run that has more rows than all smaller ones together stays as it is. So each row is written again only when its
    run has doubled at least, and a day of n runs keeps about MANY_RUNS + log2(n) of them.

    Args:
        rows: how many rows each run has.
    """
    ascending = sorted(rows, key=lambda run: (rows[run], run))
    smaller = sum(rows.values())
    while ascending and rows[ascending[-1]] > (smaller := smaller - rows[ascending[-1]]):
        ascending.pop()
    return ascending if len(ascending) >= MANY_RUNS else []


@dataclass(frozen=True, kw_only=True)
class StoredRuns:
    """The runs in the data bucket.

    Attributes:
        objects: the data bucket.
        context: gives the Spark context; called where there are more plays than one process works on.
        share: what one task may use.
    """

    objects: Objects
    context: Callable[[], SparkContext]
    share: Share

    def rows(self, date: str, runs: Collection[str]) -> Mapping[str, int]:
        """See `LakeRuns`."""
        return {run.name: run.rows for run in self._read(date, runs)}

    def merge(self, date: str, runs: Collection[str], name: str, tombstones: Tombstones) -> None:
        """See `LakeRuns`."""
        stored = [each for run in self._read(date, runs) for each in run.objects]
        rows = sum(each.rows for each in stored)
        buckets = max([buckets_for(rows, PLAYS_PER_BUCKET), *(each.buckets for each in stored)])
        workers = workers_for(rows, self.context)
        plays = workers.start(_parts(stored)).map(partial(_divide_part, self.objects, buckets, self.share))
        parts = min(buckets, max(workers.tasks, -(-buckets // UNITS_PER_PART)))
        storing = Storing(
            objects=self.objects,
            run=name,
            execution_arn=None,
            buckets=buckets,
            first_key=0,
            files=None,
            tombstones=tombstones,
            share=self.share,
        )
        days = store_plays(plays.by_key(parts), storing).days
        # No day where none of the runs has a row.
        day = days[0] if days else RunOfDay(name, date, buckets, [], execution_arn=None)
        self.objects.write(day.document_key, json_line(day.document()))

    def _read(self, date: str, runs: Collection[str]) -> list[RunOfDay]:
        with ThreadPoolExecutor(PARALLEL_DOCUMENTS) as pool:
            return list(pool.map(lambda run: RunOfDay.read(self.objects, run, date), sorted(runs)))


def _parts(stored: Iterable[StoredPlays]) -> list[list[Blob]]:
    """Describe objects to the tasks that divide their plays."""
    some = packed(stored, lambda each: each.rows, PLAYS_PER_BUCKET)
    keys = ([each.key for each in of_task] for of_task in some)
    return [[Blob(number, _OBJECTS, json.dumps(of_task).encode())] for number, of_task in enumerate(keys)]


def _divide_part(objects: Objects, buckets: int, share: Share, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Divide the plays of objects by the bucket of their user."""
    with closed_connection(share) as db:
        for blob in blobs:
            tables = stored_tables(objects, json.loads(blob.payload))
            for some in packed(tables, lambda table: table.num_rows, PLAYS_PER_BUCKET):
                yield from divided(db, Plays.of(some), buckets)
