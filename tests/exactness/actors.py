"""Jobs that run step by step: a thread each, of which one at a time goes on, and none without being told to."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CrashError(BaseException):
    """A job was killed. Not an Exception, so that no handler of the job's code can survive it."""


class Actor:
    """Runs a function and stops it before each of its steps.

    Args:
        work: what to run; it, and what it calls, calls `pause` before each step.
    """

    def __init__(self, work: Callable[[Actor], None]) -> None:
        self.error: BaseException | None = None
        self.is_finished = False
        self.next_step = ""
        self._steps_left = 0
        self._stop_before = ""
        self._is_killed = False
        # Locks that are held from the start, as semaphores of 0: many times quicker than threading.Semaphore.
        self._turn = threading.Lock()
        self._back = threading.Lock()
        self._turn.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def pause(self, step: str) -> None:
        """Called by the work before a step: waits until it may go on.

        Raises:
            CrashError: the job was killed.
        """
        if self._is_killed:
            raise CrashError
        self._steps_left -= 1
        if self._steps_left < 0 or step == self._stop_before:
            self.next_step = step
            self._back.release()
            self._turn.acquire()
        if self._is_killed:
            raise CrashError

    def advance(self, steps: int, stop_before: str = "") -> None:
        """Lets the work take so many steps, or fewer if it ends or comes to the named step first."""
        if not self.is_finished and steps > 0:
            self._steps_left, self._stop_before = steps, stop_before
            self._turn.release()
            self._back.acquire()

    def kill(self) -> None:
        """Ends the work before its next step."""
        if not self.is_finished:
            self._is_killed = True
            self._turn.release()
            self._back.acquire()
            self._thread.join()

    def _run(self, work: Callable[[Actor], None]) -> None:
        self._turn.acquire()
        try:
            if not self._is_killed:
                work(self)
        except BaseException as error:  # noqa: BLE001 - the simulation judges what a job ended with
            self.error = error
        self.is_finished = True
        self._back.release()
