"""What an operator has to do something about; every message says what happened, to what, and what to do next."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_DONE_YET = 3
    REFUSED = 4
    INTERRUPTED = 130


class OperationError(Exception):
    """A command cannot do what it was asked to do."""

    exit_code = ExitCode.FAILED


class UnknownEnvironmentError(OperationError):
    """Nothing is deployed under the environment's name, in this account and region."""

    exit_code = ExitCode.USAGE


class NoRegionError(OperationError):
    """Neither the environment nor the profile names a region."""

    exit_code = ExitCode.USAGE


class UnknownThingError(OperationError):
    """An execution, a file or a day that was named does not exist."""

    exit_code = ExitCode.USAGE


class NotDoneYetError(OperationError):
    """What was waited for did not come in time; the same command goes on where this one ended."""

    exit_code = ExitCode.NOT_DONE_YET


class RefusedError(OperationError):
    """The command needs a confirmation, or another one must be finished first."""

    exit_code = ExitCode.REFUSED
