"""Objects under keys of their own, on the embedded S3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local_aws import s3_encryption
from tests.local.s3_and_glue import BUCKET, Aws, serving


def customer_key(prefix: str = "SSE", key: bytes = b"k" * 32) -> dict[str, Any]:
    digest = base64.b64encode(hashlib.md5(key).digest()).decode()
    return {
        f"{prefix}CustomerAlgorithm": "AES256",
        f"{prefix}CustomerKey": base64.b64encode(key).decode(),
        f"{prefix}CustomerKeyMD5": digest,
    }


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    with serving(tmp_path) as aws:
        s3_encryption.install()
        yield aws


def refusal(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(ClientError) as refused:
        call()
    answer = refused.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def copy(aws: Aws, **given: Any) -> bytes:  # noqa: ANN401
    aws.s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "a"}, **given)
    return aws.content("copy")


def test_an_object_under_a_key_of_its_sender_is_refused_without_it(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1", **customer_key())
    assert refusal(lambda: aws.s3.head_object(Bucket=BUCKET, Key="a")) == ("400", 400)
    assert refusal(lambda: aws.content("a")) == ("InvalidRequest", 400)
    assert refusal(lambda: copy(aws)) == ("InvalidRequest", 400)
    assert refusal(lambda: aws.content("a", **customer_key(key=b"l" * 32))) == ("InvalidRequest", 400)


def test_an_object_under_a_key_of_its_sender_is_read_with_it(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1", **customer_key())
    assert aws.s3.head_object(Bucket=BUCKET, Key="a", **customer_key())["ContentLength"] == 1
    assert aws.content("a", **customer_key()) == b"1"
    assert copy(aws, **customer_key("CopySourceSSE")) == b"1"


def test_a_version_has_its_own_key(aws: Aws) -> None:
    first = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1", **customer_key())["VersionId"]
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"2")
    assert aws.content("a") == b"2"
    assert refusal(lambda: aws.content("a", VersionId=first)) == ("InvalidRequest", 400)


@pytest.mark.parametrize(
    ("disable", "code"),
    [
        (lambda kms, key: kms.disable_key(KeyId=key), "KMS.DisabledException"),
        (lambda kms, key: kms.schedule_key_deletion(KeyId=key), "KMS.KMSInvalidStateException"),
    ],
)
def test_an_object_under_a_kms_key_is_read_while_the_key_is_enabled(
    aws: Aws, disable: Callable[[Any, str], object], code: str
) -> None:
    session = boto3.session.Session("local", "local", region_name="us-east-1")
    kms = session.client("kms", endpoint_url=aws.endpoint_url)
    key = kms.create_key()["KeyMetadata"]
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1", ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"])
    assert (aws.content("a"), copy(aws)) == (b"1", b"1")
    disable(kms, key["KeyId"])
    assert refusal(lambda: aws.content("a")) == (code, 400)
    assert refusal(lambda: copy(aws)) == (code, 400)
    assert aws.s3.head_object(Bucket=BUCKET, Key="a")["SSEKMSKeyId"] == key["Arn"]
