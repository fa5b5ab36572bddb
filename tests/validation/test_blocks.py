"""A file whose rows are lines is judged alike whether it is read in ranges or in blocks, row numbers included."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from glue_scripts.judging import PIECES_PER_PART, MeasuredFile, judge_rows
from glue_scripts.readable_file import ReadableFile
from glue_scripts.spread import HERE
from tests.validation.judging import QUARANTINE, judging, readable
from validators import csv_pieces
from validators.schemas import REQUIRED_COLUMNS

PIECE_BYTES = 700
GOOD = {
    "streams": "user-{number},t1,2024-06-25 10:00:{second:02}",
    "songs": "t{number},n,a,b,g{second},1,1,true",
    "users": "u{number},n,{second},NL,2024-06-25",
}
ODD = {
    "streams": (
        "",
        "user-1",
        "user-1,t1",
        "user-1,t1,2024-06-25 10:00:00,more",
        ",,",
        " u , t ,2024-06-25 10:00:00",
        "\tu\x0b,t1,2024-06-25T10:00:00Z",
        "u,\u3000t,2024-06-25 10:00:00.5+02:00",
        "u,t,2024-06-25 10:00:00 ",
        "u,t,yesterday",
        "\u00fc\u00e9\U0001f3b5,t,2024-06-25 10:00:00",
        "u\\,t,2024-06-25 10:00:00",
        "#u,t,2024-06-25 10:00:00",
    ),
    "songs": ("", "t1", ",,,,,,,", " t1 ,,,, g1 , 1 ,,", "t1,n,a,b,g2,1.0,1,true", "t2,n,a,b,\u00e9,0,no,2"),
    "users": ("", "u1", ",,,,", " u1 ,n,,,", "\U0001f3b5,n,1.0,NL,2024", "u2,n,30,NL,2024-06-25 10:00:00Z"),
}


def text_of(dataset: str, seed: int) -> bytes:
    rng = random.Random(seed)
    lines = [
        rng.choice(ODD[dataset]) if rng.random() < 0.2 else GOOD[dataset].format(number=number, second=number % 60)
        for number in range(rng.randrange(300, 500))
    ]
    return "\n".join([",".join(REQUIRED_COLUMNS[dataset]), *lines, rng.choice(["", "\n"])]).encode()


def measured(folder: Path, files: Sequence[ReadableFile], dataset: str) -> dict[str, MeasuredFile]:
    return dict(judge_rows(files, judging(folder, files, dataset, buckets=2), HERE).measured)


def quarantine(folder: Path) -> dict[str, bytes]:
    root = folder / QUARANTINE
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.json")}


def ids(folder: Path, file: MeasuredFile) -> list[str]:
    """The ids that were written of a file, each as often as it was."""
    return sorted(value for key in file.ids for value in pq.read_table(folder / key)[0].to_pylist())


@pytest.mark.parametrize("dataset", REQUIRED_COLUMNS)
def test_ranges_give_the_rows_of_the_blocks_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    texts = {f"{seed}.csv": text_of(dataset, seed) for seed in range(4)}
    one_piece, in_ranges, in_blocks = (tmp_path / name for name in ("one piece", "ranges", "blocks"))
    for folder in (one_piece, in_ranges, in_blocks):
        folder.mkdir()
    expected = measured(one_piece, readable(one_piece, texts, dataset), dataset)
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", PIECE_BYTES)
    files = readable(in_ranges, texts, dataset)
    assert all(file.is_line_per_row and file.size > 2 * PIECES_PER_PART * PIECE_BYTES for file in files)
    readable(in_blocks, texts, dataset)
    whole_files = [replace(file, is_line_per_row=False) for file in files]
    assert measured(in_ranges, files, dataset) == expected
    assert measured(in_blocks, whole_files, dataset) == expected
    assert quarantine(in_ranges) == quarantine(in_blocks) == quarantine(one_piece)
    assert sum(of_file.count(b"\n") for of_file in quarantine(one_piece).values()) > 50
    assert len(quarantine(one_piece)) == len(files)
    for name, file in expected.items():
        written = ids(one_piece, file)
        assert len(written) == len(set(written))
        assert bool(written) == (dataset != "streams")
        assert ids(in_ranges, file) == ids(in_blocks, file) == written, name
