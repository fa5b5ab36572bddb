"""What earlier runs left behind: moved into a dated folder, never deleted."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

FOLDER: Final = "previous"
"""Name of the folder that holds a dated folder for each earlier run."""

_UNIT: Final = 1000


def set_aside(parent: Path, names: Sequence[str]) -> Path | None:
    """Move what an earlier run left into a new folder, `<parent>/previous/<UTC time>/`.

    Args:
        parent: The folder in which the run left it.
        names: Names of its folders in `parent`; those that do not exist are passed over.

    Returns:
        The new folder; None if there was no file to keep, and nothing was moved.
    """
    left = [parent / name for name in names if (parent / name).exists()]
    if not any(True for folder in left for _ in _files(folder)):
        return None
    target = _new_folder(parent / FOLDER)
    for folder in left:
        folder.rename(target / folder.name)
    return target


def folders(parent: Path) -> frozenset[Path]:
    """Return the folders of earlier runs that were set aside in `parent`."""
    return frozenset(path for path in (parent / FOLDER).glob("*") if path.is_dir())


def sentence(folder: Path, what: str = "The previous run's files") -> str:
    """Say where what an earlier run left is now, how much room earlier runs take, and how to delete them.

    Args:
        folder: What `set_aside` returned.
        what: What it holds, as the sentence's subject, in the plural.
    """
    files = sum(1 for _ in _files(folder))
    kept = folder.parent
    others = len(folders(kept.parent)) - 1
    earlier = f"them and {others} earlier {'run' if others == 1 else 'runs'} ({_size(kept)})" if others else "them"
    return (
        f"{what} ({files} {'file' if files == 1 else 'files'}, {_size(folder)}) are now in {_shown(folder)}/; "
        f"to delete {earlier}: rm -r {shlex.quote(_shown(kept))}"
    )


def _new_folder(previous: Path) -> Path:
    previous.mkdir(0o700, exist_ok=True)  # as private as what it holds
    now = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    folder, number = previous / now, 1
    while folder.exists():
        number += 1
        folder = previous / f"{now}-{number}"
    folder.mkdir(0o700)
    return folder


def _files(folder: Path) -> Iterator[Path]:
    for path, _, names in os.walk(folder):
        yield from (Path(path) / name for name in names)


def _size(folder: Path) -> str:
    """The size of all files of a folder, in bytes, kB, MB or GB."""
    size: float = sum(path.lstat().st_size for path in _files(folder))
    if size < _UNIT:
        return f"{size} bytes"
    for unit in ("kB", "MB"):
        size /= _UNIT
        if size < _UNIT:
            return f"{size:.1f} {unit}"
    return f"{size / _UNIT:.1f} GB"


def _shown(path: Path) -> str:
    """The path, from the current folder on if it lies there."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)
