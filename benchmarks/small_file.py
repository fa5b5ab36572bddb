"""Seconds from the upload of a small file until its KPIs are published and it is archived.

On an embedded AWS that has run before: the samples come first, unmeasured.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from laptop.inputs import SAMPLES_SEED, Input, find_inputs
from laptop.one_run import ASSEMBLY
from laptop.pipeline import Pipeline, all_outputs
from laptop.watch import watch
from local_aws.interrupts import Interrupts
from local_aws.server import EmbeddedAws
from samples.generate import sample_files, write_files

PLAYS = 60
DEADLINE_SECONDS = 600


def measure(count: int, interrupts: Interrupts) -> None:
    """Measure small files, one after another, and print each time.

    Raises:
        Interrupted: A signal came; the embedded AWS is closed.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        print("Running the samples first, unmeasured", flush=True)
        write_files(sample_files(seed=SAMPLES_SEED), work / "samples")
        with EmbeddedAws(ASSEMBLY, work / "aws") as aws, interrupts.raised():
            pipeline = Pipeline(all_outputs(aws.outputs), aws.environment())
            _run(pipeline, find_inputs(work / "samples"))
            for number in range(count):
                started = time.monotonic()
                (status,) = _run(pipeline, [_small_file(work, number)])
                print(f"{status} after {time.monotonic() - started:.1f} s", flush=True)


def _small_file(work: Path, number: int) -> Input:
    """Plays of a day that no other file has plays of."""
    path = work / f"small-{number}.csv"
    plays = (f"{play},track{play},2024-03-{number + 1:02} 10:00:{play:02}\n" for play in range(PLAYS))
    path.write_text("user_id,track_id,listen_time\n" + "".join(plays), encoding="utf-8")
    return Input("streams", path)


def _run(pipeline: Pipeline, inputs: Sequence[Input]) -> list[str]:
    """Uploads, waits for the end, and returns each file's status in the ledger."""
    files = [pipeline.upload(file) for file in inputs]
    watch(pipeline.snapshot, files, Console(file=io.StringIO()), deadline_seconds=DEADLINE_SECONDS)
    statuses = pipeline.snapshot().file_statuses
    return [statuses[file.ledger_key] for file in files]
