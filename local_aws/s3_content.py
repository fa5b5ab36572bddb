"""The bytes of objects, which moto copies and hashes more often than it must.

- A range is read from the version's own file; moto reads the whole object for each range.
- A large body goes straight into that file, a mebibyte at a time; moto keeps it in memory first.
- A body whose SHA-256 is in its signature is not hashed again for its ETag, which is the start of that SHA-256. S3 says
  that an ETag need not be an MD5: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO, Any, Final

from flask import has_request_context, request
from moto.s3.models import FakeKey
from moto.s3.responses import S3Response

from local_aws.iam.signatures import CONTENT_HASH
from local_aws.patching import MotoObject, replace

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ETAG_DIGITS: Final = 32
_PIECE_BYTES: Final = 2**20
_moto: Final[dict[str, Callable[..., Any]]] = {}
"""moto's own methods, by their names."""


class RangedKey(FakeKey):
    """A version in a request for a range: its value is a `StoredBytes`.

    Args:
        version: The version.
    """

    def __init__(self, version: FakeKey) -> None:
        # A key closes its buffer, and those of its parts, when it is garbage: the version still needs them.
        self.__dict__.update(version.__dict__, _value_buffer=None, multipart=None, disposed=True)
        self._stored = StoredBytes(version)

    @property
    def value(self) -> StoredBytes:  # type: ignore[override]
        """The bytes, none of which is read yet."""
        return self._stored


class StoredBytes:
    """The bytes of a version, read where they are sliced.

    Args:
        version: The version.
    """

    def __init__(self, version: FakeKey) -> None:
        self._version = version

    def __len__(self) -> int:
        return self._version.size

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(len(self))
        with self._version.lock:
            self._version._value_buffer.seek(start)
            return self._version._value_buffer.read(max(end - start, 0))


def install() -> None:
    """Make moto's S3 copy and hash less; a second call changes nothing."""
    if _moto:
        return
    _moto["_get_key"] = replace(S3Response, "_get_key", _get_key)
    _moto["_handle_range_header"] = replace(S3Response, "_handle_range_header", _handle_range_header)
    value: MotoObject = FakeKey.value
    _moto["set_value"] = value.fset
    replace(FakeKey, "value", value.setter(_set_value))


def write(file: IO[bytes], content: bytes) -> None:
    """Write bytes in pieces: Linux takes 20 ms for 64 MiB in pieces of a mebibyte, and up to 200 ms in one piece."""
    whole = memoryview(content)
    for start in range(0, len(whole), _PIECE_BYTES):
        file.write(whole[start : start + _PIECE_BYTES])


def signed_etag() -> str | None:
    """Return the ETag of the body that the current request puts, without quotes; None where it declares no SHA-256."""
    if not has_request_context() or request.method != "PUT" or "x-amz-copy-source" in request.headers:
        return None
    declared = request.headers.get(CONTENT_HASH, "")
    return declared[:_ETAG_DIGITS] if _SHA256.fullmatch(declared) else None


def _get_key(self: MotoObject, *args: MotoObject, **kwargs: MotoObject) -> tuple[FakeKey, bool]:
    key, not_modified = _moto["_get_key"](self, *args, **kwargs)
    return RangedKey(key) if self.headers.get("range") else key, not_modified


def _handle_range_header(
    self: MotoObject, ranged: MotoObject, headers: dict[str, Any], content: bytes | StoredBytes
) -> MotoObject:
    status, headers, content = _moto["_handle_range_header"](self, ranged, headers, content)
    return status, headers, content[:] if isinstance(content, StoredBytes) else content


def _set_value(self: FakeKey, value: bytes) -> None:
    if len(value) <= self._max_buffer_size:
        _moto["set_value"](self, value)
        return
    _moto["set_value"](self, b"")
    self._value_buffer.rollover()
    write(self._value_buffer, value)
    self.contentsize = len(value)
