"""How both command lines print: no markup, no emoji, control characters as escapes, and JSON for programs.

Keys, genres, names and ids are what a producer chose: `[red]` or `:smile:` in one is text, an ESC in one does not reach
the terminal, and none is cut.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from validators.printable import printable


def data_console(file: IO[str] | None = None, *, stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints data as it is.

    Args:
        file: where to; standard output if not given.
        stderr: whether to print to standard error.
        width: columns; those of the terminal if not given, 80 where there is none.
    """
    return Console(file=file, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def lines(*texts: str, style: str = "") -> Text:
    """A line for each text, with its control characters as escapes."""
    return Text("\n".join(map(printable, texts)), style, overflow="fold")


def data_table(title: str, *headings: str, right: Collection[str] = ()) -> Table:
    """An empty table whose cells are folded where they are too long, and never cut.

    Args:
        title: stands above it; none if empty.
        headings: of the columns.
        right: the headings of the columns that are aligned to the right.
    """
    table = Table(title=lines(title) if title else None, title_justify="left")
    for heading in headings:
        table.add_column(lines(heading), overflow="fold", justify="right" if heading in right else "left")
    return table


def add_row(table: Table, *cells: str | Text) -> None:
    """Adds a row; a cell of several lines is what `lines` made."""
    table.add_row(*(cell if isinstance(cell, Text) else lines(cell) for cell in cells))


def json_text(value: object) -> str:
    r"""A value as JSON, indented: exact, and with every character that is not shown as itself written as `\uXXXX`.

    Args:
        value: what JSON can hold, or dataclasses, sets, dates and numbers of DynamoDB.

    Raises:
        TypeError: it holds something else.
    """
    text = json.dumps(_plain(value), indent=1, ensure_ascii=False)
    return "".join(
        character if character.isprintable() or character == "\n" else _escape(character) for character in text
    )


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    match value:
        case Mapping():
            return {name: _plain(part) for name, part in value.items()}
        case Set():
            return sorted(map(_plain, value))
        case list() | tuple():
            return [_plain(part) for part in value]
        case date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case _:
            return value
