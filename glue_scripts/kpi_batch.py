"""Brings the accepted files of a batch into the KPIs: their snapshots, then the days that they touch."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.catalogue_days import KnownTracks, days_to_compute
from glue_scripts.ledger import Batch, FileStatus, Ledger, Snapshot
from glue_scripts.publication import ComputedDay, Publisher
from glue_scripts.taken_batches import BatchReader, take_along

_VISIBLE = (FileStatus.LOADED, FileStatus.ARCHIVED)

logger = logging.getLogger(__name__)


class UnknownDayError(ValueError):
    """A day was to be recomputed that was never computed."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a run of the KPI job has made visible.

    Attributes:
        files: those that this run was the first to load, those of batches that it took along among them.
        days: the days that it computed; one may be there twice.
    """

    files: Sequence[AcceptedFile] = ()
    days: Sequence[ComputedDay] = ()


@dataclass(frozen=True, kw_only=True)
class KpiBatch:
    """One run of the KPI job.

    Attributes:
        publisher: brings days to the table of KPIs.
        known_tracks: which of some track ids a songs snapshot has.
        batches: reads the batches that are taken along.
        run: the job run's id.
    """

    publisher: Publisher
    known_tracks: KnownTracks
    batches: BatchReader
    run: str

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.publisher.ledger

    def load(self, accepted: AcceptedFiles) -> Loaded:
        """Returns when rows that hold every accepted file are visible.

        It may be run again after a crash at any point.

        Args:
            accepted: the files, and the days to compute as they are.

        Raises:
            UnknownBatchError: the ledger does not know what the files' rows became in the lake.
            UnknownDayError: a day to compute is not in the ledger.
        """
        if self._is_loaded(accepted):
            return Loaded()
        self._check_known(accepted.recompute)
        recompute = dict.fromkeys(accepted.recompute, ())
        if not accepted.files:
            return Loaded(days=self.publisher.publish(recompute))
        own = self.ledger.batch(accepted.execution_arn)
        # An earlier run may have failed because of a batch that it took along. So a retry takes none.
        is_first = self.ledger.begin_batch(own.execution_arn, self.run)
        taken = take_along(self.ledger, own, self.batches, self.run) if is_first else []
        # 4. A new snapshot takes effect first; the days are claimed afterwards.
        for snapshot in own.snapshots:
            self._make_current(snapshot)
        # 5. to 8. Commit, claim, compute and publish the days.
        days = self.publisher.publish({**recompute, **_runs_by_day([own, *(each.batch for each in taken)])})
        # 9. The state machine archives the files after this.
        loaded = [file for each in taken for file in self._mark_loaded(each.files)]
        if any(file.dataset == "songs" for file in accepted.files):
            # Whether or not the snapshot is the current one: an earlier run may have died over the days.
            days += self.publisher.publish(dict.fromkeys(days_to_compute(self.publisher, self.known_tracks), ()))
        return Loaded(files=loaded + self._mark_loaded(accepted.files), days=days)

    def _is_loaded(self, accepted: AcceptedFiles) -> bool:
        """Whether an earlier run has loaded every file: their plays are visible, and stay so."""
        if accepted.recompute or not accepted.files:
            return False
        statuses = (self.ledger.file_status_and_execution(file.key, file.version_id)[0] for file in accepted.files)
        return all(status in _VISIBLE for status in statuses)

    def _mark_loaded(self, files: Iterable[AcceptedFile]) -> list[AcceptedFile]:
        """Marks files as loaded; returns those that were not."""

        def before(file: AcceptedFile) -> FileStatus | None:
            return self.ledger.advance_file(file.key, file.version_id, FileStatus.LOADED, {"loaded_by": self.run})

        return [file for file in files if before(file) is FileStatus.ACCEPTED]

    def _check_known(self, dates: Sequence[str]) -> None:
        unknown = sorted(set(dates) - set(self.ledger.dates())) if dates else []
        if unknown:
            raise UnknownDayError(
                f"No file has ever had plays of {', '.join(unknown)}: nothing was computed. Ask for days that "
                "the ledger lists."
            )

    def _make_current(self, snapshot: Snapshot) -> None:
        is_current = self.ledger.make_current(snapshot)
        logger.info("%s snapshot of %d rows: %s", snapshot.dataset, snapshot.rows, "current" if is_current else "older")


def _runs_by_day(batches: Iterable[Batch]) -> Mapping[str, tuple[str, ...]]:
    runs: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for batch in batches:
        for date in batch.dates:
            runs[date] += (batch.run,)
    return runs
