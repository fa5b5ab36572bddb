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
from glue_scripts.objects import Location, json_line
from glue_scripts.stored_plays import PARALLEL_DOCUMENTS, RunOfDay
from glue_scripts.storing import Storing, StoringSnapshot, store_plays, store_snapshot

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LakeWriter:
    """Writes rows that were judged.

    Attributes:
        bucket: the data bucket's name.
        rows: by dataset, the judged rows of the batch.
    """

    bucket: str
    rows: Mapping[str, JudgedRows]

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        """Writes each reference file as a snapshot, and all plays as one run for each of their days."""
        snapshots = [self._write_snapshot(file, run, tombstones) for file in references]
        days = self._write_plays(streams, run, tombstones) if streams else []
        plays = sum(stored.rows for day in days for stored in day.objects)
        logger.info("wrote %d days and %d snapshots of run %s: %d plays", len(days), len(snapshots), run, plays)
        size = sum(stored.size for day in days for stored in day.objects)
        return Written(snapshots=snapshots, dates=[day.date for day in days], size=size)

    def _write_plays(self, files: Sequence[AcceptedFile], run: str, tombstones: Tombstones) -> list[RunOfDay]:
        judged = self.rows["streams"]
        reading = judged.reading
        storing = Storing(
            objects=reading.objects,
            run=run,
            buckets=reading.buckets,
            first_key=reading.first_bucket,
            files=frozenset(file.name for file in files),
            tombstones=tombstones,
            share=reading.share,
        )
        days = store_plays(judged.valid, storing)
        with ThreadPoolExecutor(PARALLEL_DOCUMENTS) as pool:
            # Last, because a document tells that its objects are complete.
            list(pool.map(lambda day: reading.objects.write(day.document_key, json_line(day.document())), days))
        return days

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
