"""Keeps what loggers say in a file, and off the terminal of whoever runs the embedded AWS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def log_to_file(path: Path, *loggers: str, level: int) -> Iterator[None]:
    """Send the loggers' records to a file for a while, and nowhere else unless the program has set up the root logger.

    Args:
        path: The file; records are added to it.
        loggers: Names of loggers.
        level: Records below it are dropped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    former_levels = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name, former in former_levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(former)
        handler.close()
