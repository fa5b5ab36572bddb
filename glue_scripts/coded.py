"""Text columns as integer codes: ids repeat, and integers are compared, sorted and moved faster than text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

KEY_BITS = 63
"""Bits of a non-negative int64."""


@dataclass(frozen=True)
class Coded:
    """A text column without nulls.

    Attributes:
        codes: int32, one for each row: the place of the row's text in `values`.
        values: strings, each of them once.
    """

    codes: Codes
    values: pa.Array

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Coded:
        """Encode a column of strings, or take over one of dictionaries; chunks may have different dictionaries."""
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        whole = encoded.unify_dictionaries().combine_chunks()
        if isinstance(whole, pa.ChunkedArray):  # combine_chunks gives no array for a column without chunks
            whole = pa.array([], pa.dictionary(pa.int32(), pa.string()))
        return cls(whole.indices.to_numpy().astype(np.int32, copy=False), whole.dictionary)

    def take(self, rows: Integers) -> Coded:
        """Return the column of some rows, with all values."""
        return Coded(self.codes[rows], self.values)

    def compact(self) -> Coded:
        """Drop the values that no row has; the order of the others stays."""
        is_used = np.zeros(len(self.values), bool)
        is_used[self.codes] = True
        new_code = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
        return Coded(new_code[self.codes], self.values.filter(pa.array(is_used)))

    def ranked(self) -> Coded:
        """Renumber the codes so that their order is that of the values' UTF-8 bytes."""
        order = pc.sort_indices(self.values).to_numpy()
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return Coded(rank[self.codes], self.values.take(pa.array(order)))

    def array(self) -> pa.DictionaryArray:
        """Return the column as Arrow's dictionary array."""
        return pa.DictionaryArray.from_arrays(pa.array(self.codes), self.values)

    def values_table(self, code: str, value: str) -> pa.Table:
        """Return a table of all codes and their values: `code` int32, `value` string."""
        return pa.table({code: pa.array(np.arange(len(self.values), dtype=np.int32)), value: self.values})


def distinct_rows(columns: Sequence[Integers]) -> tuple[Integers, ...]:
    """Sort rows by all columns, the first one first, and drop repeated rows.

    Where the columns' greatest values fit into 63 bits together, each row is one integer and is sorted as such (a
    million rows of plays: 0.06 s; DuckDB's DISTINCT and ORDER BY: 0.4 s). Otherwise rows are sorted by several keys.

    Args:
        columns: of the same length, int64, no value negative.
    """
    if not len(columns[0]):
        return tuple(columns)
    widths = [int(column.max()).bit_length() for column in columns]
    return _by_one_key(columns, widths) if sum(widths) <= KEY_BITS else _by_several_keys(columns)


def _by_one_key(columns: Sequence[Integers], widths: Sequence[int]) -> tuple[Integers, ...]:
    key = np.zeros(len(columns[0]), np.int64)
    for column, width in zip(columns, widths, strict=True):
        key = (key << width) | column
    key.sort()
    key = key[_is_new([key])]
    found = []
    for width in reversed(widths):
        found.append(key & ((1 << width) - 1))
        key = key >> width
    return tuple(reversed(found))


def _by_several_keys(columns: Sequence[Integers]) -> tuple[Integers, ...]:
    order = np.lexsort(list(reversed(columns)))
    in_order = [column[order] for column in columns]
    is_new = _is_new(in_order)
    return tuple(column[is_new] for column in in_order)


def _is_new(columns: Sequence[Integers]) -> npt.NDArray[np.bool_]:
    """Tell for each sorted row whether it differs from the one before."""
    is_new = np.ones(len(columns[0]), bool)
    is_new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return is_new
