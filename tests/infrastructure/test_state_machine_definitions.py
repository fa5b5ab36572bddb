"""The definitions in state_machines/ against what the stack and the scripts give them."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from glue_scripts import names
from stacks.constructs.state_machine import DEFINITIONS
from tests.infrastructure.templates import Deployment, properties, tasks

MACHINES = {"pipeline": "pipeline.asl.json", "notify-failure": "notify_failure.asl.json"}


def _definition(file: str) -> dict[str, Any]:
    definition = json.loads((DEFINITIONS / file).read_text(encoding="utf-8"))
    assert isinstance(definition, dict)
    return definition


@pytest.mark.parametrize("machine", MACHINES)
def test_the_deployed_definition_is_the_file(deployment: Deployment, machine: str) -> None:
    name = f"music-kpi-{deployment.environment}-{machine}"
    deployed = properties(deployment.pipeline, "AWS::StepFunctions::StateMachine", StateMachineName=name)
    assert json.loads(deployed["DefinitionString"]) == _definition(MACHINES[machine])


@pytest.mark.parametrize("machine", MACHINES)
def test_every_substitution_is_given_and_used(deployment: Deployment, machine: str) -> None:
    name = f"music-kpi-{deployment.environment}-{machine}"
    deployed = properties(deployment.pipeline, "AWS::StepFunctions::StateMachine", StateMachineName=name)
    used = set(re.findall(r"\$\{(\w+)\}", deployed["DefinitionString"]))
    assert set(deployed["DefinitionSubstitutions"]) == used


@pytest.mark.parametrize(
    ("job", "declared"),
    [
        ("${ValidateBatchJob}", names.VALIDATE_BATCH_RUN_ARGUMENTS),
        ("${ComputeKpisJob}", names.COMPUTE_KPIS_RUN_ARGUMENTS),
    ],
)
def test_a_run_gets_exactly_the_arguments_that_the_script_declares(job: str, declared: tuple[str, ...]) -> None:
    (arguments,) = [
        state["Arguments"]["Arguments"]
        for _, state in tasks(_definition("pipeline.asl.json"))
        if state["Arguments"].get("JobName") == job
    ]
    assert set(arguments) == {f"--{argument}" for argument in declared}


def test_the_state_machine_waits_longer_than_two_job_runs_take(deployment: Deployment) -> None:
    definition = _definition("pipeline.asl.json")
    job_seconds = deployment.settings.job_timeout_minutes * 60
    waits = [state["TimeoutSeconds"] for _, state in tasks(definition) if "glue:startJobRun" in state["Resource"]]
    assert len(waits) == 2
    assert min(waits) > 2 * job_seconds
    assert definition["TimeoutSeconds"] >= sum(waits)


def test_the_failure_email_names_log_groups_that_are_there(deployment: Deployment) -> None:
    lines = _definition("notify_failure.asl.json")["States"]["ComposeParts"]["Assign"]["job_lines"]
    assert "$groups := '/aws-glue/jobs/' & $job & '/'; $group := $groups & 'output'; " in lines
    assert "& $groups & 'error.'" in lines
    name = f"music-kpi-{deployment.environment}-notify-failure"
    machine = properties(deployment.pipeline, "AWS::StepFunctions::StateMachine", StateMachineName=name)
    for job, kind in itertools.product(("validate-batch", "compute-kpis"), ("output", "error")):
        group = f"/aws-glue/jobs/music-kpi-{deployment.environment}-{job}/{kind}"
        assert properties(deployment.pipeline, "AWS::Logs::LogGroup", LogGroupName=group)
    assert {"ValidateBatchJob", "ComputeKpisJob"} <= machine["DefinitionSubstitutions"].keys()
