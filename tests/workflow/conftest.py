"""The synthesized stacks on one embedded AWS for the whole folder; Glue's jobs do what a test says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import build_app
from glue_scripts import names
from local_aws.server import EmbeddedAws
from local_aws.step_functions import WAIT_SCALE_VARIABLE
from tests.local.workflow_server import ScriptedGlue
from tests.workflow.faults import Faults
from tests.workflow.pipeline import Pipeline, client
from validators.schemas import SNAPSHOT_DATASETS

WAIT_SCALE = "0.001"
"""A retry after 20 seconds comes after 20 milliseconds."""


@dataclass(frozen=True)
class Deployed:
    """The stacks on an embedded AWS.

    Attributes:
        outputs: output name to value, of both stacks.
        environment: environment variables of a client.
        work_dir: the work folder.
    """

    outputs: Mapping[str, str]
    environment: Mapping[str, str]
    work_dir: Path


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cloud assembly of dev."""
    folder = tmp_path_factory.mktemp("assembly")
    build_app("dev", folder).synth()
    return folder


@pytest.fixture(scope="package")
def deployed(assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The stacks, with an operator who gets the e-mails; uploads start nothing: a test says what a batch is."""
    work_dir = tmp_path_factory.mktemp("aws")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(WAIT_SCALE_VARIABLE, WAIT_SCALE)
        with EmbeddedAws(assembly, work_dir) as aws:
            outputs = {name: value for stack in aws.outputs.values() for name, value in stack.items()}
            environment = aws.environment()
            sns, events = client(environment, "sns"), client(environment, "events")
            sns.subscribe(TopicArn=outputs["AlertTopicArn"], Protocol="email", Endpoint="operator@example.com")
            (uploads,) = events.list_rules(NamePrefix="music-kpi-dev-object-created")["Rules"]
            events.disable_rule(Name=uploads["Name"])
            yield Deployed(outputs, environment, work_dir)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Calls that a test makes fail."""
    return Faults(monkeypatch)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 retries as ever, without the seconds between its tries."""
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda *_, **__: 0.0)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)


@pytest.fixture
def pipeline(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, faults: Faults) -> Pipeline:
    """The deployed pipeline, as one test uses it."""
    glue = ScriptedGlue(monkeypatch)
    return Pipeline(deployed.outputs, deployed.environment, deployed.work_dir, glue, faults)


@pytest.fixture
def no_snapshots(pipeline: Pipeline) -> None:
    """No snapshot is current: those of other tests have no objects."""
    for dataset in SNAPSHOT_DATASETS:
        pipeline.ledger.delete_item(Key={names.LEDGER_PARTITION_KEY: "SNAPSHOTS", names.LEDGER_SORT_KEY: dataset})
