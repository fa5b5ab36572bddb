"""How the pipeline takes what Glue does: throttled starts, failed, stopped and endless runs, and an operator's stop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.workflow.pipeline import Pipeline, wait_for

START_ERRORS = (
    "ConcurrentRunsExceededException",
    "AWSGlueException",
    "ResourceNumberLimitExceededException",
    "OperationTimeoutException",
    "InternalServiceException",
    "ThrottlingException",
)
JOBS = ("Validate", "ComputeKpis")
MANIFEST_OR_LIST = {"Validate": "manifest.json", "ComputeKpis": "accepted.json"}


def job_of(pipeline: Pipeline, state: str) -> str:
    return {"Validate": pipeline.validate_job, "ComputeKpis": pipeline.compute_job}[state]


def well(pipeline: Pipeline, state: str) -> Any:  # noqa: ANN401
    return {"Validate": pipeline.jobs.validate, "ComputeKpis": pipeline.jobs.compute}[state]


@pytest.mark.parametrize(("error", "state"), list(zip(START_ERRORS, JOBS * 3, strict=True)))
def test_a_start_that_glue_refuses_for_now_is_tried_eight_times_more(
    pipeline: Pipeline, error: str, state: str
) -> None:
    file = pipeline.upload("good.csv")
    fault = pipeline.faults.fail("glue:StartJobRun", MANIFEST_OR_LIST[state], error=error, times=8)
    ended = pipeline.run([file])
    assert ended["status"] == "SUCCEEDED"
    assert fault.calls == 9
    assert pipeline.emails(ended["executionArn"]) == []
    assert pipeline.jobs_run() == [pipeline.validate_job, pipeline.compute_job]


@pytest.mark.parametrize(("error", "calls"), [("ConcurrentRunsExceededException", 100), ("ThrottlingException", 9)])
def test_a_start_that_glue_refuses_for_good_fails_the_execution_by_its_name(
    pipeline: Pipeline, error: str, calls: int
) -> None:
    fault = pipeline.faults.fail("glue:StartJobRun", error=error, times=None)
    failed = pipeline.run([pipeline.upload("good.csv")])
    assert (failed["status"], failed["error"]) == ("FAILED", f"Glue.{error}")
    assert fault.calls == calls
    fault.lift()
    assert pipeline.redrive(failed["executionArn"])["status"] == "SUCCEEDED"


@pytest.mark.parametrize("state", JOBS)
def test_a_run_that_fails_once_is_run_again(pipeline: Pipeline, state: str) -> None:
    outcomes = iter(["FAILED"])
    run = well(pipeline, state)
    pipeline.glue.outcomes[job_of(pipeline, state)] = lambda arguments: next(outcomes, None) or run(arguments)
    ended = pipeline.run([pipeline.upload("good.csv")])
    assert ended["status"] == "SUCCEEDED"
    assert pipeline.jobs_run().count(job_of(pipeline, state)) == 2
    assert pipeline.emails(ended["executionArn"]) == []


@pytest.mark.parametrize("state", JOBS)
@pytest.mark.parametrize("outcome", ["FAILED", "TIMEOUT", "ERROR", "EXPIRED"])
def test_a_run_that_does_not_succeed_for_good_fails_the_execution_and_a_redrive_runs_it_again(
    pipeline: Pipeline, state: str, outcome: str
) -> None:
    files = [pipeline.upload("good.csv"), pipeline.upload("bad.csv")]
    job = job_of(pipeline, state)
    pipeline.glue.outcomes[job] = lambda _: outcome
    failed = pipeline.run(files)
    arn = failed["executionArn"]
    assert (failed["status"], failed["error"]) == ("FAILED", "States.TaskFailed")
    run = json.loads(failed["cause"])
    assert (run["JobRunState"], run["JobName"]) == (outcome, job)
    assert pipeline.jobs_run().count(job) == 2
    assert pipeline.is_in_raw(files[0])
    (email,) = pipeline.failure_emails(arn)
    assert f"State:     {state}" in email["message"]
    assert job in email["message"]

    pipeline.glue.outcomes[job] = well(pipeline, state)
    assert pipeline.redrive(arn)["status"] == "SUCCEEDED"
    assert pipeline.states_after_redrive(arn)[0] == state
    assert pipeline.jobs_run().count(job) == 3
    assert pipeline.objects(pipeline.folder) == {}
    assert len(pipeline.rejection_emails(arn)) == 1


@pytest.mark.parametrize("state", JOBS)
def test_a_run_that_somebody_stopped_is_not_taken_for_done_and_the_batch_can_be_started_anew(
    pipeline: Pipeline, state: str
) -> None:
    files = [pipeline.upload("good.csv"), pipeline.upload("bad.csv")]
    pipeline.glue.outcomes[job_of(pipeline, state)] = lambda _: "STOPPED"
    failed = pipeline.run(files)
    assert (failed["status"], failed["error"]) == ("FAILED", "JobDidNotSucceed")
    assert "STOPPED" in failed["cause"]
    assert pipeline.jobs_run().count(job_of(pipeline, state)) == 1, "what somebody stopped is not started again"
    assert pipeline.is_in_raw(files[0])
    assert "State:     JobDidNotSucceed" in pipeline.failure_emails(failed["executionArn"])[0]["message"]

    pipeline.glue.outcomes[job_of(pipeline, state)] = well(pipeline, state)
    assert pipeline.redrive(failed["executionArn"])["error"] == "JobDidNotSucceed"
    assert pipeline.run(files)["status"] == "SUCCEEDED"
    assert pipeline.moved().keys() == {files[0].archive_key, files[1].error_key, f"{files[1].error_key}.report.json"}
    assert pipeline.objects(pipeline.folder) == {}


@pytest.mark.parametrize("state", JOBS)
def test_a_run_that_outlives_its_state_is_stopped_and_not_started_twice(pipeline: Pipeline, state: str) -> None:
    file = pipeline.upload("good.csv")
    job = job_of(pipeline, state)
    pipeline.glue.outcomes[job] = lambda _: "RUNNING"
    with pipeline.definition(lambda definition: definition["States"][state].update(TimeoutSeconds=5)):
        failed = pipeline.run([file])
    arn = failed["executionArn"]
    assert (failed["status"], failed["error"]) == ("FAILED", "States.Timeout")
    assert pipeline.jobs_run().count(job) == 1
    runs = [run for run in pipeline.glue.runs.values() if run["JobName"] == job]
    wait_for(lambda: runs[0]["JobRunState"] == "STOPPED", "the stop of the run")
    assert pipeline.is_in_raw(file)
    assert f"State:     {state}" in pipeline.failure_emails(arn)[0]["message"]

    pipeline.glue.outcomes[job] = well(pipeline, state)
    assert pipeline.redrive(arn)["status"] == "SUCCEEDED"
    assert pipeline.states_after_redrive(arn)[0] == state
    assert pipeline.moved() == {file.archive_key: [file.content]}


@pytest.mark.parametrize("how", ["TIMED_OUT", "ABORTED"])
@pytest.mark.parametrize("state", JOBS)
def test_an_execution_that_times_out_or_is_aborted_tells_the_operator_and_can_be_redriven(
    pipeline: Pipeline, state: str, how: str
) -> None:
    files = [pipeline.upload("good.csv"), pipeline.upload("bad.csv")]
    job = job_of(pipeline, state)
    pipeline.glue.outcomes[job] = lambda _: "RUNNING"
    with pipeline.definition(lambda definition: definition.update(TimeoutSeconds=10 if how == "TIMED_OUT" else 60)):
        arn = pipeline.start(files)
        wait_for(lambda: job in pipeline.jobs_run(), "the run")
        if how == "ABORTED":
            pipeline.sfn.stop_execution(executionArn=arn, error="Operator", cause="the wrong files")
        ended = pipeline.ended(arn)
    assert ended["status"] == how
    (email,) = pipeline.failure_emails(arn)
    assert email["subject"] == f"[dev] Music KPI pipeline {how.replace('_', ' ')}: somebody must look"
    assert f"State:     {state}" in email["message"]
    assert ("Message:   the wrong files" if how == "ABORTED" else "Error:     none given") in email["message"]
    runs = [run for run in pipeline.glue.runs.values() if run["JobName"] == job]
    wait_for(lambda: runs[0]["JobRunState"] == "STOPPED", "the stop of the run")
    assert pipeline.is_in_raw(files[0])

    pipeline.glue.outcomes[job] = well(pipeline, state)
    assert pipeline.redrive(arn)["status"] == "SUCCEEDED"
    assert pipeline.states_after_redrive(arn)[0] == state
    assert pipeline.jobs_run().count(job) == 2
    assert pipeline.moved().keys() == {files[0].archive_key, files[1].error_key, f"{files[1].error_key}.report.json"}
    assert len(pipeline.rejection_emails(arn)) == 1
    assert len(pipeline.failure_emails(arn)) == 1
