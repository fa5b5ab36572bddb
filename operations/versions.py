"""Object versions of the data bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from glue_scripts.objects import AS_DOWNLOAD
from operations.deployment import Deployment


@dataclass(frozen=True)
class Version:
    """An object version, or a delete marker.

    Attributes:
        key: the object key.
        version_id: its version.
        is_latest: whether it is what a reader without a version id gets.
        is_marker: whether it is a delete marker.
        last_modified: when it was written.
        size: bytes; 0 of a marker.
    """

    key: str
    version_id: str
    is_latest: bool
    is_marker: bool
    last_modified: datetime
    size: int

    @property
    def name(self) -> tuple[str, str]:
        """Key and version id."""
        return self.key, self.version_id


def versions(deployment: Deployment, prefix: str) -> Iterator[Version]:
    """All versions and delete markers of the keys that begin with a prefix."""
    pages = deployment.s3.get_paginator("list_object_versions").paginate(Bucket=deployment.bucket, Prefix=prefix)
    for page in pages:
        for found in page.get("Versions", []):
            yield Version(
                key=found["Key"],
                version_id=found["VersionId"],
                is_latest=found["IsLatest"],
                is_marker=False,
                last_modified=found["LastModified"],
                size=found["Size"],
            )
        for marker in page.get("DeleteMarkers", []):
            yield Version(
                key=marker["Key"],
                version_id=marker["VersionId"],
                is_latest=marker["IsLatest"],
                is_marker=True,
                last_modified=marker["LastModified"],
                size=0,
            )


def write(deployment: Deployment, key: str, body: IO[bytes], *, metadata: Mapping[str, str] | None = None) -> str:
    """Writes an object, from the beginning of its bytes, and returns its version.

    As the state machine writes a producer's bytes: nothing opens them as a page, whatever they were sent as.
    """
    body.seek(0)
    return deployment.s3.put_object(
        Bucket=deployment.bucket,
        Key=key,
        Body=body,
        ContentType=AS_DOWNLOAD["ContentType"],
        ContentDisposition=AS_DOWNLOAD["ContentDisposition"],
        Metadata=metadata or {},
    )["VersionId"]


def delete(deployment: Deployment, version: Version) -> None:
    """Deletes one version or marker for good; one that is gone already is no error."""
    deployment.s3.delete_object(Bucket=deployment.bucket, Key=version.key, VersionId=version.version_id)


def delete_all_versions(deployment: Deployment, key: str) -> None:
    """Deletes all versions and delete markers of a key."""
    for version in [version for version in versions(deployment, key) if version.key == key]:
        delete(deployment, version)
