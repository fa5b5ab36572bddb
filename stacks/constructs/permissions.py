"""Roles of AWS services, and what they may do: every wildcard comes with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct, IConstruct

PUT_METRICS_BECAUSE: Final = "PutMetricData takes no resource; the condition limits it to its namespaces."


def service_role(scope: Construct, construct_id: str, *, service: str, source_arn: str, description: str) -> iam.Role:
    """A role that one AWS service may assume for one of our resources only (the confused deputy problem).

    Args:
        scope: Parent construct.
        construct_id: Construct id.
        service: Principal, such as `pipes.amazonaws.com`.
        source_arn: The resource that the service works for.
        description: What the role is for.
    """
    ours = {
        "StringEquals": {"aws:SourceAccount": cdk.Stack.of(scope).account},
        "ArnEquals": {"aws:SourceArn": source_arn},
    }
    principal = iam.ServicePrincipal(service, conditions=ours)
    return iam.Role(scope, construct_id, assumed_by=principal, description=description)


def allow(
    role: iam.IRole,
    *,
    actions: Sequence[str],
    resources: Sequence[str],
    conditions: Mapping[str, Mapping[str, object]] | None = None,
    wildcard_because: str | None = None,
) -> None:
    """Let a role do something; a resource with a wildcard needs a reason, which acknowledges the finding of cdk-nag.

    Args:
        role: Who.
        actions: IAM actions, each in full.
        resources: ARNs.
        conditions: IAM conditions: operator -> key -> value or values.
        wildcard_because: Why the resources hold a `*`.
    """
    role.add_to_principal_policy(
        iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
    )
    if wildcard_because is not None:
        for resource in resources:
            text = _as_cdk_nag_writes_it(cdk.Stack.of(role).resolve(resource))
            acknowledge(role, f"AwsSolutions-IAM5[Resource::{text}]", wildcard_because)


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept a finding of cdk-nag on one construct.

    Args:
        construct: The construct that it is reported on, or one above it.
        finding: Rule, with the finding in brackets where the rule has several: cdk-nag 3 compares the whole text
            (https://github.com/cdklabs/cdk-nag#acknowledging-a-rule).
        reason: Why it is accepted.
    """
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=finding, reason=reason))


def _as_cdk_nag_writes_it(resolved: object) -> str:
    """The text of an ARN in a finding: `{"Ref": "X"}` is `<X>`, `{"Fn::GetAtt": ["X", "Arn"]}` is `<X.Arn>`."""
    match resolved:
        case str():
            return resolved
        case {"Ref": reference}:
            return f"<{reference}>"
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Fn::Join": [delimiter, [*parts]]}:
            return str(delimiter).join(map(_as_cdk_nag_writes_it, parts))
        case _:
            raise ValueError(f"A wildcard is appended to something that cdk-nag's text is not known for: {resolved}")
