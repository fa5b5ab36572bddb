"""Validates one batch: from its files to a verdict on every one, its report and its ledger item."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession

from glue_scripts import names
from glue_scripts.lake import Lake
from glue_scripts.ledger import FileStatus, Ledger, Snapshot, newest_of
from glue_scripts.objects import Location, json_line, target_key, write_json
from glue_scripts.session import kept, merged
from glue_scripts.staged_files import PARALLEL_FILES, CheckedBatch, StagedFile
from validators.counts import broken_rows, collect_counts, count_rows
from validators.file_checks import row_positions
from validators.printable import printable
from validators.quarantine import (
    QUARANTINED_COLUMNS,
    few_quarantined_rows,
    first_quarantined_rows,
    many_quarantined_rows,
    row_offsets,
    samples,
)
from validators.reports import EmailSettings, JudgedFile, RejectedFile, Sample, file_report, located, rejection_email
from validators.rows import FILE, ReadableFile, judge_files, read_positions, valid_rows
from validators.schemas import SNAPSHOT_DATASETS

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

logger = logging.getLogger(__name__)


@dataclass
class Verdict:
    """What becomes of each file of the batch; `judged_first`: the files that no earlier run has judged."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    judged_first: list[JudgedFile] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """One run of the validation job.

    Attributes:
        spark: a session in UTC with ANSI mode on.
        s3: the client.
        ledger: the ledger.
        lake: the lake, for the current snapshots.
        emails: what an e-mail says of the place that it comes from.
        tolerances: overrides by rule id.
        run: the job run's id.
        manifest: where the batch's manifest is; the verdict goes beside it.
    """

    spark: SparkSession
    s3: S3Client
    ledger: Ledger
    lake: Lake
    emails: EmailSettings
    tolerances: Mapping[str, float]
    run: str
    manifest: Location

    def validate(self, batch: CheckedBatch) -> list[JudgedFile]:
        """Judges every file of the batch, and writes reports, ledger items and the verdict.

        Returns:
            The files that were judged for the first time: not those that an earlier run of the batch had judged before
            it died.
        """
        verdict = Verdict(skipped=list(batch.skipped))
        judged = batch.unreadable | self._judge_datasets(batch.readable)
        emailed = []

        def record(file: StagedFile) -> tuple[str, FileStatus | None]:
            report_key = self._write_report(file, judged[file], batch.execution_arn)
            return report_key, self._advance(file, judged[file], report_key)

        with ThreadPoolExecutor(max_workers=PARALLEL_FILES) as pool:
            recorded = list(pool.map(record, batch.due))
        for file, (report_key, before) in zip(batch.due, recorded, strict=True):
            entry = self._enter(file, judged[file], report_key, before, verdict)
            if entry:
                target = None if file.last_modified is None else entry["target_key"]
                emailed.append(RejectedFile(judged[file], target, report_key))
        self._write_verdict(verdict, batch.readable, emailed, batch.execution_arn)
        return verdict.judged_first

    # Rows

    def _judge_datasets(self, readable: Mapping[StagedFile, ReadableFile]) -> dict[StagedFile, JudgedFile]:
        """References first: streams are compared with the snapshots that will hold when their KPIs are computed."""
        by_dataset: dict[str, list[StagedFile]] = defaultdict(list)
        for file in readable:
            by_dataset[str(file.dataset)].append(file)
        # Spark takes its time to plan them; meanwhile Great Expectations is being imported.
        rows = {
            dataset: judge_files(self.spark, dataset, [readable[file] for file in files])
            for dataset, files in by_dataset.items()
        }
        judged: dict[StagedFile, JudgedFile] = {}
        snapshots = {dataset: self.ledger.current_snapshot(dataset) for dataset in SNAPSHOT_DATASETS}
        known: dict[str, DataFrame] = {}
        for dataset, column in (("users", "user_id"), ("songs", "track_id")):
            snapshot = snapshots[dataset]
            outcome = self._judge_dataset(dataset, rows, by_dataset[dataset], readable, snapshot, {})
            judged |= outcome
            ids = self._ids(dataset, rows.get(dataset), outcome, readable, snapshot)
            if ids is not None:
                known[column] = ids.select(column)
        return judged | self._judge_dataset("streams", rows, by_dataset["streams"], readable, None, known)

    def _judge_dataset(
        self,
        dataset: str,
        rows: Mapping[str, DataFrame],
        files: Sequence[StagedFile],
        readable: Mapping[StagedFile, ReadableFile],
        snapshot: Snapshot | None,
        known: Mapping[str, DataFrame],
    ) -> dict[StagedFile, JudgedFile]:
        if not files:
            return {}
        # Not before it is needed: see the entry, glue_scripts/validate_batch.py.
        from validators.expectations import judge_batch

        sources = [readable[file] for file in files]
        quarantine = Location(self.manifest.bucket, f"{names.QUARANTINE_PREFIX}{dataset}/run={self.run}/")
        counted = count_rows(rows[dataset], dataset, known)
        result = judge_batch(
            counted,
            dataset,
            [source.name for source in sources],
            tolerances=self.tolerances,
            current_snapshot_rows=snapshot.rows if snapshot else 0,
        )
        found: Mapping[str, Mapping[str, Sequence[Sample]]] = {}
        if any(counts.quarantined for counts in result.counts.values()):
            offsets = row_offsets(read_positions(self.spark, sources))
            few = collect_counts(counted).broken_rows
            if few is not None:
                found = self._quarantine_few(few_quarantined_rows(few, offsets), quarantine)
            else:
                found = self._quarantine_many(many_quarantined_rows(broken_rows(rows[dataset]), offsets), quarantine)
        page = f"{names.QUALITY_PREFIX}data_docs/{self.run}/{dataset}.html"
        self.s3.put_object(
            Bucket=self.manifest.bucket, Key=page, Body=result.data_docs.encode(), ContentType="text/html"
        )
        return {
            file: file.judged(
                counts=result.counts[source.name],
                results=result.results[source.name],
                columns=len(source.header),
                samples=self._located(source, found.get(source.name, {})),
                quarantine=f"{quarantine.uri}file={source.name}/" if result.counts[source.name].quarantined else None,
                data_docs=Location(self.manifest.bucket, page).uri,
            )
            for file, source in zip(files, sources, strict=True)
        }

    def _quarantine_few(
        self, rows_of: Mapping[str, Sequence[Mapping[str, Any]]], quarantine: Location
    ) -> dict[str, dict[str, list[Sample]]]:
        """Writes the rows that break a rule, by file; returns samples by file and rule."""

        def write(file: str) -> None:
            lines = [json_line({name: row[name] for name in QUARANTINED_COLUMNS}) for row in rows_of[file]]
            key = f"{quarantine.key}file={file}/part-00000.json"
            self.s3.put_object(Bucket=quarantine.bucket, Key=key, Body=b"".join(lines))

        with ThreadPoolExecutor(max_workers=PARALLEL_FILES) as pool:
            list(pool.map(write, rows_of))
        return {file: samples(rows) for file, rows in rows_of.items()}

    def _quarantine_many(self, rows: DataFrame, quarantine: Location) -> dict[str, dict[str, list[Sample]]]:
        """The same by Spark."""
        with kept(merged(rows)) as rows:
            rows.select("file", *QUARANTINED_COLUMNS).write.partitionBy("file").json(quarantine.uri)
            return {file: samples(first) for file, first in first_quarantined_rows(rows).items()}

    def _located(self, source: ReadableFile, found: Mapping[str, Sequence[Sample]]) -> dict[str, list[Sample]]:
        """Samples with their lines: Spark counts rows, and does not count blank lines."""
        rows = {sample.row for samples_of_rule in found.values() for sample in samples_of_rule}
        if not rows:
            return {}
        location = Location.of_uri(source.uri)
        stream = self.s3.get_object(Bucket=location.bucket, Key=location.key)["Body"]
        return located(found, row_positions(stream, rows))

    def _ids(
        self,
        dataset: str,
        rows: DataFrame | None,
        outcome: Mapping[StagedFile, JudgedFile],
        readable: Mapping[StagedFile, ReadableFile],
        current: Snapshot | None,
    ) -> DataFrame | None:
        """The rows of the snapshot that will be current after this batch; None where there will be none."""
        accepted = [file for file, judged in outcome.items() if not judged.reasons]
        newest = newest_of(accepted, current)
        if newest and rows is not None:
            return valid_rows(rows.where(rows[FILE] == readable[newest].name), dataset)
        return self.lake.read_snapshot(dataset, current) if current else None

    # Outcome

    def _write_report(self, file: StagedFile, judged: JudgedFile, execution_arn: str) -> str:
        report = file_report(judged, report_format=names.REPORT_FORMAT, execution_arn=execution_arn)
        day = file.last_modified.strftime("%Y-%m-%d") if file.last_modified else "unknown"
        folder = f"{names.REPORTS_PREFIX}dataset={file.dataset or names.NO_DATASET}/date={day}/"
        key = f"{folder}{file.name}.json"
        write_json(self.s3, Location(self.manifest.bucket, key), report)
        return key

    def _advance(self, file: StagedFile, judged: JudgedFile, report_key: str) -> FileStatus | None:
        """Moves the file forward in the ledger; returns what `Ledger.advance_file` does."""
        status = _status(judged)
        attributes = {"report_key": report_key, **_ledger_counts(judged)}
        before = self.ledger.advance_file(file.key, file.version_id, status, attributes)
        logger.info("%s %s (%s) %s", status, printable(file.key), file.version_id, ", ".join(judged.reasons))
        return before

    def _enter(
        self, file: StagedFile, judged: JudgedFile, report_key: str, before: FileStatus | None, verdict: Verdict
    ) -> dict[str, Any] | None:
        """Enters the file in the verdict; returns the entry of a rejected file."""
        status = _status(judged)
        identity = {"key": file.key, "version_id": file.version_id}
        if before is FileStatus.RECEIVED:
            verdict.judged_first.append(judged)
        if before is None:
            present = self.ledger.file_status(file.key, file.version_id)
            if not (status is FileStatus.ACCEPTED and present is FileStatus.LOADED):
                verdict.skipped.append(file.skipped(f"already {present}"))
                return None
        if status is FileStatus.ACCEPTED:
            target = target_key(names.ARCHIVE_PREFIX, file.key, file.version_id)
            verdict.accepted.append({**identity, "staged_key": file.staged_key, "target_key": target})
            return None
        target = target_key(names.ERROR_PREFIX, file.key, file.version_id)
        if judged.reasons == ["too_large"] and file.staged_key is None:
            self._copy_in_parts(file, target)
        entry = {
            **identity,
            "staged_key": file.staged_key,
            "target_key": target,
            "report_key": report_key,
            "reasons": judged.reasons,
        }
        verdict.rejected.append(entry)
        return entry

    def _copy_in_parts(self, file: StagedFile, target: str) -> None:
        """Copies an object over 5 GiB, which the state machine cannot, as a multipart upload."""
        bucket = self.manifest.bucket
        source = {"Bucket": bucket, "Key": file.key, "VersionId": file.version_id}
        self.s3.copy(source, bucket, target)  # type: ignore[arg-type]

    def _write_verdict(
        self,
        verdict: Verdict,
        readable: Mapping[StagedFile, ReadableFile],
        emailed: Sequence[RejectedFile],
        execution_arn: str,
    ) -> None:
        """Writes what the KPI job reads, then what the state machine reads."""
        accepted = {(entry["key"], entry["version_id"]) for entry in verdict.accepted}
        sources = [
            {
                "key": file.key,
                "version_id": file.version_id,
                "dataset": file.dataset,
                "last_modified": file.uploaded_at,
                "uri": source.uri,
                "header": list(source.header),
                "is_line_per_row": source.is_line_per_row,
            }
            for file, source in readable.items()
            if (file.key, file.version_id) in accepted
        ]
        write_json(
            self.s3,
            self.manifest.sibling(names.ACCEPTED_NAME),
            {"format": names.ACCEPTED_FORMAT, "files": sources},
        )
        email = rejection_email(
            emailed,
            settings=self.emails,
            accepted=len(verdict.accepted),
            execution_arn=execution_arn,
        )
        write_json(
            self.s3,
            self.manifest.sibling(names.VERDICT_NAME),
            {
                "format": names.VERDICT_FORMAT,
                "accepted": verdict.accepted,
                "rejected": verdict.rejected,
                "skipped": verdict.skipped,
                "email": email if emailed else None,
            },
        )


def _status(judged: JudgedFile) -> FileStatus:
    return FileStatus.REJECTED if judged.reasons else FileStatus.ACCEPTED


def _ledger_counts(judged: JudgedFile) -> dict[str, Any]:
    """What the ledger keeps of a verdict: rows in, valid, quarantined, and failed rows by rule."""
    failed = {result.rule.id: result.failed for result in judged.results if result.failed}
    counts = judged.counts
    return {
        "rejected_by": judged.reasons,
        "failed": failed,
        **({"rows": counts.rows, "valid": counts.valid, "quarantined": counts.quarantined} if counts else {}),
    }
