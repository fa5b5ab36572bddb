"""What policies say to requests, case by case as the IAM user guide tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from local_aws.iam.conditions import UnsupportedPolicyError
from local_aws.iam.policies import Caller, Decision, Policy, Request, Role, Service, decide, without

ACCOUNT = "123456789012"
ROLE = Role(f"arn:aws:iam::{ACCOUNT}:role/job", "session")
EVENTS = Service("events.amazonaws.com")
OBJECT = "arn:aws:s3:::data/raw/a.csv"


def policy(*statements: Mapping[str, Any], name: str = "policy") -> Policy:
    return Policy.read(name, json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def allow(**elements: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **elements}


def deny(**elements: object) -> dict[str, object]:
    return {**allow(**elements), "Effect": "Deny"}


def decided(
    *statements: Mapping[str, Any],
    action: str = "s3:GetObject",
    resource: str = OBJECT,
    of_resource: tuple[Mapping[str, Any], ...] = (),
    caller: Caller = ROLE,
    **context: str | tuple[str, ...],
) -> Decision:
    values = {key.replace("__", ":"): (value,) if isinstance(value, str) else value for key, value in context.items()}
    return decide(
        caller,
        Request(action, resource, values),
        of_caller=[policy(*statements)] if statements else [],
        of_resource=[policy(*of_resource, name="bucket")] if of_resource else [],
    )


def test_what_nobody_allows_is_denied_and_aws_says_so() -> None:
    decision = decided(allow(Action="s3:PutObject"))
    assert not decision.is_allowed
    assert decision.reason == "because no identity-based policy allows the {action} action"


@pytest.mark.parametrize("where", ["identity", "resource"])
def test_a_deny_wins_wherever_it_stands(where: str) -> None:
    everybody = deny(Principal="*")
    decision = decided(allow(), deny()) if where == "identity" else decided(allow(), of_resource=(everybody,))
    assert not decision.is_allowed
    article = "an" if where == "identity" else "a"
    assert decision.reason == f"with an explicit deny in {article} {where}-based policy"


@pytest.mark.parametrize(
    ("pattern", "action", "is_allowed"),
    [
        ("s3:GetObject", "s3:GetObject", True),
        ("s3:getobject", "s3:GetObject", True),
        ("S3:GetObject", "s3:GetObject", True),
        ("s3:Get*", "s3:GetObjectVersion", True),
        ("s3:Get*", "s3:PutObject", False),
        ("s3:*", "s3:PutObject", True),
        ("*", "dynamodb:GetItem", True),
        ("s3:GetObject", "s3:GetObjectVersion", False),
        ("s3:GetObjec?", "s3:GetObject", True),
        ("s3:Get?", "s3:GetObject", False),
        ("s3:Get.bject", "s3:GetObject", False),
    ],
)
def test_actions_are_compared_without_regard_to_case_and_with_wildcards(
    pattern: str, action: str, is_allowed: bool
) -> None:
    assert decided(allow(Action=[pattern]), action=action).is_allowed is is_allowed


@pytest.mark.parametrize(
    ("pattern", "resource", "is_allowed"),
    [
        ("*", OBJECT, True),
        ("arn:aws:s3:::data/raw/*", OBJECT, True),
        ("arn:aws:s3:::data/raw/*", "arn:aws:s3:::data/raw/deep/a.csv", True),
        ("arn:aws:s3:::data/raw/*", "arn:aws:s3:::data/raw/a:b.csv", True),
        ("arn:aws:s3:::data/raw/*", "arn:aws:s3:::data/RAW/a.csv", False),
        ("arn:aws:s3:::data/raw/*", "arn:aws:s3:::data/rawer/a.csv", False),
        ("arn:aws:s3:::data/raw/*", "arn:aws:s3:::data", False),
        ("arn:aws:s3:::data", "arn:aws:s3:::data", True),
        ("arn:aws:s3:::data/*/v.json", "arn:aws:s3:::data/a/b/v.json", True),
        ("arn:aws:s3:::data/*/v.json", "arn:aws:s3:::data/a/v.json.bak", False),
        ("arn:aws:s3:::data/a?.csv", "arn:aws:s3:::data/ab.csv", True),
        ("arn:aws:s3:::data/[raw]/a.csv", "arn:aws:s3:::data/r/a.csv", False),
        ("arn:aws:states:us-east-1:1:execution:m:*", "arn:aws:states:us-east-1:1:execution:m:e", True),
        ("arn:aws:states:us-east-1:1:execution:m:*", "arn:aws:states:us-east-1:1:execution:mm:e", False),
        # A `*` at the end of a part of an ARN goes on over colons, another one does not.
        ("arn:aws:sqs:*", "arn:aws:sqs:us-east-1:1:uploads", True),
        ("arn:aws:sqs:us-*-1:1:uploads", "arn:aws:sqs:us-east-1:1:uploads", True),
        ("arn:aws:sqs:us-*-1:1:uploads", "arn:aws:sqs:us-east:1:x-1:1:uploads", False),
    ],
)
def test_resources_are_compared_with_wildcards(pattern: str, resource: str, is_allowed: bool) -> None:
    assert decided(allow(Resource=pattern), resource=resource).is_allowed is is_allowed


def test_not_action_and_not_resource_are_about_all_others() -> None:
    others = {"Effect": "Allow", "NotAction": ["s3:Delete*"], "NotResource": ["arn:aws:s3:::data/raw/*"]}
    assert decided(others, resource="arn:aws:s3:::data/error/a").is_allowed
    assert not decided(others, resource=OBJECT).is_allowed
    assert not decided(others, action="s3:DeleteObject", resource="arn:aws:s3:::data/error/a").is_allowed


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"s3:prefix": ["raw/", "error/"]}}, {"s3__prefix": "raw/"}, True),
        ({"StringEquals": {"s3:prefix": "raw/"}}, {"s3__prefix": "RAW/"}, False),
        ({"StringEqualsIgnoreCase": {"s3:prefix": "raw/"}}, {"s3__prefix": "RAW/"}, True),
        ({"StringEquals": {"S3:Prefix": "raw/"}}, {"s3__prefix": "raw/"}, True),
        ({"StringLike": {"s3:prefix": "raw/*"}}, {"s3__prefix": "raw/a"}, True),
        ({"StringLike": {"s3:prefix": "raw/*"}}, {"s3__prefix": "raw"}, False),
        ({"StringLike": {"s3:prefix": "raw/*"}}, {}, False),
        ({"StringLikeIfExists": {"s3:prefix": "raw/*"}}, {}, True),
        ({"StringLikeIfExists": {"s3:prefix": "raw/*"}}, {"s3__prefix": "error/"}, False),
        ({"StringNotEquals": {"s3:prefix": "raw/"}}, {"s3__prefix": "error/"}, True),
        ({"StringNotEquals": {"s3:prefix": ["raw/", "error/"]}}, {"s3__prefix": "error/"}, False),
        ({"StringNotEquals": {"s3:prefix": "raw/"}}, {}, True),
        ({"StringNotLike": {"s3:prefix": "raw/*"}}, {"s3__prefix": "raw/a"}, False),
        (
            {"ArnEquals": {"aws:SourceArn": "arn:aws:events:*:1:rule/*"}},
            {"aws__sourcearn": "arn:aws:events:e:1:rule/r"},
            True,
        ),
        (
            {"ArnLike": {"aws:SourceArn": "arn:aws:events:e:1:rule/r"}},
            {"aws__sourcearn": "arn:aws:events:e:1:rule/s"},
            False,
        ),
        (
            {"ArnNotEquals": {"aws:SourceArn": "arn:aws:events:e:1:rule/r"}},
            {"aws__sourcearn": "arn:aws:events:e:1:rule/s"},
            True,
        ),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws__securetransport": "true"}, False),
        ({"Bool": {"aws:SecureTransport": False}}, {"aws__securetransport": "false"}, True),
        ({"NumericLessThan": {"s3:TlsVersion": 1.2}}, {"s3__tlsversion": "1.3"}, False),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {"s3__tlsversion": "1.1"}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": 10}}, {"s3__max-keys": "10"}, True),
        ({"NumericGreaterThan": {"s3:max-keys": 10}}, {"s3__max-keys": "10"}, False),
        ({"NumericGreaterThanEquals": {"s3:max-keys": 10}}, {"s3__max-keys": "10"}, True),
        ({"NumericNotEquals": {"s3:max-keys": 10}}, {"s3__max-keys": "9"}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws__sourceip": "10.1.2.3"}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws__sourceip": "10.1.2.3"}, False),
        ({"Null": {"s3:prefix": "true"}}, {}, True),
        ({"Null": {"s3:prefix": "true"}}, {"s3__prefix": ""}, False),
        ({"Null": {"s3:prefix": "false"}}, {"s3__prefix": ""}, True),
        ({"ForAllValues:StringEquals": {"s3:prefix": ["a", "b"]}}, {"s3__prefix": ("a", "b")}, True),
        ({"ForAllValues:StringEquals": {"s3:prefix": ["a", "b"]}}, {"s3__prefix": ("a", "c")}, False),
        ({"ForAllValues:StringEquals": {"s3:prefix": ["a"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"s3:prefix": ["a", "b"]}}, {"s3__prefix": ("a", "c")}, True),
        ({"ForAnyValue:StringEquals": {"s3:prefix": ["a"]}}, {}, False),
        # Several operators, and several keys of one, must all hold.
        ({"StringEquals": {"s3:prefix": "a", "s3:delimiter": "/"}}, {"s3__prefix": "a"}, False),
        ({"StringEquals": {"s3:prefix": "a"}, "Null": {"s3:delimiter": "true"}}, {"s3__prefix": "a"}, True),
    ],
)
def test_conditions_hold_as_documented(condition: dict[str, Any], context: dict[str, Any], holds: bool) -> None:
    assert decided(allow(Condition=condition), **context).is_allowed is holds


@pytest.mark.parametrize(
    ("principal", "caller", "is_allowed"),
    [
        ("*", ROLE, True),
        ({"AWS": "*"}, ROLE, True),
        ({"AWS": "*"}, EVENTS, True),
        ({"AWS": ROLE.arn}, ROLE, True),
        ({"AWS": [ROLE.session_arn]}, ROLE, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}, ROLE, False),
        # An account that is allowed leaves it to the policies of its own roles.
        ({"AWS": ACCOUNT}, ROLE, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, ROLE, False),
        ({"Service": "events.amazonaws.com"}, EVENTS, True),
        ({"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}, EVENTS, True),
        ({"Service": "sns.amazonaws.com"}, EVENTS, False),
        ({"Service": "events.amazonaws.com"}, ROLE, False),
    ],
)
def test_the_policy_of_a_resource_lets_in_whom_it_names(principal: object, caller: Caller, is_allowed: bool) -> None:
    assert decided(of_resource=(allow(Principal=principal),), caller=caller).is_allowed is is_allowed


def test_a_denied_account_is_everybody_in_it() -> None:
    assert not decided(allow(), of_resource=(deny(Principal={"AWS": ACCOUNT}),)).is_allowed


@pytest.mark.parametrize(
    "statement",
    [
        allow(Condition={"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}),
        allow(Condition={"StringEquals": {"s3:prefix": "${aws:username}"}}),
        allow(Resource="arn:aws:s3:::data/${aws:username}/*"),
        {**allow(), "NotPrincipal": "*"},
    ],
)
def test_what_is_not_evaluated_here_is_an_error_that_names_the_policy(statement: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedPolicyError, match=r"policy mine: .* not evaluated here"):
        policy(statement, name="mine")


def test_a_grant_can_be_taken_out() -> None:
    document = json.dumps(
        {"Statement": [allow(Action=["s3:GetObject", "s3:PutObject"]), allow(Action="s3:ListBucket")]}
    )
    assert json.loads(without(document, 0, "s3:GetObject"))["Statement"][0]["Action"] == ["s3:PutObject"]
    assert len(json.loads(without(document, 1, "s3:ListBucket"))["Statement"]) == 1
    with pytest.raises(ValueError, match="not in list"):
        without(document, 1, "s3:GetObject")
