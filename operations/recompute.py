"""Computes days again: after a catalogue correction, with newer code or settings, or after a purge."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from operations.days import ComputedDay, computed_day
from operations.deployment import Deployment
from operations.errors import MESSAGE_CHARACTERS, OperationError, UnknownThingError
from operations.executions import now
from operations.waiting import wait_until

MAX_DAYS_OF_A_RUN: Final = 400
"""Days that one job run computes, as many as the state machine takes; more of them make more runs."""


class RecomputationFailedError(OperationError):
    """An execution of the state machine `recompute` ended otherwise than SUCCEEDED."""


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
) -> list[ComputedDay]:
    """Computes days from all their plays and the current snapshots, and waits until the rows are visible.

    Safe to interrupt and to repeat: the execution goes on by itself, and computing twice gives the same rows.

    Returns:
        The days as they are afterwards.

    Raises:
        RecomputationFailedError: the job failed, twice; the rows are those of the last computation that ended.
        NotDoneYetError: it takes longer.
    """
    for start in range(0, len(dates), MAX_DAYS_OF_A_RUN):
        _compute(deployment, dates[start : start + MAX_DAYS_OF_A_RUN], minutes=minutes, tell=tell)
    return [computed_day(deployment, date) for date in dates]


def _compute(deployment: Deployment, dates: Sequence[str], *, minutes: float, tell: Callable[[str], None]) -> None:
    # By a state machine: whoever may start a job run chooses its script, and so acts as the job's role.
    arn = deployment.step_functions.start_execution(
        stateMachineArn=deployment.recompute_machine_arn,
        name=f"recompute-{now()}-{secrets.token_hex(4)}",
        input=json.dumps({"days": list(dates)}),
    )["executionArn"]
    execution = arn.rpartition(":")[2]
    tell(f"The execution {execution} computes {len(dates)} days")

    def described() -> Mapping[str, Any]:
        return deployment.step_functions.describe_execution(executionArn=arn)

    wait_until(
        lambda: described()["status"] != "RUNNING",
        minutes=minutes,
        otherwise=f"the execution {execution} goes on by itself; see `status`, then repeat.",
    )
    ended = described()
    if ended["status"] != "SUCCEEDED":
        raise RecomputationFailedError(
            f"The execution {execution} ended as {ended['status']}: {_why(ended)}. No row is wrong: look at the log of "
            f"the run of {deployment.compute_kpis_job}, remove the cause and repeat the command."
        )


def _why(ended: Mapping[str, Any]) -> str:
    """What the cause says of a failed job run, whose description it is; of anything else the cause itself."""
    cause = str(ended.get("cause", "no cause given"))
    try:
        run = json.loads(cause)
    except ValueError:
        run = None
    if isinstance(run, dict) and "JobRunState" in run:
        cause = f"job run {run.get('Id')} ended as {run['JobRunState']} ({run.get('ErrorMessage', 'no message')})"
    return f"{ended.get('error', 'no error named')}, {cause[:MESSAGE_CHARACTERS]}"
