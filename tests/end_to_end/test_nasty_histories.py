"""The nastiest histories with real jobs as processes: split, repeated, concurrent and killed; and a burst of files.

`make exactness` runs them at full size, on generated files or on those of a folder.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.models import DynamoDBBackend

from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import FileStatus, Ledger
from glue_scripts.names import KPIS_SORT_KEY, PLAYS_PREFIX, SUMMARY
from glue_scripts.publication import read_days, unpublished
from laptop.inputs import find_inputs
from laptop.pipeline import SUCCEEDED, Uploaded, scan
from local_aws.step_functions import WAIT_SCALE_VARIABLE
from samples.generate import (
    FIRST_DAY,
    SONG_COLUMNS,
    STREAM_COLUMNS,
    USER_COLUMNS,
    csv_bytes,
    random_plays,
    song_rows,
    user_rows,
)
from stacks.settings import read_context
from tests.end_to_end.conftest import DEADLINE_SECONDS, Deployed, synthesized
from tests.end_to_end.kpi_api import Watcher
from tests.end_to_end.music import expected_rows
from tests.end_to_end.test_commands import processes
from tests.end_to_end.test_pipeline import by_key, wait_until

PIECES: Final = int(os.environ.get("EXACTNESS_PIECES", "8"))
BURST: Final = int(os.environ.get("EXACTNESS_BURST", "40"))
INPUT: Final = os.environ.get("EXACTNESS_INPUT", "")
WAVES: Final = 4
DEV: Final = read_context()["environments"]["dev"]
SECONDS_PER_FILE: Final = 3
"""More than a file of a burst takes on two cores that have other work as well."""
CONCURRENT_KPI_RUNS: Final = 3
SEED: Final = 4


@dataclass
class Job:
    """A job of a deployed pipeline, whose runs can be killed at a named point.

    Attributes:
        deployed: the pipeline.
        output: the output of the stack that names the job.
    """

    deployed: Deployed
    output: str
    _seen: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.deployed.pipeline.outputs[self.output]

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.deployed.pipeline.ledger_table)

    def kill_next_run_in_its_lake_write(self) -> None:
        """Kills the next run of the validation job as soon as the first of its plays are in the lake."""
        run, process = self._next_run()
        while not self._has_files_in_lake(run):
            assert not self._has_ended(run), f"{run} has ended and written nothing"
            time.sleep(0.01)
        os.killpg(process, signal.SIGKILL)
        wait_until(lambda: self._has_ended(run), "the end of the killed run")

    def kill_next_run_as_it_publishes(self, *, is_published: bool) -> None:
        """Kills the next run of the KPI job when it writes a day's SUMMARY: before it is written, or answered."""
        run, process = self._next_run()
        put = DynamoDBBackend.put_item

        def put_and_kill(backend: DynamoDBBackend, table: str, item: dict[str, Any], *conditions: Any) -> Any:  # noqa: ANN401
            if item.get(KPIS_SORT_KEY) != {"S": SUMMARY}:
                return put(backend, table, item, *conditions)
            answer = put(backend, table, item, *conditions) if is_published else None
            with suppress(ProcessLookupError):  # the run's other days, which it publishes at the same time
                os.killpg(process, signal.SIGKILL)
            if answer is None:
                raise MockValidationException("nobody is there any more")
            return answer

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(DynamoDBBackend, "put_item", put_and_kill)
            wait_until(lambda: self._has_ended(run), "the end of the killed run")

    def _has_files_in_lake(self, run: str) -> bool:
        """Whether a run has begun to write plays."""
        buckets = self.deployed.work_dir / "buckets"
        return any(buckets.glob(f"*/{PLAYS_PREFIX}*/run={run}/**/*.parquet"))

    def committed_runs(self) -> set[str]:
        """The runs that are committed to a day."""
        return {run for date in self.ledger.dates() for run in self.ledger.runs(date)}

    def days_not_noted_as_published(self) -> list[str]:
        """Days by the hint in the ledger, which a run that dies does not set."""
        return [day.date for day in self.ledger.days() if day.published < day.claim]

    def _next_run(self) -> tuple[str, int]:
        """The next run and its process, which has begun a moment ago."""
        found: list[str] = []

        def is_there() -> bool:
            runs = self.deployed.pipeline.glue.get_job_runs(JobName=self.name)["JobRuns"]
            found[:] = [run["Id"] for run in runs if run["Id"] not in self._seen and run["JobRunState"] == "RUNNING"]
            return bool(found)

        wait_until(is_there, f"a run of {self.name}")
        self._seen.add(found[0])
        (process,) = (pid for pid, _, _, command in processes() if f"/{found[0]}/request.json" in command)
        return found[0], process

    def _has_ended(self, run: str) -> bool:
        state = self.deployed.pipeline.glue.get_job_run(JobName=self.name, RunId=run)["JobRun"]["JobRunState"]
        return state not in ("STARTING", "RUNNING")


def read_input() -> tuple[dict[str, bytes], bytes]:
    """The reference files by `dataset/name`, and one plain stream file with a line per play."""
    if not INPUT:
        return generated(plays=2000)
    inputs = find_inputs(Path(INPUT))
    references = {f"{file.dataset}/{file.path.name}": file.path.read_bytes() for file in inputs}
    (streams,) = [references.pop(name) for name in list(references) if name.startswith("streams/")]
    return references, streams


def generated(*, plays: int) -> tuple[dict[str, bytes], bytes]:
    """The same for made-up plays of two days."""
    chance = random.Random(SEED)
    users, songs = user_rows(chance, 60), song_rows(chance, 40)
    listened = random_plays(chance, users, songs, plays=plays, days=2, first_day=FIRST_DAY)
    lines = [f"{play.user_id},{play.track_id},{play.listen_time:%Y-%m-%d %H:%M:%S}\n" for play in listened]
    references = {"users/users.csv": csv_bytes(USER_COLUMNS, users), "songs/songs.csv": csv_bytes(SONG_COLUMNS, songs)}
    return references, "".join([",".join(STREAM_COLUMNS) + "\n", *lines]).encode()


def pieces_of(content: bytes, count: int) -> list[bytes]:
    """A stream file cut into pieces of shuffled lines; two overlap, and the order of the pieces is by chance."""
    header, *lines = content.splitlines(keepends=True)
    chance = random.Random(SEED)
    chance.shuffle(lines)
    parts = [lines[part::count] for part in range(count)]
    parts[-1] = [*parts[-1], *parts[0][: len(parts[0]) // 2]]
    return [b"".join([header, *part]) for part in parts]


def with_some_twice(pieces: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Names and contents: every fifth piece comes again under another name, every seventh under the same."""
    files = [(f"streams/piece {number}.csv", content) for number, content in enumerate(pieces)]
    again = [(f"streams/again {number}.csv", content) for number, content in enumerate(pieces[::5])]
    everything = [*files, *again, *files[::7]]
    random.Random(SEED).shuffle(everything)
    return everything


def upload(deployed: Deployed, folder: Path, files: Sequence[tuple[str, bytes]]) -> list[Uploaded]:
    """Uploads files one after another, so that a name can come twice."""
    return [uploaded for name, content in files for uploaded in deployed.upload(folder, {name: content})]


def job_runs(deployed: Deployed) -> Counter[str]:
    """How many runs each job has had, by job and how they ended."""
    names = (deployed.pipeline.outputs[output] for output in ("ValidateBatchJobName", "ComputeKpisJobName"))
    pages = (deployed.pipeline.glue.get_paginator("get_job_runs").paginate(JobName=name) for name in names)
    return Counter(
        f"{run['JobName']} {run['JobRunState']}" for page in pages for part in page for run in part["JobRuns"]
    )


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stacks with several runs of the KPI job at a time, where production has one."""
    environments = read_context()["environments"]
    environments["dev"]["max_concurrent_kpi_runs"] = CONCURRENT_KPI_RUNS
    return synthesized(tmp_path_factory.mktemp("assembly"), {"environments": environments})


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state machine's waits of 20 seconds last one."""
    monkeypatch.setenv(WAIT_SCALE_VARIABLE, "0.05")


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints figures where whoever started the tests sees them."""

    def tell(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", end="", flush=True)

    return tell


def test_a_stream_file_in_pieces_with_killed_jobs_gives_the_rows_of_the_whole(
    deployed: Deployed, tmp_path: Path, told: Callable[[str], None]
) -> None:
    references, streams = read_input()
    files = with_some_twice(pieces_of(streams, PIECES))
    waves = [files[wave::WAVES] for wave in range(WAVES)]
    validation, job = Job(deployed, "ValidateBatchJobName"), Job(deployed, "ComputeKpisJobName")
    pipeline = deployed.pipeline

    with Watcher(deployed) as watcher:
        first = deployed.upload(tmp_path, references) + upload(deployed, tmp_path, waves[0])
        validation.kill_next_run_in_its_lake_write()
        job.kill_next_run_as_it_publishes(is_published=False)
        job.kill_next_run_as_it_publishes(is_published=False)
        deployed.wait_for(first)
        (failed,) = pipeline.snapshot().failures
        assert len(job.committed_runs()) == 1
        assert scan(pipeline.kpis_table), "rows of versions that nobody sees"
        assert deployed.kpi_rows() == []

        second = upload(deployed, tmp_path, waves[1])
        job.kill_next_run_as_it_publishes(is_published=True)
        job.kill_next_run_as_it_publishes(is_published=True)
        deployed.wait_for(second)
        assert len(pipeline.snapshot().failures) == 2
        assert deployed.kpi_rows()
        assert job.days_not_noted_as_published()

        third = upload(deployed, tmp_path, waves[2])
        wait_until(lambda: len(pipeline.snapshot().executions) == 3, "the third execution")
        pipeline.step_functions.redrive_execution(executionArn=failed.arn)
        fourth = upload(deployed, tmp_path, waves[3])
        wait_until(lambda: len(pipeline.snapshot().executions) == 4, "the fourth execution")
        for execution in pipeline.snapshot().failures:
            pipeline.step_functions.redrive_execution(executionArn=execution.arn)
        everything = [*first, *second, *third, *fourth]
        deployed.wait_for(everything)

    snapshot = pipeline.snapshot()
    assert [execution.status for execution in snapshot.executions] == [SUCCEEDED] * WAVES
    assert {snapshot.file_statuses[file.ledger_key] for file in everything} == {FileStatus.ARCHIVED}
    assert pipeline.answers().left_in_raw == []
    assert len(deployed.emails()) == 2
    assert job.days_not_noted_as_published() == []
    assert unpublished(*read_days(job.ledger, KpiTable(pipeline.kpis_table))) == []
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows({**references, "streams/whole.csv": streams}))
    assert {path: answers for path, answers in watcher.answers.items() if len(answers) > 1} == {}
    assert len(watcher.versions()) > 1, "the watcher has seen a day change"
    told(
        f"{len(everything)} files ({PIECES} pieces, some twice) in {WAVES} executions, 5 runs killed, "
        f"{len(deployed.kpi_rows())} rows equal to the whole file's: {dict(job_runs(deployed))}"
    )


def test_a_burst_of_files_is_worked_on_in_a_few_executions(
    deployed: Deployed, tmp_path: Path, told: Callable[[str], None]
) -> None:
    references, streams = generated(plays=10 * BURST)
    header, *lines = streams.splitlines(keepends=True)
    files = {f"streams/{part}.csv": b"".join([header, *lines[part::BURST]]) for part in range(BURST)}
    contents = {**references, **files}
    begun = time.monotonic()
    uploaded = deployed.upload(tmp_path, contents)
    seconds = time.monotonic() - begun
    deployed.wait_for(uploaded, deadline_seconds=max(DEADLINE_SECONDS, BURST * SECONDS_PER_FILE))

    snapshot = deployed.pipeline.snapshot()
    assert {snapshot.file_statuses[file.ledger_key] for file in uploaded} == {FileStatus.ARCHIVED}
    assert deployed.pipeline.answers().left_in_raw == []
    assert {execution.status for execution in snapshot.executions} == {SUCCEEDED}
    full_batches, windows = len(contents) / DEV["batch_size"], seconds / DEV["batch_window_seconds"]
    assert full_batches <= len(snapshot.executions) <= full_batches + windows + 1
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows(contents))
    told(
        f"{len(contents)} files uploaded in {seconds:.0f} s, all published and archived after "
        f"{time.monotonic() - begun:.0f} s: {len(snapshot.executions)} executions, {dict(job_runs(deployed))}"
    )
