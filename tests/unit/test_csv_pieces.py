"""Text cut into pieces: the rows of the whole, whatever the pieces are, in bounded memory."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle import is_header
from tests.robustness.csv_files import fuzzing
from validators import csv_pieces
from validators.csv_pieces import Extent, Piece, blocks, range_piece, ranges
from validators.file_checks import FileRejectedError

HEADER = ("a", "b", "c")
HEADER_LINE = ",".join(HEADER)
Row = tuple[str | None, ...]

LINE_ENDS = ("\n", "\r\n", "\r")
field_texts = st.text(st.sampled_from('ab ,"\n\r\té🎵\ufeff\x01'), max_size=5)
tables = st.lists(st.lists(field_texts, min_size=1, max_size=4), max_size=30)


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def rows_of(piece: Piece) -> dict[int, Row | str]:
    """By number in the piece: the fields, or the text of a row that has too few or too many."""
    rows = zip(*(column.to_pylist() for column in piece.texts.columns), strict=True)
    well_formed = dict(zip(piece.numbers.tolist(), rows, strict=True))
    return well_formed | {number: piece.text_of(number) for number in piece.malformed.tolist()}


def rows_and_places(pieces: Sequence[Piece]) -> list[tuple[Row | str, int, int]]:
    """Each row below the header, its row in a spreadsheet and its line, from 1."""
    found = []
    before = Extent()
    for piece in pieces:
        places = piece.places
        for number, row in sorted(rows_of(piece).items()):
            place = before.sheet_rows + places.sheet_rows[number] + 1, before.lines + places.lines[number] + 1
            found.append((row, *place))
        before += piece.extent
    return found


def rows_by_python(text: str) -> list[tuple[Row | str, int, int]]:
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines)
    found: list[tuple[Row | str, int, int]] = []
    before = 0
    for sheet_row, fields in enumerate(reader, start=1):
        own = "".join(lines[before : reader.line_num]).rstrip("\r\n")
        row = tuple(field or None for field in fields) if len(fields) == len(HEADER) else own
        if fields and before and not is_header(fields, HEADER):
            found.append((row, sheet_row, before + 1))
        before = reader.line_num
    return found


@given(tables, st.lists(st.sampled_from(LINE_ENDS), min_size=1, max_size=5), *[st.integers(1, 400)] * 2, st.booleans())
@fuzzing(300)
def test_blocks_of_any_size_are_the_rows_that_python_reads(
    table: list[list[str]], line_ends: list[str], block_bytes: int, chunk_bytes: int, ends_open: bool
) -> None:
    whole = HEADER_LINE
    for row, line_end in zip(table, itertools.cycle(line_ends), strict=False):
        text = io.StringIO(newline="")
        csv.writer(text).writerow(row)
        whole += line_end + text.getvalue().removesuffix("\r\n")
    whole += "" if ends_open else line_ends[0]
    block_bytes += max(map(len, whole.encode().splitlines())) * 10
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(csv_pieces, "PIECE_BYTES", block_bytes)
        pieces = list(blocks(chunks(whole.encode(), chunk_bytes), HEADER))
    assert rows_and_places(pieces) == rows_by_python(whole)


@given(st.lists(st.text(st.sampled_from("ab ,é🎵\ufeff\t"), max_size=12), max_size=30), st.integers(1, 80))
@fuzzing(200)
def test_ranges_of_any_size_are_the_rows_that_python_reads(lines: list[str], range_bytes: int) -> None:
    whole = "\n".join([HEADER_LINE, *lines])
    data = whole.encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(csv_pieces, "_TAIL_BYTES", 3)
        places = [(start, min(start + range_bytes, len(data))) for start in range(0, len(data), range_bytes)]
        pieces = [range_piece(lambda a, b: data[a:b], *place, len(data), HEADER) for place in places]
    assert rows_and_places(pieces) == rows_by_python(whole)


def test_the_ranges_of_a_text_are_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", 4)
    assert [ranges(size) for size in (1, 4, 9)] == [[(0, 1)], [(0, 4)], [(0, 4), (4, 8), (8, 9)]]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('"a"b,"c"" d"e,f', ('"a"b', '"c" d"e', "f")),
        ('"d" ,"e"\t\x0b,"f" ', ("d", "e", "f")),
        ('12" mix,x"y"z,"a" "b"', ('12" mix', 'x"y"z', '"a" "b"')),
        ('"a,"b,c,d', ('"a,"b', "c", "d")),
        ('"","""","a""b"', (None, '"', 'a"b')),
        (' "a",\'b\',\\"', (' "a"', "'b'", '\\"')),
    ],
)
def test_text_behind_a_closing_quote_belongs_to_the_field_and_blanks_do_not(text: str, fields: Row) -> None:
    """As Spark's parser, univocity, has it with the setting STOP_AT_DELIMITER."""
    (piece,) = blocks(iter([f"a,b,c\n{text}\n1,2\n".encode()]), HEADER)
    assert rows_of(piece) == {1: fields, 2: "1,2"}


def test_a_row_with_too_many_fields_is_told_as_it_stands_in_the_file() -> None:
    (piece,) = blocks(iter([b'a,b,c\r\n"x"y,"1\r\n2" ,3,4\r\n1,2,3\r\n']), HEADER)
    assert rows_of(piece) == {1: '"x"y,"1\r\n2" ,3,4', 2: ("1", "2", "3")}
    assert piece.malformed_line_counts.to_pylist() == [2]
    assert piece.extent == Extent(rows=3, sheet_rows=3, lines=4)


@pytest.mark.parametrize(
    ("line_end", "field", "breaks"),
    [("\r\n", "x\r\r\ny", 2), ("\n", "x\r\r\ny", 2), ("\r\n", "x\ry", 1), ("\n", "x\r\ny", 1)],
)
def test_a_carriage_return_before_a_line_end_is_a_line_break_of_its_own(line_end: str, field: str, breaks: int) -> None:
    text = f'a,b,c{line_end}1,"{field}",3{line_end}4,5,6{line_end}'
    (piece,) = blocks(iter([text.encode()]), HEADER)
    assert piece.line_counts.to_pylist() == [breaks + 1, 1]
    assert piece.places.lines.tolist() == [0, 1, breaks + 2]
    assert piece.extent.lines == breaks + 3


def test_blocks_of_a_long_stream_are_bounded_and_read_one_by_one() -> None:
    taken = 0

    def stream() -> Iterator[bytes]:
        nonlocal taken
        yield b"a,b,c\n"
        while True:
            taken += 1
            yield b'"a","b ""and""\nb",c\n' * 10_000

    pieces = blocks(stream(), HEADER)
    for number in range(1, 4):
        piece = next(pieces)
        assert csv_pieces.PIECE_BYTES // 2 < len(piece.data) < 2 * csv_pieces.PIECE_BYTES
        assert taken * 210_000 < (number + 1) * 2 * csv_pieces.PIECE_BYTES
        assert len(piece.texts) > 100_000


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("text", ["x", "x\n", "x,"])
def test_a_row_that_is_longer_than_a_block_rejects_the_file(
    monkeypatch: pytest.MonkeyPatch, text: str, line_end: str
) -> None:
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", 1000)
    data = f"a,b,c{line_end}".encode() + b'"' + text.encode() * 5000
    with pytest.raises(FileRejectedError, match="long_row"):
        list(blocks(chunks(data, 100), HEADER))
    with pytest.raises(FileRejectedError, match="long_row"):
        range_piece(lambda a, b: (b"x" * 90_000)[a:b], 0, 10, 90_000, HEADER)


def test_a_byte_order_mark_within_a_file_is_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "a,b,c\n\ufeff1,2,3\n".encode()
    piece = range_piece(lambda a, b: data[a:b], 6, len(data), len(data), HEADER)
    assert rows_of(piece) == {0: ("\ufeff1", "2", "3")}


@pytest.mark.parametrize("data", [b"a,b,c\n", b"a,b,c", b"a,b,c\n\n\n", b"\n\na,b,c\n"])
def test_a_file_without_rows_has_a_piece_without_texts(data: bytes) -> None:
    (piece,) = blocks(iter([data]), HEADER)
    assert (len(piece.texts), rows_of(piece), piece.extent.rows) == (0, {}, 1)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("blank_lines", [1, 2, 5_000])
@pytest.mark.parametrize("rows", [b"", b"1,2,3"])
def test_blank_lines_before_the_header_are_no_header(
    monkeypatch: pytest.MonkeyPatch, rows: bytes, blank_lines: int, line_end: bytes
) -> None:
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", 100)
    data = line_end * blank_lines + b'"a","b","c"' + (line_end + rows if rows else b"")
    pieces = list(blocks(chunks(data, 60), HEADER))
    expected = [(("1", "2", "3"), blank_lines + 2, blank_lines + 2)] if rows else []
    assert rows_and_places(pieces) == expected
    assert sum(piece.extent.rows for piece in pieces) == 1 + len(expected)


def test_a_range_in_which_no_line_begins_is_empty() -> None:
    data = b"a,b,c\nxxxxxxxxxxxxxxxxx,2,3\n"
    piece = range_piece(lambda a, b: data[a:b], 10, 15, len(data), HEADER)
    assert (rows_of(piece), piece.extent) == ({}, Extent())


@pytest.mark.parametrize(("line_end", "field"), [("\r\n", "_\n"), ("\n", "_\r"), ("\r\n", "_\ry"), ("\n", '_"x')])
def test_a_quote_behind_a_line_break_of_another_kind_is_seen_in_a_long_piece(line_end: str, field: str) -> None:
    """Behind 32,768 values Arrow's parser takes eight bytes at a time where values are long."""
    rows = [f'"{number}","2024-06-25 23:59:59.9+02:00","c"' for number in range(12_000)]
    rows += [f'"u1","{field.replace(chr(34), chr(34) * 2)}","2024-06-25 23:59:59.9+02:00"'] * 3
    text = "".join(f"{row}{line_end}" for row in ['"a","b","c"', *rows])
    (piece,) = blocks(iter([text.encode()]), HEADER)
    assert piece.malformed.tolist() == []
    assert piece.texts[1].to_pylist()[-3:] == [field] * 3


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_the_characters_by_which_stand_ins_begin_are_characters_of_a_field(line_end: str, quote: str) -> None:
    fields = ("\x01r", "\x01e\x01", "x\x01n\x01c\x01q")
    text = "".join(f"{','.join(f'{quote}{field}{quote}' for field in row)}{line_end}" for row in (HEADER, fields))
    pieces = list(blocks(iter([text.encode(), b'"x"y,12",z']), HEADER))
    assert rows_and_places(pieces) == [(fields, 2, 2), (('"x"y', '12"', "z"), 3, 3)]
    assert pieces[0].text_of(1) == text.split(line_end)[1]
