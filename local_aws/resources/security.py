"""IAM roles and policies, which `local_aws.iam` enforces, and KMS keys, which encrypt nothing here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from local_aws.resources.base import Created, Creator, Properties, Target, json_text


def create_role(target: Target, properties: Properties) -> Created:
    """Create a role with its inline and managed policies."""
    name = properties.optional("RoleName") or properties.generated_name(max_length=64)
    iam = target.client("iam")
    role = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json_text(properties.required("AssumeRolePolicyDocument")),
        Tags=properties.tags(),
        **properties.present("Description", "MaxSessionDuration", "Path", "PermissionsBoundary"),
    )["Role"]
    for policy in properties.optional("Policies", []):
        iam.put_role_policy(
            RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=json_text(policy["PolicyDocument"])
        )
    for arn in properties.optional("ManagedPolicyArns", []):
        # AWS's own policies are not loaded, their list takes moto seconds: what only they allow is denied.
        if not arn.startswith(f"arn:{target.partition}:iam::aws:"):
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    return Created(ref=name, attributes={"Arn": role["Arn"], "RoleId": role["RoleId"]})


def create_policy(target: Target, properties: Properties) -> Created:
    """Put an inline policy into roles, users and groups."""
    name = properties.required("PolicyName")
    document = json_text(properties.required("PolicyDocument"))
    iam = target.client("iam")
    for role in properties.optional("Roles", []):
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)
    for user in properties.optional("Users", []):
        iam.put_user_policy(UserName=user, PolicyName=name, PolicyDocument=document)
    for group in properties.optional("Groups", []):
        iam.put_group_policy(GroupName=group, PolicyName=name, PolicyDocument=document)
    return Created(ref=name)


def create_managed_policy(target: Target, properties: Properties) -> Created:
    """Create a managed policy and attach it to its roles."""
    name = properties.optional("ManagedPolicyName") or properties.generated_name(max_length=128)
    iam = target.client("iam")
    policy = iam.create_policy(
        PolicyName=name,
        PolicyDocument=json_text(properties.required("PolicyDocument")),
        **properties.present("Description", "Path"),
    )["Policy"]
    for role in properties.optional("Roles", []):
        iam.attach_role_policy(RoleName=role, PolicyArn=policy["Arn"])
    return Created(ref=policy["Arn"], attributes={"PolicyArn": policy["Arn"], "PolicyId": policy["PolicyId"]})


def create_key(target: Target, properties: Properties) -> Created:
    """Create a KMS key."""
    kms = target.client("kms")
    metadata = kms.create_key(
        Policy=json_text(properties.required("KeyPolicy")),
        Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.tags()],
        **properties.present("Description", "KeySpec", "KeyUsage", "MultiRegion", "Origin"),
    )["KeyMetadata"]
    if properties.optional("EnableKeyRotation", False):
        kms.enable_key_rotation(
            KeyId=metadata["KeyId"],
            **properties.present("RotationPeriodInDays"),
        )
    properties.ignore("PendingWindowInDays", reason="nothing is deleted within a session")
    return Created(ref=metadata["KeyId"], attributes={"Arn": metadata["Arn"], "KeyId": metadata["KeyId"]})


def create_alias(target: Target, properties: Properties) -> Created:
    """Give a KMS key its alias."""
    name = properties.required("AliasName")
    target.client("kms").create_alias(AliasName=name, TargetKeyId=properties.required("TargetKeyId"))
    return Created(ref=name)


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::IAM::ManagedPolicy": create_managed_policy,
    "AWS::IAM::Policy": create_policy,
    "AWS::IAM::Role": create_role,
    "AWS::KMS::Alias": create_alias,
    "AWS::KMS::Key": create_key,
}
