"""Guesses at what a rejected file is instead: half a sentence for whoever has to mend it, or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from validators.printable import shortened

_FORMATS: Final = (
    (b"PAR1", "a Parquet file"),
    (b"PK\x03\x04", "an Excel workbook (.xlsx) or another ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x1f\x8b", "a gzip inside of a gzip"),
    (b"BZh", "packed with bzip2"),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard"),
    (b"\xfd7zXZ", "packed with xz"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"%PDF", "a PDF"),
)
_TEXT_FORMATS: Final = (
    (re.compile(r"\s*[\[{]\s*(?:[\[{\]}\"]|-?\d|(?:true|false|null)\b|\Z)"), "JSON"),
    (re.compile(r"\s*<[?!/A-Za-z]"), "HTML or XML"),
    (re.compile(r"\s*\[[^\],]*\]\s*\Z"), "a settings file (INI or TOML)"),
    (re.compile(r"\{\\rtf"), "a text document (RTF)"),
)
_SEPARATORS: Final = ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars"))
_UTF16_SAMPLE_BYTES: Final = 200


def binary_format(start: bytes) -> str | None:
    """What a file that begins so is, where that is no text."""
    return next((name for magic, name in _FORMATS if start.startswith(magic)), None)


def text_format(start: str) -> str | None:
    """What a text that begins so is, where that is no CSV."""
    return next((name for pattern, name in _TEXT_FORMATS if pattern.match(start)), None)


def is_like_utf16(start: bytes) -> bool:
    """Whether every second byte is NUL, as in UTF-16 text of European languages."""
    sample = start[:_UTF16_SAMPLE_BYTES]
    nuls = sorted((sample[::2].count(0), sample[1::2].count(0)))
    return nuls[0] == 0 and nuls[1] > len(sample) // 4


def in_windows_1252(byte: int) -> str:
    """What a byte that is not UTF-8 is in the encoding that Excel and old exports write."""
    try:
        character = bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return f"; in Windows-1252 (Latin-1) it is {character!r}, so export it as UTF-8"


def header_hint(header: Sequence[str], required: Sequence[str], missing: Sequence[str]) -> str:
    """Why required columns may be missing; empty where nothing is to be guessed."""
    separator = _other_separator(header, required)
    if separator:
        return f"the columns seem to be separated by {separator}: separate them by commas"
    alike = {_essence(name): name for name in header}
    found = [(alike[_essence(name)], name) for name in missing if _essence(name) in alike]
    if found:
        renamed = ", ".join(f"{shortened(wrong, 100)!r} to {right!r}" for wrong, right in found)
        return f"names are compared exactly, capitals included: rename {renamed}"
    if len(missing) == len(required):
        return "perhaps the header line is missing"
    return ""


def is_header(fields: Sequence[str], required: Sequence[str]) -> bool:
    """Whether a line is a header of these columns, though perhaps with other spellings or separators."""
    essences = {_essence(name) for name in fields}
    return essences >= {_essence(name) for name in required} or _other_separator(fields, required) is not None


def is_like_header(header: Sequence[str], required: Sequence[str]) -> bool:
    """Whether a line is a header, though perhaps a wrong one, and no row of data."""
    words = {_essence(name) for name in header}
    return bool(words & {_essence(name) for name in required}) or _other_separator(header, required) is not None


def _other_separator(header: Sequence[str], required: Sequence[str]) -> str | None:
    line = ",".join(header)
    wanted = {_essence(name) for name in required}
    for separator, name in _SEPARATORS:
        if len(wanted & {_essence(field) for field in line.split(separator)}) > 1:
            return name
    return None


def _essence(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
