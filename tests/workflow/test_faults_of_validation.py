"""Each call of AWS that the validation job makes fails in each way, once and for good.

What becomes of it is the table of docs/faults.md.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glue_scripts import names
from glue_scripts.ledger import Ledger, Snapshot
from glue_scripts.objects import Location, json_line
from glue_scripts.stored_snapshots import UsersSnapshot
from tests import fault_table
from tests.workflow.job_calls import Call, ValidationJob, Wire, fate_of
from tests.workflow.pipeline import File, Pipeline
from tests.workflow.test_fault_matrix import SONGS

CALLER: Final = "Glue job `validate_batch`"
CALLS: Final = [
    Call("s3:GetObject", "manifest.json", "the manifest"),
    Call("dynamodb:GetItem", "FILE#", "how far a file has come"),
    Call("dynamodb:UpdateItem", ":received", "note a file as received"),
    Call("s3:GetObject", "/processing/", "a file's bytes"),
    Call("s3:PutObject", ".csv", "an unpacked copy"),
    Call("dynamodb:GetItem", '"SNAPSHOTS"', "the current snapshots"),
    Call("s3:GetObject", "bytes=", "a range of a file's rows"),
    Call("s3:PutObject", "quality/quarantine/", "a file's broken rows"),
    Call("s3:PutObject", "/ids/", "the ids of a catalogue"),
    Call("s3:GetObject", "/ids/", "the ids of a catalogue"),
    Call("s3:GetObject", "/reference/", "an object of a snapshot"),
    Call("s3:PutObject", "data_docs", "Great Expectations' page"),
    Call("dynamodb:UpdateItem", "report_key", "a file's verdict"),
    Call("dynamodb:GetItem", "BATCH#", "whether the batch is in the lake"),
    Call("dynamodb:Query", '"PURGED"', "tombstones"),
    Call("s3:PutObject", "/reference/songs/", "an object of a new snapshot"),
    Call("s3:PutObject", "/curated/plays/", "plays of a day"),
    Call("s3:PutObject", "/curated/files/", "the days of a file"),
    Call("s3:PutObject", "/curated/runs/", "the document of a day"),
    Call("dynamodb:UpdateItem", "BATCH#", "what the batch became in the lake"),
    Call("s3:PutObject", "quality/reports/", "a report"),
    Call("s3:PutObject", "accepted.json", "the list of accepted files"),
    Call("s3:PutObject", "rejection_email.json", "the e-mail about rejected files"),
    Call("s3:PutObject", "verdict.json", "the verdict"),
    Call("cloudwatch:PutMetricData", "", "metrics"),
]
HEADER: Final = "user_id,track_id,listen_time\n"
GOOD: Final = HEADER + "u1,t1,2024-06-25 10:00:00\n" * 150 + "u1,t1,no time\n"
BAD: Final = HEADER + "u1,t1,2024-06-25 10:00:00\n" + "u1,t1,no time\n"


@dataclass
class Judging:
    """A batch of a catalogue, good plays, packed, and bad ones, whose validation job is the real one.

    A snapshot of users is current; somebody has been purged before.
    """

    pipeline: Pipeline
    wire: Wire
    songs: File
    good: File
    bad: File

    @classmethod
    def of(cls, pipeline: Pipeline) -> Judging:
        """The batch; the KPI job notes its files as loaded."""
        wire = Wire()
        pipeline.glue.outcomes[pipeline.validate_job] = ValidationJob(pipeline, wire).run
        stored = UsersSnapshot(f"{names.REFERENCE_PREFIX}users/{uuid4()}/", buckets=1, rows=1)
        users = pa.BufferOutputStream()
        pq.write_table(pa.table({"user_id": ["u1"], "user_country": ["Peru"]}), users)
        objects = {
            stored.key(0): users.getvalue().to_pybytes(),
            f"{stored.folder}snapshot.json": json_line(stored.document()),
        }
        for key, body in objects.items():
            pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=body)
        uri = Location(pipeline.bucket, stored.folder).uri
        known = Snapshot("users", uri, "raw/users/users.csv", "v1", "2024-06-01T00:00:00Z", 1)
        ledger = Ledger(pipeline.ledger)
        ledger.make_current(known)
        ledger.purge_user("somebody else")
        return cls(
            pipeline,
            wire,
            pipeline.upload_as(f"{pipeline.folder.replace('streams', 'songs')}songs.csv", SONGS),
            pipeline.upload("1.csv.gz", gzip.compress(GOOD.encode())),
            pipeline.upload("2.csv", BAD.encode()),
        )

    @property
    def files(self) -> list[File]:
        """All of the batch."""
        return [self.songs, self.good, self.bad]

    def assert_is_complete(self, ended: Mapping[str, Any]) -> None:
        """The good files are archived, the other one is in error/ with its report, and one e-mail tells of it."""
        assert ended["status"] == "SUCCEEDED"
        assert [self.pipeline.status(file) for file in self.files] == ["ARCHIVED", "ARCHIVED", "REJECTED"]
        moved = self.pipeline.moved()
        report = f"{self.bad.error_key}.report.json"
        assert moved.keys() == {self.good.archive_key, self.bad.error_key, report}
        assert moved[self.good.archive_key] == [self.good.content]
        assert b'"rejected_by": ["bad_listen_time"]' in moved[report][0]
        assert not any(self.pipeline.is_in_raw(file) for file in self.files)
        assert len(self.pipeline.rejection_emails(ended["executionArn"])) == 1


@pytest.mark.usefixtures("no_snapshots", "no_pauses")
def test_the_page_tells_of_every_call_of_the_validation_job(pipeline: Pipeline) -> None:
    judging = Judging.of(pipeline)
    judging.assert_is_complete(pipeline.run(judging.files))
    made = judging.wire.seen
    assert [one for one in made if not any(call.is_made_by(*one) for call in CALLS)] == []
    assert [call.purpose for call in CALLS if not any(call.is_made_by(*one) for one in made)] == []
    fault_table.assert_complete(CALLER, CALLS)


@pytest.mark.usefixtures("no_snapshots", "no_pauses")
@pytest.mark.parametrize(("call", "error", "times"), fault_table.cells(CALLS, every=4), ids=fault_table.name_of)
def test_a_call_of_the_validation_job_fails(pipeline: Pipeline, call: Call, error: str, times: str) -> None:
    judging = Judging.of(pipeline)
    judging.wire.fail_as(call, error, times)
    arn = pipeline.start(judging.files)
    ended, outcome = fate_of(
        arn,
        pipeline,
        judging.wire,
        files=judging.files,
        job=pipeline.validate_job,
        state="Validate",
        told=(call.operation.partition(":")[2], "ReadTimeoutError"),
    )
    judging.assert_is_complete(ended)
    assert len(pipeline.emails(arn)) == (2 if outcome == "redriven" else 1)
    fault_table.check(CALLER, CALLS, call, error, times, outcome)
