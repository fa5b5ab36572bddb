"""Every IAM statement of every template against AWS's own list of actions and of the resources they act on.

The list is the service authorization reference as cfn-lint ships it; cfn-lint itself looks at names of actions only.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

import pytest

from tests.infrastructure.templates import Deployment, Template, as_list, text

SERVICES: Final[Mapping[str, Any]] = json.loads(
    (files("cfnlint") / "data/AdditionalSpecs/Policies.json").read_text(encoding="utf-8")
)

# What an attribute or a reference that holds an ARN looks like, by the type of its resource.
ARNS: Final = {
    "AWS::DynamoDB::GlobalTable": "arn:aws:dynamodb:us-east-1:123456789012:table/name",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:us-east-1:123456789012:table/name",
    "AWS::KMS::Key": "arn:aws:kms:us-east-1:123456789012:key/name",
    "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:123456789012:function:name",
    "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:123456789012:log-group:name:*",
    "AWS::S3::Bucket": "arn:aws:s3:::name",
    "AWS::SNS::Topic": "arn:aws:sns:us-east-1:123456789012:name",
    "AWS::SQS::Queue": "arn:aws:sqs:us-east-1:123456789012:name",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:us-east-1:123456789012:stateMachine:name",
}

Statement = Mapping[str, Any]


def read_templates(deployment: Deployment) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(deployment.outdir.glob("*.template.json"))]


def _policies(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every policy document in a template, of roles, buckets, topics, queues, keys and whatever comes, by property."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict) and "Statement" in inner:
                yield name, inner
            yield from _policies(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _policies(inner)


def policy_statements(template: Template) -> Iterator[tuple[str, Statement]]:
    for name, document in _policies(template["Resources"]):
        for statement in document["Statement"]:
            yield name, statement


def unknown_actions(template: Template) -> set[str]:
    """Actions that AWS does not know."""
    actions = {
        action for _, statement in policy_statements(template) for action in as_list(statement.get("Action", []))
    }
    return {action for action in actions if action != "*" and not _exists(action)}


def _exists(action: str) -> bool:
    service, _, operation = action.partition(":")
    known = SERVICES.get(service, {}).get("Actions", {})
    pattern = re.escape(operation.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return any(re.fullmatch(pattern, name) for name in known)


def useless_grants(template: Template, exports: Mapping[str, str]) -> list[str]:
    """Actions on nothing that they act on, and resources that no action of their statement acts on.

    Args:
        template: The template.
        exports: Name of an export of another template -> the ARN that it stands for.
    """
    return [
        complaint
        for name, statement in policy_statements(template)
        if name != "AssumeRolePolicyDocument" and "Resource" in statement
        for complaint in _complaints(statement, template, exports)
    ]


def _complaints(statement: Statement, template: Template, exports: Mapping[str, str]) -> Iterator[str]:
    resources = [_arn(resource, template, exports) for resource in as_list(statement["Resource"])]
    actions = [action for action in as_list(statement["Action"]) if "*" not in action]
    if "*" in resources:
        return
    for action in actions:
        if not any(_acts_on(action, resource) for resource in resources):
            yield f"{action} acts on none of {resources}"
    for resource in resources:
        if actions and not any(_acts_on(action, resource) for action in actions):
            yield f"none of {actions} acts on {resource}"


def _acts_on(action: str, resource: str) -> bool:
    service, _, operation = action.partition(":")
    kinds = as_list(SERVICES[service]["Actions"][operation.lower()].get("Resources", []))
    literal, star, _ = resource.partition("*")
    examples = [literal, f"{literal}x", f"{literal}x/x"] if star else [literal]
    return any(
        re.fullmatch(_pattern(one, kind), example)
        for kind in kinds
        for example in examples
        for one in SERVICES[service]["Resources"][kind.lower()].get("ARNFormats", [])
    )


def _pattern(arn_format: str, kind: str) -> str:
    # The list writes a bucket and an object alike.
    names = {"bucket": "[^/]+", "object": "[^/]+/.+"}.get(kind, ".+")
    return re.sub(r"\$\{\w+\}", "[^:]*", arn_format.replace(".*", names))


def _arn(resource: object, template: Template, exports: Mapping[str, str]) -> str:
    match resource:
        case {"Fn::GetAtt": [logical_id, _]} | {"Ref": logical_id}:
            return ARNS[template["Resources"][logical_id]["Type"]]
        case {"Fn::ImportValue": name}:
            return exports[name]
        case {"Fn::Join": ["", [first, *rest]]} if not isinstance(first, str):
            return _arn(first, template, exports) + "".join(map(text, rest))
        case _:
            pseudo = {"Partition": "aws", "Region": "us-east-1", "AccountId": "123456789012"}
            return re.sub(r"<AWS::(\w+)>|\$\{AWS::(\w+)\}", lambda found: pseudo[found[1] or found[2]], text(resource))


def _exports(deployment: Deployment) -> dict[str, str]:
    return {
        output["Export"]["Name"]: _arn(output["Value"], template, {})
        for template in read_templates(deployment)
        for output in template.get("Outputs", {}).values()
        if "Export" in output and _is_arn(output["Value"], template)
    }


def _is_arn(value: object, template: Template) -> bool:
    """Whether it refers to a resource whose ARN is known; a name that is exported is not asked for by any policy."""
    match value:
        case {"Fn::GetAtt": [logical_id, _]} | {"Ref": logical_id}:
            return template["Resources"][logical_id]["Type"] in ARNS
        case _:
            return False


def test_every_action_exists(deployment: Deployment) -> None:
    for template in read_templates(deployment):
        assert not unknown_actions(template)


def test_no_role_gets_actions_by_a_wildcard(deployment: Deployment) -> None:
    for template in read_templates(deployment):
        allowed = [one for _, one in policy_statements(template) if one["Effect"] == "Allow"]
        assert not [action for one in allowed for action in as_list(one["Action"]) if "*" in action]


def test_every_action_acts_on_a_resource_of_its_statement_and_every_resource_is_acted_on(
    deployment: Deployment,
) -> None:
    exports = _exports(deployment)
    for template in read_templates(deployment):
        assert not useless_grants(template, exports)


def with_statement(template: Template, **changes: object) -> Template:
    """The template, with one more statement in the first policy of a role."""
    changed = copy.deepcopy(dict(template))
    policy = next(one for one in changed["Resources"].values() if one["Type"] == "AWS::IAM::Policy")
    policy["Properties"]["PolicyDocument"]["Statement"].append({"Effect": "Allow", **changes})
    return changed


@pytest.mark.parametrize(
    "action", ["s3:copyObject", "s3:HeadObject", "s3:ListObjects", "dynamodb:TransactWriteItems", "glue:StartJobRuns"]
)
def test_the_name_of_an_api_call_that_is_no_action_is_found(dev: Deployment, action: str) -> None:
    template = with_statement(dev.pipeline, Action=["s3:GetObject", action], Resource="arn:aws:s3:::name/*")
    assert unknown_actions(template) == {action}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:ListBucket", "arn:aws:s3:::name/raw/*"),
        ("s3:GetObject", "arn:aws:s3:::name"),
        ("dynamodb:Query", "arn:aws:s3:::name"),
        ("states:DescribeExecution", "arn:aws:states:us-east-1:123456789012:stateMachine:name"),
        ("logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:destination:name"),
    ],
)
def test_an_action_on_a_resource_of_another_kind_is_found(dev: Deployment, action: str, resource: str) -> None:
    template = with_statement(dev.pipeline, Action=action, Resource=resource)
    found = useless_grants(template, _exports(dev))
    assert found == [f"{action} acts on none of {[resource]}", f"none of {[action]} acts on {resource}"]
