"""Brings the accepted files of one batch into the KPIs: their snapshots, then the days that they touch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.ledger import FileStatus, Ledger, Snapshot
from glue_scripts.publication import Publisher

_VISIBLE = (FileStatus.LOADED, FileStatus.ARCHIVED)

logger = logging.getLogger(__name__)


class UnknownDayError(ValueError):
    """A day was to be computed anew that was never computed."""


@dataclass(frozen=True, kw_only=True)
class KpiBatch:
    """One run of the KPI job.

    Attributes:
        publisher: brings days to the table of KPIs.
        run: the job run's id.
    """

    publisher: Publisher
    run: str

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.publisher.ledger

    def load(self, accepted: AcceptedFiles) -> list[AcceptedFile]:
        """Returns when rows that hold every accepted file are visible.

        It may be run again after a crash at any point.

        Args:
            accepted: the files, and the days to compute as they are.

        Returns:
            The files that this run was the first to load: not those of an earlier run of the batch.

        Raises:
            UnknownBatchError: the ledger does not know what the files' rows became in the lake.
            UnknownDayError: a day to compute is not in the ledger.
        """
        if self._is_loaded(accepted):
            return []
        runs: dict[str, str | None] = dict.fromkeys(self._known(accepted.recompute))
        if accepted.files:
            batch = self.ledger.batch(accepted.execution_arn)
            # 4. A new snapshot takes effect first; the days are claimed afterwards.
            for snapshot in batch.snapshots:
                self._make_current(snapshot)
            if any(file.dataset == "songs" for file in accepted.files):
                # Whether or not the snapshot is the current one: an earlier run may have died over the days.
                runs |= dict.fromkeys(self.publisher.days_that_may_lack_tracks())
            runs |= dict.fromkeys(batch.dates, batch.run)
        # 5. to 8. Commit, claim, compute and publish the days.
        self.publisher.publish(runs)
        # 9. The state machine archives the files after this.
        return [file for file in accepted.files if self._mark_loaded(file) is FileStatus.ACCEPTED]

    def _is_loaded(self, accepted: AcceptedFiles) -> bool:
        """Whether an earlier run has loaded every file: their plays are visible, and stay so."""
        if accepted.recompute or not accepted.files:
            return False
        statuses = (self.ledger.file_status_and_execution(file.key, file.version_id)[0] for file in accepted.files)
        return all(status in _VISIBLE for status in statuses)

    def _mark_loaded(self, file: AcceptedFile) -> FileStatus | None:
        return self.ledger.advance_file(file.key, file.version_id, FileStatus.LOADED, {"loaded_by": self.run})

    def _known(self, dates: Sequence[str]) -> Sequence[str]:
        unknown = sorted(set(dates) - set(self.ledger.dates())) if dates else []
        if unknown:
            raise UnknownDayError(
                f"No file has ever had plays of {', '.join(unknown)}: nothing was computed. Ask for days that "
                "the ledger lists."
            )
        return dates

    def _make_current(self, snapshot: Snapshot) -> None:
        is_current = self.ledger.make_current(snapshot)
        logger.info("%s snapshot of %d rows: %s", snapshot.dataset, snapshot.rows, "current" if is_current else "older")
