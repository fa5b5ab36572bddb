"""Accepted batches that a run of the KPI job loads together with its own, so that they need not wait for their turn."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from botocore.exceptions import ClientError

from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.ledger import Batch, Ledger
from glue_scripts.objects import DocumentError, Location, Objects
from glue_scripts.publication import MAX_DAYS_AT_ONCE
from glue_scripts.stored_plays import RunOfDay, StoredPlays, tables_from_parquet
from glue_scripts.stored_snapshots import PARALLEL_READS

MAX_BATCHES: Final = 20
MAX_BYTES: Final = 256 * 2**20
"""Of the plays of all batches that are loaded together, as they are stored: some 30 million plays."""

logger = logging.getLogger(__name__)


class UnreadableBatchError(Exception):
    """What a batch names in the lake cannot be read."""


class BatchReader(Protocol):
    """Reads what batches name: the lake, or plain Python where a test runs thousands of histories."""

    def files(self, batch: Batch) -> Sequence[AcceptedFile]:
        """The accepted files of a batch, all of whose plays were read.

        Raises:
            UnreadableBatchError: the list of the files or some plays cannot be read.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TakenBatch:
    """A batch that is taken along.

    Attributes:
        batch: the batch.
        files: its accepted files.
    """

    batch: Batch
    files: Sequence[AcceptedFile]


def take_along(ledger: Ledger, own: Batch, reader: BatchReader, job_run: str) -> list[TakenBatch]:
    """Takes along batches that wait: those whose files were uploaded first, as many as can be loaded together.

    Each batch is taken along at most once. If a batch makes this run fail, only its own execution loads it again.

    Args:
        ledger: the ledger.
        own: the batch of this run's execution.
        reader: reads what the batches name. Committing a lake run that cannot be read would block its days: every later
            computation would fail on it.
        job_run: the id of this run.
    """
    taken: list[TakenBatch] = []
    size, dates = own.size, set(own.dates)
    for batch in ledger.waiting_batches(MAX_BATCHES):
        together = dates.union(batch.dates)
        is_too_much = size + batch.size > MAX_BYTES or len(together) > max(len(own.dates), MAX_DAYS_AT_ONCE)
        # The index lags: it may still list this run's own batch, and others that were begun.
        is_own = batch.execution_arn == own.execution_arn
        if is_own or is_too_much or not ledger.begin_batch(batch.execution_arn, job_run):
            continue
        try:
            taken.append(TakenBatch(batch=batch, files=reader.files(batch)))
        except UnreadableBatchError as error:
            logger.warning("left out the batch of %s: %s", batch.execution_arn, error)
        else:
            size, dates = size + batch.size, together
            logger.info("took along the batch of %s: %d days", batch.execution_arn, len(batch.dates))
    return taken


@dataclass(frozen=True)
class StoredBatches:
    """Reads what batches name in the data bucket.

    Attributes:
        objects: the data bucket.
    """

    objects: Objects

    def files(self, batch: Batch) -> Sequence[AcceptedFile]:
        """See `BatchReader`."""
        try:
            with ThreadPoolExecutor(PARALLEL_READS) as pool:
                days = pool.map(lambda date: RunOfDay.read(self.objects, batch.run, date), batch.dates)
                list(pool.map(self._check, [stored for day in days for stored in day.objects]))
            return AcceptedFiles.read(self.objects, Location.of_uri(batch.document_uri)).files
        except (ClientError, OSError, ValueError, KeyError) as error:
            # What S3 refuses or has lost, Parquet or JSON that is none, or a document of another version.
            raise UnreadableBatchError(type(error).__name__) from error

    def _check(self, stored: StoredPlays) -> None:
        rows = sum(table.num_rows for table in tables_from_parquet(self.objects.read(stored.key)))
        if rows != stored.rows:
            raise DocumentError(f"{stored.key} has {rows} rows and not {stored.rows}.")
