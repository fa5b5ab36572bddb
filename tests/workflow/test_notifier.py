"""The e-mail about an execution that did not succeed comes in spite of failing calls."""

from __future__ import annotations

import re

import pytest

from tests.workflow.pipeline import Pipeline, wait_for
from validators.reports import MAX_MESSAGE_BYTES

CALLS = {
    "DescribeExecution": ("states:DescribeExecution", "{arn}"),
    "FindState": ("states:GetExecutionHistory", "{arn}"),
    "SendFailureEmail": ("sns:Publish", "somebody must look"),
}


@pytest.fixture
def arn(pipeline: Pipeline) -> str:
    """The ARN of an execution that will fail in Validate."""
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "FAILED"
    name = f"notified-{pipeline.folder.split('/')[2]}"
    return f"{pipeline.machine.replace(':stateMachine:', ':execution:')}:{name}"


def fail(pipeline: Pipeline, arn: str) -> None:
    """Start the execution; nobody but the notifier describes it, so that a fault meets the notifier."""
    assert pipeline.start([pipeline.upload("good.csv")], arn.rpartition(":")[2]) == arn


@pytest.mark.parametrize("state", CALLS)
def test_a_call_of_the_notifier_that_fails_once_is_tried_again(pipeline: Pipeline, arn: str, state: str) -> None:
    operation, about = CALLS[state]
    fault = pipeline.faults.fail(operation, about.format(arn=arn), error="ThrottlingException", times=6)
    fail(pipeline, arn)
    (email,) = pipeline.failure_emails(arn)
    assert fault.calls >= 7
    assert "State:     Validate" in email["message"]
    assert "Error:     States.TaskFailed" in email["message"]


@pytest.mark.parametrize("state", CALLS)
def test_a_notifier_that_failed_can_be_redriven(pipeline: Pipeline, arn: str, state: str) -> None:
    operation, about = CALLS[state]
    fault = pipeline.faults.fail(operation, about.format(arn=arn), error="AccessDenied", times=None)
    before = set(pipeline.notifications("FAILED"))
    fail(pipeline, arn)
    (notification,) = wait_for(lambda: set(pipeline.notifications("FAILED")) - before, "the notifier's failure")
    assert pipeline.emails(arn) == []
    fault.lift()
    assert pipeline.redrive(notification)["status"] == "SUCCEEDED"
    assert len(pipeline.failure_emails(arn)) == 1


def test_an_execution_that_succeeded_sends_no_failure_email(pipeline: Pipeline) -> None:
    before = pipeline.notifications()
    ended = pipeline.run([pipeline.upload("good.csv"), pipeline.upload("bad.csv")])
    assert ended["status"] == "SUCCEEDED"
    assert len(pipeline.emails(ended["executionArn"])) == 1
    assert pipeline.notifications() == before


def test_an_execution_that_fails_again_after_a_redrive_sends_a_second_email(pipeline: Pipeline, arn: str) -> None:
    fail(pipeline, arn)
    assert len(pipeline.failure_emails(arn)) == 1
    assert pipeline.redrive(arn)["status"] == "FAILED"
    wait_for(lambda: len(pipeline.emails(arn)) == 2, "the second e-mail")


def test_what_a_spark_error_quotes_does_not_reach_the_email(pipeline: Pipeline, arn: str) -> None:
    told = "Error Category: QUERY_ERROR; SparkException: Task 0 failed: [CAST_INVALID_INPUT] The value 'u-4711' is\nbad"
    pipeline.glue.error_messages[pipeline.validate_job] = told
    fail(pipeline, arn)
    (email,) = pipeline.failure_emails(arn)
    assert "Task 0 failed: [CAST_INVALID_INPUT] ...\n" in email["message"]
    assert "4711" not in email["message"]


def test_a_verdict_that_nobody_understands_does_not_keep_the_email_back(pipeline: Pipeline) -> None:
    pipeline.jobs.change_verdict = lambda _: b"{"
    ended = pipeline.run([pipeline.upload("bad.csv")])
    (email,) = pipeline.failure_emails(ended["executionArn"])
    assert "State:     ReadVerdict" in email["message"]
    assert "rejected" not in email["message"]


def test_the_longest_email_about_rejected_files_is_quoted(pipeline: Pipeline) -> None:
    longest = '"\\' * (MAX_MESSAGE_BYTES // 2)
    pipeline.jobs.compose_email = lambda *_: {"subject": "rejected", "message": longest}
    pipeline.glue.outcomes[pipeline.compute_job] = lambda _: "FAILED"
    ended = pipeline.run([pipeline.upload("good.csv"), pipeline.upload("bad.csv")])
    (email,) = pipeline.failure_emails(ended["executionArn"])
    assert "State:     ComputeKpis" in email["message"]
    assert email["message"].endswith(longest)


def test_a_long_batch_is_told_by_its_first_files_and_a_number(pipeline: Pipeline) -> None:
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "FAILED"
    files = [pipeline.upload(f"{number}.csv") for number in range(23)]
    ended = pipeline.run(files)
    (email,) = pipeline.failure_emails(ended["executionArn"])
    listed = [line.strip() for line in email["message"].splitlines() if line.startswith("  raw/")]
    assert listed == [f"{file.key}  version {file.version_id}" for file in files[:20]]
    assert "\n  and 3 more: see the input of the execution" in email["message"]


def test_an_email_tells_how_many_others_ended_like_this(pipeline: Pipeline) -> None:
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "FAILED"
    first, second = (pipeline.run([pipeline.upload(f"{n}.csv")])["executionArn"] for n in range(2))
    (earlier,), (later,) = pipeline.failure_emails(first), pipeline.failure_emails(second)
    assert _others(later["message"]) > _others(earlier["message"])
    assert "  python -m operations redrive --env dev\n" in later["message"]


def _others(message: str) -> int:
    found = re.search(r"^(\d+) other executions? ended like this in the 10 minutes before", message, re.MULTILINE)
    return int(found[1]) if found else 0
