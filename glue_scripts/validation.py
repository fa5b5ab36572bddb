"""Validates one batch: from the manifest to a verdict on every file, its report and its ledger item."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession

from glue_scripts import names
from glue_scripts.lake import Lake
from glue_scripts.ledger import FileStatus, Ledger, Snapshot, newest_of
from glue_scripts.objects import Location, file_name, read_json, target_key, write_json
from validators.batches import broken_rows, judge_batch, samples
from validators.file_checks import FileRejectedError, check_text, plain_chunks, row_positions
from validators.reports import EmailSettings, JudgedFile, RejectedFile, Sample, file_report, located, rejection_email
from validators.rows import FILE, ReadableFile, judge_files, read_positions, valid_rows
from validators.schemas import MAX_FILE_BYTES, SNAPSHOT_DATASETS, dataset_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PARALLEL_FILES = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StagedFile:
    """A file of the manifest.

    Attributes:
        key: the object key.
        version_id: the object version.
        size: bytes.
        etag: of the object.
        last_modified: when the version was uploaded, UTC; None where it is gone.
        staged_key: its copy under processing/; None where there is none.
    """

    key: str
    version_id: str
    size: int
    etag: str
    last_modified: datetime | None
    staged_key: str | None

    @classmethod
    def of_manifest(cls, entry: Mapping[str, Any]) -> StagedFile:
        """From an entry of the manifest's `files`."""
        moment = entry.get("last_modified")
        return cls(
            key=entry["key"],
            version_id=entry["version_id"],
            size=int(entry["size"]),
            etag=entry["etag"],
            last_modified=datetime.fromisoformat(moment).astimezone(UTC) if moment else None,
            staged_key=entry["staged_key"],
        )

    @property
    def name(self) -> str:
        """A name that is unique in the batch and safe for Spark."""
        return file_name(self.key, self.version_id)

    @property
    def is_folder(self) -> bool:
        """Whether it is what the S3 console's «Create folder» leaves: an empty object whose key ends with a slash."""
        return self.key.endswith("/") and self.size == 0

    @property
    def dataset(self) -> str | None:
        """The dataset that the key names; None where it names none."""
        return dataset_of(self.key)

    @property
    def uploaded_at(self) -> str | None:
        """ISO 8601 in UTC, to the second."""
        return self.last_modified.strftime("%Y-%m-%dT%H:%M:%SZ") if self.last_modified else None

    @property
    def age(self) -> tuple[str, str, str]:
        """What decides which of two accepted reference files is newer; see `Snapshot.age`."""
        return str(self.uploaded_at), self.key, self.version_id

    @property
    def attributes(self) -> dict[str, Any]:
        """What the ledger keeps of it before it is judged."""
        known = {"dataset": self.dataset or names.NO_DATASET, "size": self.size, "etag": self.etag}
        return {**known, **({"uploaded_at": self.uploaded_at} if self.uploaded_at else {})}

    def judged(self, **attributes: Any) -> JudgedFile:  # noqa: ANN401 - the attributes of JudgedFile
        """The file with its verdict."""
        return JudgedFile(
            key=self.key,
            version_id=self.version_id,
            dataset=self.dataset,
            size=self.size,
            etag=self.etag,
            last_modified=self.uploaded_at,
            **attributes,
        )


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

    def validate(self) -> list[JudgedFile]:
        """Judges every file of the batch, and writes reports, ledger items and the verdict.

        Returns:
            The files that were judged for the first time: not those that an earlier run of the batch had judged before
            it died.
        """
        document = read_json(self.s3, self.manifest, names.MANIFEST_FORMAT)
        execution_arn = str(document["execution_arn"])
        verdict = Verdict()
        files = [StagedFile.of_manifest(entry) for entry in document["files"]]
        due = [file for file in files if not self._is_skipped(file, execution_arn, verdict)]
        for file in due:
            self.ledger.receive_file(file.key, file.version_id, {**file.attributes, "execution": execution_arn})
        checked = self._check_files(due)
        readable = {file: outcome for file, outcome in checked.items() if isinstance(outcome, ReadableFile)}
        judged = {file: outcome for file, outcome in checked.items() if isinstance(outcome, JudgedFile)}
        judged |= self._judge_datasets(readable)
        emailed = []
        for file in due:
            report_key = self._write_report(file, judged[file], execution_arn)
            entry = self._settle(file, judged[file], report_key, verdict)
            if entry:
                target = None if file.last_modified is None else entry["target_key"]
                emailed.append(RejectedFile(judged[file], target, report_key))
        self._write_verdict(verdict, readable, emailed, execution_arn)
        return verdict.judged_first

    # Which files are due

    def _is_skipped(self, file: StagedFile, execution_arn: str, verdict: Verdict) -> bool:
        """Whether this is no file, or another execution has ended, or holds, it: a second event for it is a no-op."""
        if file.is_folder:
            self._skip(file, verdict, "a folder, which stays where it is")
            return True
        status, execution = self.ledger.file_status_and_execution(file.key, file.version_id)
        is_gone = file.last_modified is None
        is_held_by_other = status is not None and not (status is FileStatus.RECEIVED and execution == execution_arn)
        is_skipped = status in (FileStatus.ARCHIVED, FileStatus.REPLACED) or (is_gone and is_held_by_other)
        if is_skipped:
            self._skip(file, verdict, f"already {status}")
        return is_skipped

    def _skip(self, file: StagedFile, verdict: Verdict, reason: str) -> None:
        verdict.skipped.append({"key": file.key, "version_id": file.version_id, "reason": reason})

    # Bytes

    def _check_files(self, files: Sequence[StagedFile]) -> dict[StagedFile, ReadableFile | JudgedFile]:
        with ThreadPoolExecutor(max_workers=PARALLEL_FILES) as pool:
            return dict(zip(files, pool.map(self._check_file, files), strict=True))

    def _check_file(self, file: StagedFile) -> ReadableFile | JudgedFile:
        try:
            return self._readable(file)
        except FileRejectedError as error:
            return file.judged(problem=(error.rule_id, error.detail))

    def _readable(self, file: StagedFile) -> ReadableFile:
        if file.dataset is None:
            raise FileRejectedError("unknown_dataset", f"the key begins with none of {_dataset_prefixes()}")
        if file.last_modified is None:
            raise FileRejectedError("object_missing", "the version was deleted before the batch was staged")
        if file.staged_key is None:
            raise FileRejectedError("too_large", f"{file.size} bytes; at most {MAX_FILE_BYTES} can be copied")
        staged = Location(self.manifest.bucket, file.staged_key)
        text = check_text(self.s3.get_object(Bucket=staged.bucket, Key=staged.key)["Body"], file.dataset)
        if not text.is_plain:
            staged = staged.sibling(f"{file.name}.csv")
            self._write_plain(Location(self.manifest.bucket, file.staged_key), staged)
        return ReadableFile(
            name=staged.key.rpartition("/")[2],
            uri=staged.uri,
            header=text.header,
            last_modified=file.last_modified,
            is_line_per_row=text.is_line_per_row,
        )

    def _write_plain(self, source: Location, target: Location) -> None:
        """Writes an unpacked copy that Spark reads whatever the file was called and packed with."""
        with TemporaryFile() as plain:
            for chunk in plain_chunks(self.s3.get_object(Bucket=source.bucket, Key=source.key)["Body"]):
                plain.write(chunk)
            plain.seek(0)
            self.s3.upload_fileobj(plain, target.bucket, target.key)

    # Rows

    def _judge_datasets(self, readable: Mapping[StagedFile, ReadableFile]) -> dict[StagedFile, JudgedFile]:
        """References first: streams are compared with the snapshots that will hold when their KPIs are computed."""
        by_dataset: dict[str, list[StagedFile]] = defaultdict(list)
        for file in readable:
            by_dataset[str(file.dataset)].append(file)
        judged: dict[StagedFile, JudgedFile] = {}
        snapshots = {dataset: self.ledger.current_snapshot(dataset) for dataset in SNAPSHOT_DATASETS}
        known: dict[str, DataFrame] = {}
        for dataset, column in (("users", "user_id"), ("songs", "track_id")):
            rows, outcome = self._judge_dataset(dataset, by_dataset[dataset], readable, snapshots[dataset], {})
            judged |= outcome
            ids = self._ids(dataset, rows, outcome, readable, snapshots[dataset])
            if ids is not None:
                known[column] = ids.select(column)
        _, outcome = self._judge_dataset("streams", by_dataset["streams"], readable, None, known)
        return judged | outcome

    def _judge_dataset(
        self,
        dataset: str,
        files: Sequence[StagedFile],
        readable: Mapping[StagedFile, ReadableFile],
        snapshot: Snapshot | None,
        known: Mapping[str, DataFrame],
    ) -> tuple[DataFrame | None, dict[StagedFile, JudgedFile]]:
        if not files:
            return None, {}
        sources = [readable[file] for file in files]
        judged = judge_files(self.spark, dataset, sources)
        result = judge_batch(
            judged,
            dataset,
            sources,
            tolerances=self.tolerances,
            current_snapshot_rows=snapshot.rows if snapshot else 0,
            known=known,
        )
        page = f"{names.QUALITY_PREFIX}data_docs/{self.run}/{dataset}.html"
        self.s3.put_object(
            Bucket=self.manifest.bucket, Key=page, Body=result.data_docs.encode(), ContentType="text/html"
        )
        quarantine = Location(self.manifest.bucket, f"{names.QUARANTINE_PREFIX}{dataset}/run={self.run}/")
        found = self._quarantine(
            dataset, [source for source in sources if result.counts[source.name].quarantined], quarantine
        )
        return judged, {
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

    def _quarantine(
        self, dataset: str, files: Sequence[ReadableFile], quarantine: Location
    ) -> dict[str, dict[str, list[Sample]]]:
        """Reads the files that have broken rows once more, and keeps those rows; returns samples by file and rule."""
        if not files:
            return {}
        judged = judge_files(self.spark, dataset, files)
        broken = broken_rows(read_positions(self.spark, files), judged).persist()
        try:
            broken.select("file", "row", "lines", "rules", "fields").write.partitionBy("file").json(quarantine.uri)
            return samples(broken)
        finally:
            broken.unpersist()

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

    def _settle(self, file: StagedFile, judged: JudgedFile, report_key: str, verdict: Verdict) -> dict[str, Any] | None:
        """Moves the file forward in the ledger and enters it in the verdict; returns the entry of a rejected file."""
        status = FileStatus.REJECTED if judged.reasons else FileStatus.ACCEPTED
        identity = {"key": file.key, "version_id": file.version_id}
        before = self.ledger.advance_file(
            file.key, file.version_id, status, {"report_key": report_key, **_ledger_counts(judged)}
        )
        logger.info("%s %s (%s) %s", status, file.key, file.version_id, ", ".join(judged.reasons))
        if before is FileStatus.RECEIVED:
            verdict.judged_first.append(judged)
        if before is None:
            present = self.ledger.file_status(file.key, file.version_id)
            if not (status is FileStatus.ACCEPTED and present is FileStatus.LOADED):
                self._skip(file, verdict, f"already {present}")
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


def _dataset_prefixes() -> str:
    return ", ".join(f"{names.RAW_PREFIX}{dataset}/" for dataset in names.DATASETS)


def _ledger_counts(judged: JudgedFile) -> dict[str, Any]:
    """What the ledger keeps of a verdict: rows in, valid, quarantined, and failed rows by rule."""
    failed = {result.rule.id: result.failed for result in judged.results if result.failed}
    counts = judged.counts
    return {
        "rejected_by": judged.reasons,
        "failed": failed,
        **({"rows": counts.rows, "valid": counts.valid, "quarantined": counts.quarantined} if counts else {}),
    }
