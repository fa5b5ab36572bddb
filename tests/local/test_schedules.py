"""Rules that invoke functions, by a schedule or for an event."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws.schedules import ScheduledRules, UnsupportedScheduleError, period_seconds
from tests.local.functions import Lambda, running_functions
from tests.local.workflow_server import ACCOUNT, REGION, WorkflowServer, wait_for, workflow_server

NOTES_EVENTS = """
    import json, os, pathlib
    def handler(event, context):
        with open({path!r}, "a") as seen: seen.write(json.dumps(event) + "\\n")
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running, running_functions(running, tmp_path):
        yield running


@pytest.fixture
def function(server: WorkflowServer, tmp_path: Path) -> str:
    return Lambda(server, tmp_path).create(NOTES_EVENTS.format(path=str(tmp_path / "seen.jsonl")), name="notes")


def seen(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "seen.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def put_rule(server: WorkflowServer, function: str, target: dict[str, Any] | None = None, **rule: str) -> None:
    server.client("events").put_rule(Name="rule", **rule)
    server.client("events").put_targets(Rule="rule", Targets=[{"Id": "function", "Arn": function, **(target or {})}])


def put_event(server: WorkflowServer, detail: dict[str, Any]) -> None:
    server.client("events").put_events(
        Entries=[{"Source": "shop", "DetailType": "Sale", "Detail": json.dumps(detail), "Resources": []}]
    )


@pytest.fixture
def schedules() -> Iterator[ScheduledRules]:
    running = ScheduledRules(ACCOUNT, REGION, first_run_seconds=0)
    running.start()
    yield running
    running.close()


def test_a_rule_invokes_a_function_with_the_events_that_match(
    server: WorkflowServer, function: str, tmp_path: Path
) -> None:
    put_rule(server, function, EventPattern=json.dumps({"detail": {"price": [{"numeric": [">", 10]}]}}))
    put_event(server, {"price": 5})
    put_event(server, {"price": 15})

    (event,) = wait_for(lambda: seen(tmp_path), "the event")
    assert (event["detail"], event["source"], event["detail-type"]) == ({"price": 15}, "shop", "Sale")


def test_a_schedule_invokes_a_function_soon_and_no_other_event_does(
    server: WorkflowServer, function: str, tmp_path: Path, schedules: ScheduledRules
) -> None:
    put_rule(server, function, ScheduleExpression="rate(5 minutes)")
    put_event(server, {"price": 5})

    (event,) = wait_for(lambda: seen(tmp_path), "the scheduled event")
    assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
    assert event["resources"] == [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/rule"]
    assert event["time"].endswith("Z")


def test_a_scheduled_target_gets_its_constant_input(
    server: WorkflowServer, function: str, tmp_path: Path, schedules: ScheduledRules
) -> None:
    put_rule(server, function, {"Input": '{"deep": true}'}, ScheduleExpression="rate(1 hour)")

    assert wait_for(lambda: seen(tmp_path), "the scheduled event") == [{"deep": True}]


def test_a_function_that_is_gone_leaves_the_event_in_the_dead_letter_queue(
    server: WorkflowServer, function: str, schedules: ScheduledRules
) -> None:
    url, queue = server.queue("dead")
    server.client("lambda").delete_function(FunctionName="notes")
    put_rule(server, function, {"DeadLetterConfig": {"Arn": queue}}, ScheduleExpression="rate(1 minute)")

    receive = server.client("sqs").receive_message
    (message,) = wait_for(lambda: receive(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages"), "the message")
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "ResourceNotFoundException"
    assert json.loads(message["Body"])["detail-type"] == "Scheduled Event"


def test_a_disabled_rule_and_one_with_an_unknown_schedule_stop_no_other(
    server: WorkflowServer, function: str, tmp_path: Path, schedules: ScheduledRules
) -> None:
    events = server.client("events")
    for name, rule in {
        "off": {"ScheduleExpression": "rate(1 minute)", "State": "DISABLED"},
        "odd": {"ScheduleExpression": "cron(0 12 * * ? *)"},
        "on": {"ScheduleExpression": "rate(1 minute)"},
    }.items():
        events.put_rule(Name=name, **rule)
        target = {"Id": "function", "Arn": function, "Input": json.dumps({"rule": name})}
        events.put_targets(Rule=name, Targets=[target])

    assert wait_for(lambda: seen(tmp_path), "the scheduled event") == [{"rule": "on"}]


def test_close_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    running = ScheduledRules(ACCOUNT, REGION)
    running.start()
    running.close()

    assert set(threading.enumerate()) == before


@pytest.mark.parametrize(
    ("expression", "seconds"), [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(12 hours)", 43_200)]
)
def test_a_rate_has_its_period(expression: str, seconds: int) -> None:
    assert period_seconds(expression) == seconds


@pytest.mark.parametrize("expression", ["rate(1 minutes)", "rate(5 minute)", "rate(0 days)", "cron(0 12 * * ? *)"])
def test_another_schedule_is_an_error(expression: str) -> None:
    with pytest.raises(UnsupportedScheduleError):
        period_seconds(expression)
