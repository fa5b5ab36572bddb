"""Blobs: Arrow tables as bytes of a bounded size, which is what tasks hand to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from glue_scripts.coded import Coded

MAX_BLOB_BYTES = 16 * 2**20
"""Spark holds several blobs at once, in the JVM and in Python. A number of rows would not bound their bytes."""


class Blob(NamedTuple):
    """What one task hands to another.

    Attributes:
        key: blobs of one key come to the same task; see `spread`.
        name: what the payload is, for the task that receives it.
        payload: at most MAX_BLOB_BYTES.
    """

    key: int
    name: str
    payload: bytes


class BlobTooLargeError(ValueError):
    """A single row does not fit into a blob."""


def blobs_of(table: pa.Table, key: int, name: str, max_bytes: int = MAX_BLOB_BYTES) -> Iterator[Blob]:
    """Pack a table into one or more blobs.

    Args:
        table: any columns. A table without rows makes one blob, so that the receiver learns its columns.
        key: the key of every blob.
        name: the name of every blob.
        max_bytes: the largest payload.

    Raises:
        BlobTooLargeError: one row alone has more than max_bytes.
    """
    payload = _packed(table)
    if len(payload) <= max_bytes:
        yield Blob(key, name, payload)
        return
    if table.num_rows < 2:
        raise BlobTooLargeError(f"One row of {name} has {len(payload)} bytes; a blob holds {max_bytes}.")
    half = table.num_rows // 2
    yield from blobs_of(table.slice(0, half), key, name, max_bytes)
    yield from blobs_of(table.slice(half), key, name, max_bytes)


def table_of(blob: Blob) -> pa.Table:
    """Unpack the table of a blob."""
    with pa.ipc.open_stream(blob.payload) as reader:
        return reader.read_all()


def _packed(table: pa.Table) -> bytes:
    """Pack a table without the dictionary values that no row has: a slice carries those of the whole table."""
    columns = {
        name: Coded.of(column).compact().array() if pa.types.is_dictionary(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    packed = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, packed.schema) as writer:
        writer.write_table(packed)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload
