"""Every request to the embedded AWS must be signed with a key of its own, and say what was signed."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import botocore.auth
import pytest
from botocore.auth import HmacV1Auth, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import get_current_datetime
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from moto.moto_api._internal import urls as moto_urls

from local_aws.iam import enforcement
from local_aws.server import EmbeddedAws
from tests.local.assemblies import role, template, write_assembly
from tests.local.clients import operators_client

REGION = "us-east-1"
RESOURCES = {
    "Bucket": ("AWS::S3::Bucket", {"BucketName": "data", "VersioningConfiguration": {"Status": "Enabled"}}),
    "Role": role("glue", actions=("s3:GetObject", "s3:PutObject")),
    "Table": (
        "AWS::DynamoDB::Table",
        {
            "TableName": "items",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        },
    ),
}
KEYS = ["a", "a b/ü.csv", "a+b%2F&c=d", "double//slash", "tilde~(1)'!*", "雪/☃", "q?uery#hash", "a/../b"]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error's code; empty if it is none."""
        if self.headers.get("Content-Type", "").endswith("xml") and self.status >= 400:
            found = ElementTree.fromstring(self.body)
            return str(found.findtext("Code") or found.findtext("Error/Code"))
        return str(json.loads(self.body)["__type"]) if self.status >= 400 else ""


@dataclasses.dataclass(frozen=True)
class Sent:
    """A request as it goes out; a test changes what it likes."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    def but(self, **changes: Any) -> Sent:  # noqa: ANN401
        return dataclasses.replace(self, **changes)

    def with_header(self, name: str, value: str) -> Sent:
        return self.but(headers={**self.headers, name: value})

    def answer(self) -> Answer:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=60)
        target = address.path + (f"?{address.query}" if address.query else "")
        connection.putrequest(self.method, target, skip_host="host" in self.headers, skip_accept_encoding=True)
        for name, value in {"content-length": str(len(self.body)), **self.headers}.items():
            connection.putheader(name, value)
        connection.endheaders(self.body)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return answer


@dataclasses.dataclass(frozen=True)
class Aws:
    """The running server, and the keys of the operator and of a role."""

    url: str
    environment: Mapping[str, str]
    operator: Credentials
    of_role: Credentials

    def client(self, service: str, **config: object) -> Any:  # noqa: ANN401
        return operators_client(self.environment, service, **config)

    def signed(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        credentials: Credentials | None = None,
        service: str = "s3",
        headers: Mapping[str, str] | None = None,
    ) -> Sent:
        """A request that is signed as botocore signs it."""
        request = AWSRequest(method, self.url + path, data=body, headers=dict(headers or {}))
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(credentials or self.operator, service, REGION).add_auth(request)
        return Sent(method, self.url + path, {str(k): str(v) for k, v in request.headers.items()}, body)

    def presigned(self, key: str, *, seconds: int = 60, method: str = "get_object", **parameters: str) -> Sent:
        """A request by an address that boto3 has signed."""
        client = self.client("s3", signature_version="s3v4")
        given = {"Bucket": "data", "Key": key, **parameters}
        url = client.generate_presigned_url(method, Params=given, ExpiresIn=seconds)
        return Sent("PUT" if method == "put_object" else "GET", url, {})

    def content(self, key: str) -> bytes | None:
        """An object's bytes; None if it is not there."""
        s3 = self.client("s3")
        try:
            return bytes(s3.get_object(Bucket="data", Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            return None


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    folder = tmp_path_factory.mktemp("aws")
    outputs = {"Role": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}}
    write_assembly(folder / "cdk.out", {"Stack": template(RESOURCES, Outputs=outputs)})
    with EmbeddedAws(folder / "cdk.out", folder / "aws") as running:
        environment = running.environment()
        given = enforcement.assume(
            running.outputs["Stack"]["Role"],
            service="glue.amazonaws.com",
            source_arn="arn:aws:glue:::job/a",
            session="s",
        )
        operator = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
        of_role = Credentials(given.access_key, given.secret_key, given.session_token)
        yield Aws(running.endpoint_url, environment, operator, of_role)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Lets botocore sign as if it were so much later; the server has the right time."""

    def shift(later: timedelta) -> None:
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: get_current_datetime() + later)

    return shift


def wrong(credentials: Credentials) -> Credentials:
    return Credentials(credentials.access_key, "not the secret", credentials.token)


@pytest.mark.parametrize("key", KEYS)
def test_what_boto3_signs_is_accepted(aws: Aws, key: str) -> None:
    s3 = aws.client("s3")
    put = s3.put_object(
        Bucket="data", Key=key, Body=b"1", Metadata={"of_one": "a  b", "of-two": "c"}, Tagging="k=v%20w"
    )
    s3.copy_object(Bucket="data", Key=f"copies/{key}", CopySource={"Bucket": "data", "Key": key})

    of_version = s3.get_object(Bucket="data", Key=key, VersionId=put["VersionId"])
    assert of_version["Metadata"] == {"of_one": "a  b", "of-two": "c"}
    assert s3.list_objects_v2(Bucket="data", Prefix=key)["Contents"][0]["Key"] == key
    assert aws.presigned(key).answer().body == b"1"
    s3.delete_object(Bucket="data", Key=key)


def test_large_uploads_in_parts_and_packed_requests_are_accepted(aws: Aws) -> None:
    s3 = aws.client("s3")
    upload = s3.create_multipart_upload(Bucket="data", Key="large")["UploadId"]
    part = {"Bucket": "data", "Key": "large", "UploadId": upload}
    first = s3.upload_part(**part, PartNumber=1, Body=b"1" * (5 * 1024**2))["ETag"]
    last = s3.upload_part(**part, PartNumber=2, Body=b"2")["ETag"]
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": last}]
    s3.complete_multipart_upload(**part, MultipartUpload={"Parts": parts})
    assert aws.content("large") == b"1" * (5 * 1024**2) + b"2"

    data = [{"MetricName": f"Rows of {number}", "Value": 1} for number in range(500)]  # boto3 packs them
    aws.client("cloudwatch").put_metric_data(Namespace="OfThisTest", MetricData=data)
    assert len(aws.client("cloudwatch").list_metrics(Namespace="OfThisTest")["Metrics"]) == 500


def test_every_service_refuses_a_wrong_secret_with_its_own_code(aws: Aws) -> None:
    environment = {**aws.environment, "AWS_SECRET_ACCESS_KEY": "not the secret"}
    for service, call, code in (
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
        ("sns", "list_topics", "SignatureDoesNotMatch"),
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("dynamodb", "list_tables", "InvalidSignatureException"),
        ("glue", "get_jobs", "InvalidSignatureException"),
        ("lambda", "list_functions", "InvalidSignatureException"),
        ("sqs", "list_queues", "InvalidSignatureException"),
        ("stepfunctions", "list_state_machines", "InvalidSignatureException"),
    ):
        with pytest.raises(ClientError) as refused:
            getattr(operators_client(environment, service), call)()
        assert refused.value.response["Error"]["Code"] == code, service
        getattr(aws.client(service), call)()


def test_an_unknown_access_key_is_refused(aws: Aws) -> None:
    stranger = Credentials("local", "local")  # which once was the operator's

    assert aws.signed("GET", "/data", credentials=stranger).answer().code == "InvalidAccessKeyId"
    query = aws.signed("POST", "/", b"Action=ListTopics", credentials=stranger, service="sns")
    assert query.answer().code == "InvalidClientTokenId"


def test_a_body_that_was_not_signed_is_refused_and_not_stored(aws: Aws) -> None:
    changed = aws.signed("PUT", "/data/tampered", b"signed").but(body=b"other!").answer()
    assert (changed.status, changed.code) == (400, "XAmzContentSHA256Mismatch")
    assert aws.content("tampered") is None

    target = {"X-Amz-Target": "DynamoDB_20120810.PutItem", "Content-Type": "application/x-amz-json-1.0"}
    item = json.dumps({"TableName": "items", "Item": {"pk": {"S": "1"}}}).encode()
    signed = aws.signed("POST", "/", item, service="dynamodb", headers=target)
    assert signed.but(body=item.replace(b'"1"', b'"2"')).answer().code == "InvalidSignatureException"
    assert signed.answer().status == 200
    assert [one["pk"]["S"] for one in aws.client("dynamodb").scan(TableName="items")["Items"]] == ["1"]


def test_a_request_that_differs_from_what_was_signed_is_refused(aws: Aws) -> None:
    signed = aws.signed("PUT", "/data/one?tagging", b"1", headers={"x-amz-meta-a": "1"})
    for changed in (
        signed.but(url=f"{aws.url}/data/two?tagging"),
        signed.but(url=f"{aws.url}/data/one?acl"),
        signed.but(url=f"{aws.url}/data/one"),
        signed.but(method="DELETE"),
        signed.with_header("x-amz-meta-a", "2"),
        signed.with_header("Authorization", signed.headers["Authorization"].replace("/us-east-1/", "/eu-west-1/")),
        signed.with_header("Authorization", signed.headers["Authorization"][:-1] + "g"),
    ):
        assert changed.answer().code in ("SignatureDoesNotMatch", "AuthorizationHeaderMalformed")
    assert aws.content("one") is None


def test_nothing_can_be_put_behind_the_path(aws: Aws) -> None:
    signed = aws.signed("PUT", "/data/one", b"1")
    connection = http.client.HTTPConnection(urlsplit(aws.url).netloc, timeout=60)
    connection.request("PUT", "/data/one#two", b"1", dict(signed.headers))
    assert connection.getresponse().status == 403
    connection.close()
    assert aws.content("one#two") is None


def test_no_header_of_aws_may_be_added(aws: Aws) -> None:
    aws.client("s3").put_object(Bucket="data", Key="secret", Body=b"secret")
    plain = aws.signed("PUT", "/data/added", b"")

    answer = plain.with_header("x-amz-copy-source", "/data/secret").answer()

    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert b"x-amz-copy-source" in answer.body
    assert aws.content("added") is None


def test_a_request_for_another_host_cannot_be_replayed(aws: Aws) -> None:
    elsewhere = dataclasses.replace(aws, url="http://127.0.0.1:1").signed("GET", "/data")

    replayed = elsewhere.but(url=f"{aws.url}/data")
    assert replayed.answer().code == "SignatureDoesNotMatch"
    assert replayed.with_header("host", "127.0.0.1:1").answer().body.startswith(b"Refused: Use the host")


@pytest.mark.parametrize("minutes", [-60, 60])
def test_a_request_must_not_be_old_nor_from_the_future(aws: Aws, at: Callable[[timedelta], None], minutes: int) -> None:
    at(timedelta(minutes=minutes))
    assert aws.signed("GET", "/data").answer().code == "RequestTimeTooSkewed"
    query = aws.signed("POST", "/", b"Action=ListTopics", service="sns")
    assert query.answer().code == "SignatureDoesNotMatch"


def test_a_request_without_a_signature_is_refused(aws: Aws) -> None:
    for method, path in (
        ("GET", "/"),
        ("GET", "/data"),
        ("PUT", "/data/unsigned"),
        ("OPTIONS", "/data/a"),
        ("POST", "/"),
    ):
        assert Sent(method, aws.url + path, {}, b"1").answer().code == "AccessDenied"
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nunsigned\r\n--b--\r\n'
    assert Sent("POST", f"{aws.url}/data", form, body).answer().code == "AccessDenied"
    assert aws.content("unsigned") is None


def test_the_second_version_of_signatures_is_refused(aws: Aws) -> None:
    request = AWSRequest("GET", f"{aws.url}/data")
    HmacV1Auth(aws.operator).add_auth(request)
    by_header = Sent("GET", f"{aws.url}/data", dict(request.headers)).answer()
    assert (by_header.status, by_header.code) == (400, "InvalidRequest")
    assert b"AWS4-HMAC-SHA256" in by_header.body

    url = aws.client("s3", signature_version="s3").generate_presigned_url("get_object", {"Bucket": "data", "Key": "a"})
    assert "AWSAccessKeyId=" in url
    assert Sent("GET", url, {}).answer().code == "InvalidRequest"


class TestPresigned:
    """Addresses that carry their signature."""

    def test_one_works_until_it_expires(self, aws: Aws, at: Callable[[timedelta], None]) -> None:
        aws.client("s3").put_object(Bucket="data", Key="shared", Body=b"shared")
        assert aws.presigned("shared").answer().body == b"shared"

        at(timedelta(seconds=-50))
        assert aws.presigned("shared", seconds=60).answer().body == b"shared"
        expired = aws.presigned("shared", seconds=40).answer()
        assert (expired.status, expired.code) == (403, "AccessDenied")
        assert b"Request has expired" in expired.body

        at(timedelta(hours=1))
        assert b"Request is not valid yet" in aws.presigned("shared").answer().body

    def test_its_life_cannot_be_prolonged(self, aws: Aws) -> None:
        aws.client("s3").put_object(Bucket="data", Key="shared", Body=b"shared")
        one = aws.presigned("shared", seconds=60)
        longer = one.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")
        assert one.but(url=longer).answer().code == "SignatureDoesNotMatch"
        assert aws.presigned("shared", seconds=8 * 24 * 3600).answer().code == "AuthorizationHeaderMalformed"

    def test_it_is_for_what_was_signed(self, aws: Aws) -> None:
        s3 = aws.client("s3")
        for key in ("shared", "secret"):
            s3.put_object(Bucket="data", Key=key, Body=key.encode())
        one = aws.presigned("shared", ResponseContentType="a+b")
        for changed in (
            one.but(url=one.url.replace("/shared", "/secret")),
            one.but(method="DELETE"),
            one.but(method="PUT", body=b"1"),
            one.but(url=one.url + "&versionId=1"),
            one.but(url=one.url.replace("a%2Bb", "a+b")),
            one.but(url=one.url.replace("Signature=", "Signature=0")),
            one.but(url=one.url + "&X-Amz-Signature=0"),
            one.with_header("X-Amz-Target", "AWSCognitoIdentityService.ListIdentityPools"),
            one.with_header("Authorization", aws.signed("GET", "/data/shared").headers["Authorization"]),
        ):
            assert changed.answer().status in (400, 403), changed
        assert (aws.content("shared"), aws.content("secret")) == (b"shared", b"secret")

    def test_it_can_upload(self, aws: Aws) -> None:
        assert aws.presigned("uploaded", method="put_object").but(body=b"new").answer().status == 200
        assert aws.content("uploaded") == b"new"

    def test_it_leads_to_s3_whatever_the_request_looks_like(self, aws: Aws) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        aws.client("s3").put_object(Bucket="data", Key="looks", Body=b"1")
        one = aws.presigned("looks").but(headers=form, body=b"Action=AssumeRoleWithSAML")
        assert one.answer().body == b"1"

    def test_one_of_another_service_is_refused(self, aws: Aws) -> None:
        url = aws.client("sts").generate_presigned_url("get_caller_identity")
        assert Sent("GET", url, {}).answer().status == 403


class TestRoles:
    """Keys that jobs and functions have."""

    def test_one_needs_its_session_token(self, aws: Aws) -> None:
        aws.client("s3").put_object(Bucket="data", Key="of-role", Body=b"1")
        key, secret, token = aws.of_role.access_key, aws.of_role.secret_key, aws.of_role.token

        def ask(credentials: Credentials) -> Answer:
            return aws.signed("GET", "/data/of-role", credentials=credentials).answer()

        assert ask(aws.of_role).body == b"1"
        assert ask(Credentials(key, secret)).code == "InvalidToken"
        assert ask(Credentials(key, secret, str(token)[:-1])).code == "InvalidToken"
        assert ask(wrong(aws.of_role)).code == "SignatureDoesNotMatch"
        assert ask(Credentials(key, aws.operator.secret_key, token)).code == "SignatureDoesNotMatch"
        assert ask(Credentials(aws.operator.access_key, secret)).code == "SignatureDoesNotMatch"
        assert ask(Credentials(aws.operator.access_key, aws.operator.secret_key, token)).code == "InvalidToken"

    def test_its_policy_still_decides(self, aws: Aws) -> None:
        assert aws.signed("PUT", "/data/by-role", b"1", credentials=aws.of_role).answer().status == 200
        denied = aws.signed("DELETE", "/data/by-role", credentials=aws.of_role).answer()
        assert (denied.status, denied.code) == (403, "AccessDenied")


class TestBodies:
    """What S3 lets a client say about a body."""

    @pytest.mark.parametrize("declared", ["", "sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "A" * 64])
    def test_only_a_hash_or_a_payload_that_is_not_signed_is_known(self, aws: Aws, declared: str) -> None:
        answer = self.put(aws, "declared", declared, b"1")
        assert answer.code == ("NotImplemented" if declared.startswith("STREAMING") else "InvalidRequest")
        assert aws.content("declared") is None

    def test_one_that_is_not_signed_is_stored(self, aws: Aws) -> None:
        assert self.put(aws, "not-signed", "UNSIGNED-PAYLOAD", b"1").status == 200
        assert aws.content("not-signed") == b"1"

    def test_chunks_with_a_checksum_after_them_are_stored(self, aws: Aws) -> None:
        body = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"
        extra = {
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": "3",
            "x-amz-trailer": "x-amz-checksum-crc32",
        }
        assert self.put(aws, "chunks", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", body, extra).status == 200
        assert aws.content("chunks") == b"abc"

    def test_one_without_a_length_is_refused(self, aws: Aws) -> None:
        signed = aws.signed("PUT", "/data/chunked", b"1")
        headers = {**signed.headers, "transfer-encoding": "chunked"}
        address = urlsplit(aws.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=60)
        connection.request("PUT", "/data/chunked", iter([b"1"]), headers, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()

    @staticmethod
    def put(aws: Aws, key: str, declared: str, body: bytes, extra: Mapping[str, str] | None = None) -> Answer:
        """Sign a request that declares its body so."""
        signer = S3SigV4Auth(aws.operator, "s3", REGION)
        signer.payload = lambda request: declared  # type: ignore[method-assign]
        request = AWSRequest("PUT", f"{aws.url}/data/{key}", headers=dict(extra or {}))
        signer.add_auth(request)
        return Sent("PUT", f"{aws.url}/data/{key}", {str(k): str(v) for k, v in request.headers.items()}, body).answer()


class TestMotosOwnAddresses:
    """What moto serves beside AWS: its dashboard, a reset of everything, a recorder that writes files."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("path", sorted(path.removeprefix("{0}").rstrip("$") for path in moto_urls.url_paths))
    def test_they_are_closed_to_everybody(
        self, aws: Aws, path: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)  # where moto's recorder writes
        aws.client("s3").put_object(Bucket="data", Key="kept", Body=b"kept")
        for sent in (
            Sent(method, aws.url + path, {}, b"{}"),
            Sent(method, aws.url + path.replace("moto", "%6doto"), {}, b"{}"),
            aws.signed(method, path, b"{}"),
            aws.signed(method, path, b"{}", credentials=aws.of_role),
        ):
            assert sent.answer().status in (403, 404)
        assert aws.content("kept") == b"kept"
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "path", ["/favicon.ico", "/latest/meta-data/iam", "/latest/api/token", "/_aws/sqs", "/sns_us-east-1/"]
    )
    def test_so_are_others_that_need_no_signature_in_moto(self, aws: Aws, path: str) -> None:
        assert Sent("GET", aws.url + path, {}).answer().status in (403, 404)


def test_the_hash_of_an_empty_body_is_no_special_case(aws: Aws) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    signed = aws.signed("PUT", "/data/empty", b"")
    assert signed.headers["X-Amz-Content-SHA256"] == empty
    assert signed.but(body=b"1").answer().code == "XAmzContentSHA256Mismatch"
    assert signed.answer().status == 200
