"""What the deletion of an environment takes along and what it leaves is what docs/deploy.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from app import build_app
from tests.infrastructure.templates import Deployment, resources, text

PAGE: Final = Path(__file__).parents[2] / "docs" / "deploy.md"
EXECUTION_LOG: Final = "API-Gateway-Execution-Logs_"

# What of a retained resource its name begins with, and who names it if it has no name of its own.
RETAINED: Final[Mapping[str, str]] = {
    "AWS::S3::Bucket": "music-kpi-prod-data-",
    "AWS::SNS::Topic": "music-kpi-prod-alerts",
    "AWS::IAM::Role": "-Api-RestApiCloudWatchRole",
    "AWS::ApiGateway::Account": "API Gateway's account setting",
}


def teardown() -> str:
    """The section of docs/deploy.md."""
    found = re.search(r"^## Teardown\n(.*?)^## ", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def retained(deployment: Deployment) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for template in deployment.templates.values():
        for logical_id, resource in template["Resources"].items():
            if resource.get("DeletionPolicy", "Delete") != "Delete":
                yield logical_id, resource


def log_groups(deployment: Deployment) -> dict[str, Mapping[str, Any]]:
    """Name to resource of every log group, of all stacks."""
    found = [
        group for template in deployment.templates.values() for group in resources(template, "AWS::Logs::LogGroup")
    ]
    return {text(group["Properties"]["LogGroupName"]): group for group in found}


def test_the_page_lifts_the_protection_of_every_protected_stack(tmp_path: Path) -> None:
    stacks = build_app("prod", tmp_path).synth().stacks
    protected = {stack.stack_name for stack in stacks if stack.termination_protection}
    (loop,) = re.findall(r"for stack in ([\w ]+); do .*?--stack-name (\S+)\$stack; done", teardown(), re.DOTALL)
    assert {f"{loop[1]}{name}" for name in loop[0].split()} == protected
    assert "all four stacks" in teardown()
    assert len(protected) == 4


def test_the_page_names_everything_that_outlives_its_stack(deployment: Deployment) -> None:
    section = teardown()
    for logical_id, resource in retained(deployment):
        name = resource["Properties"].get("TableName")
        if deployment.environment != "prod" and resource["Type"] not in ("AWS::IAM::Role", "AWS::ApiGateway::Account"):
            assert deployment.settings.retain_data, logical_id
            continue
        assert (name if isinstance(name, str) else RETAINED[resource["Type"]]) in section, logical_id


def test_the_role_that_stays_is_called_as_the_page_says(deployment: Deployment) -> None:
    (role,) = [logical_id for logical_id, one in retained(deployment) if one["Type"] == "AWS::IAM::Role"]
    (account,) = resources(deployment.api, "AWS::ApiGateway::Account")
    assert f"-Api-{role}".startswith(RETAINED["AWS::IAM::Role"])
    assert "Role" in resources(deployment.api, "AWS::IAM::Role")[0]["Type"]
    assert account["Properties"]["CloudWatchRoleArn"] == {"Fn::GetAtt": [role, "Arn"]}


def test_every_log_group_expires_and_goes_with_its_stack(deployment: Deployment) -> None:
    groups = log_groups(deployment)
    assert groups
    for name, group in groups.items():
        assert group["DeletionPolicy"] == group["UpdateReplacePolicy"] == "Delete", name
        assert group["Properties"]["RetentionInDays"] == deployment.settings.log_retention_days, name


def test_what_writes_a_log_has_its_log_group_in_the_stacks(deployment: Deployment) -> None:
    names = set(log_groups(deployment))
    templates = deployment.templates.values()
    functions = [
        one["Properties"]["FunctionName"] for part in templates for one in resources(part, "AWS::Lambda::Function")
    ]
    jobs = [one["Properties"]["DefaultArguments"] for part in templates for one in resources(part, "AWS::Glue::Job")]
    assert {f"/aws/lambda/{name}" for name in functions} <= names
    assert {f"{job['--custom-logGroup-prefix']}/{kind}" for job in jobs for kind in ("output", "error")} <= names
    (stage,) = resources(deployment.api, "AWS::ApiGateway::Stage")
    (execution_log,) = [name for name in names if name.startswith(EXECUTION_LOG)]
    assert (
        execution_log == f"{EXECUTION_LOG}{text(stage['Properties']['RestApiId'])}/{stage['Properties']['StageName']}"
    )


def test_the_execution_log_is_there_before_api_gateway_would_make_one(deployment: Deployment) -> None:
    (stage,) = resources(deployment.api, "AWS::ApiGateway::Stage")
    assert {setting["LoggingLevel"] for setting in stage["Properties"]["MethodSettings"]} == {"ERROR"}
    groups = deployment.api["Resources"]
    before = [text(groups[name]["Properties"]["LogGroupName"]) for name in stage["DependsOn"] if "Logs" in name]
    assert [name.startswith(EXECUTION_LOG) for name in before] == [True]


@pytest.mark.parametrize("prefix", ["/aws-glue/jobs/music-kpi-prod-", EXECUTION_LOG])
def test_the_page_looks_for_the_groups_that_can_come_back(prefix: str) -> None:
    assert f" {prefix}" in re.sub(r";", " ", teardown())
