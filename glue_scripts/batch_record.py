"""Records a batch: verdicts, then the rows of exactly the files that the ledger accepts, then the batch's item.

The order is a part of the proof that KPIs are right under any history of files; see docs/exactness.md.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from glue_scripts.accepted_files import AcceptedFile
from glue_scripts.ledger import Batch, FileStatus, Ledger, RecordedVerdict, Snapshot, Tombstones, newest_of
from validators.printable import printable
from validators.schemas import SNAPSHOT_DATASETS

PARALLEL_VERDICTS = 8
"""Verdicts that are recorded at the same time."""

_JOINED = (FileStatus.ACCEPTED, FileStatus.LOADED)
"""Another execution has accepted the file. This batch writes its rows as well, because plays are a set."""
_ACCEPTED = (*_JOINED, FileStatus.ARCHIVED)


class RowsMissingError(ValueError):
    """A file was accepted by an earlier run of the job, and this run cannot read its rows."""


class File(Hashable, Protocol):
    """A file of the batch."""

    @property
    def key(self) -> str:
        """The object key."""
        ...

    @property
    def version_id(self) -> str:
        """The object version."""
        ...


FileT = TypeVar("FileT", bound=File)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What this run says of a file.

    Attributes:
        accepted: the file as an accepted one; None where it could never be one.
        has_rows: whether its rows could be read.
        status: ACCEPTED or REJECTED.
        attributes: what the ledger keeps with the verdict.
    """

    accepted: AcceptedFile | None
    has_rows: bool
    status: FileStatus
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written to the lake, where nothing names it yet.

    Attributes:
        snapshots: one for each reference file.
        dates: the days of which the run has plays, yyyy-mm-dd, ascending.
        size: bytes of the run's objects.
    """

    snapshots: Sequence[Snapshot]
    dates: Sequence[str]
    size: int


class RowsWriter(Protocol):
    """Writes rows: the judged ones, or plain Python where a test runs thousands of histories."""

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        """Writes valid rows, without purged users: each reference file as a snapshot, all plays as a run for each day.

        A day of purged users only has an empty run: an earlier run of the job may have named the day.
        """
        ...


@dataclass(frozen=True)
class Recorded(Generic[FileT]):
    """A batch as the ledger holds it.

    Attributes:
        verdicts: of every file.
        accepted: the files whose rows the batch has.
    """

    verdicts: Mapping[FileT, RecordedVerdict]
    accepted: Mapping[FileT, AcceptedFile]


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """Records what one run of the validation job has found.

    Attributes:
        ledger: the ledger.
        writer: writes rows.
        execution_arn: the execution.
        run: the job run's id, which no other run has had: names the lake run.
        document_uri: where the list of the accepted files will be.
    """

    ledger: Ledger
    writer: RowsWriter
    execution_arn: str
    run: str
    document_uri: str

    def record(self, judgements: Mapping[FileT, Judgement]) -> Recorded[FileT]:
        """Records the verdicts and what the rows of accepted files became.

        It may be run again after a crash at any point, with another `run`; a verdict or a batch that was recorded
        before holds.

        Raises:
            RowsMissingError: an earlier run has accepted a file, and this one cannot read its rows.
        """
        # 1. The verdicts: the first recorded one holds.
        with ThreadPoolExecutor(max_workers=PARALLEL_VERDICTS) as pool:
            verdicts = dict(zip(judgements, pool.map(self._record_verdict, judgements.items()), strict=True))
        is_recorded = self.ledger.has_batch(self.execution_arn)
        accepted = self._accepted(judgements, verdicts, is_recorded=is_recorded)
        # 2. The rows of exactly the accepted files, to places of this run's own: nothing names them yet.
        if accepted and not is_recorded:
            written = self._write(accepted.values())
            # 3. The batch's item names them. If another run of this validation was faster, its rows hold.
            self.ledger.record_batch(
                Batch(self.execution_arn, self.run, written.dates, written.snapshots, self.document_uri, written.size),
                waiting_since=_waiting_since(accepted.values()),
            )
        return Recorded(verdicts, accepted)

    def _record_verdict(self, judged: tuple[File, Judgement]) -> RecordedVerdict:
        file, judgement = judged
        return self.ledger.record_verdict(
            file.key, file.version_id, judgement.status, self.execution_arn, judgement.attributes
        )

    def _accepted(
        self,
        judgements: Mapping[FileT, Judgement],
        verdicts: Mapping[FileT, RecordedVerdict],
        *,
        is_recorded: bool,
    ) -> dict[FileT, AcceptedFile]:
        accepted = {}
        for file, judgement in judgements.items():
            verdict = verdicts[file]
            is_ours = verdict.execution == self.execution_arn
            if verdict.status not in (_ACCEPTED if is_ours else _JOINED):
                continue
            if judgement.accepted and (judgement.has_rows or (is_ours and is_recorded)):
                accepted[file] = judgement.accepted
            elif is_ours:
                raise RowsMissingError(
                    f"An earlier run of this job has accepted {printable(file.key)} (version {file.version_id}); now "
                    "its rows cannot be read. Run the version of the job that accepted it."
                )
        return accepted

    def _write(self, accepted: Iterable[AcceptedFile]) -> Written:
        files = list(accepted)
        references = [
            newest
            for dataset in SNAPSHOT_DATASETS
            if (newest := newest_of(_of(files, dataset), self.ledger.current_snapshot(dataset)))
        ]
        streams = [file for file in files if file.dataset not in SNAPSHOT_DATASETS]
        return self.writer.write(references, streams, self.run, self.ledger.purged_users())


def _waiting_since(files: Collection[AcceptedFile]) -> str | None:
    """When the first file was uploaded. None if a file is of users or songs: such a batch loads by itself."""
    has_reference = any(file.dataset in SNAPSHOT_DATASETS for file in files)
    return None if has_reference else min(file.uploaded_at for file in files)


def _of(files: Iterable[AcceptedFile], dataset: str) -> list[AcceptedFile]:
    return [file for file in files if file.dataset == dataset]
