"""Shows what the pipeline does, live, until it is done or can go no further."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live

from laptop.pipeline import FINAL_FILE_STATUSES, RUNNING, Execution, Snapshot, Uploaded
from operations.output import add_row, data_table, lines

POLL_SECONDS = 0.5
GRACE_SECONDS = 15.0


class StuckError(Exception):
    """The pipeline will not finish: the message names what it stopped at.

    Attributes:
        lines: the message, line by line: a key may hold a line break.
    """

    def __init__(self, what: str, files: Sequence[Uploaded], snapshot: Snapshot) -> None:
        self.lines = [f"{what}:", *(f"  {line}" for line in what_is_stuck(files, snapshot))]
        super().__init__("\n".join(self.lines))


def unfinished(files: Sequence[Uploaded], snapshot: Snapshot) -> list[Uploaded]:
    """The uploaded files that the ledger does not call finished."""
    return [file for file in files if snapshot.file_statuses.get(file.ledger_key) not in FINAL_FILE_STATUSES]


def is_over(files: Sequence[Uploaded], snapshot: Snapshot) -> bool:
    """Whether nothing is under way and either every file is finished or a failure was reported."""
    if not snapshot.is_idle:
        return False
    if snapshot.failures:
        return len(snapshot.notified) >= len(snapshot.failures)
    return not unfinished(files, snapshot)


def what_is_stuck(files: Sequence[Uploaded], snapshot: Snapshot) -> list[str]:
    """One line per thing that keeps the run from ending."""
    stuck = [
        f"{file.key} is {snapshot.file_statuses.get(file.ledger_key, 'not known to the ledger')}"
        for file in unfinished(files, snapshot)
    ]
    stuck += [
        f"execution {execution.name} is in {execution.state}, Glue job run {execution.job_run}"
        for execution in snapshot.executions
        if execution.status == RUNNING
    ]
    if snapshot.queued:
        stuck.append(f"{snapshot.queued} messages wait in the upload queue")
    return stuck


def watch(
    look: Callable[[], Snapshot],
    files: Sequence[Uploaded],
    console: Console,
    *,
    deadline_seconds: float,
    grace_seconds: float = GRACE_SECONDS,
) -> None:
    """Shows what happens until the run is over.

    Args:
        look: tells what the pipeline is doing.
        files: what was uploaded.
        console: where to show it.
        deadline_seconds: how long the whole may take.
        grace_seconds: how long an upload may take to become an execution, and a failure to become an e-mail.

    Raises:
        StuckError: a message is in the dead letter queue, nothing moves although something is unfinished, or the
            deadline passed.
    """
    deadline = time.monotonic() + deadline_seconds
    moved_at, last = time.monotonic(), None
    with _progress(files, console) as show:
        while True:
            snapshot = look()
            show(snapshot)
            if is_over(files, snapshot):
                return
            now = time.monotonic()
            if snapshot != last or not snapshot.is_idle:
                moved_at, last = now, snapshot
            if snapshot.dead_letters:
                raise StuckError(f"{snapshot.dead_letters} messages are in the dead letter queue", files, snapshot)
            if now - moved_at > grace_seconds:
                raise StuckError("Nothing moves any more", files, snapshot)
            if now > deadline:
                raise StuckError(f"It is not finished after {deadline_seconds / 60:.0f} minutes", files, snapshot)
            time.sleep(POLL_SECONDS)


@contextmanager
def _progress(files: Sequence[Uploaded], console: Console) -> Iterator[Callable[[Snapshot], None]]:
    """A terminal gets a table that is drawn anew; anything else (a log) gets one line per change."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda snapshot: live.update(progress_table(files, snapshot, datetime.now(UTC)), refresh=True)
        return
    printed: set[str] = set()

    def print_changes(snapshot: Snapshot) -> None:
        for line in progress_lines(files, snapshot):
            if line not in printed:
                printed.add(line)
                console.print(lines(f"{datetime.now(UTC):%H:%M:%S}  {line}"), soft_wrap=True)

    yield print_changes


def progress_lines(files: Sequence[Uploaded], snapshot: Snapshot) -> list[str]:
    """One line per execution and one about the files."""
    return [
        *(f"{execution.name}  {_doing(execution)}" for execution in snapshot.executions),
        _files_line(files, snapshot),
    ]


def progress_table(files: Sequence[Uploaded], snapshot: Snapshot, now: datetime) -> Group:
    """One row per execution, with the seconds since it entered its state."""
    table = data_table("", "execution", "doing", "since (UTC)")
    for execution in snapshot.executions:
        since = execution.since or execution.started
        until = execution.stopped or now
        moment = f"{since.astimezone(UTC):%H:%M:%S} ({(until - since).seconds} s)"
        add_row(table, execution.name, _doing(execution), moment)
    return Group(table, lines(_files_line(files, snapshot)))


def _doing(execution: Execution) -> str:
    if execution.status != RUNNING:
        return execution.status
    state = execution.state or "starting"
    return f"{state}: Glue job run {execution.job_run}" if execution.job_run else state


def _files_line(files: Sequence[Uploaded], snapshot: Snapshot) -> str:
    finished = len(files) - len(unfinished(files, snapshot))
    return f"{finished} of {len(files)} files finished, {snapshot.queued} events in the queue"
