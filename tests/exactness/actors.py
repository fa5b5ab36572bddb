"""Jobs that run step by step: a coroutine each, of which one at a time goes on, and none without being told to."""

from __future__ import annotations

from collections.abc import Callable

from greenlet import getcurrent, greenlet


class CrashError(BaseException):
    """A job was killed. Not an Exception, so that no handler of the job's code can survive it."""


class Actor:
    """Runs a function and stops it before each of its steps.

    A greenlet and no thread: the code under test is left as it is, and a switch costs a hundredth.

    Args:
        work: what to run; it, and what it calls in the same thread, calls `pause` before each step.
    """

    def __init__(self, work: Callable[[Actor], None]) -> None:
        self.error: BaseException | None = None
        self.is_finished = False
        self.next_step = ""
        self._work = work
        self._steps_left = 0
        self._stop_before = ""
        self._is_killed = False
        self._coroutine = greenlet(self._run)
        self._back = getcurrent()

    def pause(self, step: str) -> None:
        """Called by the work before a step: waits until it may go on.

        Raises:
            CrashError: the job was killed.
        """
        self._steps_left -= 1
        if not self._is_killed and (self._steps_left < 0 or step == self._stop_before):
            self.next_step = step
            self._back.switch()
        if self._is_killed:
            raise CrashError

    def advance(self, steps: int, stop_before: str = "") -> None:
        """Lets the work take so many steps, or fewer if it ends or comes to the named step first."""
        if not self.is_finished and steps > 0:
            self._steps_left, self._stop_before = steps, stop_before
            self._coroutine.switch()

    def kill(self) -> None:
        """Ends the work before its next step."""
        if not self.is_finished:
            self._is_killed = True
            self._coroutine.switch()

    def _run(self) -> None:
        try:
            if not self._is_killed:
                self._work(self)
        except BaseException as error:  # noqa: BLE001 - the simulation judges what a job ended with
            self.error = error
        self.is_finished = True
