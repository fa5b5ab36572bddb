"""A batch is taken along only if everything that it names was read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from benchmarks.folder_objects import FolderObjects
from glue_scripts.accepted_files import AcceptedFiles
from glue_scripts.batch_record import Written
from glue_scripts.ledger import NO_TOMBSTONES, Batch
from glue_scripts.objects import Location, json_line
from glue_scripts.stored_plays import document_key
from glue_scripts.taken_batches import StoredBatches, UnreadableBatchError
from tests.lake import lake_file, write_lake

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:pipeline:one"
DOCUMENT = Location("bucket", "processing/one/accepted.json")
LINES = b"user_id,track_id,listen_time\nann,t1,2024-06-25 08:00:00\nbob,t1,2024-06-26 08:00:00\n"


class Lake:
    """A batch of one file with plays of two days, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = FolderObjects(folder)
        self.file = lake_file(self.objects, "streams", "a.csv", LINES)
        written: Written = write_lake(self.objects, [self.file], "run-1", NO_TOMBSTONES)
        self.batch = Batch(EXECUTION, "run-1", written.dates, [], DOCUMENT.uri, written.size)
        accepted = AcceptedFiles(execution_arn=EXECUTION, files=[self.file.accepted])
        self.objects.write(DOCUMENT.key, json_line(accepted.document()))

    def object_of(self, date: str) -> Path:
        (path,) = (self.folder / f"curated/plays/listen_date={date}").rglob("*.parquet")
        return path


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "bucket")


def test_a_batch_that_was_read_gives_its_files(lake: Lake) -> None:
    assert lake.batch.dates == ["2024-06-25", "2024-06-26"]
    assert StoredBatches(lake.objects).files(lake.batch) == [lake.file.accepted]


def _no_document_of_files(lake: Lake) -> None:
    (lake.folder / DOCUMENT.key).unlink()


def _no_document_of_a_day(lake: Lake) -> None:
    (lake.folder / document_key("run-1", "2024-06-26")).unlink()


def _documents_of_another_version(lake: Lake) -> None:
    path = lake.folder / document_key("run-1", "2024-06-26")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": "plays-run/9"}))


def _a_document_that_is_no_json(lake: Lake) -> None:
    (lake.folder / document_key("run-1", "2024-06-26")).write_text("{")


def _a_document_that_lacks_members(lake: Lake) -> None:
    (lake.folder / DOCUMENT.key).write_text('{"format": "accepted-files/3"}')


def _no_object(lake: Lake) -> None:
    lake.object_of("2024-06-26").unlink()


def _an_object_cut_short(lake: Lake) -> None:
    path = lake.object_of("2024-06-26")
    path.write_bytes(path.read_bytes()[:-100])


def _an_object_of_garbage(lake: Lake) -> None:
    path = lake.object_of("2024-06-26")
    path.write_bytes(bytes(len(path.read_bytes())))


def _an_object_of_other_rows(lake: Lake) -> None:
    path = lake.folder / document_key("run-1", "2024-06-26")
    document = json.loads(path.read_text())
    document["objects"][0]["rows"] = 2
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "damage",
    [
        _no_document_of_files,
        _no_document_of_a_day,
        _documents_of_another_version,
        _a_document_that_is_no_json,
        _a_document_that_lacks_members,
        _no_object,
        _an_object_cut_short,
        _an_object_of_garbage,
        _an_object_of_other_rows,
    ],
    ids=lambda damage: damage.__name__.replace("_", " ").strip(),
)
def test_a_batch_cannot_be_read_with(lake: Lake, damage: Callable[[Lake], None]) -> None:
    damage(lake)
    with pytest.raises(UnreadableBatchError):
        StoredBatches(lake.objects).files(lake.batch)


class Refusing(FolderObjects):
    """S3 that refuses to read."""

    def read(self, key: str) -> bytearray:
        raise ClientError({"Error": {"Code": "NoSuchKey", "Message": ""}}, "GetObject")


def test_a_batch_whose_objects_s3_refuses_cannot_be_read(lake: Lake) -> None:
    with pytest.raises(UnreadableBatchError):
        StoredBatches(Refusing(lake.folder)).files(lake.batch)
