"""What S3 permanently refuses about one object is the verdict on that file: the others of its batch go on.

Nothing is deleted of which there is no copy. What passes, or is about the role, still fails the execution at its task.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from glue_scripts.ledger import FileStatus, Ledger, file_of, utc_now
from tests.workflow.job_calls import ValidationJob, Wire
from tests.workflow.pipeline import REPORT, File, Pipeline, client

CUSTOMER_KEY: Final = b"k" * 32


def _kms(pipeline: Pipeline) -> Any:  # noqa: ANN401
    return client(pipeline.environment, "kms")


def _of_class(storage_class: str) -> Callable[[Pipeline], File]:
    return lambda pipeline: pipeline.upload_as(f"{pipeline.folder}it.csv", b"it", StorageClass=storage_class)


def _with_customer_key(pipeline: Pipeline) -> File:
    given = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": base64.b64encode(CUSTOMER_KEY).decode()}
    given["SSECustomerKeyMD5"] = base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode()
    return pipeline.upload_as(f"{pipeline.folder}it.csv", b"it", **given)


def _under_kms_key(pipeline: Pipeline) -> File:
    key = _kms(pipeline).create_key()["KeyMetadata"]["Arn"]
    given = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    return pipeline.upload_as(f"{pipeline.folder}it.csv", b"it", **given)


def _under_disabled_kms_key(pipeline: Pipeline) -> File:
    file = _under_kms_key(pipeline)
    key = pipeline.s3.head_object(Bucket=pipeline.bucket, Key=file.key)["SSEKMSKeyId"]
    _kms(pipeline).disable_key(KeyId=key.rpartition("/")[2])
    return file


def _deleted(pipeline: Pipeline) -> File:
    file = pipeline.upload("it.csv")
    pipeline.delete(file)
    return file


def _delete_marker(pipeline: Pipeline) -> File:
    file = pipeline.upload("it.csv")
    marker = pipeline.s3.delete_object(Bucket=pipeline.bucket, Key=file.key)["VersionId"]
    pipeline.delete(file)
    event = {**file.event, "object": {**file.event["object"], "version-id": marker}}
    return File(file.key, marker, b"", event)


REFUSED: Final[dict[str, tuple[str, Callable[[Pipeline], File]]]] = {
    "archived in Glacier": ("archived_storage_class", _of_class("GLACIER")),
    "archived in Glacier Deep Archive": ("archived_storage_class", _of_class("DEEP_ARCHIVE")),
    "encrypted with a key of its sender": ("encrypted_by_customer_key", _with_customer_key),
    "encrypted with a KMS key that the role may not use": ("unusable_kms_key", _under_kms_key),
    "encrypted with a KMS key that is disabled": ("unusable_kms_key", _under_disabled_kms_key),
    "gone": ("object_missing", _deleted),
    "a delete marker": ("object_missing", _delete_marker),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_object_that_s3_refuses_is_rejected_and_the_others_go_on(pipeline: Pipeline, case: str) -> None:
    reason, upload = REFUSED[case]
    good = pipeline.upload("good.csv", b"good")
    refused = upload(pipeline)
    versions = _versions(pipeline, refused.key)

    ended = pipeline.run([refused, good])

    assert ended["status"] == "SUCCEEDED"
    (entry,) = ended["output"]["rejected"]
    assert (entry["key"], entry["version_id"], entry["reasons"]) == (refused.key, refused.version_id, [reason])
    assert pipeline.moved() == {good.archive_key: [b"good"], f"{refused.error_key}.report.json": [REPORT]}
    assert _versions(pipeline, refused.key) == versions, "of what was not copied nothing is deleted"
    assert [pipeline.status(file) for file in (refused, good)] == ["REJECTED", "ARCHIVED"]
    assert len(pipeline.rejection_emails(ended["executionArn"])) == len(pipeline.emails(ended["executionArn"])) == 1


@pytest.mark.usefixtures("no_snapshots")
def test_a_version_that_is_gone_is_listed_by_the_moment_of_its_receipt(pipeline: Pipeline) -> None:
    pipeline.glue.outcomes[pipeline.validate_job] = ValidationJob(pipeline, Wire()).run
    gone, begun = _deleted(pipeline), utc_now()

    assert pipeline.run([gone])["status"] == "SUCCEEDED"

    rejected = Ledger(pipeline.ledger).files_with_status(FileStatus.REJECTED)
    uploaded_at = {file_of(item): item["uploaded_at"] for item in rejected}
    assert begun <= uploaded_at[gone.key, gone.version_id] <= utc_now()


def _versions(pipeline: Pipeline, key: str) -> list[str]:
    answer = pipeline.s3.list_object_versions(Bucket=pipeline.bucket, Prefix=key)
    return [entry["VersionId"] for kind in ("Versions", "DeleteMarkers") for entry in answer.get(kind, [])]


@pytest.mark.parametrize(
    "properties",
    [
        {"StorageClass": "GLACIER_IR"},
        {"StorageClass": "STANDARD_IA"},
        {"StorageClass": "INTELLIGENT_TIERING"},
        {"ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "AES256"},
    ],
    ids=lambda properties: "-".join(properties.values()),
)
def test_an_object_that_s3_hands_out_is_processed_however_it_is_stored(
    pipeline: Pipeline, properties: dict[str, str]
) -> None:
    file = pipeline.upload_as(f"{pipeline.folder}good.csv", b"good", **properties)
    assert pipeline.run([file])["status"] == "SUCCEEDED"
    assert pipeline.moved() == {file.archive_key: [b"good"]}
    assert "StorageClass" not in pipeline.s3.head_object(Bucket=pipeline.bucket, Key=file.archive_key)


def test_an_archived_object_that_was_restored_is_processed(pipeline: Pipeline) -> None:
    file = _of_class("GLACIER")(pipeline)
    pipeline.s3.restore_object(
        Bucket=pipeline.bucket, Key=file.key, VersionId=file.version_id, RestoreRequest={"Days": 1}
    )
    assert pipeline.run([file])["status"] == "SUCCEEDED"
    assert pipeline.moved() == {file.archive_key: [file.content]}


@pytest.mark.parametrize("error", ["InvalidObjectState", "ObjectNotInActiveTierError"])
def test_an_object_that_is_archived_between_look_and_copy_is_rejected(pipeline: Pipeline, error: str) -> None:
    file, other = pipeline.upload("it.csv"), pipeline.upload("good.csv")
    name = f"archived-{error}-{pipeline.folder.split('/')[2]}"
    staged = f"processing/{name}/{hashlib.sha256(f'{file.key}#{file.version_id}'.encode()).hexdigest()}"
    fault = pipeline.faults.fail("s3:CopyObject", staged, times=None, error=error)
    ended = pipeline.run([file, other], name)
    assert [one["reasons"] for one in ended["output"]["rejected"]] == [["archived_storage_class"]]
    assert fault.calls == 1, "a permanent answer is not asked for again"
    assert pipeline.is_in_raw(file)


@pytest.fixture
def unversioned(pipeline: Pipeline) -> Iterator[Callable[[str, bytes], File]]:
    """Upload as if versioning had not been on yet."""

    def upload(name: str, content: bytes) -> File:
        _set_versioning(pipeline, "Suspended")
        try:
            return pipeline.upload(name, content)
        finally:
            _set_versioning(pipeline, "Enabled")

    yield upload
    _set_versioning(pipeline, "Enabled")


def _set_versioning(pipeline: Pipeline, status: str) -> None:
    pipeline.s3.put_bucket_versioning(Bucket=pipeline.bucket, VersioningConfiguration={"Status": status})


@pytest.mark.parametrize("name", ["good.csv", "bad.csv"])
def test_an_event_without_a_version_id_is_about_the_version_null(
    pipeline: Pipeline, unversioned: Callable[[str, bytes], File], name: str
) -> None:
    file = unversioned(name, b"before versioning")
    assert "version-id" not in file.event["object"]
    later = pipeline.upload(name, b"with versioning")

    ended = pipeline.run([file])

    assert ended["status"] == "SUCCEEDED"
    target = file.archive_key if name == "good.csv" else file.error_key
    assert target.endswith(f"/{name}/null")
    assert pipeline.moved()[target] == [b"before versioning"]
    assert pipeline.objects(pipeline.folder) == {later.key: [b"with versioning"]}
    assert pipeline.status(file) == ("ARCHIVED" if name == "good.csv" else "REJECTED")


def test_two_events_of_one_version_are_one_file_though_they_differ(pipeline: Pipeline) -> None:
    file = pipeline.upload("good.csv")
    event = {**file.event, "object": {**file.event["object"], "size": 1, "etag": "another"}}
    ended = pipeline.run([file, File(file.key, file.version_id, file.content, event)])
    assert len(ended["output"]["accepted"]) == 1


# A producer's words about an upload


PAGE: Final = b"<script>alert(1)</script>"
HEADERS: Final[dict[str, Any]] = {
    "ContentType": "text/html",
    "ContentDisposition": "inline",
    "ContentEncoding": "gzip",
    "ContentLanguage": "en",
    "CacheControl": "max-age=9",
    "Metadata": {"replaces-version": "x", "note": "hello"},
    "Tagging": "owner=attacker",
    "StorageClass": "STANDARD_IA",
    "WebsiteRedirectLocation": "https://example.com/",
}


@pytest.mark.parametrize("name", ["page.csv", "bad page.csv.gz"])
def test_nothing_that_a_sender_says_of_an_upload_survives_in_its_copies(pipeline: Pipeline, name: str) -> None:
    file = pipeline.upload_as(pipeline.folder + name, PAGE, **HEADERS)
    ended = pipeline.run([file])
    assert ended["status"] == "SUCCEEDED"
    (staged,) = {key for key in pipeline.objects(f"processing/{ended['name']}/") if not key.endswith(".json")}
    target = file.error_key if name.startswith("bad") else file.archive_key
    for key in (staged, target):
        found = pipeline.s3.get_object(Bucket=pipeline.bucket, Key=key)
        assert found["Body"].read() == PAGE
        assert (found["ContentType"], found["ContentDisposition"]) == ("application/octet-stream", "attachment")
        assert found["Metadata"] == {}
        left = {"ContentEncoding", "ContentLanguage", "CacheControl", "StorageClass", "WebsiteRedirectLocation"}
        assert left & found.keys() == set()
        tags = pipeline.s3.get_object_tagging(Bucket=pipeline.bucket, Key=key)["TagSet"]
        assert tags == []
