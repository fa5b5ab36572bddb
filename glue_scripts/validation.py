"""Validates one batch: from its files to a verdict on every one, its report and its ledger item."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from glue_scripts import names
from glue_scripts.batch_judge import BatchJudge
from glue_scripts.ledger import FileStatus, Ledger
from glue_scripts.objects import AS_DOWNLOAD, Location, has_long_target, target_key, write_json
from glue_scripts.readable_file import ReadableFile
from glue_scripts.staged_files import PARALLEL_FILES, CheckedBatch, StagedFile
from validators.printable import printable
from validators.reports import EmailSettings, JudgedFile, RejectedFile, file_report, rejection_email

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

logger = logging.getLogger(__name__)

_OURS = {**AS_DOWNLOAD, "StorageClass": "STANDARD", "MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
"""Of a copy of an upload: nothing that its sender said of it survives, as in Stage."""


@dataclass
class Verdict:
    """What becomes of each file of the batch; `judged_first`: the files that no earlier run has judged.

    The entries are bounded in bytes, because they travel in the state machine's state: they name files by their place
    in the manifest, and hold no key.
    """

    accepted: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    judged_first: list[JudgedFile] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """One run of the validation job.

    Attributes:
        s3: the client.
        ledger: the ledger.
        judge: judges the files that are CSV.
        emails: what an e-mail says of the place that it comes from.
        manifest: where the batch's manifest is; the verdict goes beside it.
    """

    s3: S3Client
    ledger: Ledger
    judge: BatchJudge
    emails: EmailSettings
    manifest: Location

    def validate(self, batch: CheckedBatch) -> list[JudgedFile]:
        """Judges every file of the batch, and writes reports, ledger items and the verdict.

        Returns:
            The files that were judged for the first time: not those that an earlier run of the batch had judged before
            it died.
        """
        verdict = Verdict(skipped=list(batch.skipped))
        judged = batch.unreadable | self.judge.judge(batch.readable)
        emailed = []

        def record(file: StagedFile) -> tuple[str, FileStatus | None]:
            report_key = self._write_report(file, judged[file], batch.execution_arn)
            return report_key, self._advance(file, judged[file], report_key)

        with ThreadPoolExecutor(max_workers=PARALLEL_FILES) as pool:
            recorded = list(pool.map(record, batch.due))
        for file, (report_key, before) in zip(batch.due, recorded, strict=True):
            rejected = self._enter(file, judged[file], report_key, before, verdict)
            if rejected:
                emailed.append(rejected)
        self._write_verdict(verdict, batch.readable, emailed, batch.execution_arn)
        return verdict.judged_first

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
    ) -> RejectedFile | None:
        """Enters the file in the verdict; returns what the e-mail needs of a rejected one."""
        status = _status(judged)
        if before is FileStatus.RECEIVED:
            verdict.judged_first.append(judged)
        if before is None:
            present = self.ledger.file_status(file.key, file.version_id)
            if not (status is FileStatus.ACCEPTED and present is FileStatus.LOADED):
                verdict.skipped.append(file.skipped(f"already {present}"))
                return None
        if status is FileStatus.ACCEPTED:
            long_key = has_long_target(names.ARCHIVE_PREFIX, file.key, file.version_id)
            verdict.accepted.append({"file": file.number, "long_key": long_key})
            return None
        copy = self._copy_of_rejected(file)
        verdict.rejected.append(
            {
                "file": file.number,
                "long_key": has_long_target(names.ERROR_PREFIX, file.key, file.version_id),
                "copy": copy,
                "report_key": report_key,
                "reasons": judged.reasons,
            }
        )
        target = target_key(names.ERROR_PREFIX, file.key, file.version_id)
        place = file.key if copy == "none" else target
        return RejectedFile(judged, None if file.is_gone else place, report_key)

    def _copy_of_rejected(self, file: StagedFile) -> str:
        """Which copy of a rejected file there is: Stage's, the job's own, or none, and then nothing is deleted."""
        if file.refused is None:
            return "staged"
        return "made" if file.refused == "too_large" and self._is_copied_in_parts(file) else "none"

    def _is_copied_in_parts(self, file: StagedFile) -> bool:
        """Copies an object over 5 GiB, which the state machine cannot, as a multipart upload.

        Returns:
            False where S3 may not use the KMS key that the object is encrypted with.
        """
        bucket = self.manifest.bucket
        source = {"Bucket": bucket, "Key": file.key, "VersionId": file.version_id}
        target = target_key(names.ERROR_PREFIX, file.key, file.version_id)
        try:
            self.s3.copy(source, bucket, target, ExtraArgs=_OURS)  # type: ignore[arg-type]
        except ClientError as error:
            if not _is_about_a_key(error):
                raise
            return False
        return True

    def _write_verdict(
        self,
        verdict: Verdict,
        readable: Mapping[StagedFile, ReadableFile],
        emailed: Sequence[RejectedFile],
        execution_arn: str,
    ) -> None:
        """Writes what the KPI job reads, then the e-mail, then what the state machine reads."""
        accepted = {entry["file"] for entry in verdict.accepted}
        sources = [
            {
                "key": file.key,
                "version_id": file.version_id,
                "dataset": file.dataset,
                "last_modified": file.uploaded_at,
                "uri": source.uri,
                "header": list(source.header),
                "size": source.size,
                "is_line_per_row": source.is_line_per_row,
            }
            for file, source in readable.items()
            if file.number in accepted
        ]
        write_json(
            self.s3,
            self.manifest.sibling(names.ACCEPTED_NAME),
            {"format": names.ACCEPTED_FORMAT, "files": sources},
        )
        if emailed:
            email = rejection_email(
                emailed,
                settings=self.emails,
                accepted=len(verdict.accepted),
                execution_arn=execution_arn,
            )
            write_json(self.s3, self.manifest.sibling(names.REJECTION_EMAIL_NAME), email)
        write_json(
            self.s3,
            self.manifest.sibling(names.VERDICT_NAME),
            {
                "format": names.VERDICT_FORMAT,
                "accepted": verdict.accepted,
                "rejected": verdict.rejected,
                "skipped": verdict.skipped,
            },
        )


def _is_about_a_key(error: ClientError) -> bool:
    """Whether KMS, and not S3, has refused: it does so with a code of its own, or as S3's AccessDenied."""
    answer = error.response["Error"]
    return answer["Code"].startswith("KMS.") or (answer["Code"] == "AccessDenied" and "kms:" in answer["Message"])


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
