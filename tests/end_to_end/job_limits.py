"""Jobs that run out of disk or memory: the run fails and says so, nothing half-written is seen, and a redrive mends it.

Each case is two executions of the whole pipeline: minutes, so that it runs with `make trust` only.
"""

from __future__ import annotations

import random
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from local_aws.glue_jobs import GlueJobs, JobRun
from local_aws.iam.principals import Credentials
from local_aws.step_functions import WAIT_SCALE_VARIABLE
from samples.generate import FIRST_DAY
from tests.end_to_end.conftest import Deployed
from tests.end_to_end.music import REFERENCES, expected_rows
from tests.end_to_end.test_pipeline import by_key
from tests.validation.test_crashes import SPREAD

BLOCK_BYTES: Final = 512
"""Of `ulimit -f`: POSIX, Shell and Utilities."""
SMALL_HEAP: Final = (
    # As on Glue, a JVM without memory ends; Spark looks at spark.testing.memory in the place of the true heap.
    "spark.driver.extraJavaOptions=-Xmx{}m -XX:+ExitOnOutOfMemoryError --conf spark.testing.memory=2000000000"
)


@dataclass(frozen=True)
class Case:
    """A job that lacks something.

    Attributes:
        name: what it lacks, and where.
        output: the output of the stack that names the job.
        state: of the state machine.
        file_bytes: the largest file that it can write: where the disk is full. None for no limit.
        conf: Glue's argument `--conf`.
        memory_bytes: the address space of its processes; None for no limit.
        plays: of the streams file.
        is_spread: whether the job uses Spark, as it does for a file of more than 500 MB.
        told: a pattern of what the e-mail says.
    """

    name: str
    output: str
    state: str
    plays: int
    told: str
    file_bytes: int | None = None
    conf: str = ""
    memory_bytes: int | None = None
    is_spread: bool = False


VALIDATION: Final = ("ValidateBatchJobName", "Validate")
KPIS: Final = ("ComputeKpisJobName", "ComputeKpis")
LACKS_MEMORY: Final = "[Mm]emory|SIGABRT"
"""Libraries raise an error of their own, or end the process."""
CASES: Final = [
    Case("disk, validation", *VALIDATION, 120_000, "File too large", file_bytes=3 * 1024**2),
    Case("disk, Spark", *VALIDATION, 900_000, "File too large", file_bytes=30 * 1024**2, is_spread=True),
    Case("memory, validation", *VALIDATION, 900_000, LACKS_MEMORY, memory_bytes=1400 * 1024**2),
    Case("memory, KPI job", *KPIS, 900_000, LACKS_MEMORY, memory_bytes=1400 * 1024**2),
    Case("heap, validation", *VALIDATION, 900_000, "memory", conf=SMALL_HEAP.format(60), is_spread=True),
    Case("heap, KPI job", *KPIS, 300_000, "glue_scripts.session.context", conf=SMALL_HEAP.format(20), is_spread=True),
]
"""A heap of 40 MB is enough for the KPI job; it writes to no disk unless a bucket of plays exceeds DuckDB's memory."""


class Limits:
    """Limits the runs of one job, until `lift`; no special rights are needed for it.

    Args:
        monkeypatch: puts the embedded Glue back.
        job: whose runs.
        case: the limits.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, job: str, case: Case) -> None:
        self.is_lifted = False
        prepare = GlueJobs._prepare

        def limited(jobs: GlueJobs, run: JobRun, folder: Path, credentials: Credentials) -> list[str]:
            if run.job.name != job or self.is_lifted:
                return prepare(jobs, run, folder, credentials)
            if case.conf:
                run.arguments["--conf"] = case.conf
            command = prepare(jobs, run, folder, credentials)
            if case.is_spread:
                _spread_small_batches(folder)
            limits = []
            if case.file_bytes:
                limits.append(f"ulimit -f {case.file_bytes // BLOCK_BYTES}")
            if case.memory_bytes:
                limits.append(f"ulimit -v {case.memory_bytes // 1024}")
            return ["/bin/sh", "-c", "; ".join([*limits, 'exec "$@"']), "sh", *command]

        monkeypatch.setattr(GlueJobs, "_prepare", limited)

    def lift(self) -> None:
        """From here on, the job has what it needs."""
        self.is_lifted = True


def _spread_small_batches(folder: Path) -> None:
    """Lets a prepared run use Spark for any number of plays."""
    (package,) = (folder / "python").glob("*.zip")
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    module, before, after = SPREAD
    changed = files[module].replace(before.encode(), after.encode())
    assert changed != files[module]
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in {**files, module: changed}.items():
            archive.writestr(name, content)


def plays_that_do_not_pack(count: int) -> bytes:
    """A streams file whose ids are by chance, so that neither gzip nor Parquet make it small."""
    chance = random.Random(7)
    lines = [
        f"{chance.randbytes(15).hex()},{chance.randbytes(15).hex()},{FIRST_DAY} {number % 24:02}:00:00\n"
        for number in range(count)
    ]
    return ("user_id,track_id,listen_time\n" + "".join(lines)).encode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_job_without_room_fails_clearly_and_a_redrive_mends_it(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setenv(WAIT_SCALE_VARIABLE, "0.05")
    pipeline = deployed.pipeline
    limits = Limits(monkeypatch, pipeline.outputs[case.output], case)
    # A byte order mark makes the validation job write an unpacked copy.
    contents = {**REFERENCES, "streams/large.csv": b"\xef\xbb\xbf" + plays_that_do_not_pack(case.plays)}
    uploaded = deployed.upload(tmp_path, contents)
    deployed.wait_for(uploaded)

    (failed,) = pipeline.snapshot().failures
    (email,) = deployed.emails()
    assert f"State:     {case.state}" in email.message
    (message,) = [line for line in email.message.splitlines() if line.startswith("Message:")]
    assert re.search(case.told, message), message
    assert deployed.kpi_rows() == []
    assert _published_days(deployed) == []
    assert len(pipeline.answers().left_in_raw) == len(contents)

    limits.lift()
    pipeline.step_functions.redrive_execution(executionArn=failed.arn)
    deployed.wait_for(uploaded)
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows(contents))
    assert pipeline.answers().left_in_raw == []
    assert len(deployed.emails()) == 1


def _published_days(deployed: Deployed) -> list[Any]:
    """The days that the ledger knows as published: nothing of a run that failed is visible."""
    return [item for item in deployed.pipeline.ledger_table.scan()["Items"] if "published" in item]
