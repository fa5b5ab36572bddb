"""Brings the accepted files of one batch into the KPIs: references, then plays, then the days they touch."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

from glue_scripts import names
from glue_scripts.kpi_table import KpiTable
from glue_scripts.kpis import Item, kpi_items
from glue_scripts.lake import Lake
from glue_scripts.ledger import Claim, FileStatus, Ledger, Snapshot
from glue_scripts.objects import Location, file_name, read_json
from glue_scripts.publication import Publisher, Snapshots
from validators.batches import ReadableFile, judge_rows
from validators.rows import valid_rows
from validators.schemas import SNAPSHOT_DATASETS

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AcceptedFile:
    """An accepted file.

    Attributes:
        key: the object key.
        version_id: the object version.
        dataset: users, songs or streams.
        uploaded_at: ISO 8601 in UTC, to the second.
        source: what Spark reads.
    """

    key: str
    version_id: str
    dataset: str
    uploaded_at: str
    source: ReadableFile

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
            ),
        )


@dataclass(frozen=True, kw_only=True)
class KpiBatch:
    """One run of the KPI job.

    Attributes:
        spark: a session in UTC with ANSI mode on.
        s3: the client.
        ledger: the ledger.
        kpi_table: the KPI rows.
        lake: plays and snapshots.
        top_songs: how many songs a genre's day ranks.
        top_genres: how many genres a day ranks.
        run: the job run's id; names the lake run.
        accepted: where the list of accepted files is.
    """

    spark: SparkSession
    s3: S3Client
    ledger: Ledger
    kpi_table: KpiTable
    lake: Lake
    top_songs: int
    top_genres: int
    run: str
    accepted: Location

    def load(self) -> None:
        """Returns when rows that hold every accepted file are visible."""
        document = read_json(self.s3, self.accepted, names.ACCEPTED_FORMAT)
        files = [AcceptedFile.of_document(entry) for entry in document["files"]]
        by_dataset: dict[str, list[AcceptedFile]] = defaultdict(list)
        for file in files:
            by_dataset[file.dataset].append(file)
        is_catalogue_new = [
            self._make_snapshot(file) and dataset == "songs"
            for dataset in SNAPSHOT_DATASETS
            for file in by_dataset[dataset]
        ]
        # 1. Write the plays to places of this job run's own: nothing is visible yet.
        dates = self._write_plays(by_dataset["streams"])
        runs: dict[str, str | None] = dict.fromkeys(dates, self.run)
        if any(is_catalogue_new):
            runs = {**dict.fromkeys(self.ledger.days_that_may_lack_tracks()), **runs}
        # 2. to 5. Commit, claim, compute and write the days.
        Publisher(self.ledger, self.kpi_table, self.compute).publish(runs)
        # 6. The state machine archives the files after this.
        for file in files:
            self.ledger.advance_file(file.key, file.version_id, FileStatus.LOADED, {"loaded_by": self.run})

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots) -> list[Item]:
        """All rows of the claimed days, from exactly their runs."""
        return kpi_items(
            self.lake.read_runs(claims),
            self.lake.read_snapshot("songs", snapshots["songs"]),
            self.lake.read_snapshot("users", snapshots["users"]),
            top_songs=self.top_songs,
            top_genres=self.top_genres,
        )

    def _make_snapshot(self, file: AcceptedFile) -> bool:
        """Writes a reference file as a snapshot; returns whether it is the current one from here on."""
        rows = valid_rows(judge_rows(self.spark, file.dataset, [file.source]), file.dataset).persist()
        name = f"{self.run}-{file_name(file.key, file.version_id)[:16]}"
        snapshot = Snapshot(
            dataset=file.dataset,
            uri=self.lake.write_snapshot(rows, file.dataset, name),
            key=file.key,
            version_id=file.version_id,
            last_modified=file.uploaded_at,
            rows=rows.count(),
        )
        rows.unpersist()
        is_current = self.ledger.make_current(snapshot)
        logger.info("%s snapshot of %d rows: %s", file.dataset, snapshot.rows, "current" if is_current else "older")
        return is_current

    def _write_plays(self, files: Sequence[AcceptedFile]) -> list[str]:
        if not files:
            return []
        judged = judge_rows(self.spark, "streams", [file.source for file in files])
        return self.lake.write_runs(valid_rows(judged, "streams"), self.run)
