"""Removes a person's rows from Parquet files of the lake and of the snapshots."""

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
    """Writes a Parquet file without the person's rows, and otherwise as it was."""
    file = _open(source)
    schema = file.schema_arrow
    removed = left = 0
    with pq.ParquetWriter(target, schema, compression="snappy") as writer:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            kept = table.filter(pc.invert(pc.fill_null(pc.equal(table[USER_COLUMN], user_id), False)))
            writer.write_table(kept)
            removed += table.num_rows - kept.num_rows
            left += kept.num_rows
    return Cleaned(removed=removed, left=left)


def _open(source: IO[bytes]) -> pq.ParquetFile:
    return pq.ParquetFile(source)
