"""Reads and writes objects of a bucket, whole or a range of bytes: in the driver and in tasks, on AWS and elsewhere.

An object is written by one PUT under its final key: nothing is renamed, and nothing is seen half-written. Credentials,
region and endpoint come from the environment.

By boto3, which both jobs use already. pyarrow's S3 filesystem reads twice as fast where the server costs nothing, but
makes every object a multipart upload of three requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

RANGE_BYTES = 8 * 2**20
"""Larger reads are divided into ranges, PARALLEL_RANGES at a time: S3 gives one connection about 90 MB/s."""
PARALLEL_RANGES = 8
MAX_TRIES = 4
"""Tries of one range whose connection breaks while its body is read: botocore repeats only what fails before that."""

# A signed body is hashed once, by SHA-256, and S3 compares. A checksum on top would hash it a second time.
_CONFIG = Config(
    max_pool_connections=2 * PARALLEL_RANGES,
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    retries={"mode": "standard", "max_attempts": 8},
)


class ObjectChangedError(RuntimeError):
    """An object was overwritten while its ranges were read."""


@dataclass(frozen=True)
class ObjectStore:
    """The objects of a bucket. Can be sent to a task, which then makes its own connections.

    Attributes:
        bucket: the bucket's name.
    """

    bucket: str

    def read(self, key: str) -> bytearray:
        """Read a whole object.

        Raises:
            ClientError: `NoSuchKey`, or another answer of S3.
            ObjectChangedError: the object was overwritten meanwhile.
        """
        try:
            first = _get(self.bucket, key, 0, RANGE_BYTES)
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":  # an object without bytes has no range
                return bytearray()
            raise
        body = bytearray(first.size)
        body[: len(first.body)] = first.body
        self._fill(memoryview(body), key, len(first.body), 0, first.etag)
        return body

    def read_range(self, key: str, start: int, end: int) -> bytearray:
        """Read the bytes from `start`, counted from 0, up to and without `end`; fewer where the object ends before.

        Raises:
            ClientError: `NoSuchKey`; `InvalidRange` where the object ends at `start` or before.
            ObjectChangedError: the object was overwritten meanwhile.
        """
        first = _get(self.bucket, key, start, min(end, start + RANGE_BYTES))
        body = bytearray(min(end, first.size) - start)
        body[: len(first.body)] = first.body
        self._fill(memoryview(body), key, len(first.body), start, first.etag)
        return body

    def write(self, key: str, body: bytes | bytearray | memoryview) -> None:
        """Write a whole object, by one PUT: at most 5 GB."""
        _client().put_object(Bucket=self.bucket, Key=key, Body=bytes(body))

    def _fill(self, body: memoryview, key: str, filled: int, offset: int, etag: str) -> None:
        """Read what is missing from `filled` on; body[0] is the object's byte `offset`."""
        starts = range(filled, len(body), RANGE_BYTES)

        def fill(start: int) -> None:
            end = min(start + RANGE_BYTES, len(body))
            body[start:end] = _get(self.bucket, key, offset + start, offset + end, etag).body

        if starts:
            with ThreadPoolExecutor(min(PARALLEL_RANGES, len(starts))) as pool:
                list(pool.map(fill, starts))


@dataclass(frozen=True)
class _Range:
    """An answer: the bytes, and the size and ETag of the whole object."""

    body: bytes
    size: int
    etag: str


def _get(bucket: str, key: str, start: int, end: int, etag: str | None = None) -> _Range:
    condition: Mapping[str, Any] = {} if etag is None else {"IfMatch": etag}
    for attempt in range(1, MAX_TRIES + 1):
        try:
            answer = _client().get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":
                raise ObjectChangedError(f"s3://{bucket}/{key} was overwritten while it was read.") from error
            error.add_note(f"s3://{bucket}/{key}")  # S3 does not tell which object is missing
            raise
        size = int(re.fullmatch(r"bytes \d+-\d+/(\d+)", answer["ContentRange"])[1])  # type: ignore[index]
        try:
            return _Range(answer["Body"].read(), size, answer["ETag"])
        except HTTPClientError:
            if attempt == MAX_TRIES:
                raise
    raise AssertionError("the last try returns or raises")


@lru_cache(maxsize=1)
def _client() -> S3Client:
    """Make one client for each process: it is safe for threads, and takes a third of a second to make."""
    return boto3.client("s3", config=_CONFIG)
