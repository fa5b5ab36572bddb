"""The e-mail about an execution that did not succeed comes in spite of failing calls."""

from __future__ import annotations

import pytest

from tests.workflow.pipeline import Pipeline, wait_for

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
    assert "State: Validate" in email["message"]
    assert "Error: States.TaskFailed" in email["message"]


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
