"""Writes the rows of accepted files to the lake: plays as a run, users and songs as snapshots."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from glue_scripts.accepted_files import AcceptedFile
from glue_scripts.batch_record import Written
from glue_scripts.judging import JudgedRows
from glue_scripts.ledger import Snapshot, Tombstones
from glue_scripts.names import REFERENCE_PREFIX
from glue_scripts.objects import Location, Objects, json_line
from glue_scripts.stored_plays import PARALLEL_DOCUMENTS, RunOfDay
from glue_scripts.storing import StoredRun, Storing, StoringSnapshot, store_plays, store_snapshot

logger = logging.getLogger(__name__)


def write_documents(objects: Objects, stored: StoredRun) -> None:
    """Writes the documents of a run, after its objects: a document tells that its objects are complete."""
    documents = {of_file.key: of_file.document() for of_file in stored.files}
    documents |= {day.document_key: day.document() for day in stored.days}
    with ThreadPoolExecutor(PARALLEL_DOCUMENTS) as pool:
        list(pool.map(lambda key: objects.write(key, json_line(documents[key])), documents))


@dataclass(frozen=True)
class LakeWriter:
    """Writes rows that were judged.

    Attributes:
        bucket: the data bucket's name.
        execution_arn: the execution of the batch.
        rows: by dataset, the judged rows of the batch.
    """

    bucket: str
    execution_arn: str
    rows: Mapping[str, JudgedRows]

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        """Writes each reference file as a snapshot, and all plays as one run for each of their days."""
        snapshots = [self._write_snapshot(file, run, tombstones) for file in references]
        days = self._write_plays(streams, run, tombstones) if streams else []
        plays = sum(day.rows for day in days)
        logger.info("wrote %d days and %d snapshots of run %s: %d plays", len(days), len(snapshots), run, plays)
        size = sum(day.size for day in days)
        return Written(snapshots=snapshots, dates=[day.date for day in days], size=size)

    def _write_plays(self, files: Sequence[AcceptedFile], run: str, tombstones: Tombstones) -> Sequence[RunOfDay]:
        judged = self.rows["streams"]
        reading = judged.reading
        storing = Storing(
            objects=reading.objects,
            run=run,
            execution_arn=self.execution_arn,
            buckets=reading.buckets,
            first_key=reading.first_bucket,
            files=frozenset(file.name for file in files),
            tombstones=tombstones,
            share=reading.share,
        )
        stored = store_plays(judged.valid, storing)
        write_documents(reading.objects, stored)
        return stored.days

    def _write_snapshot(self, file: AcceptedFile, run: str, tombstones: Tombstones) -> Snapshot:
        judged = self.rows[file.dataset]
        reading = judged.reading
        folder = f"{REFERENCE_PREFIX}{file.dataset}/{file.snapshot_name(run)}/"
        storing = StoringSnapshot(
            objects=reading.objects,
            dataset=file.dataset,
            key=reading.files.index(file.name),
            folder=folder,
            tombstones=tombstones,
            share=reading.share,
        )
        return file.snapshot(Location(self.bucket, folder).uri, store_snapshot(judged.valid, storing))
