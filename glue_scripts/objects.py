"""Objects of the data bucket: where a batch's documents and files are, read and written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MAX_KEY_BYTES = 1024
"""Amazon S3 user guide, "Naming Amazon S3 objects"."""
MAX_VERSION_CHARACTERS = 200
"""Of a version id that stands whole in a key: a longer one stands there by its hash."""
REPORT_SUFFIX = ".report.json"
AS_DOWNLOAD: Final = {"ContentType": "application/octet-stream", "ContentDisposition": "attachment"}
"""Properties of every copy of an upload: a browser that opens its address saves it, whatever its sender called it."""


class DocumentError(ValueError):
    """A document of the batch is not what this version writes."""


class Objects(Protocol):
    """The objects of a bucket: `ObjectStore`, or a folder in tests. Can be sent to a Spark task."""

    def read(self, key: str) -> bytearray:
        """Read a whole object."""
        ...

    def read_range(self, key: str, start: int, end: int) -> bytearray:
        """Read the bytes from `start` up to and without `end`; fewer where the object ends before."""
        ...

    def write(self, key: str, body: bytes | bytearray | memoryview) -> None:
        """Write a whole object under its final key."""
        ...

    def __hash__(self) -> int:
        """Equal ones hold the same objects: what is read once is not read again."""
        ...


@dataclass(frozen=True)
class Location:
    """A bucket and a key."""

    bucket: str
    key: str

    @classmethod
    def of_uri(cls, uri: str) -> Location:
        """Parses `s3://bucket/key`.

        Raises:
            DocumentError: the URI has another form.
        """
        bucket, separator, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket or not separator or not key:
            raise DocumentError(f"Not an S3 URI with bucket and key: {uri!r}")
        return cls(bucket, key)

    def sibling(self, name: str) -> Location:
        """An object in the same folder."""
        return Location(self.bucket, self.key.rpartition("/")[0] + "/" + name)

    @property
    def uri(self) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"


def read_json(s3: S3Client, location: Location, document_format: str) -> dict[str, Any]:
    """Reads a document.

    Raises:
        DocumentError: it is not JSON, or its `format` is another.
    """
    body = s3.get_object(Bucket=location.bucket, Key=location.key)["Body"].read()
    return parse_json(body, location, document_format)


def parse_json(body: bytes | bytearray, location: Location, document_format: str) -> dict[str, Any]:
    """Parses a document that was read from a location.

    Raises:
        DocumentError: it is not JSON, or its `format` is another.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise DocumentError(f"{location.uri} is not JSON.") from error
    if not isinstance(document, dict) or document.get("format") != document_format:
        raise DocumentError(f"{location.uri} is not of the format {document_format!r}.")
    return document


def write_json(s3: S3Client, location: Location, document: Mapping[str, Any]) -> None:
    """Writes a document, keys in the given order."""
    s3.put_object(Bucket=location.bucket, Key=location.key, Body=json_line(document), ContentType="application/json")


def json_line(document: Mapping[str, Any]) -> bytes:
    """A document as it is stored: one line, because Athena reads a JSON document a line."""
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def file_name(key: str, version_id: str) -> str:
    """The name under which the state machine stages a file: safe in an address for any key."""
    return _sha256(f"{key}#{version_id}")


def target_key(prefix: str, key: str, version_id: str) -> str:
    """Where a file goes when it is judged: `<prefix><key>/<version-id>`; a key or id too long for that by its hash.

    The state machine composes the same, given `has_long_target`.
    """
    if has_long_target(prefix, key, version_id):
        return f"{prefix}long-keys/{_sha256(key)}/{_short(version_id)}"
    return f"{prefix}{key}/{_short(version_id)}"


def has_long_target(prefix: str, key: str, version_id: str) -> bool:
    """Whether the file's own key is too long for the place where the file and its report go."""
    return len(f"{prefix}{key}/{_short(version_id)}{REPORT_SUFFIX}".encode()) > MAX_KEY_BYTES


def _short(version_id: str) -> str:
    """A version id as it stands in a key. S3 makes them of 32 characters, and says that they can have 1,024."""
    return version_id if len(version_id) <= MAX_VERSION_CHARACTERS else _sha256(version_id)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
