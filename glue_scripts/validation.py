"""Validates one batch: from its files to a verdict on every one, its report, and the rows of those it accepts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from glue_scripts import names
from glue_scripts.accepted_files import AcceptedFiles
from glue_scripts.batch_judge import BatchJudge
from glue_scripts.batch_record import BatchRecord, Judgement, Recorded
from glue_scripts.ledger import FileStatus, Ledger
from glue_scripts.objects import AS_DOWNLOAD, Location, has_long_target, target_key, write_json
from glue_scripts.recorded_verdicts import as_recorded, attributes_of
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
    """What becomes of each file of the batch.

    The entries are bounded in bytes, because they travel in the state machine's state: they name files by their place
    in the manifest, and hold no key.
    """

    accepted: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """One run of the validation job.

    Attributes:
        s3: the client.
        ledger: the ledger.
        judge: judges the files that are CSV, and writes their rows.
        emails: what an e-mail says of the place that it comes from.
        manifest: where the batch's manifest is; the verdict goes beside it.
    """

    s3: S3Client
    ledger: Ledger
    judge: BatchJudge
    emails: EmailSettings
    manifest: Location

    def validate(self, batch: CheckedBatch) -> list[JudgedFile]:
        """Judges every file of the batch, records the verdicts and what the rows became, and writes the documents.

        Returns:
            The files whose verdict was recorded by this run: not those that an earlier run of the batch had judged
            before it died.
        """
        judged_batch = self.judge.judge(batch.readable, batch.execution_arn)
        judged = {**batch.unreadable, **judged_batch.files}
        recorded = BatchRecord(
            ledger=self.ledger,
            writer=judged_batch.writer,
            execution_arn=batch.execution_arn,
            run=self.judge.run,
            document_uri=self._accepted_files.uri,
        ).record({file: self._judgement(file, judged[file]) for file in batch.due})
        for file, verdict in recorded.verdicts.items():
            logger.info("%s %s (%s)", verdict.status, printable(file.key), file.version_id)
        self._write_documents(batch, judged, recorded)
        return [judged[file] for file, verdict in recorded.verdicts.items() if verdict.is_new]

    @property
    def _accepted_files(self) -> Location:
        return self.manifest.sibling(names.ACCEPTED_NAME)

    def _report_key(self, file: StagedFile) -> str:
        """Where the execution's report of a file is: no other execution writes there."""
        day = file.last_modified.strftime("%Y-%m-%d") if file.last_modified else "unknown"
        folder = f"{names.REPORTS_PREFIX}dataset={file.dataset or names.NO_DATASET}/date={day}/"
        execution = self.manifest.key.split("/")[-2]
        return f"{folder}{file.name}-{execution}.json"

    def _judgement(self, file: StagedFile, judged: JudgedFile) -> Judgement:
        return Judgement(
            accepted=file.accepted(),
            has_rows=judged.counts is not None,
            status=FileStatus.REJECTED if judged.reasons else FileStatus.ACCEPTED,
            attributes={"report_key": self._report_key(file), **attributes_of(judged)},
        )

    def _write_documents(
        self, batch: CheckedBatch, judged: Mapping[StagedFile, JudgedFile], recorded: Recorded[StagedFile]
    ) -> None:
        """Writes reports, what the KPI job reads, the e-mail, and last what the state machine reads."""
        ours = {
            file: as_recorded(judged[file], verdict.attributes)
            for file, verdict in recorded.verdicts.items()
            if verdict.execution == batch.execution_arn
        }

        def write_report(file: StagedFile) -> None:
            report = file_report(ours[file], report_format=names.REPORT_FORMAT, execution_arn=batch.execution_arn)
            write_json(self.s3, Location(self.manifest.bucket, self._report_key(file)), report)

        with ThreadPoolExecutor(max_workers=PARALLEL_FILES) as pool:
            list(pool.map(write_report, ours))
        verdict = Verdict(skipped=list(batch.skipped))
        emailed = []
        for file, of_file in recorded.verdicts.items():
            if file in recorded.accepted:
                long_key = has_long_target(names.ARCHIVE_PREFIX, file.key, file.version_id)
                verdict.accepted.append({"file": file.number, "long_key": long_key})
            elif file in ours and of_file.status is FileStatus.REJECTED:
                emailed.append(self._reject(file, ours[file], verdict))
            else:
                verdict.skipped.append(file.skipped(f"already {of_file.status}"))
        accepted = list(recorded.accepted.values())
        AcceptedFiles(execution_arn=batch.execution_arn, files=accepted).write(self.s3, self._accepted_files)
        if emailed:
            email = rejection_email(
                emailed, settings=self.emails, accepted=len(accepted), execution_arn=batch.execution_arn
            )
            write_json(self.s3, self.manifest.sibling(names.REJECTION_EMAIL_NAME), email)
        location = self.manifest.sibling(names.VERDICT_NAME)
        write_json(self.s3, location, {"format": names.VERDICT_FORMAT, **asdict(verdict)})

    def _reject(self, file: StagedFile, judged: JudgedFile, verdict: Verdict) -> RejectedFile:
        """Enters a rejected file in the verdict; returns what the e-mail needs of it."""
        copy = self._copy_of_rejected(file)
        report = self._report_key(file)
        verdict.rejected.append(
            {
                "file": file.number,
                "long_key": has_long_target(names.ERROR_PREFIX, file.key, file.version_id),
                "copy": copy,
                "report_key": report,
                "reasons": judged.reasons,
            }
        )
        target = target_key(names.ERROR_PREFIX, file.key, file.version_id)
        place = file.key if copy == "none" else target
        return RejectedFile(judged, None if file.is_gone else place, report)

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


def _is_about_a_key(error: ClientError) -> bool:
    """Whether KMS, and not S3, has refused: it does so with a code of its own, or as S3's AccessDenied."""
    answer = error.response["Error"]
    return answer["Code"].startswith("KMS.") or (answer["Code"] == "AccessDenied" and "kms:" in answer["Message"])
