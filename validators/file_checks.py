"""What is looked at before a file's rows are read: its bytes, its header and where its rows end.

Works on streams, in bounded memory. What a task cannot hold is rejected here: a row of millions of fields or a quote
that stays open for gigabytes would crash the job.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

from validators import hints
from validators.gzip_members import GZIP_MAGIC, BrokenGzipError, unpacked
from validators.printable import printable, shortened
from validators.schemas import (
    MAX_COLUMNS,
    MAX_FILE_BYTES,
    MAX_GZIP_MEMBERS,
    MAX_GZIP_RATIO,
    MAX_HEADER_CHARACTERS,
    MAX_ROW_CHARACTERS,
    REQUIRED_COLUMNS,
)

CHUNK_BYTES = 4 * 1024**2
LINES_SEARCHED_FOR_HEADER = 20
GZIP_RATIO_CHECKED_FROM_BYTES = 64 * 1024**2

_UTF8_BOM = codecs.BOM_UTF8
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ASCII_WHITESPACE = " \t\n\r\x0b\x0c"
# Lines of blanks: a row of one blank field in a file with other rows, and hardly meant as one.
_BLANKS_AT_START = re.compile(r"[\x01-\x09\x0b-\x20]+(?:\n|\Z)")
_LINE_OF_BLANKS = re.compile(r"\n[\x01-\x09\x0b-\x20]+(?:\n|\Z)")
_END_OF_FILE = ["end", "of file"]  # two fields: an open quote before them makes one


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
        size: of the unpacked text without byte order mark, bytes.
        is_plain: the file's own bytes can be read as they are; otherwise `plain_chunks` gives them unpacked and
            without byte order mark.
        is_line_per_row: there is no quote, no carriage return, no line of blanks only and no blank line before the
            header. So each line is a row, and the first one is the header.
    """

    header: tuple[str, ...]
    size: int
    is_plain: bool
    is_line_per_row: bool


def plain_chunks(stream: Readable) -> Iterator[bytes]:
    """The text of a file in chunks of bytes: unpacked where it is gzip (told by its magic bytes), without UTF-8 BOM.

    Raises:
        FileRejectedError: the gzip is broken, incomplete or a bomb.
    """
    packed = _begun(_chunks(stream))
    yield from _plain(next(packed), packed)


def _plain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    chunks = chain([first], rest)
    plain = _begun(_unpacked(chunks)) if first.startswith(GZIP_MAGIC) else chunks
    yield next(plain).removeprefix(_UTF8_BOM)
    yield from plain


def check_text(stream: Readable, dataset: str) -> CsvText:
    """Reads a whole file once and checks its bytes, its header and that its rows can be told apart.

    Args:
        stream: the file's own bytes.
        dataset: whose required columns the header must have.

    Raises:
        FileRejectedError: rule `unreadable`, `not_utf8`, `too_large`, `long_row`, `unbalanced_quote`,
            `missing_column`, `duplicate_column`, `too_many_columns` or `no_rows` is broken.
    """
    packed = _begun(_chunks(stream))
    first = next(packed)
    rows = LinePerRow()
    size = 0

    def measured() -> Iterator[bytes]:
        nonlocal size
        for chunk in _plain(first, packed):
            size += len(chunk)
            yield chunk

    lines = _Lines(rows.watch(_texts(measured())))
    head, blank_lines = _header_lines(lines)
    header = _header(head)
    check_header(header, dataset, islice(lines, LINES_SEARCHED_FOR_HEADER), blank_lines + len(head) + 1)
    _check_rows(chain(["".join(head)], lines.rest()), blank_lines)
    return CsvText(
        header=header,
        size=size,
        is_plain=not first.startswith((GZIP_MAGIC, _UTF8_BOM)),
        is_line_per_row=rows.is_certain and not blank_lines,
    )


def check_header(header: tuple[str, ...], dataset: str, below: Iterable[str], line: int) -> None:
    """Checks a header.

    Args:
        header: the column names.
        dataset: whose required columns it must have.
        below: the next lines, read only where the header lacks a required column: it may be one of them.
        line: the number of the first one.

    Raises:
        FileRejectedError: it lacks a required column, repeats a name, or is too long.
    """
    required = REQUIRED_COLUMNS[dataset]
    missing = [column for column in required if column not in header]
    if missing:
        start = ",".join(header)
        other = hints.binary_format(start.encode()) or hints.text_format(start)
        if other:
            raise FileRejectedError("unreadable", f"the file seems to be {other}")
        raise FileRejectedError("missing_column", _missing_columns(header, required, missing, below, line))
    # Excel writes commas without a name above columns that were emptied.
    repeated = sorted(column for column, times in Counter(header).items() if column and times > 1)
    if repeated:
        raise FileRejectedError("duplicate_column", f"twice in the header: {_listed(repeated)}")
    if len(header) > MAX_COLUMNS:
        raise FileRejectedError("too_many_columns", f"the header has {len(header)} columns")
    characters = sum(map(len, header))
    if characters > MAX_HEADER_CHARACTERS:
        raise FileRejectedError("long_row", f"the names in the header have {characters} characters")


def field_count(row: str) -> int:
    """How many fields a row has, as Python's csv module reads it."""
    return len(next(_reader(io.StringIO(row, newline="")), []))


class LinePerRow:
    """Tells of texts that pass whether each row is certainly one line; see `CsvText`."""

    def __init__(self) -> None:
        self.is_certain = True

    def watch(self, texts: Iterable[str]) -> Iterator[str]:
        """The same texts; when all have passed, `is_certain` holds for them."""
        for text in texts:
            # Blanks at either end of a text may be a whole line, of which the other part is in the next text.
            self.is_certain = self.is_certain and not (
                '"' in text or "\r" in text or _BLANKS_AT_START.match(text) or _LINE_OF_BLANKS.search(text)
            )
            yield text


def _chunks(stream: Readable) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, of which the first chunk shows what they begin with, however short the chunks are."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= len(_UTF8_BOM):
            break
    yield start
    yield from chunks


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    packed = plain = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        for chunk in chunks:
            packed += len(chunk)
            yield chunk

    try:
        for text in unpacked(counted(), max_members=MAX_GZIP_MEMBERS):
            plain += len(text)
            if plain > GZIP_RATIO_CHECKED_FROM_BYTES and plain > packed * MAX_GZIP_RATIO:
                raise FileRejectedError("unreadable", f"the gzip unpacks to more than {MAX_GZIP_RATIO} times its size")
            yield text
    except BrokenGzipError as error:
        raise FileRejectedError("unreadable", str(error)) from error


def _texts(chunks: Iterator[bytes]) -> Iterator[str]:
    """Decodes chunks of UTF-8 and checks that they are, that there is no NUL and that they are not too many."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = line_breaks = 0
    for chunk in chunks:
        if size == 0:
            _check_start(chunk)
        nul = chunk.find(b"\x00")
        if nul >= 0:
            line = line_breaks + chunk.count(b"\n", 0, nul) + 1
            raise FileRejectedError("unreadable", f"line {line} holds a NUL byte: this is not a text file")
        size += len(chunk)
        if size > MAX_FILE_BYTES:
            raise FileRejectedError("too_large", f"more than {MAX_FILE_BYTES} bytes when unpacked")
        try:
            yield decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise _not_utf8(error, line_breaks) from error
        line_breaks += chunk.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise FileRejectedError("not_utf8", "the file ends within a character") from error


def _check_start(chunk: bytes) -> None:
    if chunk.startswith(_UTF16_BOMS) or hints.is_like_utf16(chunk):
        raise FileRejectedError("not_utf8", "the file is UTF-16 (Excel calls it Unicode text)")
    binary = hints.binary_format(chunk)
    if binary and not _is_text(chunk):  # a column may be called ORCHESTRA
        raise FileRejectedError("unreadable", f"the file seems to be {binary}")


def _is_text(chunk: bytes) -> bool:
    """Whether a file may begin so that is text; a chunk may end within a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(chunk)
    except UnicodeDecodeError:
        return False
    return b"\x00" not in chunk


def _not_utf8(error: UnicodeDecodeError, lines_before: int) -> FileRejectedError:
    line = lines_before + error.object.count(b"\n", 0, error.start) + 1
    byte = error.object[error.start]
    return FileRejectedError(
        "not_utf8", f"line {line} holds the byte 0x{byte:02X}, which is not UTF-8{hints.in_windows_1252(byte)}"
    )


class _Lines:
    r"""Lines with their ends, \n, \r\n or \r: one by one at first, and what is left in texts of whole lines.

    Args:
        texts: cut anywhere.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = _whole_lines(texts)
        self._begun = io.StringIO()

    def __iter__(self) -> Iterator[str]:
        while line := self._begun.readline() or self._next_line():
            yield line

    def rest(self) -> Iterator[str]:
        """The lines that were not yielded."""
        yield self._begun.read()
        yield from self._texts

    def _next_line(self) -> str:
        self._begun = io.StringIO(next(self._texts, ""), newline="")
        return self._begun.readline()


def _whole_lines(texts: Iterable[str]) -> Iterator[str]:
    """The same text, cut where lines end.

    Raises:
        FileRejectedError: a line is too long.
    """
    rest = ""
    lines = 0
    for text in texts:
        whole = rest + text
        # A \r at the end may be the first half of \r\n.
        size = max(whole.rfind("\n"), whole.rfind("\r", 0, -1)) + 1
        whole, rest = whole[:size], whole[size:]
        _check_lengths(whole, lines)
        lines += _line_count(whole)
        _check_lengths(rest, lines)
        if whole:
            yield whole
    if rest:
        yield rest


def _check_lengths(text: str, lines_before: int) -> None:
    half = MAX_ROW_CHARACTERS // 2
    # Where each stretch of half the limit has a line end, no line exceeds the limit.
    if all(text.find("\n", start, start + half) >= 0 for start in range(0, len(text) - half, half)):
        return
    for line, content in enumerate(io.StringIO(text, newline=""), lines_before + 1):
        if len(content) > MAX_ROW_CHARACTERS:
            raise FileRejectedError("long_row", f"line {line} has more than {MAX_ROW_CHARACTERS} characters")


def _line_count(text: str) -> int:
    returns = text.count("\r") - text.count("\r\n") if "\r" in text else 0
    return text.count("\n") + returns


def _header_lines(lines: Iterable[str]) -> tuple[list[str], int]:
    """The lines of the first row that is not blank, and how many blank lines come before it.

    A name in quotes may hold a line break.
    """
    head: list[str] = []
    length = blank_lines = 0

    def kept() -> Iterator[str]:
        nonlocal length
        for line in lines:
            head.append(line)
            length += len(line)
            if length > MAX_ROW_CHARACTERS:
                raise FileRejectedError("unbalanced_quote", "a quote in the header is not closed")
            yield line

    for row in _reader(kept()):
        if row:
            break
        blank_lines += len(head)
        head.clear()
        length = 0
    else:
        raise FileRejectedError("no_rows", "the file is empty")
    if len(head) > 1 and not is_strictly_quoted(head):
        raise FileRejectedError("unbalanced_quote", "a quote in the header is not closed where its column ends")
    return head, blank_lines


def _header(head: list[str]) -> tuple[str, ...]:
    fields = next(_reader(head), [])
    return tuple(field.strip(_ASCII_WHITESPACE) for field in fields)


def _reader(lines: Iterable[str]) -> Iterator[list[str]]:
    csv.field_size_limit(2 * MAX_ROW_CHARACTERS)  # of the whole process; the length of rows is checked by us
    return csv.reader(lines)


def _check_rows(texts: Iterator[str], lines_before: int) -> None:
    """Checks that every quote that opens a field is closed.

    A quote inside of a field that does not begin with one (`12" mix`) opens nothing, here and where rows are read.

    Args:
        texts: of whole lines.
        lines_before: lines before them.
    """
    for text in texts:
        if '"' in text:  # before it, rows are lines
            lines = chain.from_iterable(io.StringIO(some, newline="") for some in chain([text], texts))
            _check_quoted_rows(lines, lines_before)
            return
        lines_before += _line_count(text)


def _check_quoted_rows(lines: Iterator[str], lines_before: int) -> None:
    open_row: list[str] = []
    length = 0
    is_over = False
    first_line = lines_before + 1
    first_of_several: int | None = None

    def counted() -> Iterator[str]:
        nonlocal length, is_over
        for line in lines:
            open_row.append(line)
            length += len(line)
            if length > MAX_ROW_CHARACTERS:
                raise _unbalanced(first_line, first_of_several, f"within {MAX_ROW_CHARACTERS} characters")
            yield line
        is_over = True
        yield ",".join(_END_OF_FILE)

    for row in _reader(counted()):
        if is_over and row != _END_OF_FILE:  # an open quote has swallowed it
            raise _unbalanced(first_line, first_of_several, "up to the end of the file")
        if len(open_row) > 1:
            if not is_strictly_quoted(open_row):
                raise _unbalanced(first_line, first_of_several, "where its field ends")
            first_of_several = first_of_several or first_line
        first_line += len(open_row)
        open_row.clear()
        length = 0


def is_strictly_quoted(row: list[str]) -> bool:
    """Whether each field that begins with a quote ends with one.

    Otherwise a row of several lines has swallowed the rows below, and may look like a good one.
    """
    try:
        list(csv.reader(row, strict=True))
    except csv.Error:
        return False
    return True


def _unbalanced(line: int, first_of_several: int | None, where: str) -> FileRejectedError:
    detail = f"in the row that begins in line {line} a quote is opened and not closed {where}"
    if first_of_several is not None and first_of_several < line:
        detail += f"; look at line {first_of_several} first, where the first row of several lines begins"
    return FileRejectedError("unbalanced_quote", detail)


def _listed(columns: Iterable[str]) -> str:
    return printable(shortened(", ".join(columns)))


def _missing_columns(
    header: tuple[str, ...], required: tuple[str, ...], missing: list[str], below: Iterable[str], line: int
) -> str:
    details = [f"missing: {', '.join(missing)}"]
    if hints.is_like_header(header, required):
        details.append(f"the header has: {_listed(header)}")
    else:  # a row of data may hold user ids
        fields = f"{len(header)} field{'s' if len(header) != 1 else ''}"
        details.append(f"the first line has {fields}, none of them a column's name")
        for number, other in enumerate(map(_header, ([text] for text in below)), start=line):
            if hints.is_header(other, required):
                above = "the line" if number == 2 else "the lines"
                details.append(f"the header seems to be in line {number}: remove {above} above it")
                header, missing = other, [column for column in required if column not in other]
                break
    hint = hints.header_hint(header, required, missing)
    return "; ".join([*details, *([hint] if hint else [])])
