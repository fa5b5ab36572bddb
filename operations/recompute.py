"""Computes days anew: after a catalogue correction, or after a purge."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from glue_scripts import names
from glue_scripts.ledger import Day
from glue_scripts.objects import Location, write_json
from operations.deployment import Deployment
from operations.errors import OperationError, UnknownThingError
from operations.executions import UNFINISHED_JOB_STATES, now
from operations.waiting import wait_until

MAX_DAYS_OF_A_RUN: Final = 400
"""Days that one job run computes; more of them make more runs."""


class JobRunFailedError(OperationError):
    """A job run ended otherwise than SUCCEEDED."""


def days_between(deployment: Deployment, first: str, last: str) -> list[str]:
    """The days with plays from first to last.

    Raises:
        UnknownThingError: there is none.
    """
    dates = deployment.ledger.dates(first, last)
    if not dates:
        raise UnknownThingError(f"There are no plays from {first} to {last}: nothing to compute. `status` tells more.")
    return dates


def recompute(
    deployment: Deployment, dates: Sequence[str], *, minutes: float, tell: Callable[[str], None]
) -> list[Day]:
    """Computes days from all their plays and the current snapshots, and waits until the rows are visible.

    Safe to interrupt and to repeat: the job goes on by itself, and computing twice gives the same rows.

    Returns:
        The days as they are afterwards.

    Raises:
        JobRunFailedError: the job failed; the rows are those of the last computation that ended.
        NotDoneYetError: it takes longer.
    """
    for start in range(0, len(dates), MAX_DAYS_OF_A_RUN):
        _run_job(deployment, dates[start : start + MAX_DAYS_OF_A_RUN], minutes=minutes, tell=tell)
    days = [deployment.ledger.day(date) for date in dates]
    return [day for day in days if day]


def _run_job(deployment: Deployment, dates: Sequence[str], *, minutes: float, tell: Callable[[str], None]) -> None:
    folder = f"{names.PROCESSING_PREFIX}recompute-{now()}-{secrets.token_hex(4)}/"
    accepted = Location(deployment.bucket, folder + names.ACCEPTED_NAME)
    write_json(deployment.s3, accepted, {"format": names.ACCEPTED_FORMAT, "files": [], "recompute": list(dates)})
    job = deployment.compute_kpis_job
    run = deployment.glue.start_job_run(JobName=job, Arguments={"--accepted_uri": accepted.uri})["JobRunId"]
    tell(f"Job run {run} of {job} computes {len(dates)} days")

    def has_ended() -> bool:
        return _job_run(deployment, run)[0] not in UNFINISHED_JOB_STATES

    wait_until(has_ended, minutes=minutes, otherwise=f"job run {run} goes on by itself; see `status`, then repeat.")
    state, message = _job_run(deployment, run)
    if state != "SUCCEEDED":
        raise JobRunFailedError(
            f"Job run {run} of {job} ended as {state} ({message}). No row is wrong: look at the run's log, remove the "
            "cause and repeat the command."
        )


def _job_run(deployment: Deployment, run: str) -> tuple[str, str]:
    found = deployment.glue.get_job_run(JobName=deployment.compute_kpis_job, RunId=run)["JobRun"]
    return found["JobRunState"], found.get("ErrorMessage", "no message")
