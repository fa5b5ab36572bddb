"""The S3 API and the bucket's directory: each sees at once what the other side writes."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.moto_api._internal.models import moto_api_backend

from local_aws import s3_directory
from tests.local.s3_and_glue import BUCKET, Aws, serving


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    with serving(tmp_path) as aws:
        yield aws


@pytest.fixture
def queue_url(aws: Aws) -> str:
    """A queue that gets the bucket's creations."""
    url = aws.sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    aws.events.put_rule(
        Name="uploads", EventPattern=json.dumps({"source": ["aws.s3"], "detail-type": ["Object Created"]})
    )
    aws.events.put_targets(Rule="uploads", Targets=[{"Id": "queue", "Arn": arn}])
    aws.s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    return url


def received(aws: Aws, queue_url: str) -> list[dict[str, Any]]:
    messages = aws.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in messages]


def versions(aws: Aws, key: str) -> list[str]:
    return [version["VersionId"] for version in aws.s3.list_object_versions(Bucket=BUCKET, Prefix=key)["Versions"]]


def is_missing(aws: Aws, key: str) -> bool:
    try:
        aws.s3.head_object(Bucket=BUCKET, Key=key)
    except ClientError as error:
        return error.response["Error"]["Code"] == "404"
    return False


def test_a_put_object_is_a_file_when_the_response_arrives(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="raw/streams/a b+c.csv", Body=b"1")
    assert aws.path("raw/streams/a b+c.csv").read_bytes() == b"1"


def test_an_overwritten_object_is_overwritten_in_the_directory_and_both_versions_stay(aws: Aws) -> None:
    first = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"first")["VersionId"]
    second = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"second")["VersionId"]
    assert aws.path("a").read_bytes() == b"second"
    assert aws.content("a", VersionId=first) == b"first"
    assert aws.content("a", VersionId=second) == b"second"


def test_a_copied_version_is_a_file(aws: Aws) -> None:
    first = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"first")["VersionId"]
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"second")
    aws.s3.copy_object(Bucket=BUCKET, Key="b/a", CopySource={"Bucket": BUCKET, "Key": "a", "VersionId": first})
    assert aws.path("b/a").read_bytes() == b"first"


def test_a_copy_of_a_multipart_upload_can_be_read(aws: Aws) -> None:
    """As `aws s3 cp` uploads a file over 8 MB."""
    content = b"play\n" * 2_000_000
    aws.s3.upload_fileobj(io.BytesIO(content), BUCKET, "big", ExtraArgs={"ChecksumAlgorithm": "CRC32"})
    aws.s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/big")
    assert aws.s3.get_object(Bucket=BUCKET, Key="copy")["Body"].read() == content


def test_a_multipart_upload_is_a_file_and_one_event(aws: Aws, queue_url: str) -> None:
    content = bytes(range(256)) * 4 * 10_000
    aws.s3.upload_fileobj(io.BytesIO(content), BUCKET, "big")
    assert aws.path("big").read_bytes() == content
    reasons = [event["detail"]["reason"] for event in received(aws, queue_url)]
    assert reasons == ["CompleteMultipartUpload"]


def test_a_deleted_object_is_no_file_and_leaves_no_empty_folder(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a/b/c", Body=b"1")
    aws.s3.delete_object(Bucket=BUCKET, Key="a/b/c")
    assert list(aws.path("").iterdir()) == []


def test_objects_deleted_together_are_no_files(aws: Aws) -> None:
    for key in ("a", "b/c"):
        aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    aws.s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a"}, {"Key": "b/c"}]})
    assert list(aws.path("").iterdir()) == []


def test_deleting_the_current_version_brings_back_the_previous_one(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"first")
    second = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"second")["VersionId"]
    aws.s3.delete_object(Bucket=BUCKET, Key="a", VersionId=second)
    assert aws.path("a").read_bytes() == b"first"


def test_deleting_the_only_version_removes_the_file(aws: Aws) -> None:
    only = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"only")["VersionId"]
    aws.s3.delete_object(Bucket=BUCKET, Key="a", VersionId=only)
    assert not aws.path("a").exists()


def test_deleting_an_older_version_leaves_the_file_alone(aws: Aws) -> None:
    first = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"first")["VersionId"]
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"second")
    before = aws.path("a").stat()
    aws.s3.delete_object(Bucket=BUCKET, Key="a", VersionId=first)
    assert aws.path("a").stat() == before


def test_deleting_a_delete_marker_brings_the_file_back(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1")
    marker = aws.s3.delete_object(Bucket=BUCKET, Key="a")["VersionId"]
    aws.s3.delete_object(Bucket=BUCKET, Key="a", VersionId=marker)
    assert aws.path("a").read_bytes() == b"1"


def test_a_file_that_a_job_writes_is_listed_at_once(aws: Aws) -> None:
    aws.write("out/part-0.parquet", b"12345")
    listed = aws.s3.list_objects_v2(Bucket=BUCKET, Prefix="out/")["Contents"]
    assert [(entry["Key"], entry["Size"]) for entry in listed] == [("out/part-0.parquet", 5)]
    assert [entry["Key"] for entry in aws.s3.list_objects(Bucket=BUCKET)["Contents"]] == ["out/part-0.parquet"]


def test_a_file_that_a_job_writes_has_a_head_and_a_version_at_once(aws: Aws) -> None:
    aws.write("out/a", b"12345")
    head = aws.s3.head_object(Bucket=BUCKET, Key="out/a")
    assert head["ContentLength"] == 5
    assert versions(aws, "out/a") == [head["VersionId"]]


def test_ranges_of_a_big_file_that_a_job_writes_can_be_read(aws: Aws) -> None:
    content = bytes(range(256)) * 4 * 10_000
    aws.write("big", content)
    assert aws.content("big", Range="bytes=1000-1999") == content[1000:2000]
    downloaded = io.BytesIO()
    aws.s3.download_fileobj(BUCKET, "big", downloaded)
    assert downloaded.getvalue() == content


def test_a_prefix_may_end_in_the_middle_of_a_name(aws: Aws) -> None:
    for key in ("out/part-0", "out/other", "outer/part-1", "ou", "out-side"):
        aws.write(key, b"1")
    assert aws.keys("out/par") == ["out/part-0"]
    assert aws.keys("out") == ["out-side", "out/other", "out/part-0", "outer/part-1"]


def test_each_change_of_a_file_is_a_version_and_the_older_ones_keep_their_bytes(aws: Aws) -> None:
    aws.write("a", b"first")
    first = aws.s3.head_object(Bucket=BUCKET, Key="a")["VersionId"]
    aws.write("a", b"second!")
    assert aws.content("a") == b"second!"
    assert aws.content("a", VersionId=first) == b"first"
    assert len(versions(aws, "a")) == 2


def test_looking_twice_makes_no_second_version(aws: Aws) -> None:
    aws.write("a", b"1")
    aws.s3.put_object(Bucket=BUCKET, Key="b", Body=b"1")
    for _ in range(2):
        aws.keys()
        aws.content("a")
        aws.content("b")
    assert (len(versions(aws, "a")), len(versions(aws, "b"))) == (1, 1)


def test_a_file_that_a_job_deletes_is_deleted_but_its_version_stays(aws: Aws) -> None:
    version = aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1")["VersionId"]
    aws.path("a").unlink()
    assert is_missing(aws, "a")
    assert aws.keys() == []
    assert aws.content("a", VersionId=version) == b"1"


def test_a_file_that_a_job_renames_is_the_new_key_only(aws: Aws) -> None:
    aws.write("_temporary/0/task/part-0", b"1")
    assert aws.keys() == []
    aws.path("out").mkdir()
    aws.path("_temporary/0/task/part-0").rename(aws.path("out/part-0"))
    assert aws.keys() == ["out/part-0"]
    aws.path("out").rename(aws.path("moved"))
    assert aws.keys() == ["moved/part-0"]
    assert is_missing(aws, "out/part-0")


def test_checksum_files_empty_folders_and_links_are_no_objects(aws: Aws) -> None:
    aws.write("out/.part-0.crc", b"1")
    aws.path("empty/folder").mkdir(parents=True)
    aws.path("link").symlink_to(aws.write("a", b"1"))
    assert aws.keys() == ["a"]
    assert is_missing(aws, "out/.part-0.crc")


def test_an_api_write_over_an_unseen_file_keeps_the_file_as_a_version(aws: Aws) -> None:
    aws.write("a", b"by a job")
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"by the API")
    assert {aws.content("a", VersionId=version) for version in versions(aws, "a")} == {b"by a job", b"by the API"}


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "a/../b", "./a", "x" * 256])
def test_a_key_that_is_no_file_name_lives_in_the_api_only(aws: Aws, key: str) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    assert aws.content(key) == b"1"
    assert aws.keys() == [key]
    assert list(aws.path("").rglob("*")) == []


def test_of_a_key_and_a_folder_of_the_same_name_the_first_is_a_file(aws: Aws) -> None:
    for key in ("a", "a/b", "c/d", "c"):
        aws.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    listed = aws.keys()
    assert {key: aws.content(key) for key in listed} == {"a": b"a", "a/b": b"a/b", "c": b"c", "c/d": b"c/d"}
    assert (aws.path("a").read_bytes(), aws.path("c/d").read_bytes()) == (b"a", b"c/d")


def test_no_half_written_file_is_ever_in_the_listing_of_the_directory(aws: Aws) -> None:
    contents = {bytes([digit]) * 3_000_000 for digit in b"0123"}
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=min(contents))
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            seen.update(path.read_bytes() for path in aws.path("").iterdir())

    reader = threading.Thread(target=read)
    reader.start()
    for content in sorted(contents) * 3:
        aws.s3.put_object(Bucket=BUCKET, Key="a", Body=content)
    done.set()
    reader.join()
    assert seen <= contents


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as they can, so that a missing lock shows."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_threads")
def test_writers_of_one_key_at_the_same_time_all_keep_their_version(aws: Aws) -> None:
    contents = [str(number).encode() for number in range(150)]
    with ThreadPoolExecutor(8) as pool:
        written = list(
            pool.map(lambda body: aws.s3.put_object(Bucket=BUCKET, Key="a", Body=body)["VersionId"], contents)
        )
    assert [aws.content("a", VersionId=version) for version in written] == contents
    assert aws.path("a").read_bytes() == aws.content("a")


def test_an_unversioned_bucket_works_as_well(aws: Aws) -> None:
    aws.s3.create_bucket(Bucket="plain")
    path = aws.work_dir / "buckets" / "plain" / "a"
    path.write_bytes(b"by a job")
    assert aws.s3.get_object(Bucket="plain", Key="a")["Body"].read() == b"by a job"
    aws.s3.put_object(Bucket="plain", Key="a", Body=b"by the API")
    assert path.read_bytes() == b"by the API"
    aws.s3.delete_object(Bucket="plain", Key="a")
    assert not path.exists()


def test_a_deleted_bucket_has_no_directory_and_one_with_a_job_s_file_cannot_be_deleted(aws: Aws) -> None:
    aws.s3.create_bucket(Bucket="plain")
    directory = aws.work_dir / "buckets" / "plain"
    (directory / "a").write_bytes(b"1")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        aws.s3.delete_bucket(Bucket="plain")
    (directory / "a").unlink()
    aws.s3.delete_bucket(Bucket="plain")
    assert not directory.exists()


def test_an_upload_is_announced_with_its_version_and_reason(aws: Aws, queue_url: str) -> None:
    put = aws.s3.put_object(Bucket=BUCKET, Key="raw/a b.csv", Body=b"123")
    aws.s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "raw/a b.csv"})
    first, second = sorted(received(aws, queue_url), key=lambda event: event["detail"]["reason"], reverse=True)
    assert first["detail-type"] == "Object Created"
    assert first["detail"]["bucket"] == {"name": BUCKET}
    assert first["detail"]["reason"] == "PutObject"
    assert first["detail"]["object"]["key"] == "raw/a b.csv"
    assert first["detail"]["object"]["version-id"] == put["VersionId"]
    assert first["detail"]["object"]["etag"] == put["ETag"].strip('"')
    assert first["detail"]["object"]["size"] == 3
    assert (second["detail"]["reason"], second["detail"]["object"]["key"]) == ("CopyObject", "copy")
    assert first["detail"]["object"]["sequencer"] < second["detail"]["object"]["sequencer"]
    assert first["id"] != second["id"]


def test_a_file_that_a_job_writes_is_announced_once(aws: Aws, queue_url: str) -> None:
    aws.write("curated/a", b"1")
    s3_directory.synchronize()
    s3_directory.synchronize()
    aws.keys()
    (event,) = received(aws, queue_url)
    assert event["detail"]["object"]["key"] == "curated/a"
    assert event["detail"]["object"]["version-id"] == versions(aws, "curated/a")[0]


def test_a_file_that_may_still_be_written_is_not_announced_yet(aws: Aws, queue_url: str) -> None:
    aws.write("curated/a", b"1")
    s3_directory.synchronize(settled_seconds=3600)
    assert received(aws, queue_url) == []


def test_a_new_bucket_is_empty_whatever_an_earlier_one_of_its_name_left(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1")
    with serving(aws.work_dir) as again:
        assert again.keys() == []
        assert not again.path("a").exists()


def test_a_reset_of_moto_leaves_the_files_for_whoever_wants_to_look_at_them(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1")
    moto_api_backend.reset()
    assert aws.path("a").read_bytes() == b"1"
