"""What a failed job tells of its error: enough to find the place, and no value of a row."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from awsglue.utils import GlueArgumentError
from botocore.exceptions import ClientError, EndpointConnectionError
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkTypeError

from glue_scripts.failures import JobFailedError, SafeFailure, describe, log_text
from glue_scripts.objects import DocumentError, Location
from validators.rules import RuleError, check_tolerances

USER = "u-4711-amelie"


def caught(code: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it is
        code()
    return raised.value


def refusal(code: str, message: str) -> ClientError:
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "R1"},
    }
    return ClientError(response, "PutItem")  # type: ignore[arg-type]


def raising(error: Exception) -> Callable[[], object]:
    def code() -> object:
        raise error

    return code


def test_an_error_of_ours_tells_its_message_and_its_place() -> None:
    told = describe(caught(lambda: Location.of_uri("nowhere")))
    assert told.startswith(
        "DocumentError: Not an S3 URI with bucket and key: 'nowhere' in glue_scripts.objects.of_uri, "
    )
    assert describe(caught(lambda: check_tolerances({"x": 1}))).startswith(f"{RuleError.__name__}: The setting")


@pytest.mark.parametrize(
    "error",
    [
        KeyError(USER),
        ValueError(f"invalid literal for int(): {USER}"),
        PySparkTypeError(f"{USER} is no integer"),
        refusal("ValidationException", f"The parameter {USER} is wrong"),
        EndpointConnectionError(endpoint_url=f"https://bucket/{USER}"),
        Py4JNetworkError(USER),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_others_tells_no_more_than_its_kind(error: Exception) -> None:
    error = caught(raising(error))
    assert describe(error).startswith(type(error).__name__)
    assert USER not in describe(error)
    assert USER not in log_text(error)


def test_a_refused_call_tells_code_operation_and_request() -> None:
    told = describe(refusal("ThrottlingException", "slow down"))
    assert told == "ClientError: ThrottlingException when calling PutItem, HTTP 400, request R1"


def test_a_refused_call_tells_what_was_noted_of_it() -> None:
    error = refusal("NoSuchKey", "a secret")
    error.add_note("s3://data/curated/runs/one.json")
    assert describe(error) == (
        "ClientError: NoSuchKey when calling PutItem, HTTP 400, request R1, s3://data/curated/runs/one.json"
    )


def test_a_refused_permission_tells_who_may_not_do_what() -> None:
    told = describe(refusal("AccessDeniedException", "role R is not authorized to perform dynamodb:PutItem on table T"))
    assert "role R is not authorized to perform dynamodb:PutItem on table T" in told


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, "OSError: No space left on device"), (errno.EFBIG, "OSError: File too large")],
)
def test_a_full_disk_is_told_without_the_file(number: int, told: str) -> None:
    assert describe(OSError(number, "as the system says", f"/tmp/{USER}")) == told


def test_a_thread_that_cannot_start_is_told_as_too_little_memory() -> None:
    """A new thread needs memory for its stack; this is all that Python says."""
    assert describe(RuntimeError("can't start new thread")) == (
        "RuntimeError: can't start new thread, as when memory runs out: give the job more or larger workers"
    )
    assert describe(RuntimeError(f"can't start new thread for {USER}")) == "RuntimeError"


@pytest.mark.parametrize(
    "error", [Py4JError("An error occurred while calling o1.count"), ConnectionRefusedError(111, "refused")]
)
def test_a_jvm_that_has_ended_is_told_with_what_to_do(error: Exception) -> None:
    assert describe(error).endswith(
        "Spark's JVM has ended, as it does when memory runs out: give the job more or larger workers"
    )


def test_a_call_that_the_jvm_does_not_know_is_no_jvm_that_has_ended() -> None:
    assert describe(Py4JError("An error occurred while calling o1.x. Trace:\nMethod x does not exist")) == "Py4JError"


def test_a_missing_argument_is_named() -> None:
    told = describe(GlueArgumentError("the following arguments are required: --manifest_uri"))
    assert told == "GlueArgumentError: the following arguments are required: --manifest_uri"


def test_the_log_tells_each_error_that_led_to_another_with_its_frames() -> None:
    def read() -> None:
        try:
            int(USER)
        except ValueError as error:
            raise DocumentError("the document is broken") from error

    told = log_text(caught(read))
    assert told.count("Traceback (most recent call last):") == 2
    assert (
        told.index("DocumentError: the document is broken") < told.index("It followed from") < told.index("ValueError")
    )
    assert "int(USER)" in told, "the line of the code, not its value"
    assert USER not in told


def test_a_job_ends_with_one_safe_error_and_nothing_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JobFailedError) as raised, SafeFailure():
        raise KeyError(USER)
    assert str(raised.value) == "KeyError"
    assert raised.value.__suppress_context__
    assert "KeyError" in capsys.readouterr().err


def test_what_asks_the_process_to_end_is_no_failure() -> None:
    with pytest.raises(SystemExit), SafeFailure():
        raise SystemExit(0)
