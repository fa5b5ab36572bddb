"""Removes a person from JSON: quarantined rows, reports, and what the jobs wrote about a batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any, Final

from operations.csv_rows import Cleaned, Person

REMOVED: Final = b"[removed]"


class OddDocumentError(Exception):
    """A line of quarantined rows is not what the validation job writes."""


_FREE_TEXTS: Final = ("detail", "message", "value")
"""Where reports and verdicts repeat something that stood in a file."""


def remove_quarantined(source: IO[bytes], target: IO[bytes], person: Person) -> Cleaned:
    """Writes quarantined rows, one JSON object a line, without the person's.

    The order of the columns is not known here: a row goes if any field holds the id, or if it stands somewhere in a row
    that could not be taken apart. Too many rows go rather than too few; the file itself keeps them.
    """
    removed = left = 0
    for line in source:
        fields = [field.encode() for field in _fields(line) if field]
        if any(map(person.is_value, fields)) or any(map(person.is_within, _odd(fields))):
            removed += 1
        else:
            target.write(line)
            left += 1
    return Cleaned(removed=removed, left=left)


def _fields(line: bytes) -> list[str | None]:
    row = json.loads(line)
    fields = row.get("fields", []) if isinstance(row, dict) else None
    if not isinstance(fields, list) or not all(field is None or isinstance(field, str) for field in fields):
        raise OddDocumentError("a row without a list of texts")
    return fields


def _odd(fields: list[bytes]) -> Iterator[bytes]:
    return (field for field in fields if len(fields) == 1 or b"\n" in field or b"\r" in field)


def remove_mentions(document: Any, person: Person) -> tuple[Any, int]:  # noqa: ANN401 - any JSON
    """A report or verdict without what it repeats of the person's rows, and how many texts were replaced."""
    if isinstance(document, dict):
        pairs = {name: _replaced(name, value, person) for name, value in document.items()}
        return {name: value for name, (value, _) in pairs.items()}, sum(count for _, count in pairs.values())
    if isinstance(document, list):
        items = [remove_mentions(item, person) for item in document]
        return [item for item, _ in items], sum(count for _, count in items)
    return document, 0


def _replaced(name: str, value: Any, person: Person) -> tuple[Any, int]:  # noqa: ANN401 - any JSON
    if name in _FREE_TEXTS and isinstance(value, str) and person.is_within(value.encode()):
        return person.without(value.encode(), REMOVED).decode(), 1
    return remove_mentions(value, person)
