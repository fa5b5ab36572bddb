"""Text that a producer chose is shown without steering a terminal or forging a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validators.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\n\tc", r"a\x0ab\x0d\x0a\x09c"),
        ("\x00\x7f", r"\x00\x7f"),
        ("\x85\x9b", r"\x85\x9b"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\u202eexe.csv\u202c", r"\u202eexe.csv\u202c"),
        ("\u2066\u2069\u061c\u200e", r"\u2066\u2069\u061c\u200e"),
        ("zero\u200b\u200d\ufeff width", r"zero\u200b\u200d\ufeff width"),
        ("no\xa0break", r"no\xa0break"),
        ("\ud83d", r"\ud83d"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_characters_that_are_not_seen_are_written_as_their_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["", "raw/streams/a b.csv", r"C:\music\x1b", "Größe 日本 😀 שלום", "[red]:smile:"])
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_any_text_becomes_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert printable(shown) == shown
