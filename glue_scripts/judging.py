"""Which task judges what: works on blobs, run by `spread` in the driver or in Spark's tasks.

    parts of files --judge--> counts and broken rows --by file--> add up, write the quarantine --> measures of files
                              valid rows --by user or by file --> ask for warnings; later stored, see `storing`

A file without quotes is judged in ranges, side by side; any other one by one task, in blocks.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from glue_scripts.blobs import Blob, blobs_of, table_of
from glue_scripts.count_plays import insert_tables
from glue_scripts.many_plays import Gathered, SpilledPlays, plays_table
from glue_scripts.objects import Location, Objects, json_line
from glue_scripts.packing import packed
from glue_scripts.stored_plays import PLAYS_PER_BUCKET, Plays
from glue_scripts.stored_snapshots import to_parquet
from glue_scripts.storing import PLAYS, ROWS, divided
from glue_scripts.user_buckets import buckets_for
from validators import csv_pieces
from validators.closed_duckdb import Share, closed_connection
from validators.csv_pieces import Extent, Piece, blocks, range_piece
from validators.file_checks import FileRejectedError
from validators.judge import GENRES_SQL, Judged, judge, judging_connection, warnings_of, warnings_sql
from validators.quarantine import MAX_QUARANTINED_ROWS, QuarantinedRows, quarantined, samples
from validators.reports import Sample

if TYPE_CHECKING:
    from glue_scripts.coded import Coded
    from glue_scripts.readable_file import ReadableFile
    from glue_scripts.spread import Blobs, Workers
    from glue_scripts.staged_files import StagedFile

PIECES_PER_PART: Final = 4
"""Pieces of text for one task, where the file can be split."""
BYTES_PER_PLAY: Final = 32
"""A row of a streams file with short ids. A file has rarely more plays than its size divided by this."""
BUCKETS_PER_PART: Final = 8
"""The most buckets whose valid rows one task holds."""
IDS_PER_OBJECT: Final = 1_000_000
ID_COLUMNS: Final = {"songs": "track_id", "users": "user_id"}
"""By dataset, the column by which streams name its rows."""

_PART = "part"
_COUNTS = "counts"
_BROKEN = "broken"
_FILE = "file"
_IDS = "ids"
_PROBLEM = "problem"
_WARNINGS = "warnings"


@dataclass(frozen=True)
class Reading:
    """What the tasks that read rows have to know.

    Attributes:
        objects: where files are read.
        dataset: the dataset of all the files.
        files: their names, in the order of their numbers.
        buckets: into how many buckets the users of plays are divided.
        share: what a task may use.
    """

    objects: Objects
    dataset: str
    files: Sequence[str]
    buckets: int
    share: Share

    @property
    def first_bucket(self) -> int:
        """The key of the plays of bucket 0: the lower ones are files."""
        return len(self.files)

    @classmethod
    def of(cls, files: Sequence[ReadableFile], dataset: str, objects: Objects, share: Share) -> Reading:
        """Describe the reading of some files, with enough buckets for their plays."""
        buckets = buckets_for(plays_at_most(files), PLAYS_PER_BUCKET)
        return cls(objects, dataset, [file.name for file in files], buckets, share)


@dataclass(frozen=True)
class Judging:
    """What the tasks that judge have to know.

    Attributes:
        reading: how rows are read; quarantined rows and ids are written to the same bucket.
        quarantine: the folder for rows that break a rule.
        ids: of songs and users, the folder for the ids of their valid rows.
        known: by dataset (songs, users), the Parquet objects with the known ids; none where nothing is known.
    """

    reading: Reading
    quarantine: str
    ids: str
    known: Mapping[str, Sequence[str]]


@dataclass
class MeasuredFile:
    """What is measured of a file.

    Attributes:
        counts: `rows`, `quarantined`, how many rows break each rule and how many valid rows each warning is about, by
            its id; of songs, `genres` and `genres_of_track` (see `judge.GENRES_SQL`).
        samples: by rule id, the first rows that break it.
        ids: the Parquet objects with the ids of a songs or users file's valid rows, each once.
        problem: the file rule that the file turned out to break while its rows were read, and the detail. The other
            attributes are then incomplete.
    """

    counts: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    problem: tuple[str, str] | None = None


@dataclass(frozen=True)
class JudgedRows:
    """The rows of some files of a dataset.

    Attributes:
        reading: how they were read.
        measured: by file, what is measured of it.
        valid: the valid rows, exchanged by key, which `storing` takes, and other blobs: plays by the bucket of their
            user, whose keys begin at `first_bucket`; users and songs by the number of their file.
    """

    reading: Reading
    measured: Mapping[str, MeasuredFile]
    valid: Blobs


@dataclass(frozen=True)
class Source:
    """A file, or a range of one, as a task sees it.

    Attributes:
        file: the file's number.
        key: its object.
        header: its columns.
        uploaded: when it was uploaded, ISO 8601.
        size: bytes of the file.
        start: the first byte of the range; None for a whole file that cannot be split.
        end: the byte behind its last one.
    """

    file: int
    key: str
    header: Sequence[str]
    uploaded: str
    size: int
    start: int | None
    end: int

    @property
    def bytes_to_judge(self) -> int:
        """The range's size."""
        return self.end - (self.start or 0)


def plays_at_most(files: Sequence[ReadableFile | StagedFile]) -> int:
    """Estimate from their sizes how many plays some files have: rarely too few, unless they are packed."""
    return sum(file.size for file in files) // BYTES_PER_PLAY


def judge_rows(files: Sequence[ReadableFile], judging: Judging, workers: Workers) -> JudgedRows:
    """Judge each row of some files of a dataset, and write the rows that break a rule to the quarantine.

    Args:
        files: the files.
        judging: what the tasks have to know.
        workers: where rows are judged; what follows is done in more tasks than theirs, where these would hold too much.
    """
    # A part for each file: a task holds up to MAX_QUARANTINED_BYTES of one.
    parts = max(workers.tasks, len(files), -(-judging.reading.buckets // BUCKETS_PER_PART))
    rows = workers.start(_work(files)).map(partial(_judge_part, judging)).by_key(parts)
    return JudgedRows(judging.reading, _measured(files, judging, rows), rows)


def _measured(files: Sequence[ReadableFile], judging: Judging, rows: Blobs) -> dict[str, MeasuredFile]:
    """By file, what is measured of it."""
    measured = {file.name: MeasuredFile() for file in files}
    warned: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for blob in rows.map(partial(_measure_part, judging)).collect():
        document = json.loads(blob.payload)
        file = measured[files[blob.key].name]
        if blob.name == _FILE:
            file.counts = document["counts"]
            file.samples = {rule: [Sample(**each) for each in rows] for rule, rows in document["samples"].items()}
        elif blob.name == _IDS:
            file.ids += document
        elif blob.name == _PROBLEM:
            file.problem = (document["rule_id"], document["detail"])
        else:
            for name, counts in document.items():
                warned[name].update(counts)
    for name, file in measured.items():
        file.counts |= dict.fromkeys(_asked_of_valid_rows(judging), 0) | warned[name]
    return measured


def _asked_of_valid_rows(judging: Judging) -> list[str]:
    dataset = judging.reading.dataset
    of_songs = ["genres", "genres_of_track"] if dataset == "songs" else []
    return [*(warning.id for warning in warnings_of(dataset, judging.known) if warning.aggregate), *of_songs]


def _work(files: Sequence[ReadableFile]) -> list[list[Blob]]:
    return [[Blob(0, _PART, json.dumps([asdict(source) for source in part]).encode())] for part in _parts(files)]


def _parts(files: Sequence[ReadableFile]) -> Iterator[list[Source]]:
    """Divide files into the work of tasks: ranges of large files, some small files together."""
    size = PIECES_PER_PART * csv_pieces.PIECE_BYTES
    sources = (source for number, file in enumerate(files) for source in _sources(number, file, size))
    return packed(sources, lambda source: source.bytes_to_judge, size)


def _sources(number: int, file: ReadableFile, size: int) -> Iterator[Source]:
    source = Source(
        file=number,
        key=Location.of_uri(file.uri).key,
        header=file.header,
        uploaded=file.last_modified.isoformat(),
        size=file.size,
        start=None,
        end=file.size,
    )
    if not file.is_line_per_row:
        yield source
        return
    for start in range(0, file.size, size):
        yield replace(source, start=start, end=min(start + size, file.size))


# Judging.


@dataclass(frozen=True)
class _PlacedPiece:
    """A piece, its file and its place among the pieces of the file."""

    source: Source
    place: int
    piece: Piece


def _judge_part(judging: Judging, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Judge ranges of files and whole files. A file whose rows cannot be told apart becomes a problem."""
    reading = judging.reading
    problems: list[Blob] = []

    def note(source: Source, error: FileRejectedError) -> None:
        told = {"rule_id": error.rule_id, "detail": error.detail}
        problems.append(Blob(source.file, _PROBLEM, json.dumps(told).encode()))

    with judging_connection(reading.share) as db:
        for some in _pieces_of_part(reading, blobs, note):
            judged = judge(
                db,
                reading.dataset,
                [placed.piece for placed in some],
                uploaded=[datetime.fromisoformat(placed.source.uploaded) for placed in some],
                max_broken=MAX_QUARANTINED_ROWS,
            )
            yield from _measures(some, judged)
            yield from _valid_blobs(reading, db, some, judged.valid)
    yield from problems


def _pieces_of_part(
    reading: Reading, blobs: Iterable[Blob], unreadable: Callable[[Source, FileRejectedError], None]
) -> Iterator[list[_PlacedPiece]]:
    """The pieces of a part. Small ones come together: judging a few rows takes as long as judging thousands."""

    def pieces() -> Iterator[_PlacedPiece]:
        for source in (Source(**entry) for blob in blobs for entry in json.loads(blob.payload)):
            try:
                yield from _pieces(reading.objects, source)
            except FileRejectedError as error:
                unreadable(source, error)

    return packed(pieces(), lambda placed: len(placed.piece.data), csv_pieces.PIECE_BYTES)


def _pieces(objects: Objects, source: Source) -> Iterator[_PlacedPiece]:
    if source.start is None:
        chunks = (
            bytes(objects.read_range(source.key, start, min(start + csv_pieces.PIECE_BYTES, source.size)))
            for start in range(0, source.size, csv_pieces.PIECE_BYTES)
        )
        for place, piece in enumerate(blocks(chunks, source.header)):
            yield _PlacedPiece(source, place, piece)
        return
    before = max(source.start - 1, 0)
    text = memoryview(objects.read_range(source.key, before, source.end))

    def read(start: int, end: int) -> bytes:
        if end <= source.end:
            return bytes(text[start - before : end - before])
        return bytes(objects.read_range(source.key, start, end))

    for start in range(source.start, source.end, csv_pieces.PIECE_BYTES):
        end = min(start + csv_pieces.PIECE_BYTES, source.end)
        yield _PlacedPiece(source, start, range_piece(read, start, end, source.size, source.header))


def _measures(pieces: Sequence[_PlacedPiece], judged: Judged) -> Iterator[Blob]:
    """The counts of pieces, and their broken rows."""
    for placed, counts, broken in zip(pieces, judged.counts, judged.broken, strict=True):
        told = {"place": placed.place, "extent": asdict(placed.piece.extent), "counts": counts}
        yield Blob(placed.source.file, _COUNTS, json.dumps(told).encode())
        if len(broken):
            places = pa.array(np.full(len(broken), placed.place, np.int64))
            yield from blobs_of(broken.append_column("place", places), placed.source.file, _BROKEN)


def _valid_blobs(
    reading: Reading, db: duckdb.DuckDBPyConnection, pieces: Sequence[_PlacedPiece], valid: pa.Table
) -> Iterator[Blob]:
    """Valid rows with the name of their file: plays by the bucket of their user, others by their file."""
    piece = valid["piece"].combine_chunks()
    names = pa.array([reading.files[placed.source.file] for placed in pieces], pa.string())
    rows = valid.set_column(0, "file", names.take(piece))
    if reading.dataset == "streams":
        yield from divided(db, Plays.of([rows]), reading.buckets, reading.first_bucket)
        return
    files = pa.array([placed.source.file for placed in pieces], pa.int32()).take(piece)
    for number in pc.unique(files).to_pylist():
        yield from blobs_of(rows.filter(pc.equal(files, number)), number, ROWS)


# Measuring.


class _Received:
    """The blobs about some files, sorted by kind: all but the valid rows of users and songs files."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.extents: defaultdict[int, dict[int, Extent]] = defaultdict(dict)
        self.broken: defaultdict[int, QuarantinedRows] = defaultdict(QuarantinedRows)
        self.plays = Gathered(db)
        self.problems: list[Blob] = []

    def references(self, blobs: Iterable[Blob]) -> Iterator[pa.Table]:
        """Sort the blobs, and yield the valid rows of users and songs files, one table at a time."""
        for blob in blobs:
            if blob.name == ROWS:
                yield table_of(blob)
            elif blob.name == PLAYS:
                self.plays.add(blob.key, table_of(blob))
            elif blob.name == _COUNTS:
                told = json.loads(blob.payload)
                self.counts[blob.key].update(told["counts"])
                self.extents[blob.key][told["place"]] = Extent(**told["extent"])
            elif blob.name == _BROKEN:
                rows = table_of(blob)
                self.broken[blob.key].add(rows["place"][0].as_py(), rows.drop_columns("place"))
            else:
                self.problems.append(blob)


def _measure_part(judging: Judging, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Add up the counts of some files, write their quarantine, and ask the questions about valid rows."""
    with closed_connection(judging.reading.share) as db:
        received = _Received(db)
        references = insert_tables(db, "valid", received.references(blobs))
        for file, of_pieces in received.extents.items():
            found = _quarantine(judging, file, received.broken[file].table(of_pieces))
            yield Blob(file, _FILE, json.dumps({"counts": received.counts[file], "samples": found}).encode())
        if received.plays.buckets:
            yield _asked_plays(judging, db, received.plays)
        if references:
            yield from _ask_references(judging, db)
    yield from received.problems


def _quarantine(judging: Judging, file: int, rows: pa.Table | None) -> dict[str, list[dict[str, Any]]]:
    """Write the rows of a file that break a rule; return samples by rule."""
    if rows is None:
        return {}
    key = f"{judging.quarantine}file={judging.reading.files[file]}/part-00000.json"
    judging.reading.objects.write(key, b"".join(map(json_line, quarantined(rows))))
    return {rule: [asdict(sample) for sample in found] for rule, found in samples(rows).items()}


def _asked_plays(judging: Judging, db: duckdb.DuckDBPyConnection, plays: Gathered) -> Blob:
    """Count the warnings about plays, one bucket at a time. Integers replace the ids: DuckDB compares them faster."""
    for dataset, keys in judging.known.items():
        _read_ids(judging.reading.objects, db, dataset, keys)
    query = warnings_sql(warnings_of("streams", judging.known))
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for bucket in plays.buckets:
        with plays.taken(bucket) as of_bucket:
            for dataset, ids in {"songs": of_bucket.tracks, "users": of_bucket.users}.items():
                if dataset in judging.known:
                    _number_ids(db, dataset, ids)
            for file, found in _asked_bucket(db, query, of_bucket):
                counts[file].update(found)
    return Blob(0, _WARNINGS, json.dumps(counts).encode())


def _asked_bucket(
    db: duckdb.DuckDBPyConnection, query: str, plays: Plays | SpilledPlays
) -> Iterator[tuple[str, dict[str, int]]]:
    """Count the warnings in the plays of one bucket; yield each file with its counts by warning id."""
    with plays_table(db, "valid", plays):
        relation = db.sql(query)
        for file, *found in relation.fetchall():
            yield plays.files.values[file].as_py(), dict(zip(relation.columns[1:], found, strict=True))


def _ask_references(judging: Judging, db: duckdb.DuckDBPyConnection) -> Iterator[Blob]:
    """Count what needs all rows of a file that share an id: warnings and genres. Write the ids."""
    queries = [warnings_sql(warnings_of(judging.reading.dataset, judging.known))]
    if judging.reading.dataset == "songs":
        queries.append(GENRES_SQL)
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for relation in map(db.sql, queries):
        for file, *found in relation.fetchall():
            counts[file] |= dict(zip(relation.columns[1:], found, strict=True))
    yield Blob(0, _WARNINGS, json.dumps(counts).encode())
    for number, name in enumerate(judging.reading.files):
        if name in counts:
            yield Blob(number, _IDS, json.dumps(_write_ids(judging, db, name)).encode())


def _read_ids(objects: Objects, db: duckdb.DuckDBPyConnection, dataset: str, keys: Sequence[str]) -> None:
    """Make `known_<dataset>`, the table of a snapshot's ids."""
    column = ID_COLUMNS[dataset]
    db.execute(f"CREATE TABLE known_{dataset} ({column} VARCHAR)")
    for key in keys:
        db.register("given", pq.read_table(pa.BufferReader(objects.read(key)), columns=[column], use_threads=False))
        db.execute(f"INSERT INTO known_{dataset} FROM given")
        db.unregister("given")


def _number_ids(db: duckdb.DuckDBPyConnection, dataset: str, ids: Coded) -> None:
    """Make the table `<dataset>`: the codes of those ids of the plays that are in the snapshot."""
    column = ID_COLUMNS[dataset]
    db.register("numbered", ids.values_table("number", column))
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE {dataset} AS "
        f"SELECT number AS {column} FROM numbered SEMI JOIN known_{dataset} USING ({column})"
    )
    db.unregister("numbered")


def _write_ids(judging: Judging, db: duckdb.DuckDBPyConnection, file: str) -> list[str]:
    """Write the ids of a file's valid rows; return the keys."""
    column = ID_COLUMNS[judging.reading.dataset]
    ids = db.sql(f"SELECT DISTINCT {column} FROM valid WHERE file = $file", params={"file": file})
    keys = []
    for number, batch in enumerate(ids.to_arrow_reader(IDS_PER_OBJECT)):
        keys.append(f"{judging.ids}{file}/{number:05}.parquet")
        judging.reading.objects.write(keys[-1], to_parquet(pa.table(batch)))
    return keys
