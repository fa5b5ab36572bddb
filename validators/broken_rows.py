"""Broken rows, as they are kept: bounded in bytes however long a row is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from validators.csv_pieces import Extent, Piece
from validators.file_checks import field_count, is_strictly_quoted
from validators.reports import MAX_VALUE_CHARACTERS
from validators.rules import Severity, rules_of

MAX_ROW_BYTES: Final = 32 * 1024
"""A row whose fields take more is kept without them: by its number, its rules and the starts of its values."""
FIELD_BYTES: Final = 16
"""What a field takes beside its text: a row may have a million empty fields."""

MAX_SAMPLES: Final = 20
"""Rows that a report shows per rule."""

_FIELDS: Final = pa.list_(pa.string())
_Numbers = npt.NDArray[np.int64]


def broken_rows(piece: Piece, found: pa.Table, dataset: str) -> pa.Table:
    """What is kept of the broken rows of a piece.

    Args:
        piece: the piece.
        found: `row`, `lines` and `rules` of its broken rows, in its order.
        dataset: its dataset.

    Returns:
        A row for each:

        - `row`: its number in the piece, from 0, blank lines aside.
        - `sheet_row`: the same as a spreadsheet counts rows: blank lines count.
        - `line`: its first line in the piece, from 0.
        - `lines`: how many rows it counts as.
        - `rules`: the ids of the rules that it breaks.
        - `fields`: its fields as text in the file's order; the whole text as one field of a row that has not as many
          fields as the header; none of a row that takes more than MAX_ROW_BYTES.
        - `bytes`: what the fields take: their UTF-8 bytes, and FIELD_BYTES each.
        - `field_count`: how many fields a row has that has not as many as the header; null in all but the first
          MAX_SAMPLES of these rows.
        - `has_open_quote`: whether a quote opens a field of such a row and is not closed where the field ends; null in
          the same rows.
        - for each column with rules, `<column>_start`, the first MAX_VALUE_CHARACTERS of its text, and
          `<column>_characters`, how many characters its text has. Null in a row with too few or too many fields.
    """
    rows = found["row"].to_numpy()
    places = piece.places
    at, is_well_formed = _rows_of_texts(piece, rows)
    values = {column: piece.column(column).take(at) for column in _columns_with_rules(dataset)}
    malformed = [piece.text_of(row) for row in rows[~is_well_formed]]
    fields, sizes = _fields(piece, malformed, at, is_well_formed)
    shown = malformed[:MAX_SAMPLES]
    at_shown = np.full(len(rows), -1)
    at_shown[np.flatnonzero(~is_well_formed)[:MAX_SAMPLES]] = np.arange(len(shown))
    of_shown = pa.array(at_shown, mask=at_shown < 0)
    return pa.table(
        {
            "row": found["row"],
            "sheet_row": pa.array(places.sheet_rows[rows]),
            "line": pa.array(places.lines[rows]),
            "lines": found["lines"],
            "rules": found["rules"],
            "fields": fields,
            "bytes": pa.array(sizes),
            "field_count": pa.array(map(field_count, shown), pa.int32()).take(of_shown),
            "has_open_quote": pa.array([not is_strictly_quoted([row]) for row in shown], pa.bool_()).take(of_shown),
            **{f"{c}_start": pc.utf8_slice_codeunits(text, 0, MAX_VALUE_CHARACTERS) for c, text in values.items()},
            **{f"{c}_characters": pc.utf8_length(text) for c, text in values.items()},
        }
    )


def in_file(broken: pa.Table, before: Extent) -> pa.Table:
    """Broken rows of a piece, numbered as in the file, from 1.

    Args:
        broken: what `broken_rows` gives.
        before: what lies before the piece.
    """
    starts = {"row": before.rows, "sheet_row": before.sheet_rows, "line": before.lines}
    for name, start in starts.items():
        broken = broken.set_column(broken.column_names.index(name), name, pc.add(broken[name], start + 1))
    return broken


def _columns_with_rules(dataset: str) -> list[str]:
    return sorted({rule.column for rule in rules_of(dataset, Severity.QUARANTINE_ROW) if rule.column})


def _rows_of_texts(piece: Piece, rows: npt.NDArray[np.int64]) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Where rows are in `piece.texts`, null where they are not there; whether they are."""
    at = np.searchsorted(piece.numbers, rows)
    if not len(piece.numbers):
        return pa.nulls(len(rows), pa.int64()), np.zeros(len(rows), bool)
    is_there = piece.numbers[np.minimum(at, len(piece.numbers) - 1)] == rows
    return pa.array(at, mask=~is_there), is_there


def _fields(
    piece: Piece, malformed: Sequence[str], at: pa.Array, is_well_formed: npt.NDArray[np.bool_]
) -> tuple[pa.Array, _Numbers]:
    """The fields that are kept of each row, and what they take."""
    lists, sizes = _lists(piece.texts.take(at.drop_null()))
    of_malformed = [len(text.encode()) + FIELD_BYTES for text in malformed]
    kept = [[text] if size <= MAX_ROW_BYTES else [] for text, size in zip(malformed, of_malformed, strict=True)]
    # Where each row is in the lists: first come all the well-formed ones.
    places = np.empty(len(is_well_formed), np.int64)
    places[np.concatenate([np.flatnonzero(is_well_formed), np.flatnonzero(~is_well_formed)])] = np.arange(len(places))
    whole = np.concatenate([sizes, np.array(of_malformed, np.int64)])[places]
    fields = pa.concat_arrays([lists, pa.array(kept, _FIELDS)]).take(pa.array(places))
    return fields, np.where(whole <= MAX_ROW_BYTES, whole, 0)


def _lists(texts: pa.Table) -> tuple[pa.Array, _Numbers]:
    """The fields of each row as a list, empty where they take more than MAX_ROW_BYTES; and what they take."""
    columns = [column.combine_chunks() for column in texts.columns]
    sizes = np.full(len(texts), FIELD_BYTES * len(columns))
    for column in columns:
        sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy()
    short = np.flatnonzero(sizes <= MAX_ROW_BYTES)
    # From column by column to row by row.
    by_row = (short[:, None] + len(texts) * np.arange(len(columns))).ravel()
    values = pa.concat_arrays(columns).take(pa.array(by_row))
    counts = np.where(sizes <= MAX_ROW_BYTES, len(columns), 0)
    offsets = np.fromiter(itertools.accumulate(counts, initial=0), np.int32, len(counts) + 1)
    return pa.ListArray.from_arrays(pa.array(offsets), values), sizes
