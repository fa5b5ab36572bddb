"""Parameters of paths and queries: text in, values out, or what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

from lambdas.kpi_api.problems import InvalidParametersError

MAX_GENRE_BYTES = 200
"""The pipeline's limit of a genre (docs/rules.md): no row has a longer one."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Reader = Callable[[str], Any]
"""Turns a parameter's text into its value.

Raises:
    ValueError: what the parameter must be, as the words that follow its name.
"""


@dataclass(frozen=True)
class Span:
    """Days from `first` to `last`, both included, as yyyy-mm-dd."""

    first: str
    last: str

    def before(self, day: str) -> Span:
        """These days up to the one before a day after the first."""
        return Span(self.first, (date.fromisoformat(day) - timedelta(days=1)).isoformat())


WHOLE = Span("0001-01-01", "9999-12-31")
"""Every day that a parameter can name."""


def a_date(text: str) -> str:
    """A day that exists."""
    try:
        # fromisoformat alone would also take 20240625 and 2024-W26-2
        if not _DATE.fullmatch(text):
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a date that exists, as yyyy-mm-dd, such as 2024-06-25, not {text!r}") from None
    return text


def a_number(low: int, high: int) -> Reader:
    """A whole number within bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return read


def a_genre(encoded: str) -> str:
    """A genre as it stands, percent-encoded, in a path."""
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise ValueError(f"must be percent-encoded UTF-8, which {encoded!r} is not") from None


def checked(given: Mapping[str, Sequence[str]], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Reads parameters.

    Args:
        given: every value of each parameter.
        readers: what is known, and how it is read.

    Returns:
        The value of each known parameter; None where it is not given.

    Raises:
        InvalidParametersError: names every parameter that is unknown, given twice or not what it must be.
    """
    values: dict[str, Any] = dict.fromkeys(readers)
    errors: dict[str, str] = {}
    for name, texts in given.items():
        try:
            values[name] = _value(texts, readers.get(name), readers)
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise InvalidParametersError(errors)
    return values


def span(values: Mapping[str, Any]) -> Span:
    """The days between the parameters `from` and `to`, where both may be absent.

    Raises:
        InvalidParametersError: `from` is after `to`.
    """
    days = Span(values["from"] or WHOLE.first, values["to"] or WHOLE.last)
    if days.first > days.last:
        raise InvalidParametersError({"from": f"must not be after to, but {days.first} is after {days.last}"})
    return days


def _value(texts: Sequence[str], reader: Reader | None, known: Mapping[str, Reader]) -> Any:  # noqa: ANN401
    if reader is None:
        raise ValueError(f"is not known here; known are: {', '.join(known) or 'none'}")
    if len(texts) != 1:
        raise ValueError(f"must be given once, not {len(texts)} times")
    return reader(texts[0])
