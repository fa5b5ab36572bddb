"""Seconds from the upload of a small file until its KPIs are published, and until it is archived.

On an embedded AWS that has run before: the samples come first, unmeasured.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console

from glue_scripts.ledger import FileStatus
from laptop.inputs import SAMPLES_SEED, Input, find_inputs
from laptop.one_run import ASSEMBLY
from laptop.pipeline import Pipeline, all_outputs
from laptop.watch import watch
from local_aws.interrupts import Interrupts
from local_aws.server import EmbeddedAws
from samples.generate import sample_files, write_files

PLAYS = 60
DEADLINE_SECONDS = 600
POLL_SECONDS = 0.2


class NotLoadedError(Exception):
    """A file's KPIs are not there, or the file has another status than it should."""


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
            published = []
            for number in range(count):
                seconds, archived = _seconds(pipeline, work, number)
                published.append(seconds)
                print(f"published after {seconds:.1f} s, archived after {archived:.1f} s", flush=True)
            print(f"upload to published: {median(published):.1f} s")


def _seconds(pipeline: Pipeline, work: Path, number: int) -> tuple[float, float]:
    """Uploads a file; returns the seconds until a reader sees its day, and until the file is archived.

    Raises:
        NotLoadedError: it did not get there.
    """
    file = _small_file(work, number)
    day = _day(number)
    started = time.monotonic()
    uploaded = pipeline.upload(file)
    while not pipeline.has_day(day):
        if time.monotonic() - started > DEADLINE_SECONDS:
            raise NotLoadedError(f"The KPIs of {day} were not there after {DEADLINE_SECONDS} s.")
        time.sleep(POLL_SECONDS)
    published = time.monotonic() - started
    watch(pipeline.snapshot, [uploaded], Console(file=io.StringIO()), deadline_seconds=DEADLINE_SECONDS)
    archived = time.monotonic() - started
    status = pipeline.snapshot().file_statuses[uploaded.ledger_key]
    if status != FileStatus.ARCHIVED:
        raise NotLoadedError(f"The file of {day} is {status}.")
    return published, archived


def _day(number: int) -> str:
    return f"2024-03-{number + 1:02}"


def _small_file(work: Path, number: int) -> Input:
    """Plays of a day that no other file has plays of."""
    path = work / f"small-{number}.csv"
    plays = (f"{play},track{play},{_day(number)} 10:00:{play:02}\n" for play in range(PLAYS))
    path.write_text("user_id,track_id,listen_time\n" + "".join(plays), encoding="utf-8")
    return Input("streams", path)


def _run(pipeline: Pipeline, inputs: Sequence[Input]) -> None:
    """Uploads, and waits for the end."""
    files = [pipeline.upload(file) for file in inputs]
    watch(pipeline.snapshot, files, Console(file=io.StringIO()), deadline_seconds=DEADLINE_SECONDS)
