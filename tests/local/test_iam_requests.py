"""What IAM asks of whom for each call that the code and the state machines of this repository make."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config

from local_aws.iam.authorizations import UnknownAuthorizationError, requests_of
from local_aws.iam.calls import Call, UnknownOperationError, call_of
from local_aws.iam.signatures import Signature, SignedRequest

ACCOUNT = "123456789012"
BUCKET = "arn:aws:s3:::data"
TABLE = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/kpis"
LEDGER = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/ledger"
MACHINE = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:pipeline"
EXECUTION = f"arn:aws:states:us-east-1:{ACCOUNT}:execution:pipeline:one"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:uploads"
QUEUE_URL = f"http://127.0.0.1:1/{ACCOUNT}/uploads"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:alerts"
JOB = f"arn:aws:glue:us-east-1:{ACCOUNT}:job/compute"
KEY = {"pk": {"S": "1"}}

Environ = dict[str, Any]


class KeptRequestError(Exception):
    """Stops boto3 before it sends a request."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def environ_of(call: Callable[[Any], object], service: str) -> Environ:
    """The WSGI environment of the request that boto3 makes; it is not sent."""

    def keep(request: AWSPreparedRequest, **_: object) -> None:
        raise KeptRequestError(request)

    client = boto3.session.Session("ASIAKEY", "secret", region_name="us-east-1").client(
        service,  # type: ignore[call-overload]
        endpoint_url="http://127.0.0.1:1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-send", keep)
    with pytest.raises(KeptRequestError) as kept:
        call(client)
    request: Any = kept.value.request
    url = urlsplit(request.url)
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
    headers = {f"HTTP_{name.upper().replace('-', '_')}": _text(value) for name, value in request.headers.items()}
    return {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": url.path,
        "RAW_URI": url.path + (f"?{url.query}" if url.query else ""),
        "QUERY_STRING": url.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_TYPE": headers.get("HTTP_CONTENT_TYPE", ""),
        "CONTENT_LENGTH": str(len(body)),
        **headers,
    }


def signature_of(environ: Environ) -> Signature:
    return Signature.of(SignedRequest.of(environ))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def call_by(service: str, call: Callable[[Any], object]) -> Call:
    environ = environ_of(call, service)
    signature = signature_of(environ)
    assert signature.access_key == "ASIAKEY"
    return call_of(environ, signature)


@dataclass(frozen=True)
class Objects:
    """Every object is alike."""

    is_tagged: bool
    kms_key: str | None

    def has_tags(self, bucket: str, key: str, version: str | None, /) -> bool:
        return self.is_tagged

    def kms_key_of(self, bucket: str, key: str, version: str | None, /) -> str | None:
        return self.kms_key


def asked(
    service: str, call: Callable[[Any], object], *, is_tagged: bool = False, kms_key: str | None = None
) -> list[tuple[str, str, dict[str, str]]]:
    requests = requests_of(call_by(service, call), ACCOUNT, objects=Objects(is_tagged, kms_key))
    return [(one.action, one.resource, {key: values[0] for key, values in one.context.items()}) for one in requests]


@pytest.mark.parametrize(
    ("service", "call", "expected"),
    [
        ("s3", lambda s3: s3.get_object(Bucket="data", Key="a b/ü.csv"), [("s3:GetObject", f"{BUCKET}/a b/ü.csv", {})]),
        (
            "s3",
            lambda s3: s3.get_object(Bucket="data", Key="a", VersionId="v1"),
            [("s3:GetObjectVersion", f"{BUCKET}/a", {"s3:versionid": "v1"})],
        ),
        ("s3", lambda s3: s3.head_object(Bucket="data", Key="a"), [("s3:GetObject", f"{BUCKET}/a", {})]),
        (
            "s3",
            lambda s3: s3.head_object(Bucket="data", Key="a", VersionId="v1"),
            [("s3:GetObjectVersion", f"{BUCKET}/a", {"s3:versionid": "v1"})],
        ),
        ("s3", lambda s3: s3.put_object(Bucket="data", Key="a", Body=b"1"), [("s3:PutObject", f"{BUCKET}/a", {})]),
        (
            "s3",
            lambda s3: s3.put_object(Bucket="data", Key="a", Body=b"1", Tagging="k=v"),
            [("s3:PutObject", f"{BUCKET}/a", {}), ("s3:PutObjectTagging", f"{BUCKET}/a", {})],
        ),
        ("s3", lambda s3: s3.delete_object(Bucket="data", Key="a"), [("s3:DeleteObject", f"{BUCKET}/a", {})]),
        (
            "s3",
            lambda s3: s3.delete_object(Bucket="data", Key="a", VersionId="v1"),
            [("s3:DeleteObjectVersion", f"{BUCKET}/a", {"s3:versionid": "v1"})],
        ),
        (
            "s3",
            lambda s3: s3.delete_objects(
                Bucket="data", Delete={"Objects": [{"Key": "a"}, {"Key": "b", "VersionId": "v"}]}
            ),
            [
                ("s3:DeleteObject", f"{BUCKET}/a", {}),
                ("s3:DeleteObjectVersion", f"{BUCKET}/b", {"s3:versionid": "v"}),
            ],
        ),
        (
            "s3",
            lambda s3: s3.list_objects_v2(Bucket="data", Prefix="raw/", MaxKeys=1),
            [("s3:ListBucket", BUCKET, {"s3:prefix": "raw/", "s3:max-keys": "1"})],
        ),
        ("s3", lambda s3: s3.list_objects_v2(Bucket="data"), [("s3:ListBucket", BUCKET, {})]),
        ("s3", lambda s3: s3.head_bucket(Bucket="data"), [("s3:ListBucket", BUCKET, {})]),
        (
            "s3",
            lambda s3: s3.list_object_versions(Bucket="data", Prefix="raw/a", Delimiter="/"),
            [("s3:ListBucketVersions", BUCKET, {"s3:prefix": "raw/a", "s3:delimiter": "/"})],
        ),
        # The prefix of this listing is no condition key.
        (
            "s3",
            lambda s3: s3.list_multipart_uploads(Bucket="data", Prefix="raw/"),
            [("s3:ListBucketMultipartUploads", BUCKET, {})],
        ),
        (
            "s3",
            lambda s3: s3.copy_object(
                Bucket="data", Key="b", CopySource={"Bucket": "data", "Key": "a ü", "VersionId": "v"}
            ),
            [("s3:GetObjectVersion", f"{BUCKET}/a ü", {"s3:versionid": "v"}), ("s3:PutObject", f"{BUCKET}/b", {})],
        ),
        (
            "s3",
            lambda s3: s3.copy_object(Bucket="data", Key="b", CopySource={"Bucket": "data", "Key": "a"}),
            [("s3:GetObject", f"{BUCKET}/a", {}), ("s3:PutObject", f"{BUCKET}/b", {})],
        ),
        (
            "s3",
            lambda s3: s3.create_multipart_upload(Bucket="data", Key="a"),
            [("s3:PutObject", f"{BUCKET}/a", {})],
        ),
        (
            "s3",
            lambda s3: s3.upload_part(Bucket="data", Key="a", PartNumber=1, UploadId="u", Body=b"1"),
            [("s3:PutObject", f"{BUCKET}/a", {})],
        ),
        (
            "s3",
            lambda s3: s3.upload_part_copy(
                Bucket="data",
                Key="b",
                PartNumber=1,
                UploadId="u",
                CopySource={"Bucket": "data", "Key": "a", "VersionId": "v"},
            ),
            [("s3:GetObjectVersion", f"{BUCKET}/a", {"s3:versionid": "v"}), ("s3:PutObject", f"{BUCKET}/b", {})],
        ),
        (
            "s3",
            lambda s3: s3.complete_multipart_upload(
                Bucket="data", Key="a", UploadId="u", MultipartUpload={"Parts": [{"ETag": "e", "PartNumber": 1}]}
            ),
            [("s3:PutObject", f"{BUCKET}/a", {})],
        ),
        (
            "s3",
            lambda s3: s3.abort_multipart_upload(Bucket="data", Key="a", UploadId="u"),
            [("s3:AbortMultipartUpload", f"{BUCKET}/a", {})],
        ),
        (
            "dynamodb",
            lambda dynamodb: dynamodb.get_item(TableName="kpis", Key=KEY),
            [("dynamodb:GetItem", TABLE, {})],
        ),
        (
            "dynamodb",
            lambda dynamodb: dynamodb.update_item(TableName="kpis", Key=KEY),
            [("dynamodb:UpdateItem", TABLE, {})],
        ),
        (
            "dynamodb",
            lambda dynamodb: dynamodb.query(TableName="kpis", KeyConditionExpression="pk = :d"),
            [("dynamodb:Query", TABLE, {})],
        ),
        (
            "dynamodb",
            lambda dynamodb: dynamodb.query(TableName="kpis", IndexName="by_genre", KeyConditionExpression="pk = :d"),
            [("dynamodb:Query", f"{TABLE}/index/by_genre", {})],
        ),
        (
            "dynamodb",
            lambda dynamodb: dynamodb.batch_get_item(RequestItems={"kpis": {"Keys": [KEY]}}),
            [("dynamodb:BatchGetItem", TABLE, {})],
        ),
        (
            "dynamodb",
            lambda dynamodb: dynamodb.transact_write_items(
                TransactItems=[
                    {"ConditionCheck": {"TableName": "ledger", "Key": KEY, "ConditionExpression": "claim = :c"}},
                    {"Put": {"TableName": "kpis", "Item": KEY}},
                    {"Delete": {"TableName": "kpis", "Key": KEY}},
                    {"Update": {"TableName": "kpis", "Key": KEY, "UpdateExpression": "SET a = :a"}},
                ]
            ),
            [
                ("dynamodb:ConditionCheckItem", LEDGER, {}),
                ("dynamodb:PutItem", TABLE, {}),
                ("dynamodb:DeleteItem", TABLE, {}),
                ("dynamodb:UpdateItem", TABLE, {}),
            ],
        ),
        ("glue", lambda glue: glue.start_job_run(JobName="compute"), [("glue:StartJobRun", JOB, {})]),
        ("glue", lambda glue: glue.get_job_run(JobName="compute", RunId="r"), [("glue:GetJobRun", JOB, {})]),
        (
            "glue",
            lambda glue: glue.batch_stop_job_run(JobName="compute", JobRunIds=["r"]),
            [("glue:BatchStopJobRun", JOB, {})],
        ),
        (
            "stepfunctions",
            lambda states: states.start_execution(stateMachineArn=MACHINE),
            [("states:StartExecution", MACHINE, {})],
        ),
        (
            "stepfunctions",
            lambda states: states.describe_execution(executionArn=EXECUTION),
            [("states:DescribeExecution", EXECUTION, {})],
        ),
        (
            "stepfunctions",
            lambda states: states.get_execution_history(executionArn=EXECUTION),
            [("states:GetExecutionHistory", EXECUTION, {})],
        ),
        (
            "stepfunctions",
            lambda states: states.list_executions(stateMachineArn=MACHINE),
            [("states:ListExecutions", MACHINE, {})],
        ),
        ("sns", lambda sns: sns.publish(TopicArn=TOPIC, Message="m"), [("sns:Publish", TOPIC, {})]),
        ("sqs", lambda sqs: sqs.receive_message(QueueUrl=QUEUE_URL), [("sqs:ReceiveMessage", QUEUE, {})]),
        (
            "sqs",
            lambda sqs: sqs.delete_message_batch(QueueUrl=QUEUE_URL, Entries=[{"Id": "1", "ReceiptHandle": "r"}]),
            [("sqs:DeleteMessage", QUEUE, {})],
        ),
        ("sqs", lambda sqs: sqs.get_queue_attributes(QueueUrl=QUEUE_URL), [("sqs:GetQueueAttributes", QUEUE, {})]),
        (
            "cloudwatch",
            lambda cloudwatch: cloudwatch.put_metric_data(Namespace="MusicKpi", MetricData=[]),
            [("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "MusicKpi"})],
        ),
        (
            "cloudwatch",
            lambda metrics: metrics.put_metric_data(
                Namespace="MusicKpi",
                MetricData=[{"MetricName": f"Rows of {number}", "Value": 1} for number in range(500)],
            ),
            [("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "MusicKpi"})],
        ),
        (
            "lambda",
            lambda functions: functions.invoke(FunctionName="api"),
            [("lambda:InvokeFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:api", {})],
        ),
    ],
)
def test_a_call_asks_for_actions_on_resources(
    service: str, call: Callable[[Any], object], expected: list[tuple[str, str, dict[str, str]]]
) -> None:
    assert asked(service, call) == expected


@pytest.mark.parametrize("version", [{}, {"VersionId": "v"}])
def test_a_copy_takes_tags_along_where_there_are_any(version: dict[str, str]) -> None:
    def copy(s3: Any) -> None:  # noqa: ANN401
        s3.copy_object(Bucket="data", Key="b", CopySource={"Bucket": "data", "Key": "a", **version})

    def copy_without_tags(s3: Any) -> None:  # noqa: ANN401
        s3.copy_object(Bucket="data", Key="b", CopySource={"Bucket": "data", "Key": "a"}, TaggingDirective="REPLACE")

    actions = [action for action, _, _ in asked("s3", copy, is_tagged=True)]
    assert actions[2:] == [
        "s3:GetObjectVersionTagging" if version else "s3:GetObjectTagging",
        "s3:PutObjectTagging",
    ]
    assert len(asked("s3", copy_without_tags, is_tagged=True)) == 2


def test_the_body_of_a_request_can_be_read_again() -> None:
    environ = environ_of(lambda dynamodb: dynamodb.get_item(TableName="kpis", Key=KEY), "dynamodb")
    signature = signature_of(environ)
    call_of(environ, signature)
    assert b'"kpis"' in environ["wsgi.input"].read()


def test_an_operation_that_is_not_known_here_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownAuthorizationError, match="glue:DeleteJob"):
        asked("glue", lambda glue: glue.delete_job(JobName="compute"))
    with pytest.raises(UnknownAuthorizationError, match="s3:DeleteBucket"):
        asked("s3", lambda s3: s3.delete_bucket(Bucket="data"))


def test_a_request_that_fits_no_operation_is_an_error() -> None:
    environ = environ_of(lambda glue: glue.get_job_run(JobName="a", RunId="b"), "glue")
    environ["HTTP_X_AMZ_TARGET"] = "AWSGlue.Nothing"
    signature = signature_of(environ)
    with pytest.raises(UnknownOperationError, match="is no operation of glue"):
        call_of(environ, signature)


@pytest.mark.parametrize(
    ("call", "is_asked"),
    [
        (lambda s3: s3.get_object(Bucket="data", Key="a"), True),
        (lambda s3: s3.copy_object(Bucket="data", Key="b", CopySource={"Bucket": "data", "Key": "a"}), True),
        (lambda s3: s3.head_object(Bucket="data", Key="a"), False),
        (lambda s3: s3.delete_object(Bucket="data", Key="a"), False),
    ],
)
def test_who_reads_the_bytes_of_an_object_under_a_kms_key_uses_the_key(
    call: Callable[[Any], object], is_asked: bool
) -> None:
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
    assert (("kms:Decrypt", key, {}) in asked("s3", call, kms_key=key)) is is_asked
    assert "kms:Decrypt" not in [action for action, _, _ in asked("s3", call)]
