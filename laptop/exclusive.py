"""One process at a time works in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BusyError(Exception):
    """Another process works in the folder: wait until it has ended."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same folder out of it. The folder is made if there is none.

    The lock ends with its process, however that ends.

    Raises:
        BusyError: Another process has the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"Another make run is at work in {folder}. Wait until it has ended, or end it by Ctrl-C, then repeat."
            ) from None
        yield
    finally:
        os.close(descriptor)
