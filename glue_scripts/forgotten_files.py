"""Files in raw/ that the ledger does not know although they have been there for a while: nobody works on them.

S3 sends no event until the bucket's notifications are in effect, which takes minutes after the first deployment, and an
event can be lost. A processed file leaves raw/, so that listing it is little work; bounds keep it so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from glue_scripts.ledger import Ledger
from glue_scripts.names import RAW_PREFIX
from validators.companion_files import companion

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""A batch notes its files in the ledger minutes after their upload: the batch window, and the start of a job."""
MAX_LISTED: Final = 10_000
MAX_LOOKED_UP: Final = 2_000
"""Versions that are listed, and those of them that are looked up in the ledger, where raw/ holds more."""


@dataclass(frozen=True)
class RawVersion:
    """An object version in raw/.

    Attributes:
        key: the object key.
        version_id: its version; `null` of one that was uploaded before the bucket kept versions.
        size: bytes.
        etag: as S3 lists it, without quotes.
    """

    key: str
    version_id: str
    size: int
    etag: str


@dataclass(frozen=True)
class Forgotten:
    """What was found.

    Attributes:
        files: the forgotten versions, by key.
        is_complete: False where a bound was reached: there may be more.
    """

    files: list[RawVersion]
    is_complete: bool


def forgotten_files(
    s3: S3Client, bucket: str, ledger: Ledger, *, uploaded_before: datetime, prefix: str = RAW_PREFIX
) -> Forgotten:
    """The versions in raw/ that the ledger does not know. Companion files and folder markers do not count.

    Args:
        s3: client.
        bucket: the data bucket.
        ledger: the ledger.
        uploaded_before: younger versions may be on their way; aware.
        prefix: of the keys.
    """
    listed = list(islice(_versions(s3, bucket, prefix), MAX_LISTED + 1))
    old = [version for version, written in listed[:MAX_LISTED] if written < uploaded_before]
    files = [version for version in old if companion(version.key, version.size, is_directory=False) is None]
    looked_up = files[:MAX_LOOKED_UP]
    known = ledger.known_files([(file.key, file.version_id) for file in looked_up])
    return Forgotten(
        files=[file for file in looked_up if (file.key, file.version_id) not in known],
        is_complete=len(listed) <= MAX_LISTED and len(files) <= MAX_LOOKED_UP,
    )


def _versions(s3: S3Client, bucket: str, prefix: str) -> Iterator[tuple[RawVersion, datetime]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Versions", []):
            version = RawVersion(found["Key"], found["VersionId"], found["Size"], found["ETag"].strip('"'))
            yield version, found["LastModified"]
