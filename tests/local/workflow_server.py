"""A moto server with the workflow parts of the embedded AWS, and a Glue whose runs end as a test says."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

import boto3
import pytest
from botocore.config import Config
from moto.core.responses import ActionResult
from moto.glue.responses import GlueResponse
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local_aws import dynamodb_transactions, events, step_functions
from local_aws.mailbox import Mailbox

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
ROLE_ARN: Final = f"arn:aws:iam::{ACCOUNT}:role/state-machine"
DEADLINE_SECONDS: Final = 30.0
FAST: Final = 0.01
"""Wait scale of the tests: a retry after 20 seconds comes after 0.2."""


def wait_for(condition: Callable[[], Any], what: str) -> Any:  # noqa: ANN401
    """Return what a condition gives once it is true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.02)
    return value


class ScriptedGlue:
    """Glue runs that end as the test says, in place of moto's.

    Attributes:
        outcomes: Job name to what a run of it does; it gets the arguments and returns the final state, or `RUNNING`.
        error_messages: Job name to the ErrorMessage of its runs.
        runs: Run id to the run. An id is given once in a process: what an execution of an earlier test still asks for
            is none of these.
    """

    _numbers: ClassVar = itertools.count(1)

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error_messages: dict[str, str] = {}
        self.outcomes: dict[str, Callable[[dict[str, str]], str]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        monkeypatch.setattr(GlueResponse, "start_job_run", lambda response: self._start(json.loads(response.body)))
        monkeypatch.setattr(GlueResponse, "get_job_run", lambda response: self._get(json.loads(response.body)))
        monkeypatch.setattr(
            GlueResponse, "batch_stop_job_run", lambda response: self._stop(json.loads(response.body)), raising=False
        )

    def _start(self, parameters: dict[str, Any]) -> ActionResult:
        name, arguments = parameters["JobName"], parameters.get("Arguments", {})
        run_id = f"jr_{next(self._numbers)}"
        run = {"Id": run_id, "JobName": name, "JobRunState": "RUNNING", "StartedOn": datetime.now(tz=UTC)}
        self.runs[run_id] = run | {"Arguments": arguments}
        self.runs[run_id]["JobRunState"] = self.outcomes[name](arguments)
        if name in self.error_messages:
            self.runs[run_id]["ErrorMessage"] = self.error_messages[name]
        return ActionResult({"JobRunId": run_id})

    def _get(self, parameters: dict[str, Any]) -> ActionResult:
        return ActionResult({"JobRun": self.runs[parameters["RunId"]]})

    def _stop(self, parameters: dict[str, Any]) -> ActionResult:
        for run_id in self.runs.keys() & set(parameters["JobRunIds"]):
            self.runs[run_id]["JobRunState"] = "STOPPED"
        return ActionResult({"SuccessfulSubmissions": [], "Errors": []})


class WorkflowServer:
    """A running server.

    Args:
        endpoint_url: Where it answers.
        emails: Folder of its mailbox.
        glue: Its Glue.
    """

    def __init__(self, endpoint_url: str, emails: Path, glue: ScriptedGlue) -> None:
        self.endpoint_url = endpoint_url
        self.emails_directory = emails
        self.glue = glue
        self._names = itertools.count(1)

    def client(self, service: str) -> Any:  # noqa: ANN401
        """Return a client of a service."""
        return _client(self.endpoint_url, service)

    def create_state_machine(self, definition: str | dict[str, Any]) -> str:
        """Create a state machine and return its ARN."""
        text = definition if isinstance(definition, str) else json.dumps({"QueryLanguage": "JSONata", **definition})
        answer = self.client("stepfunctions").create_state_machine(
            name=f"machine-{next(self._names)}", definition=text, roleArn=ROLE_ARN
        )
        return str(answer["stateMachineArn"])

    def start(self, machine: str | dict[str, Any], execution_input: object = None, **named: str) -> str:
        """Start an execution of a state machine (an ARN or a definition) and return the execution's ARN."""
        arn = machine if isinstance(machine, str) else self.create_state_machine(machine)
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=arn, input=json.dumps({} if execution_input is None else execution_input), **named
        )
        return str(answer["executionArn"])

    def ended(self, execution_arn: str) -> dict[str, Any]:
        """Wait until an execution has ended, and return its description; the output is read."""
        client = self.client("stepfunctions")

        def description() -> dict[str, Any] | None:
            found: dict[str, Any] = client.describe_execution(executionArn=execution_arn)
            return None if found["status"] == "RUNNING" else found

        found: dict[str, Any] = wait_for(description, f"the end of {execution_arn}")
        if "output" in found:
            found["output"] = json.loads(found["output"])
        return found

    def run(self, machine: str | dict[str, Any], execution_input: object = None) -> dict[str, Any]:
        """Start an execution, wait for its end and return its description."""
        return self.ended(self.start(machine, execution_input))

    def history(self, execution_arn: str) -> list[dict[str, Any]]:
        """Return every event of an execution's history."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        return [event for page in pages.paginate(executionArn=execution_arn) for event in page["events"]]

    def stop_executions(self) -> None:
        """Stop every execution that runs, and wait until none of their threads asks this server for anything."""
        client = self.client("stepfunctions")
        # Any: the thread is `local_aws.step_functions.executions`'s.
        executions: list[Any] = [
            execution
            for machine in stepfunctions_parser_backends[ACCOUNT][REGION].state_machines
            for execution in machine.executions
        ]
        for execution in executions:
            if execution.status == "RUNNING":
                client.stop_execution(executionArn=execution.execution_arn)
        for execution in executions:
            execution.thread.join(DEADLINE_SECONDS)
            assert not execution.thread.is_alive(), f"{execution.execution_arn} was stopped and goes on"

    def emails(self) -> list[dict[str, str]]:
        """Return the e-mails that were sent."""
        path = self.emails_directory / "emails.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def queue(self, name: str, **attributes: str) -> tuple[str, str]:
        """Create a queue and return its URL and ARN."""
        url = self.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return str(url), f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


@cache
def _client(endpoint_url: str, service: str) -> Any:  # noqa: ANN401
    make_client: Any = boto3.session.Session().client
    return make_client(
        service,
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=50),
    )


@cache
def _endpoint_url() -> str:
    """Start a server that lives as long as this process: stopping one takes half a second."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


@contextmanager
def workflow_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_scale: float = FAST
) -> Iterator[WorkflowServer]:
    """Give a server with an empty account; executions that a test left running end with the test."""
    moto_api_backend.reset()
    step_functions.install(wait_scale=wait_scale)
    events.install()
    dynamodb_transactions.install()
    Mailbox(tmp_path / "emails").install()
    server = WorkflowServer(_endpoint_url(), tmp_path / "emails", ScriptedGlue(monkeypatch))
    try:
        yield server
    finally:
        server.stop_executions()
        step_functions.install(wait_scale=1)
