"""cfn-lint compares the templates' state machines with a schema of the Amazon States Language: that it really does.

Its rule E3601; `test_cfn_lint_finds_nothing` runs it on every template.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cfnlint.api  # type: ignore[import-untyped]
import pytest

from stacks.constructs.state_machine import DEFINITIONS

Definition = dict[str, Any]


def _findings(definition: Definition, folder: Path) -> list[str]:
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/some", "DefinitionString": json.dumps(definition)}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    path = folder / "template.json"
    path.write_text(json.dumps({"Resources": {"Machine": machine}}), encoding="utf-8")
    return [
        match.message
        for match in cfnlint.api.lint_file(path, config=cfnlint.api.ManualArgs())
        if match.rule.id == "E3601"
    ]


def _task(definition: Definition) -> dict[str, Any]:
    task = next(state for state in definition["States"].values() if state["Type"] == "Task")
    assert isinstance(task, dict)
    return task


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda machine: _task(machine).update(TimeOutSeconds=1), "'TimeOutSeconds' was unexpected"),
        (lambda machine: _task(machine).update(Parameters={}), "'Parameters' was unexpected"),
        (lambda machine: _task(machine).pop("Resource"), "'Resource' is a required property"),
    ],
    ids=["a typo", "a field of JSONPath", "a task without a call"],
)
def test_what_step_functions_would_refuse_is_found(
    spoil: Callable[[Definition], object], found: str, tmp_path: Path
) -> None:
    definition = json.loads((DEFINITIONS / "notify_failure.asl.json").read_text(encoding="utf-8"))
    spoil(definition)
    (finding,) = _findings(definition, tmp_path)
    assert found in finding
