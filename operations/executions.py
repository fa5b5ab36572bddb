"""Executions of the pipeline and runs of its jobs: what runs, what failed, and redrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Final, Literal

from botocore.exceptions import ClientError

from operations.deployment import Deployment
from operations.errors import UnknownThingError

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

FAILED_STATUSES: Final[tuple[Literal["FAILED", "TIMED_OUT", "ABORTED"], ...]] = ("FAILED", "TIMED_OUT", "ABORTED")
UNFINISHED_JOB_STATES: Final = ("STARTING", "RUNNING", "STOPPING", "WAITING")
LONGEST_JOB_RUN: Final = timedelta(days=8)
"""A job run that was started longer ago has ended.

Glue stops a run after seven days at the latest, and lets none wait for a day before:
https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-jobs-runs.html (Timeout),
https://docs.aws.amazon.com/glue/latest/dg/job-run-statuses.html (WAITING).
"""
FAIL_STATES: Final = ("JobDidNotSucceed", "VerdictNotUnderstood", "BatchTooLarge")
"""Errors of the state machine's own Fail states: a redrive enters the same state and fails again."""


@dataclass(frozen=True)
class FailedExecution:
    """An execution that ended otherwise than as designed, and was not redriven.

    Attributes:
        arn: of the execution.
        name: its name.
        status: FAILED, TIMED_OUT or ABORTED.
        stopped: when, ISO 8601 in UTC.
        error: the error's name; None where there is none.
        obstacle: why it cannot be redriven; None where it can.
    """

    arn: str
    name: str
    status: str
    stopped: str
    error: str | None
    obstacle: str | None


def running_executions(deployment: Deployment) -> list[str]:
    """Names of the executions under way, of the pipeline and of recomputations."""
    machines = (deployment.state_machine_arn, deployment.recompute_machine_arn)
    return [execution["name"] for machine in machines for execution in _listed(deployment, machine, "RUNNING")]


def failed_executions(deployment: Deployment) -> list[FailedExecution]:
    """Executions that failed, timed out or were aborted, and were not redriven; the oldest first."""
    machine = deployment.state_machine_arn
    listed = [execution for status in FAILED_STATUSES for execution in _listed(deployment, machine, status)]
    listed.sort(key=lambda execution: (execution["startDate"], execution["name"]))
    return [_described(deployment, execution["executionArn"]) for execution in listed]


def find_failed(deployment: Deployment, named: Sequence[str]) -> list[FailedExecution]:
    """Failed executions by their ARNs or names.

    Raises:
        UnknownThingError: one of them does not exist, or did not fail.
    """
    prefix = deployment.state_machine_arn.replace(":stateMachine:", ":execution:") + ":"
    return [_described(deployment, name if name.startswith("arn:") else prefix + name) for name in named]


def redrive(deployment: Deployment, execution: FailedExecution) -> None:
    """Lets an execution go on at the state that failed."""
    deployment.step_functions.redrive_execution(executionArn=execution.arn)


def unfinished_job_runs(deployment: Deployment) -> list[str]:
    """Job runs under way, as `job: run`; one can outlive its execution, because aborting is best effort.

    GetJobRuns lists the runs of 90 days, the newest first: what was started before LONGEST_JOB_RUN is not asked for.
    """
    oldest = datetime.now(UTC) - LONGEST_JOB_RUN
    runs = []
    for job in (deployment.validate_batch_job, deployment.compute_kpis_job):
        pages = deployment.glue.get_paginator("get_job_runs").paginate(JobName=job)
        listed = (run for page in pages for run in page["JobRuns"])
        recent = takewhile(lambda run: run["StartedOn"] >= oldest, listed)
        runs += [f"{job}: {run['Id']}" for run in recent if run["JobRunState"] in UNFINISHED_JOB_STATES]
    return runs


def _listed(
    deployment: Deployment, machine: str, status: Literal["RUNNING", "FAILED", "TIMED_OUT", "ABORTED"]
) -> list[ExecutionListItemTypeDef]:
    pages = deployment.step_functions.get_paginator("list_executions").paginate(
        stateMachineArn=machine, statusFilter=status
    )
    return [execution for page in pages for execution in page["executions"]]


def _described(deployment: Deployment, arn: str) -> FailedExecution:
    try:
        found = deployment.step_functions.describe_execution(executionArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ExecutionDoesNotExist", "InvalidArn"):
            raise
        raise UnknownThingError(f"There is no execution {arn}: take its ARN or name from `status`.") from error
    if found["status"] not in FAILED_STATUSES:
        raise UnknownThingError(f"The execution {found['name']} is {found['status']}: there is nothing to redrive.")
    error_name = found.get("error")
    obstacle = None
    if error_name in FAIL_STATES:
        obstacle = f"it ended in the Fail state {error_name}; start its batch anew, see docs/runbook.md"
    elif found.get("redriveStatus") != "REDRIVABLE":
        obstacle = found.get("redriveStatusReason", "Step Functions does not redrive it")
    return FailedExecution(
        arn=arn,
        name=found["name"],
        status=found["status"],
        stopped=found["stopDate"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        error=error_name,
        obstacle=obstacle,
    )


def now() -> str:
    """This moment as a part of names."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
