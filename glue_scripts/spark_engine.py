"""What the KPI job does with rows, by Spark: from accepted files to the lake, and from the lake to KPI rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from glue_scripts.kpi_batch import AcceptedFile, Written
from glue_scripts.kpis import Item, kpi_items, partitions_to_count
from glue_scripts.lake import Lake
from glue_scripts.ledger import Claim, Snapshot, Tombstones
from glue_scripts.publication import Snapshots
from glue_scripts.session import kept, session_threads
from glue_scripts.tombstones import without_purged
from validators.rows import judge_files, valid_rows
from validators.schemas import SNAPSHOT_DATASETS


@dataclass(frozen=True, kw_only=True)
class SparkEngine:
    """The engine of `KpiBatch` on Glue.

    Attributes:
        spark: a session in UTC with ANSI mode on.
        lake: plays and snapshots.
        top_songs: how many songs a genre's day ranks.
        top_genres: how many genres a day ranks.
    """

    spark: SparkSession
    lake: Lake
    top_songs: int
    top_genres: int

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        """Writes each reference file as a snapshot, and all plays as one run for each of their days.

        All at the same time: a reference file is read by one core.
        """
        with session_threads(self.spark, len(SNAPSHOT_DATASETS) + 1) as pool:
            snapshots = [pool.submit(self._write_snapshot, file, run, tombstones) for file in references]
            dates = pool.submit(self._write_plays, streams, run, tombstones)
            return Written(snapshots=[snapshot.result() for snapshot in snapshots], dates=dates.result())

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[Item]:
        """All rows of the claimed days, from exactly their runs."""
        plays = self.lake.read_runs(claims)
        return kpi_items(
            without_purged(plays, tombstones),
            self.lake.read_snapshot("songs", snapshots["songs"]),
            self.lake.read_snapshot("users", snapshots["users"]),
            partitions=partitions_to_count(plays),
            top_songs=self.top_songs,
            top_genres=self.top_genres,
        )

    def _write_plays(self, files: Sequence[AcceptedFile], run: str, tombstones: Tombstones) -> list[str]:
        return self.lake.write_runs(self._valid_rows("streams", files), run, tombstones) if files else []

    def _write_snapshot(self, file: AcceptedFile, run: str, tombstones: Tombstones) -> Snapshot:
        valid = self._valid_rows(file.dataset, [file])
        with kept(without_purged(valid, tombstones) if "user_id" in valid.columns else valid) as rows:
            return file.snapshot(self.lake.write_snapshot(rows, file.dataset, file.snapshot_name(run)), rows.count())

    def _valid_rows(self, dataset: str, files: Sequence[AcceptedFile]) -> DataFrame:
        sources = [file.source for file in files]
        return valid_rows(judge_files(self.spark, dataset, sources), dataset)
