"""The e-mail about an execution that did not succeed comes in spite of failing calls."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workflow.pipeline import Pipeline, wait_for
from validators.reports import MAX_MESSAGE_BYTES

CALLS = {
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
    assert (
        f"\n  and 3 more:\n  aws stepfunctions describe-execution --execution-arn {ended['executionArn']}"
        in email["message"]
    )


def test_an_email_tells_how_many_others_ended_like_this(pipeline: Pipeline) -> None:
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "FAILED"
    first, second = (pipeline.run([pipeline.upload(f"{n}.csv")])["executionArn"] for n in range(2))
    (earlier,), (later,) = pipeline.failure_emails(first), pipeline.failure_emails(second)
    assert _others(later["message"]) > _others(earlier["message"])
    assert "  python -m operations redrive --env dev\n" in later["message"]


def _others(message: str) -> int:
    found = re.search(r"^(\d+) other executions? ended like this in the 10 minutes before", message, re.MULTILINE)
    return int(found[1]) if found else 0


# What an execution of the pipeline can be started with

HOSTILE = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=1100) | st.sampled_from(
    ['"' * 1024, "\\" * 1024, "😀" * 256, "\x1b[31m\r\n\u202e\x85", "{% $states %}", "${AlertTopicArn}", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | HOSTILE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["object", "key", "version-id", "size", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
EVENTS = st.fixed_dictionaries(
    {}, optional={"object": st.fixed_dictionaries({}, optional={"key": VALUES, "version-id": VALUES}) | VALUES}
)
INPUTS = VALUES | st.lists(EVENTS, max_size=30)


@pytest.fixture
def failed(pipeline: Pipeline) -> str:
    """The ARN of an execution that has failed, about which the e-mail is sent."""
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "FAILED"
    arn = str(pipeline.run([pipeline.upload("good.csv")])["executionArn"])
    assert len(pipeline.failure_emails(arn)) == 1
    return arn


def told_of(pipeline: Pipeline, arn: str, given: str | None) -> str:
    """Let the notifier tell of an execution as if it had been started with another input; return the message."""
    described = pipeline.sfn.describe_execution(executionArn=arn)
    detail = {
        "executionArn": arn,
        "stateMachineArn": described["stateMachineArn"],
        "name": described["name"],
        "status": "FAILED",
        "stopDate": int(described["stopDate"].timestamp() * 1000),
        "input": given,
        "inputDetails": {"included": given is not None},
    }
    before = len(pipeline.failure_emails(arn))
    event = json.dumps({"region": "us-east-1", "detail": detail})
    notification = pipeline.sfn.start_execution(stateMachineArn=pipeline.notifier, input=event)["executionArn"]
    ended = pipeline.ended(notification)
    assert ended["status"] == "SUCCEEDED", (ended.get("error"), ended.get("cause"))
    assert_bounded(pipeline, notification)
    emails = pipeline.failure_emails(arn)
    assert len(emails) == before + 1
    return emails[-1]["message"]


def assert_bounded(pipeline: Pipeline, notification: str) -> None:
    """Nothing that the notifier passes on, keeps or sends comes near a limit of 256 KiB."""
    for event in pipeline.history(notification)[2:]:
        entered, left = event.get("stateEnteredEventDetails", {}), event.get("stateExitedEventDetails", {})
        texts = [entered.get("input", ""), left.get("output", ""), *left.get("assignedVariables", {}).values()]
        assert sum(len(text.encode()) for text in texts) < 262_144
    assert any(
        "assignedVariables" in event.get("stateExitedEventDetails", {}) for event in pipeline.history(notification)
    )
    for email in pipeline.emails(notification):
        assert len(email["message"].encode()) < 262_144


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_input=INPUTS)
def test_whatever_the_pipeline_was_started_with_an_email_is_sent(
    pipeline: Pipeline,
    failed: str,
    given_input: Any,  # noqa: ANN401
) -> None:
    message = told_of(pipeline, failed, json.dumps(given_input))
    assert len(message.encode()) < 200_000
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", message)
    assert "State:     Validate" in message


@pytest.mark.parametrize("given_input", ["5", "null", '"text"', "[]", "{}", "[[]]", '[{"size": 7}]'])
def test_an_input_that_names_no_file_is_told_by_the_command_that_shows_it(
    pipeline: Pipeline, failed: str, given_input: str
) -> None:
    message = told_of(pipeline, failed, given_input)
    assert message.startswith("A batch is not done: its execution FAILED")
    command = f"  aws stepfunctions describe-execution --execution-arn {failed} --query input --output text"
    assert message.endswith(f"The input of the execution names no file:\n{command}")


def test_a_batch_that_was_started_by_hand_with_nothing_of_an_upload_is_told(pipeline: Pipeline) -> None:
    given_input = '[{"object": 7}, {"object": {"key": 7}}]'
    arn = pipeline.sfn.start_execution(stateMachineArn=pipeline.machine, input=given_input)["executionArn"]
    assert pipeline.ended(arn)["status"] == "FAILED"
    (email,) = pipeline.failure_emails(arn)
    assert email["message"].endswith("Files of the batch:\n  (no key)  version null\n  7  version null")


def test_a_file_without_a_version_id_has_the_version_null(pipeline: Pipeline, failed: str) -> None:
    events = [{"object": {"key": "raw/streams/old.csv"}}, {"object": {"key": "b", "version-id": None}}]
    events += [{"object": {"key": "raw/streams/old.csv", "version-id": "null"}}, {"object": {"version-id": "v"}}]
    message = told_of(pipeline, failed, json.dumps(events))
    assert message.startswith("A batch of 3 files is not done")
    assert message.endswith("  raw/streams/old.csv  version null\n  b  version null\n  (no key)  version v")


def test_a_control_character_of_a_key_is_a_question_mark(pipeline: Pipeline, failed: str) -> None:
    events = [{"object": {"key": "a\x1b[2J\n\x7f\u202eb", "version-id": "v"}}]
    assert told_of(pipeline, failed, json.dumps(events)).endswith("\n  a?[2J???b  version v")


def test_an_event_without_the_input_says_how_to_see_it(pipeline: Pipeline, failed: str) -> None:
    message = told_of(pipeline, failed, None)
    assert message.startswith("A batch is not done")
    command = f"  aws stepfunctions describe-execution --execution-arn {failed} --query input --output text"
    assert message.endswith(f"The input of the execution is too long for this e-mail:\n{command}")


@pytest.mark.parametrize("key", ["x" * 1024, '"' * 1024, "\\" * 1024, "😀" * 1024, "\x01" * 1024])
def test_the_longest_keys_are_told(pipeline: Pipeline, failed: str, key: str) -> None:
    events = [{"object": {"key": f"{number}{key}", "version-id": "v"}} for number in range(20)]
    message = told_of(pipeline, failed, json.dumps(events, ensure_ascii=False))
    assert message.startswith("A batch of 20 files is not done")
    assert len([line for line in message.splitlines() if line.endswith("  version v")]) == 20


def test_the_most_files_are_told(pipeline: Pipeline, failed: str) -> None:
    message = told_of(pipeline, failed, json.dumps([{"object": {"key": str(number)}} for number in range(5_000)]))
    assert message.startswith("A batch of 5000 files is not done")
    assert "\n  19  version null\n  and 4980 more:\n  aws stepfunctions describe-execution" in message


@pytest.mark.parametrize("cause", ['{"JobRunState"', '{"JobRunState": 5', "{", '{"JobRunState": "FAILED"}', ""])
def test_whoever_stops_an_execution_may_give_any_cause(pipeline: Pipeline, cause: str) -> None:
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "RUNNING"
    arn = pipeline.start([pipeline.upload("good.csv")])
    wait_for(lambda: pipeline.validate_job in pipeline.jobs_run(), "the run")
    pipeline.sfn.stop_execution(executionArn=arn, error="Operator", cause=cause)
    (email,) = pipeline.failure_emails(arn)
    assert f"Message:   {cause}\n" in email["message"]
