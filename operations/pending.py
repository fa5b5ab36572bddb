"""Files that still wait in raw/: rewritten by a purge so that each is processed once, in the order of upload.

A rewritten file is a new version with an event of its own, by which the pipeline takes it when the pipe runs again.
The version that it replaces is noted in the ledger as finished, with `replaced_by`, so that its own event, a duplicate
of it and a redrive of an execution that lists it are no-ops.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Final

from glue_scripts import names
from glue_scripts.ledger import FileStatus, file_key
from glue_scripts.names import LEDGER_PARTITION_KEY, RAW_PREFIX
from glue_scripts.objects import target_key
from operations.deployment import Deployment
from operations.versions import Version, delete, versions
from validators.schemas import SNAPSHOT_DATASETS, dataset_of

REPLACES: Final = "replaces-version"
REPLACES_UPLOAD_OF: Final = "replaces-upload-of"
"""User metadata of a rewritten file, by which a repeated purge finds what an interrupted one has done."""


class PendingFiles:
    """The versions under raw/, to be replaced from the oldest on.

    Which snapshot of users or songs is the current one is decided by the time of its upload. So once one is rewritten,
    the younger ones of its dataset are written anew as well, each in a later second; and one that is older than the
    current snapshot, which cannot become current any more, goes to archive/ at once.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        found = [version for version in versions(deployment, RAW_PREFIX) if not version.is_marker]
        self._versions = sorted(found, key=lambda v: (v.last_modified, v.key, v.version_id))
        self._successors: dict[tuple[str, str], str] = {}
        self._rewritten_from: dict[str | None, str] = {}
        for version in self._versions:
            self._recognize(version)

    def oldest_first(self) -> Iterator[Version]:
        """The versions by the time of their upload; those that an interrupted purge wrote are at their end."""
        return iter(self._versions)

    def replace(self, version: Version, body: IO[bytes] | None) -> None:
        """Puts a cleaned file in a version's place; None where no row is left: then nothing takes its place."""
        successor = self._successors.get((version.key, version.version_id))
        if body is not None and not successor and self._is_outdated(version):
            self._set_aside(version, body)
        elif body is not None and not successor:
            successor = self._put(version, body)
        self._finish(version, successor)

    def keep(self, version: Version, body: IO[bytes]) -> None:
        """Leaves a file that does not hold the person alone, unless it must stay younger than a rewritten one."""
        dataset = dataset_of(version.key)
        is_successor = version.version_id in self._successors.values()
        is_younger = dataset in self._rewritten_from and _uploaded_at(version) >= self._rewritten_from[dataset]
        if dataset in SNAPSHOT_DATASETS and is_younger and not is_successor:
            self._finish(version, self._successors.get((version.key, version.version_id)) or self._put(version, body))

    def _put(self, version: Version, body: IO[bytes]) -> str:
        dataset = dataset_of(version.key)
        if dataset in SNAPSHOT_DATASETS:
            _wait_for_next_second()
        self._rewritten_from.setdefault(dataset, _uploaded_at(version))
        body.seek(0)
        written = self._deployment.s3.put_object(
            Bucket=self._deployment.bucket,
            Key=version.key,
            Body=body,
            Metadata={REPLACES: version.version_id, REPLACES_UPLOAD_OF: _uploaded_at(version)},
        )
        return written["VersionId"]

    def _set_aside(self, version: Version, body: IO[bytes]) -> None:
        body.seek(0)
        key = target_key(names.ARCHIVE_PREFIX, version.key, version.version_id)
        self._deployment.s3.put_object(Bucket=self._deployment.bucket, Key=key, Body=body)

    def _finish(self, version: Version, successor: str | None) -> None:
        self._deployment.ledger_table.update_item(
            Key={LEDGER_PARTITION_KEY: file_key(version.key, version.version_id)},
            UpdateExpression="SET #status = if_not_exists(#status, :archived), replaced_by = :successor, "
            "dataset = if_not_exists(dataset, :dataset), #execution = if_not_exists(#execution, :purge)",
            ExpressionAttributeNames={"#status": "status", "#execution": "execution"},
            ExpressionAttributeValues={
                ":purge": "purge-user",
                ":archived": FileStatus.ARCHIVED,
                ":successor": successor or "nothing",
                ":dataset": dataset_of(version.key) or names.NO_DATASET,
            },
        )
        delete(self._deployment, version)

    def _is_outdated(self, version: Version) -> bool:
        dataset = dataset_of(version.key)
        current = self._deployment.ledger.current_snapshot(dataset) if dataset in SNAPSHOT_DATASETS else None
        return current is not None and (_uploaded_at(version), version.key, version.version_id) < current.age

    def _recognize(self, version: Version) -> None:
        """Notes what an interrupted purge has written in another version's place."""
        metadata = self._deployment.s3.head_object(
            Bucket=self._deployment.bucket, Key=version.key, VersionId=version.version_id
        )["Metadata"]
        if REPLACES in metadata:
            self._successors[version.key, metadata[REPLACES]] = version.version_id
            dataset = dataset_of(version.key)
            before = self._rewritten_from.get(dataset, metadata[REPLACES_UPLOAD_OF])
            self._rewritten_from[dataset] = min(before, metadata[REPLACES_UPLOAD_OF])


def _uploaded_at(version: Version) -> str:
    return version.last_modified.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _wait_for_next_second() -> None:
    """LastModified has whole seconds; the clocks of S3 and of this machine may differ, their seconds last as long."""
    second = datetime.now(UTC).replace(microsecond=0)
    while datetime.now(UTC).replace(microsecond=0) == second:
        time.sleep(0.05)
