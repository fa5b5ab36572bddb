"""The rows that the jobs read and judge valid are those of the oracle, on random CSV files made to be difficult."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from glue_scripts.blobs import table_of
from glue_scripts.judging import judge_rows
from glue_scripts.readable_file import ReadableFile
from glue_scripts.spread import HERE
from glue_scripts.storing import PLAYS, ROWS
from tests import oracle
from tests.oracle import Play, Song, User
from tests.validation.judging import judging
from validators.file_checks import check_text, plain_chunks

LAST_MODIFIED = datetime(2025, 6, 1, 12, tzinfo=UTC)

TEXTS = [
    "a", "", " ", " a\t", "a b", 'say "x"', '"', '""', "a,b", "a\nb", "a\n", "\na", "a\\", 'a\\"b', "\\N", "null", "#a",
    "\u00a0", "\u3000a", "é", "e\u0301", "🎵", "\ufeff", "\u2028", "\x0b", "\x0c", "'", ";", "\t",
    "é" * 100, "é" * 101, "x" * 64, "x" * 65, "é" * 300, "🎵" * 301, "x" * 200, "x" * 201,
]  # fmt: skip
INTEGERS = [
    "0", "1", "-1", "+5", "007", " 7 ", "2147483647", "2147483648", "1.0", "1e3", "1_0", "٣", "NaN", "", " ", "12L",
    "0x1F", "9" * 18, "9" * 19, "--1", "\u00a01", "1d", "1f",
]  # fmt: skip
BOOLEANS = ["True", "false", "TRUE", "t", "F", "yes", "No", "y", "n", "1", "0", " true ", "", " ", "2", "maybe", "ja"]
DATES = [
    "2024-06-25", "2024-02-29", "2024-02-30", "2023-02-29", "2000-01-01", "1999-12-31", "2025-06-02", "2025-06-03",
    "2024-6-25", "24-06-25", "2024-13-01", "2024-00-10", "2024-06-00", "12024-06-25", "-2024-06-25", "٢٠٢٤-06-25",
    "0001-01-01", "1582-10-10", "2024/06/25", "epoch", "today", "now",
]  # fmt: skip
FAR_DATES = ["0000-01-01", "9999-12-31"]
"""Java has a year 0 and one after 9999, Python has not. No play is then, and when a user was created is not used."""
SEPARATORS = [" ", " ", " ", "T", "T", "t", "  ", "", "_"]
TIMES = [
    "00:00:00", "12:00:00", "12:00:01", "23:59:59", "24:00:00", "23:60:00", "23:59:60", "17:43", "7:43:13", "174313",
    "", "17:43:13 PM", "17:43:13,5",
]  # fmt: skip
FRACTIONS = ["", "", "", ".5", ".999999", ".999999999", ".1234567890123", "."]
ZONES = [
    "", "", "", "Z", "z", "+00:00", "-00:00", "+02:00", "-03:30", "+05:45", "+18:00", "-18:00", "+18:01", "+19:00",
    "-99:00", "+02:60", "+0200", "+02", "+2:00", " Z", " UTC", "UTC", " +02:00", "[Europe/Paris]", "CET", "\n", " ",
]  # fmt: skip


def timestamp(rng: random.Random, dates: list[str]) -> str:
    """A good timestamp with at most two parts replaced by tricky ones, so that many are valid."""
    parts = ["2024-06-25", " ", "12:00:00", "", ""]
    choices = [dates, SEPARATORS, TIMES, FRACTIONS, ZONES]
    for part in rng.sample(range(5), k=rng.choice([0, 1, 1, 2])):
        parts[part] = rng.choice(choices[part])
    return "".join(parts) if rng.random() < 0.97 else rng.choice(["", " ", "17:43", "2024-06-25", "1719337393", "now"])


def tricky_file(rng: random.Random, columns: dict[str, list[str]], rows: int) -> bytes:
    """A CSV file where most fields are unremarkable: the first choice of each column is taken more often than not."""
    names = rng.sample([*columns, "more"], k=len(columns) + 1)
    line_end = rng.choice(["\n", "\r\n"])
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end, quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer.writerow(names)
    for _ in range(rows):
        tricky = rng.sample(names, k=rng.choice([0, 1, 1, 2, 3]))
        row = [
            rng.choice(columns.get(name, TEXTS)) if name in tricky else columns.get(name, TEXTS)[0] for name in names
        ]
        length = rng.choices([len(names), len(names) - 1, len(names) + 1], [50, 1, 1])[0]
        writer.writerow([*row, "surplus"][:length])
        if rng.random() < 0.02:
            text.write(line_end)
    data = (rng.choice(["", "\ufeff"]) + text.getvalue()).encode()
    return rng.choice([data, gzip.compress(data)])


def rows_of_the_job(data: bytes, dataset: str, columns: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """The rows of a file that the jobs find valid."""
    text = check_text(io.BytesIO(data), dataset)
    (folder / "file").write_bytes(b"".join(plain_chunks(io.BytesIO(data))))
    file = ReadableFile("file", "s3://bucket/file", text.header, LAST_MODIFIED, text.size, text.is_line_per_row)
    blobs = judge_rows([file], judging(folder, [file], dataset), HERE).valid.collect()
    tables = [table_of(blob) for blob in blobs if blob.name in (PLAYS, ROWS)]
    return [row for table in tables for row in table.select(columns).to_pylist()]


def assert_same_rows(actual: Iterable[object], expected: Iterable[object]) -> None:
    found, wanted = Counter(actual), Counter(expected)
    assert found - wanted == Counter(), "rows that only the job finds valid"
    assert wanted - found == Counter(), "rows that only the oracle finds valid"
    assert len(wanted) > 20


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_streams(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    columns = {
        "user_id": TEXTS,
        "track_id": TEXTS,
        "listen_time": [timestamp(rng, DATES + FAR_DATES) for _ in range(1500)],
    }
    columns["listen_time"][0] = "2024-06-25 12:00:00"
    data = tricky_file(rng, columns, rows=3000)
    rows = rows_of_the_job(data, "streams", Play._fields, tmp_path)
    assert_same_rows(((Play(**row)) for row in rows), oracle.parse_streams(data, LAST_MODIFIED)[0])


def test_songs(tmp_path: Path) -> None:
    columns = {name: ["a", *TEXTS] for name in ("track_id", "track_name", "artists", "album_name", "track_genre")}
    columns |= {"duration_ms": INTEGERS, "popularity": INTEGERS, "explicit": BOOLEANS}
    data = tricky_file(random.Random(4), columns, rows=4000)
    rows = rows_of_the_job(data, "songs", Song._fields, tmp_path)
    assert_same_rows(((Song(**row)) for row in rows), oracle.parse_songs(data)[0])


def test_users(tmp_path: Path) -> None:
    rng = random.Random(5)
    columns = dict.fromkeys(("user_id", "user_name", "user_country"), TEXTS) | {"user_age": INTEGERS}
    columns["created_at"] = ["2024-06-25", *DATES, *(timestamp(rng, DATES) for _ in range(200))]
    data = tricky_file(rng, columns, rows=4000)
    rows = rows_of_the_job(data, "users", User._fields, tmp_path)
    assert_same_rows(((User(**row)) for row in rows), oracle.parse_users(data)[0])
