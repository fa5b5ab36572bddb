"""The e-mails about executions that did not succeed, as the operator gets them at night."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

import pytest

from glue_scripts import names
from glue_scripts.objects import target_key
from tests.golden_emails import assert_is_committed
from tests.workflow.pipeline import File, Pipeline, wait_for
from validators.reports import EmailSettings, JudgedFile, RejectedFile, rejection_email

SAFE_MESSAGE = (
    "JobFailedError: TaskFailedError: ConversionException in validators.judge.judge, line 98 "
    "in glue_scripts.spread.collect, line 102"
)


def name_of(pipeline: Pipeline, scenario: str) -> str:
    return f"{scenario}-{pipeline.folder.split('/')[2]}"


def the_real_email(pipeline: Pipeline, *, accepted: int) -> Callable[[list[dict[str, Any]], str], dict[str, str]]:
    """What the validation job composes in place of the test's own words."""

    def compose(files: list[dict[str, Any]], _: str) -> dict[str, str]:
        rejected = [
            RejectedFile(
                JudgedFile(
                    key=one["key"],
                    version_id=one["version_id"],
                    dataset="streams",
                    size=29,
                    etag="e",
                    last_modified="2024-06-26T02:13:45Z",
                    problem=("no_rows", "there is nothing below the header"),
                ),
                target_key(names.ERROR_PREFIX, one["key"], one["version_id"]),
                one["report_key"],
            )
            for one in files
        ]
        settings = EmailSettings(environment="dev", bucket=pipeline.bucket, error_days=90, runbook="docs/runbook.md")
        arn = f"{pipeline.machine.replace(':stateMachine:', ':execution:')}:batch"
        return rejection_email(rejected, settings=settings, accepted=accepted, execution_arn=arn)

    return compose


def the_email(pipeline: Pipeline, arn: str) -> dict[str, str]:
    (email,) = pipeline.failure_emails(arn)
    return email


def stable(pipeline: Pipeline, arn: str, files: Sequence[File]) -> Mapping[str, str]:
    """What stands for what differs from run to run: names, versions, job runs, and the last day of a redrive."""
    versions = {file.version_id: f"<version {number}>" for number, file in enumerate(files, start=1)}
    until = pipeline.sfn.describe_execution(executionArn=arn)["stopDate"].astimezone(UTC) + timedelta(days=14)
    name = arn.rpartition(":")[2]
    job_runs = {run_id: f"jr_{number}" for number, run_id in enumerate(pipeline.glue.runs, start=1)}
    return {
        **versions,
        **job_runs,
        name: name.rpartition("-")[0],
        pipeline.folder: "raw/streams/",
        f"until {until:%Y-%m-%d}": "until <14 days after it ended>",
    }


def assert_committed(pipeline: Pipeline, golden: str, arn: str, files: Sequence[File]) -> None:
    email = the_email(pipeline, arn)
    alone = re.sub(r"\d+ other executions? ended .*\n.*\n\n", "", email["message"])
    message = re.sub(r"Request ID: \w+", "Request ID: <id>", alone)
    assert_is_committed(golden, email | {"message": message}, stable(pipeline, arn, files))


@pytest.mark.parametrize(("state", "golden"), [("Validate", "failed_validation"), ("ComputeKpis", "failed_kpis")])
def test_the_email_about_a_job_that_crashed_is_the_committed_one(pipeline: Pipeline, state: str, golden: str) -> None:
    job = pipeline.validate_job if state == "Validate" else pipeline.compute_job
    pipeline.jobs.compose_email = the_real_email(pipeline, accepted=1)
    pipeline.glue.error_messages[job] = SAFE_MESSAGE
    pipeline.glue.outcomes[job] = lambda _: "FAILED"
    files = [pipeline.upload("good.csv"), pipeline.upload("bad.csv")]
    arn = pipeline.start(files, name_of(pipeline, "batch"))
    assert pipeline.ended(arn)["status"] == "FAILED"
    assert_committed(pipeline, golden, arn, files)


def test_the_email_about_files_that_could_not_be_copied_is_the_committed_one(pipeline: Pipeline) -> None:
    files = [pipeline.upload("good.csv")]
    arn = f"{pipeline.machine.replace(':stateMachine:', ':execution:')}:{name_of(pipeline, 'batch')}"
    pipeline.faults.fail("s3:CopyObject", f"processing/{name_of(pipeline, 'batch')}/", error="AccessDenied", times=None)
    assert pipeline.start(files, name_of(pipeline, "batch")) == arn
    assert pipeline.ended(arn)["status"] == "FAILED"
    assert_committed(pipeline, "failed_before_the_manifest", arn, files)


def test_the_email_about_a_refused_rejection_email_holds_that_one(pipeline: Pipeline) -> None:
    pipeline.jobs.compose_email = the_real_email(pipeline, accepted=0)
    pipeline.faults.fail("sns:Publish", "1 file rejected", error="AccessDenied", times=5)
    files = [pipeline.upload("bad.csv")]
    arn = pipeline.start(files, name_of(pipeline, "batch"))
    assert pipeline.ended(arn)["status"] == "FAILED"
    assert_committed(pipeline, "failed_rejection_email", arn, files)


def test_the_email_about_a_stopped_job_tells_how_to_start_the_batch_anew(pipeline: Pipeline) -> None:
    pipeline.glue.outcomes[pipeline.compute_job] = lambda _: "STOPPED"
    files = [pipeline.upload("good.csv")]
    arn = pipeline.start(files, name_of(pipeline, "batch"))
    assert pipeline.ended(arn)["error"] == "JobDidNotSucceed"
    assert_committed(pipeline, "failed_stopped_job", arn, files)


@pytest.mark.parametrize("how", ["TIMED_OUT", "ABORTED"])
def test_the_email_about_a_timeout_or_an_abort_is_the_committed_one(pipeline: Pipeline, how: str) -> None:
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "RUNNING"
    files = [pipeline.upload("good.csv")]
    with pipeline.definition(lambda definition: definition.update(TimeoutSeconds=10 if how == "TIMED_OUT" else 60)):
        arn = pipeline.start(files, name_of(pipeline, "batch"))
        wait_for(lambda: pipeline.validate_job in pipeline.jobs_run(), "the run")
        if how == "ABORTED":
            pipeline.sfn.stop_execution(executionArn=arn, error="Operator", cause="the wrong files")
        assert pipeline.ended(arn)["status"] == how
    assert_committed(pipeline, how.lower(), arn, files)
