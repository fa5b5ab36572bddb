"""Objects are handed out and kept without more copies and hashes of their bytes than it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import NoReturn

import pytest
from botocore.exceptions import ClientError
from moto.s3.models import FakeKey

from local_aws import s3_content
from local_aws.patching import MotoObject
from tests.local.s3_and_glue import BUCKET, Aws, serving

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    with serving(tmp_path) as aws:
        yield aws


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=10000-99999", 10000, len(CONTENT)),
        ("bytes=10000-", 10000, len(CONTENT)),
        ("bytes=-40", len(CONTENT) - 40, len(CONTENT)),
        ("bytes=-99999", 0, len(CONTENT)),
    ],
)
def test_a_range_is_read_without_the_rest(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, asked: str, start: int, end: int
) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=CONTENT)

    def whole(_: FakeKey) -> NoReturn:
        raise AssertionError("the whole object was read")

    monkeypatch.setattr(FakeKey, "value", property(whole))
    answer = aws.s3.get_object(Bucket=BUCKET, Key="a", Range=asked)
    assert answer["Body"].read() == CONTENT[start:end]
    assert answer["ContentRange"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert answer["ContentLength"] == end - start


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,5-6", "bytes=x-y", "bytes=-"])
def test_what_is_no_range_gives_the_whole_object(aws: Aws, asked: str) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=CONTENT)
    assert aws.content("a", Range=asked) == CONTENT


def test_a_range_behind_the_end_is_refused(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=CONTENT)
    with pytest.raises(ClientError, match="InvalidRange"):
        aws.content("a", Range=f"bytes={len(CONTENT)}-")


def test_a_range_of_an_older_version_stays_what_it_was(aws: Aws) -> None:
    older = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=CONTENT)["VersionId"]
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=CONTENT[::-1])
    for _ in range(2):  # what answered the first request is garbage by the second
        assert aws.content("a", Range="bytes=7-99", VersionId=older) == CONTENT[7:100]
    assert aws.content("a", Range="bytes=7-99") == CONTENT[::-1][7:100]


def test_a_signed_body_is_not_hashed_again_for_its_etag(aws: Aws) -> None:
    etags = {aws.s3.put_object(Bucket=BUCKET, Key=key, Body=CONTENT)["ETag"] for key in ("a", "b")}
    assert etags == {f'"{hashlib.sha256(CONTENT).hexdigest()[:32]}"'}
    (etag,) = etags
    assert aws.content("a", IfMatch=etag, Range="bytes=0-9") == CONTENT[:10]
    other = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=CONTENT[1:])["ETag"]
    assert other != etag
    with pytest.raises(ClientError, match="PreconditionFailed"):
        aws.content("a", IfMatch=etag, Range="bytes=0-9")


def test_the_signature_of_a_request_is_no_etag_of_other_bytes(aws: Aws) -> None:
    aws.write("a", b"written past the API")
    put = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=CONTENT)["ETag"]
    aws.s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/a")
    listed = aws.s3.list_object_versions(Bucket=BUCKET)["Versions"]
    of_a = {version["ETag"] for version in listed if version["Key"] == "a"}
    assert of_a == {put, f'"{hashlib.md5(b"written past the API").hexdigest()}"'}
    nothing = hashlib.sha256(b"").hexdigest()[:32]
    assert nothing not in aws.s3.head_object(Bucket=BUCKET, Key="copy")["ETag"]


def test_a_large_body_goes_straight_into_a_file(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", "1000")
    monkeypatch.setattr(s3_content, "_PIECE_BYTES", 1000)
    write, rolled = SpooledTemporaryFile.write, []

    def noted(self: MotoObject, content: bytes) -> int:
        rolled.append(self._rolled)
        return write(self, content)

    monkeypatch.setattr(SpooledTemporaryFile, "write", noted)
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=CONTENT)
    assert rolled == [False, *[True] * 11]  # the first one writes no byte
    assert aws.content("a") == aws.path("a").read_bytes() == CONTENT
