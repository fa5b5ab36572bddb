"""`python -m local_aws up` and `down`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from local_aws import previous_runs
from local_aws.interrupts import Interrupted, Interrupts
from local_aws.intrinsics import DeploymentError
from local_aws.work_dir import (
    ForeignWorkDirError,
    ServerState,
    WorkDirInUseError,
    owner,
    read_state,
    wait_until_free,
)

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 60.0
_EXIT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1
_SERVER_LOG: Final = "server.log"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments, without the program's name; None takes those of the process.

    Returns:
        The exit code.
    """
    interrupts = Interrupts()
    options = _parser().parse_args(arguments)
    if options.command == "down":
        return _down(options.work_dir, interrupts)
    if options.detach:
        return _up_detached(options.assembly, options.work_dir, options.port, interrupts)
    return _up(options.assembly, options.work_dir, options.port, interrupts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local_aws", description="An AWS embedded in one process.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="deploy a cloud assembly and keep it running")
    up.add_argument("--assembly", type=Path, default=Path("cdk.out"), help="the cloud assembly (default: %(default)s)")
    up.add_argument(
        "--port", type=int, default=4566, help="port of 127.0.0.1; 0 takes a free one (default: %(default)s)"
    )
    up.add_argument("--detach", action="store_true", help="return as soon as it answers")
    down = commands.add_parser("down", help="stop the one that runs in the work folder")
    for command in (up, down):
        command.add_argument(
            "--work-dir",
            type=Path,
            default=Path(".local/aws"),
            help="folder for buckets, e-mails and logs (default: %(default)s)",
        )
    return parser


def _up(assembly: Path, work_dir: Path, port: int, interrupts: Interrupts) -> int:
    # Takes more than a second to import, which `down` and `--detach` do not need.
    from local_aws.moto_server import PortInUseError
    from local_aws.server import EmbeddedAws

    try:
        with EmbeddedAws(assembly, work_dir, port=port, say=functools.partial(print, flush=True)) as aws:
            _print_state(aws.state())
            while not interrupts.requested:
                time.sleep(_POLL_SECONDS)
    except (DeploymentError, ForeignWorkDirError, PortInUseError, WorkDirInUseError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _up_detached(assembly: Path, work_dir: Path, port: int, interrupts: Interrupts) -> int:
    work_dir.mkdir(parents=True, exist_ok=True)
    log_path = work_dir / _SERVER_LOG
    command = [sys.executable, "-m", "local_aws", "up"]
    command += ["--assembly", str(assembly), "--work-dir", str(work_dir), "--port", str(port)]
    previous = previous_runs.folders(work_dir)
    with log_path.open("a", encoding="utf-8") as log:
        begin = log.tell()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    state = _wait_for_state(process, work_dir, interrupts)
    if state is None:
        _end(process)
    for folder in previous_runs.folders(work_dir) - previous:
        print(previous_runs.sentence(folder))
    if state:
        _print_state(state)
        return 0
    if interrupts.requested:
        print("Interrupted: the embedded AWS was not started.", file=sys.stderr)
        return interrupts.exit_code
    print(log_path.read_bytes()[begin:].decode(), end="", file=sys.stderr)
    print(f"The embedded AWS did not start; its log is {log_path}.", file=sys.stderr)
    return 1


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_state(process: subprocess.Popen[bytes], work_dir: Path, interrupts: Interrupts) -> ServerState | None:
    """Wait until the process answers; None if it has ended, takes too long, or is not wanted any more."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline and not interrupts.requested:
        state = read_state(work_dir)
        if state is not None and state.pid == process.pid:
            return state
        time.sleep(_POLL_SECONDS)
    return None


def _down(work_dir: Path, interrupts: Interrupts) -> int:
    pid = owner(work_dir)
    if pid is None:
        print(f"No embedded AWS runs in {work_dir}.")
        return 0
    with contextlib.suppress(ProcessLookupError):  # it may end by itself just now
        os.kill(pid, signal.SIGTERM)
    try:
        with interrupts.raised():
            is_free = wait_until_free(work_dir, _STOP_SECONDS)
            if is_free:
                _wait_for_exit(pid)
    except Interrupted as interrupted:
        print(f"Interrupted: the embedded AWS in {work_dir} (process {pid}) still stops by itself.", file=sys.stderr)
        return interrupted.exit_code
    if is_free:
        print(f"The embedded AWS in {work_dir} has stopped.")
        return 0
    log = work_dir / _SERVER_LOG
    print(f"Process {pid} did not stop within {_STOP_SECONDS:.0f} s (log: {log}); end it by hand.", file=sys.stderr)
    return 1


def _wait_for_exit(pid: int) -> None:
    """Wait for the last moments of a process that has given its work folder free.

    Not for ever: where the first process of a container collects no orphans, an ended process keeps its entry.
    """
    deadline = time.monotonic() + _EXIT_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(_POLL_SECONDS)


def _print_state(state: ServerState) -> None:
    print(f"The embedded AWS answers at {state.endpoint_url} (process {state.pid}).")
    for stack, outputs in state.outputs.items():
        for name, value in outputs.items():
            if name.startswith("ExportsOutput"):
                continue  # what the CDK passes from stack to stack is of no use to a reader
            print(f"  {stack}.{name} = {value}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
