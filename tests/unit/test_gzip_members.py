"""gzip of many members is unpacked in linear time, and a broken one is described without zlib's words."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validators.gzip_members import BrokenGzipError, unpacked

LINE = gzip.compress(b"u1,t1,2025-03-01 10:00:00\n", mtime=0)
EMPTY = gzip.compress(b"", mtime=0)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def problem_of(data: bytes, max_members: int | None = None) -> str:
    with pytest.raises(BrokenGzipError) as raised:
        list(unpacked([data], max_members=max_members))
    return str(raised.value)


@given(
    texts=st.lists(st.binary(max_size=100) | st.just(b"x" * 200_000), min_size=1, max_size=5),
    padding=st.integers(0, 600),
    size=st.integers(1, 3000),
)
def test_any_members_in_any_chunks_are_unpacked_whole(texts: list[bytes], padding: int, size: int) -> None:
    data = b"".join(gzip.compress(text, mtime=0) + b"\0" * padding for text in texts)
    assert b"".join(unpacked(pieces(data, size))) == b"".join(texts)


@pytest.mark.parametrize("member", [LINE, EMPTY], ids=["one line", "empty"])
def test_many_small_members_take_linear_time(member: bytes) -> None:
    def seconds(count: int) -> float:
        start = time.process_time()
        assert b"".join(unpacked([member * count])) == gzip.decompress(member) * count
        return time.process_time() - start

    few = min(seconds(4_000) for _ in range(3))
    assert seconds(64_000) < 64 * few, "16 times as many members: 16 times as long, and not 256 times"


def test_small_members_come_out_in_large_texts() -> None:
    texts = list(unpacked(pieces(LINE * 400_000, 1000)))
    assert [len(text) >= 4 * 1024**2 for text in texts] == [True, True, False]


def test_a_bomb_is_unpacked_in_bounded_texts() -> None:
    bomb = gzip.compress(bytes(100 * 1024**2))
    assert max(map(len, unpacked([bomb]))) <= 8 * 1024**2


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the gzip ends too early, after 0 unpacked bytes"),
        (LINE[:-9], "the gzip ends too early, after 26 unpacked bytes"),
        (LINE + LINE[:5], "the gzip ends too early, after 26 unpacked bytes"),
        (LINE[:2] + b"junk" * 9, "the gzip is damaged: no more than 0 bytes could be unpacked"),
        (LINE[:-8] + b"\1" * 8, "the gzip is damaged: no more than 0 bytes could be unpacked"),
        (LINE + b"u2,t1", "after 26 unpacked bytes the gzip is over, and something else follows it"),
        (LINE + b"\0\0u2", "after 26 unpacked bytes the gzip is over, and something else follows it"),
    ],
    ids=["nothing", "cut", "cut in its second member", "no gzip", "wrong checksum", "garbage", "garbage after padding"],
)
def test_a_broken_gzip_is_described_in_plain_words(data: bytes, problem: str) -> None:
    assert problem_of(data) == problem


def test_an_error_holds_what_could_be_unpacked() -> None:
    with pytest.raises(BrokenGzipError) as raised:
        list(unpacked([LINE * 2 + b"garbage"]))
    assert raised.value.text == gzip.decompress(LINE) * 2


def test_the_number_of_members_may_be_limited() -> None:
    assert b"".join(unpacked([LINE * 3], max_members=3)) == gzip.decompress(LINE) * 3
    assert problem_of(LINE * 4, max_members=3) == "the gzip has more than 3 members: pack the file as a whole"
