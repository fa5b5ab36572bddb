"""The checks of a file's bytes: each breach has its rule, and good files come through whatever they are packed in."""

from __future__ import annotations

import gzip
import io

import pytest

from validators import file_checks
from validators.file_checks import FileRejectedError, check_text, field_count, plain_chunks
from validators.schemas import MAX_HEADER_CHARACTERS

STREAMS = b"user_id,track_id,listen_time\nu1,t1,2024-06-25 10:00:00\n"
# Without the time of day: pytest names the cases below after their bytes, and its workers must agree on the names.
PACKED_STREAMS = gzip.compress(STREAMS, mtime=0)


def check(data: bytes, dataset: str = "streams") -> file_checks.CsvText:
    return check_text(io.BytesIO(data), dataset)


def rule_broken_by(data: bytes, dataset: str = "streams") -> str:
    with pytest.raises(FileRejectedError) as raised:
        check(data, dataset)
    return raised.value.rule_id


def test_a_plain_file_is_read_as_it_is() -> None:
    assert check(STREAMS) == file_checks.CsvText(
        header=("user_id", "track_id", "listen_time"), size=len(STREAMS), is_plain=True, is_line_per_row=True
    )


@pytest.mark.parametrize(
    "data",
    [
        PACKED_STREAMS,
        b"\xef\xbb\xbf" + STREAMS,
        gzip.compress(STREAMS[:20]) + gzip.compress(STREAMS[20:]),
        gzip.compress(b"") + gzip.compress(b"\xef\xbb\xbf" + STREAMS),
    ],
    ids=["gzip", "byte order mark", "gzip of two members", "gzip whose first member is empty"],
)
def test_what_is_not_plain_is_told_and_unpacked(data: bytes) -> None:
    assert not check(data).is_plain
    assert b"".join(plain_chunks(io.BytesIO(data))) == STREAMS


def test_extra_and_reordered_columns_are_fine() -> None:
    header = check(b" more ,listen_time,user_id,track_id\n1,2,3,4\n").header
    assert header == ("more", "listen_time", "user_id", "track_id")


@pytest.mark.parametrize(
    ("rule_id", "data"),
    [
        ("no_rows", b""),
        ("no_rows", b"\n\n"),
        ("missing_column", b"user_id,track_id\nu1,t1\n"),
        ("missing_column", STREAMS.replace(b",", b";")),
        ("duplicate_column", b"user_id,track_id,listen_time,user_id\n1,2,3,4\n"),
        ("not_utf8", STREAMS + "u2,é,2024-06-25 10:00:00\n".encode("latin-1")),
        ("not_utf8", STREAMS.decode().encode("utf-16")),
        ("not_utf8", STREAMS + b"\xc3"),
        ("unreadable", STREAMS + b"\x00"),
        ("unreadable", PACKED_STREAMS[:-9]),
        ("unreadable", PACKED_STREAMS[:-8] + b"\0" * 8),
        ("unreadable", b"\x1f\x8b" + b"junk" * 9),
        ("unreadable", PACKED_STREAMS + b"junk after the end"),
        ("unreadable", b'{"user_id": "u1"}'),
        ("not_utf8", STREAMS.decode().encode("utf-16-be")),
        ("unbalanced_quote", STREAMS + b'"u2,t1,2024-06-25 10:00:00\n'),
        ("unbalanced_quote", STREAMS + b'"u2\n"u3,t1,2024-06-25 10:00:00\n'),
        ("unbalanced_quote", STREAMS + b'"'),
        ("unbalanced_quote", b'"user_id,track_id,listen_time\n' * 2),
        ("unbalanced_quote", b'"user_id,track_id,listen_time\nu1,t1,2024-06-25 10:00:00\n'),
        ("unbalanced_quote", b'"user_id,track_id,listen_time\n' + b"u1,t1,x\n" * 200_000),
        ("long_row", STREAMS + b"a" * (1024**2 + 1)),
        ("long_row", b"a" * 50 * 1024**2),
        ("too_many_columns", STREAMS.splitlines()[0] + b"".join(b",%d" % n for n in range(998))),
    ],
)
def test_each_breach_has_its_rule(rule_id: str, data: bytes) -> None:
    assert rule_broken_by(data) == rule_id


def test_blank_lines_before_the_header_do_not_count_as_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_checks, "MAX_ROW_CHARACTERS", 40)
    assert check(b"\n" * 100 + STREAMS).header == ("user_id", "track_id", "listen_time")
    with pytest.raises(FileRejectedError, match="begins in line 102 "):
        check(b"\n" * 100 + STREAMS.replace(b"u1", b'"u1'))


def test_a_gzip_bomb_is_rejected_long_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_checks, "GZIP_RATIO_CHECKED_FROM_BYTES", 1024**2)
    assert rule_broken_by(gzip.compress(STREAMS * 1024**2)) == "unreadable"


def test_a_file_that_is_too_large_when_unpacked_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_checks, "MAX_FILE_BYTES", len(STREAMS) - 1)
    assert rule_broken_by(gzip.compress(STREAMS)) == "too_large"


def test_a_character_that_two_chunks_share_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_checks, "CHUNK_BYTES", 1)
    assert check(STREAMS + "u2,é🎵,2024-06-25 10:00:00\n".encode()).is_plain


@pytest.mark.parametrize(
    "row",
    [
        b'12" mix,t1,2024-06-25 10:00:00',
        b'"12" mix",t1,2024-06-25 10:00:00',
        b'u1,"t1, t2",2024-06-25 10:00:00',
        b'u1,"t1\n""t2""\r\n",2024-06-25 10:00:00',
        b'u1,t1,"end of file',
    ],
)
def test_quotes_that_open_nothing_or_are_closed_are_fine(row: bytes) -> None:
    assert check(STREAMS + row + b'"' * row.endswith(b"file") + b"\n" + STREAMS).is_plain
    assert check(STREAMS + row + b'"' * row.endswith(b"file")).is_plain


def test_a_row_may_have_a_mebibyte_and_a_header_a_thousand_columns() -> None:
    assert check(STREAMS + b"a" * 1024**2).is_plain
    assert check(STREAMS + b'"' + b"a\n" * (2**19 - 2) + b'"\n').is_plain
    assert len(check(STREAMS.splitlines()[0] + b"".join(b",%d" % n for n in range(997))).header) == 1000


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 4 * 1024**2])
@pytest.mark.parametrize(
    "data",
    [
        STREAMS,
        STREAMS.removesuffix(b"\n"),
        STREAMS.replace(b"\n", b"\r\n") + b"\r\n",
        STREAMS + '"é🎵\n""x""",t2,2024-06-25 10:00:00\n'.encode() * 50,
        b"\xef\xbb\xbf" + STREAMS,
        PACKED_STREAMS,
        gzip.compress(b"\xef\xbb\xbf" + STREAMS, mtime=0) * 2,
    ],
    ids=["plain", "open end", "blank line", "quotes", "byte order mark", "gzip", "gzip of two with byte order marks"],
)
def test_the_size_is_that_of_the_text_which_is_read(
    monkeypatch: pytest.MonkeyPatch, data: bytes, chunk_bytes: int
) -> None:
    monkeypatch.setattr(file_checks, "CHUNK_BYTES", chunk_bytes)
    text = check(data)
    plain = b"".join(plain_chunks(io.BytesIO(data)))
    assert text.size == len(plain)
    assert text.is_plain == (plain == data)


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ("u1", 1),
        ("u1,t1,noon", 3),
        (",", 2),
        ("u1,t1,noon,", 4),
        ('"u1,t1",noon', 2),
        ('"u""1,"" t1",noon', 2),
        ('"a\r\nb\n\nc",t1', 2),
        ('12" mix,t1', 2),
        ("é🎵,\u2028,\x0b,\x0c,\x85", 5),
        (" ", 1),
        ('""', 1),
        ("", 0),
        ("," * 10**6, 10**6 + 1),
        ("x" * 2**20 + ",t1", 2),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_the_fields_of_a_row_are_counted_as_python_reads_them(row: str, fields: int) -> None:
    assert field_count(row) == fields


def test_columns_without_a_name_may_repeat() -> None:
    assert check(b"user_id,track_id,listen_time,,\nu1,t1,2024-06-25 10:00:00,,\n").header[3:] == ("", "")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PAR1" + STREAMS, "a Parquet file"),
        (b"PK\x03\x04" + STREAMS, "an Excel workbook"),
        ("用户,歌曲\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_name(data: bytes, told: str) -> None:
    with pytest.raises(FileRejectedError, match=told):
        check(data)


@pytest.mark.parametrize("column", [b"ORCHESTRA", b"PAR1", b"BZh", b"%PDF"])
def test_a_column_may_be_called_as_a_binary_file_begins(column: bytes) -> None:
    assert check(column + b",user_id,track_id,listen_time\nx,u1,t1,2024-06-25 10:00:00\n").is_plain


def test_data_in_place_of_a_header_is_not_repeated_for_it_may_be_personal() -> None:
    with pytest.raises(FileRejectedError, match="the first line has 3 fields, none of them a column's name"):
        check(b"someone@example.com,t1,2024-06-25 10:00:00\n")


def test_the_message_names_the_missing_columns_and_the_header() -> None:
    with pytest.raises(FileRejectedError, match="missing: track_id, listen_time; the header has: user_id, track"):
        check(b"user_id,track\n1,2\n")


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n\nu2,t, \n", b"\nu2,t,\x01\n", b"\n\xc2\xa0\n"])
def test_plain_lines_are_rows(end: bytes) -> None:
    assert check(STREAMS + b"u2,t2,x" + end).is_line_per_row


@pytest.mark.parametrize("line", [b'"u2",t,x', b"u2,t,x\r", b"\r", b" ", b"\t \x0b", b"\x1f", b"a\rb"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\nu3,t,x\n"])
def test_lines_that_readers_take_for_rows_in_different_ways(line: bytes, end: bytes) -> None:
    assert not check(STREAMS + line + end).is_line_per_row


def test_a_line_of_blanks_is_seen_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in range(1, 12):
        monkeypatch.setattr(file_checks, "CHUNK_BYTES", size)
        assert not check(STREAMS + b"   \nu3,t,x\n").is_line_per_row, size
        assert check(STREAMS * 2).header == ("user_id", "track_id", "listen_time")


def header_of(names: list[str]) -> bytes:
    return ",".join(["user_id", "track_id", "listen_time", *names]).encode() + b"\n"


def test_hundreds_of_thousands_of_columns_are_told_in_linear_time() -> None:
    assert rule_broken_by(header_of([f"c{n}" for n in range(130_000)])) == "too_many_columns"
    assert rule_broken_by(header_of(["a"] * 500_000)) == "duplicate_column"
    assert rule_broken_by(b"," * 1_000_000 + b"\n") == "missing_column"


def test_the_names_in_a_header_have_a_bound_together() -> None:
    room = MAX_HEADER_CHARACTERS - len("user_idtrack_idlisten_time")
    assert check(header_of(["é" * room])).is_plain
    with pytest.raises(FileRejectedError, match="long_row: the names in the header have 65537 characters"):
        check(header_of(["é" * (room + 1)]))


@pytest.mark.parametrize(
    "names",
    [
        ["x" * 500_000] * 2,
        ["x\x1b[2J"] * 2,
        ["listen\u202e_tim"] * 2,
        ["user_id" + "-" * 500_000, "track_id", "listen_time"],
        ["user_id\x1b", "track_id", "listen_time"],
        [f"LISTEN-TIME{'.' * n}" for n in range(1, 500)],
    ],
)
def test_a_detail_repeats_a_bounded_part_of_the_header_in_one_line(names: list[str]) -> None:
    for header in (header_of(names), ",".join(names).encode() + b"\n"):
        with pytest.raises(FileRejectedError) as raised:
            check(header)
        assert raised.value.detail.isprintable()
        assert len(raised.value.detail) < 1000


def test_a_gzip_may_have_so_many_members_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_checks, "MAX_GZIP_MEMBERS", 3)
    assert check(PACKED_STREAMS * 3).header == ("user_id", "track_id", "listen_time")
    with pytest.raises(FileRejectedError, match="unreadable: the gzip has more than 3 members"):
        check(PACKED_STREAMS * 4)
