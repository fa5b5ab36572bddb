"""Blobs have a bound in bytes, whatever the rows are."""

from __future__ import annotations

import pyarrow as pa
import pytest

from glue_scripts.blobs import MAX_BLOB_BYTES, Blob, BlobTooLargeError, blobs_of, table_of


def rows_of(blobs: list[Blob]) -> list[object]:
    return [row for blob in blobs for row in table_of(blob).to_pylist()]


@pytest.mark.parametrize("dictionary", [False, True])
def test_a_table_is_cut_into_blobs_of_the_bound(dictionary: bool) -> None:
    texts = pa.array([f"{number:0200}" for number in range(1000)])
    table = pa.table({"text": texts.dictionary_encode() if dictionary else texts, "number": pa.array(range(1000))})
    blobs = list(blobs_of(table, 5, "plays", max_bytes=20_000))
    assert all(len(blob.payload) <= 20_000 and blob[:2] == (5, "plays") for blob in blobs)
    assert len(blobs) < 40, "a slice carries the dictionary of the whole table"
    assert rows_of(blobs) == table.to_pylist()


def test_blobs_of_sixteen_megabytes_at_most() -> None:
    table = pa.table({"text": [str(number) * 100 for number in range(60_000)]})
    sizes = [len(blob.payload) for blob in blobs_of(table, 0, "plays")]
    assert MAX_BLOB_BYTES == 16 * 2**20 >= max(sizes)
    assert sum(sizes) > MAX_BLOB_BYTES


def test_a_table_without_rows_is_one_blob() -> None:
    table = pa.table({"text": pa.array([], pa.string())})
    (blob,) = blobs_of(table, 0, "plays")
    assert table_of(blob).schema == table.schema


def test_one_row_beyond_the_bound_is_an_error_that_quotes_no_value() -> None:
    with pytest.raises(BlobTooLargeError, match=r"^One row of plays has \d+ bytes; a blob holds 1000\.$"):
        list(blobs_of(pa.table({"text": ["x" * 2000, "y" * 2000]}), 0, "plays", max_bytes=1000))
