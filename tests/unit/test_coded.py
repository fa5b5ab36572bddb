"""Coded text, and rows sorted and made distinct by one key of 63 bits or by several keys."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from glue_scripts import coded
from glue_scripts.coded import Coded, distinct_rows

TEXTS = ["b", "a", "é", "Z", "a", "\U0001f3b5", "\uff5e", "", "b"]


def texts_of(column: Coded) -> list[str]:
    texts: list[str] = column.array().to_pylist()
    return texts


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([TEXTS]),
        pa.chunked_array([TEXTS[:3], [], TEXTS[3:]]),
        pa.chunked_array([pa.array(TEXTS[:4]).dictionary_encode(), pa.array(TEXTS[4:]).dictionary_encode()]),
    ],
    ids=["strings", "chunks", "dictionaries that differ"],
)
def test_every_kind_of_column_keeps_its_texts(column: pa.ChunkedArray) -> None:
    found = Coded.of(column)
    assert texts_of(found) == TEXTS
    assert sorted(found.values.to_pylist()) == sorted(set(TEXTS))


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_a_column_without_rows_has_no_values(kind: pa.DataType) -> None:
    for column in (pa.chunked_array([], kind), pa.chunked_array([pa.array([], kind)])):
        found = Coded.of(column)
        assert len(found.codes) == len(found.values) == 0


def test_ranked_codes_are_ordered_as_the_utf8_bytes_are() -> None:
    ranked = Coded.of(pa.chunked_array([TEXTS])).ranked()
    assert texts_of(ranked) == TEXTS
    assert ranked.values.to_pylist() == sorted(set(TEXTS), key=str.encode)


def test_compact_drops_what_no_row_has() -> None:
    some = Coded.of(pa.chunked_array([TEXTS])).take(np.array([8, 2, 0])).compact()
    assert texts_of(some) == ["b", "é", "b"]
    assert some.values.to_pylist() == ["b", "é"]


def random_rows(seed: int, rows: int, bits: list[int]) -> list[npt.NDArray[np.int64]]:
    """Columns whose greatest value has exactly so many bits; a third of the rows is repeated."""
    rng = random.Random(seed)
    table = [[rng.choice([0, 1, rng.randrange(1 << width), (1 << width) - 1]) for width in bits] for _ in range(rows)]
    table += rng.choices(table, k=rows // 2)
    table.append([(1 << width) - 1 for width in bits])
    rng.shuffle(table)
    return [np.array(column, np.int64) for column in zip(*table, strict=True)]


# A day, a user, a second, a track and a file. 26 years are 14 bits of days and 17 of seconds, a million tracks are 20.
FITS = [14, 10, 17, 20, 2]
DOES_NOT_FIT = [14, 10, 17, 20, 3]


@pytest.mark.parametrize("bits", [FITS, DOES_NOT_FIT, [63], [1], [62, 1], [63, 1], [40, 40, 40]], ids=str)
def test_rows_are_sorted_and_distinct_whether_or_not_they_fit_into_one_key(bits: list[int]) -> None:
    columns = random_rows(len(bits), 2000, bits)
    expected = sorted(set(zip(*(column.tolist() for column in columns), strict=True)))
    found = distinct_rows(columns)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
    assert {column.dtype for column in found} == {np.dtype(np.int64)}


@pytest.mark.parametrize(("bits", "unused"), [(FITS, "_by_several_keys"), (DOES_NOT_FIT, "_by_one_key")], ids=str)
def test_the_border_is_at_63_bits(monkeypatch: pytest.MonkeyPatch, bits: list[int], unused: str) -> None:
    monkeypatch.delattr(coded, unused)
    assert len(distinct_rows(random_rows(1, 100, bits))[0]) > 50


def test_no_rows_are_sorted_as_well() -> None:
    nothing = np.zeros(0, np.int64)
    assert [len(column) for column in distinct_rows([nothing, nothing])] == [0, 0]
