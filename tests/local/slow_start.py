"""An embedded AWS whose deployment waits until a test lets it go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_aws.work_dir import owner
from tests.local.assemblies import template, write_assembly

REPOSITORY: Final = Path(__file__).parents[2]
DEADLINE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class SlowAssembly:
    """A cloud assembly with an asset that is a named pipe: its deployment waits for a writer."""

    folder: Path

    def let_go_on(self) -> None:
        """Write the asset, for which the deployment waits."""
        (self.folder / "asset").write_bytes(b"content")


def slow_assembly(folder: Path) -> SlowAssembly:
    files = {"asset": {"path": "asset", "packaging": "file"}}
    bucket = ("AWS::S3::Bucket", {"BucketName": "data"})
    write_assembly(folder, {"Stack": template({"Bucket": bucket})}, files=files)
    os.mkfifo(folder / "asset")
    return SlowAssembly(folder)


def in_a_group_of_its_own(
    arguments: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `python -m …` as a terminal does: as the leader of a process group, which a Ctrl-C reaches as a whole."""
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def press(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to the whole process group."""
    os.killpg(process.pid, number)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.02)


def server_of(work_dir: Path) -> int:
    """The process that has begun to start in a work folder, as soon as there is one."""
    until(lambda: owner(work_dir) is not None, "a server")
    pid = owner(work_dir)
    assert pid is not None
    return pid


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
