"""The state machines as graphs: what leads where, what is retried, and what every expression may refer to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from jsonata import Jsonata  # type: ignore[import-untyped]

from stacks.constructs.state_machine import DEFINITIONS
from tests.infrastructure.templates import tasks

State = Mapping[str, Any]

MACHINES: Final = sorted(path.name for path in DEFINITIONS.glob("*.asl.json"))
START_ERRORS: Final = [
    "Glue.ConcurrentRunsExceededException",
    "Glue.AWSGlueException",
    "Glue.ResourceNumberLimitExceededException",
    "Glue.OperationTimeoutException",
    "Glue.InternalServiceException",
    "Glue.ThrottlingException",
]
each_machine = pytest.mark.parametrize("machine", MACHINES)


def _definition(machine: str) -> dict[str, Any]:
    definition = json.loads((DEFINITIONS / machine).read_text(encoding="utf-8"))
    assert isinstance(definition, dict)
    return definition


def _graphs(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The machine itself, and what each of its Maps runs for an item."""
    yield definition
    for state in definition["States"].values():
        if "ItemProcessor" in state:
            yield from _graphs(state["ItemProcessor"])


def _states(machine: str) -> Iterator[tuple[str, State]]:
    for graph in _graphs(_definition(machine)):
        yield from graph["States"].items()


def _followers(state: State) -> set[str]:
    found = {state[name] for name in ("Next", "Default") if name in state}
    return found | {choice["Next"] for choice in state.get("Choices", [])}


def _expressions(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _expressions(one)
    if isinstance(value, str) and value.startswith("{%"):
        assert value.endswith("%}"), value
        yield value.removeprefix("{%").removesuffix("%}").strip()


def test_there_is_a_test_for_every_machine() -> None:
    assert MACHINES == ["notify_failure.asl.json", "pipeline.asl.json", "recompute.asl.json"]


@each_machine
def test_every_next_exists_in_its_own_graph(machine: str) -> None:
    for graph in _graphs(_definition(machine)):
        assert graph["StartAt"] in graph["States"]
        for name, state in graph["States"].items():
            assert _followers(state) <= graph["States"].keys(), name


@each_machine
def test_every_state_can_be_reached(machine: str) -> None:
    for graph in _graphs(_definition(machine)):
        reached, due = set(), [graph["StartAt"]]
        while due:
            name = due.pop()
            if name not in reached:
                reached.add(name)
                due += _followers(graph["States"][name])
        assert reached == graph["States"].keys()


@each_machine
def test_every_state_leads_on_or_ends(machine: str) -> None:
    for name, state in _states(machine):
        ends = state["Type"] in ("Succeed", "Fail") or state.get("End") is True
        assert ends != bool(_followers(state)), name


@each_machine
def test_state_names_are_unique_so_that_an_email_can_name_one(machine: str) -> None:
    names = [name for name, _ in _states(machine)]
    assert len(names) == len(set(names))


@each_machine
def test_every_choice_that_matches_nothing_ends_in_a_fail_state(machine: str) -> None:
    for graph in _graphs(_definition(machine)):
        for name, state in graph["States"].items():
            if state["Type"] == "Choice":
                assert graph["States"][state["Default"]]["Type"] == "Fail", name


@each_machine
def test_every_task_has_a_timeout_shorter_than_the_machines(machine: str) -> None:
    whole = _definition(machine)["TimeoutSeconds"]
    for name, state in tasks(_definition(machine)):
        assert 0 < state["TimeoutSeconds"] < whole, name


@each_machine
def test_nothing_catches(machine: str) -> None:
    """A redrive would enter the Fail state that a Catch led to, instead of the task."""
    for name, state in _states(machine):
        assert "Catch" not in state, name


@each_machine
def test_nothing_retries_a_timeout(machine: str) -> None:
    """A job whose task timed out may still run: States.ALL and States.Timeout would start a second one."""
    for name, state in _states(machine):
        errors = [error for retrier in state.get("Retry", []) for error in retrier["ErrorEquals"]]
        assert not {"States.ALL", "States.Timeout"} & set(errors), name
        if state["Type"] == "Task":
            assert "States.TaskFailed" in state["Retry"][-1]["ErrorEquals"], name


@pytest.mark.parametrize(("machine", "count"), [("pipeline.asl.json", 2), ("recompute.asl.json", 1)])
def test_a_job_is_retried_slowly_when_it_cannot_start_and_once_when_it_failed(machine: str, count: int) -> None:
    jobs = [state for _, state in tasks(_definition(machine)) if "startJobRun" in state["Resource"]]
    assert len(jobs) == count
    for state in jobs:
        assert state["Resource"] == "arn:aws:states:::glue:startJobRun.sync"
        assert state["Retry"] == [
            {
                "ErrorEquals": START_ERRORS,
                "IntervalSeconds": 20,
                "BackoffRate": 2,
                "MaxAttempts": 8,
                "MaxDelaySeconds": 300,
                "JitterStrategy": "FULL",
            },
            {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 20, "MaxAttempts": 1},
        ]


@pytest.mark.parametrize(
    ("machine", "attempts", "longest"), [(MACHINES[0], 6, 60), (MACHINES[1], 4, 30), (MACHINES[2], 4, 30)]
)
def test_any_other_call_is_retried_quickly(machine: str, attempts: int, longest: int) -> None:
    calls = [state for _, state in tasks(_definition(machine)) if "startJobRun" not in state["Resource"]]
    assert calls
    for state in calls:
        assert state["Retry"] == [
            {
                "ErrorEquals": ["States.TaskFailed"],
                "IntervalSeconds": 2,
                "BackoffRate": 2,
                "MaxAttempts": attempts,
                "MaxDelaySeconds": longest,
                "JitterStrategy": "FULL",
            }
        ]


def test_of_the_maps_only_stage_is_retried_as_a_whole() -> None:
    """It only copies. A Map that moves files would do a second time what a redrive does not do again."""
    maps = {name: state for name, state in _states("pipeline.asl.json") if state["Type"] == "Map"}
    assert {name for name, state in maps.items() if "Retry" in state} == {"Stage"}
    assert maps["Stage"]["Retry"] == [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 2, "MaxAttempts": 1}]


def test_a_file_is_deleted_from_raw_only_after_its_copies_are_written() -> None:
    for state in _definition("pipeline.asl.json")["States"].values():
        if state["Type"] == "Map":
            for path in _paths(state["ItemProcessor"], state["ItemProcessor"]["StartAt"]):
                actions = [str(step.get("Resource", "")).rpartition(":")[2] for step in path]
                if "deleteObject" in actions:
                    assert "copyObject" in actions[: actions.index("deleteObject")]
                    assert "copyObject" not in actions[actions.index("deleteObject") :]


def _paths(graph: Mapping[str, Any], name: str) -> Iterator[list[State]]:
    state = graph["States"][name]
    if not _followers(state):
        yield [state]
    for follower in _followers(state):
        for rest in _paths(graph, follower):
            yield [state, *rest]


@each_machine
def test_every_expression_parses(machine: str) -> None:
    expressions = list(_expressions(_definition(machine)))
    assert len(expressions) > 5
    for expression in expressions:
        assert Jsonata(expression) is not None, expression


@each_machine
def test_no_text_looks_like_an_expression_without_being_one(machine: str) -> None:
    text = (DEFINITIONS / machine).read_text(encoding="utf-8")
    assert text.count("{%") == text.count("%}") == len(list(_expressions(json.loads(text))))


@each_machine
def test_every_variable_of_an_expression_is_assigned_somewhere(machine: str) -> None:
    assigned = {name for _, state in _states(machine) for name in state.get("Assign", {})}
    for expression in _expressions(_definition(machine)):
        code = re.sub(r"'(?:[^'\\]|\\.)*'", "''", expression)
        local = set(re.findall(r"\$(\w+)\s*:=", code)) | {
            name.strip().lstrip("$") for names in re.findall(r"function\(([^)]*)\)", code) for name in names.split(",")
        }
        used = set(re.findall(r"\$(\w+)\b(?!\s*\()", code))
        assert used <= assigned | local | {"states"}, expression


@each_machine
def test_every_assigned_variable_is_used(machine: str) -> None:
    assigned = {name for _, state in _states(machine) for name in state.get("Assign", {})}
    used = {name for expression in _expressions(_definition(machine)) for name in re.findall(r"\$(\w+)", expression)}
    assert assigned <= used
