"""Unpacks gzip of any number of members in linear time and bounded memory. Needs the standard library only."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

GZIP_MAGIC: Final = b"\x1f\x8b"

_GZIP_WINDOW: Final = 31  # zlib.decompressobj: 15 bits of window, gzip container
_TEXT_BYTES: Final = 4 * 1024**2
_FIRST_STEP: Final = 512
_LAST_STEP: Final = 64 * 1024


class BrokenGzipError(Exception):
    """The bytes are no complete gzip; the message says what is wrong, in words for the producer.

    Attributes:
        text: what was unpacked since the last text that `unpacked` gave; of a damaged gzip, its end may be junk.
    """

    text: bytes = b""


def unpacked(chunks: Iterable[bytes], *, max_members: int | None = None) -> Iterator[bytes]:
    """Yield the content of a gzip file: of all its members (RFC 1952, section 2.2), without zero bytes after them.

    Args:
        chunks: the file's bytes, cut anywhere.
        max_members: how many members the file may have; None for any number.

    Yields:
        Texts of 4 to 8 MiB, but for the last one, however small the members are.

    Raises:
        BrokenGzipError: the gzip is damaged or incomplete, something else follows it, or it has too many members.
    """
    text = bytearray()
    try:
        for piece in _pieces(chunks, max_members):
            text += piece
            if len(text) >= _TEXT_BYTES:
                yield bytes(text)
                text.clear()
    except BrokenGzipError as error:
        error.text = bytes(text)
        raise
    if text:
        yield bytes(text)


def _pieces(chunks: Iterable[bytes], max_members: int | None) -> Iterator[bytes]:
    member = _Member(number=1, before=0)
    for chunk in chunks:
        view = memoryview(chunk)
        position = 0
        while position < len(view):
            if member.is_over:
                if view[position] == 0:  # padding, which gzip(1) ignores too
                    position += _zeros(view[position : position + _LAST_STEP])
                    continue
                member = _Member(number=member.number + 1, before=member.unpacked_so_far)
                if max_members is not None and member.number > max_members:
                    raise BrokenGzipError(f"the gzip has more than {max_members} members: pack the file as a whole")
            consumed, piece = member.unpack(view[position:])
            position += consumed
            yield piece
    if not member.is_over:
        raise BrokenGzipError(f"the gzip ends too early, after {member.unpacked_so_far} unpacked bytes")


class _Member:
    """One member of a gzip file.

    Args:
        number: 1 for the first member.
        before: how many bytes the members before it unpack to.
    """

    def __init__(self, *, number: int, before: int) -> None:
        self.number = number
        self.unpacked_so_far = before
        self._before = before
        self._zlib = zlib.decompressobj(_GZIP_WINDOW)
        self._step = _FIRST_STEP

    @property
    def is_over(self) -> bool:
        return self._zlib.eof

    def unpack(self, packed: memoryview) -> tuple[int, bytes]:
        """Unpack some of the bytes: returns how many were used, and what they unpack to.

        zlib copies what it does not use. Steps that grow with the member make that copy no larger than the member: with
        whole chunks, many small members would take quadratic time.
        """
        step = packed[: self._step]
        self._step = min(2 * self._step, _LAST_STEP)
        try:
            text = self._zlib.decompress(step, _TEXT_BYTES)
        except zlib.error as error:
            raise BrokenGzipError(self._problem()) from error
        self.unpacked_so_far += len(text)
        return len(step) - len(self._zlib.unused_data) - len(self._zlib.unconsumed_tail), text

    def _problem(self) -> str:
        if self.number > 1 and self.unpacked_so_far == self._before:
            return f"after {self._before} unpacked bytes the gzip is over, and something else follows it"
        return f"the gzip is damaged: no more than {self.unpacked_so_far} bytes could be unpacked"


def _zeros(view: memoryview) -> int:
    """How many zero bytes a view begins with."""
    data = bytes(view)
    return len(data) - len(data.lstrip(b"\x00"))
