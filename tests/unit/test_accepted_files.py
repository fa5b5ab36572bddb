"""The document by which the validation job hands accepted files to the KPI job."""

from __future__ import annotations

from pathlib import Path

from benchmarks.folder_objects import FolderObjects
from glue_scripts.accepted_files import AcceptedFiles
from glue_scripts.objects import Location, json_line
from glue_scripts.staged_files import StagedFile

ENTRY = {"key": "raw/songs/a.csv", "version_id": "v1", "size": 1, "etag": "e", "last_modified": "2024-06-25T10:00:00Z"}
LOCATION = Location("bucket", "processing/one/accepted.json")


def test_the_order_of_s3_s_events_reaches_the_snapshot(tmp_path: Path) -> None:
    """By it, the later of two uploads of a key in the same second counts."""
    objects = FolderObjects(tmp_path)
    entries = [{**ENTRY, "sequencer": "0055AED6DCD90281E5"}, {**ENTRY, "version_id": "v2"}]
    staged = [StagedFile.of_manifest(number, entry) for number, entry in enumerate(entries)]
    accepted = [file for each in staged if (file := each.accepted())]
    objects.write(LOCATION.key, json_line(AcceptedFiles(execution_arn="arn:e", files=accepted).document()))

    found = AcceptedFiles.read(objects, LOCATION).files

    assert found == accepted
    assert [file.snapshot("s3://bucket/reference/", rows=1).sequencer for file in found] == ["0055AED6DCD90281E5", ""]
    assert [file.age for file in found] == [file.snapshot("s3://b/r/", rows=1).age for file in found]
    assert [file.age for file in found] == [each.age for each in staged]
