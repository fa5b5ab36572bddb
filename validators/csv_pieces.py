"""CSV text in pieces of whole rows, each parsed into a table of texts.

A piece is bounded whatever its file holds: text without quotes is read in ranges of bytes, any other text in blocks
that end where a row ends.

Each line ends with LF, CRLF or CR. Within a quoted field, a line break is text and stays as it is.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from validators.file_checks import FileRejectedError
from validators.schemas import MAX_ROW_CHARACTERS

PIECE_BYTES: Final = 8 * 1024**2
"""Size of a range or a block. It must be at least twice the longest row, whose characters take up to four bytes each.
Pieces four times as large are not judged faster, and need up to 2 GB of memory if every row is a single character."""

_Numbers = npt.NDArray[np.int64]

_TAIL_BYTES: Final = 64 * 1024
_COMMA, _LINE_FEED, _RETURN, _QUOTE = b',\n\r"'
_LINE_ENDS: Final = b"\r\n"
_LEAD: Final = b"\x01"
_STAND_INS: Final = {b"\r": b"\x01r", b"\n": b"\x01n", b",": b"\x01c", b'"': b"\x01q", _LEAD: b"\x01e"}
"""What stands for a character of a field that the parser would take for syntax; the last one for the lead itself.

The lead is not NUL, which no file has: Arrow's parser overlooks a quote that follows a NUL within eight bytes.
"""
# A quoted field. Group 1 is its text, group 2 what follows the closing quote, which may be missing at a block's end.
_QUOTED_FIELD: Final = re.compile(rb'(?:\A|(?<=[,\r\n]))"([^"]*+(?:""[^"]*+)*+)(?:"([^,\r\n]*+)|\Z)')
_AROUND_NAME: Final = ' \t\n\r\x0b\x0c\ufeff"'
_BLANKS: Final = re.compile(rb"(?:[\x02-\x20]|\x01e)*")


@dataclass(frozen=True)
class Places:
    """Where the rows of a piece stand in it, all from 0: arrays of one number per row.

    Attributes:
        starts: their first bytes.
        ends: the bytes behind their last ones, the line end aside.
        sheet_rows: their numbers as a spreadsheet counts rows: blank lines count, too.
        lines: their first lines.
        line_counts: how many lines they take.
    """

    starts: _Numbers
    ends: _Numbers
    sheet_rows: _Numbers
    lines: _Numbers
    line_counts: _Numbers


@dataclass(frozen=True)
class Extent:
    """How much of a file it is, the header included.

    Attributes:
        rows: rows, blank lines aside.
        sheet_rows: rows as a spreadsheet counts them: blank lines, too.
        lines: lines.
    """

    rows: int = 0
    sheet_rows: int = 0
    lines: int = 0

    def __add__(self, other: Extent) -> Extent:
        return Extent(self.rows + other.rows, self.sheet_rows + other.sheet_rows, self.lines + other.lines)


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows of a file that follow one another. Blank lines are no rows.

    Attributes:
        data: their bytes.
        quote_edges: where its text goes into quotes and out of them.
        texts: the rows that have as many fields as the header, as text by position of the column; an empty field is
            null.
        numbers: by row of `texts`, its number among the rows of the piece, from 0.
        malformed: the numbers of the rows with fewer or more fields.
        header: the columns of the file.
        has_header: the first row of the piece is the file's header. It has a number and is not in `texts`.
        repeated_headers: how many other rows equal the header. They have numbers, too, and are not in `texts`.
    """

    data: bytes
    quote_edges: _Numbers
    texts: pa.Table
    numbers: _Numbers
    malformed: _Numbers
    header: tuple[str, ...]
    has_header: bool
    repeated_headers: int

    @cached_property
    def extent(self) -> Extent:
        """How much of its file it is."""
        rows = self.has_header + self.repeated_headers + len(self.numbers) + len(self.malformed)
        lines = len(self._line_ends) + self._is_last_line_open
        return Extent(rows, lines if self._is_line_per_row else self._sheet_rows_and_places[0], lines)

    @property
    def places(self) -> Places:
        """Where its rows stand."""
        return self._sheet_rows_and_places[1]

    @cached_property
    def line_counts(self) -> pa.Array:
        """As how many rows each row of `texts` counts if it is broken, int32: its lines, but for those at its ends."""
        if self._is_line_per_row or not self._has_lines_within_rows:
            return pa.array(np.ones(len(self.texts), np.int32))
        whole = pc.binary_join_element_wise(*self.texts.columns, "\x00", null_handling="replace")
        breaks = pc.count_substring_regex(pc.utf8_trim(whole, characters="\r\n\x00"), r"\r\n|\r|\n")
        return pc.add(breaks, 1).cast(pa.int32())

    @property
    def malformed_line_counts(self) -> pa.Array:
        """The same of each malformed row."""
        if self._is_line_per_row:
            return pa.array(np.ones(len(self.malformed), np.int32))
        return pa.array(self.places.line_counts[self.malformed].astype(np.int32))

    @property
    def _is_line_per_row(self) -> bool:
        return not len(self.quote_edges)

    @property
    def _has_lines_within_rows(self) -> bool:
        return bool((self.places.line_counts > 1).any())

    @property
    def _is_last_line_open(self) -> bool:
        return self.data != b"" and not self.data.endswith((b"\r", b"\n"))

    @cached_property
    def _line_ends(self) -> _Numbers:
        return _line_ends(self.data)

    @cached_property
    def _sheet_rows_and_places(self) -> tuple[int, Places]:
        ends = _outside(self._line_ends, self.quote_edges)
        text_ends = ends - _are_crlf(self.data, ends)
        if self._is_last_line_open:
            ends, text_ends = np.append(ends, len(self.data)), np.append(text_ends, len(self.data))
        starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
        sheet_rows = np.flatnonzero(text_ends > starts)
        starts, text_ends = starts[sheet_rows], text_ends[sheet_rows]
        lines = np.searchsorted(self._line_ends, starts)
        line_counts = np.searchsorted(self._line_ends, text_ends) - lines + 1
        return len(ends), Places(starts, text_ends, sheet_rows, lines, line_counts)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the texts of a column."""
        return self.texts.column(self.header.index(name))

    def text_of(self, number: int) -> str:
        """Return a row as it stands in the file, without its line end."""
        return self.data[self.places.starts[number] : self.places.ends[number]].decode()


def blocks(chunks: Iterable[bytes], header: Sequence[str]) -> Iterator[Piece]:
    """Yield the pieces of a file of any text.

    Args:
        chunks: what `file_checks.plain_chunks` gives of a file that `check_text` has passed.
        header: its columns.

    Raises:
        FileRejectedError: a row is longer than a piece.
    """
    rest, has_header = b"", True
    for block in _at_least(PIECE_BYTES, iter(chunks)):
        data = rest + block
        edges = _quote_edges(data)
        size = _size_of_rows(data, edges)
        rest = data[size:]
        if len(rest) >= PIECE_BYTES:
            raise _too_long()
        if size:
            is_blank = not data[:size].strip(_LINE_ENDS)
            yield _piece(data[:size], edges, header, has_header=has_header and not is_blank)
            has_header = has_header and is_blank
    if rest:
        yield _piece(rest, _quote_edges(rest), header, has_header=has_header)


def ranges(size: int) -> list[tuple[int, int]]:
    """The ranges of bytes of a text without quotes that can be read side by side: start and end, which is not in it.

    The text begins with its header, without blank lines before it.
    """
    return [(start, min(start + PIECE_BYTES, size)) for start in range(0, size, PIECE_BYTES)]


def range_piece(read: Callable[[int, int], bytes], start: int, end: int, size: int, header: Sequence[str]) -> Piece:
    r"""The rows that begin in a range of a text without quotes and \r.

    Args:
        read: returns the bytes of the text from a start to an end, the end not included.
        start: the first byte of the range.
        end: the byte behind its last one.
        size: of the text, bytes.
        header: its columns.

    Raises:
        FileRejectedError: a row is longer than a piece.
    """
    before = max(start - 1, 0)
    data = read(before, end)
    if start:
        data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
    if data and not data.endswith(b"\n"):
        data += _rest_of_line(read, end, size)
    return _piece(data, _NO_EDGES, header, has_header=start == 0)


def _rest_of_line(read: Callable[[int, int], bytes], start: int, size: int) -> bytes:
    tail = b""
    while start + len(tail) < size and b"\n" not in tail:
        if len(tail) > PIECE_BYTES:
            raise _too_long()
        tail += read(start + len(tail), min(start + len(tail) + _TAIL_BYTES, size))
    return tail[: tail.find(b"\n") + 1] or tail


def _too_long() -> FileRejectedError:
    return FileRejectedError("long_row", f"a row has more than {MAX_ROW_CHARACTERS} characters")


def _at_least(size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of at least so many, but for the last one."""
    held: list[bytes] = []
    for chunk in chunks:
        held.append(chunk)
        if sum(map(len, held)) >= size:
            yield b"".join(held)
            held = []
    if held:
        yield b"".join(held)


# Quotes. A field is in quotes if it begins with one. The text goes into quotes and out of them at the edges: a row ends
# at a line end before which there is an even number of edges. Where each quote stands as RFC 4180 has it, quotes and
# edges are the same (two quotes in a row are no edge and two), so that nothing needs to be looked at one by one.


def _characters(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def _line_ends(data: bytes) -> _Numbers:
    """Return the places of the last bytes of line ends."""
    characters = _characters(data)
    are_ends = characters == _LINE_FEED
    if b"\r" in data:
        are_returns = characters == _RETURN
        are_returns[:-1] &= ~are_ends[1:]
        are_ends |= are_returns
    return np.flatnonzero(are_ends)


def _are_crlf(data: bytes, line_ends: _Numbers) -> npt.NDArray[np.bool_]:
    """Tell which of the line ends are two bytes."""
    characters = _characters(data)
    are_behind_returns = (line_ends > 0) & (characters[line_ends - 1] == _RETURN)
    return np.asarray((characters[line_ends] == _LINE_FEED) & are_behind_returns)


def _quotes(data: bytes) -> _Numbers:
    return np.flatnonzero(_characters(data) == _QUOTE) if b'"' in data else np.empty(0, np.int64)


def _outside(places: _Numbers, edges: _Numbers) -> _Numbers:
    return places[np.searchsorted(edges, places) % 2 == 0] if len(edges) else places


@dataclass(frozen=True, eq=False)
class _Edges:
    """Of a text that begins where a row begins.

    Attributes:
        places: of the edges.
        are_quotes: whether each quote of the text is an edge.
    """

    places: _Numbers
    are_quotes: bool


_NO_EDGES: Final = _Edges(np.empty(0, np.int64), are_quotes=True)


def _quote_edges(data: bytes) -> _Edges:
    quotes = _quotes(data)
    if not len(quotes) or _is_tidy(_characters(data), quotes):
        return _Edges(quotes, are_quotes=True)
    spans = [place for field in _QUOTED_FIELD.finditer(data) for place in (field.start(), field.end(1))]
    return _Edges(np.array(spans, np.int64), are_quotes=False)


def _is_tidy(text: npt.NDArray[np.uint8], quotes: _Numbers) -> bool:
    """Whether each field with a quote begins with one, ends with one, and has two in a row where it has more."""
    firsts = np.flatnonzero(np.diff(quotes, prepend=-2) > 1)  # of the runs of quotes
    lengths = np.diff(firsts, append=len(quotes))
    starts = quotes[firsts]
    is_within = firsts % 2 == 1
    is_odd = lengths % 2 == 1
    is_at_start = (starts == 0) | _are_separators(text[starts - 1])
    ends = starts + lengths
    is_at_end = (ends == len(text)) | _are_separators(text[np.minimum(ends, len(text) - 1)])
    return bool(np.where(is_within, ~is_odd | is_at_end, is_at_start & (is_odd | is_at_end)).all())


def _are_separators(characters: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return (characters == _COMMA) | (characters == _LINE_FEED) | (characters == _RETURN)  # type: ignore[no-any-return]


def _size_of_rows(data: bytes, edges: _Edges) -> int:
    """Return how many bytes of the text are whole rows.

    A carriage return at the end of the text ends no row yet: the next block may begin with its line feed.
    """
    if not len(edges.places) and b"\r" not in data:
        return data.rfind(b"\n") + 1
    ends = _outside(_line_ends(data.removesuffix(b"\r")), edges.places)
    return int(ends[-1]) + 1 if len(ends) else 0


def _tidy(rows: bytes, edges: _Edges) -> bytes:
    """Whole rows with each quote as RFC 4180 has it; others, which are characters of a field, are stand-ins."""
    if edges.are_quotes:
        return rows
    rows = rows.replace(_LEAD, _STAND_INS[_LEAD])
    parts: list[bytes] = []
    end = 0
    for field in _QUOTED_FIELD.finditer(rows):
        parts += [rows[end : field.start()].replace(b'"', _STAND_INS[b'"']), _tidy_field(field)]
        end = field.end()
    return b"".join([*parts, rows[end:].replace(b'"', _STAND_INS[b'"'])])


def _tidy_field(field: re.Match[bytes]) -> bytes:
    """Blanks behind a closing quote are left out. If there is other text, both quotes belong to the field's text."""
    text, behind = field.groups()
    if not behind or _BLANKS.fullmatch(behind):
        return b'"' + text + b'"'
    whole = b'"' + text.replace(b'""', b'"') + b'"' + behind
    for character in (b'"', b",", b"\n", b"\r"):
        whole = whole.replace(character, _STAND_INS[character])
    return whole


# Parsing.


def _piece(data: bytes, edges: _Edges, header: Sequence[str], *, has_header: bool) -> Piece:
    malformed = array("q")

    def note(row: Any) -> str:  # noqa: ANN401 - pyarrow.csv.InvalidRow, which ships no types
        malformed.append(row.number - 1)
        return "skip"

    tidy = _tidy(data, edges)
    texts = _texts(tidy, len(header), note)
    if tidy is not data:
        texts = _without_stand_ins(texts)
    numbers = np.arange(len(texts) + len(malformed))
    if len(malformed):
        numbers = np.delete(numbers, malformed)
    headers = _headers(data, texts, header, has_header=has_header)
    if len(headers):
        texts, numbers = _without(texts, headers), np.delete(numbers, headers)
    return Piece(
        data,
        edges.places[: np.searchsorted(edges.places, len(data))],
        texts,
        numbers,
        np.array(malformed, np.int64),
        tuple(header),
        has_header,
        len(headers) - has_header,
    )


def _headers(data: bytes, texts: pa.Table, header: Sequence[str], *, has_header: bool) -> _Numbers:
    """Return which rows of the texts are the header: the first one of the file, and those that equal it.

    A file that was made by joining several files repeats it, perhaps with a byte order mark, blanks or quotes.
    """
    first = np.arange(int(has_header))
    # Most pieces repeat no header. Searching their bytes for the longest name is the fastest way to see that.
    longest = max((name.encode() for name in header if '"' not in name), key=len)
    if data.find(longest, data.find(longest) + 1 if has_header else 0) < 0:
        return first
    is_equal = np.ones(len(texts), bool)
    for position, name in enumerate(header):
        column = pc.utf8_trim(pc.fill_null(texts.column(position), ""), characters=_AROUND_NAME)
        is_equal &= pc.equal(column, name.strip(_AROUND_NAME)).to_numpy()
        if not is_equal.any():
            break
    return np.union1d(first, np.flatnonzero(is_equal))


def _without(texts: pa.Table, rows: _Numbers) -> pa.Table:
    is_kept = np.ones(len(texts), bool)
    is_kept[rows] = False
    return texts.filter(pa.array(is_kept))


def _texts(data: bytes, columns: int, handler: Callable[[Any], str]) -> pa.Table:
    names = [str(position) for position in range(columns)]
    if not data.strip(_LINE_ENDS):
        return pa.table({name: pa.array([], pa.string()) for name in names})
    # The parser skips a byte order mark at the start of any text; here it is a character of the first field.
    guard = b"\n" if data.startswith(b"\xef\xbb\xbf") else b""
    return csv.read_csv(
        pa.BufferReader(guard + data),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(data) + 2, column_names=names),
        parse_options=csv.ParseOptions(
            quote_char='"' if b'"' in data else False,
            newlines_in_values=b'"' in data,
            invalid_row_handler=handler,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    )


def _without_stand_ins(texts: pa.Table) -> pa.Table:
    columns = texts.columns
    for character, stand_in in _STAND_INS.items():
        columns = [pc.replace_substring(column, stand_in.decode(), character.decode()) for column in columns]
    return pa.table(columns, names=texts.column_names)
