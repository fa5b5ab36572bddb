"""Objects that tools leave beside data files: they are no data, and are skipped. Needs the standard library only.

Only what a tool is known to write is listed. Other names that begin with a dot or an underscore are files as any other,
because a file that is skipped by mistake is missing from the KPIs without an e-mail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

MIN_FILE_BYTES: Final = len(b"user_id,track_id,listen_time")
"""The shortest header: nothing smaller is a data file."""

_FOLDER: Final = "a folder"
_FOLDER_TYPE: Final = "application/x-directory"


@dataclass(frozen=True)
class Companions:
    """Names that one kind of tool gives to its own files.

    Attributes:
        what: what they are, as the ledger and the documentation say it.
        patterns: of the last part of the key, as in a shell; `*` is any text.
        any_case: whether capitals do not matter, as on Windows and macOS.
    """

    what: str
    patterns: tuple[str, ...]
    any_case: bool = False

    def include(self, name: str) -> bool:
        """Whether a file has one of the names."""
        fold: Callable[[str], str] = str.casefold if self.any_case else str
        return any(fnmatchcase(fold(name), fold(pattern)) for pattern in self.patterns)


COMPANIONS: Final = (
    Companions("a marker of a Spark or Hadoop job", ("_SUCCESS", "_started*", "_committed*")),
    Companions("a folder marker of Hadoop", ("*_$folder$",)),
    Companions("a placeholder that keeps a folder", (".keep", ".gitkeep")),
    Companions(
        "a checksum", ("*.crc", "*.md5", "*.sha1", "*.sha256", "*.sha512", "MD5SUMS", "SHA256SUMS"), any_case=True
    ),
    Companions("a description of other files", ("manifest.json", "*.manifest", "*.metadata"), any_case=True),
    Companions("a file of macOS", (".DS_Store", "._*", ".localized"), any_case=True),
    Companions("a file of Windows", ("desktop.ini", "Thumbs.db", "ehthumbs.db"), any_case=True),
    Companions("a lock file of an office program", (".~lock.*#", "~$*"), any_case=True),
)
COMPANION_FOLDERS: Final = {
    "_temporary": "unfinished output of a Spark or Hadoop job",
    "__MACOSX": "a file of macOS",
}
"""Folders, at any depth of a key, of which everything is skipped, and what it is."""


def companion(key: str, size: int, content_type: str) -> str | None:
    """What an object is that is no data file; None for a file.

    Args:
        key: the object key.
        size: bytes.
        content_type: of an empty object; it does not matter for others.

    Returns:
        A few words, such as "a folder" or "a checksum".
    """
    if key.endswith("/") and size < MIN_FILE_BYTES:
        return _FOLDER
    if size == 0 and content_type.partition(";")[0].strip().casefold() == _FOLDER_TYPE:
        return _FOLDER
    *folders, name = key.split("/")
    found = [what for folder, what in COMPANION_FOLDERS.items() if folder in folders]
    return next(iter([*found, *(companions.what for companions in COMPANIONS if companions.include(name))]), None)
