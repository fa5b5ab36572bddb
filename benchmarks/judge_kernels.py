"""The judge alone: a file as today's Spark code and as SQL judge it, and gigabytes that cannot be split.

`python -m benchmarks.judge_kernels --plays 10000000`. Each case is a process of its own, which prints its peak of
memory. Nothing is read from or written to S3, and gigabytes are made as they are read. Seconds are processor time, of
the process or of Spark's JVM once it has started. Spark counts duplicates as well, in the same pass.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
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
from benchmarks.kpi_kernels import spark_session
from local_aws.spark_conf import find_java_home
from validators.closed_duckdb import Share
from validators.counts import collect_counts, count_rows
from validators.csv_pieces import PIECE_BYTES, Piece, blocks, range_piece, ranges
from validators.file_checks import plain_chunks
from validators.judge import judge, judging_connection
from validators.rows import ReadableFile, judge_files

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
    """Plays in a file without quotes: its first range several times, then all of them one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        files = make(Path(folder) / "data", Size(plays=options.plays))
        (path,) = files.streams
        size = path.stat().st_size
        songs, users = _ids(files.songs, "track_id"), _ids(files.users, "user_id")
        with path.open("rb") as file, _db(folder) as db:

            def read(start: int, end: int) -> bytes:
                file.seek(start)
                return file.read(end - start)

            split = ranges(size)[: SPLIT_BYTES // PIECE_BYTES]
            best = min(
                _timed(db, [partial(range_piece, read, *part, size, HEADER) for part in split]) for _ in range(5)
            )
            told = f"{sum(best):.2f} s, of it parsed {best[0]:.2f}, judged and typed {best[1]:.2f}"
            print(f"    {split[-1][1] / 1e6:.0f} MB: {told}")
            snapshots = {"songs": songs, "users": users}
            pieces = (range_piece(read, start, end, size, HEADER) for start, end in ranges(size))
            _judge_all(db, pieces, snapshots)


def _today(options: argparse.Namespace) -> None:
    """Judge the file of `_plain` with the code that runs in the validation job."""
    os.environ["JAVA_HOME"] = str(find_java_home(os.environ))
    with tempfile.TemporaryDirectory() as folder:
        files = make(Path(folder) / "data", Size(plays=options.plays))
        (path,) = files.streams
        spark = spark_session()
        known = {
            name: spark.createDataFrame(ids.to_pandas())
            for name, ids in (
                ("track_id", _ids(files.songs, "track_id")),
                ("user_id", _ids(files.users, "user_id")),
            )
        }
        begun = _processor_seconds_of_children()
        file = ReadableFile(path.name, path.as_uri(), HEADER, UPLOADED, is_line_per_row=True)
        counted = collect_counts(count_rows(judge_files(spark, "streams", [file]), "streams", known))
        seconds = _processor_seconds_of_children() - begun
        size = path.stat().st_size / 1e6
        told = ", ".join(f"{name} {count:,}" for name, count in counted.statistics[path.name].items() if count)
        print(f"    {size:,.0f} MB of text: {seconds:.0f} s, {size / seconds:.0f} MB/s ({told})")


def _processor_seconds_of_children() -> float:
    """Processor time of the running JVM. `ps` reports it to the second or better, on Linux and macOS."""
    columns = ["ps", "-axo", "ppid=,time=,comm="]
    table = subprocess.run(columns, capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=2) for line in table.splitlines())
    times = [time_ for parent, time_, command in rows if int(parent) == os.getpid() and command.endswith("java")]
    (used,) = times
    days, _, clock = used.rpartition("-")
    parts = [float(part) for part in clock.split(":")]
    return float(days or 0) * 86_400 + sum(part * 60.0**place for place, part in enumerate(reversed(parts)))


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


CASES: Final = {"today's Spark code": _today, "plain": _plain, "quoted": _quoted, "gzip": _gzip}


def _judge_stream(stream: Repeated) -> None:
    with tempfile.TemporaryDirectory() as folder, _db(folder) as db:
        _judge_all(db, blocks(plain_chunks(stream), HEADER), {})


def _judge_all(db: duckdb.DuckDBPyConnection, pieces: Iterator[Piece], snapshots: dict[str, pa.Table]) -> None:
    counts: Counter[str] = Counter()
    size = 0
    start = time.process_time()
    for piece in pieces:
        size += len(piece.data)
        found = judge(db, "streams", [piece], uploaded=[UPLOADED], snapshots=snapshots, max_broken=MAX_BROKEN)
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
        judge(db, "streams", [piece], uploaded=[UPLOADED], snapshots={}, max_broken=MAX_BROKEN)
        parsed, judged = parsed + between - start, judged + time.process_time() - between
    return parsed, judged


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
