"""Judges the readable files of a batch: rows by the rules' SQL, then files by Great Expectations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glue_scripts import names
from glue_scripts.judging import Judging, MeasuredFile, Reading, measure_files, plays_at_most
from glue_scripts.ledger import Ledger, Snapshot, newest_of
from glue_scripts.object_store import ObjectStore
from glue_scripts.objects import Location
from glue_scripts.spread import here_or_spread, task_share
from glue_scripts.stored_snapshots import objects_with_ids
from validators.reports import JudgedFile
from validators.schemas import SNAPSHOT_DATASETS

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from pyspark import SparkContext

    from glue_scripts.readable_file import ReadableFile
    from glue_scripts.staged_files import StagedFile
    from validators.expectations import SuiteResult


@dataclass(frozen=True, kw_only=True)
class BatchJudge:
    """What judging needs.

    Attributes:
        s3: the client.
        ledger: the ledger, for the current snapshots.
        context: gives the Spark context; called where a batch has more rows than one process judges.
        parts: over how many tasks work is spread.
        tolerances: overrides by rule id.
        run: the job run's id: quarantine and Data Docs of the run lie under it.
        manifest: where the batch's manifest is; ids that only this batch needs go beside it.
    """

    s3: S3Client
    ledger: Ledger
    context: Callable[[], SparkContext]
    parts: int
    tolerances: Mapping[str, float]
    run: str
    manifest: Location

    def judge(self, readable: Mapping[StagedFile, ReadableFile]) -> dict[StagedFile, JudgedFile]:
        """Judges the files, references first.

        Streams are compared with the snapshots that will hold when their KPIs are computed.
        """
        by_dataset: defaultdict[str, dict[StagedFile, ReadableFile]] = defaultdict(dict)
        for file, source in readable.items():
            by_dataset[str(file.dataset)][file] = source
        judged: dict[StagedFile, JudgedFile] = {}
        known: dict[str, Sequence[str]] = {}
        streams = by_dataset.pop("streams", {})
        for dataset in SNAPSHOT_DATASETS:
            current = self.ledger.current_snapshot(dataset)
            verdicts, ids_of = self._judge_dataset(dataset, by_dataset[dataset], current, {})
            judged |= verdicts
            newest = newest_of([file for file, verdict in verdicts.items() if not verdict.reasons], current)
            if newest:
                known[dataset] = ids_of[newest]
            elif current and streams:
                known[dataset] = objects_with_ids(ObjectStore(self.manifest.bucket), current)
        return judged | self._judge_dataset("streams", streams, None, known)[0]

    def _judge_dataset(
        self,
        dataset: str,
        files: Mapping[StagedFile, ReadableFile],
        current: Snapshot | None,
        known: Mapping[str, Sequence[str]],
    ) -> tuple[dict[StagedFile, JudgedFile], dict[StagedFile, Sequence[str]]]:
        """Judges the files of a dataset; returns their verdicts, and the objects with the ids of their valid rows."""
        if not files:
            return {}, {}
        sources = list(files.values())
        measured = self._measure(dataset, sources, known)
        good = {name: file.counts for name, file in measured.items() if not file.problem}
        result = self._judge_measures(dataset, good, current, known) if good else None
        quarantine = self._quarantine(dataset)

        def verdict(file: StagedFile, source: ReadableFile) -> JudgedFile:
            found = measured[source.name]
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

        verdicts = {file: verdict(file, source) for file, source in files.items()}
        return verdicts, {file: measured[source.name].ids for file, source in files.items()}

    def _measure(
        self, dataset: str, sources: Sequence[ReadableFile], known: Mapping[str, Sequence[str]]
    ) -> dict[str, MeasuredFile]:
        judging = Judging(
            reading=Reading.of(sources, dataset, ObjectStore(self.manifest.bucket), task_share()),
            quarantine=self._quarantine(dataset).key,
            ids=self.manifest.sibling(f"ids/{self.run}/").key,
            known=known,
        )
        return measure_files(sources, judging, here_or_spread(plays_at_most(sources), self.context), self.parts)

    def _judge_measures(
        self,
        dataset: str,
        measures: Mapping[str, Mapping[str, int]],
        current: Snapshot | None,
        known: Mapping[str, Sequence[str]],
    ) -> SuiteResult:
        # Not before it is needed: see the entry, glue_scripts/validate_batch.py.
        from validators.expectations import judge_measures

        result = judge_measures(
            measures,
            dataset,
            tolerances=self.tolerances,
            current_snapshot_rows=current.rows if current else 0,
            snapshots=known.keys(),
        )
        page = self._page(dataset)
        self.s3.put_object(Bucket=page.bucket, Key=page.key, Body=result.data_docs.encode(), ContentType="text/html")
        return result

    def _quarantine(self, dataset: str) -> Location:
        return Location(self.manifest.bucket, f"{names.QUARANTINE_PREFIX}{dataset}/run={self.run}/")

    def _page(self, dataset: str) -> Location:
        """Great Expectations' own page."""
        return Location(self.manifest.bucket, f"{names.QUALITY_PREFIX}data_docs/{self.run}/{dataset}.html")
