"""Ctrl-C, SIGTERM and a closed terminal, noticed where a program can end in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SIGNALLED: Final = 128
"""A shell reports 128 and the signal's number for a program that a signal has ended."""


class Interrupted(KeyboardInterrupt):
    """A signal has asked the program to end.

    Attributes:
        exit_code: What the program returns for it; 130 for Ctrl-C.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code: Final = _SIGNALLED + number


class Interrupts:
    """Notes the first SIGINT, SIGTERM or SIGHUP from its creation on, and raises it only where that is safe.

    An exception at any place could leave a server half started, or break off the end that an earlier signal began. So
    outside of `raised` a signal is only noted, and every one after the first is without effect. A program that was
    started with `nohup` goes on when its terminal is closed.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._raises = False
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._number is not None

    @property
    def exit_code(self) -> int:
        """What a program returns that a signal has ended, 0 if none has come."""
        return 0 if self._number is None else _SIGNALLED + self._number

    def check(self) -> None:
        """Raise what has come.

        Raises:
            Interrupted: A signal has come.
        """
        if self._number is not None:
            raise Interrupted(self._number)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Let a signal interrupt what is done meanwhile, at any place.

        Raises:
            Interrupted: A signal comes meanwhile, or has come before.
        """
        self._raises = True
        try:
            self.check()
            yield
        finally:
            self._raises = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._number is None:
            self._number = number
            if self._raises:
                raise Interrupted(number)
