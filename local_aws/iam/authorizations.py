"""What IAM asks of whom for each call: actions, resources and condition keys.

From the service authorization reference (https://docs.aws.amazon.com/service-authorization/latest/reference/) and, for
S3, https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html. An operation that is not
known here is refused: whoever lets a role call one adds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote

from local_aws.iam.calls import Call
from local_aws.iam.policies import Request

PARTITION: Final = "aws"

KNOWN_KEYS: Final = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:requestedregion",
        "aws:securetransport",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceip",
        "cloudwatch:namespace",
        "s3:delimiter",
        "s3:max-keys",
        "s3:prefix",
        "s3:tlsversion",
        "s3:versionid",
    }
)
"""The condition keys that requests are given here; a policy with another one is refused when it is deployed."""


class UnknownAuthorizationError(Exception):
    """It is not known here what IAM asks for a call."""


@dataclass(frozen=True)
class Account:
    """Where a call is made.

    Attributes:
        id: Account id.
        region: Region.
    """

    id: str
    region: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of a region."""
        return f"arn:{PARTITION}:{service}:{self.region}:{self.id}:{resource}"


class Objects(Protocol):
    """What IAM asks for depends on the object, given by bucket, key and version id."""

    def has_tags(self, bucket: str, key: str, version: str | None, /) -> bool:
        """Whether it has tags: a copy of it takes them along."""
        ...

    def kms_key_of(self, bucket: str, key: str, version: str | None, /) -> str | None:
        """The ARN of the customer managed KMS key that it is encrypted with; None without one."""
        ...


def requests_of(call: Call, account: str, *, objects: Objects) -> list[Request]:
    """Return everything that must be allowed for a call.

    Args:
        call: The call.
        account: The account in which it is made.
        objects: The objects of S3.

    Raises:
        UnknownAuthorizationError: It is not known what IAM asks for it.
    """
    if call.service == "s3":
        return [*_s3(call, objects)]
    actions = _ACTIONS.get(call.service, {}).get(call.operation)
    if actions is None:
        raise UnknownAuthorizationError(
            f"local_aws/iam/authorizations.py does not tell what IAM asks for {call.service}:{call.operation}"
        )
    return [*actions(call, Account(account, call.region))]


# S3


def _s3(call: Call, objects: Objects) -> Iterator[Request]:
    parameters = call.parameters
    if call.operation in _S3_COPIES:
        yield from _s3_copy(call, objects)
    elif call.operation == "DeleteObjects":
        for entry in parameters["Delete"]["Objects"]:
            action = "s3:DeleteObjectVersion" if entry.get("VersionId") else "s3:DeleteObject"
            yield _on_object(action, parameters["Bucket"], entry["Key"], entry.get("VersionId"))
    elif call.operation in _S3_OBJECTS:
        version = parameters.get("VersionId")
        action = _S3_OBJECTS[call.operation][1 if version else 0]
        yield _on_object(action, parameters["Bucket"], parameters["Key"], version)
        yield from _s3_put_extras(call)
        if call.operation == "GetObject":
            yield from _decrypt(objects.kms_key_of(parameters["Bucket"], parameters["Key"], version))
    elif call.operation in _S3_LISTINGS:
        yield _on_bucket(_S3_LISTINGS[call.operation], parameters)
    else:
        raise UnknownAuthorizationError(
            f"local_aws/iam/authorizations.py does not tell what IAM asks for s3:{call.operation}"
        )


_S3_OBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "GetObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "HeadObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "GetObjectTagging": ("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
    "PutObject": ("s3:PutObject", "s3:PutObject"),
    "PutObjectTagging": ("s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
    "DeleteObject": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "CreateMultipartUpload": ("s3:PutObject", "s3:PutObject"),
    "UploadPart": ("s3:PutObject", "s3:PutObject"),
    "CompleteMultipartUpload": ("s3:PutObject", "s3:PutObject"),
    "AbortMultipartUpload": ("s3:AbortMultipartUpload", "s3:AbortMultipartUpload"),
    "ListParts": ("s3:ListMultipartUploadParts", "s3:ListMultipartUploadParts"),
}
"""Operation to the action on the current version, and on a given one."""

_S3_COPIES: Final = frozenset({"CopyObject", "UploadPartCopy"})

_S3_LISTINGS: Final[Mapping[str, str]] = {
    "HeadBucket": "s3:ListBucket",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}

_WITH_PREFIX: Final = frozenset({"s3:ListBucket", "s3:ListBucketVersions"})
"""The actions that have `s3:prefix`, `s3:delimiter` and `s3:max-keys`: ListBucketMultipartUploads has none of them."""


def list_bucket(bucket: str) -> Request:
    """What is asked of who looks for a missing object: without it S3 answers 403 in place of 404.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    return _on_bucket("s3:ListBucket", {"Bucket": bucket})


def list_uploads(bucket: str) -> Request:
    """A listing of the multipart uploads of a bucket that are not completed."""
    return _on_bucket("s3:ListBucketMultipartUploads", {"Bucket": bucket})


def object_request(action: str, bucket: str, key: str) -> Request:
    """An action on an object of a bucket."""
    return _on_object(action, bucket, key, None)


def prefix_request(bucket: str, prefix: str) -> Request:
    """A listing of the objects under a prefix."""
    return _on_bucket("s3:ListBucket", {"Bucket": bucket, "Prefix": prefix})


def _on_object(action: str, bucket: str, key: str, version: str | None) -> Request:
    context = _context(**({"s3:versionid": version} if version else {}))
    return Request(action, f"arn:{PARTITION}:s3:::{bucket}/{key}", context)


def _on_bucket(action: str, parameters: Mapping[str, Any]) -> Request:
    given = {"s3:prefix": "Prefix", "s3:delimiter": "Delimiter", "s3:max-keys": "MaxKeys"}
    keys = {key: parameters[name] for key, name in given.items() if name in parameters and action in _WITH_PREFIX}
    return Request(action, f"arn:{PARTITION}:s3:::{parameters['Bucket']}", _context(**keys))


def _s3_put_extras(call: Call) -> Iterator[Request]:
    if call.parameters.get("Tagging"):
        yield _on_object("s3:PutObjectTagging", call.parameters["Bucket"], call.parameters["Key"], None)


def _decrypt(kms_key: str | None) -> Iterator[Request]:
    """Who reads the bytes of an object, and not only its head, uses the KMS key that it is encrypted with.

    The key of AWS for S3 lets everybody in who may read the object; a customer managed one asks IAM.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    """
    if kms_key:
        yield Request("kms:Decrypt", kms_key, _context())


def _s3_copy(call: Call, objects: Objects) -> Iterator[Request]:
    """The source is read and the target written; tags are copied, too, unless others are given.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    parameters = call.parameters
    source, _, version = parameters["CopySource"].partition("?versionId=")
    bucket, _, key = unquote(source).removeprefix("/").partition("/")
    version = unquote(version)
    yield _on_object("s3:GetObjectVersion" if version else "s3:GetObject", bucket, key, version or None)
    yield from _decrypt(objects.kms_key_of(bucket, key, version or None))
    yield _on_object("s3:PutObject", parameters["Bucket"], parameters["Key"], None)
    if call.operation == "CopyObject" and _copies_tags(parameters) and objects.has_tags(bucket, key, version or None):
        action = "s3:GetObjectVersionTagging" if version else "s3:GetObjectTagging"
        yield _on_object(action, bucket, key, version or None)
        yield _on_object("s3:PutObjectTagging", parameters["Bucket"], parameters["Key"], None)


def _copies_tags(parameters: Mapping[str, Any]) -> bool:
    return bool(parameters.get("TaggingDirective", "COPY") == "COPY")


# Other services: one action or several on ARNs that the parameters name

_Actions = Callable[[Call, Account], Iterator[Request]]


def _one(action: str, resource: Callable[[Mapping[str, Any], Account], str], **keys: str) -> _Actions:
    """An action on one resource; `keys` are condition keys, `service__key`, by the parameter that is their value."""

    def requests(call: Call, account: Account) -> Iterator[Request]:
        names = {key.replace("__", ":"): parameter for key, parameter in keys.items()}
        context = {key: call.parameters[name] for key, name in names.items() if name in call.parameters}
        yield Request(action, resource(call.parameters, account), _context(**context))

    return requests


def _anything(parameters: Mapping[str, Any], account: Account) -> str:
    del parameters, account
    return "*"


def _given(name: str) -> Callable[[Mapping[str, Any], Account], str]:
    def arn(parameters: Mapping[str, Any], account: Account) -> str:
        del account
        return str(parameters[name])

    return arn


def _named(service: str, kind: str, name: str) -> Callable[[Mapping[str, Any], Account], str]:
    """A resource that a parameter calls by its name or its ARN."""

    def arn(parameters: Mapping[str, Any], account: Account) -> str:
        value = str(parameters[name])
        return value if value.startswith("arn:") else account.arn(service, f"{kind}{value}")

    return arn


def _queue(parameters: Mapping[str, Any], account: Account) -> str:
    name = parameters.get("QueueName") or parameters["QueueUrl"].rpartition("/")[2]
    return account.arn("sqs", name)


def _table(name: str, account: Account, index: str | None = None) -> str:
    arn = name if name.startswith("arn:") else account.arn("dynamodb", f"table/{name}")
    return f"{arn}/index/{index}" if index else arn


def _on_table(parameters: Mapping[str, Any], account: Account) -> str:
    return _table(parameters["TableName"], account, parameters.get("IndexName"))


def _transaction(call: Call, account: Account) -> Iterator[Request]:
    """A transaction needs the actions that it is made of.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    """
    actions = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "Get": "GetItem"}
    for item in call.parameters["TransactItems"]:
        ((kind, what),) = [(kind, what) for kind, what in item.items() if what]
        action = actions.get(kind, "ConditionCheckItem")
        yield Request(f"dynamodb:{action}", _table(what["TableName"], account), _context())


def _batch(action: str) -> _Actions:
    def requests(call: Call, account: Account) -> Iterator[Request]:
        for name in call.parameters["RequestItems"]:
            yield Request(action, _table(name, account), _context())

    return requests


def _publish(call: Call, account: Account) -> Iterator[Request]:
    arn = call.parameters.get("TopicArn") or call.parameters.get("TargetArn")
    yield Request("sns:Publish", arn or account.arn("sns", ""), _context())


def _context(**keys: object) -> Mapping[str, Sequence[str]]:
    return {key: (str(value),) for key, value in keys.items()}


_JOB: Final = _named("glue", "job/", "JobName")
_FUNCTION: Final = _named("lambda", "function:", "FunctionName")
_LOG_STREAM: Final[Callable[[Mapping[str, Any], Account], str]] = lambda parameters, account: account.arn(  # noqa: E731
    "logs", f"log-group:{parameters['logGroupName']}:log-stream:{parameters['logStreamName']}"
)

_ACTIONS: Final[Mapping[str, Mapping[str, _Actions]]] = {
    "dynamodb": {
        **{
            operation: _one(f"dynamodb:{operation}", _on_table)
            for operation in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "DescribeTable")
        },
        "BatchGetItem": _batch("dynamodb:BatchGetItem"),
        "BatchWriteItem": _batch("dynamodb:BatchWriteItem"),
        "TransactGetItems": _transaction,
        "TransactWriteItems": _transaction,
    },
    "glue": {
        operation: _one(f"glue:{operation}", _JOB)
        for operation in ("StartJobRun", "UpdateJob", "GetJob", "GetJobRun", "GetJobRuns", "BatchStopJobRun")
    },
    "lambda": {"Invoke": _one("lambda:InvokeFunction", _FUNCTION)},
    "logs": {
        "CreateLogGroup": _one("logs:CreateLogGroup", _named("logs", "log-group:", "logGroupName")),
        "CreateLogStream": _one("logs:CreateLogStream", _LOG_STREAM),
        "PutLogEvents": _one("logs:PutLogEvents", _LOG_STREAM),
    },
    "pipes": {
        operation: _one(f"pipes:{operation}", _named("pipes", "pipe/", "Name"))
        for operation in ("DescribePipe", "StartPipe", "StopPipe")
    },
    "monitoring": {"PutMetricData": _one("cloudwatch:PutMetricData", _anything, cloudwatch__namespace="Namespace")},
    "sns": {"Publish": _publish},
    "sqs": {
        operation: _one(f"sqs:{action}", _queue)
        for operation, action in {
            "ChangeMessageVisibility": "ChangeMessageVisibility",
            "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
            "DeleteMessage": "DeleteMessage",
            "DeleteMessageBatch": "DeleteMessage",
            "GetQueueAttributes": "GetQueueAttributes",
            "GetQueueUrl": "GetQueueUrl",
            "ReceiveMessage": "ReceiveMessage",
            "SendMessage": "SendMessage",
            "SendMessageBatch": "SendMessage",
        }.items()
    },
    # Needs no permission (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html).
    "sts": {"GetCallerIdentity": lambda _call, _account: iter(())},
    "states": {
        **{
            operation: _one(f"states:{operation}", _given("executionArn"))
            for operation in ("DescribeExecution", "GetExecutionHistory", "RedriveExecution", "StopExecution")
        },
        **{
            operation: _one(f"states:{operation}", _given("stateMachineArn"))
            for operation in ("DescribeStateMachine", "ListExecutions", "StartExecution", "StartSyncExecution")
        },
    },
}
"""Service to operation to what must be allowed.

No operation here gives a role to a service (`iam:PassRole`): jobs, machines, pipes and functions get theirs from
whoever deploys them, and `StartJobRun` and `StartExecution` use it.
"""
