"""Judges the readable files of a batch: rows by the rules' SQL, then files by Great Expectations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glue_scripts import names
from glue_scripts.judging import JudgedRows, Judging, Reading, judge_rows, plays_at_most
from glue_scripts.lake_writer import LakeWriter
from glue_scripts.ledger import Ledger, Snapshot, newest_of
from glue_scripts.object_store import ObjectStore
from glue_scripts.objects import Location
from glue_scripts.spread import task_share, workers_for
from glue_scripts.stored_snapshots import objects_with_ids
from validators.reports import JudgedFile
from validators.schemas import SNAPSHOT_DATASETS

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from pyspark import SparkContext

    from glue_scripts.readable_file import ReadableFile
    from glue_scripts.staged_files import StagedFile
    from validators.expectations import SuiteResult


@dataclass(frozen=True)
class JudgedBatch:
    """The readable files of a batch, judged.

    Attributes:
        files: the verdict on each.
        writer: writes the rows of those that the ledger accepts.
    """

    files: Mapping[StagedFile, JudgedFile]
    writer: LakeWriter


@dataclass(frozen=True, kw_only=True)
class BatchJudge:
    """What judging needs.

    Attributes:
        s3: the client.
        ledger: the ledger, for the current snapshots.
        context: gives the Spark context; called where a batch has more rows than one process judges.
        tolerances: overrides by rule id.
        run: the job run's id: quarantine and Data Docs of the run lie under it.
        manifest: where the batch's manifest is; ids that only this batch needs go beside it.
    """

    s3: S3Client
    ledger: Ledger
    context: Callable[[], SparkContext]
    tolerances: Mapping[str, float]
    run: str
    manifest: Location

    def judge(self, readable: Mapping[StagedFile, ReadableFile], execution_arn: str) -> JudgedBatch:
        """Judges the files, references first.

        Streams are compared with the snapshots that will hold when their KPIs are computed.

        Args:
            readable: the files of the batch whose bytes can be read.
            execution_arn: the execution of the batch.
        """
        by_dataset: defaultdict[str, dict[StagedFile, ReadableFile]] = defaultdict(dict)
        for file, source in readable.items():
            by_dataset[str(file.dataset)][file] = source
        judged: dict[StagedFile, JudgedFile] = {}
        rows: dict[str, JudgedRows] = {}
        known: dict[str, Sequence[str]] = {}
        for dataset in SNAPSHOT_DATASETS:
            current = self.ledger.current_snapshot(dataset)
            if files := by_dataset[dataset]:
                rows[dataset] = self._judge_rows(dataset, list(files.values()), {})
                judged |= self._judge_files(dataset, files, rows[dataset], current)
            newest = newest_of([file for file in by_dataset[dataset] if not judged[file].reasons], current)
            if newest:
                known[dataset] = rows[dataset].measured[newest.name].ids
            elif current and by_dataset["streams"]:
                known[dataset] = objects_with_ids(ObjectStore(self.manifest.bucket), current)
        if files := by_dataset["streams"]:
            rows["streams"] = self._judge_rows("streams", list(files.values()), known)
            judged |= self._judge_files("streams", files, rows["streams"], None, known)
        return JudgedBatch(judged, LakeWriter(self.manifest.bucket, execution_arn, rows))

    def _judge_rows(
        self, dataset: str, sources: Sequence[ReadableFile], known: Mapping[str, Sequence[str]]
    ) -> JudgedRows:
        judging = Judging(
            reading=Reading.of(sources, dataset, ObjectStore(self.manifest.bucket), task_share()),
            quarantine=self._quarantine(dataset).key,
            ids=self.manifest.sibling(f"ids/{self.run}/").key,
            known=known,
        )
        return judge_rows(sources, judging, workers_for(plays_at_most(sources), self.context))

    def _judge_files(
        self,
        dataset: str,
        files: Mapping[StagedFile, ReadableFile],
        rows: JudgedRows,
        current: Snapshot | None,
        known: Collection[str] = (),
    ) -> dict[StagedFile, JudgedFile]:
        """Judges the files of a dataset by what was measured of them."""
        measures = {name: file.counts for name, file in rows.measured.items() if not file.problem}
        result = self._judge_measures(dataset, measures, current, known) if measures else None
        quarantine = self._quarantine(dataset)

        def verdict(file: StagedFile, source: ReadableFile) -> JudgedFile:
            found = rows.measured[source.name]
            if found.problem or result is None:
                return file.judged(problem=found.problem)
            counts = result.counts[source.name]
            return file.judged(
                counts=counts,
                results=result.results[source.name],
                columns=len(source.header),
                samples=found.samples,
                quarantine=f"{quarantine.uri}file={source.name}/" if counts.quarantined else None,
                data_docs=self._page(dataset).uri,
            )

        return {file: verdict(file, source) for file, source in files.items()}

    def _judge_measures(
        self,
        dataset: str,
        measures: Mapping[str, Mapping[str, int]],
        current: Snapshot | None,
        known: Collection[str],
    ) -> SuiteResult:
        # Not before it is needed: see the entry, glue_scripts/validate_batch.py.
        from validators.expectations import judge_measures

        result = judge_measures(
            measures,
            dataset,
            tolerances=self.tolerances,
            current_snapshot_rows=current.rows if current else 0,
            snapshots=known,
        )
        page = self._page(dataset)
        self.s3.put_object(Bucket=page.bucket, Key=page.key, Body=result.data_docs.encode(), ContentType="text/html")
        return result

    def _quarantine(self, dataset: str) -> Location:
        return Location(self.manifest.bucket, f"{names.QUARANTINE_PREFIX}{dataset}/run={self.run}/")

    def _page(self, dataset: str) -> Location:
        """Great Expectations' own page."""
        return Location(self.manifest.bucket, f"{names.QUALITY_PREFIX}data_docs/{self.run}/{dataset}.html")
