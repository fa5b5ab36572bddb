"""The faults that the other tests rely on."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.workflow.faults import Faults
from tests.workflow.pipeline import Pipeline


def outcomes_of_puts(pipeline: Pipeline, key: str, count: int) -> list[str]:
    """Put an object several times, and return what S3 answered: `ok` or an error code."""
    found = []
    for number in range(count):
        try:
            pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=str(number).encode())
            found.append("ok")
        except ClientError as error:
            found.append(error.response["Error"]["Code"])
    return found


@pytest.mark.parametrize(
    ("first", "times", "expected"),
    [
        (1, 1, ["SlowDown", "ok", "ok", "ok"]),
        (3, 1, ["ok", "ok", "SlowDown", "ok"]),
        (2, 2, ["ok", "SlowDown", "SlowDown", "ok"]),
        (2, None, ["ok", "SlowDown", "SlowDown", "SlowDown"]),
    ],
)
def test_the_nth_call_fails_and_so_many_after_it(
    pipeline: Pipeline, faults: Faults, first: int, times: int | None, expected: list[str]
) -> None:
    key = f"{pipeline.folder}a.csv"
    fault = faults.fail("s3:PutObject", key, error="SlowDown", first=first, times=times)
    assert outcomes_of_puts(pipeline, key, 4) == expected
    assert fault.calls == 4
    fault.lift()
    assert outcomes_of_puts(pipeline, key, 1) == ["ok"]


def test_only_calls_about_the_prefix_fail(pipeline: Pipeline, faults: Faults) -> None:
    faults.fail("s3:PutObject", f"{pipeline.folder}a", times=None)
    assert outcomes_of_puts(pipeline, f"{pipeline.folder}a.csv", 1) == ["InternalError"]
    assert outcomes_of_puts(pipeline, f"{pipeline.folder}b.csv", 1) == ["ok"]
    assert outcomes_of_puts(pipeline, f"archive/{pipeline.folder}a.csv", 1) == ["ok"]
    assert pipeline.objects(pipeline.folder).keys() == {f"{pipeline.folder}b.csv"}


def test_a_call_whose_answer_is_lost_is_done(pipeline: Pipeline, faults: Faults) -> None:
    key = f"{pipeline.folder}a.csv"
    faults.fail("s3:PutObject", key, is_done=True)
    assert outcomes_of_puts(pipeline, key, 2) == ["InternalError", "ok"]
    assert pipeline.objects(key) == {key: [b"1", b"0"]}


def test_something_can_happen_just_before_a_call(pipeline: Pipeline, faults: Faults) -> None:
    happened: list[str] = []
    faults.meanwhile("s3:PutObject", pipeline.folder, lambda: happened.append("once"))
    assert outcomes_of_puts(pipeline, f"{pipeline.folder}a.csv", 3) == ["ok", "ok", "ok"]
    assert happened == ["once"]


def test_calls_of_other_services_fail_by_a_part_of_their_request(pipeline: Pipeline, faults: Faults) -> None:
    faults.fail("glue:StartJobRun", "this one", error="ConcurrentRunsExceededException", times=None)
    faults.fail("states:StartExecution", "this one", error="ExecutionLimitExceeded")
    with pytest.raises(ClientError, match="ExecutionLimitExceeded"):
        pipeline.start([], "this one")
    assert pipeline.ended(pipeline.start([]))["status"] == "SUCCEEDED"
