"""Removes a person's rows from CSV files of any origin, and leaves every other byte as it is.

Files are read by the rules of `validators`: gzip is told by its magic bytes, a UTF-8 byte order mark may come first,
fields are RFC 4180, ids are trimmed of ASCII whitespace. What `validators` rejects must be cleaned as well: it lies in
error/.
"""

from __future__ import annotations

import codecs
import gzip
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from validators.gzip_members import GZIP_MAGIC, BrokenGzipError, unpacked
from validators.schemas import REQUIRED_COLUMNS

USER_COLUMN: Final = b"user_id"
MAX_RECORD_BYTES: Final = 64 * 1024**2
"""A quote that is not closed after so many bytes is taken for a stray one."""

_ASCII_WHITESPACE: Final = b" \t\n\r\x0b\x0c"
_BOM: Final = codecs.BOM_UTF8
_CHUNK: Final = 4 * 1024**2
_SONG_COLUMNS: Final = frozenset(column.encode() for column in REQUIRED_COLUMNS["songs"])


class UnreadableTextError(Exception):
    """The bytes are no text that could be read row by row."""


@dataclass(frozen=True)
class Cleaned:
    """What became of a file.

    Attributes:
        removed: rows that were removed.
        left: rows that remain, the header not counted.
    """

    removed: int
    left: int


class Person:
    """Tells whether a record is a person's.

    Args:
        user_id: the id; ASCII whitespace around it does not count.
    """

    def __init__(self, user_id: str) -> None:
        self.id = user_id.encode().strip(_ASCII_WHITESPACE)
        separators = rb"[\s,;\"'|]"
        before, after = rb"(?:\A|(?<=" + separators + rb"))", rb"(?=\Z|" + separators + rb")"
        self._token = re.compile(before + re.escape(self.id) + after)

    def is_value(self, field: bytes) -> bool:
        """Whether a field holds the id."""
        return field.strip(_ASCII_WHITESPACE) == self.id

    def is_within(self, text: bytes) -> bool:
        """Whether the id stands somewhere in a text, as a word of its own."""
        return self._token.search(text) is not None

    def is_in_name(self, key: str) -> bool:
        """Whether the id stands in an object key, not within a longer word."""
        return re.search(rf"(?<![^\W_]){re.escape(self.id.decode())}(?![^\W_])", key) is not None

    def without(self, text: bytes, replacement: bytes) -> bytes:
        """A text with every such word replaced."""
        return self._token.sub(lambda _: replacement, text)

    def may_be_in(self, text: bytes) -> bool:
        """Whether the id's bytes stand in a text at all: quick, and true for longer words, too."""
        return self.id in text or b'"' in self.id


def contains(stream: IO[bytes], person: Person) -> bool:
    """Whether the bytes of an id stand in a file, unpacked where it is gzip, in any of the usual encodings.

    Quick: most files of a bucket do not hold the person and need no further look.

    Raises:
        UnreadableTextError: it is broken gzip, and the part that could be unpacked does not hold them.
    """
    text = person.id.decode()
    needles = [text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
    overlap = max(map(len, needles)) - 1
    tail = b""
    for chunk in _plain_chunks(stream):
        window = tail + chunk
        if any(needle in window for needle in needles) or b'"' in person.id:
            return True
        tail = window[-overlap:] if overlap else b""
    return False


def remove_rows(source: IO[bytes], target: IO[bytes], person: Person) -> Cleaned:
    """Writes a file without the person's rows.

    A row is the person's if a column `user_id` holds the id. In a row that has not as many fields as the header, and in
    a field that spans lines (a stray quote swallows the rows up to the next one), it is enough that the id stands
    somewhere; in a file without such a column, that any field holds it. A catalogue has no people.

    Args:
        source: the file's own bytes, at their beginning.
        target: gets the bytes that remain, packed if the source is.
        person: whose rows go.

    Raises:
        UnreadableTextError: it is not UTF-8, or a broken gzip: such a file cannot be cleaned row by row.
    """
    is_gzip = source.read(2) == GZIP_MAGIC
    source.seek(0)
    if not is_gzip:
        return _remove_rows(source, target, person)
    # No time and no name in the packed file: cleaning it twice gives the same bytes.
    with gzip.GzipFile(fileobj=target, mode="wb", mtime=0, filename="") as packed:
        return _remove_rows(source, packed, person)


def _remove_rows(source: IO[bytes], target: IO[bytes] | gzip.GzipFile, person: Person) -> Cleaned:
    removed = left = 0
    layout: _Layout | None = None
    is_start = True
    for record, fields in _records(_lines(_plain_chunks(source))):
        _check_utf8(record)
        mark = _BOM if is_start and record.startswith(_BOM) else b""
        is_start = False
        if layout is None and record.strip(_BOM + _ASCII_WHITESPACE):
            layout = _Layout.of_header([field.strip(_ASCII_WHITESPACE) for field in fields])
            is_kept = bool(layout.columns) or layout.is_catalogue  # any other first row may be one of data
        else:
            is_kept = layout is None
        if not is_kept and layout is not None and layout.is_of(person, record[len(mark) :], fields):
            target.write(mark)
            removed += 1
        else:
            target.write(record)
            left += not is_kept
    return Cleaned(removed=removed, left=left)


@dataclass(frozen=True)
class _Layout:
    """Where a file names a person."""

    width: int
    columns: tuple[int, ...]
    is_catalogue: bool

    @classmethod
    def of_header(cls, header: list[bytes]) -> _Layout:
        return cls(
            width=len(header),
            columns=tuple(position for position, name in enumerate(header) if name == USER_COLUMN),
            is_catalogue=set(header) >= _SONG_COLUMNS,
        )

    def is_of(self, person: Person, record: bytes, fields: list[bytes]) -> bool:
        if not person.may_be_in(record):
            return False
        is_odd = len(fields) != self.width or self.width == 1
        doubtful = [record] if is_odd else [field for field in fields if b"\n" in field or b"\r" in field]
        if not self.is_catalogue and any(map(person.is_within, doubtful)):
            return True
        if not self.columns:
            return not self.is_catalogue and any(map(person.is_value, fields))
        return any(person.is_value(fields[column]) for column in self.columns if column < len(fields))


def split_fields(record: bytes) -> list[bytes] | None:
    """The fields of a record, unquoted; None where a quote is not closed."""
    text = record.rstrip(b"\r\n")
    if b'"' not in text:
        return text.split(b",")
    fields: list[bytes] = []
    position = 0
    while True:
        if text[position : position + 1] == b'"':
            quoted = _quoted_field(text, position)
            if quoted is None:
                return None
            field, position = quoted
        else:
            end = text.find(b",", position)
            field, position = (text[position:], len(text)) if end < 0 else (text[position:end], end)
        fields.append(field)
        if position >= len(text):
            return fields
        position += 1


def _quoted_field(text: bytes, start: int) -> tuple[bytes, int] | None:
    """A quoted field and where it ends; what follows its closing quote belongs to it, as Spark's parser has it."""
    value = b""
    position = start + 1
    while (quote := text.find(b'"', position)) >= 0:
        value += text[position:quote]
        if text[quote + 1 : quote + 2] == b'"':
            value += b'"'
            position = quote + 2
            continue
        end = text.find(b",", quote + 1)
        end = len(text) if end < 0 else end
        return (value if end == quote + 1 else text[start:end]), end
    return None


def _records(lines: Iterator[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Records with their fields; a quote that is never closed ends with its line."""
    pending: list[bytes] = []
    size = 0
    for line in lines:
        pending.append(line)
        size += len(line)
        if len(pending) > 1 and b'"' not in line and size <= MAX_RECORD_BYTES:
            continue
        record = b"".join(pending)
        fields = split_fields(record[len(_BOM) :] if record.startswith(_BOM) else record)
        if fields is not None:
            yield record, fields
        elif size > MAX_RECORD_BYTES:
            yield from ((single, single.rstrip(b"\r\n").split(b",")) for single in pending)
        else:
            continue
        pending, size = [], 0
    yield from ((single, single.rstrip(b"\r\n").split(b",")) for single in pending)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    r"""Lines with their ends: \n, \r\n or \r."""
    rest = b""
    for chunk in chunks:
        lines = (rest + chunk).splitlines(keepends=True)
        rest = lines.pop() if lines else b""  # it may go on in the next chunk, after a carriage return too
        yield from lines
    if rest:
        yield rest


def _plain_chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """The text with its byte order mark, unpacked; of a broken gzip what can be had comes first, then the error.

    Unlike `validators.file_checks.plain_chunks`, which gives no mark and refuses a gzip bomb.
    """
    chunks = iter(lambda: stream.read(_CHUNK), b"")
    first = next(chunks, b"")
    if first.startswith(GZIP_MAGIC):
        yield from _unpacked(itertools.chain([first], chunks))
    elif first:
        yield first
        yield from chunks


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from unpacked(chunks)
    except BrokenGzipError as error:
        yield error.text
        raise UnreadableTextError(str(error)) from error


def _check_utf8(record: bytes) -> None:
    if b"\x00" in record:
        raise UnreadableTextError("it holds NUL bytes")
    try:
        record.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableTextError("it is not UTF-8") from error
