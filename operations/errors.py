"""What an operator has to do something about; every message says what happened, to what, and what to do next."""

from __future__ import annotations

from enum import IntEnum
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

MESSAGE_CHARACTERS: Final = 500
_REFUSALS: Final = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation")


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


def aws_failure(error: ClientError | BotoCoreError) -> str:
    """Which call of AWS was refused or not answered, and how.

    Of other errors than a refusal AWS and boto3 repeat what they were sent, which may be a value of a file. A refusal
    names role, action and resource: its text is repeated, cut after MESSAGE_CHARACTERS.
    """
    if isinstance(error, ClientError):
        told = error.response["Error"]
        metadata = error.response.get("ResponseMetadata", {})
        why = f" ({told.get('Message', '')[:MESSAGE_CHARACTERS]})" if told["Code"] in _REFUSALS else ""
        return (
            f"AWS refused {error.operation_name}: {told['Code']}{why}, request {metadata.get('RequestId', 'unknown')}"
        )
    host = urlsplit(str(error.kwargs.get("endpoint_url", ""))).netloc
    return f"AWS did not answer{f' at {host}' if host else ''}: {type(error).__name__}"
