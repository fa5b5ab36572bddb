"""`make run` as a process, where it does not come as far as the pipeline: the last results stay where they are."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from laptop.exclusive import BusyError, alone_in
from local_aws.work_dir import WorkDir
from tests.local.slow_start import (
    DEADLINE_SECONDS,
    has_ended,
    in_a_group_of_its_own,
    press,
    server_of,
    slow_assembly,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the results of an earlier run."""
    (tmp_path / ".local/last_run").mkdir(parents=True)
    (tmp_path / ".local/last_run/kpis.json").write_text("[1]", encoding="utf-8")
    return tmp_path


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = in_a_group_of_its_own(["laptop.run", *arguments], home)
    output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def assert_untouched(home: Path) -> None:
    assert json.loads((home / ".local/last_run/kpis.json").read_text(encoding="utf-8")) == [1]
    assert not (home / ".local/previous").exists()


def test_a_second_run_is_refused_and_takes_nothing_from_the_first(home: Path) -> None:
    slow_assembly(home / ".local/assembly")
    with alone_in(home / ".local/run"):
        second = run(home)

    assert (second.returncode, second.stderr) == (2, "")
    assert second.stdout.startswith("Another make run is at work in .local/run. Wait")
    assert_untouched(home)
    assert not (home / ".local/samples").exists()


def test_a_run_beside_a_server_in_its_folder_is_refused_and_takes_nothing(home: Path) -> None:
    slow_assembly(home / ".local/assembly")
    mine = home / ".local/samples/streams_mine.csv"
    mine.parent.mkdir()
    mine.write_text("user_id\n", encoding="utf-8")
    work_dir = WorkDir(home / ".local/run")
    try:
        second = run(home)
    finally:
        work_dir.close()

    assert (second.returncode, second.stderr) == (2, "")
    assert "already runs in" in second.stdout
    assert_untouched(home)
    assert (mine.parent / "expected.json").exists()
    assert mine.read_text(encoding="utf-8") == "user_id\n"


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_run_on_nothing_keeps_the_last_results(home: Path, folder: str) -> None:
    ended = run(home, "--input", folder)

    assert (ended.returncode, ended.stderr) == (2, "")
    assert_untouched(home)


def test_a_run_without_an_assembly_keeps_the_last_results(home: Path) -> None:
    ended = run(home)

    assert (ended.returncode, ended.stderr) == (2, "")
    assert "synthesize the application first" in ended.stdout
    assert_untouched(home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_while_the_embedded_aws_starts_keeps_the_last_results(
    home: Path, number: signal.Signals
) -> None:
    slow = slow_assembly(home / ".local/assembly")
    process = in_a_group_of_its_own(["laptop.run"], home)
    assert server_of(home / ".local/run") == process.pid

    press(process, number)
    press(process, number)  # a second one does not break the end off
    slow.let_go_on()
    output, errors = process.communicate(timeout=DEADLINE_SECONDS)

    assert (process.returncode, errors) == (128 + number, "")
    assert output.splitlines()[-1] == "Interrupted before anything was uploaded."
    assert has_ended(process.pid)
    assert_untouched(home)


def test_a_folder_is_free_again_when_its_user_has_ended(tmp_path: Path) -> None:
    with alone_in(tmp_path / "run"), pytest.raises(BusyError), alone_in(tmp_path / "run"):
        pass

    with alone_in(tmp_path / "run"):
        pass
