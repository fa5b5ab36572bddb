"""A run of the validation job that judges otherwise than the run before it, which died, takes that run's verdicts."""

from __future__ import annotations

import json
from typing import Final

import pytest

from tests.workflow.job_calls import Call, KpiJob, ValidationJob, Wire
from tests.workflow.pipeline import Pipeline

HEADER: Final = b"user_id,track_id,listen_time\n"
HALF_BAD: Final = HEADER + b"u1,t1,2024-06-25 10:00:00\n" + b"u1,t1,no time\n"
GOOD: Final = HEADER + b"u2,t1,2024-06-25 10:00:00\n"
LENIENT: Final = {"bad_listen_time": 0.9}
DIES: Final = [
    Call("s3:PutObject", "quality/reports/", "before its reports"),
    Call("dynamodb:UpdateItem", "BATCH#", "before it tells what the rows became"),
    Call("s3:PutObject", "accepted.json", "before it lists the accepted files"),
    Call("s3:PutObject", "verdict.json", "before its verdict is complete"),
]


@pytest.mark.usefixtures("no_snapshots", "no_pauses")
@pytest.mark.parametrize("dies", DIES, ids=lambda call: call.purpose)
@pytest.mark.parametrize("is_accepted", [True, False], ids=["accepted first", "rejected first"])
def test_the_verdict_of_the_run_that_died_holds(pipeline: Pipeline, dies: Call, is_accepted: bool) -> None:
    wire = Wire()
    tolerances = (LENIENT, {}) if is_accepted else ({}, LENIENT)
    pipeline.glue.outcomes[pipeline.validate_job] = ValidationJob(pipeline, wire, tolerances).run
    pipeline.glue.outcomes[pipeline.compute_job] = KpiJob(pipeline, Wire()).run
    doubtful, good = pipeline.upload("doubtful.csv", HALF_BAD), pipeline.upload("good.csv", GOOD)
    wire.fail(dies, "AccessDenied" if dies.operation.startswith("s3") else "AccessDeniedException", 1)

    ended = pipeline.run([doubtful, good])

    assert ended["status"] == "SUCCEEDED"
    assert pipeline.jobs_run().count(pipeline.validate_job) == 2
    assert ended["output"]["skipped"] == []
    assert pipeline.status(good) == "ARCHIVED"
    emails = pipeline.rejection_emails(ended["executionArn"])
    if is_accepted:
        assert (pipeline.status(doubtful), emails) == ("ARCHIVED", [])
        assert doubtful.archive_key in pipeline.moved()
        return
    assert pipeline.status(doubtful) == "REJECTED"
    (email,) = emails
    assert "Rejected by bad_listen_time (column listen_time): 1 of 2 rows" in email["message"]
    report = json.loads(pipeline.moved()[f"{doubtful.error_key}.report.json"][0])
    assert (report["verdict"], report["rejected_by"]) == ("rejected", ["bad_listen_time"])
    assert (report["rows"], report["valid"], report["quarantined"]) == (2, 1, 1)
    (rule,) = [entry for entry in report["rules"] if entry["rule"] == "bad_listen_time"]
    assert (rule["success"], rule["failed"], rule["tolerated_rows"]) == (False, 1, 0)
