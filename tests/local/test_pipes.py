"""Pipes from a queue to a state machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from local_aws.pipes import MalformedMessageError, Pipe, PipePoller, UnsupportedPipeError, transform
from tests.local.workflow_server import ROLE_ARN, WorkflowServer, wait_for, workflow_server

ECHO: Final = {"StartAt": "Echo", "States": {"Echo": {"Type": "Pass", "End": True}}}
TEMPLATE: Final = "<$.body.detail>"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running:
        yield running


def properties(queue_arn: str, machine: str, *, batch_size: int = 10, window: int = 0) -> dict[str, Any]:
    return {
        "RoleArn": ROLE_ARN,
        "Source": queue_arn,
        "SourceParameters": {"SqsQueueParameters": {"BatchSize": batch_size, "MaximumBatchingWindowInSeconds": window}},
        "Target": machine,
        "TargetParameters": {
            "InputTemplate": TEMPLATE,
            "StepFunctionStateMachineParameters": {"InvocationType": "FIRE_AND_FORGET"},
        },
    }


@contextmanager
def running_pipe(server: WorkflowServer, pipe_properties: dict[str, Any]) -> Iterator[None]:
    poller = PipePoller([Pipe.from_properties("uploads", pipe_properties)], server.endpoint_url)
    poller.start()
    yield
    poller.close()


def send(server: WorkflowServer, url: str, *details: object) -> None:
    for detail in details:
        server.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps({"detail": detail}))


def outputs(server: WorkflowServer, machine: str) -> list[list[Any]]:
    listed = server.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    return [server.ended(execution["executionArn"])["output"] for execution in reversed(listed)]


def left(server: WorkflowServer, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = server.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def test_the_messages_of_a_window_start_one_execution_and_are_deleted(server: WorkflowServer) -> None:
    machine = server.create_state_machine(ECHO)
    url, arn = server.queue("uploads")
    send(server, url, *range(13))
    with running_pipe(server, properties(arn, machine, batch_size=100, window=1)):
        (batch,) = wait_for(lambda: outputs(server, machine), "the execution")
        assert sorted(batch) == list(range(13))
        wait_for(lambda: left(server, url) == 0, "the deletion of the messages")


def test_one_message_starts_an_execution_with_a_list_of_one(server: WorkflowServer) -> None:
    machine = server.create_state_machine(ECHO)
    url, arn = server.queue("uploads")
    send(server, url, {"object": {"key": 'raw/a "b".csv'}})
    with running_pipe(server, properties(arn, machine)):
        assert wait_for(lambda: outputs(server, machine), "it") == [[{"object": {"key": 'raw/a "b".csv'}}]]


def test_a_full_batch_does_not_wait_for_its_window(server: WorkflowServer) -> None:
    machine = server.create_state_machine(ECHO)
    url, arn = server.queue("uploads")
    send(server, url, *range(4))
    with running_pipe(server, properties(arn, machine, batch_size=2, window=300)):
        batches = wait_for(lambda: len(found := outputs(server, machine)) == 2 and found, "two executions")
        assert sorted(number for batch in batches for number in batch) == [0, 1, 2, 3]
        assert {len(batch) for batch in batches} == {2}


def test_a_malformed_message_ends_in_the_dead_letter_queue_and_the_others_go_on(server: WorkflowServer) -> None:
    machine = server.create_state_machine(ECHO)
    letters_url, letters_arn = server.queue("letters")
    redrive = json.dumps({"deadLetterTargetArn": letters_arn, "maxReceiveCount": 2})
    url, arn = server.queue("uploads", VisibilityTimeout="1", RedrivePolicy=redrive)
    server.client("sqs").send_message(QueueUrl=url, MessageBody="not json")
    send(server, url, "good")
    with running_pipe(server, properties(arn, machine)):
        wait_for(lambda: left(server, letters_url) == 1, "the dead letter")
        wait_for(lambda: left(server, url) == 0, "the empty queue")
    assert outputs(server, machine) == [["good"]]


def test_messages_stay_in_the_queue_when_no_execution_can_be_started(server: WorkflowServer) -> None:
    machine = server.create_state_machine(ECHO)
    server.client("stepfunctions").delete_state_machine(stateMachineArn=machine)
    letters_url, letters_arn = server.queue("letters")
    redrive = json.dumps({"deadLetterTargetArn": letters_arn, "maxReceiveCount": 1})
    url, arn = server.queue("uploads", VisibilityTimeout="1", RedrivePolicy=redrive)
    send(server, url, "kept")
    with running_pipe(server, properties(arn, machine)):
        wait_for(lambda: left(server, letters_url) == 1, "the dead letter")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("<$.body.detail>", {"n": 1, "t": 'a "b"'}),
        ("<$.body.detail.n>", 1),
        ('{"id": <$.messageId>, "n": <$.body.detail.n>}', {"id": "m-1", "n": 1}),
        ('{"text": "got <$.body.detail.t>"}', {"text": 'got a "b"'}),
        ('{"text": "<$.body.detail.t>"}', {"text": 'a "b"'}),
        (None, {"messageId": "m-1", "body": '{"detail": {"n": 1, "t": "a \\"b\\""}}'}),
    ],
)
def test_a_template_is_filled_from_the_message(template: str | None, expected: object) -> None:
    record = {"messageId": "m-1", "body": json.dumps({"detail": {"n": 1, "t": 'a "b"'}})}
    assert transform(template, record) == expected


@pytest.mark.parametrize("body", ["no json", "{}", '"text"', "[1]"])
def test_a_message_that_lacks_what_the_template_names_is_malformed(body: str) -> None:
    with pytest.raises(MalformedMessageError):
        transform(TEMPLATE, {"messageId": "m", "body": body})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Source": "arn:aws:kinesis:us-east-1:1:stream/s"}, "not a queue"),
        ({"Target": "arn:aws:lambda:us-east-1:1:function:f"}, "not a state machine"),
        ({"Enrichment": "arn:aws:lambda:us-east-1:1:function:f"}, "Enrichment"),
        ({"SourceParameters": {"FilterCriteria": {"Filters": []}, "SqsQueueParameters": {}}}, "FilterCriteria"),
    ],
)
def test_a_pipe_that_is_not_run_here_is_refused_with_the_reason(change: dict[str, Any], message: str) -> None:
    good = properties("arn:aws:sqs:us-east-1:1:q", "arn:aws:states:us-east-1:1:stateMachine:m")
    with pytest.raises(UnsupportedPipeError, match=message):
        Pipe.from_properties("pipe", good | change)


def test_a_stopped_pipe_leaves_the_queue_alone_until_it_is_started_again(server: WorkflowServer) -> None:
    url, arn = server.queue("uploads")
    machine = server.create_state_machine(ECHO)
    pipes = server.client("pipes")
    pipe_properties = properties(arn, machine)
    pipes.create_pipe(Name="uploads", **pipe_properties)

    with running_pipe(server, pipe_properties):
        pipes.stop_pipe(Name="uploads")
        wait_for(lambda: pipes.describe_pipe(Name="uploads")["CurrentState"] == "STOPPED", "the end of the pipe's work")
        send(server, url, 1)
        assert [pipes.describe_pipe(Name="uploads")["CurrentState"] for _ in range(5)] == ["STOPPED"] * 5
        assert (left(server, url), outputs(server, machine)) == (1, [])

        pipes.start_pipe(Name="uploads")
        wait_for(lambda: left(server, url) == 0, "the message's delivery")
        assert outputs(server, machine) == [[1]]
        assert pipes.describe_pipe(Name="uploads")["CurrentState"] == "RUNNING"


def test_a_stop_ends_the_window_and_passes_on_what_was_received(server: WorkflowServer) -> None:
    url, arn = server.queue("uploads")
    machine = server.create_state_machine(ECHO)
    pipes = server.client("pipes")
    pipe_properties = properties(arn, machine, window=300)
    pipes.create_pipe(Name="uploads", **pipe_properties)
    visible = ["ApproximateNumberOfMessages"]

    with running_pipe(server, pipe_properties):
        send(server, url, 1)
        attributes = server.client("sqs").get_queue_attributes
        wait_for(lambda: attributes(QueueUrl=url, AttributeNames=visible)["Attributes"][visible[0]] == "0", "a receipt")
        pipes.stop_pipe(Name="uploads")
        wait_for(lambda: pipes.describe_pipe(Name="uploads")["CurrentState"] == "STOPPED", "the end of the pipe's work")

        assert outputs(server, machine) == [[1]]
