"""The state machines as graphs: what leads where, what is retried, and what every expression may refer to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from jsonata import Jsonata  # type: ignore[import-untyped]

from glue_scripts.objects import AS_DOWNLOAD
from glue_scripts.staged_files import REFUSALS
from stacks.constructs.state_machine import DEFINITIONS
from tests.infrastructure.templates import tasks
from validators.rules import RULES_BY_ID, Severity

State = Mapping[str, Any]

MACHINES: Final = sorted(path.name for path in DEFINITIONS.glob("*.asl.json"))
LIMIT_ERRORS: Final = ["Glue.ConcurrentRunsExceededException", "Glue.ResourceNumberLimitExceededException"]
START_ERRORS: Final = [
    "Glue.AWSGlueException",
    "Glue.OperationTimeoutException",
    "Glue.InternalServiceException",
    "Glue.ThrottlingException",
]
PERMANENT_ERRORS: Final = {
    "S3.NoSuchKeyException",
    "S3.ObjectNotInActiveTierErrorException",
    "S3.InvalidObjectStateException",
    "S3.InvalidRequestException",
}
"""Answers about one object that no second call changes."""
ALREADY_STARTED: Final = "StepFunctions.ExecutionAlreadyExistsException"
"""What StartExecution answers about a name whose execution has ended: the part was started before."""
UMBRELLA: Final = "S3.S3Exception"
"""Any other answer of S3, passing ones too: only its status tells, and what that does not tell must fail uncaught."""
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
    return found | {branch["Next"] for branch in [*state.get("Choices", []), *state.get("Catch", [])]}


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
        assert ends != any(name in state for name in ("Next", "Choices")), name


@each_machine
def test_state_names_are_unique_so_that_an_email_can_name_one(machine: str) -> None:
    names = [name for name, _ in _states(machine)]
    assert len(names) == len(set(names))


def _stage() -> Mapping[str, State]:
    states: Mapping[str, State] = _definition("pipeline.asl.json")["States"]["Stage"]["ItemProcessor"]["States"]
    return states


@each_machine
def test_every_choice_that_matches_nothing_ends_in_a_fail_state(machine: str) -> None:
    for graph in _graphs(_definition(machine)):
        for name, state in graph["States"].items():
            if state["Type"] == "Choice" and graph["States"] != _stage():
                assert graph["States"][state["Default"]]["Type"] == "Fail", name


def test_in_stage_nothing_leads_to_a_fail_state_and_a_choice_that_matches_nothing_to_a_call() -> None:
    """A redrive would enter the Fail state again: what is not understood is a call that fails."""
    for name, state in _stage().items():
        assert state["Type"] != "Fail", name
        if state["Type"] == "Choice":
            assert _stage()[state["Default"]]["Type"] == "Task", name


@each_machine
def test_every_task_has_a_timeout_shorter_than_the_machines(machine: str) -> None:
    whole = _definition(machine)["TimeoutSeconds"]
    for name, state in tasks(_definition(machine)):
        assert 0 < state["TimeoutSeconds"] < whole, name


@each_machine
def test_nothing_catches_but_permanent_answers_about_one_object_in_stage_and_that_a_part_was_started(
    machine: str,
) -> None:
    """A redrive would enter the Fail state that a Catch led to, instead of the task."""
    for name, state in _states(machine):
        for catcher in state.get("Catch", []):
            assert state["Type"] == "Task", name
            if name == "StartPart":
                assert catcher["ErrorEquals"] == [ALREADY_STARTED]
            else:
                assert name in _stage(), name
                assert set(catcher["ErrorEquals"]) <= PERMANENT_ERRORS | {UMBRELLA}, name


def test_a_part_that_was_started_before_counts_as_started() -> None:
    states = _definition("pipeline.asl.json")["States"]["StartParts"]["ItemProcessor"]["States"]
    start = states["StartPart"]
    assert start["Retry"][0] == {"ErrorEquals": [ALREADY_STARTED], "MaxAttempts": 0}
    (catcher,) = start["Catch"]
    assert states[catcher["Next"]] == {"Type": "Pass", "End": True}
    assert catcher["Output"] == start["Output"] == "{% $states.input %}"


def test_what_was_caught_and_is_not_about_the_object_is_called_again_without_a_catch() -> None:
    for name, state in _stage().items():
        for catcher in state.get("Catch", []):
            choice = _stage()[catcher["Next"]]
            assert choice["Type"] == "Choice", name
            again = _stage()[choice["Default"]]
            assert "Catch" not in again, name
            if again["Resource"] == state["Resource"]:
                assert again["Arguments"] == state["Arguments"], name


def test_what_is_caught_by_its_name_is_not_tried_again_and_what_is_not_is_tried_first() -> None:
    for state in _stage().values():
        if "Catch" in state:
            named = set(state["Catch"][0]["ErrorEquals"]) & PERMANENT_ERRORS - {"S3.InvalidRequestException"}
            never = [retrier["ErrorEquals"] for retrier in state["Retry"] if retrier["MaxAttempts"] == 0]
            assert {error for errors in never for error in errors} == named


def test_the_reasons_of_stage_are_rules_and_the_job_has_words_for_each() -> None:
    reasons = {
        choice["Assign"]["reason"]
        for state in _stage().values()
        for choice in state.get("Choices", [])
        if "Assign" in choice
    }
    assert reasons == set(REFUSALS)
    assert all(RULES_BY_ID[reason].severity is Severity.REJECT_FILE for reason in reasons)


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
                "ErrorEquals": LIMIT_ERRORS,
                "IntervalSeconds": 20,
                "BackoffRate": 2,
                "MaxAttempts": 99,
                "MaxDelaySeconds": 300,
            },
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


@each_machine
def test_a_job_that_does_not_start_for_a_limit_is_tried_for_as_long_as_it_could_wait_in_the_queue(
    machine: str,
) -> None:
    """StartJobRun may ignore the job's own queue. Without jitter, which would make the time a matter of chance."""
    for _, state in tasks(_definition(machine)):
        if "startJobRun" in state["Resource"]:
            retrier = state["Retry"][0]
            assert retrier["ErrorEquals"] == LIMIT_ERRORS
            assert "JitterStrategy" not in retrier
            intervals = [
                min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** number, retrier["MaxDelaySeconds"])
                for number in range(retrier["MaxAttempts"])
            ]
            assert sum(intervals) >= state["TimeoutSeconds"] > sum(intervals[:-1])


@pytest.mark.parametrize(
    ("machine", "attempts", "longest"), [(MACHINES[0], 6, 60), (MACHINES[1], 4, 30), (MACHINES[2], 4, 30)]
)
def test_any_other_call_is_retried_quickly(machine: str, attempts: int, longest: int) -> None:
    calls = [state for _, state in tasks(_definition(machine)) if "startJobRun" not in state["Resource"]]
    assert calls
    for state in calls:
        retriers = [retrier for retrier in state["Retry"] if retrier["MaxAttempts"] > 0]
        assert retriers == [
            {
                "ErrorEquals": ["States.TaskFailed"],
                "IntervalSeconds": 2,
                "BackoffRate": 2,
                "MaxAttempts": attempts,
                "MaxDelaySeconds": longest,
                "JitterStrategy": "FULL",
            }
        ]


def test_no_map_is_retried_as_a_whole() -> None:
    """It would do a second time what a redrive does not do again."""
    maps = {name: state for name, state in _states("pipeline.asl.json") if state["Type"] == "Map"}
    assert {name for name, state in maps.items() if "Retry" in state} == set()


COPY: Final = {
    "MetadataDirective": "REPLACE",
    "TaggingDirective": "REPLACE",
    "StorageClass": "STANDARD",
    "ContentType": "application/octet-stream",
    "ContentDisposition": "attachment",
}


def test_every_copy_of_an_upload_has_our_properties() -> None:
    """Those of its sender could make a browser render it. A report is our own."""
    copies = {name: one for name, one in tasks(_definition("pipeline.asl.json")) if "copyObject" in one["Resource"]}
    reports = {"CopyReportToError", "CopyReportAlone"}
    assert reports < copies.keys()
    for name in copies.keys() - reports:
        assert copies[name]["Arguments"].items() >= COPY.items(), name
    assert COPY.items() >= AS_DOWNLOAD.items()


def test_a_file_of_which_there_is_no_copy_is_not_deleted() -> None:
    graph = _definition("pipeline.asl.json")["States"]["MoveRejectedToError"]["ItemProcessor"]
    choices = {choice["Condition"]: choice["Next"] for choice in graph["States"]["IsThereACopy"]["Choices"]}
    paths = list(_paths(graph, choices["{% $states.input.copy = 'none' %}"]))
    assert paths
    assert not [step for path in paths for step in path if "deleteObject" in step.get("Resource", "")]


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


def _assigned(machine: str) -> set[str]:
    branches = ("Catch", "Choices")
    places = [
        place
        for _, state in _states(machine)
        for place in [state, *(one for name in branches for one in state.get(name, []))]
    ]
    return {name for place in places for name in place.get("Assign", {})}


@each_machine
def test_every_variable_of_an_expression_is_assigned_somewhere(machine: str) -> None:
    assigned = _assigned(machine)
    for expression in _expressions(_definition(machine)):
        code = re.sub(r"'(?:[^'\\]|\\.)*'", "''", expression)
        local = set(re.findall(r"\$(\w+)\s*:=", code)) | {
            name.strip().lstrip("$") for names in re.findall(r"function\(([^)]*)\)", code) for name in names.split(",")
        }
        used = set(re.findall(r"\$(\w+)\b(?!\s*\()", code))
        assert used <= assigned | local | {"states"}, expression


@each_machine
def test_every_assigned_variable_is_used(machine: str) -> None:
    assigned = _assigned(machine)
    used = {name for expression in _expressions(_definition(machine)) for name in re.findall(r"\$(\w+)", expression)}
    assert assigned <= used
