"""The folder in which an embedded AWS lives: who owns it, and what a new start finds in it."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from local_aws import previous_runs

BUCKETS: Final = "buckets"
EMAILS: Final = "emails"
LAMBDA: Final = "lambda"
LOGS: Final = "logs"
SPARK: Final = "spark"

ENVIRONMENT: Final = "env.sh"
"""File for a shell to source, with the environment variables of a client process."""

_KEPT: Final = (BUCKETS, EMAILS, LOGS)
_SCRATCH: Final = (LAMBDA, SPARK)
_CONTENTS: Final = (*_KEPT, *_SCRATCH)
_PID_FILE: Final = "server.pid"
_STATE_FILE: Final = "server.json"
_POLL_SECONDS: Final = 0.05
_LOCK_SECONDS: Final = 0.5
"""Long enough for a process that only asks who the owner is, which takes the lock for an instant."""


class WorkDirInUseError(Exception):
    """An embedded AWS that lives has the folder."""


class ForeignWorkDirError(Exception):
    """The folder holds files that no embedded AWS has made."""


@dataclass(frozen=True)
class ServerState:
    """What a running embedded AWS tells other processes.

    Attributes:
        pid: Its process.
        endpoint_url: Where it answers.
        emails_url: Address of the page with every e-mail that was sent. Anyone who knows it may read them.
        outputs: Stack name to output name to value.
        environment: The environment variables of a client process, the operator's secret key among them.
    """

    pid: int
    endpoint_url: str
    emails_url: str
    outputs: Mapping[str, Mapping[str, str]]
    environment: Mapping[str, str]


class WorkDir:
    """Owns a work folder for as long as it is open.

    The ownership is a lock on the pid file, which ends with its process however that ends; so the pid of a dead process
    stands in nobody's way.

    Args:
        path: The folder; it is made if there is none.

    Raises:
        WorkDirInUseError: Another embedded AWS owns the folder.
        ForeignWorkDirError: The folder has contents that would be moved or deleted although no embedded AWS has made
            them.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path.absolute()
        self._pid_file = _lock(self.path)

    def prepare(self) -> Path | None:
        """Make empty folders for a start; move the buckets, e-mails and logs of an earlier one aside.

        Returns:
            Where those are now; None if it left no file.
        """
        self._forget_state()
        previous = previous_runs.set_aside(self.path, _KEPT)
        for name in _CONTENTS:
            if (self.path / name).exists():
                shutil.rmtree(self.path / name)
            (self.path / name).mkdir(0o700)  # the log of requests has presigned addresses, which nobody else may read
        return previous

    def publish(self, state: ServerState) -> None:
        """Tell other processes of the same user that the embedded AWS answers, and how to use it."""
        write_environment(self.path, state, state.environment)
        _write_private(self._state_path, json.dumps(asdict(state), indent=2))

    def close(self) -> None:
        """Give the folder free; its contents stay for whoever wants to look at them."""
        self._forget_state()
        self._pid_file.truncate(0)
        self._pid_file.close()

    def _forget_state(self) -> None:
        for name in (_STATE_FILE, ENVIRONMENT):
            (self.path / name).unlink(missing_ok=True)

    @property
    def _state_path(self) -> Path:
        return self.path / _STATE_FILE


def write_environment(path: Path, state: ServerState, variables: Mapping[str, str]) -> None:
    """Write the file that makes a shell use an embedded AWS and no other; its end removes it.

    It first unsets what the shell has of AWS: a profile, an endpoint of one service or another region would lead
    elsewhere. Where the process was killed, the file stays: it says so, and still leads to no other AWS.

    Args:
        path: The work folder.
        state: The embedded AWS.
        variables: What to export.
    """
    ended = (
        f"The embedded AWS of {path / ENVIRONMENT} (process {state.pid}) has ended: start it, then source this again."
    )
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items() if value]
    lines = [
        "# Makes this shell use the embedded AWS, as its operator. Holds a secret; another one at every start.",
        "for name in $(env | sed -n 's/^\\(AWS_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset \"$name\"; done",
        *exports,
        f"kill -0 {state.pid} 2>/dev/null || echo {shlex.quote(ended)} >&2",
    ]
    _write_private(path / ENVIRONMENT, "\n".join(lines) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read, whole or not at all."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)  # one of a process that was killed may be readable
    draft.touch(0o600, exist_ok=False)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def read_state(path: Path) -> ServerState | None:
    """Return what the embedded AWS of a work folder has published, None if none answers there."""
    try:
        state = ServerState(**json.loads((path / _STATE_FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, TypeError):  # another version of this package wrote it, and is gone
        return None
    return state if owner(path) == state.pid else None


def owner(path: Path) -> int | None:
    """Return the process that owns a work folder, None if nobody does."""
    try:
        pid_file = (path / _PID_FILE).open(encoding="utf-8")
    except FileNotFoundError:
        return None
    with pid_file:
        while not _try_lock(pid_file, fcntl.LOCK_SH):
            if pid := pid_file.read():
                return int(pid)
            # The owner is about to write its pid, or about to leave.
            time.sleep(_POLL_SECONDS)
            pid_file.seek(0)
    return None


def wait_until_free(path: Path, seconds: float) -> bool:
    """Wait until nobody owns a work folder; tell whether that came in time."""
    deadline = time.monotonic() + seconds
    while owner(path) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _lock(path: Path) -> IO[str]:
    pid_path = path / _PID_FILE
    if not pid_path.exists() and (foreign := [name for name in _CONTENTS if (path / name).exists()]):
        raise ForeignWorkDirError(
            f"{path} already holds {', '.join(foreign)}, which no embedded AWS has made and which a start would "
            "move away. Choose another work folder."
        )
    path.mkdir(parents=True, exist_ok=True)
    pid_file = pid_path.open("a+", encoding="utf-8")
    deadline = time.monotonic() + _LOCK_SECONDS
    while not _try_lock(pid_file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            pid_file.close()
            raise WorkDirInUseError(
                f"An embedded AWS (process {owner(path)}) already runs in {path}. "
                f"Stop it with `python -m local_aws down --work-dir {path}`, or choose another work folder."
            )
        time.sleep(_POLL_SECONDS)
    pid_file.truncate(0)
    pid_file.write(str(os.getpid()))
    pid_file.flush()
    return pid_file


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
