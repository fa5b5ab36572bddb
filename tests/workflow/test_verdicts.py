"""A verdict that is missing, broken or odd is never taken for «valid»: nothing is moved, nothing is computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.workflow.pipeline import File, Pipeline

Verdict = dict[str, Any]


def _put(verdict: Verdict, **members: object) -> Verdict:
    return {**verdict, **members}


def _without(verdict: Verdict, kind: str, member: str) -> Verdict:
    return _put(verdict, **{kind: [{key: value for key, value in verdict[kind][0].items() if key != member}]})


def _with(verdict: Verdict, kind: str, **members: object) -> Verdict:
    return _put(verdict, **{kind: [{**verdict[kind][0], **members}]})


UNREADABLE: dict[str, tuple[Callable[[Verdict], object], str]] = {
    "it is missing": (lambda _: None, "S3.NoSuchKeyException"),
    "it is empty": (lambda _: b"", "States.QueryEvaluationError"),
    "it is not JSON": (lambda _: b"all files are valid", "States.QueryEvaluationError"),
    "it was cut off": (lambda verdict: json.dumps(verdict).encode()[:-9], "States.QueryEvaluationError"),
}

NOT_UNDERSTOOD: dict[str, Callable[[Verdict], object]] = {
    "it is an empty object": lambda _: {},
    "it is a list": lambda verdict: [verdict],
    "it is a text": lambda _: "valid",
    "it is null": lambda _: b"null",
    "it is of another format": lambda verdict: _put(verdict, format="batch-verdict/1"),
    "it has no format": lambda verdict: {key: value for key, value in verdict.items() if key != "format"},
    "it has no accepted files": lambda verdict: {key: value for key, value in verdict.items() if key != "accepted"},
    "its accepted files are null": lambda verdict: _put(verdict, accepted=None),
    "its accepted files are an object": lambda verdict: _put(verdict, accepted=verdict["accepted"][0]),
    "its rejected files are a text": lambda verdict: _put(verdict, rejected="none"),
    "its skipped files are a number": lambda verdict: _put(verdict, skipped=0),
    "the accepted file is missing": lambda verdict: _put(verdict, accepted=[]),
    "the rejected file is missing": lambda verdict: _put(verdict, rejected=[]),
    "all files are missing": lambda verdict: _put(verdict, accepted=[], rejected=[]),
    "it judges a file too many": lambda verdict: _put(verdict, skipped=[{"file": 2, "reason": "already ARCHIVED"}]),
    "it judges one file twice and the other not at all": lambda verdict: _put(
        verdict, accepted=verdict["accepted"] * 2, rejected=[]
    ),
    "it accepts and rejects the same file": lambda verdict: _put(
        verdict, rejected=[{**verdict["rejected"][0], "file": verdict["accepted"][0]["file"]}]
    ),
    "it judges a file that is not there": lambda verdict: _with(verdict, "accepted", file=2),
    "it counts files from the end": lambda verdict: _with(verdict, "rejected", file=-1),
    "it names a file by a text": lambda verdict: _with(verdict, "accepted", file="0"),
    "it names a file by a fraction": lambda verdict: _with(verdict, "accepted", file=0.5),
    "it names several files in one entry": lambda verdict: _with(verdict, "accepted", file=[0]),
    "an entry is a text": lambda verdict: _put(verdict, accepted=["good.csv"]),
    "an entry is null": lambda verdict: _put(verdict, accepted=[None]),
    "an entry names no file": lambda verdict: _without(verdict, "accepted", "file"),
    "an accepted file has no place": lambda verdict: _without(verdict, "accepted", "long_key"),
    "the place of an accepted file is a text": lambda verdict: _with(verdict, "accepted", long_key="no"),
    "a rejected file has no place": lambda verdict: _without(verdict, "rejected", "long_key"),
    "it is not known whether a rejected file has a copy": lambda verdict: _without(verdict, "rejected", "copy"),
    "the copy of a rejected file is a number": lambda verdict: _with(verdict, "rejected", copy=1),
    "the copy of a rejected file is another": lambda verdict: _with(verdict, "rejected", copy="somewhere"),
    "a rejected file has no report": lambda verdict: _without(verdict, "rejected", "report_key"),
}


def upload(pipeline: Pipeline) -> list[File]:
    return [pipeline.upload("good.csv"), pipeline.upload("bad.csv")]


def assert_nothing_was_done(pipeline: Pipeline, arn: str, files: list[File]) -> None:
    assert pipeline.moved() == {}
    assert all(pipeline.is_in_raw(file) for file in files)
    assert pipeline.jobs_run() == [pipeline.validate_job]
    (email,) = pipeline.failure_emails(arn)
    assert pipeline.rejection_emails(arn) == []
    assert "FAILED" in email["subject"]


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_verdict_fails_the_execution_and_a_redrive_reads_it_again(pipeline: Pipeline, case: str) -> None:
    change, error = UNREADABLE[case]
    verdicts = []

    def keep(verdict: Verdict) -> object:
        verdicts.append(verdict)
        return change(verdict)

    pipeline.jobs.change_verdict = keep
    files = upload(pipeline)
    failed = pipeline.run(files)
    arn = failed["executionArn"]
    assert (failed["status"], failed["error"]) == ("FAILED", error)
    assert_nothing_was_done(pipeline, arn, files)
    assert pipeline.states(arn)[-1] == "ReadVerdict"

    key = f"processing/{failed['name']}/verdict.json"
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=json.dumps(verdicts[0]).encode())
    assert pipeline.redrive(arn)["status"] == "SUCCEEDED"
    assert pipeline.states_after_redrive(arn)[0] == "ReadVerdict"
    assert pipeline.jobs_run() == [pipeline.validate_job, pipeline.compute_job]
    assert pipeline.objects(pipeline.folder) == {}


@pytest.mark.parametrize("case", NOT_UNDERSTOOD)
def test_an_odd_verdict_fails_the_execution_before_anything_is_moved(pipeline: Pipeline, case: str) -> None:
    pipeline.jobs.change_verdict = NOT_UNDERSTOOD[case]
    files = upload(pipeline)
    failed = pipeline.run(files)
    assert (failed["status"], failed["error"]) == ("FAILED", "VerdictNotUnderstood")
    assert f"s3://{pipeline.bucket}/processing/{failed['name']}/verdict.json" in failed["cause"]
    assert_nothing_was_done(pipeline, failed["executionArn"], files)


def test_a_batch_whose_verdict_was_odd_goes_through_when_it_is_started_anew(pipeline: Pipeline) -> None:
    pipeline.jobs.change_verdict = lambda verdict: _put(verdict, accepted=[])
    files = upload(pipeline)
    failed = pipeline.run(files)
    again = pipeline.redrive(failed["executionArn"])
    assert (again["status"], again["error"]) == ("FAILED", "VerdictNotUnderstood"), "a Fail state is entered again"

    pipeline.jobs.change_verdict = lambda verdict: verdict
    batch = pipeline.sfn.describe_execution(executionArn=failed["executionArn"])["input"]
    started = pipeline.sfn.start_execution(stateMachineArn=pipeline.machine, input=batch)
    assert pipeline.ended(started["executionArn"])["status"] == "SUCCEEDED"
    assert pipeline.moved().keys() == {files[0].archive_key, files[1].error_key, f"{files[1].error_key}.report.json"}
    assert pipeline.objects(pipeline.folder) == {}


@pytest.mark.parametrize("extra", [{"rows": 3}, {"accepted_rows": [1, 2]}])
def test_a_verdict_with_members_that_nobody_knows_yet_is_understood(pipeline: Pipeline, extra: Verdict) -> None:
    pipeline.jobs.change_verdict = lambda verdict: _put(verdict, **extra)
    assert pipeline.run(upload(pipeline))["status"] == "SUCCEEDED"
