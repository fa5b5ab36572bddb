"""Which bucket a user belongs to. Every KPI is a sum over users, so buckets are counted independently of each other.

The hash is part of what is stored: the document of a run and of a users snapshot names it with the number of buckets,
and a reader refuses a hash that it does not know. Python's and DuckDB's own `hash` change between versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from glue_scripts.coded import Codes, Integers
from glue_scripts.objects import DocumentError

BUCKET_HASH = "sha256-2"
"""The first two bytes of the SHA-256 of the id's UTF-8 bytes, as a big-endian integer; the bucket is its remainder.

The number of buckets is a power of two. So bucket b of 4 holds exactly the buckets b, b + 4, b + 8 and b + 12 of 16.
"""

MAX_BUCKETS = 4096

BUCKET_SQL = "(('0x' || left(sha256(user_id), 4))::INTEGER % $buckets)::INTEGER"
"""The bucket of a user_id, for `$buckets` buckets."""
_BUCKETS = f"SELECT code, {BUCKET_SQL} AS bucket FROM ids ORDER BY code"


class BucketCountError(ValueError):
    """A number of buckets is not a power of two from 1 to MAX_BUCKETS."""


def buckets_for(rows: int, rows_per_bucket: int) -> int:
    """Return the least number of buckets that have rows_per_bucket rows on average, or MAX_BUCKETS."""
    buckets = 1
    while buckets * rows_per_bucket < rows and buckets < MAX_BUCKETS:
        buckets *= 2
    return buckets


def check_buckets(buckets: int) -> int:
    """Return the number of buckets.

    Raises:
        BucketCountError: it is not a power of two from 1 to MAX_BUCKETS.
    """
    if not 1 <= buckets <= MAX_BUCKETS or buckets & (buckets - 1):
        raise BucketCountError(f"{buckets} buckets: the number must be a power of two from 1 to {MAX_BUCKETS}.")
    return buckets


def buckets_of_document(document: Mapping[str, Any], format_: str, *, what: str, remedy: str) -> int:
    """Read the number of buckets from the document of a run or of a users snapshot.

    Args:
        document: the document.
        format_: the format that this version reads.
        what: what the document describes: the subject of the error's sentence.
        remedy: what to do about a document of another version, as a sentence.

    Raises:
        DocumentError: the format or the hash is another: another version wrote it.
        BucketCountError: the number of buckets is not a power of two from 1 to MAX_BUCKETS.
    """
    if document["format"] != format_ or document["hash"] != BUCKET_HASH:
        raise DocumentError(
            f"{what} of the format {document['format']!r} with the hash {document['hash']!r}: this version reads "
            f"{format_!r} with {BUCKET_HASH!r}. {remedy}"
        )
    return check_buckets(document["buckets"])


def buckets_of(db: duckdb.DuckDBPyConnection, user_ids: pa.Array, buckets: int) -> Codes:
    """Compute the bucket of each user id.

    Args:
        db: a connection; the hash is DuckDB's `sha256` (0.4 seconds for a million ids).
        user_ids: strings without nulls, each once: the values of a column and not its rows.
        buckets: how many there are.

    Returns:
        int32, from 0 to buckets - 1, in the order of user_ids.
    """
    ids = pa.table({"code": pa.array(np.arange(len(user_ids), dtype=np.int32)), "user_id": user_ids})
    db.register("ids", ids)
    found = db.execute(_BUCKETS, {"buckets": check_buckets(buckets)}).fetchnumpy()["bucket"]
    db.unregister("ids")
    return np.asarray(found, np.int32)


def rows_by_bucket(bucket_of_row: Codes, buckets: int) -> Iterator[tuple[int, Integers]]:
    """Yield each bucket with its row numbers, both ascending. A bucket without rows has no row numbers."""
    order = np.argsort(bucket_of_row.astype(np.int16), kind="stable")
    borders = np.searchsorted(bucket_of_row[order], np.arange(buckets + 1))
    for bucket, (start, end) in enumerate(pairwise(borders)):
        yield bucket, order[start:end]
