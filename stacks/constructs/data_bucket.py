"""The bucket of everything: uploads, working copies, the lake, reports."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from glue_scripts import names
from stacks.constructs.permissions import acknowledge, allow
from stacks.settings import Settings

_NONCURRENT_DAYS: Final = 30
"""How long a version that was overwritten or deleted by accident can be brought back."""

_BY_PREFIX: Final = "The keys under a prefix are not known beforehand; the role gets this prefix and no other."
_REJECTION_EMAILS: Final = f"{names.PROCESSING_PREFIX}*/{names.REJECTION_EMAIL_NAME}"
_BY_EXECUTION: Final = "Each execution has its folder, named when it starts; the role gets one object of it."


class DataBucket(Construct):
    """A private, versioned bucket that tells EventBridge about every new object.

    It is never emptied by CloudFormation, not even in dev: delete its objects before `cdk destroy` (the construct that
    would do it brings a Lambda function and rights on everything).
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        self._physical_name = f"{settings.name('data')}-{stack.account}-{stack.region}"
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=self._physical_name,
            versioned=True,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=_lifecycle_rules(settings),
            removal_policy=cdk.RemovalPolicy.RETAIN if settings.retain_data else cdk.RemovalPolicy.DESTROY,
        )
        resource = self.bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        # Not event_bridge_enabled=True: that brings a Lambda function, a role and a custom resource for one property.
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        acknowledge(
            self.bucket,
            "AwsSolutions-S1",
            "Who changed an object is in the ledger and in the executions' history; access logs would be a second "
            "bucket of object keys to protect. CloudTrail data events do the same where an audit asks for it.",
        )

    def grant_read(self, role: iam.IRole, *prefixes: str) -> None:
        """Let a role read objects."""
        self._allow_objects(role, prefixes, "s3:GetObject")

    def grant_read_version(self, role: iam.IRole, *prefixes: str) -> None:
        """Let a role read exact versions of objects, which is another action than to read an object."""
        self._allow_objects(role, prefixes, "s3:GetObjectVersion")

    def grant_write(self, role: iam.IRole, *prefixes: str) -> None:
        """Let a role create and overwrite objects, in parts, too, as boto3 uploads and copies large ones."""
        self._allow_objects(role, prefixes, "s3:PutObject", "s3:AbortMultipartUpload")

    def grant_put(self, role: iam.IRole, *prefixes: str) -> None:
        """Let a role create and overwrite objects in one piece."""
        self._allow_objects(role, prefixes, "s3:PutObject")

    def grant_delete_version(self, role: iam.IRole, *prefixes: str) -> None:
        """Let a role delete exact versions of objects for good."""
        self._allow_objects(role, prefixes, "s3:DeleteObjectVersion")

    def grant_list_versions(self, role: iam.IRole, *prefixes: str) -> None:
        """Let a role list the versions of objects under prefixes."""
        allow(
            role,
            actions=["s3:ListBucketVersions"],
            resources=[self.bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
        )

    def grant_list(self, role: iam.IRole, *prefixes: str) -> None:
        """Let a role list objects under prefixes, and tell a missing object from one that it may not read.

        `IfExists`: HeadObject has no `s3:prefix`, and answers 403 and not 404 for a missing key unless ListBucket is
        allowed (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html). S3A, Hadoop's file system, asks
        for each folder as an object first, and takes a 403 for a failure. The price: a listing without a prefix tells
        the keys of all.
        """
        allow(
            role,
            actions=["s3:ListBucket"],
            resources=[self.bucket.bucket_arn],
            conditions={"StringLikeIfExists": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
        )

    def grant_read_rejection_emails(self, role: iam.IRole) -> None:
        """Let a role read the e-mails about batches' rejected files, and nothing else of them."""
        allow(
            role,
            actions=["s3:ListBucket"],
            resources=[self.bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [_REJECTION_EMAILS]}},
        )
        emails = self._arn_of(role, _REJECTION_EMAILS)
        allow(role, actions=["s3:GetObject"], resources=[emails], wildcard_because=_BY_EXECUTION)

    def _allow_objects(self, role: iam.IRole, prefixes: tuple[str, ...], *actions: str) -> None:
        resources = [self._arn_of(role, f"{prefix}*") for prefix in prefixes]
        allow(role, actions=actions, resources=resources, wildcard_because=_BY_PREFIX)

    def _arn_of(self, role: iam.IRole, keys: str) -> str:
        # By its physical name: a reference from another stack would become the name of a generated export, and cdk-nag
        # acknowledges a finding by its exact text.
        arn = cdk.Stack.of(role).format_arn(
            service="s3", region="", account="", resource=self._physical_name, arn_format=cdk.ArnFormat.NO_RESOURCE_NAME
        )
        return f"{arn}/{keys}"


def _lifecycle_rules(settings: Settings) -> list[s3.LifecycleRule]:
    """Nothing in raw/ expires, no version of it either: what is still there, nothing has worked on yet."""
    days_by_prefix = {
        names.PROCESSING_PREFIX: settings.processing_days,
        names.ARCHIVE_PREFIX: settings.archive_days,
        names.ERROR_PREFIX: settings.error_days,
        names.QUALITY_PREFIX: settings.quality_days,
        names.CURATED_PREFIX: None,
        names.REFERENCE_PREFIX: None,
    }
    by_prefix = [
        s3.LifecycleRule(
            id=f"expire-{prefix.rstrip('/')}",
            prefix=prefix,
            expiration=None if days is None else cdk.Duration.days(days),
            noncurrent_version_expiration=cdk.Duration.days(_NONCURRENT_DAYS),
        )
        for prefix, days in days_by_prefix.items()
    ]
    leftovers = s3.LifecycleRule(
        id="clean-leftovers",
        abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
        expired_object_delete_marker=True,
    )
    return [*by_prefix, leftovers]
