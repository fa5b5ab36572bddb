"""Second tries: files of error/ go back to raw/, dead letters and forgotten files to the upload queue.

A replayed file is a new version of its raw/ key. The ledger item of the rejected version names it (`replayed_as`), and
`clean` removes what lies in error/ of a rejected version once the new one is accepted. A forgotten file is one in raw/
that the ledger does not know; it stays as it is, and an event about it is put into the queue. Every step can be
repeated: what is uploaded twice counts once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from glue_scripts import names
from glue_scripts.forgotten_files import Forgotten, RawVersion, forgotten_files
from glue_scripts.ledger import FileStatus, file_key
from glue_scripts.names import DATASETS, ERROR_PREFIX, LEDGER_PARTITION_KEY, RAW_PREFIX
from glue_scripts.objects import AS_DOWNLOAD, REPORT_SUFFIX, DocumentError, Location, read_json
from operations.deployment import Deployment
from operations.errors import UnknownThingError
from operations.pending import NOTHING
from operations.versions import delete_all_versions
from validators.reports import shell_quoted
from validators.schemas import MAX_FILE_BYTES, dataset_of

LOADED = (FileStatus.LOADED, FileStatus.ARCHIVED, FileStatus.REPLACED)
"""A replaced version counts where nothing took its place: no row of it is left to be loaded."""
ACCEPTED = (FileStatus.ACCEPTED, *LOADED)
_MESSAGES_AT_ONCE = 10
_RECEIVE_SECONDS = 1


@dataclass(frozen=True)
class ErrorFile:
    """A rejected file in error/.

    Attributes:
        error_key: where its copy lies; its report beside it.
        key: the key that it was uploaded to; of a report that is not understood the one in error/.
        version_id: the version that was rejected.
        size: bytes of the copy; None where there is only a report.
        has_report: whether its report is understood.
    """

    error_key: str
    key: str
    version_id: str
    size: int | None
    has_report: bool = True


def error_files(deployment: Deployment, prefix: str) -> list[ErrorFile]:
    """The rejected files whose raw/ key, or key in error/, begins with a prefix."""
    wanted = prefix if prefix.startswith(ERROR_PREFIX) else ERROR_PREFIX + prefix
    sizes = _sizes(deployment, wanted)
    reports = [key.removesuffix(REPORT_SUFFIX) for key in sizes if key.endswith(REPORT_SUFFIX)]
    return [_error_file(deployment, error_key, sizes.get(error_key)) for error_key in reports]


@dataclass(frozen=True)
class Found:
    """What was meant by some keys.

    Attributes:
        rejected: files of error/, every rejected version.
        forgotten: versions in raw/ that the ledger does not know.
    """

    rejected: list[ErrorFile]
    forgotten: list[RawVersion]


def find(deployment: Deployment, keys: Sequence[str]) -> Found:
    """Files by their keys: those of raw/, or the ones in error/.

    Raises:
        UnknownThingError: nothing of that key is in error/, nor is it a forgotten one in raw/.
    """
    found = Found([], [])
    for key in keys:
        rejected = [file for file in error_files(deployment, key) if key in (file.key, file.error_key)]
        forgotten = _forgotten_of(deployment, key) if key.startswith(RAW_PREFIX) else []
        if not rejected and not forgotten:
            raise UnknownThingError(
                f"Nothing of {key} is in {ERROR_PREFIX}, and the ledger knows all that is in {RAW_PREFIX} under that "
                f"key: give the key in {RAW_PREFIX} or the one in {ERROR_PREFIX}."
            )
        found.rejected.extend(rejected)
        found.forgotten.extend(forgotten)
    return found


def forgotten(deployment: Deployment, *, minutes: float) -> Forgotten:
    """The versions that have been in raw/ for some minutes and that the ledger does not know."""
    before = datetime.now(UTC) - timedelta(minutes=minutes)
    return forgotten_files(deployment.s3, deployment.bucket, deployment.ledger, uploaded_before=before)


def start(deployment: Deployment, file: RawVersion) -> None:
    """Puts an event about a file into the upload queue, with what the pipeline reads of an event of S3."""
    version = {"key": file.key, "size": file.size, "etag": file.etag, "version-id": file.version_id}
    event = {
        "version": "0",
        "source": "music-kpi.operations",
        "detail-type": "Object Created",
        "detail": {"version": "0", "bucket": {"name": deployment.bucket}, "object": version, "reason": "replay"},
    }
    deployment.sqs.send_message(QueueUrl=deployment.upload_queue_url, MessageBody=json.dumps(event))


def obstacle(deployment: Deployment, file: ErrorFile) -> str | None:
    """Why a rejected file cannot be replayed, and what to do; None where it can."""
    if not file.has_report:
        return f"has no report of the format {names.REPORT_FORMAT}, which tells its key: upload the file again by hand"
    if file.size is None:
        return "has no copy in error/, because S3 did not hand it out: its report says why; upload it again"
    if file.size > MAX_FILE_BYTES:
        return f"is over {MAX_FILE_BYTES} bytes and would be rejected again: do what its report says"
    if dataset_of(file.key) is None:
        prefixes = " or ".join(f"{RAW_PREFIX}{dataset}/" for dataset in DATASETS)
        copy = shell_quoted(f"s3://{deployment.bucket}/{file.error_key}")
        return (
            f"is not under {prefixes} and would be rejected again: upload it under the prefix of its dataset, for "
            f"example aws s3 cp {copy} s3://{deployment.bucket}/{RAW_PREFIX}streams/<name>"
        )
    return None


def replay(deployment: Deployment, file: ErrorFile) -> str:
    """Puts a rejected file, to which there is no obstacle, back under its raw/ key, as a fresh version.

    Returns:
        What was done, in one sentence.
    """
    successor, status = _successor(deployment, file)
    if status in ACCEPTED:
        return f"was accepted as version {successor} already"
    is_queued = successor and status is None and _is_in_raw(deployment, file.key, successor)
    if is_queued or status is FileStatus.RECEIVED:
        return f"is under way as version {successor}"
    copied = deployment.s3.copy_object(
        Bucket=deployment.bucket,
        Key=file.key,
        CopySource={"Bucket": deployment.bucket, "Key": file.error_key},
        MetadataDirective="REPLACE",
        TaggingDirective="REPLACE",
        ContentType=AS_DOWNLOAD["ContentType"],
        ContentDisposition=AS_DOWNLOAD["ContentDisposition"],
    )
    successor = copied["VersionId"]
    deployment.ledger_table.update_item(
        Key=file_key(file.key, file.version_id),
        UpdateExpression="SET replayed_as = :successor",
        ConditionExpression=f"attribute_exists({LEDGER_PARTITION_KEY})",
        ExpressionAttributeValues={":successor": successor},
    )
    return f"is back as version {successor}"


def clean(deployment: Deployment) -> list[ErrorFile]:
    """Removes from error/ what was replayed and is accepted: all versions of the copy and of its report.

    Returns:
        The files removed.
    """
    accepted = [file for file in error_files(deployment, "") if _successor(deployment, file)[1] in LOADED]
    for file in accepted:
        # The copy first: the report is how a repetition finds the file.
        delete_all_versions(deployment, file.error_key)
        delete_all_versions(deployment, file.error_key + REPORT_SUFFIX)
    return accepted


def replay_dead_letters(deployment: Deployment) -> int:
    """Sends every dead letter to the upload queue once more; returns how many.

    A letter is deleted after it was sent: an interruption can send one twice, which is a no-op for the pipeline.
    """
    source, target = deployment.dead_letter_queue_url, deployment.upload_queue_url
    moved = 0
    while messages := deployment.sqs.receive_message(
        QueueUrl=source, MaxNumberOfMessages=_MESSAGES_AT_ONCE, WaitTimeSeconds=_RECEIVE_SECONDS
    ).get("Messages", []):
        for message in messages:
            deployment.sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
            deployment.sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def _successor(deployment: Deployment, file: ErrorFile) -> tuple[str | None, FileStatus | None]:
    """The version that a rejected file was last replayed as, or a purge's in its place, and how far that has come."""
    successor = _item(deployment, file.key, file.version_id).get("replayed_as")
    if successor is None:
        return None, None
    item = _item(deployment, file.key, str(successor))
    while item.get("replaced_by", NOTHING) != NOTHING:
        successor = str(item["replaced_by"])
        item = _item(deployment, file.key, successor)
    return successor, FileStatus(item["status"]) if item else None


def _item(deployment: Deployment, key: str, version_id: str) -> Mapping[str, Any]:
    return deployment.ledger_table.get_item(Key=file_key(key, version_id), ConsistentRead=True).get("Item", {})


def _forgotten_of(deployment: Deployment, key: str) -> list[RawVersion]:
    now = datetime.now(UTC) + timedelta(minutes=1)  # however young: it was named
    found = forgotten_files(deployment.s3, deployment.bucket, deployment.ledger, uploaded_before=now, prefix=key)
    return [file for file in found.files if file.key == key]


def _is_in_raw(deployment: Deployment, key: str, version_id: str) -> bool:
    try:
        deployment.s3.head_object(Bucket=deployment.bucket, Key=key, VersionId=version_id)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchVersion"):
            return False
        raise
    return True


def _error_file(deployment: Deployment, error_key: str, size: int | None) -> ErrorFile:
    try:
        report = read_json(deployment.s3, Location(deployment.bucket, error_key + REPORT_SUFFIX), names.REPORT_FORMAT)
    except DocumentError:
        return ErrorFile(error_key=error_key, key=error_key, version_id="unknown", size=size, has_report=False)
    return ErrorFile(error_key=error_key, key=report["key"], version_id=report["version_id"], size=size)


def _sizes(deployment: Deployment, prefix: str) -> dict[str, int]:
    return {item["Key"]: item["Size"] for item in _objects(deployment, prefix)}


def _objects(deployment: Deployment, prefix: str) -> Iterator[Any]:
    pages = deployment.s3.get_paginator("list_objects_v2").paginate(Bucket=deployment.bucket, Prefix=prefix)
    return (item for page in pages for item in page.get("Contents", []))
