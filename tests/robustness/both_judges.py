"""Files through today's judge, which is Spark, and through the one of SQL on DuckDB: what each says of them, alike."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from validators import csv_pieces
from validators.broken_rows import in_file
from validators.closed_duckdb import Share
from validators.counts import broken_rows, collect_counts, count_rows
from validators.csv_pieces import Extent, Piece
from validators.file_checks import CsvText, check_text, plain_chunks
from validators.judge import Judged, count_duplicates, count_genres, judge, judging_connection
from validators.quarantine import many_quarantined_rows, row_offsets
from validators.rows import FILE, ReadableFile, failing, judge_files, length_column, read_positions, text_column
from validators.rules import RULES_BY_ID
from validators.schemas import REQUIRED_COLUMNS

UPLOADED = datetime(2024, 6, 26, tzinfo=UTC)
KNOWN_IDS = {"songs": ("track_id", "unknown_track"), "users": ("user_id", "unknown_user")}
Row = tuple[object, ...]


@dataclass
class Outcome:
    """What a judge says of a file.

    Attributes:
        counts: rows, quarantined, duplicate_rows, genres and genres_of_track of songs, and rows by rule and warning.
        valid: the rows that break no rule, typed: moments in microseconds.
        broken: the others, in the file's order: row, lines, rules, fields, values of the columns with rules.
    """

    counts: dict[str, int] = field(default_factory=dict)
    valid: Counter[Row] = field(default_factory=Counter)
    broken: list[dict[str, Any]] = field(default_factory=list)


def by_spark(
    spark: SparkSession,
    folder: Path,
    dataset: str,
    contents: Mapping[str, bytes],
    snapshots: Mapping[str, Sequence[str]],
) -> dict[str, Outcome]:
    """What Spark says of files that pass the checks of their bytes, by name."""
    files = [_readable(folder, name, data, dataset) for name, data in contents.items()]
    judged = judge_files(spark, dataset, files).persist()
    known = {KNOWN_IDS[name][0]: _ids(spark, KNOWN_IDS[name][0], ids) for name, ids in snapshots.items()}
    statistics = collect_counts(count_rows(judged, dataset, known)).statistics
    outcomes = {name: Outcome(counts=_by_rule(statistics.get(name, {}))) for name in contents}
    for row in _valid(judged, dataset).collect():
        outcomes[row[0]].valid[tuple(row[1:])] += 1
    offsets = row_offsets(read_positions(spark, files))
    for row in many_quarantined_rows(broken_rows(judged), offsets).orderBy("file", "row").collect():
        outcomes[row["file"]].broken.append(_broken(row.asDict()))
    judged.unpersist()
    return outcomes


def by_duckdb(
    folder: Path, dataset: str, contents: Mapping[str, bytes], snapshots: Mapping[str, Sequence[str]]
) -> dict[str, Outcome]:
    """What DuckDB says of the same files."""
    texts = {name: check_text(io.BytesIO(data), dataset) for name, data in contents.items()}
    pieces = [(name, piece) for name, data in contents.items() for piece in pieces_of(data, texts[name])]
    tables = {name: pa.table({KNOWN_IDS[name][0]: pa.array(ids, pa.string())}) for name, ids in snapshots.items()}
    with judging_connection(Share(memory_mb=500, temp_folder=folder / "duckdb")) as db:
        judged = judge(
            db,
            dataset,
            [piece for _, piece in pieces],
            uploaded=[UPLOADED] * len(pieces),
            snapshots=tables,
            max_broken=100_000,
        )
        outcomes = _of_files(pieces, judged, dataset, texts)
        valid = _numbered_by_file(judged.valid, pieces, list(contents))
        duplicates = count_duplicates(db, valid)
        for number, name in enumerate(contents):
            outcomes[name].counts["duplicate_rows"] = duplicates.get(number, 0)
        if dataset == "songs":
            for number, genres, of_track in count_genres(db, valid):
                outcomes[list(contents)[number]].counts |= {"genres": genres, "genres_of_track": of_track}
    for outcome in outcomes.values():
        outcome.counts = _by_rule(outcome.counts)
    return outcomes


def pieces_of(data: bytes, text: CsvText) -> Iterator[Piece]:
    """A file's pieces: in ranges where its text has no quotes, else in blocks."""
    plain = b"".join(plain_chunks(io.BytesIO(data)))
    if text.is_line_per_row:
        for start, end in csv_pieces.ranges(len(plain)):
            yield csv_pieces.range_piece(lambda a, b: plain[a:b], start, end, len(plain), text.header)
    else:
        yield from csv_pieces.blocks(iter([plain[at : at + 1000] for at in range(0, len(plain), 1000)]), text.header)


def _readable(folder: Path, name: str, data: bytes, dataset: str) -> ReadableFile:
    path = folder / name
    path.write_bytes(b"".join(plain_chunks(io.BytesIO(data))))
    text = check_text(io.BytesIO(data), dataset)
    return ReadableFile(name, path.as_uri(), text.header, UPLOADED, text.is_line_per_row)


def _ids(spark: SparkSession, column: str, ids: Sequence[str]) -> DataFrame:
    return spark.createDataFrame([(value,) for value in ids], f"{column} string")


def _valid(judged: DataFrame, dataset: str) -> DataFrame:
    moments = {"listen_time", "created_at"}
    columns = [F.unix_micros(name) if name in moments else F.col(name) for name in REQUIRED_COLUMNS[dataset]]
    return judged.where(~failing(judged)).select(FILE, *columns)


def _by_rule(counts: Mapping[str, int]) -> dict[str, int]:
    """What is counted and not 0; Spark does not see a file without rows."""
    names = {"rows", "quarantined", "genres", "genres_of_track", *RULES_BY_ID}
    return {name: count for name, count in counts.items() if name in names and count}


def _broken(row: Mapping[str, Any]) -> dict[str, Any]:
    """As the other judge says it: without the values of rows that have too few or too many fields."""
    rules = list(row["rules"])
    found = {"row": row["row"], "lines": row["lines"], "rules": rules, "fields": list(row["fields"])}
    if rules == ["malformed_row"]:
        # Of rows that end in CR, Spark takes that for a part of the text.
        return found | {"fields": [text.removesuffix("\r") for text in row["fields"]]}
    columns = [name.removeprefix(text_column("")) for name in row if name.startswith(text_column(""))]
    starts = {f"{column}_start": row[text_column(column)] for column in columns}
    return found | starts | {f"{column}_characters": row[length_column(column)] for column in columns}


def _of_files(
    pieces: Sequence[tuple[str, Piece]], judged: Judged, dataset: str, names: Mapping[str, object]
) -> dict[str, Outcome]:
    outcomes = {name: Outcome() for name in names}
    before: dict[str, Extent] = defaultdict(Extent)
    for (name, piece), counts, broken in zip(pieces, judged.counts, judged.broken, strict=True):
        outcome = outcomes[name]
        outcome.counts = dict(Counter(outcome.counts) + Counter(counts))
        outcome.broken += [_told(row) for row in in_file(broken, before[name]).to_pylist()]
        before[name] += piece.extent
    valid = judged.valid
    for column in {"listen_time", "created_at"} & set(valid.column_names):
        valid = valid.set_column(valid.column_names.index(column), column, valid[column].cast(pa.int64()))
    for row in zip(*(valid[column].to_pylist() for column in ("piece", *REQUIRED_COLUMNS[dataset])), strict=True):
        outcomes[pieces[row[0]][0]].valid[row[1:]] += 1
    return outcomes


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["rules"] != ["malformed_row"]:
        return dict(row)
    return {name: value for name, value in row.items() if not name.endswith(("_start", "_characters"))}


def _numbered_by_file(valid: pa.Table, pieces: Sequence[tuple[str, Piece]], names: Sequence[str]) -> pa.Table:
    numbers = pa.array([names.index(name) for name, _ in pieces], pa.int32())
    return valid.set_column(0, "piece", numbers.take(valid["piece"].combine_chunks()))
