"""Cursors: where the next page of one and the same request begins. Opaque to clients, and nothing is kept for them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence

from lambdas.kpi_api.problems import InvalidCursorError

_DIGEST_BYTES = 9
_MAX_LENGTH = 1000
"""A genre of 200 bytes takes 600; a key of DynamoDB has at most 1,024 bytes."""


def cursor(request: Sequence[str], position: Sequence[str]) -> str:
    """Makes a cursor.

    Args:
        request: what the pages belong to: the path's and query's parameters that choose the rows.
        position: what the last page ended with.
    """
    content = json.dumps(position).encode()
    return base64.urlsafe_b64encode(_digest(request, content) + content).decode().rstrip("=")


def position(request: Sequence[str], text: str, length: int) -> list[str]:
    """Reads a cursor.

    Args:
        request: as given to `cursor`.
        text: the cursor.
        length: of the position.

    Raises:
        InvalidCursorError: it is not one, or one of another request.
    """
    try:
        if len(text) > _MAX_LENGTH:
            raise ValueError
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = content[_DIGEST_BYTES:]
        if content[:_DIGEST_BYTES] != _digest(request, found):
            raise ValueError
        parts = json.loads(found)
    except ValueError:  # of ours, of base64 and of JSON
        raise InvalidCursorError from None
    if not isinstance(parts, list) or len(parts) != length or not all(isinstance(part, str) for part in parts):
        raise InvalidCursorError
    return parts


def _digest(request: Sequence[str], content: bytes) -> bytes:
    """Tells requests and damaged cursors apart. No signature: a forged cursor shows nothing that the key does not."""
    return hashlib.sha256(json.dumps(request).encode() + content).digest()[:_DIGEST_BYTES]
