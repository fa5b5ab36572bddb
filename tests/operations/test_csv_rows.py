"""A person's rows go, every other byte stays."""

from __future__ import annotations

import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.csv_rows import Cleaned, Person, UnreadableTextError, contains, remove_rows

PERSON = Person(" u-1 ")
HEADER = b"user_id,track_id,listen_time\n"


def cleaned(content: bytes, person: Person = PERSON) -> tuple[bytes, Cleaned]:
    target = io.BytesIO()
    outcome = remove_rows(io.BytesIO(content), target, person)
    return target.getvalue(), outcome


@pytest.mark.parametrize(
    ("content", "rest"),
    [
        (HEADER + b"u-1,t,x\nu-2,t,x\n u-1\t,t,y\n", HEADER + b"u-2,t,x\n"),
        (HEADER + b"u-1,t,x\r\nu-2,t,x", HEADER + b"u-2,t,x"),
        (HEADER + b"u-2,t,x\nu-1,t,x", HEADER + b"u-2,t,x\n"),
        (b"\xef\xbb\xbf" + HEADER + b"u-1,t,x\nu-2,t,x\n", b"\xef\xbb\xbf" + HEADER + b"u-2,t,x\n"),
        (HEADER.replace(b"\n", b"\r") + b"u-1,t,x\ru-2,t,x\r", HEADER.replace(b"\n", b"\r") + b"u-2,t,x\r"),
        (HEADER + b"u-2,t,x\r\nu-1,t,x\ru-3,t,x\n\ru-1,t,y\r", HEADER + b"u-2,t,x\r\nu-3,t,x\n\r"),
        (b"\n \n" + HEADER + b"u-1,t,x\nu-2,t,x\n\n", b"\n \n" + HEADER + b"u-2,t,x\n\n"),
        (b'track_id, "user_id"\n"a ""b"", c",u-1\n"a ""u-1"", c",u-2\n', b'track_id, "user_id"\n"a ""u-1"", c",u-2\n'),
        (b'track_id,"user_id"\n"two\nlines",u-1\n"two\nlines",u-2\n', b'track_id,"user_id"\n"two\nlines",u-2\n'),
        (HEADER + b'"u-1",t,x\n"u-10",t,x\n', HEADER + b'"u-10",t,x\n'),
        (HEADER + b"u-2,u-1,x\n", HEADER + b"u-2,u-1,x\n"),
    ],
    ids=[
        "trimmed",
        "windows",
        "no line break at the end",
        "byte order mark",
        "old Macintosh",
        "any line ends",
        "blank lines",
        "quotes",
        "lines in quotes",
        "longer ids",
        "another column",
    ],
)
def test_the_rows_go_and_every_other_byte_stays(content: bytes, rest: bytes) -> None:
    assert cleaned(content)[0] == rest
    packed, _ = cleaned(gzip.compress(content))
    assert gzip.decompress(packed) == rest


@pytest.mark.parametrize(
    ("content", "rest"),
    [
        (HEADER + b"u-2,t,x,u-1\nu-2,t,x\n", HEADER + b"u-2,t,x\n"),
        (HEADER + b'u-2,"t,x\nu-1,t,x\nu-3,t"",x\nu-4,t,x\n', HEADER + b'u-2,"t,x\nu-3,t"",x\nu-4,t,x\n'),
        (HEADER + b'u-2,"t\nu-1,t,x\nu-3,t",x\nu-4,t,x\n', HEADER + b"u-4,t,x\n"),
        (b"user;track\nu-1;t\nu-10;t\n", b"user;track\nu-10;t\n"),
        (b"u-1,t,x\nu-2,t,x\n", b"u-2,t,x\n"),
        (b"\xef\xbb\xbfu-1,t,x\nu-2,t,x\n", b"\xef\xbb\xbfu-2,t,x\n"),
    ],
    ids=["too many fields", "open quote", "swallowed rows", "semicolons", "no header", "no header, byte order mark"],
)
def test_what_validation_rejects_is_cleaned_as_well(content: bytes, rest: bytes) -> None:
    assert cleaned(content)[0] == rest


def test_a_catalogue_has_no_people() -> None:
    columns = b"track_id,track_name,artists,album_name,track_genre,duration_ms,popularity,explicit\n"
    content = columns + b"t,u-1,u-1,a,pop,1,7,no\n"

    assert cleaned(content) == (content, Cleaned(removed=0, left=1))
    assert cleaned(content, Person("7")) == (content, Cleaned(removed=0, left=1))


@pytest.mark.parametrize(
    "content",
    [
        HEADER + b"u-1,\xff,x\n",
        HEADER + b"u-1,\x00,x\n",
        gzip.compress(HEADER + b"u-1,t,x\n" + bytes(range(32, 127)) * 2)[:-20],
    ],
    ids=["not UTF-8", "NUL", "broken gzip"],
)
def test_a_file_that_cannot_be_read_is_told(content: bytes) -> None:
    assert contains(io.BytesIO(content), PERSON)
    with pytest.raises(UnreadableTextError):
        cleaned(content)


def test_an_id_is_found_across_chunks_and_in_utf_16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operations.csv_rows._CHUNK", 4)
    assert contains(io.BytesIO(b"user_id\nabu-1\n"), PERSON)
    assert contains(io.BytesIO("user_id\nu-1\n".encode("utf-16")), PERSON)
    assert not contains(io.BytesIO(b"user_id\nu-2\n"), PERSON)
    assert cleaned(HEADER + b"u-1,t,x\nu-2,t,x\n")[0] == HEADER + b"u-2,t,x\n"


fields = st.text(st.sampled_from('u-1 ,"\n\raé'), max_size=6)


@given(
    rows=st.lists(st.tuples(st.sampled_from(["u-1", " u-1", "u-2", 'u"-1', "u-1,", ""]), fields), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_of_well_formed_files_the_rows_are_those_of_a_csv_reader(rows: list[tuple[str, str]], end: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("user_id", "x"), *rows])

    rest, outcome = cleaned(text.getvalue().encode())

    def is_swallowed(field: str) -> bool:  # a field over several lines may hold somebody's row
        return ("\n" in field or "\r" in field) and PERSON.is_within(field.encode())

    expected = [row for row in rows if row[0].strip() != "u-1" and not is_swallowed(row[1])]
    found = [tuple(row) for row in csv.reader(io.StringIO(rest.decode(), newline=""))][1:]
    assert found == expected
    assert outcome == Cleaned(removed=len(rows) - len(expected), left=len(expected))
