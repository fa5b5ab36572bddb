"""Rules that start executions, dead letters, and the events about executions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.local.workflow_server import ROLE_ARN, WorkflowServer, wait_for, workflow_server

ECHO: Final = {"StartAt": "Echo", "States": {"Echo": {"Type": "Pass", "End": True}}}
STATUS_CHANGE: Final = "Step Functions Execution Status Change"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running:
        yield running


def rule(server: WorkflowServer, pattern: dict[str, Any], target: dict[str, Any], name: str = "rule") -> None:
    events = server.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "target", "RoleArn": ROLE_ARN, **target}])


def put_event(server: WorkflowServer, detail: dict[str, Any], source: str = "shop") -> None:
    server.client("events").put_events(
        Entries=[{"Source": source, "DetailType": "Sale", "Detail": json.dumps(detail), "Resources": ["r"]}]
    )


def executions(server: WorkflowServer, machine: str) -> list[dict[str, Any]]:
    listed = server.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    return [server.ended(execution["executionArn"]) for execution in listed]


def messages(server: WorkflowServer, url: str) -> list[dict[str, Any]]:
    received = server.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    found: list[dict[str, Any]] = received.get("Messages", [])
    return found


def test_a_rule_starts_an_execution_with_the_whole_event(server: WorkflowServer) -> None:
    machine = server.create_state_machine(ECHO)
    rule(server, {"source": ["shop"], "detail": {"price": [{"numeric": [">", 10]}]}}, {"Arn": machine})
    put_event(server, {"price": 5})
    put_event(server, {"price": 15})
    (execution,) = executions(server, machine)
    event = execution["output"]
    assert event["detail"] == {"price": 15}
    assert (event["source"], event["detail-type"], event["resources"]) == ("shop", "Sale", ["r"])
    assert event["account"] == "123456789012"
    assert event["time"].endswith("Z")
    assert set(event) == {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"Input": '{"fixed": true}'}, {"fixed": True}),
        ({"InputPath": "$.detail"}, {"price": 15}),
        (
            {"InputTransformer": {"InputPathsMap": {"p": "$.detail.price"}, "InputTemplate": '{"cost": <p>}'}},
            {"cost": 15},
        ),
    ],
)
def test_a_target_gets_the_input_that_it_asks_for(
    server: WorkflowServer, how: dict[str, Any], expected: dict[str, Any]
) -> None:
    machine = server.create_state_machine(ECHO)
    rule(server, {"source": ["shop"]}, {"Arn": machine, **how})
    put_event(server, {"price": 15})
    assert [execution["output"] for execution in executions(server, machine)] == [expected]


def test_a_disabled_rule_delivers_nothing(server: WorkflowServer) -> None:
    machine = server.create_state_machine(ECHO)
    rule(server, {"source": ["shop"]}, {"Arn": machine})
    server.client("events").disable_rule(Name="rule")
    put_event(server, {})
    assert executions(server, machine) == []


def test_an_event_that_cannot_be_delivered_goes_to_the_dead_letter_queue(server: WorkflowServer) -> None:
    url, arn = server.queue("letters")
    missing = server.create_state_machine(ECHO)
    server.client("stepfunctions").delete_state_machine(stateMachineArn=missing)
    rule(server, {"source": ["shop"]}, {"Arn": missing, "DeadLetterConfig": {"Arn": arn}})
    put_event(server, {"price": 15})
    (letter,) = messages(server, url)
    assert json.loads(letter["Body"])["detail"] == {"price": 15}
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"] == missing
    assert attributes["RULE_ARN"].endswith(":rule/rule")
    assert attributes["ERROR_CODE"] == "StateMachineDoesNotExist"


def test_one_failing_target_does_not_keep_the_event_from_the_others(server: WorkflowServer) -> None:
    url, arn = server.queue("letters")
    good_url, good_arn = server.queue("good")
    gone = "arn:aws:sqs:us-east-1:123456789012:gone"
    rule(server, {"source": ["shop"]}, {"Arn": gone, "DeadLetterConfig": {"Arn": arn}}, name="first")
    rule(server, {"source": ["shop"]}, {"Arn": good_arn}, name="second")
    put_event(server, {"price": 15})
    assert len(messages(server, url)) == 1
    assert len(messages(server, good_url)) == 1


def test_every_change_of_an_executions_status_is_an_event_in_the_shape_of_aws(server: WorkflowServer) -> None:
    url, arn = server.queue("changes")
    rule(server, {"source": ["aws.states"], "detail-type": [STATUS_CHANGE]}, {"Arn": arn})
    failing = server.create_state_machine(
        {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "E", "Cause": "C"}}}
    )
    execution = server.run(failing, {"a": 1})
    seen: list[dict[str, Any]] = []

    def both() -> bool:
        seen.extend(json.loads(message["Body"]) for message in messages(server, url))
        return len(seen) == 2

    wait_for(both, "two events")
    running, failed = sorted((event["detail"] for event in seen), key=lambda detail: detail["stopDate"] or 0)
    assert (running["status"], failed["status"]) == ("RUNNING", "FAILED")
    assert running["stopDate"] is None
    assert isinstance(failed["startDate"], int)
    assert failed["stopDate"] >= failed["startDate"] > 1_700_000_000_000
    assert failed | {"startDate": 0, "stopDate": 0} == {
        "executionArn": execution["executionArn"],
        "stateMachineArn": failing,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "name": execution["name"],
        "status": "FAILED",
        "startDate": 0,
        "stopDate": 0,
        "input": '{"a": 1}',
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        "error": "E",
        "cause": "C",
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "REDRIVABLE",
        "redriveStatusReason": None,
    }
    assert seen[0]["resources"] == [execution["executionArn"]]


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"])
def test_a_rule_on_a_status_starts_another_state_machine_once(server: WorkflowServer, status: str) -> None:
    wait = {"Type": "Wait", "Seconds": 600, "Next": "Done"}
    done = {"Type": "Succeed"}
    definitions: dict[str, dict[str, Any]] = {
        "SUCCEEDED": {"StartAt": "Done", "States": {"Done": done}},
        "FAILED": {"StartAt": "No", "States": {"No": {"Type": "Fail"}}},
        "ABORTED": {"StartAt": "Wait", "States": {"Wait": wait, "Done": done}},
        "TIMED_OUT": {"TimeoutSeconds": 1, "StartAt": "Wait", "States": {"Wait": wait, "Done": done}},
    }
    watched = server.create_state_machine(definitions[status])
    notifier = server.create_state_machine(ECHO)
    rule(server, {"detail": {"stateMachineArn": [watched], "status": [status]}}, {"Arn": notifier})
    arn = server.start(watched)
    if status == "ABORTED":
        server.client("stepfunctions").stop_execution(executionArn=arn)
    assert server.ended(arn)["status"] == status
    (notified,) = wait_for(lambda: executions(server, notifier), "the other execution")
    assert notified["output"]["detail"]["executionArn"] == arn
