"""The stacks on one embedded AWS for the whole folder; Glue's jobs do what a test says, uploads start nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app import build_app
from local_aws.server import EmbeddedAws
from local_aws.step_functions import WAIT_SCALE_VARIABLE
from tests.kpi_api.rows import computed_rows
from tests.local.workflow_server import ScriptedGlue
from tests.workflow.conftest import WAIT_SCALE
from tests.workflow.faults import Faults
from tests.workflow.pipeline import Pipeline, client, table_of

SETTINGS = {"batch_window_seconds": 1, "api_access": "api_key", "api_allowed_cidrs": "127.0.0.1/32"}


@dataclass(frozen=True)
class Stacks:
    """The deployed stacks, and clients of the operator."""

    outputs: dict[str, str]
    environment: dict[str, str]
    work_dir: Path

    def client(self, service: str) -> Any:  # noqa: ANN401 - the service is a variable
        """A client of a service."""
        return client(self.environment, service)


@pytest.fixture(scope="package")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """The stacks of dev, with the shortest batch window."""
    assembly, work_dir = tmp_path_factory.mktemp("assembly"), tmp_path_factory.mktemp("aws")
    build_app("dev", assembly, SETTINGS).synth()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(WAIT_SCALE_VARIABLE, WAIT_SCALE)
        with EmbeddedAws(assembly, work_dir) as aws:
            outputs = {name: value for stack in aws.outputs.values() for name, value in stack.items()}
            stacks = Stacks(outputs, aws.environment(), work_dir)
            topic = outputs["AlertTopicArn"]
            stacks.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="operator@example.com")
            stacks.client("events").disable_rule(Name="music-kpi-dev-object-created")
            _let_messages_come_back_soon(stacks)
            _put_kpis(stacks)
            yield stacks


def _let_messages_come_back_soon(stacks: Stacks) -> None:
    """Shorten the time for which the pipe has a message to itself; moto forgets a policy that is not given again."""
    sqs, url = stacks.client("sqs"), stacks.outputs["UploadQueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "2", "Policy": policy})


def _put_kpis(stacks: Stacks) -> None:
    table = table_of(stacks.environment, stacks.outputs["KpisTableName"])
    with table.batch_writer() as batch:
        for row in computed_rows(["pop"], plays_per_day=9):
            batch.put_item(Item=row)


@pytest.fixture
def pipeline(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The deployed pipeline, as one test uses it."""
    glue = ScriptedGlue(monkeypatch)
    return Pipeline(stacks.outputs, stacks.environment, stacks.work_dir, glue, Faults(monkeypatch))
