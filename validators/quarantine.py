"""The rows that break a rule: which ones are kept, and what a report shows of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from validators.broken_rows import MAX_SAMPLES, in_file
from validators.csv_pieces import Extent
from validators.reports import Sample, masked
from validators.rules import RULES_BY_ID

MAX_QUARANTINED_ROWS: Final = 100_000
"""Rows kept per file in quarantine; the file itself is whole in error/ or archive/."""
MAX_QUARANTINED_BYTES: Final = 64 * 1024**2
"""What the fields of the rows kept per file in quarantine take, as `broken_rows` measures it."""
QUARANTINED_COLUMNS: Final = ("row", "lines", "rules", "fields")
"""Of a row: its number (the header is row 1, blank lines aside), how many lines it takes, the rules that it breaks, and
its fields as text: none where the row is longer than `broken_rows.MAX_ROW_BYTES`."""


@dataclass
class _Kept:
    """The broken rows of a piece."""

    parts: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def add(self, part: pa.Table) -> None:
        self.parts.append(part)
        self.rows += len(part)
        self.bytes += pc.sum(part["bytes"]).as_py()

    def in_order(self) -> list[pa.Table]:
        return sorted(self.parts, key=lambda part: part["row"][0].as_py())


class QuarantinedRows:
    """The first broken rows of a file, whose pieces come in any order.

    Never holds more than a file's quarantine and one piece.
    """

    def __init__(self) -> None:
        self._pieces: defaultdict[int, _Kept] = defaultdict(_Kept)

    def add(self, place: int, broken: pa.Table) -> None:
        """Take over broken rows.

        Args:
            place: of their piece: the pieces of a file are in the order of their places.
            broken: what `broken_rows` gives of the piece, or a part of it. Parts come in any order.
        """
        self._pieces[place].add(broken)
        rows = size = 0
        for known in sorted(self._pieces):
            if rows >= MAX_QUARANTINED_ROWS or size > MAX_QUARANTINED_BYTES:
                del self._pieces[known]
                continue
            rows += self._pieces[known].rows
            size += self._pieces[known].bytes

    def table(self, extents: Mapping[int, Extent]) -> pa.Table | None:
        """The rows that are kept, numbered as in the file, in its order; None where no row is broken.

        Args:
            extents: of each piece of the file, by its place.
        """
        parts: list[pa.Table] = []
        before = Extent()
        for place in sorted(extents):
            if place in self._pieces:
                parts += [in_file(part, before) for part in self._pieces[place].in_order()]
            before += extents[place]
        if not parts:
            return None
        rows = pa.concat_tables(parts)
        is_within = np.cumsum(rows["bytes"].to_numpy()) <= MAX_QUARANTINED_BYTES
        return rows.filter(pa.array(is_within)).slice(0, MAX_QUARANTINED_ROWS)


def quarantined(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """QUARANTINED_COLUMNS of each row.

    Args:
        rows: what `QuarantinedRows.table` gives.
    """
    for batch in rows.select(QUARANTINED_COLUMNS).to_batches(max_chunksize=1000):
        yield from batch.to_pylist()


def samples(rows: pa.Table) -> dict[str, list[Sample]]:
    """By rule id, the first MAX_SAMPLES rows that break the rule.

    Args:
        rows: what `QuarantinedRows.table` gives.
    """
    shown = rows.drop_columns("fields")
    rules = pc.list_flatten(shown["rules"])
    parents = pc.list_parent_indices(shown["rules"])
    found: dict[str, list[Sample]] = {}
    for rule in pc.unique(rules).to_pylist():
        first = shown.take(parents.filter(pc.equal(rules, rule)).slice(0, MAX_SAMPLES))
        found[rule] = [_sample(row, rule) for row in first.to_pylist()]
    return found


def _sample(row: Mapping[str, Any], rule: str) -> Sample:
    column = RULES_BY_ID[rule].column
    return Sample(
        row=row["sheet_row"],
        line=row["line"],
        lines=row["lines"],
        value=masked(column, row[f"{column}_start"], row[f"{column}_characters"]) if column else None,
        fields=None if column else row["field_count"],
        has_open_quote=bool(row["has_open_quote"]),
    )
