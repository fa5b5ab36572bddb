"""Files give the same result in the driver and in tasks, in any number of parts; each byte is judged once."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from glue_scripts import judging as judging_module
from glue_scripts.blobs import Blob
from glue_scripts.judging import BUCKETS_PER_PART, PIECES_PER_PART, MeasuredFile, Source, judge_rows
from glue_scripts.spread import Blobs, Here, Part, Spread, Work, Workers
from tests.stored import Start
from tests.validation.judging import QUARANTINE, judging, readable
from validators import csv_pieces
from validators.rules import Severity, rules_of
from validators.schemas import REQUIRED_COLUMNS

PIECE_BYTES: Final = 2000
PART_BYTES: Final = PIECES_PER_PART * PIECE_BYTES
TIME: Final = "2024-06-25 10:00:00"
KNOWN_TRACKS: Final = 10
KNOWN_USERS: Final = 30

GOOD: Final = {
    "streams": "u{0},t{0},2024-06-25 10:00:{1:02}",
    "songs": "t{0},name,artist,album,g{1},1000,1,true",
    "users": "u{0},name,{1},NL,2024-01-01",
}
BAD: Final = {
    "streams": {"u1,t1": "malformed_row", "u1,t1,noon": "bad_listen_time", f" ,t1,{TIME}": "null_user_id"},
    "songs": {"t1,n": "malformed_row", "t1,n,a,b,g,long,1,true": "bad_duration_ms"},
    "users": {"u1,n,30,NL": "malformed_row", "u1,n,old,NL,2024-01-01": "bad_user_age"},
}
"""By dataset, rows and the rule that each breaks."""


@dataclass(frozen=True)
class Result:
    """What a judging of files gives: what is measured, and the objects that are written.

    Attributes:
        measured: by file.
        quarantine: by key.
        ids: by file, the ids that were written, in their order; each as often as it was.
    """

    measured: dict[str, MeasuredFile]
    quarantine: dict[str, bytes]
    ids: dict[str, list[str]]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are small in this process. Spark's workers only get ranges that are small."""
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", PIECE_BYTES)


def judged(
    folder: Path,
    contents: Mapping[str, bytes],
    dataset: str,
    start: Start,
    *,
    known: Mapping[str, Sequence[Sequence[str]]] | None = None,
    buckets: int = 4,
    parts: int = 3,
) -> Result:
    """Judges files in a folder of its own.

    Args:
        folder: the folder.
        contents: the files.
        dataset: their dataset.
        start: where the work is done.
        known: by dataset, the ids of each of its objects.
        buckets: of users.
        parts: over how many tasks.
    """
    folder.mkdir()
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for name, objects in (known or {}).items():
        keys[name] = []
        for number, ids in enumerate(objects):
            keys[name].append(f"{name}-{number}.parquet")
            column = "track_id" if name == "songs" else "user_id"
            pq.write_table(pa.table({column: pa.array(ids, pa.string())}), folder / keys[name][-1])
    files = readable(folder, contents, dataset)
    task = judging(folder, files, dataset, known=dict(keys), buckets=buckets)
    measured = judge_rows(files, task, Workers(start, parts)).measured
    quarantine = folder / QUARANTINE
    ids_of = {
        name: sorted(value for key in file.ids for value in pq.read_table(folder / key)[0].to_pylist())
        for name, file in measured.items()
    }
    return Result(
        {name: replace(file, ids=sorted(file.ids)) for name, file in measured.items()},
        {str(path.relative_to(quarantine)): path.read_bytes() for path in quarantine.rglob("*") if path.is_file()},
        ids_of,
    )


def some_rows(dataset: str, *, rows: int, seed: int) -> list[str]:
    """Good and bad rows; the last ones are a copy of the first ones."""
    rng = random.Random(seed)
    found = [
        rng.choice(list(BAD[dataset])) if rng.random() < 0.1 else GOOD[dataset].format(rng.randrange(50), number % 60)
        for number in range(rows)
    ]
    return [*found, *found[: rows // 10]]


def quoted(lines: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(line.split(",") for line in lines)
    return text.getvalue()


REPEATED_HEADERS: Final = ("ranges", "quoted")
"""Files whose last row is their header."""


def some_files(dataset: str) -> tuple[dict[str, bytes], dict[str, list[str]]]:
    """Files of each kind, and the rows of each."""
    header = ",".join(REQUIRED_COLUMNS[dataset])
    rows = {
        "ranges": some_rows(dataset, rows=600, seed=1),
        "quoted": some_rows(dataset, rows=300, seed=2),
        "crlf": some_rows(dataset, rows=300, seed=3),
        "packed": some_rows(dataset, rows=300, seed=4),
        "small": some_rows(dataset, rows=10, seed=5),
        "broken": list(BAD[dataset]),
        "empty": [],
    }
    texts = {name: "\n".join([header, *of_file, ""]) for name, of_file in rows.items()}
    for name in REPEATED_HEADERS:
        texts[name] += f"{header}\n"
    contents = {name: text.encode() for name, text in texts.items()}
    contents["quoted"] = quoted(texts["quoted"].splitlines()).encode()
    contents["crlf"] = texts["crlf"].replace("\n", "\r\n").encode()
    contents["packed"] = gzip.compress(b"\xef\xbb\xbf" + contents["packed"])
    return contents, rows


def expected_counts(dataset: str, name: str, rows: Sequence[str]) -> dict[str, int]:
    bad = Counter(BAD[dataset][row] for row in rows if row in BAD[dataset])
    good = [row.split(",") for row in rows if row not in BAD[dataset]]
    rules = [rule.id for severity in (Severity.QUARANTINE_ROW, Severity.WARN) for rule in rules_of(dataset, severity)]
    counts = {"rows": len(rows), "quarantined": bad.total(), **dict.fromkeys(rules, 0), **bad}
    counts["repeated_header"] = int(name in REPEATED_HEADERS)
    counts["duplicate_rows"] = len(good) - len(set(map(tuple, good)))
    if dataset == "streams":
        counts["unknown_track"] = sum(int(row[1].removeprefix("t")) >= KNOWN_TRACKS for row in good)
        counts["unknown_user"] = sum(int(row[0].removeprefix("u")) >= KNOWN_USERS for row in good)
    if dataset == "songs":
        of_track: defaultdict[str, set[str]] = defaultdict(set)
        for row in good:
            of_track[row[0]].add(row[4])
        counts["genres"] = len(set().union(*of_track.values()))
        counts["genres_of_track"] = max(map(len, of_track.values()), default=0)
    return counts


def known_of(dataset: str) -> dict[str, list[list[str]]]:
    """The snapshots that plays are compared with, each of two objects."""
    if dataset != "streams":
        return {}
    tracks, users = (
        [f"{letter}{n}" for n in range(size)] for letter, size in (("t", KNOWN_TRACKS), ("u", KNOWN_USERS))
    )
    return {"songs": [tracks[:3], tracks[2:]], "users": [users, []]}


def check(result: Result, dataset: str, rows: Mapping[str, Sequence[str]]) -> None:
    """What is measured of `some_files` is what their rows are made to give."""
    for name, of_file in rows.items():
        measured = result.measured[name]
        assert measured.counts == expected_counts(dataset, name, of_file), name
        kept = list(map(json.loads, result.quarantine.get(f"file={name}/part-00000.json", b"").splitlines()))
        bad = [(number, BAD[dataset][row]) for number, row in enumerate(of_file, start=2) if row in BAD[dataset]]
        assert [(row["row"], *row["rules"]) for row in kept] == bad
        sampled = {rule: [number for number, broken in bad if broken == rule][:20] for _, rule in bad}
        assert {rule: [each.line for each in found] for rule, found in measured.samples.items()} == sampled
        ids = {row.split(",")[0] for row in of_file if row not in BAD[dataset]} if dataset != "streams" else set()
        assert result.ids[name] == sorted(ids)
        assert bool(measured.ids) == bool(ids)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("dataset", REQUIRED_COLUMNS)
def test_files_give_the_same_here_and_spread(spark: SparkSession, tmp_path: Path, dataset: str) -> None:
    contents, rows = some_files(dataset)
    assert len(contents["ranges"]) > 2 * PART_BYTES
    known = known_of(dataset)
    here = judged(tmp_path / "here", contents, dataset, Here, known=known)
    check(here, dataset, rows)
    spread = judged(tmp_path / "spread", contents, dataset, partial(Spread.of, spark.sparkContext), known=known)
    assert spread == here


def test_blocks_of_a_large_file_give_the_same_here_and_spread(spark: SparkSession, tmp_path: Path) -> None:
    header = ",".join(REQUIRED_COLUMNS["streams"])
    long = "x" * 2000
    rows = ["u1,t1,noon", *(f"u{number % 7},t1,{TIME}" for number in range(4500)), "u1,t1,dawn"]
    contents = {
        "blocks": quoted([f"{header},more", *(f"{row},{long}" for row in rows)]).encode(),
        "other line ends": f"{header}\r\n".encode() + f"u1,t1,{TIME}\n".encode() * 700_000,
        "good": f"{header}\nu1,t1,{TIME}\n".encode(),
    }
    assert csv_pieces.PIECE_BYTES < len(contents["blocks"]) < len(contents["other line ends"])
    here = judged(tmp_path / "here", contents, "streams", Here)
    assert here.measured["blocks"].counts | {"rows": 4502, "bad_listen_time": 2} == here.measured["blocks"].counts
    assert here.measured["blocks"].counts["duplicate_rows"] == 4500 - 7
    assert [each.line for each in here.measured["blocks"].samples["bad_listen_time"]] == [2, 4503]
    assert here.measured["other line ends"].counts["rows"] == 700_000
    assert here.measured["other line ends"].counts["quarantined"] == 0
    spread = judged(tmp_path / "spread", contents, "streams", partial(Spread.of, spark.sparkContext))
    assert spread == here


class InAnyOrder:
    """Blobs that are worked on here, and exchanged in a random order."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._blobs = [blob for part in parts for blob in part]

    def map(self, work: Work) -> InAnyOrder:
        return InAnyOrder([list(work(self._blobs))])

    def by_key(self, parts: int) -> InAnyOrder:
        return InAnyOrder([random.Random(parts).sample(self._blobs, len(self._blobs))])

    def collect(self) -> list[Blob]:
        return self._blobs


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("parts", [1, 50, 51])
@pytest.mark.parametrize("dataset", REQUIRED_COLUMNS)
def test_the_order_in_which_parts_end_does_not_matter(tmp_path: Path, dataset: str, parts: int) -> None:
    contents, rows = some_files(dataset)
    check(judged(tmp_path / "f", contents, dataset, InAnyOrder, known=known_of(dataset), parts=parts), dataset, rows)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("buckets", [1, 16])
def test_the_number_of_buckets_does_not_matter(tmp_path: Path, buckets: int) -> None:
    contents, rows = some_files("streams")
    result = judged(tmp_path / "f", contents, "streams", Here, known=known_of("streams"), buckets=buckets)
    check(result, "streams", rows)


# What is asked of valid rows


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        ({}, {}),
        ({"songs": [["t1"]]}, {"unknown_track": 1}),
        ({"songs": [[]], "users": []}, {"unknown_track": 3, "unknown_user": 3}),
        ({"songs": [["t1", "t1", "t2"]], "users": [["u1"], ["u1"]]}, {"unknown_track": 0, "unknown_user": 1}),
    ],
)
def test_what_is_unknown_is_told_by_the_snapshots_that_there_are(
    tmp_path: Path, known: dict[str, list[list[str]]], unknown: dict[str, int]
) -> None:
    text = f"user_id,track_id,listen_time\n u1 ,t1,{TIME}\nu1,t1 ,{TIME}Z\nu2,t2,{TIME}\nu3,t3,noon\n"
    counts = judged(tmp_path / "f", {"file": text.encode()}, "streams", Here, known=known).measured["file"].counts
    assert {name: count for name, count in counts.items() if name.startswith("unknown")} == unknown
    assert counts["duplicate_rows"] == 1


def test_ids_are_written_in_objects_of_a_bounded_size_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging_module, "IDS_PER_OBJECT", 2048)
    row = GOOD["songs"]
    texts = {
        name: "\n".join(
            [",".join(REQUIRED_COLUMNS["songs"]), *(row.format(n, 1) for n in range(rows)), row.format(1, 2)]
        )
        for name, rows in (("many", 5000), ("few", 2))
    }
    result = judged(tmp_path / "f", {name: text.encode() for name, text in texts.items()}, "songs", Here)
    assert result.ids == {"many": sorted(f"t{n}" for n in range(5000)), "few": ["t0", "t1"]}
    assert result.measured["few"].ids == ["ids/few/00000.parquet"]
    sizes = [pq.read_metadata(tmp_path / "f" / key).num_rows for key in result.measured["many"].ids]
    assert len(sizes) == 3
    assert max(sizes) <= 2048


# Parts


@dataclass
class Recorded:
    """Starts work in this process.

    Attributes:
        parts: what each task was given to judge.
        exchanges: over how many tasks what follows was spread.
    """

    parts: list[list[Source]] = field(default_factory=list)
    exchanges: list[int] = field(default_factory=list)

    def __call__(self, parts: Sequence[Part]) -> Blobs:
        for part in parts:
            self.parts.append([Source(**entry) for blob in part for entry in json.loads(blob.payload)])
        return Exchanged(Here(parts), self.exchanges)


@dataclass(frozen=True)
class Exchanged:
    """Blobs whose exchanges are noted."""

    blobs: Blobs
    noted: list[int]

    def map(self, work: Work) -> Exchanged:
        return Exchanged(self.blobs.map(work), self.noted)

    def by_key(self, parts: int) -> Exchanged:
        self.noted.append(parts)
        return Exchanged(self.blobs.by_key(parts), self.noted)

    def collect(self) -> list[Blob]:
        return self.blobs.collect()


def of_size(size: int) -> bytes:
    """A streams file without quotes, of at least this size."""
    return b"\n".join([b"user_id,track_id,listen_time", *[f"u1,t1,{TIME}".encode()] * (size // 26 + 1), b""])


@pytest.mark.usefixtures("small_pieces")
def test_each_byte_is_judged_once_in_ranges_of_large_files_and_small_files_together(tmp_path: Path) -> None:
    contents = {f"small {number}": of_size(300 + number) for number in range(30)}
    contents["large"] = of_size(int(3.5 * PART_BYTES))
    contents["as large as a part"] = of_size(PART_BYTES)[:PART_BYTES]
    contents["a byte larger"] = of_size(PART_BYTES)[: PART_BYTES + 1]
    contents["quoted"] = of_size(3 * PART_BYTES).replace(b"u1", b'"u1"')
    contents |= {f"last {number}": of_size(10) for number in range(3)}
    start = Recorded()
    measured = judged(tmp_path / "f", contents, "streams", start).measured
    by_file: defaultdict[int, list[Source]] = defaultdict(list)
    for part in start.parts:
        for source in part:
            by_file[source.file].append(source)
    for number, (name, data) in enumerate(contents.items()):
        found = by_file[number]
        assert {source.key for source in found} == {name}
        assert {source.size for source in found} == {len(data)}
        if name == "quoted":
            assert [(source.start, source.end) for source in found] == [(None, len(data))]
        else:
            borders = [0, *(source.end for source in found)]
            assert [source.start for source in found] == borders[:-1]
            assert borders[-1] == len(data)
        assert measured[name].counts["rows"] == len(data.split()) // 2
    assert [len(by_file[list(contents).index(name)]) for name in ("large", "as large as a part", "a byte larger")] == [
        4, 1, 2
    ]  # fmt: skip
    sizes = [sum(source.bytes_to_judge for source in part) for part in start.parts]
    assert [size for part, size in zip(start.parts, sizes, strict=True) if size > PART_BYTES and len(part) > 1] == []
    assert min(map(sum, pairwise(sizes))) > PART_BYTES
    assert len(start.parts) < len(contents) // 2


@pytest.mark.usefixtures("small_pieces")
def test_a_row_belongs_to_the_range_in_which_it_begins(tmp_path: Path) -> None:
    """Also a long one, and where a range ends at a row's end, a byte before it or a byte behind it."""
    header, row = b"user_id,track_id,listen_time,", f"u1,t1,{TIME},\n".encode()
    long = row.replace(b"\n", b"y" * (PIECE_BYTES // 2) + b"\n")
    before = (PART_BYTES - 500) // len(row)
    for shift in (-1, 0, 1):
        size = PART_BYTES + shift - before * len(row)
        data = header.ljust(size - 1, b"x") + b"\n" + row * before
        assert len(data) == PART_BYTES + shift
        data += b"".join([row * 40, long, row * 40, long, row])
        counts = judged(tmp_path / f"{shift}", {"file": data}, "streams", Here).measured["file"].counts
        rows = before + 83
        assert (counts["rows"], counts["quarantined"], counts["duplicate_rows"]) == (rows, 0, rows - 1)


@pytest.mark.parametrize(
    ("files", "buckets", "parts", "expected"),
    [(2, 1, 1, 2), (2, 1, 7, 7), (9, 4, 7, 9), (2, 64, 1, 64 // BUCKETS_PER_PART), (2, 64, 100, 100)],
)
def test_no_task_holds_the_broken_rows_of_all_files_or_the_plays_of_many_buckets(
    tmp_path: Path, files: int, buckets: int, parts: int, expected: int
) -> None:
    start = Recorded()
    contents = {str(number): of_size(10) for number in range(files)}
    judged(tmp_path / "f", contents, "streams", start, buckets=buckets, parts=parts)
    assert start.exchanges == [expected]


@pytest.mark.usefixtures("small_pieces")
def test_a_file_that_cannot_be_told_apart_into_rows_does_not_hinder_the_others(tmp_path: Path) -> None:
    good = of_size(100)
    bad = f'user_id,track_id,listen_time\n"{"u" * 2 * csv_pieces.PIECE_BYTES}",t1,{TIME}\n'.encode()
    result = judged(tmp_path / "f", {"before": good, "bad": bad, "after": good}, "streams", Here)
    problem = result.measured["bad"].problem
    assert problem is not None
    assert problem[0] == "long_row"
    alone = judged(tmp_path / "alone", {"before": good}, "streams", Here).measured["before"]
    assert result.measured["before"] == result.measured["after"] == alone
    assert alone.problem is None
