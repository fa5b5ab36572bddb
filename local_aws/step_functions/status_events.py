"""`Step Functions Execution Status Change` events on the default event bus, which moto does not send.

https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from moto.events.models import events_backends

from local_aws.patching import MotoObject
from local_aws.service_metrics import count
from local_aws.step_functions.jsonata_evaluation import json_text

_DATA_LIMIT_BYTES: Final = 248 * 1024
"""AWS leaves out input and output where both together exceed 248 KiB."""

# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
_METRICS: Final = {
    "ABORTED": "ExecutionsAborted",
    "FAILED": "ExecutionsFailed",
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "TIMED_OUT": "ExecutionsTimedOut",
}


def status_change_detail(execution: MotoObject) -> dict[str, Any]:
    """Return the `detail` of the event about the present status of an execution."""
    output = None if execution.output is None else json_text(execution.output)
    included = len(execution.execution_input.encode()) + len((output or "").encode()) <= _DATA_LIMIT_BYTES
    return {
        "executionArn": execution.execution_arn,
        "stateMachineArn": execution.state_machine_arn,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "name": execution.name,
        "status": execution.status,
        "startDate": _milliseconds(execution.start_date),
        "stopDate": _milliseconds(execution.stop_date),
        "input": execution.execution_input if included else None,
        "inputDetails": {"included": included},
        "output": output if included else None,
        "outputDetails": None if output is None else {"included": included},
        "error": execution.error,
        "cause": execution.cause,
        "redriveCount": execution.redrive_count,
        "redriveDate": _milliseconds(execution.redrive_date),
        **redrive_status(execution.status),
    }


def redrive_status(status: str) -> dict[str, str | None]:
    """Return `redriveStatus` and its reason for an execution in a status."""
    if status in ("FAILED", "TIMED_OUT", "ABORTED"):
        return {"redriveStatus": "REDRIVABLE", "redriveStatusReason": None}
    return {
        "redriveStatus": "NOT_REDRIVABLE",
        "redriveStatusReason": f"Execution is {status} and cannot be redriven",
    }


def send_status_change(execution: MotoObject) -> None:
    """Put the event about the present status of an execution on the default event bus of its account and region.

    It is counted among the state machine's metrics, too.
    """
    if metric := _METRICS.get(execution.status):
        dimensions = {"StateMachineArn": execution.state_machine_arn}
        count("AWS/States", metric, dimensions, account=execution.account_id, region=execution.region_name)
    events_backends[execution.account_id][execution.region_name].put_events(
        [
            {
                "Source": "aws.states",
                "DetailType": "Step Functions Execution Status Change",
                "Detail": json.dumps(status_change_detail(execution)),
                "Resources": [execution.execution_arn],
            }
        ]
    )


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
