"""Removes a person's rows from Parquet files of the lake, as Spark reads them."""

from __future__ import annotations

from typing import IO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operations.csv_rows import Cleaned

USER_COLUMN: Final = "user_id"
_BATCH_ROWS: Final = 256 * 1024


def count_rows(source: IO[bytes], user_id: str) -> int:
    """How many rows of a Parquet file are the person's; reads the ids only."""
    file = _open(source)
    if USER_COLUMN not in file.schema_arrow.names:
        return 0
    batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=[USER_COLUMN])
    return sum(pc.sum(pc.equal(batch.column(USER_COLUMN), user_id)).as_py() or 0 for batch in batches)


def remove_rows(source: IO[bytes], target: IO[bytes], user_id: str) -> Cleaned:
    """Writes a Parquet file without the person's rows; timestamps become microseconds in UTC.

    INT96, in which Spark may write timestamps, says nothing of a zone and is UTC's; with the zone in the type, Spark
    reads the same moments back.
    """
    file = _open(source)
    schema = pa.schema([field.with_type(_zoned(field.type)) for field in file.schema_arrow])
    removed = left = 0
    with pq.ParquetWriter(target, schema, compression="snappy") as writer:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            kept = table.filter(pc.invert(pc.fill_null(pc.equal(table[USER_COLUMN], user_id), False)))
            writer.write_table(kept.cast(schema))
            removed += table.num_rows - kept.num_rows
            left += kept.num_rows
    return Cleaned(removed=removed, left=left)


def _open(source: IO[bytes]) -> pq.ParquetFile:
    return pq.ParquetFile(source, coerce_int96_timestamp_unit="us")


def _zoned(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) else kind
