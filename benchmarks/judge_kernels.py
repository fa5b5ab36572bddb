"""The judge alone: a file in ranges, what is asked of its valid rows, and gigabytes that cannot be split.

`python -m benchmarks.judge_kernels --plays 10000000`. Each case is a process of its own, which prints its peak of
memory. Nothing is read from or written to S3, and gigabytes are made as they are read. Seconds are processor time.
"""

from __future__ import annotations

import argparse
import gzip
import io
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.csv

from benchmarks.dataset import Size, make
from validators.closed_duckdb import Share
from validators.csv_pieces import PIECE_BYTES, Piece, blocks, range_piece, ranges
from validators.file_checks import plain_chunks
from validators.judge import judge, judging_connection, warnings_of, warnings_sql

HEADER: Final = ("user_id", "track_id", "listen_time")
UPLOADED: Final = datetime(2030, 1, 1, tzinfo=UTC)
MEMORY_MB: Final = 500
MAX_BROKEN: Final = 1_000
SPLIT_BYTES: Final = 32 * 1024**2


class Repeated(io.RawIOBase):
    """A readable stream: a start, then the same chunk over and over.

    Args:
        start: how it begins.
        chunk: what comes then.
        size: at least how many bytes it has in all.
    """

    def __init__(self, start: bytes, chunk: bytes, size: int) -> None:
        self._rest = start
        self._chunk = chunk
        self._due = size

    def read(self, size: int = -1, /) -> bytes:
        """See `io.RawIOBase`."""
        while len(self._rest) < size and self._due > 0:
            self._rest += self._chunk
            self._due -= len(self._chunk)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def main() -> None:
    """Runs one case, or all of them, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--plays", type=int, default=1_000_000, help="of the file that is judged in ranges")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of the text that cannot be split")
    options = parser.parse_args()
    if options.case:
        CASES[options.case](options)
        print(f"    peak of memory: {_peak_mb():.0f} MB", flush=True)
        return
    for case in CASES:
        print(f"{case}:", flush=True)
        sizes = ["--plays", str(options.plays), "--gigabytes", str(options.gigabytes)]
        subprocess.run([sys.executable, "-m", "benchmarks.judge_kernels", "--case", case, *sizes], check=True)


def _plain(options: argparse.Namespace) -> None:
    """Plays in a file without quotes: its first ranges several times, then all of them one after the other."""
    with tempfile.TemporaryDirectory() as folder, _db(folder) as db:
        (path,) = make(Path(folder) / "data", Size(plays=options.plays)).streams
        split = _ranges_of(path)[: SPLIT_BYTES // PIECE_BYTES]
        best = min(_timed(db, split) for _ in range(5))
        told = f"{sum(best):.2f} s, of it parsed {best[0]:.2f}, judged and typed {best[1]:.2f}"
        print(f"    the first {len(split)} ranges: {told}")
        _judge_all(db, (parse() for parse in _ranges_of(path)))


def _valid(options: argparse.Namespace) -> None:
    """What is asked of valid plays, all at once: each warning by itself, then all of them, as the job does."""
    with tempfile.TemporaryDirectory() as folder, _db(folder) as db:
        files = make(Path(folder) / "data", Size(plays=options.plays))
        (path,) = files.streams
        for number, parse in enumerate(_ranges_of(path)):
            rows = judge(db, "streams", [parse()], uploaded=[UPLOADED], max_broken=0).valid
            file = pa.array([path.name]).take(rows["piece"].combine_chunks())
            db.register("given", rows.set_column(0, "file", file))
            db.execute("INSERT INTO valid BY NAME FROM given" if number else "CREATE TABLE valid AS FROM given")
            db.unregister("given")
        known = {"songs": _ids(files.songs, "track_id"), "users": _ids(files.users, "user_id")}
        for name, ids in known.items():
            db.register("given", ids)
            db.execute(f"CREATE TABLE {name} AS FROM given")
        warnings = warnings_of("streams", known)
        for asked in [*([warning] for warning in warnings), warnings]:
            start = time.process_time()
            (found,) = db.sql(warnings_sql(asked)).fetchall()
            seconds = time.process_time() - start
            told = ", ".join(f"{rule.id} {count:,}" for rule, count in zip(asked, found[1:], strict=True))
            print(f"    {seconds:.1f} s ({told})")


def _quoted(options: argparse.Namespace) -> None:
    """Text with each field in quotes."""
    chunk = "".join(f'"{n % 50_000}","track ""{n % 9_000}""","{_moment(n)}"\n' for n in range(100_000)).encode()
    _judge_stream(Repeated(_header(), chunk, int(options.gigabytes * 1e9)))


def _gzip(options: argparse.Namespace) -> None:
    """Text without quotes, packed."""
    chunk = "".join(f"{n % 50_000},track {n % 9_000},{_moment(n)}\n" for n in range(100_000)).encode()
    packed = gzip.compress(chunk, mtime=0)
    size = int(options.gigabytes * 1e9 / len(chunk) * len(packed))
    _judge_stream(Repeated(gzip.compress(_header(), mtime=0), packed, size))


CASES: Final = {"plain": _plain, "valid rows": _valid, "quoted": _quoted, "gzip": _gzip}


def _judge_stream(stream: Repeated) -> None:
    with tempfile.TemporaryDirectory() as folder, _db(folder) as db:
        _judge_all(db, blocks(plain_chunks(stream), HEADER))


def _judge_all(db: duckdb.DuckDBPyConnection, pieces: Iterator[Piece]) -> None:
    counts: Counter[str] = Counter()
    size = 0
    start = time.process_time()
    for piece in pieces:
        size += len(piece.data)
        found = judge(db, "streams", [piece], uploaded=[UPLOADED], max_broken=MAX_BROKEN)
        counts += Counter(found.counts[0])
    seconds = time.process_time() - start
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    print(f"    {size / 1e6:,.0f} MB of text: {seconds:.1f} s, {size / 1e6 / seconds:.0f} MB/s ({told})")


def _timed(db: duckdb.DuckDBPyConnection, parse: Sequence[Callable[[], Piece]]) -> tuple[float, float]:
    parsed = judged = 0.0
    for part in parse:
        start = time.process_time()
        piece = part()
        between = time.process_time()
        judge(db, "streams", [piece], uploaded=[UPLOADED], max_broken=MAX_BROKEN)
        parsed, judged = parsed + between - start, judged + time.process_time() - between
    return parsed, judged


def _ranges_of(path: Path) -> list[Callable[[], Piece]]:
    """By range of a file, what reads and parses it."""

    def read(start: int, end: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    size = path.stat().st_size
    return [partial(range_piece, read, start, end, size, HEADER) for start, end in ranges(size)]


def _db(folder: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    return judging_connection(Share(memory_mb=MEMORY_MB, temp_folder=Path(folder) / "duckdb"))


def _ids(path: Path, column: str) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(include_columns=[column], column_types={column: pa.string()})
    return pyarrow.csv.read_csv(path, convert_options=options)


def _header() -> bytes:
    return f"{','.join(HEADER)}\n".encode()


def _moment(number: int) -> str:
    return f"2024-06-25 {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"


def _peak_mb() -> float:
    """Of this process, MB; Linux tells KiB, macOS bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
