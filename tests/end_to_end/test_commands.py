"""What `make run` and `make up` start, as processes of their own in a folder of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from glue_scripts.ledger import FileStatus
from laptop.aws_cli import SAMPLES
from laptop.pipeline import Pipeline, all_outputs
from local_aws.work_dir import ServerState, read_state
from tests.end_to_end.conftest import DEADLINE_SECONDS, REPOSITORY, numbers_of
from tests.end_to_end.music import FIRST_STREAMS, expected_rows


@pytest.fixture
def home(assembly: Path, tmp_path: Path) -> Path:
    """A folder in which `python -m laptop.run` finds the assembly."""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/assembly").symlink_to(assembly)
    return tmp_path


def python(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a module of the repository in a folder."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def kept_kpi_rows(home: Path) -> list[dict[str, Any]]:
    """The entries of `kpis.json` without what tells of their computation."""
    return numbers_of(json.loads((home / ".local/last_run/kpis.json").read_text("utf-8"), parse_float=Decimal))


def blocks_of_the_tutorial(language: str) -> list[str]:
    """What stands in its fences of a language."""
    page = (REPOSITORY / "docs/tutorial.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


class TestRun:
    """`make run`."""

    def test_the_samples_end_as_they_should_and_leave_their_results(self, home: Path) -> None:
        ended = python(home, "laptop.run")
        assert ended.returncode == 0, ended.stdout + ended.stderr

        samples = home / ".local/samples"
        expected = json.loads((samples / "expected.json").read_text("utf-8"))
        accepted = {
            f"{file['dataset']}/{name}": (samples / name).read_bytes()
            for name, file in expected.items()
            if file["outcome"] == "accepted"
        }
        assert kept_kpi_rows(home) == expected_rows(accepted)

        last_run = home / ".local/last_run"
        emails = [path.read_text("utf-8") for path in sorted((last_run / "emails").glob("*.txt"))]
        rejected = [name for name, file in expected.items() if file["outcome"] == "rejected"]
        assert rejected
        for name in rejected:
            assert any(name in email for email in emails)
        assert {execution["status"] for execution in json.loads((last_run / "executions.json").read_text())} == {
            "SUCCEEDED"
        }
        assert list((last_run / "reports").rglob("*.html"))
        assert list((last_run / "logs/glue").rglob("*.log"))
        for told in ("Everything ended as it should", "KPIs of 2025-03-01", "KPIs of 2025-03-02", *rejected):
            assert told in ended.stdout

    def test_the_tutorial_s_files_give_the_figures_that_it_shows(self, home: Path) -> None:
        good, broken, *_ = blocks_of_the_tutorial("sh")
        subprocess.run(["bash", "-ec", good + broken], cwd=home, check=True)

        ended = python(home, "laptop.run", "--input", "plays")

        assert ended.returncode == 0, ended.stdout + ended.stderr
        for line in "".join(blocks_of_the_tutorial("text")).splitlines():
            assert line in ended.stdout
        accepted = ("users/users", "songs/songs", "streams/streams_morning", "streams/streams_evening")
        contents = {name: (home / "plays" / f"{Path(name).name}.csv").read_bytes() for name in accepted}
        assert kept_kpi_rows(home) == expected_rows(contents)
        assert len(json.loads((home / ".local/last_run/executions.json").read_text())) == 1

    def test_a_folder_without_csv_files_is_told_in_one_sentence(self, home: Path) -> None:
        ended = python(home, "laptop.run", "--input", str(home))

        assert ended.returncode == 2
        assert "holds no users*.csv" in ended.stdout
        assert "Traceback" not in ended.stderr

    def test_an_interrupted_run_keeps_what_there_is(self, home: Path) -> None:
        (home / "streams.csv").write_bytes(FIRST_STREAMS)
        process = subprocess.Popen(
            [sys.executable, "-m", "laptop.run", "--input", str(home)],
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        told = next(line for line in process.stdout if "Validate: Glue job run RUNNING" in line)
        family = descendants(process.pid)

        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

        assert process.wait(timeout=60) == 130, told + rest
        assert "Interrupted" in rest
        (execution,) = json.loads((home / ".local/last_run/executions.json").read_text())
        assert execution["status"] == "RUNNING"
        assert list((home / ".local/last_run/logs/glue").rglob("*.log"))
        assert not alive(family)


class TestUp:
    """`make up`."""

    @pytest.fixture
    def work_dir(self, home: Path) -> Iterator[Path]:
        """Where the embedded AWS of a test lives; it is stopped at the end."""
        yield home / ".local/aws"
        python(home, "local_aws", "down", "--work-dir", ".local/aws")

    def up(self, home: Path, work_dir: Path) -> ServerState:
        arguments = ["--assembly", ".local/assembly", "--work-dir", ".local/aws", "--port", "0", "--detach"]
        ended = python(home, "local_aws", "up", *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        state = read_state(work_dir)
        assert state is not None
        return state

    def test_killing_it_in_the_middle_leaves_no_process_behind_and_a_new_start_works(
        self, home: Path, work_dir: Path
    ) -> None:
        state = self.up(home, work_dir)
        key = "raw/streams/streams1.csv"
        pipeline(state).s3.put_object(Bucket=pipeline(state).outputs["DataBucketName"], Key=key, Body=b"user_id\n")
        wait_for_java(state.pid)
        family = descendants(state.pid)

        os.kill(state.pid, signal.SIGKILL)

        deadline = time.monotonic() + 30
        while left := alive([state.pid, *family]):
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.2)
        again = self.up(home, work_dir)
        assert again.pid != state.pid
        assert again.outputs.keys() == state.outputs.keys()
        assert pipeline(again).s3.list_objects_v2(Bucket=pipeline(again).outputs["DataBucketName"])["KeyCount"] == 0

        assert python(home, "local_aws", "down", "--work-dir", ".local/aws").returncode == 0
        assert read_state(work_dir) is None

    def test_what_it_prints_works_as_it_stands(self, home: Path, work_dir: Path) -> None:
        state = self.up(home, work_dir)
        (home / ".venv").symlink_to(REPOSITORY / ".venv")

        printed = python(home, "laptop.aws_cli")
        assert printed.returncode == 0, printed.stderr
        commands = [line for line in printed.stdout.splitlines() if line.startswith("  ")]
        first_about_kpis = next(number for number, line in enumerate(commands) if "KPI_API_KEY" in line)
        upload, ask = commands[:first_about_kpis], commands[first_about_kpis:]

        ended = in_shell(home, upload)
        assert ended.returncode == 0, ended.stderr
        assert "RECEIVED" in ended.stdout
        wait_until_archived(pipeline(state), len(SAMPLES))
        ended = in_shell(home, [commands[0], *ask])
        assert ended.returncode == 0, ended.stderr
        assert '"date":"2025-03-01"' in ended.stdout.replace(" ", "")
        assert "2025-03-01: published" in ended.stdout


def wait_until_archived(deployed: Pipeline, files: int) -> None:
    """Waits until so many files are archived and nothing runs."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    archived = Counter({FileStatus.ARCHIVED: files})
    while not (snapshot := deployed.snapshot()).is_idle or Counter(snapshot.file_statuses.values()) != archived:
        assert time.monotonic() < deadline, snapshot
        time.sleep(0.5)


def in_shell(home: Path, lines: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs lines in a shell whose user works with another AWS; the first that fails ends it."""
    hostile = {"AWS_PROFILE": "prod", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_SESSION_TOKEN": "of prod"}
    hostile |= {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    return subprocess.run(
        ["bash", "-ec", "\n".join(lines)],
        cwd=home,
        env={**os.environ, **hostile, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def pipeline(state: ServerState) -> Pipeline:
    return Pipeline(all_outputs(state.outputs), state.environment)


def processes() -> list[tuple[int, int, str, str]]:
    """Process id, parent's id, state and command of every process."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    )
    fields = (line.split(None, 3) for line in listing.stdout.splitlines())
    return [(int(pid), int(parent), state, args) for pid, parent, state, args in fields]


def descendants(ancestor: int) -> list[int]:
    """The processes that a process has started, and those that they have started."""
    family = [ancestor]
    everyone = processes()
    for known in family:
        family += [pid for pid, parent, _, _ in everyone if parent == known]
    return family[1:]


def alive(pids: Iterable[int]) -> list[str]:
    """Commands of those processes that run."""
    wanted = set(pids)
    return [args for pid, _, state, args in processes() if pid in wanted and not state.startswith("Z")]


def wait_for_java(ancestor: int) -> None:
    deadline = time.monotonic() + 60
    while not any("java" in command for command in alive(descendants(ancestor))):
        assert time.monotonic() < deadline, "no job has started Java"
        time.sleep(0.2)
