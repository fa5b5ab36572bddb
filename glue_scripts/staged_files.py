"""The files of one batch before their rows are read: which ones are due, and whether their bytes are CSV text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final

from glue_scripts import names
from glue_scripts.accepted_files import AcceptedFile
from glue_scripts.ledger import Age, FileStatus, Ledger, age_of, utc_now
from glue_scripts.objects import AS_DOWNLOAD, DocumentError, Location, file_name, read_json
from glue_scripts.readable_file import ReadableFile
from validators.companion_files import companion
from validators.file_checks import FileRejectedError, check_text, plain_chunks
from validators.reports import JudgedFile
from validators.schemas import MAX_FILE_BYTES, dataset_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PARALLEL_FILES = 8
"""Files whose bytes are looked at, or that are entered in the ledger, at the same time."""


REFUSALS: Final[Mapping[str, str]] = {
    "object_missing": "the version was deleted before the batch was staged",
    "too_large": "{size} bytes; at most {most} can be copied",
    "archived_storage_class": "S3 would have to restore it first",
    "encrypted_by_customer_key": "S3 asks for the key that it was uploaded with",
    "unusable_kms_key": "the pipeline may not use the key, or the key is disabled",
}
"""By rule, why the state machine has no copy of a file."""


@dataclass(frozen=True, kw_only=True)
class StagedFile:
    """A file of the manifest.

    Attributes:
        number: its place among the manifest's files, from 0: the state machine's name for it.
        key: the object key.
        version_id: the object version.
        size: bytes.
        etag: of the object.
        last_modified: when the version was uploaded, UTC; None where S3 did not tell.
        refused: the rule by which S3 did not hand it out, so that there is no copy of it; None where there is one.
        is_directory: whether the uploader gave it the content type by which some tools mark a folder.
        sequencer: see `Snapshot.sequencer`.
    """

    number: int
    key: str
    version_id: str
    size: int
    etag: str
    last_modified: datetime | None
    refused: str | None
    is_directory: bool
    sequencer: str

    @classmethod
    def of_manifest(cls, number: int, entry: Mapping[str, Any]) -> StagedFile:
        """From an entry of the manifest's `files`.

        `last_modified`, `refused`, `is_directory` and `sequencer` are optional in it.
        """
        moment = entry.get("last_modified")
        return cls(
            number=number,
            key=entry["key"],
            version_id=entry["version_id"],
            size=int(entry["size"]),
            etag=entry["etag"],
            last_modified=datetime.fromisoformat(moment).astimezone(UTC) if moment else None,
            refused=entry.get("refused"),
            is_directory=entry.get("is_directory", False),
            sequencer=entry.get("sequencer", ""),
        )

    @property
    def is_gone(self) -> bool:
        """Whether the version was not there any more."""
        return self.refused == "object_missing"

    @property
    def name(self) -> str:
        """A name that is unique in the batch and safe in an address: that of its copy beside the manifest."""
        return file_name(self.key, self.version_id)

    @property
    def dataset(self) -> str | None:
        """The dataset that the key names; None where it names none."""
        return dataset_of(self.key)

    @property
    def uploaded_at(self) -> str | None:
        """ISO 8601 in UTC, to the second."""
        return self.last_modified.strftime("%Y-%m-%dT%H:%M:%SZ") if self.last_modified else None

    @property
    def age(self) -> Age:
        """What decides which of two accepted reference files is newer."""
        return age_of(str(self.uploaded_at), self.key, self.sequencer, self.version_id)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the ledger keeps of it before it is judged."""
        known = {"dataset": self.dataset or names.NO_DATASET, "size": self.size, "etag": self.etag}
        # The index by status lists only files that have a moment: a version that was gone gets that of its receipt.
        return {**known, "uploaded_at": self.uploaded_at or utc_now()}

    def accepted(self) -> AcceptedFile | None:
        """The file as an accepted one; None where it has no dataset or S3 did not tell when it was uploaded."""
        if self.dataset is None or self.uploaded_at is None:
            return None
        return AcceptedFile(
            key=self.key,
            version_id=self.version_id,
            dataset=self.dataset,
            uploaded_at=self.uploaded_at,
            sequencer=self.sequencer,
        )

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

    def skipped(self, reason: str) -> dict[str, Any]:
        """Its entry in the verdict where it is not judged; the reason is one of a few, because it is in the state."""
        return {"file": self.number, "reason": reason}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the state machine hands to the job.

    Attributes:
        location: of the document.
        execution_arn: the execution.
        files: the batch.
    """

    location: Location
    execution_arn: str
    files: Sequence[StagedFile]


@dataclass(frozen=True, kw_only=True)
class CheckedBatch:
    """A batch whose files' bytes have been looked at.

    Attributes:
        execution_arn: the execution that the batch is of.
        due: the files to judge, in the manifest's order.
        skipped: entries of the verdict for the other files.
        readable: the due files whose rows can be read.
        unreadable: the due files whose bytes break a file rule, with their verdicts.
    """

    execution_arn: str
    due: list[StagedFile]
    skipped: list[dict[str, Any]]
    readable: dict[StagedFile, ReadableFile]
    unreadable: dict[StagedFile, JudgedFile]


def read_manifest(s3: S3Client, location: Location) -> Manifest:
    """Reads the manifest.

    Raises:
        DocumentError: another version wrote it.
    """
    document = read_json(s3, location, names.MANIFEST_FORMAT)
    files = [StagedFile.of_manifest(number, entry) for number, entry in enumerate(document["files"])]
    return Manifest(location=location, execution_arn=str(document["execution_arn"]), files=files)


def check_batch(s3: S3Client, ledger: Ledger, manifest: Manifest) -> CheckedBatch:
    """Tells which files of the manifest are due, enters them in the ledger and looks at their bytes."""
    execution_arn, files = manifest.execution_arn, manifest.files

    def check(file: StagedFile) -> ReadableFile | JudgedFile:
        ledger.receive_file(file.key, file.version_id, {**file.attributes, "execution": execution_arn})
        return _checked(s3, manifest.location, file)

    def skip_reason(file: StagedFile) -> str:
        """Why the file is not judged; empty where it is due."""
        what = companion(file.key, file.size, is_directory=file.is_directory)
        if what is None:
            return _end_elsewhere(file, ledger, execution_arn)
        ledger.receive_file(file.key, file.version_id, {**file.attributes, "execution": execution_arn})
        ledger.advance_file(file.key, file.version_id, FileStatus.SKIPPED, {"skipped_as": what})
        return f"{what}, which stays where it is"

    with ThreadPoolExecutor(max_workers=PARALLEL_FILES) as pool:
        reasons = pool.map(skip_reason, files)
        reason_of = dict(zip(files, reasons, strict=True))
        due = [file for file in files if not reason_of[file]]
        checked = dict(zip(due, pool.map(check, due), strict=True))
    return CheckedBatch(
        execution_arn=execution_arn,
        due=due,
        skipped=[file.skipped(reason) for file, reason in reason_of.items() if reason],
        readable={file: found for file, found in checked.items() if isinstance(found, ReadableFile)},
        unreadable={file: found for file, found in checked.items() if isinstance(found, JudgedFile)},
    )


def _end_elsewhere(file: StagedFile, ledger: Ledger, execution_arn: str) -> str:
    """Which other execution's end the file has seen: a second event for it is a no-op. Empty: due."""
    status, execution = ledger.file_status_and_execution(file.key, file.version_id)
    is_held_by_other = status is not None and execution != execution_arn
    is_over = status in (FileStatus.ARCHIVED, FileStatus.REPLACED) or (file.is_gone and is_held_by_other)
    return f"already {status}" if is_over else ""


def _checked(s3: S3Client, manifest: Location, file: StagedFile) -> ReadableFile | JudgedFile:
    try:
        return _readable(s3, manifest, file)
    except FileRejectedError as error:
        return file.judged(problem=(error.rule_id, error.detail))


def _readable(s3: S3Client, manifest: Location, file: StagedFile) -> ReadableFile:
    if file.dataset is None:
        prefixes = ", ".join(f"{names.RAW_PREFIX}{dataset}/" for dataset in names.DATASETS)
        raise FileRejectedError("unknown_dataset", f"the key begins with none of {prefixes}")
    if file.refused is not None:
        raise FileRejectedError(file.refused, REFUSALS[file.refused].format(size=file.size, most=MAX_FILE_BYTES))
    if file.last_modified is None:
        raise DocumentError(f"{manifest.uri} tells of a copy of {file.key!r} and not when it was uploaded.")
    staged = manifest.sibling(file.name)
    text = check_text(s3.get_object(Bucket=staged.bucket, Key=staged.key)["Body"], file.dataset)
    source = staged if text.is_plain else staged.sibling(f"{file.name}.csv")
    if not text.is_plain:
        _write_plain(s3, staged, source)
    return ReadableFile(
        name=file.name,
        uri=source.uri,
        header=text.header,
        last_modified=file.last_modified,
        size=text.size,
        is_line_per_row=text.is_line_per_row,
    )


def _write_plain(s3: S3Client, source: Location, target: Location) -> None:
    """Writes an unpacked copy, whose rows can be read by ranges of bytes."""
    with TemporaryFile() as plain:
        for chunk in plain_chunks(s3.get_object(Bucket=source.bucket, Key=source.key)["Body"]):
            plain.write(chunk)
        plain.seek(0)
        s3.upload_fileobj(plain, target.bucket, target.key, ExtraArgs=AS_DOWNLOAD)
