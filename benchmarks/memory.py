"""Peak memory of the processes that this one starts, theirs included."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

SAMPLE_SECONDS: Final = 0.25


@dataclass
class Peak:
    """The most seen.

    Attributes:
        mebibytes: resident memory of all descendants together.
    """

    mebibytes: float = 0.0


@contextmanager
def peak_of_children() -> Iterator[Peak]:
    """Samples while the block runs: `getrusage` knows neither the JVM, a grandchild, nor sums of processes."""
    peak, is_over = Peak(), threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_SECONDS):
            peak.mebibytes = max(peak.mebibytes, _resident() / 1024)

    thread = threading.Thread(target=watch, name="memory")
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()


def _resident() -> int:
    """KiB of all descendants; `ps` itself is one of them, of some MiB."""
    table = subprocess.run(["ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    children: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for line in table.splitlines():
        pid, parent, kibibytes = map(int, line.split())
        children[parent].append((pid, kibibytes))
    total, due = 0, [os.getpid()]
    while due:
        for pid, kibibytes in children[due.pop()]:
            total += kibibytes
            due.append(pid)
    return total
