"""What tools leave beside data files goes through the real validation: noted, left where it is, and no e-mail."""

from __future__ import annotations

import pytest

from glue_scripts.ledger import FileStatus, Ledger
from tests.workflow.job_calls import ValidationJob, Wire
from tests.workflow.pipeline import Pipeline

GOOD = b"user_id,track_id,listen_time\nu1,t1,2024-06-25 10:00:00\n"


@pytest.mark.usefixtures("no_snapshots")
@pytest.mark.parametrize("has_good_file", [True, False])
def test_companion_files_are_skipped_and_a_second_event_for_them_too(
    pipeline: Pipeline, *, has_good_file: bool
) -> None:
    job = ValidationJob(pipeline, Wire())
    pipeline.glue.outcomes[pipeline.validate_job] = job.run
    names = ("", "out/", "out/_SUCCESS", "out/_started_1", "out/_committed_1", "out/.part-0.csv.crc", ".DS_Store")
    skipped = [pipeline.upload(name, b"") for name in (*names, "out_$folder$", "plays.csv.md5", "Thumbs.db")]
    marker = pipeline.upload_as(pipeline.folder + "marker", b"", ContentType="application/x-directory")
    good = [pipeline.upload("out/part-0.csv", GOOD)] * has_good_file
    before = len(list(Ledger(pipeline.ledger).files_with_status(FileStatus.RECEIVED)))

    for _ in range(2):
        ended = pipeline.run([*skipped, marker, *good])

        assert ended["status"] == "SUCCEEDED"
        assert ended["output"]["rejected"] == []
        reasons = {entry["key"]: entry["reason"] for entry in ended["output"]["skipped"]}
        assert {file.key for file in (*skipped, marker)} <= reasons.keys()
        assert reasons[marker.key] == reasons[pipeline.folder] == "a folder, which stays where it is"
        assert {pipeline.status(file) for file in (*skipped, marker)} == {"SKIPPED"}
        assert pipeline.emails(ended["executionArn"]) == []

    assert all(pipeline.is_in_raw(file) for file in (*skipped, marker))
    assert [pipeline.status(file) for file in good] == ["ARCHIVED"] * has_good_file
    assert len(list(Ledger(pipeline.ledger).files_with_status(FileStatus.RECEIVED))) == before
