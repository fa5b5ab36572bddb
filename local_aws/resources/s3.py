"""Buckets and their policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from local_aws.iam.policy_store import ignore_bucket_policies_in_moto
from local_aws.resources.base import Created, Creator, Properties, Target, json_text

_LIFECYCLE_NAMES: Final = {
    "Id": "ID",
    "Status": "Status",
    "Prefix": "Prefix",
    "AbortIncompleteMultipartUpload": "AbortIncompleteMultipartUpload",
    "NoncurrentVersionExpiration": "NoncurrentVersionExpiration",
}


def create_bucket(target: Target, properties: Properties) -> Created:
    """Create a bucket with versioning, encryption and EventBridge notification."""
    name = properties.optional("BucketName") or properties.generated_name(max_length=63).lower()
    s3 = target.client("s3")
    s3.create_bucket(Bucket=name, **_location(target.region))
    if versioning := properties.optional("VersioningConfiguration"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
    if encryption := properties.optional("BucketEncryption"):
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=_encryption(encryption))
    if notification := properties.optional("NotificationConfiguration"):
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration=_notification(notification, properties)
        )
    lifecycle = properties.optional("LifecycleConfiguration", {})
    if rules := lifecycle.get("Rules"):
        # Answered and not applied: nothing grows old within a session.
        s3.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": [_lifecycle_rule(rule, properties) for rule in rules]}
        )
    if tags := properties.tags():
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    properties.ignore("IntelligentTieringConfigurations", reason="nothing grows old within a session")
    properties.ignore(
        "PublicAccessBlockConfiguration",
        "OwnershipControls",
        "AccessControl",
        reason="who signs no request is let in nowhere, and there is one owner",
    )
    properties.ignore("LoggingConfiguration", "MetricsConfigurations", reason="every request is in logs/requests.log")
    return Created(
        ref=name,
        attributes={
            "Arn": f"arn:{target.partition}:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{target.region}.amazonaws.com",
            "DualStackDomainName": f"{name}.s3.dualstack.{target.region}.amazonaws.com",
            "WebsiteURL": f"http://{name}.s3-website-{target.region}.amazonaws.com",
        },
    )


def create_bucket_policy(target: Target, properties: Properties) -> Created:
    """Put the policy of a bucket; `local_aws.iam` reads it, and not moto."""
    ignore_bucket_policies_in_moto()
    bucket = properties.required("Bucket")
    policy = json_text(properties.required("PolicyDocument"))
    target.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    return Created(ref=bucket)


def _location(region: str) -> dict[str, Any]:
    if region == "us-east-1":  # the API refuses this region as a constraint
        return {}
    return {"CreateBucketConfiguration": {"LocationConstraint": region}}


def _encryption(encryption: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Rules": [
            {
                ("ApplyServerSideEncryptionByDefault" if key == "ServerSideEncryptionByDefault" else key): value
                for key, value in rule.items()
            }
            for rule in encryption["ServerSideEncryptionConfiguration"]
        ]
    }


def _lifecycle_rule(rule: Mapping[str, Any], properties: Properties) -> Any:  # noqa: ANN401 - a request of boto3
    """A rule as the API spells it."""
    if unknown := set(rule) - {"ExpirationInDays", "ExpiredObjectDeleteMarker", *_LIFECYCLE_NAMES}:
        raise properties.unsupported("LifecycleConfiguration", reason=f"{sorted(unknown)} are not translated")
    expiration = {
        api: rule[name]
        for name, api in (("ExpirationInDays", "Days"), ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"))
        if name in rule
    }
    return {
        **{api: rule[name] for name, api in _LIFECYCLE_NAMES.items() if name in rule and name != "Prefix"},
        "Filter": {"Prefix": rule.get("Prefix", "")},
        **({"Expiration": expiration} if expiration else {}),
    }


def _notification(notification: Mapping[str, Any], properties: Properties) -> dict[str, Any]:
    if set(notification) - {"EventBridgeConfiguration"}:
        raise properties.unsupported("NotificationConfiguration", reason="only EventBridgeConfiguration is delivered")
    event_bridge = notification.get("EventBridgeConfiguration", {})
    return {"EventBridgeConfiguration": {}} if event_bridge.get("EventBridgeEnabled", True) else {}


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::S3::Bucket": create_bucket,
    "AWS::S3::BucketPolicy": create_bucket_policy,
}
