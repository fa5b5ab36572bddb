"""The templates against their snapshots, against cfn-lint and against each other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cfnlint.api  # type: ignore[import-untyped]
import pytest

from tests.infrastructure.conftest import ENVIRONMENTS
from tests.infrastructure.templates import Deployment, Template

SNAPSHOTS = Path(__file__).parent / "snapshots"


def _masked(value: Any, key: str = "") -> Any:  # noqa: ANN401
    """A template without what changes with every edit of a script: asset hashes and the text of the definitions."""
    if isinstance(value, dict):
        return {name: _masked(one, name) for name, one in value.items()}
    if isinstance(value, list):
        masked = [_masked(one) for one in value]
        # The CDK sorts the resources of a statement by their text, in which the hashes are.
        return sorted(masked, key=json.dumps) if key == "Resource" else masked
    if key == "DefinitionString":
        return "<the definition in state_machines/>"
    return re.sub(r"[0-9a-f]{64}", "<hash>", value) if isinstance(value, str) else value


def test_the_templates_are_the_committed_ones(deployment: Deployment) -> None:
    path = SNAPSHOTS / f"{deployment.environment}.json"
    templates = {name: _masked(template) for name, template in deployment.templates.items()}
    if os.environ.get("UPDATE_SNAPSHOT") == "1":
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(templates, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    committed = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    assert templates == committed, (
        f"The templates of {deployment.environment} differ from {path.name}. If that is what you want, rewrite the "
        "snapshots and look at their diff before you commit it: "
        "UPDATE_SNAPSHOT=1 .venv/bin/python -m pytest tests/infrastructure -k committed"
    )


def test_the_partition_is_named_in_the_integrations_of_the_state_machines_only(deployment: Deployment) -> None:
    """They are why the stacks run in commercial regions only, which `stacks.settings.check_region` holds."""
    for template in deployment.templates.values():
        for resource in template["Resources"].values():
            text = json.dumps(resource["Properties"]) if "Properties" in resource else ""
            allowed = r"arn:aws:states:::" if resource["Type"] == "AWS::StepFunctions::StateMachine" else "never"
            assert "arn:aws" not in re.sub(allowed, "", text), resource["Type"]


def test_cfn_lint_finds_nothing(deployment: Deployment) -> None:
    # W3005: the CDK writes each dependency on a role out, even where a reference says the same.
    config = cfnlint.api.ManualArgs(ignore_checks=["W3005"])
    for path in sorted(deployment.outdir.glob("*.template.json")):
        matches = cfnlint.api.lint_file(path, config=config)
        assert not matches, [str(match) for match in matches]


# Where the templates of two environments may differ, besides the environment's name: property -> the setting behind it.
SETTING_OF = {
    "MaximumBatchingWindowInSeconds": "batch_window_seconds",
    "VisibilityTimeout": "batch_window_seconds",
    "BatchSize": "batch_size",
    "MaxBatchBytes": "max_batch_gb",
    "WorkerType": "worker_type",
    "NumberOfWorkers": "number_of_workers",
    "--dpus": "number_of_workers",
    "Timeout": "job_timeout_minutes",
    "MaxConcurrentRuns": "max_concurrent_kpi_runs",
    "--error_days": "error_days",
    "RetentionInDays": "log_retention_days",
    "DeletionPolicy": "retain_data",
    "UpdateReplacePolicy": "retain_data",
    "DeletionProtectionEnabled": "retain_data",
    "Threshold": "rejected_rows_percent",
}
SETTING_OF_PREFIX = {f"expire-{name}": f"{name}_days" for name in ("raw", "processing", "archive", "error", "quality")}


def _leaves(value: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    if isinstance(value, dict):
        rule = (str(value["Id"]),) if "ExpirationInDays" in value else ()
        return {key: leaf for name, one in value.items() for key, leaf in _leaves(one, (*path, *rule, name)).items()}
    if isinstance(value, list):
        return {key: leaf for i, one in enumerate(value) for key, leaf in _leaves(one, (*path, str(i))).items()}
    return {path: value}


def _behind(path: tuple[str, ...]) -> str | None:
    return SETTING_OF_PREFIX.get(path[-2]) if path[-1] == "ExpirationInDays" else SETTING_OF.get(path[-1])


def _without_names(template: object, environment: str) -> object:
    """A masked template without the environment's name, and without the hashes that the CDK makes of it."""
    written = re.sub(r"(AllowEventRule\w+?)([0-9A-F]{8})+\b", r"\1", json.dumps(_masked(template)))
    written = re.sub(r"(Deployment[0-9A-F]{8})[0-9a-f]{32}\b", r"\1", written)
    written = re.sub(r"(ApiPermissionMusicKpi\w+?Api)[0-9A-F]{8}(\w*?)[0-9A-F]{8}\b", r"\1\2", written)
    written = re.sub(r"(UsagePlanKeyResourceMusicKpi\w+?Key)[0-9A-F]{16}\b", r"\1", written)
    return json.loads(re.sub(rf"(?<![a-zA-Z]){environment}(?![a-zA-Z])|(?<=MusicKpi){environment}", "ENV", written))


def _without_freshness(template: Template, limit: int) -> dict[str, Any]:
    """A template without the seconds after which a file is late, which follow from the batch window."""
    written = json.dumps(template)
    return dict(json.loads(re.sub(rf'(took |\\"value\\":|"Threshold": ){limit}\b', r"\1 0", written)))


def _without_no_file_alarm(template: Template) -> dict[str, Any]:
    """A template without the alarm that only some environments ask for, in its resources and on the dashboard."""
    resources = {key: one for key, one in template["Resources"].items() if not key.startswith("Alarmsnofile")}
    written = json.dumps({**template, "Resources": resources})
    return dict(json.loads(re.sub(r',\\"", \{"Fn::GetAtt": \["Alarmsnofile\w+", "Arn"\]\}, "\\"', "", written)))


@pytest.mark.parametrize("other", ENVIRONMENTS[1:])
def test_environments_differ_only_where_the_settings_say(other: str, synthesize: Callable[[str], Deployment]) -> None:
    dev, different = synthesize("dev"), synthesize(other)
    for name, ours in dev.templates.items():
        theirs = _without_no_file_alarm(different.templates[name])
        of_dev = _leaves(_without_names(_without_freshness(ours, dev.settings.freshness_limit_seconds), "dev"))
        of_other = _leaves(
            _without_names(_without_freshness(theirs, different.settings.freshness_limit_seconds), other)
        )
        for path in of_dev.keys() | of_other.keys():
            if of_dev.get(path) != of_other.get(path):
                setting = _behind(path)
                assert setting is not None, f"{'/'.join(path)}: {of_dev.get(path)!r} and {of_other.get(path)!r}"
                assert getattr(dev.settings, setting) != getattr(different.settings, setting), path
