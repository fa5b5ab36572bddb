"""Ctrl-C, SIGTERM and a closed terminal end what they meet in order, in one sentence and without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws.work_dir import owner, read_state
from tests.local.assemblies import template, write_assembly
from tests.local.slow_start import (
    DEADLINE_SECONDS,
    REPOSITORY,
    SlowAssembly,
    has_ended,
    in_a_group_of_its_own,
    press,
    server_of,
    slow_assembly,
    until,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Owns a work folder, and does not end when it is asked to.
STUBBORN = """
import signal, sys
from pathlib import Path
from local_aws.work_dir import WorkDir
signal.signal(signal.SIGTERM, lambda number, frame: print("asked", flush=True))
work_dir = WorkDir(Path(sys.argv[1]))
print("owns", flush=True)
while True:
    signal.pause()
"""

NOTES = """
import os, signal, sys, time
from local_aws.interrupts import Interrupted, Interrupts
interrupts = Interrupts()
"""


@pytest.fixture
def slow(tmp_path: Path) -> SlowAssembly:
    return slow_assembly(tmp_path / "cdk.out")


@pytest.fixture
def work_dir(tmp_path: Path) -> Iterator[Path]:
    """A work folder; a server that a test has left in it is killed."""
    yield tmp_path / "aws"
    if pid := owner(tmp_path / "aws"):
        os.kill(pid, signal.SIGKILL)


def up(assembly: Path, work_dir: Path) -> list[str | Path]:
    return ["local_aws", "up", "--detach", "--assembly", assembly, "--work-dir", work_dir, "--port", "0"]


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_it_starts_in_the_background_leaves_no_server(
    slow: SlowAssembly, tmp_path: Path, work_dir: Path, number: signal.Signals
) -> None:
    process = in_a_group_of_its_own(up(slow.folder, work_dir), tmp_path)
    server = server_of(work_dir)

    press(process, number)
    press(process, number)  # a second one does not break the end off
    slow.let_go_on()
    output, errors = process.communicate(timeout=DEADLINE_SECONDS)

    assert (process.returncode, output) == (128 + number, "")
    assert errors == "Interrupted: the embedded AWS was not started.\n"
    assert has_ended(server)
    assert owner(work_dir) is None


def test_a_server_that_has_started_outlives_the_terminal_that_started_it(tmp_path: Path, work_dir: Path) -> None:
    assembly = write_assembly(tmp_path / "cdk.out", {"Stack": template({"Topic": ("AWS::SNS::Topic", {})})})
    # A shell that leads the group, as a login shell does, and that the signal ends.
    command = " ".join(map(str, [sys.executable, "-m", *up(assembly, work_dir)]))
    shell = subprocess.Popen(
        ["sh", "-c", f"{command} && echo started && exec sleep 600"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert shell.stdout is not None
    assert "started\n" in shell.stdout
    state = read_state(work_dir)
    assert state is not None

    press(shell, signal.SIGHUP)
    assert shell.wait(DEADLINE_SECONDS) == -signal.SIGHUP

    assert read_state(work_dir) == state
    os.kill(state.pid, signal.SIGTERM)
    until(lambda: owner(work_dir) is None, "the server's end")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_it_waits_for_the_end_says_that_the_server_still_stops(
    tmp_path: Path, work_dir: Path, number: signal.Signals
) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, str(work_dir)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "owns\n"
    process = in_a_group_of_its_own(["local_aws", "down", "--work-dir", "aws"], tmp_path)
    assert server.stdout.readline() == "asked\n"

    press(process, number)
    output, errors = process.communicate(timeout=DEADLINE_SECONDS)

    server.kill()
    server.communicate()
    assert (process.returncode, output) == (128 + number, "")
    assert errors == f"Interrupted: the embedded AWS in aws (process {server.pid}) still stops by itself.\n"


def test_a_signal_is_noted_and_raised_once_where_the_program_allows_it() -> None:
    ended = python(
        NOTES
        + """
os.kill(os.getpid(), signal.SIGTERM)
print(interrupts.requested, interrupts.exit_code)
try:
    with interrupts.raised():
        print("not reached")
except Interrupted as interrupted:
    os.kill(os.getpid(), signal.SIGINT)
    print(interrupted.exit_code)
"""
    )

    assert (ended.stdout, ended.stderr, ended.returncode) == ("True 143\n143\n", "", 0)


def test_a_signal_interrupts_what_waits_inside_of_the_place_that_allows_it() -> None:
    ended = python(
        NOTES
        + """
import threading
threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    with interrupts.raised():
        time.sleep(600)
except Interrupted as interrupted:
    sys.exit(interrupted.exit_code)
"""
    )

    assert (ended.stderr, ended.returncode) == ("", 130)


def test_a_program_that_was_started_by_nohup_goes_on_when_its_terminal_is_closed() -> None:
    ended = python(
        "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        + NOTES
        + "os.kill(os.getpid(), signal.SIGHUP)\nprint(interrupts.requested)\n"
    )

    assert (ended.stdout, ended.returncode) == ("False\n", 0)
