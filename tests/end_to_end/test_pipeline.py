"""Files go in at one end; KPIs, e-mails and moved files come out at the other."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from laptop.collect import Email
from laptop.pipeline import Execution
from tests.end_to_end.conftest import DEADLINE_SECONDS, Deployed
from tests.end_to_end.kpi_api import days_told_by_the_api, status_without_key
from tests.end_to_end.music import FIRST_STREAMS, REFERENCES, SECOND_STREAMS, expected_rows

BROKEN_SCRIPT = b"raise RuntimeError('the disk of this machine is on fire')\n"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_SECONDS:.0f} s for {what}"
        time.sleep(0.2)


def by_key(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(row["pk"], row["sk"]): row for row in rows}


def running_job(deployed: Deployed) -> Execution | None:
    """The execution whose Glue job run is under way."""
    executions = deployed.pipeline.snapshot().executions
    return next((execution for execution in executions if execution.job_run == "RUNNING"), None)


class TestTheSetOfPlaysDecides:
    """KPI(day) is a function of the set of accepted plays: how they are spread over files changes nothing."""

    def test_a_second_file_of_a_day_adds_its_plays_and_a_copy_of_the_first_adds_none(
        self, deployed: Deployed, tmp_path: Path
    ) -> None:
        morning = {**REFERENCES, "streams/streams1.csv": FIRST_STREAMS}
        deployed.wait_for(deployed.upload(tmp_path, morning))
        assert by_key(deployed.kpi_rows()) == by_key(expected_rows(morning))

        evening = {
            "streams/streams1 (copy) [1].csv": FIRST_STREAMS,
            "streams/a:b#c ünï 日本 🎵 %2F+&'.csv": SECOND_STREAMS,
        }
        deployed.wait_for(deployed.upload(tmp_path, evening))
        assert by_key(deployed.kpi_rows()) == by_key(expected_rows({**morning, **evening}))
        assert by_key(deployed.kpi_rows()) != by_key(expected_rows(morning))
        assert deployed.emails() == []
        self.api_tells_what_the_table_holds(deployed)

    def api_tells_what_the_table_holds(self, deployed: Deployed) -> None:
        rows, told = by_key(deployed.kpi_rows()), days_told_by_the_api(deployed)
        assert told.keys() == rows.keys()
        for key, row in rows.items():
            both = row.keys() & told[key].keys()
            assert {name: told[key][name] for name in both} == {name: row[name] for name in both}
            assert {"listens", "unique_listeners", "listening_time_ms"} <= both
        assert (status_without_key(deployed, ""), status_without_key(deployed, "v1/days")) == (200, 403)


class TestSomebodyMustLook:
    """What ends otherwise than as designed ends in an e-mail that says so."""

    def test_a_crash_in_either_job_ends_in_an_email_and_a_redrive_resumes(
        self, deployed: Deployed, tmp_path: Path
    ) -> None:
        contents = {**REFERENCES, "streams/streams1.csv": FIRST_STREAMS}
        repair = self.break_job(deployed, "ComputeKpisJobName")
        files = deployed.upload(tmp_path, contents)
        deployed.wait_for(files)

        (failed,) = deployed.pipeline.snapshot().failures
        (email,) = deployed.emails()
        assert failed.status == "FAILED"
        assert email.subject == "[dev] Music KPI pipeline FAILED: somebody must look"
        assert failed.arn in email.message
        assert "the disk of this machine is on fire" in email.message
        assert any("the disk of this machine is on fire" in line for line in self.log_named_by(email, deployed))
        assert deployed.kpi_rows() == []
        days = {row["date"] for row in expected_rows(contents)}
        assert not any(map(deployed.pipeline.has_day, days))

        repair()
        deployed.pipeline.step_functions.redrive_execution(executionArn=failed.arn)
        deployed.wait_for(files)
        assert deployed.pipeline.snapshot().failures == ()
        assert by_key(deployed.kpi_rows()) == by_key(expected_rows(contents))
        assert all(map(deployed.pipeline.has_day, days))

        self.break_job(deployed, "ValidateBatchJobName")
        deployed.wait_for(deployed.upload(tmp_path, {"streams/streams2.csv": SECOND_STREAMS}))
        (failed,) = deployed.pipeline.snapshot().failures
        assert deployed.emails()[-1].subject == "[dev] Music KPI pipeline FAILED: somebody must look"
        assert failed.arn in deployed.emails()[-1].message
        assert by_key(deployed.kpi_rows()) == by_key(expected_rows(contents))

    def test_an_aborted_and_a_timed_out_execution_end_in_an_email(self, deployed: Deployed, tmp_path: Path) -> None:
        pipeline = deployed.pipeline
        files = deployed.upload(tmp_path, {"streams/streams1.csv": FIRST_STREAMS})
        wait_until(lambda: running_job(deployed) is not None, "a job run")
        aborted = running_job(deployed)
        assert aborted is not None
        pipeline.step_functions.stop_execution(executionArn=aborted.arn, error="Operator", cause="Wrong file")
        deployed.wait_for(files)

        (email,) = deployed.emails()
        assert email.subject == "[dev] Music KPI pipeline ABORTED: somebody must look"
        assert aborted.arn in email.message
        assert "Wrong file" in email.message

        self.let_executions_last(deployed, seconds=3)
        deployed.upload(tmp_path, {"streams/streams2.csv": SECOND_STREAMS})
        wait_until(lambda: len(deployed.emails()) == 2, "a second e-mail")

        statuses = [execution.status for execution in pipeline.snapshot().executions]
        assert statuses == ["ABORTED", "TIMED_OUT"]
        assert deployed.emails()[1].subject == "[dev] Music KPI pipeline TIMED OUT: somebody must look"
        wait_until(lambda: not self.unfinished_job_runs(deployed), "the end of the job runs that nobody waits for")

    def log_named_by(self, email: Email, deployed: Deployed) -> list[str]:
        """What the command of an e-mail shows: `aws logs tail` asks FilterLogEvents for the same."""
        found = re.search(r"aws logs tail (\S+) --log-stream-name-prefix (\S+) --since 14d", email.message)
        assert found is not None
        pages = deployed.client("logs").get_paginator("filter_log_events")
        asked = pages.paginate(logGroupName=found[1], logStreamNamePrefix=found[2], interleaved=True)
        return [event["message"] for page in asked for event in page["events"]]

    def break_job(self, deployed: Deployed, output: str) -> Callable[[], object]:
        """Replaces a job's script by one that raises. Returns what brings the right one back."""
        pipeline = deployed.pipeline
        job = pipeline.glue.get_job(JobName=pipeline.outputs[output])["Job"]
        bucket, _, key = job["Command"]["ScriptLocation"].removeprefix("s3://").partition("/")
        script = pipeline.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        pipeline.s3.put_object(Bucket=bucket, Key=key, Body=BROKEN_SCRIPT)
        return lambda: pipeline.s3.put_object(Bucket=bucket, Key=key, Body=script)

    def let_executions_last(self, deployed: Deployed, *, seconds: int) -> None:
        """Gives the state machine another time-out."""
        pipeline = deployed.pipeline
        arn = pipeline.outputs["StateMachineArn"]
        definition = json.loads(pipeline.step_functions.describe_state_machine(stateMachineArn=arn)["definition"])
        pipeline.step_functions.update_state_machine(
            stateMachineArn=arn, definition=json.dumps({**definition, "TimeoutSeconds": seconds})
        )

    def unfinished_job_runs(self, deployed: Deployed) -> list[str]:
        runs = deployed.pipeline.glue.get_job_runs(JobName=deployed.pipeline.outputs["ValidateBatchJobName"])["JobRuns"]
        return [run["Id"] for run in runs if run["JobRunState"] in ("STARTING", "RUNNING", "STOPPING", "WAITING")]
