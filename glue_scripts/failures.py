"""How a job ends that failed: with a message and a log that hold no value of any row.

Spark and Python quote the value that they could not work on, and a value may be a user's id: so may a text that they
logged. What an error of ours says is ours to choose; of any other error only names are told: its class, Spark's error
classes, and the place in the code. docs/decisions/0004-no-row-values-in-errors-and-logs.md tells what Glue adds.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

from awsglue.utils import GlueArgumentError
from botocore.exceptions import ClientError
from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import PySparkException

_OUR_PACKAGES: Final = ("glue_scripts", "validators")
_REFUSALS: Final = ("AccessDenied", "AccessDeniedException")
_OF_TASK: Final = re.compile(r"TaskFailedError: .+")
_JAVA_FRAMES: Final = 8
_FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OUT_OF_ROOM: Final = (
    *(os.strerror(number) for number in (*_FULL_DISK, errno.ENOMEM, errno.EMFILE)),
    *("Java heap space", "GC overhead limit exceeded", "Metaspace", "Direct buffer memory"),
)
"""What Java says of a machine that is too small, where its class alone would not tell (IOException)."""
_NO_THREAD: Final = "can't start new thread"
"""What Python says where there is no memory for the stack of a thread, or the system allows no more threads."""
_JVM_IS_GONE: Final = "Spark's JVM has ended, as it does when memory runs out: give the job more or larger workers"


class JobFailedError(Exception):
    """The job failed; the message is safe to be mailed."""


class TaskFailedError(Exception):
    """Work in a Spark task failed; the message is what `describe` tells of the error.

    Spark hands an error of a task on as text, with the value that it is about, and its JVM logs it.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(describe(error))


class SafeFailure:
    """A job's code runs in it: an error leaves as JobFailedError, after a traceback without values in the log."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        """Tell what happened.

        Raises:
            JobFailedError: in place of any error; what asks the process to end (SystemExit) passes.
        """
        if isinstance(error, Exception):
            print(log_text(error), file=sys.stderr, flush=True)
            told = describe(error)
            if _JVM_IS_GONE not in told and _has_jvm_ended():  # Great Expectations keeps such an error to itself
                told = f"{told}. {_JVM_IS_GONE}"
            raise JobFailedError(told) from None


def describe(error: BaseException) -> str:
    """One line about an error, without any value of a row: what it is, and the innermost place in our code."""
    place = _place(error)
    return f"{_what(error)} in {place}" if place else _what(error)


def log_text(error: BaseException) -> str:
    """A traceback of an error and of those that led to it: all frames, and each error as `describe` tells it."""
    parts = []
    for one in _chain(error):
        frames = "".join(traceback.format_tb(one.__traceback__))
        parts.append("\n".join([f"Traceback (most recent call last):\n{frames}{describe(one)}", *_java_frames(one)]))
    return "\n\nIt followed from:\n\n".join(parts)


def _what(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, GlueArgumentError) or type(error).__module__.partition(".")[0] in _OUR_PACKAGES:
        return f"{name}: {error}"
    if isinstance(error, ClientError):
        return f"ClientError: {_refused_call(error)}"
    if _is_unanswered(error):
        return f"{name}: {_JVM_IS_GONE}"
    if isinstance(error, OSError) and error.errno:
        return f"{name}: {os.strerror(error.errno)}"
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        return f"{name}: {_NO_THREAD}, as when memory runs out: give the job more or larger workers"
    return _what_spark_tells(error, name)


def _what_spark_tells(error: BaseException, name: str) -> str:
    if of_task := _what_a_task_tells(error):
        return of_task
    java = [told for told, _ in _java_causes(error)]
    if java:
        return f"{name}: {', caused by '.join(java)}"
    if isinstance(error, PySparkException) and error.getErrorClass():
        return f"{name} ({error.getErrorClass()})"
    return name


def _what_a_task_tells(error: BaseException) -> str | None:
    """The line of a TaskFailedError among what Java quotes of a Python process."""
    if not isinstance(error, Py4JJavaError):
        return None
    try:
        found = _OF_TASK.search(str(error.java_exception.getMessage()))
    except (Py4JError, OSError):  # the JVM has ended
        return None
    return found[0] if found else None


def _is_unanswered(error: BaseException) -> bool:
    """Whether a call of the JVM had no answer. One that the JVM refused has its trace; boto3 wraps its connections."""
    if isinstance(error, Py4JError):
        return not isinstance(error, Py4JJavaError) and "Trace:" not in str(error)
    return isinstance(error, ConnectionRefusedError)


def _has_jvm_ended() -> bool:
    """Whether there was a JVM that does not answer any more."""
    if SparkContext._gateway is None:
        return False
    try:
        SparkContext._gateway.jvm.System.currentTimeMillis()
    except (Py4JError, OSError):
        return True
    return False


def _refused_call(error: ClientError) -> str:
    """Which call of AWS was refused and how, and what our code has noted of it.

    Only a refusal keeps AWS's own text, which names role, action and resource.
    """
    response = error.response
    code = response.get("Error", {}).get("Code", "unknown error")
    metadata = response.get("ResponseMetadata", {})
    text = f"{code} when calling {error.operation_name}"
    if code in _REFUSALS:
        text += f" ({response['Error'].get('Message', 'no reason given')})"
    request = f"HTTP {metadata.get('HTTPStatusCode', 'status unknown')}, request {metadata.get('RequestId', '?')}"
    return ", ".join([text, request, *getattr(error, "__notes__", ())])


def _place(error: BaseException) -> str | None:
    """The innermost frame of our packages: a job gets them as a zip, whose path says nothing to anybody."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] in _OUR_PACKAGES and module != __name__:
            found = f"{module}.{frame.f_code.co_name}, line {line}"
    return found


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _java_frames(error: BaseException) -> list[str]:
    return [
        f"Java: {told}\n" + "\n".join(f"    at {frame}" for frame in frames) for told, frames in _java_causes(error)
    ]


def _java_causes(error: BaseException) -> list[tuple[str, list[str]]]:
    """Each of Java's errors behind one of Python's: its class with Spark's error class, and its first frames."""
    throwable = error.java_exception if isinstance(error, Py4JJavaError) else getattr(error, "_origin", None)
    causes: list[tuple[str, list[str]]] = []
    try:
        while throwable is not None and len(causes) < _JAVA_FRAMES:
            frames = [frame.toString() for frame in list(throwable.getStackTrace())[:_JAVA_FRAMES]]
            causes.append((_java_name(throwable), frames))
            throwable = throwable.getCause()
    except (Py4JError, OSError):
        causes.append((_JVM_IS_GONE, []))
    return causes


def _java_name(throwable: Any) -> str:  # noqa: ANN401 - a Java object
    name = str(throwable.getClass().getSimpleName())
    is_spark = is_instance_of(SparkContext._gateway, throwable, "org.apache.spark.SparkThrowable")
    error_class = throwable.getErrorClass() if is_spark else None
    message = str(throwable.getMessage())
    told = [error_class, *(text for text in _OUT_OF_ROOM if text in message)]
    return " ".join([name, *(f"({text})" for text in told if text)])
