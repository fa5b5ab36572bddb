"""Objects with hostile keys, encryption, storage classes or headers, beside good files, through the whole pipeline."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from glue_scripts import names
from glue_scripts.objects import MAX_KEY_BYTES, target_key
from laptop.pipeline import SUCCEEDED, Uploaded
from tests.end_to_end.conftest import Deployed
from tests.end_to_end.music import FIRST_STREAMS, REFERENCES, SECOND_STREAMS, expected_rows
from tests.end_to_end.test_pipeline import by_key

CUSTOMER_KEY: Final = b"k" * 32
PAGE: Final = b"<script>alert(1)</script>"
VERSIONS: Final = 3
"""Versions of one key in one batch; more than 100 of them: tests/workflow/test_batches.py."""


def long_key(number: int, character: str) -> str:
    """A key of 1,024 bytes."""
    beginning = f"{names.RAW_PREFIX}streams/{number:03}"
    return beginning + character * (MAX_KEY_BYTES - len(beginning))


def refused(deployed: Deployed) -> dict[str, tuple[str, dict[str, Any]]]:
    """By key: the rule that rejects the object, and how it is uploaded."""
    kms_key = deployed.client("kms").create_key()["KeyMetadata"]["Arn"]
    customer_key = {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(CUSTOMER_KEY).decode(),
        "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode(),
    }
    return {
        "raw/streams/glacier.csv": ("archived_storage_class", {"StorageClass": "GLACIER"}),
        "raw/streams/deep archive.csv": ("archived_storage_class", {"StorageClass": "DEEP_ARCHIVE"}),
        "raw/streams/customer key.csv": ("encrypted_by_customer_key", customer_key),
        "raw/streams/kms key.csv": ("unusable_kms_key", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}),
    }


def test_the_worst_objects_beside_good_files(deployed: Deployed, tmp_path: Path) -> None:
    pipeline = deployed.pipeline
    bucket = pipeline.outputs["DataBucketName"]

    def put(key: str, content: bytes, **how: Any) -> Uploaded:  # noqa: ANN401
        answer = pipeline.s3.put_object(Bucket=bucket, Key=key, Body=content, **how)
        return Uploaded(key, answer.get("VersionId", "null"))

    references = deployed.upload(tmp_path, REFERENCES)
    without_version = _before_versioning(deployed, lambda: put("raw/streams/early.csv", FIRST_STREAMS))
    page = put("raw/streams/page.csv", PAGE, ContentType="text/html", Metadata={"replaces-version": "x"})
    good = [put("raw/streams/good.csv", SECOND_STREAMS, ContentType="text/html")]
    good += [put("raw/streams/often.csv", SECOND_STREAMS) for _ in range(VERSIONS)]
    long = [put(long_key(number, character), b"") for number, character in enumerate('"\\\x01x' * 3)]
    reasons = refused(deployed)
    kept = [put(key, FIRST_STREAMS, **how) for key, (_, how) in reasons.items()]
    deployed.wait_for([*references, without_version, page, *good, *long, *kept])

    answers = pipeline.answers()
    assert [execution["cause"] for execution in answers.executions if execution["status"] != SUCCEEDED] == []
    plays = {"streams/1": FIRST_STREAMS, "streams/2": SECOND_STREAMS}
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows({**REFERENCES, **plays}))
    assert sorted(answers.left_in_raw) == sorted(reasons), "what was not copied is not deleted"
    emails = "\n".join(email.message for email in deployed.emails())
    for file in kept:
        # The first files of an e-mail are described, the others are named with their rules.
        assert f"{file.key}, where it was uploaded" in emails or f"{file.key}: {reasons[file.key][0]}" in emails
        report = pipeline.s3.get_object(
            Bucket=bucket, Key=f"{target_key(names.ERROR_PREFIX, file.key, file.version_id)}.report.json"
        )["Body"]
        assert json.load(report)["rejected_by"] == [reasons[file.key][0]]
    for file, prefix in [(page, names.ERROR_PREFIX), *((one, names.ARCHIVE_PREFIX) for one in good)]:
        copy = pipeline.s3.head_object(Bucket=bucket, Key=target_key(prefix, file.key, file.version_id))
        assert (copy["ContentType"], copy["ContentDisposition"]) == ("application/octet-stream", "attachment")
        assert copy["Metadata"] == {}


def _before_versioning(deployed: Deployed, upload: Callable[[], Uploaded]) -> Uploaded:
    """Upload as if versioning had not been on yet: S3 sends an event without a version id."""
    s3, bucket = deployed.pipeline.s3, deployed.pipeline.outputs["DataBucketName"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    file = upload()
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert file.version_id == "null"
    return file
