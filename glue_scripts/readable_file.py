"""A file that passed the checks of its bytes, ready for the reading of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ReadableFile:
    """A file that passed the checks of its bytes.

    Attributes:
        name: the last part of its URI; unique in the batch.
        uri: plain UTF-8 CSV.
        header: its columns, in its order.
        last_modified: when the object version was uploaded.
        size: bytes.
        is_line_per_row: see `file_checks.CsvText.is_line_per_row`.
    """

    name: str
    uri: str
    header: tuple[str, ...]
    last_modified: datetime
    size: int
    is_line_per_row: bool
