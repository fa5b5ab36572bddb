"""Each call of AWS that the state machine `recompute` makes fails in each way: the table of docs/faults.md."""

from __future__ import annotations

import json
from typing import Final

import pytest

from glue_scripts import names
from tests import fault_table
from tests.workflow.conftest import Deployed
from tests.workflow.job_calls import Call
from tests.workflow.pipeline import Pipeline
from tests.workflow.test_fault_matrix import task_names

CALLER: Final = "State machine `recompute`"
CALLS: Final = [
    Call("s3:PutObject", names.RECOMPUTE_PREFIX, "WriteDays"),
    Call("glue:StartJobRun", names.RECOMPUTE_PREFIX, "ComputeDays"),
]


def test_the_page_tells_of_every_task_of_the_state_machine() -> None:
    assert {call.purpose for call in CALLS} == task_names("recompute")
    fault_table.assert_complete(CALLER, CALLS)


@pytest.mark.parametrize(("call", "error", "times"), fault_table.cells(CALLS), ids=fault_table.name_of)
def test_a_call_of_the_state_machine_fails(
    deployed: Deployed, pipeline: Pipeline, call: Call, error: str, times: str
) -> None:
    pipeline.glue.outcomes[pipeline.compute_job] = lambda _: "SUCCEEDED"

    def status() -> str:
        machine = deployed.outputs["RecomputeStateMachineArn"]
        started = pipeline.sfn.start_execution(stateMachineArn=machine, input=json.dumps({"days": ["2024-06-25"]}))
        return str(pipeline.ended(started["executionArn"])["status"])

    fault = pipeline.faults.fail(
        call.operation,
        call.about,
        error=fault_table.code(call.operation, error),
        times=1 if times == "once" else None,
    )
    outcome = "retried"
    if status() == "FAILED":
        outcome = "repeated"
        fault.lift()
        assert status() == "SUCCEEDED"
    assert fault.calls > 1
    assert pipeline.jobs_run() == [pipeline.compute_job]
    fault_table.check(CALLER, CALLS, call, error, times, outcome)
