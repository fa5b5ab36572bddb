"""What is looked at before Spark sees a file: its bytes. Works on streams, in bounded memory."""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from validators.schemas import MAX_FILE_BYTES, REQUIRED_COLUMNS

CHUNK_BYTES = 4 * 1024**2
MAX_HEADER_CHARACTERS = 1024**2
MAX_GZIP_RATIO = 250
"""Text of this kind packs 3 to 20 times; deflate's limit is 1032 times (zlib's technical details)."""
GZIP_RATIO_CHECKED_FROM_BYTES = 64 * 1024**2

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = codecs.BOM_UTF8
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP_WINDOW = 31  # zlib.decompressobj: 15 bits of window, gzip container
_ASCII_WHITESPACE = " \t\n\r\x0b\x0c"


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes:
        """Returns at most `size` bytes, none at the end."""


class FileRejectedError(Exception):
    """The bytes of a file break a file rule."""

    def __init__(self, rule_id: str, detail: str) -> None:
        super().__init__(f"{rule_id}: {detail}")
        self.rule_id = rule_id
        self.detail = detail


@dataclass(frozen=True)
class CsvText:
    """A file whose bytes are CSV text.

    Attributes:
        header: the column names in the file's order, trimmed of ASCII whitespace.
        is_plain: the file's own bytes can be read as they are; otherwise `plain_chunks` gives them unpacked and
            without byte order mark.
    """

    header: tuple[str, ...]
    is_plain: bool


def plain_chunks(stream: Readable) -> Iterator[bytes]:
    """The text of a file in chunks of bytes: unpacked where it is gzip (told by its magic bytes), without UTF-8 BOM.

    Raises:
        FileRejectedError: the gzip is broken, incomplete or a bomb.
    """
    first = stream.read(CHUNK_BYTES)
    chunks = _unpacked(first, stream) if first.startswith(_GZIP_MAGIC) else _chunks(first, stream)
    start = next(chunks, b"")
    yield start.removeprefix(_UTF8_BOM)
    yield from chunks


def check_text(stream: Readable, dataset: str) -> CsvText:
    """Reads a whole file once and checks its bytes and its header.

    Args:
        stream: the file's own bytes.
        dataset: whose required columns the header must have.

    Raises:
        FileRejectedError: rule `unreadable`, `not_utf8`, `too_large`, `unbalanced_quote`, `missing_column`,
            `duplicate_column` or `no_rows` is broken.
    """
    watched = _FirstBytes(stream)
    decoder = codecs.getincrementaldecoder("utf-8")()
    head = ""
    size = quotes = 0
    for chunk in plain_chunks(watched):
        _check_chunk(chunk, size)
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            position = size + error.start
            raise FileRejectedError("not_utf8", f"byte {position + 1} is not UTF-8") from error
        if len(head) < MAX_HEADER_CHARACTERS:
            head += text[:MAX_HEADER_CHARACTERS]
        size += len(chunk)
        quotes += chunk.count(b'"')
        if size > MAX_FILE_BYTES:
            raise FileRejectedError("too_large", f"more than {MAX_FILE_BYTES} bytes when unpacked")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise FileRejectedError("not_utf8", "the file ends within a character") from error
    if not head.strip(_ASCII_WHITESPACE):
        raise FileRejectedError("no_rows", "the file is empty")
    header = _header(head)
    check_header(header, dataset)
    if quotes % 2:
        raise FileRejectedError("unbalanced_quote", f"{quotes} quotes: one is not closed")
    return CsvText(header=header, is_plain=not watched.first.startswith((_GZIP_MAGIC, _UTF8_BOM)))


def check_header(header: tuple[str, ...], dataset: str) -> None:
    """Raises FileRejectedError where a required column is missing or a column name stands twice."""
    missing = [column for column in REQUIRED_COLUMNS[dataset] if column not in header]
    if missing:
        found = ", ".join(header)
        raise FileRejectedError("missing_column", f"missing: {', '.join(missing)}; the header has: {_shortened(found)}")
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise FileRejectedError("duplicate_column", f"twice in the header: {_shortened(', '.join(repeated))}")


class _FirstBytes:
    """A stream that remembers how it began."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.first = b""

    def read(self, size: int, /) -> bytes:
        chunk = self._stream.read(size)
        if len(self.first) < len(_UTF8_BOM):
            self.first += chunk[: len(_UTF8_BOM)]
        return chunk


def _chunks(first: bytes, stream: Readable) -> Iterator[bytes]:
    chunk = first
    while chunk:
        yield chunk
        chunk = stream.read(CHUNK_BYTES)


def _unpacked(first: bytes, stream: Readable) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    packed = plain = 0
    for chunk in _chunks(first, stream):
        packed += len(chunk)
        rest = chunk
        while rest:
            if unpacker.eof:  # a gzip file may hold several members one after another (RFC 1952, section 2.2)
                unpacker = zlib.decompressobj(_GZIP_WINDOW)
            try:
                text = unpacker.decompress(rest, CHUNK_BYTES)
            except zlib.error as error:
                raise FileRejectedError("unreadable", f"broken gzip after {plain} unpacked bytes: {error}") from error
            plain += len(text)
            if plain > GZIP_RATIO_CHECKED_FROM_BYTES and plain > packed * MAX_GZIP_RATIO:
                raise FileRejectedError("unreadable", f"the gzip unpacks to more than {MAX_GZIP_RATIO} times its size")
            yield text
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if not unpacker.eof:
        raise FileRejectedError("unreadable", f"the gzip ends too early, after {plain} unpacked bytes")


def _check_chunk(chunk: bytes, offset: int) -> None:
    if offset == 0 and chunk.startswith(_UTF16_BOMS):
        raise FileRejectedError("not_utf8", "the file begins with the byte order mark of UTF-16")
    position = chunk.find(b"\x00")
    if position >= 0:
        raise FileRejectedError("unreadable", f"byte {offset + position + 1} is NUL: this is not a text file")


def _header(head: str) -> tuple[str, ...]:
    limit = csv.field_size_limit(MAX_HEADER_CHARACTERS)
    try:
        fields = next((row for row in csv.reader(io.StringIO(head, newline="")) if row), [])
    except csv.Error as error:
        raise FileRejectedError("unreadable", f"the header is not CSV: {error}") from error
    finally:
        csv.field_size_limit(limit)
    return tuple(field.strip(_ASCII_WHITESPACE) for field in fields)


def _shortened(text: str, characters: int = 300) -> str:
    return text if len(text) <= characters else text[:characters] + "…"
