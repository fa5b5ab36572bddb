"""An environment `dev` on moto, with the names that the stacks give, a real pipe and Glue runs that a test scripts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from glue_scripts import names
from glue_scripts.ledger import Claim
from glue_scripts.objects import Location, read_json
from local_aws.environment import client_environment
from local_aws.iam.principals import ANYBODY
from local_aws.pipes import Pipe, PipePoller
from operations import cli, waiting
from operations.deployment import Deployment
from stacks.constructs.state_machine import DEFINITIONS
from tests.local.workflow_server import ACCOUNT, REGION, ROLE_ARN, WorkflowServer, workflow_server

BUCKET = f"music-kpi-dev-data-{ACCOUNT}-{REGION}"
DAY = "2024-06-25"
PASS = {"QueryLanguage": "JSONata", "StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    out: str
    err: str


@dataclass(frozen=True)
class World:
    """The environment, and a way to run commands on it.

    Attributes:
        server: where it is.
        deployment: the environment as the commands see it.
        computed: the days of each run of the KPI job.
        snapshots: what a run of the KPI job computes with, by dataset.
        capture: of pytest.
    """

    server: WorkflowServer
    deployment: Deployment
    computed: list[list[str]]
    snapshots: dict[str, str]
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str, environment: str = "dev") -> Ended:
        """Runs a command as `python -m operations` does."""
        self.capture.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["operations", *arguments, "--env", environment])
            with pytest.raises(SystemExit) as end:
                cli.main()
        out, err = self.capture.readouterr()
        return Ended(int(end.value.code or 0), out, err)

    def put(self, key: str, content: bytes, **options: Any) -> str:  # noqa: ANN401 - of PutObject
        """Writes an object; returns its version."""
        return self.deployment.s3.put_object(Bucket=BUCKET, Key=key, Body=content, **options)["VersionId"]

    def contents(self, prefix: str = "", *, but: Collection[str] = ()) -> dict[tuple[str, str], bytes]:
        """Every object version by key and version id, but those of some keys."""
        s3 = self.deployment.s3
        found = s3.list_object_versions(Bucket=BUCKET, Prefix=prefix).get("Versions", [])
        return {
            (version["Key"], version["VersionId"]): s3.get_object(
                Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"]
            )["Body"].read()
            for version in found
            if version["Key"] not in but
        }

    def item(self, key: str) -> dict[str, Any]:
        """An item of the ledger; empty where there is none."""
        found = self.deployment.ledger_table.get_item(Key={names.LEDGER_PARTITION_KEY: key}, ConsistentRead=True)
        return dict(found.get("Item", {}))

    def publish(self, date: str, *runs: str, snapshots: dict[str, str] | None = None) -> Claim:
        """Does what the KPI job does to the ledger."""
        ledger = self.deployment.ledger
        for run in runs[:-1]:
            ledger.claim_day(date, run)
        claim = ledger.claim_day(date, runs[-1] if runs else None)
        assert ledger.publish_day(claim, unknown_plays=0, snapshots=snapshots or {})
        return claim

    def compute(self, arguments: dict[str, str]) -> str:
        """A run of the KPI job that only keeps the books."""
        document = read_json(self.deployment.s3, Location.of_uri(arguments["--accepted_uri"]), names.ACCEPTED_FORMAT)
        self.computed.append(document["recompute"])
        for date in document["recompute"]:
            self.publish(date, snapshots=self.snapshots)
        return "SUCCEEDED"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    """An environment of this test's own."""
    with workflow_server(tmp_path, monkeypatch) as server:
        for name, value in client_environment(server.endpoint_url, REGION, ANYBODY).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("COLUMNS", "240")
        monkeypatch.setattr(waiting, "POLL_SECONDS", 0.05)
        pipe = _create(server)
        world = World(server, Deployment.find("dev"), [], {}, capsys)
        server.glue.outcomes["music-kpi-dev-compute-kpis"] = world.compute
        poller = PipePoller([pipe], server.endpoint_url)
        poller.start()
        yield world
        poller.close()


def _create(server: WorkflowServer) -> Pipe:
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    _create_tables()
    _, arn = server.queue("music-kpi-dev-uploads")
    for name in ("uploads-dead-letters", "notify-failure-dead-letters"):
        server.queue(f"music-kpi-dev-{name}")
    machine = server.client("stepfunctions").create_state_machine(
        name="music-kpi-dev-pipeline", definition=json.dumps(PASS), roleArn=ROLE_ARN
    )["stateMachineArn"]
    recompute = (DEFINITIONS / "recompute.asl.json").read_text(encoding="utf-8")
    for name, value in {"DataBucket": BUCKET, "ComputeKpisJob": "music-kpi-dev-compute-kpis"}.items():
        recompute = recompute.replace(f"${{{name}}}", value)
    server.client("stepfunctions").create_state_machine(
        name="music-kpi-dev-recompute", definition=recompute, roleArn=ROLE_ARN
    )
    for job in ("validate-batch", "compute-kpis"):
        server.client("glue").create_job(
            Name=f"music-kpi-dev-{job}", Role=ROLE_ARN, Command={"Name": "glueetl", "ScriptLocation": "s3://x/y.py"}
        )
    properties = {
        "RoleArn": ROLE_ARN,
        "Source": arn,
        "Target": machine,
        "TargetParameters": {"InputTemplate": "<$.body.detail>"},
    }
    server.client("pipes").create_pipe(Name="music-kpi-dev-uploads", **properties)
    return Pipe.from_properties("music-kpi-dev-uploads", properties)


def _create_tables() -> None:
    dynamodb = boto3.resource("dynamodb", region_name=REGION)
    dynamodb.create_table(
        TableName="music-kpi-dev-ledger",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": names.LEDGER_PARTITION_KEY, "AttributeType": "S"},
            {"AttributeName": names.STATUS_INDEX_PARTITION_KEY, "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": names.LEDGER_PARTITION_KEY, "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": names.STATUS_INDEX,
                "KeySchema": [
                    {"AttributeName": names.STATUS_INDEX_PARTITION_KEY, "KeyType": "HASH"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    dynamodb.create_table(
        TableName="music-kpi-dev-kpis",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": names.KPIS_PARTITION_KEY, "AttributeType": "S"},
            {"AttributeName": names.KPIS_SORT_KEY, "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": names.KPIS_PARTITION_KEY, "KeyType": "HASH"},
            {"AttributeName": names.KPIS_SORT_KEY, "KeyType": "RANGE"},
        ],
    )
