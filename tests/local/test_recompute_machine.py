"""The state machine `recompute` starts one run of the KPI job with exactly the days that it is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from glue_scripts import names
from tests.local.workflow_server import WorkflowServer, workflow_server

DEFINITION: Final = Path(__file__).parents[2] / "state_machines" / "recompute.asl.json"
BUCKET: Final = "data"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    """A server of this test's own."""
    with workflow_server(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def machine(server: WorkflowServer) -> str:
    """The state machine; its job ends well."""
    server.client("s3").create_bucket(Bucket=BUCKET)
    server.glue.outcomes["compute"] = lambda _: "SUCCEEDED"
    text = DEFINITION.read_text(encoding="utf-8")
    return server.create_state_machine(text.replace("${DataBucket}", BUCKET).replace("${ComputeKpisJob}", "compute"))


def document(server: WorkflowServer, run: dict[str, Any]) -> dict[str, Any]:
    """What a job run was given to read."""
    assert run["Arguments"].keys() == {"--accepted_uri"}
    key = run["Arguments"]["--accepted_uri"].removeprefix(f"s3://{BUCKET}/")
    found: dict[str, Any] = json.loads(server.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    return found


@pytest.mark.parametrize("count", [1, 2, 400])
def test_the_job_gets_the_days(server: WorkflowServer, machine: str, count: int) -> None:
    days = [f"{2000 + number // 28}-01-{1 + number % 28:02}" for number in range(count)]

    ended = server.run(machine, {"days": days})

    assert ended["status"] == "SUCCEEDED"
    (run,) = server.glue.runs.values()
    assert document(server, run) == {
        "format": names.ACCEPTED_FORMAT,
        "execution_arn": ended["executionArn"],
        "files": [],
        "recompute": days,
    }
    assert run["Arguments"]["--accepted_uri"].startswith(f"s3://{BUCKET}/{names.RECOMPUTE_PREFIX}{ended['name']}/")


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        [],
        "2024-06-25",
        {"days": []},
        {"days": "2024-06-25"},
        {"days": ["2024-06-25"] * 401},
        {"days": [20240625]},
        {"days": [["2024-06-25"]]},
        {"days": [None]},
        {"days": ["2024-06-25", "2024-06-25 --scriptLocation s3://x/y.py"]},
        {"days": ["2024-6-25"]},
        {"days": {"a": "2024-06-25"}},
    ],
)
def test_anything_else_starts_no_job(server: WorkflowServer, machine: str, given: object) -> None:
    ended = server.run(machine, given)

    assert (ended["status"], ended["error"]) == ("FAILED", "DaysNotUnderstood")
    assert server.glue.runs == {}


def test_what_else_stands_in_the_input_goes_nowhere(server: WorkflowServer, machine: str) -> None:
    arguments = {"--scriptLocation": "s3://data/evil.py"}

    server.run(machine, {"days": ["2024-06-25"], "Arguments": arguments, "files": ["x"], "JobName": "other"})

    (run,) = server.glue.runs.values()
    assert run["JobName"] == "compute"
    assert document(server, run)["files"] == []


def test_a_run_that_does_not_succeed_fails_the_execution(server: WorkflowServer, machine: str) -> None:
    server.glue.outcomes["compute"] = lambda _: "STOPPED"

    ended = server.run(machine, {"days": ["2024-06-25"]})

    assert (ended["status"], len(server.glue.runs)) == ("FAILED", 1)
    assert ended["error"] == "DaysNotComputed"
