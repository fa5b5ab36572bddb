"""Files through the judge: what it says of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from glue_scripts.judging import ID_COLUMNS, judge_rows
from glue_scripts.readable_file import ReadableFile
from glue_scripts.spread import HERE
from tests.stored import share
from tests.validation.judging import QUARANTINE, UPLOADED, judging, readable
from validators import csv_pieces
from validators.csv_pieces import Piece
from validators.judge import judge, judging_connection
from validators.reports import Sample
from validators.schemas import REQUIRED_COLUMNS

BUCKETS: Final = 4
MOMENTS: Final = {"listen_time", "created_at"}
Row = tuple[object, ...]
ValidRows = Counter[Row]
"""The typed columns of a dataset, moments in microseconds; how often each row is there."""


@dataclass(frozen=True)
class Outcome:
    """What the judge says of a file.

    Attributes:
        counts: see `MeasuredFile.counts`.
        samples: by rule id, where the first rows that break it stand.
        broken: what the quarantine keeps of the rows that break a rule, in the file's order.
        valid: the other rows.
    """

    counts: dict[str, int]
    samples: dict[str, list[Sample]]
    broken: list[dict[str, Any]]
    valid: ValidRows


def judged_files(
    folder: Path, dataset: str, contents: Mapping[str, bytes], known: Mapping[str, Sequence[str]]
) -> dict[str, Outcome]:
    """What the judge says of files that pass the checks of their bytes, by name.

    Args:
        folder: where they, the quarantine and the known ids are written.
        dataset: the dataset of the files.
        contents: by name.
        known: by dataset (songs, users), the ids that are known.
    """
    files = readable(folder, contents, dataset)
    task = judging(folder, files, dataset, known=_objects_of_ids(folder, known), buckets=BUCKETS)
    measured = judge_rows(files, task, HERE).measured
    assert [file.problem for file in measured.values() if file.problem] == []
    valid = _valid_rows(folder, dataset, files)
    return {
        name: Outcome(file.counts, file.samples, _quarantined(folder, name), valid[name])
        for name, file in measured.items()
    }


def _valid_rows(folder: Path, dataset: str, files: Sequence[ReadableFile]) -> dict[str, ValidRows]:
    pieces = [(file.name, piece) for file in files for piece in _pieces(folder, file)]
    with judging_connection(share(folder)) as db:
        table = judge(
            db, dataset, [piece for _, piece in pieces], uploaded=[UPLOADED] * len(pieces), max_broken=1
        ).valid
    columns = [
        table[name].cast(pa.int64()) if name in MOMENTS else table[name]
        for name in ("piece", *REQUIRED_COLUMNS[dataset])
    ]
    valid = {file.name: ValidRows() for file in files}
    for number, *row in zip(*(column.to_pylist() for column in columns), strict=True):
        valid[pieces[number][0]][tuple(row)] += 1
    return valid


def _pieces(folder: Path, file: ReadableFile) -> Iterator[Piece]:
    """A file's pieces: in ranges where its text has no quotes, else in blocks."""
    plain = (folder / file.name).read_bytes()
    if file.is_line_per_row:
        for start, end in csv_pieces.ranges(len(plain)):
            yield csv_pieces.range_piece(lambda a, b: plain[a:b], start, end, len(plain), file.header)
    else:
        yield from csv_pieces.blocks(iter([plain[at : at + 1000] for at in range(0, len(plain), 1000)]), file.header)


def _objects_of_ids(folder: Path, known: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    keys = {dataset: f"known-{dataset}.parquet" for dataset in known}
    for dataset, key in keys.items():
        pq.write_table(pa.table({ID_COLUMNS[dataset]: pa.array(known[dataset], pa.string())}), folder / key)
    return {dataset: [key] for dataset, key in keys.items()}


def _quarantined(folder: Path, name: str) -> list[dict[str, Any]]:
    objects = sorted((folder / QUARANTINE).glob(f"file={name}/*"))
    return [json.loads(line) for path in objects for line in path.read_bytes().splitlines()]
