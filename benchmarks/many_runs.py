"""`python -m benchmarks.many_runs 1000000 1000`: what a day of many runs costs, beside the same plays in one run.

The KPI job computes the day as it is: of one run, of all runs (which it then merges), and once more. All three must
give the same rows.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa

from benchmarks.aws import BenchAws, serving
from benchmarks.dataset import Size, make
from benchmarks.folder_objects import FolderObjects
from benchmarks.kpi_rows import UnequalResultsError
from glue_scripts.blobs import Blob
from glue_scripts.ledger import NO_TOMBSTONES
from glue_scripts.objects import json_line
from glue_scripts.spread import HERE, task_share
from glue_scripts.stored_plays import Plays, RunOfDay, tables_from_parquet
from glue_scripts.storing import Storing, divided, store_plays
from validators.closed_duckdb import closed_connection

_BATCH: Final = "batch"
_PARALLEL_COMMITS: Final = 8


def divide_run(objects: FolderObjects, run: str, date: str, runs: int) -> list[str]:
    """Write the plays of a run of a day as many runs, as validation jobs would; return their names."""
    stored = RunOfDay.read(objects, run, date).objects
    plays = pa.concat_tables(table for each in stored for table in tables_from_parquet(objects.read(each.key)))
    names = [f"run-{number:04}" for number in range(runs)]
    share = task_share()
    with closed_connection(share) as db:
        for number, name in enumerate(names):
            start, end = (plays.num_rows * edge // runs for edge in (number, number + 1))
            blobs: list[Blob] = list(divided(db, Plays.of([plays.slice(start, end - start)]), buckets=1))
            storing = Storing(objects, name, None, 1, 0, None, NO_TOMBSTONES, share)
            (day,) = store_plays(HERE.start([blobs]), storing).days
            objects.write(day.document_key, json_line(day.document()))
    return names


def measure(aws: BenchAws, folder: Path, plays: int, runs: int) -> dict[str, float]:
    """Return the seconds of the KPI job: `one run`, `many runs`, `afterwards`.

    Raises:
        UnequalResultsError: they give different rows.
    """
    aws.stage(make(folder, Size(plays=plays, days=1)), _BATCH)
    aws.validate(_BATCH)
    aws.compute(_BATCH)
    ledger, objects = aws.ledger, FolderObjects(aws.bucket_folder)
    (date,) = ledger.dates()
    (run,) = ledger.runs(date)
    seconds = {"one run": aws.recompute([date]).seconds}
    rows = aws.kpi_rows()
    names = divide_run(objects, run, date, runs)
    with ThreadPoolExecutor(_PARALLEL_COMMITS) as pool:
        list(pool.map(lambda name: ledger.commit_run(date, name), names))
    ledger.replace_run(date, run, None)
    for case in ("many runs", "afterwards"):
        seconds[case] = aws.recompute([date]).seconds
        if aws.kpi_rows() != rows:
            raise UnequalResultsError(f"the rows of {case} are others than those of one run")
    return seconds


def main() -> None:
    """Prints the seconds of each case, and their ratio to those of one run."""
    plays, runs = (int(argument) for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "aws") as aws:
        seconds = measure(aws, Path(folder) / "data", plays, runs)
        left = len(aws.ledger.runs(aws.ledger.dates()[0]))
    for case, took in seconds.items():
        print(f"{case}: {took:.1f} s, {took / seconds['one run']:.2f} times one run")
    print(f"{left} of {runs} runs are left")


if __name__ == "__main__":
    main()
