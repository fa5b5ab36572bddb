"""CSV files as Hypothesis makes them: mostly good ones, spoiled in a few places of their text and of their bytes."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from validators.schemas import REQUIRED_COLUMNS

Text = TypeVar("Text", str, bytes)

GOOD_VALUES: Final = {
    "user_id": ("u1", "u2", "ü-3"),
    "user_name": ("Ann", "José", "李"),
    "user_age": ("42", "7.0", "", "nan"),
    "user_country": ("Norway", "Côte d'Ivoire", "", "NA"),
    "created_at": ("2024-01-31", "2023-12-31 23:59:59", ""),
    "track_id": ("t1", "t2", "🎵"),
    "track_name": ("Song", 'the "best"', "a, b"),
    "artists": ("A;B", "Ü", "", "\\N"),
    "album_name": ("Album", "two\nlines", ""),
    "track_genre": ("pop", "rock", "überpop"),
    "duration_ms": ("215000", "0.0", "2147483647"),
    "popularity": ("50", "-1", ""),
    "explicit": ("True", "no", "", "1.0"),
    "listen_time": (
        "2024-06-25 17:43:13",
        "2024-06-25T00:00:00Z",
        "2024-06-25 23:59:59.9+02:00",
        " 2024-06-25 12:00:00+00",
    ),
    "more": ("", "x", "y z"),
}
"""By column; a field that is not spoiled has one of these."""

TEXT_PIECES: Final = (
    "", " ", "0", "1", "9", "-", "+", ":", ".", "T", "Z", "z", "a", "é", "e\u0301", "ß", "٣", "９", "\u00a0", "\u3000",
    "\u200b", "\u2028", "\x85", "\x0b", "\x0c", "\x1f", "\x7f", "\ufeff", "\ufffd", "\U0001f3b5", "\U0010ffff", "'",
    '"', '""', "\\", ",", ";", "\t", "\n", "\r", "\r\n", "#", "_", "NaN", "null", "NULL", "\\N",
    "NA", "#N/A", ".0", "00", "+02", "-0330", " UTC", "é" * 101, "x" * 201, "9" * 19,
)  # fmt: skip
BYTE_PIECES: Final = (
    b"", b'"', b'""', b'"\n', b'\n"', b',"', b'",', b",", b"\n", b"\r", b"\r\n", b"\n\n", b" ", b"\t", b";", b"a",
    b"\\", b"\x00", b"\x1a", b"\xff", b"\xc3", b"\xe2\x82", b"\xef\xbb\xbf", b"\xc2\x85", b"\xf0\x9f\x8e\xb5",
    b"\x1f\x8b", b"ORC", b"PK\x03\x04", b"{", b"<", b"\xed\xa0\x80", b"user_id", b"listen_time",
)  # fmt: skip


def count(variable: str, *, few: int) -> int:
    """How many inputs a test makes: few in the default suite, as many as the environment says in `make trust`."""
    return int(os.environ.get(variable, few))


def fuzzing(inputs: int) -> settings:
    """Settings of a fuzz run of so many inputs: the same ones every time, each as slow as it needs to be."""
    return settings(
        max_examples=inputs, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )


@st.composite
def values(draw: st.DrawFn, column: str) -> str:
    """A field's text: good more often than not, else with up to three splices, or one piece and nothing else."""
    text = draw(st.sampled_from(GOOD_VALUES[column]))
    kind = draw(st.integers(0, 15))
    if kind == 0:
        return draw(st.sampled_from(TEXT_PIECES))
    return spliced(text, draw(_splices(TEXT_PIECES))) if kind <= 4 else text


def rows(columns: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """The fields of a row."""
    return st.tuples(*map(values, columns)).map(list)


@st.composite
def files(draw: st.DrawFn, dataset: str) -> bytes:
    """A file: rows, quoted here and there, spoiled in up to three places, and packed in some way."""
    columns = draw(st.permutations([*REQUIRED_COLUMNS[dataset], "more"]))
    table = [columns, *draw(st.lists(st.tuples(*(st.sampled_from(GOOD_VALUES[name]) for name in columns)), max_size=5))]
    if draw(st.integers(0, 9)) == 0:
        table.append(columns)
    line_ends, quoted = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]])), draw(st.booleans())
    lines = [",".join(_field(field, is_quoted=quoted) for field in row) for row in table]
    text = "".join(line + draw(st.sampled_from(line_ends)) for line in lines)
    text = text.removesuffix("\n").removesuffix("\r") if draw(st.booleans()) else text
    data = spliced(text.encode(), draw(_splices(BYTE_PIECES)))
    packed = draw(st.sampled_from(_PACKINGS))(data)
    return spliced(packed, draw(_splices(BYTE_PIECES))) if draw(st.integers(0, 9)) == 0 else packed


def spliced(text: Text, splices: Sequence[tuple[int, int, Text]]) -> Text:
    """A text, in which at some places some characters are replaced by others, fewer or more."""
    for place, length, piece in splices:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + length :]
    return text


def _splices(pieces: Sequence[Text]) -> st.SearchStrategy[list[tuple[int, int, Text]]]:
    """Places, lengths and pieces, as `spliced` takes them."""
    return st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 3), st.sampled_from(pieces)), max_size=3)


def _field(text: str, *, is_quoted: bool) -> str:
    if is_quoted or any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _gzip_of_two_members(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:], mtime=0)


_PACKINGS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    *((bytes,) * 6),
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: gzip.compress(data, mtime=0),
    _gzip_of_two_members,
    lambda data: gzip.compress(data, mtime=0)[:-5],
    lambda data: gzip.compress(gzip.compress(data, mtime=0), mtime=0),
    lambda data: data.decode(errors="replace").encode("utf-16"),
    lambda data: data.decode(errors="replace").encode("utf-16-be"),
    lambda data: data.decode(errors="replace").encode("cp1252", errors="replace"),
)
