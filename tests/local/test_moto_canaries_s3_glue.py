"""One test per correction of moto's S3 and Glue: it fails once moto no longer needs the correction."""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import FlexibleChecksumError
from moto.glue import models as glue_models
from moto.glue import responses as glue_responses
from moto.s3 import models as s3_models
from moto.s3 import notifications
from moto.s3 import responses as s3_responses

from local_aws import s3_directory
from tests.local.s3_and_glue import BUCKET, Aws, create_job, run_of, serving, start


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Aws]:
    """Moto as it comes."""
    with serving(tmp_path) as aws:
        s3_directory.uninstall()
        yield aws


def test_moto_keeps_objects_away_from_the_directory(plain: Aws) -> None:
    plain.s3.put_object(Bucket=BUCKET, Key="a", Body=b"1")
    plain.write("b", b"2")
    assert not plain.path("a").exists()
    assert plain.keys() == ["a"]


def test_moto_announces_a_multipart_upload_twice(plain: Aws) -> None:
    url = plain.sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = plain.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    plain.events.put_rule(Name="uploads", EventPattern=json.dumps({"detail-type": ["Object Created"]}))
    plain.events.put_targets(Rule="uploads", Targets=[{"Id": "queue", "Arn": arn}])
    plain.s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    upload = plain.s3.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
    part = plain.s3.upload_part(Bucket=BUCKET, Key="big", UploadId=upload, PartNumber=1, Body=b"1")
    plain.s3.complete_multipart_upload(
        Bucket=BUCKET, Key="big", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    messages = plain.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert len(messages) == 2


def test_moto_gives_a_copy_in_one_piece_the_checksum_of_its_source_s_parts(plain: Aws) -> None:
    content = b"play\n" * 2_000_000
    plain.s3.upload_fileobj(io.BytesIO(content), BUCKET, "big", ExtraArgs={"ChecksumAlgorithm": "CRC32"})
    plain.s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/big")
    with pytest.raises(FlexibleChecksumError):
        plain.s3.get_object(Bucket=BUCKET, Key="copy")["Body"].read()


def test_moto_gives_no_reason_as_aws_words_it_and_one_sequencer_for_all() -> None:
    source = inspect.getsource(notifications)
    assert '"reason": event_name.split(":")[1]' in source
    assert '"sequencer": "617f08299329d189"' in source


def test_moto_copies_the_bytes_of_every_version_to_list_them() -> None:
    assert "copy.deepcopy(version_key)" in inspect.getsource(s3_models)


def test_moto_computes_an_etag_on_first_use_without_a_lock() -> None:
    assert "self.lock" not in inspect.getsource(s3_models.FakeKey.etag.fget)  # type: ignore[attr-defined]


def test_moto_reads_a_whole_object_for_each_range_and_keeps_a_large_one_in_memory_first() -> None:
    assert "response_content[begin : end + 1]" in inspect.getsource(s3_responses), "s3_content"
    assert "rollover" not in inspect.getsource(s3_models), "s3_content"


def test_moto_s_job_runs_execute_nothing(plain: Aws) -> None:
    create_job(plain, "raise ValueError('never raised')")
    assert run_of(plain, start(plain))["JobRunState"] == "SUCCEEDED"


def test_moto_cannot_stop_job_runs() -> None:
    assert "batch_stop_job_run" not in inspect.getsource(glue_responses)


def test_moto_forgets_whether_a_job_queues_its_runs() -> None:
    for module in (glue_models, glue_responses):
        assert "JobRunQueuingEnabled" not in inspect.getsource(module)


def test_moto_hands_out_objects_whose_keys_nobody_has() -> None:
    for module in (s3_models, s3_responses):
        source = inspect.getsource(module)
        assert "customer-algorithm" not in source, "s3_encryption"
        assert "kms_backends" not in source, "s3_encryption"
