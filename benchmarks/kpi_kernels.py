"""Storing and counting alone, in Spark's tasks and in the driver: `python -m benchmarks.kpi_kernels --plays 10000000`.

Each contender is a process of its own that takes valid plays (Parquet), writes the lake and computes the KPIs from it
by the SQL of the KPI job. Folders stand for the bucket. The rows are compared first; start-up of Python and Spark is
not timed. With `--runs 20 --days 1` the plays come in so many runs of the lake, as those of a day that many batches
have written: each has fewer buckets than the day, so that its plays are divided before they are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from benchmarks.dataset import Size, make
from benchmarks.flat_rows import flat
from benchmarks.folder_objects import FolderObjects
from benchmarks.kpi_rows import TOP_GENRES, TOP_SONGS, canonical, check_equal, write_result
from benchmarks.memory import peak_of_children
from glue_scripts.blobs import Blob
from glue_scripts.counting import Counting, count_days, plan
from glue_scripts.kpi_items import kpis_by_day
from glue_scripts.ledger import NO_TOMBSTONES
from glue_scripts.spread import Blobs, Here, Part, Spread, Work, Workers
from glue_scripts.stored_plays import PLAYS_PER_BUCKET, Plays, StoredPlays
from glue_scripts.stored_snapshots import write_songs, write_users
from glue_scripts.storing import Storing, divided, store_plays
from glue_scripts.user_buckets import buckets_for
from local_aws.spark_conf import find_java_home
from validators.closed_duckdb import Share, closed_connection

ROOT: Final = Path(__file__).parents[1]
SQL_SPREAD, SQL_HERE = "SQL, spread", "SQL, in the driver"
CORES: Final = os.cpu_count() or 1
_FILE: Final = "f" * 64
PLAYS_PER_FILE: Final = 500_000

_PLAYS: Final = """
SELECT trim(user_id) AS user_id, trim(track_id) AS track_id, try_cast(listen_time AS TIMESTAMP) AS listen_time
FROM read_csv('{folder}/streams-*.csv', all_varchar = true, header = true)
WHERE trim(user_id) <> '' AND trim(track_id) <> '' AND try_cast(listen_time AS TIMESTAMP) IS NOT NULL
"""
_SONGS: Final = """
SELECT track_id, track_name, artists, track_genre, duration_ms::BIGINT AS duration_ms
FROM read_csv('{folder}/songs.csv', all_varchar = true, header = true, delim = ',', quote = '"', escape = '"')
"""
_USERS: Final = "SELECT user_id, user_country FROM read_csv('{folder}/users.csv', all_varchar = true, header = true)"


def main() -> None:
    """Makes the data, runs each contender, compares the rows, prints seconds and peak memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kpi_kernels")
    for name in ("plays", "days", "users", "tracks"):
        parser.add_argument(f"--{name}", type=int, default=1_000_000 if name == "plays" else getattr(Size, name))
    parser.add_argument("--runs", type=int, default=1, help="of the lake, at most one for each 500,000 plays")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    contender, folder, runs = options.pop("contender"), options.pop("folder"), options.pop("runs")
    if contender:
        _CONTENDERS[contender](folder, runs)
        return
    with tempfile.TemporaryDirectory() as work:
        make_rows(Path(work), Size(**options))
        measured = {name: _run(name, Path(work), runs) for name in _CONTENDERS}
    check_equal({name: result["rows"] for name, result in measured.items()})
    of_days = f"{options['plays']} plays of {options['days']} days in {runs} runs"
    print(f"{of_days}, {len(measured[SQL_HERE]['rows'])} equal rows")
    for name, result in measured.items():
        for kind in ("seconds", "processor"):
            phases = {phase: round(seconds, 1) for phase, seconds in result[kind].items()}
            print(f"{name:20} {kind}: {sum(result[kind].values()):.1f} {phases}  {result['peak']:.0f} MiB")


def _run(contender: str, folder: Path, runs: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.kpi_kernels", "--contender", contender, "--folder", str(folder)]
    command += ["--runs", str(runs)]
    environment = {
        **os.environ,
        "JAVA_HOME": str(find_java_home(os.environ)),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_DIRS": str(folder / "spark"),
    }
    with peak_of_children() as peak:
        subprocess.run(command, check=True, cwd=ROOT, env=environment)
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {**result, "peak": peak.mebibytes}


def make_rows(folder: Path, size: Size) -> None:
    """Makes the CSV files and, from them, valid rows as Parquet."""
    make(folder / "csv", size)
    valid_rows(folder)


def valid_rows(folder: Path) -> None:
    """Reads the CSV files of a folder and writes their valid rows as Parquet: what the judge hands on."""
    with duckdb.connect() as db:
        for name, sql in (("songs", _SONGS), ("users", _USERS)):
            pq.write_table(db.sql(sql.format(folder=folder / "csv")).to_arrow_table(), folder / f"{name}.parquet")
        plays = db.sql(_PLAYS.format(folder=folder / "csv")).to_arrow_reader(PLAYS_PER_FILE)
        (folder / "plays").mkdir()
        for number, batch in enumerate(plays):
            table = pa.Table.from_batches([batch])
            times = table["listen_time"].cast(pa.timestamp("us", "UTC"))
            pq.write_table(table.set_column(2, "listen_time", times), folder / "plays" / f"{number:05}.parquet")


class _Clock:
    """Measures consecutive phases: seconds, and the processor's seconds of this process, without Spark's tasks."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self._last = time.monotonic(), time.process_time()

    def note(self, phase: str) -> None:
        """Ends a phase."""
        now = time.monotonic(), time.process_time()
        self.seconds[phase], self.processor[phase] = (end - start for start, end in zip(self._last, now, strict=True))
        self._last = now


class _Noted:
    """Blobs whose exchanges end phases; those of the driver, where an exchange does all the work that was before it.

    Args:
        blobs: the blobs.
        clock: measures.
        phases: what the next exchanges end.
    """

    def __init__(self, blobs: Blobs, clock: _Clock, phases: Sequence[str]) -> None:
        self._blobs = blobs
        self._clock = clock
        self._phases = phases

    def map(self, work: Work) -> _Noted:
        """See `Blobs`."""
        return _Noted(self._blobs.map(work), self._clock, self._phases)

    def by_key(self, parts: int) -> _Noted:
        """See `Blobs`."""
        exchanged = self._blobs.by_key(parts)
        self._clock.note(self._phases[0])
        return _Noted(exchanged, self._clock, self._phases[1:])

    def collect(self) -> list[Blob]:
        """See `Blobs`."""
        return self._blobs.collect()


def _finish(folder: Path, clock: _Clock, rows: Sequence[dict[str, Any]]) -> None:
    write_result(
        folder / "result.json", {"seconds": clock.seconds, "processor": clock.processor, "rows": canonical(rows)}
    )


def spark_session() -> SparkSession:
    """Makes a session on all cores that has run a job; JAVA_HOME must be set."""
    spark: SparkSession = (
        SparkSession.builder.master(f"local[{CORES}]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.range(1).count()
    return spark


def _sql_spread(folder: Path, runs: int) -> None:
    _sql(folder, "spread", runs, partial(Spread.of, spark_session().sparkContext))


def sql_here(folder: Path, runs: int = 1) -> None:
    """Stores and counts what `make_rows` made, in so many runs, without Spark; writes `result.json`."""
    _sql(folder, "here", runs, Here)


def _sql(folder: Path, name: str, runs: int, start: Callable[[Sequence[Part]], Blobs]) -> None:
    objects = FolderObjects(folder / name)
    share = Share(memory_mb=1000, temp_folder=folder / "duckdb")
    files = sorted((folder / "plays").iterdir())
    clock = _Clock()
    stored: list[StoredPlays] = []
    for run in range(runs):
        of_run = files[run::runs]
        buckets = buckets_for(sum(pq.read_metadata(path).num_rows for path in of_run), PLAYS_PER_BUCKET)
        parts = [[Blob(0, "file", str(path).encode())] for path in of_run]
        plays = start(parts).map(partial(_divide, share, buckets)).by_key(min(buckets, 4 * CORES))
        storing = Storing(objects, f"run-{run}", None, buckets, 0, frozenset([_FILE]), NO_TOMBSTONES, share)
        stored += [each for day in store_plays(plays, storing).days for each in day.objects]
    clock.note("store")
    with closed_connection(share) as db:
        write_songs(db, objects, "songs/", pq.read_table(folder / "songs.parquet"))
        db.register("user_rows", pq.read_table(folder / "users.parquet"))
        users = write_users(db, objects, "users/", NO_TOMBSTONES)
    clock.note("snapshots")
    counting = Counting(objects, "songs/", users, NO_TOMBSTONES, frozenset(), share, TOP_SONGS)
    phases = ["divide", "count"] if plan(stored).divisions else ["count"]
    workers = Workers(lambda parts: _Noted(start(parts), clock, phases) if start is Here else start(parts), 4 * CORES)
    rows = flat(kpis_by_day(count_days(stored, counting, workers), top_genres=TOP_GENRES))
    clock.note("rank" if start is Here else "count")
    _finish(folder, clock, rows)


def _divide(share: Share, buckets: int, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Reads valid plays from Parquet, in place of the judge."""
    with closed_connection(share) as db:
        for blob in blobs:
            table = pq.read_table(blob.payload.decode(), partitioning=None, use_threads=False)
            file = pa.DictionaryArray.from_arrays(pa.array([0] * table.num_rows, pa.int32()), pa.array([_FILE]))
            yield from divided(db, Plays.of([table.append_column("file", file)]), buckets)


_CONTENDERS: Final[dict[str, Callable[[Path, int], None]]] = {SQL_SPREAD: _sql_spread, SQL_HERE: sql_here}


if __name__ == "__main__":
    main()
