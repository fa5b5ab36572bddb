"""What SQL makes of the text of a field is what plain Python makes of it."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle
from tests.robustness.csv_files import TEXT_PIECES, fuzzing, spliced
from validators.closed_duckdb import Share
from validators.judge import judging_connection

WHITESPACE = "".join(map(chr, [*range(1, 33), 0x7F, 0x85, 0xA0, 0x2003, 0xFEFF]))
MOMENTS = (
    "2024-06-25 17:43:13",
    "2024-02-29T23:59:59.5Z",
    "0001-01-01 00:00:00+18:00",
    "9999-12-31 00:00:00.1-17:59",
    "2024-06-25 17:43:13+00",
    "2024-06-25T17:43:13.5-0330",
    "2024-06-25 17:43:13 UTC",
    " 2024-06-25 17:43:13z ",
)

SPECIAL = ("2024-06-25", "42", "-0", "7.0", "true", "N", "1.0", "", "id", "NULL", "None", "<NA>", "#N/A", "NA", "\\N")
splices = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.sampled_from(TEXT_PIECES)), max_size=3)
texts = st.builds(spliced, st.sampled_from([*MOMENTS, *SPECIAL]), splices)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with judging_connection(Share(memory_mb=200, temp_folder=tmp_path_factory.mktemp("spill"))) as connection:
        yield connection


def values(db: duckdb.DuckDBPyConnection, macro: str, given_texts: Sequence[str | None]) -> list[object]:
    db.register("given", pa.table({"number": range(len(given_texts)), "text": pa.array(given_texts, pa.string())}))
    value = f"{macro}(text)"
    if macro.endswith("moment"):
        value = f"CASE WHEN year({value}) BETWEEN 1 AND 9999 THEN {value} END"  # Python has no other years
    return [value for (value,) in db.execute(f"SELECT {value} FROM given ORDER BY number").fetchall()]


def moment(text: str) -> datetime | None:
    try:
        return oracle.timestamp(text).replace(tzinfo=None)
    except oracle.InvalidRowError:
        return None


def day_or_moment(text: str) -> datetime | None:
    value = text.strip(string.whitespace)
    return moment(f"{value} 00:00:00" if oracle.DATE.fullmatch(value) else value)


def boolean(text: str) -> bool | None:
    match = oracle.BOOLEAN.fullmatch(text.strip(string.whitespace))
    return match["true"] is not None if match else None


BY_PYTHON: Final[dict[str, Callable[[str], object]]] = {
    "to_id": oracle.trimmed,
    "to_country": oracle.known,
    "to_name": oracle.name,
    "to_integer": oracle.integer,
    "to_boolean": boolean,
    "to_moment": moment,
    "to_day_or_moment": day_or_moment,
    "is_null_word": lambda text: text in oracle.NULL_WORDS,
    "is_given": lambda text: oracle.given(text) is not None,
}


@given(st.lists(texts, min_size=50, max_size=200))
@fuzzing(20)
def test_values_of_any_text(db: duckdb.DuckDBPyConnection, given_texts: list[str]) -> None:
    for macro, by_python in BY_PYTHON.items():
        found = values(db, macro, given_texts)
        assert dict(zip(given_texts, found, strict=True)) == {text: by_python(text) for text in given_texts}


def test_moments_with_each_number_and_each_character_in_each_place(db: duckdb.DuckDBPyConnection) -> None:
    """DuckDB's own cast takes 24:00:00, blanks for digits, and more."""
    of_numbers = [
        f"2024-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}"
        for separator in " T"
        for month, day, hour, minute, second in [
            *((month, day, 0, 0, 0) for month in range(14) for day in range(33)),
            *((1, 1, hour, 59, 59) for hour in range(100)),
            *((1, 1, 0, minute, second) for minute in (0, 59, 60, 99) for second in range(100)),
        ]
    ]
    of_characters = [
        text[:at] + character + text[at + 1 :]
        for text in MOMENTS
        for at in range(len(text))
        for character in map(chr, range(1, 128))
    ]
    of_zones = [
        f"2024-06-25 10:00:00{sign}{hours:02}{minutes}"
        for sign in "+-"
        for hours in range(20)
        for minutes in ("", ":00", ":01", ":59", ":60", "00", "30", "60", ":", "0", ":0", ":000")
    ]
    for made in (of_numbers, of_characters, of_zones):
        assert dict(zip(made, values(db, "to_moment", made), strict=True)) == {text: moment(text) for text in made}
        assert sum(moment(text) is not None for text in made) > 100


def test_blanks_at_both_ends_of_an_id_and_within(db: duckdb.DuckDBPyConnection) -> None:
    made = [f"{first}{middle}{last}" for first in WHITESPACE for last in WHITESPACE for middle in ("", "a", "é b")]
    assert values(db, "to_id", made) == [oracle.trimmed(text) for text in made]


def test_names_are_cut_by_characters(db: duckdb.DuckDBPyConnection) -> None:
    made = ["x" * 300, "x" * 301, "é" * 301, "🎵" * 301, "e\u0301" * 200, " " * 301, "a\n" * 151]
    assert values(db, "to_name", made) == [text[:300] for text in made]


def test_the_years_that_python_has_not_are_moments_as_they_are_for_spark(db: duckdb.DuckDBPyConnection) -> None:
    db.register("given", pa.table({"text": ["0000-02-29 00:00:00", "9999-12-31 23:59:59-18:00"]}))
    seconds = db.execute("SELECT epoch_us(to_moment(text)) // 1000000 FROM given").fetchall()
    assert seconds == [(-62162121600,), (253402300799 + 18 * 3600,)]
