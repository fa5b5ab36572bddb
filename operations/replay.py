"""Second tries: files of error/ go back to raw/, dead letters to the upload queue.

A replayed file is a new version of its raw/ key. The ledger item of the rejected version names it (`replayed_as`), and
`clean` removes what lies in error/ of a rejected version once the new one is accepted. Every step can be repeated: what
is uploaded twice counts once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from glue_scripts import names
from glue_scripts.ledger import FileStatus, file_key
from glue_scripts.names import ERROR_PREFIX, LEDGER_PARTITION_KEY
from glue_scripts.objects import REPORT_SUFFIX
from operations.deployment import Deployment
from operations.errors import UnknownThingError
from operations.pending import NOTHING
from operations.versions import delete_all_versions
from validators.schemas import MAX_FILE_BYTES

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
        key: the key that it was uploaded to.
        version_id: the version that was rejected.
        size: bytes of the copy; None where there is only a report.
    """

    error_key: str
    key: str
    version_id: str
    size: int | None


def error_files(deployment: Deployment, prefix: str) -> list[ErrorFile]:
    """The rejected files whose raw/ key, or key in error/, begins with a prefix."""
    wanted = prefix if prefix.startswith(ERROR_PREFIX) else ERROR_PREFIX + prefix
    sizes = _sizes(deployment, wanted)
    reports = [key.removesuffix(REPORT_SUFFIX) for key in sizes if key.endswith(REPORT_SUFFIX)]
    return [_error_file(deployment, error_key, sizes.get(error_key)) for error_key in reports]


def find_error_files(deployment: Deployment, keys: Sequence[str]) -> list[ErrorFile]:
    """Rejected files by their keys: of raw/ (every rejected version of it), or the one in error/.

    Raises:
        UnknownThingError: nothing of that key is in error/.
    """
    found = []
    for key in keys:
        files = [file for file in error_files(deployment, key) if key in (file.key, file.error_key)]
        if not files:
            raise UnknownThingError(
                f"Nothing of {key} is in {ERROR_PREFIX}: give its key in raw/ or the one in error/."
            )
        found += files
    return found


def replay(deployment: Deployment, file: ErrorFile) -> str:
    """Puts a rejected file back under its raw/ key, as a fresh version that the pipeline takes.

    Returns:
        What was done, in one sentence.
    """
    if file.size is None:
        return "has no copy: the version had been deleted before it could be read; upload it again"
    if file.size > MAX_FILE_BYTES:
        return f"is over {MAX_FILE_BYTES} bytes and would be rejected again: split it and upload the parts"
    successor, status = _successor(deployment, file)
    if status in ACCEPTED:
        return f"was accepted as version {successor} already"
    is_queued = successor and status is None and _is_in_raw(deployment, file.key, successor)
    if is_queued or status is FileStatus.RECEIVED:
        return f"is under way as version {successor}"
    copied = deployment.s3.copy_object(
        Bucket=deployment.bucket, Key=file.key, CopySource={"Bucket": deployment.bucket, "Key": file.error_key}
    )
    successor = copied["VersionId"]
    deployment.ledger_table.update_item(
        Key={LEDGER_PARTITION_KEY: file_key(file.key, file.version_id)},
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
    ledger_key = {LEDGER_PARTITION_KEY: file_key(key, version_id)}
    return deployment.ledger_table.get_item(Key=ledger_key, ConsistentRead=True).get("Item", {})


def _is_in_raw(deployment: Deployment, key: str, version_id: str) -> bool:
    try:
        deployment.s3.head_object(Bucket=deployment.bucket, Key=key, VersionId=version_id)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchVersion"):
            return False
        raise
    return True


def _error_file(deployment: Deployment, error_key: str, size: int | None) -> ErrorFile:
    body = deployment.s3.get_object(Bucket=deployment.bucket, Key=error_key + REPORT_SUFFIX)["Body"].read()
    report: dict[str, Any] = json.loads(body)
    if report.get("format") != names.REPORT_FORMAT:
        raise UnknownThingError(
            f"{error_key + REPORT_SUFFIX} is not a report of this version: upload the file again by hand."
        )
    return ErrorFile(error_key=error_key, key=report["key"], version_id=report["version_id"], size=size)


def _sizes(deployment: Deployment, prefix: str) -> dict[str, int]:
    return {item["Key"]: item["Size"] for item in _objects(deployment, prefix)}


def _objects(deployment: Deployment, prefix: str) -> Iterator[Any]:
    pages = deployment.s3.get_paginator("list_objects_v2").paginate(Bucket=deployment.bucket, Prefix=prefix)
    return (item for page in pages for item in page.get("Contents", []))
