"""What decisions rest on, as it is at this moment in moto's backends: policies, and whether objects have tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from moto.awslambda.models import lambda_backends
from moto.iam.access_control import PermissionResult
from moto.iam.models import iam_backends
from moto.s3.models import FakeBucket, s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.utilities.arns import parse_arn

from local_aws.iam.policies import Policy
from local_aws.patching import MotoObject, replace

Documents = Iterator[tuple[str, str]]
"""Name and JSON text of policies."""

TRUST: Final = "trust"
"""What the policy that says who may assume a role is called, after the role."""


class UnknownRoleError(Exception):
    """There is no such role."""


def ignore_bucket_policies_in_moto() -> None:
    """End moto's own look at bucket policies, which reads no conditions: a Deny of plain HTTP would deny everything.

    It came with https://github.com/getmoto/moto/issues/5820.
    """
    if FakeBucket.get_permission is not _no_opinion:
        replace(FakeBucket, "get_permission", _no_opinion)


def _no_opinion(self: FakeBucket, action: str, resource: str) -> PermissionResult:
    """Replace `FakeBucket.get_permission`."""
    del self, action, resource
    return PermissionResult.NEUTRAL


def documents_of_role(arn: str) -> Documents:
    """Yield what a role may do: its inline policies and the managed ones of this account.

    The managed policies of AWS itself are not loaded: what only they allow is denied.

    Raises:
        UnknownRoleError: There is no such role.
    """
    role = _role(arn)
    for name, document in tuple(role.policies.items()):
        yield f"{role.name}/{name}", document
    for policy in tuple(role.managed_policies.values()):
        yield f"{role.name}/{policy.name}", policy.document


def trust_of_role(arn: str) -> tuple[str, str]:
    """Return name and JSON text of the policy that says who may assume a role.

    Raises:
        UnknownRoleError: There is no such role.
    """
    role = _role(arn)
    return f"{role.name}/{TRUST}", role.assume_role_policy_document


def documents_of_resource(arn: str) -> Documents:
    """Yield the policy of the bucket, queue, topic or function that an ARN is or is part of."""
    read = _READERS.get(arn.split(":")[2]) if arn.startswith("arn:") else None
    if read and (document := read(arn)):
        yield arn.partition("/")[0], document


def policies_of_role(arn: str) -> list[Policy]:
    """Return the policies that `documents_of_role` yields."""
    return [Policy.read(name, document) for name, document in documents_of_role(arn)]


def policies_of_resource(arn: str) -> list[Policy]:
    """Return the policies that `documents_of_resource` yields."""
    return [Policy.read(name, document) for name, document in documents_of_resource(arn)]


def has_tags(bucket: str, key: str, version: str | None) -> bool:
    """Whether an object, or a version of it, is there and has tags."""
    backend = _backend_of(bucket)
    found = backend.get_object(bucket, key, version) if backend else None
    return bool(backend and found and backend.tagger.get_tag_dict_for_resource(found.arn))


def kms_key_of(bucket: str, key: str, version: str | None) -> str | None:
    """The ARN of the customer managed KMS key that an object, or a version of it, is encrypted with."""
    backend = _backend_of(bucket)
    found = backend.get_object(bucket, key, version) if backend else None
    key_arn: str | None = getattr(found, "kms_key_id", None)
    return key_arn


def _backend_of(bucket: str) -> MotoObject:
    """The S3 of the account that has a bucket; None where nobody has it."""
    owner = s3_backends.bucket_accounts.get(bucket)
    return s3_backends[owner[1]][owner[0]] if owner else None


def all_documents(account: str, region: str) -> Documents:
    """Yield every policy of an account and region: of roles, their trust, and of resources."""
    for role in tuple(iam_backends[account]["aws"].roles.values()):
        yield trust_of_role(role.arn)
        yield from documents_of_role(role.arn)
    for arn in _resources_with_policies(account, region):
        yield from documents_of_resource(arn)


def _resources_with_policies(account: str, region: str) -> Iterator[str]:
    for bucket in tuple(s3_backends[account]["aws"].buckets.values()):
        yield bucket.arn
    for queue in tuple(sqs_backends[account][region].queues.values()):
        yield queue.queue_arn
    yield from tuple(sns_backends[account][region].topics)
    for function in lambda_backends[account][region].list_functions():
        yield function.function_arn


def _role(arn: str) -> MotoObject:
    parts = parse_arn(arn)
    for role in tuple(iam_backends[parts.account]["aws"].roles.values()):
        if role.arn == arn:
            return role
    raise UnknownRoleError(f"There is no role {arn}.")


def _bucket_policy(arn: str) -> str | None:
    name = arn.rpartition(":")[2].partition("/")[0]
    backend = _backend_of(name)
    bucket = backend.buckets.get(name) if backend else None
    return bucket.policy.decode() if bucket and bucket.policy else None


def _queue_policy(arn: str) -> str | None:
    parts = parse_arn(arn)
    queue: MotoObject = sqs_backends[parts.account][parts.region].queues.get(parts.resource_id)
    return queue.policy if queue else None


def _topic_policy(arn: str) -> str | None:
    parts = parse_arn(arn)
    topic: MotoObject = sns_backends[parts.account][parts.region].topics.get(arn)
    return topic.policy if topic else None


def _function_policy(arn: str) -> str | None:
    parts = parse_arn(arn)
    backend = lambda_backends[parts.account][parts.region]
    for function in backend.list_functions():
        if function.function_arn == arn and function.policy.statements:
            return json.dumps({"Statement": function.policy.statements})
    return None


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "lambda": _function_policy,
    "s3": _bucket_policy,
    "sns": _topic_policy,
    "sqs": _queue_policy,
}
"""Service to what reads the policy of a resource; of other services, resources have no policies here."""
