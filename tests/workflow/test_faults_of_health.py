"""Each call of AWS that the function `pipeline_health` makes fails in each way: the table of docs/faults.md."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from glue_scripts.metrics import MetricsNotPutError
from lambdas.pipeline_health.handler import handler
from tests import fault_table
from tests.workflow.conftest import Deployed
from tests.workflow.job_calls import Call, Wire
from tests.workflow.pipeline import client

CALLER: Final = "Lambda `pipeline_health`"
CALLS: Final = [
    Call("dynamodb:Query", "RECEIVED", "files that were received"),
    Call("dynamodb:Query", "ACCEPTED", "files that were accepted"),
    Call("dynamodb:Query", "DAYS", "days that are not published"),
    Call("s3:ListObjectVersions", "raw", "what is in raw/"),
    Call("dynamodb:GetItem", "FILE#", "whether a file of it is known"),
    Call("cloudwatch:PutMetricData", "", "metrics"),
]


@pytest.fixture
def wire(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """What the function's boto3 goes through."""
    # Lambda sets both variables of the region.
    region = {"AWS_DEFAULT_REGION": deployed.environment["AWS_REGION"]}
    for name, value in {**deployed.environment, **region, "ENVIRONMENT": "dev"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LEDGER_TABLE", deployed.outputs["LedgerTableName"])
    monkeypatch.setenv("DATA_BUCKET", deployed.outputs["DataBucketName"])
    monkeypatch.setattr("lambdas.pipeline_health.handler.FORGOTTEN_AFTER", timedelta(minutes=-1))
    client(deployed.environment, "s3").put_object(
        Bucket=deployed.outputs["DataBucketName"], Key="raw/streams/known-to-nobody.csv", Body=b"user_id,x,y" * 9
    )
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    wire = Wire()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", wire.watched(boto3.session.Session()))
    return wire


def test_the_page_tells_of_every_call_of_the_function(wire: Wire) -> None:
    handler({}, None)
    assert [made for made in wire.seen if not any(call.is_made_by(*made) for call in CALLS)] == []
    assert [call for call in CALLS if not any(call.is_made_by(*made) for made in wire.seen)] == []
    fault_table.assert_complete(CALLER, CALLS)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(("call", "error", "times"), fault_table.cells(CALLS), ids=fault_table.name_of)
def test_a_call_of_the_function_fails(wire: Wire, call: Call, error: str, times: str) -> None:
    wire.fail_as(call, error, times)
    outcome = "retried"
    try:
        handler({}, None)
    except (BotoCoreError, ClientError, MetricsNotPutError):
        outcome = "alarm"  # of missing data; the schedule calls it again
    assert wire.left != 1, "the call was not made"
    wire.lift()
    assert handler({}, None)
    fault_table.check(CALLER, CALLS, call, error, times, outcome)
