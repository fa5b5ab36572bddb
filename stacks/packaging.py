"""The zip of our own packages that a Glue job gets as `--extra-py-files`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_OLDEST_ZIP_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)
_READ_BY_ALL: Final = 0o100644 << 16


def build_zip(packages: Iterable[Path], target: Path) -> None:
    """Write packages into a zip whose bytes depend on their files' names and contents only.

    Sorted, with one timestamp and one file mode, without caches. Stored and not deflated: the bytes that zlib makes of
    one text differ between its versions, and a different asset hash would redeploy the jobs.

    Args:
        packages: Folders; each becomes a top-level folder of the zip.
        target: The zip to write.

    Raises:
        FileNotFoundError: A package is no folder, or it is empty.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for package in sorted(packages):
            files = _source_files(package)
            if not files:
                raise FileNotFoundError(f"There is nothing to package in {package}: it must be a folder with sources.")
            for file in files:
                add_file(archive, file.relative_to(package.parent).as_posix(), file.read_bytes())


def add_file(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file to an archive, without anything of the machine or the moment."""
    entry = zipfile.ZipInfo(name, _OLDEST_ZIP_TIMESTAMP)
    entry.external_attr = _READ_BY_ALL
    entry.create_system = 3  # Unix, on every system
    archive.writestr(entry, content)


def _source_files(package: Path) -> list[Path]:
    return sorted(
        path
        for path in package.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(package).parts)
    )
