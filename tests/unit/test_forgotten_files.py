"""Files in raw/ that the ledger does not know are found, in bounds; what is no file, young or known is left out."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from glue_scripts import forgotten_files as module
from glue_scripts.forgotten_files import Forgotten, RawVersion, forgotten_files
from glue_scripts.ledger import FileStatus
from tests.unit.conftest import Tables

BUCKET = "data"
LATER = timedelta(minutes=1)


class Raw:
    """A bucket, and what is found in it."""

    def __init__(self, endpoint_url: str, tables: Tables) -> None:
        session: Any = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        self.s3 = session.client("s3", endpoint_url=endpoint_url)
        self.s3.create_bucket(Bucket=BUCKET)
        self.ledger = tables.ledger

    def version(self) -> None:
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def put(self, key: str, body: bytes = b"user_id,track_id,listen_time\n") -> str:
        return str(self.s3.put_object(Bucket=BUCKET, Key=key, Body=body).get("VersionId", "null"))

    def find(self, *, before: timedelta = LATER) -> Forgotten:
        return forgotten_files(self.s3, BUCKET, self.ledger, uploaded_before=datetime.now(UTC) + before)

    def names(self) -> list[tuple[str, str]]:
        return [(file.key, file.version_id) for file in self.find().files]


@pytest.fixture
def raw(dynamodb_endpoint: str, tables: Tables) -> Raw:
    return Raw(dynamodb_endpoint, tables)


def test_a_file_from_before_versioning_is_found_as_version_null(raw: Raw) -> None:
    raw.put("raw/streams/a.csv", b"x,y")
    raw.version()
    second = raw.put("raw/streams/a.csv", b"x,y,z")

    assert set(raw.names()) == {("raw/streams/a.csv", "null"), ("raw/streams/a.csv", second)}
    assert RawVersion("raw/streams/a.csv", "null", 3, hashlib.md5(b"x,y").hexdigest()) in raw.find().files


def test_what_the_ledger_knows_is_not_forgotten(raw: Raw) -> None:
    raw.version()
    versions = {key: raw.put(key) for key in ("raw/streams/a.csv", "raw/streams/b.csv", "raw/streams/c#1.csv")}
    for key in ("raw/streams/a.csv", "raw/streams/c#1.csv"):
        raw.ledger.receive_file(key, versions[key], {"execution": "e"})
    raw.ledger.advance_file("raw/streams/a.csv", versions["raw/streams/a.csv"], FileStatus.REJECTED, {})

    assert raw.names() == [("raw/streams/b.csv", versions["raw/streams/b.csv"])]


def test_young_files_other_prefixes_companions_and_deleted_files_do_not_count(raw: Raw) -> None:
    raw.version()
    raw.put("archive/streams/a.csv")
    for key in ("raw/streams/_SUCCESS", "raw/streams/.DS_Store", "raw/streams/2024_$folder$", "raw/a.csv.crc"):
        raw.put(key, b"")
    raw.put("raw/streams/", b"")
    deleted = raw.put("raw/streams/gone.csv")
    raw.s3.delete_object(Bucket=BUCKET, Key="raw/streams/gone.csv", VersionId=deleted)
    raw.put("raw/streams/a.csv")
    raw.s3.delete_object(Bucket=BUCKET, Key="raw/streams/marked.csv")

    assert [key for key, _ in raw.names()] == ["raw/streams/a.csv"]
    assert raw.find(before=-LATER).files == []


@pytest.mark.parametrize(
    ("listed", "looked_up", "complete"), [(4, 9, True), (3, 9, False), (9, 4, True), (9, 3, False)]
)
def test_work_is_bounded_and_a_bound_is_told(
    raw: Raw, monkeypatch: pytest.MonkeyPatch, listed: int, looked_up: int, complete: bool
) -> None:
    raw.version()
    for number in range(4):
        raw.put(f"raw/streams/{number}.csv")
    monkeypatch.setattr(module, "MAX_LISTED", listed)
    monkeypatch.setattr(module, "MAX_LOOKED_UP", looked_up)

    found = raw.find()

    assert (len(found.files), found.is_complete) == (4 if complete else 3, complete)


def test_the_ledger_is_asked_for_many_files(raw: Raw, tables: Tables) -> None:
    files = [(f"raw/streams/{number}.csv", "v") for number in range(230)]
    for key, version in files[::2]:
        raw.ledger.receive_file(key, version, {"execution": "e"})

    assert tables.ledger.known_files(files) == set(files[::2])
    assert tables.ledger.known_files([]) == set()
