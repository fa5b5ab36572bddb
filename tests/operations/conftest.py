"""An environment `dev` on moto, with the names that the stacks give, a real pipe and Glue runs that a test scripts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest

from benchmarks.tables import create_tables
from glue_scripts import names
from glue_scripts.kpi_items import DayKpis
from glue_scripts.ledger import Claim
from glue_scripts.objects import Location, read_json
from glue_scripts.publication import Publisher
from local_aws.environment import client_environment
from local_aws.iam.principals import ANYBODY
from local_aws.pipes import Pipe, PipePoller
from operations import cli, waiting
from operations.deployment import Deployment
from stacks.constructs.state_machine import DEFINITIONS
from tests.local.workflow_server import ACCOUNT, REGION, ROLE_ARN, WorkflowServer, workflow_server

BUCKET = f"music-kpi-dev-data-{ACCOUNT}-{REGION}"
DAY = "2024-06-25"
COMPUTE_JOB = "music-kpi-dev-compute-kpis"
COMMAND = {"Name": "glueetl", "ScriptLocation": "s3://x/y.py"}
UPLOADED_AT = "2024-06-25T00:00:00Z"
FIGURES: dict[str, Any] = {
    "listens": 7,
    "unique_listeners": 2,
    "listening_time_ms": 61_000,
    "avg_listening_time_ms_per_user": Decimal("30500.50"),
    "avg_listening_time_ms_per_play": Decimal("1.25"),
}
PASS = {"QueryLanguage": "JSONata", "StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


def day_kpis(date: str, *genres: str, unknown_plays: int = 0) -> DayKpis:
    """A day whose genres all have the same figures, and an hour."""
    songs = [{"rank": 1, "track_id": "t", "track_name": "[red]Song", "artists": "A", "listens": 4}]
    summary = {
        "date": date,
        "listens": 7,
        "unique_listeners": 2,
        "listening_time_ms": 61_000,
        "unknown_track_plays": unknown_plays,
        "listens_per_listener": Decimal("3.50"),
        "top_genres": [{"rank": rank, "genre": genre, "listens": 7} for rank, genre in enumerate(genres, 1)],
        "listens_by_country": {"Peru": 7},
    }
    rows = [{"date": date, "genre": genre, **FIGURES, "top_songs": songs, "hours": {"17": FIGURES}} for genre in genres]
    return DayKpis(summary, rows, ["unheard"] if unknown_plays else [])


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
        capture: of pytest.
        kpis: what a day that has runs is computed to, by date; a day of the genre pop where nothing is given.
    """

    server: WorkflowServer
    deployment: Deployment
    computed: list[list[str]]
    capture: pytest.CaptureFixture[str]
    kpis: dict[str, DayKpis] = field(default_factory=dict)

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

    def item(self, key: Mapping[str, str]) -> dict[str, Any]:
        """An item of the ledger; empty where there is none."""
        return dict(self.deployment.ledger_table.get_item(Key=key, ConsistentRead=True).get("Item", {}))

    def receive(self, key: str, version_id: str, uploaded_at: str = UPLOADED_AT) -> None:
        """Does what the validation job does to the ledger when it begins with a file."""
        self.deployment.ledger.receive_file(key, version_id, {"execution": "arn:e", "uploaded_at": uploaded_at})

    def deploy(self, **changes: str) -> None:
        """Creates the KPI job, or one with other arguments in its place, which AWS would refuse."""
        arguments = {"--kpi_code": "c0de", "--top_songs": "3", "--top_genres": "5"}
        arguments |= {f"--{name}": value for name, value in changes.items()}
        self.server.client("glue").create_job(
            Name=COMPUTE_JOB, Role=ROLE_ARN, Command=COMMAND, DefaultArguments=arguments
        )

    def publish(self, date: str, *runs: str) -> int:
        """Publishes a day once for each run, or once as it is; returns the version that is visible then."""
        arguments = self.deployment.glue.get_job(JobName=COMPUTE_JOB)["Job"]["DefaultArguments"]
        made_with = {
            "kpi_code": arguments["--kpi_code"],
            "kpi_settings": {name: int(arguments[f"--{name}"]) for name in ("top_songs", "top_genres")},
        }
        each_time: list[tuple[str, ...]] = [(run,) for run in runs]
        for committed in each_time or [()]:
            publisher = Publisher(self.deployment.ledger, self.deployment.kpi_table, self._kpis_of, made_with)
            publisher.publish({date: committed})
        return self.deployment.kpi_table.visible([date])[date].version

    def _kpis_of(self, claims: Sequence[Claim], *_: object) -> dict[str, DayKpis]:
        return {claim.date: self.kpis.get(claim.date, day_kpis(claim.date, "pop")) for claim in claims if claim.runs}

    def compute(self, arguments: dict[str, str]) -> str:
        """A run of the KPI job that computes nothing."""
        document = read_json(self.deployment.s3, Location.of_uri(arguments["--accepted_uri"]), names.ACCEPTED_FORMAT)
        self.computed.append(document["recompute"])
        for date in document["recompute"]:
            self.publish(date)
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
        world = World(server, Deployment.find("dev"), [], capsys)
        world.deploy()
        server.glue.outcomes[COMPUTE_JOB] = world.compute
        poller = PipePoller([pipe], server.endpoint_url)
        poller.start()
        yield world
        poller.close()


def _create(server: WorkflowServer) -> Pipe:
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    create_tables(boto3.resource("dynamodb", region_name=REGION), "music-kpi-dev-")
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
    server.client("glue").create_job(Name="music-kpi-dev-validate-batch", Role=ROLE_ARN, Command=COMMAND)
    properties = {
        "RoleArn": ROLE_ARN,
        "Source": arn,
        "Target": machine,
        "TargetParameters": {"InputTemplate": "<$.body.detail>"},
    }
    server.client("pipes").create_pipe(Name="music-kpi-dev-uploads", **properties)
    return Pipe.from_properties("music-kpi-dev-uploads", properties)
