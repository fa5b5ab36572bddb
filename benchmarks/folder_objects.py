"""A folder in place of a bucket, for kernels that are run without S3."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FolderObjects:
    """Objects as files of a folder.

    Attributes:
        folder: where they are.
    """

    folder: Path

    def read(self, key: str) -> bytearray:
        """Read a whole object."""
        return bytearray((self.folder / key).read_bytes())

    def read_range(self, key: str, start: int, end: int) -> bytearray:
        """Read a range of bytes."""
        with (self.folder / key).open("rb") as file:
            file.seek(start)
            return bytearray(file.read(end - start))

    def write(self, key: str, body: bytes | bytearray | memoryview) -> None:
        """Write a whole object."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
