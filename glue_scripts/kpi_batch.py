"""Brings the accepted files of one batch into the KPIs: references, then plays, then the days they touch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from glue_scripts.kpi_items import Item
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Claim, FileStatus, Ledger, Snapshot, Tombstones, newest_of
from glue_scripts.objects import file_name
from glue_scripts.publication import Publisher, Snapshots
from glue_scripts.readable_file import ReadableFile
from validators.schemas import SNAPSHOT_DATASETS

logger = logging.getLogger(__name__)


class UnknownDayError(ValueError):
    """A day was to be computed anew that was never computed."""


@dataclass(frozen=True, kw_only=True)
class AcceptedFile:
    """An accepted file.

    Attributes:
        key: the object key.
        version_id: the object version.
        dataset: users, songs or streams.
        uploaded_at: ISO 8601 in UTC, to the second.
        source: what the job reads.
    """

    key: str
    version_id: str
    dataset: str
    uploaded_at: str
    source: ReadableFile

    @property
    def age(self) -> tuple[str, str, str]:
        """What decides which of two reference files is newer; see `Snapshot.age`."""
        return self.uploaded_at, self.key, self.version_id

    def snapshot_name(self, run: str) -> str:
        """The name of the snapshot that a job run makes of this file; no other run makes one of that name."""
        return f"{run}-{file_name(self.key, self.version_id)[:16]}"

    def snapshot(self, uri: str, rows: int) -> Snapshot:
        """The snapshot made of this file."""
        return Snapshot(
            dataset=self.dataset,
            uri=uri,
            key=self.key,
            version_id=self.version_id,
            last_modified=self.uploaded_at,
            rows=rows,
        )

    @classmethod
    def of_document(cls, entry: Mapping[str, Any]) -> AcceptedFile:
        """From an entry of the document's `files`."""
        return cls(
            key=entry["key"],
            version_id=entry["version_id"],
            dataset=entry["dataset"],
            uploaded_at=entry["last_modified"],
            source=ReadableFile(
                name=entry["uri"].rpartition("/")[2],
                uri=entry["uri"],
                header=tuple(entry["header"]),
                last_modified=datetime.fromisoformat(entry["last_modified"]),
                size=entry["size"],
                is_line_per_row=entry["is_line_per_row"],
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Written:
    """What an engine has written to the lake, where nothing names it yet.

    Attributes:
        snapshots: one for each reference file.
        dates: the days that have a run, yyyy-mm-dd, ascending.
    """

    snapshots: Sequence[Snapshot]
    dates: Sequence[str]


class Engine(Protocol):
    """What is done with rows: SQL on the lake, or plain Python where a test runs thousands of histories."""

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        """Writes valid rows, without purged users: each reference file as a snapshot, all plays as a run for each day.

        A day of purged users only has an empty run: an earlier run of the batch may have claimed it and died over it.
        """
        ...

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[Item]:
        """All rows of the claimed days, from exactly their runs."""
        ...


@dataclass(frozen=True, kw_only=True)
class KpiBatch:
    """One run of the KPI job.

    Attributes:
        engine: works on rows.
        ledger: the ledger.
        publisher: brings days to the table of KPIs.
        run: the job run's id, which no other run has had: names the lake run.
    """

    engine: Engine
    ledger: Ledger
    publisher: Publisher
    run: str

    @classmethod
    def of(cls, *, engine: Engine, ledger: Ledger, kpi_table: KpiTable, run: str) -> KpiBatch:
        """A run whose days are computed by the engine."""
        return cls(engine=engine, ledger=ledger, publisher=Publisher(ledger, kpi_table, engine.compute), run=run)

    def load(self, document: Mapping[str, Any]) -> list[AcceptedFile]:
        """Returns when rows that hold every accepted file are visible.

        It may be run again after a crash at any point, with another `run`.

        Args:
            document: `accepted.json`: `files`, and optionally `recompute`, dates (yyyy-mm-dd) to compute as they are.

        Returns:
            The files that this run was the first to load: not those of an earlier run of the batch.

        Raises:
            UnknownDayError: a date of `recompute` is not in the ledger.
            DayNotPublishedError: other jobs claimed a day again and again and did not publish it.
        """
        files = [AcceptedFile.of_document(entry) for entry in document["files"]]
        runs: dict[str, str | None] = dict.fromkeys(self._known(document.get("recompute", [])))
        streams = [file for file in files if file.dataset not in SNAPSHOT_DATASETS]
        # 1. Write the rows to places of this job run's own: nothing is visible yet.
        written = self.engine.write(self._newer_references(files), streams, self.run, self.ledger.purged_users())
        # A new snapshot takes effect first; the days are claimed afterwards.
        for snapshot in written.snapshots:
            self._make_current(snapshot)
        if any(file.dataset == "songs" for file in files):
            # Whether or not the snapshot is the current one: an earlier run of this batch may have died over the days.
            runs |= dict.fromkeys(self.ledger.days_that_may_lack_tracks())
        runs |= dict.fromkeys(written.dates, self.run)
        # 2. to 5. Commit, claim, compute and write the days.
        self.publisher.publish(runs)
        # 6. The state machine archives the files after this.
        return [file for file in files if self._mark_loaded(file) is FileStatus.ACCEPTED]

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

    def _newer_references(self, files: Sequence[AcceptedFile]) -> list[AcceptedFile]:
        """The newest file of each reference dataset, unless the current snapshot is of a newer one or of that file."""
        newer = []
        for dataset in SNAPSHOT_DATASETS:
            of_dataset = [file for file in files if file.dataset == dataset]
            if not of_dataset:
                continue
            newest = newest_of(of_dataset, self.ledger.current_snapshot(dataset))
            if newest:
                newer.append(newest)
            else:
                logger.info("%s: the current snapshot stays, the files are not newer", dataset)
        return newer

    def _make_current(self, snapshot: Snapshot) -> None:
        is_current = self.ledger.make_current(snapshot)
        logger.info("%s snapshot of %d rows: %s", snapshot.dataset, snapshot.rows, "current" if is_current else "older")
