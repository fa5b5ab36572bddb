"""One batch of the worst that a producer can upload, beside good files, in a job with little memory.

Most are small when packed, and exhaust a job that does not bound in bytes what it holds.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.validation.bad_inputs import SONGS_HEADER, STREAMS_HEADER, TIME, USERS_HEADER, plays, songs, streams
from tests.validation.validation_job import JudgedBatch, Staged, judge
from validators.broken_rows import MAX_ROW_BYTES
from validators.quarantine import QUARANTINED_COLUMNS
from validators.reports import MAX_MESSAGE_BYTES
from validators.schemas import MAX_COLUMNS, MAX_ROW_CHARACTERS

HEAP: Final = "512m"
"""A quarter of what a job has on a laptop, so that a few files of each kind are enough."""
WIDE: Final = "\U0001f600"
"""A character of four bytes, in UTF-8 and in the JVM."""
LONGEST: Final = WIDE * (MAX_ROW_CHARACTERS // 3 - 10)
"""A third of the longest row."""


@dataclass(frozen=True)
class Worst:
    """An input.

    Attributes:
        name: what is bad about it.
        content: its bytes.
        rules: that reject it; none for a file that is accepted.
        copies: how many files of it are in the batch.
        dataset: where it is uploaded to.
    """

    name: str
    content: bytes
    rules: tuple[str, ...] = ()
    copies: int = 1
    dataset: str = "streams"

    @property
    def keys(self) -> list[str]:
        return [f"raw/{self.dataset}/{self.name} {copy}" for copy in range(self.copies)]


def packed(*texts: str) -> bytes:
    return gzip.compress("".join(texts).encode(), mtime=0)


EMPTY_MEMBER: Final = gzip.compress(b"", mtime=0)
EXTRA_COLUMN: Final = STREAMS_HEADER.replace("\n", ",extra\n")
THOUSAND_COLUMNS: Final = ",".join([STREAMS_HEADER.strip(), *map(str, range(MAX_COLUMNS - 3))]) + "\n"
LONG_BROKEN_ROW: Final = f"{LONGEST},{LONGEST},{LONGEST}\n"


def _rows() -> Iterator[Worst]:
    """Files whose rows are looked at."""
    three = ("long_user_id", "long_track_id", "bad_listen_time")
    yield Worst("rows of 4 MB", packed(STREAMS_HEADER, LONG_BROKEN_ROW * 15), three, copies=3)
    many = f",t1,{TIME}\n" * 40_000
    yield Worst("many rows, some of 4 MB", packed(STREAMS_HEADER, many, LONG_BROKEN_ROW * 5), ("null_user_id",))
    row = f",t1,{TIME},{'x' * (MAX_ROW_BYTES - 200)}\n"
    yield Worst("rows just kept whole", packed(EXTRA_COLUMN, row * 2_000), ("null_user_id",), copies=3)
    row = "," * (MAX_ROW_CHARACTERS - 2) + "\n"
    yield Worst("rows of a million fields", packed(STREAMS_HEADER, row * 2), ("malformed_row",), copies=3)
    row = "," * (MAX_COLUMNS - 1) + "\n"
    empty = ("null_user_id", "null_track_id", "bad_listen_time")
    yield Worst("rows of a thousand empty fields", packed(THOUSAND_COLUMNS, row * 2_000), empty)
    yield Worst("blank values of 1 MB", packed(STREAMS_HEADER, f"{' ' * 10**6},t1,{TIME}\n" * 20), ("null_user_id",))
    row = '"' + "a\n" * 500_000 + '"\n'
    yield Worst("rows of half a million lines", packed(STREAMS_HEADER, row * 5), ("malformed_row",))
    yield Worst(
        "lines that end in another way", packed(STREAMS_HEADER.replace("\n", "\r\n"), many * 20), ("null_user_id",)
    )
    yield Worst("good rows of 4 MB", packed(EXTRA_COLUMN, f"u1,t1,{TIME},{LONGEST}\n" * 15))
    tracks = "".join(f"t{n},n,{LONGEST},b,pop,1,1,true\n" for n in range(15))
    yield Worst("good songs of 4 MB", packed(SONGS_HEADER, tracks), dataset="songs")
    genres = "".join(f"t1,n,a,b,g{n},1,1,true\n" for n in range(30_000))
    yield Worst("a track of 30,000 genres", packed(SONGS_HEADER, genres), ("too_many_genres",), dataset="songs")


def _bytes() -> Iterator[Worst]:
    """Files that no row is read of, and one that only takes long to unpack."""
    required = STREAMS_HEADER.strip()
    columns = ",".join(map(str, range(140_000)))
    yield Worst("a repeated column", packed(required, ",c" * 500_000, "\n"), ("duplicate_column",), copies=3)
    yield Worst("a header of many columns", packed(f"{required},{columns}\n"), ("too_many_columns",), copies=3)
    yield Worst("a column name of 1 MB", packed(f"{required},{'x' * 10**6}\n"), ("long_row",), copies=3)
    yield Worst("a line of 50 MB", packed(streams("a" * 50_000_000)), ("long_row",), copies=2)
    head = packed(STREAMS_HEADER)
    yield Worst("a gzip of many members", head + EMPTY_MEMBER * 200_000 + packed(plays(5)))
    yield Worst("a gzip of too many members", head + EMPTY_MEMBER * 1_000_000, ("unreadable",))
    yield Worst("a gzip bomb", head + packed(plays(1) * 40_000) * 200, ("unreadable",), copies=3)
    yield Worst("a gzip with junk behind it", packed(streams()) + b"junk", ("unreadable",), copies=3)
    yield Worst("\x1b[2J\u202e\n a key", b"user_id\x1b[31m,\u202e\n", ("missing_column",), copies=20)
    yield Worst("a key of " + "\x01" * 900, b"\x1f\x8b", ("unreadable",), copies=20)


GOOD: Final = [
    Staged(key="raw/streams/good.csv", content=streams().encode()),
    Staged(key="raw/songs/good.csv", content=songs().encode(), uploaded="2024-06-25T00:00:00Z"),
    Staged(key="raw/users/good.csv", content=(USERS_HEADER + "u1,A,30,NL,2024-01-01\n").encode()),
]


@dataclass(frozen=True)
class Judged:
    """What the job makes of all of them at once.

    Attributes:
        batch: what it has left.
        expected: the rules that reject each file, by key.
    """

    batch: JudgedBatch
    expected: dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    files = [*GOOD]
    expected: dict[str, tuple[str, ...]] = {file.key: () for file in GOOD}
    for given in (*_rows(), *_bytes()):
        files += [Staged(key=key, content=given.content) for key in given.keys]
        expected |= dict.fromkeys(given.keys, given.rules)
    assert len(files) <= 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_AWS_SPARK_DRIVER_MEMORY", HEAP)
        return Judged(judge(tmp_path_factory.mktemp("job"), files), expected)


def test_each_file_has_its_own_verdict_and_the_good_ones_are_accepted(judged: Judged) -> None:
    reports = judged.batch.reports
    assert {key: tuple(report["rejected_by"]) for key, report in reports.items()} == judged.expected
    assert judged.batch.accepted.keys() == {key for key, rules in judged.expected.items() if not rules}
    assert [reports[file.key]["valid"] for file in GOOD] == [100, 100, 1]


def test_everything_that_is_written_about_them_is_bounded(judged: Judged) -> None:
    assert max(len(json.dumps(report)) for report in judged.batch.reports.values()) < 110_000
    assert max(len(json.dumps(item, default=str)) for item in judged.batch.ledger.values()) < 10_000
    message = judged.batch.email["message"]
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    assert all(line.isprintable() for line in message.splitlines())
    for rows in judged.batch.quarantined.values():
        assert all(row.keys() <= set(QUARANTINED_COLUMNS) for row in rows)
        assert max(sum(len((field or "").encode()) for field in row["fields"]) for row in rows) <= MAX_ROW_BYTES


def test_a_long_row_is_quarantined_by_its_number(judged: Judged) -> None:
    rows = judged.batch.quarantined["raw/streams/rows of 4 MB 0"]
    assert sorted((row["row"], row["fields"]) for row in rows) == [(number, []) for number in range(2, 17)]
