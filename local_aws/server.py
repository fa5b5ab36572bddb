"""The embedded AWS: moto's server, what moto lacks, and the deployed cloud assembly, in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from moto.moto_api._internal.models import moto_api_backend
from moto.stepfunctions.responses import get_backend

from local_aws import (
    cloudwatch,
    cloudwatch_logs,
    dynamodb_transactions,
    events,
    previous_runs,
    s3_directory,
    step_functions,
)
from local_aws.api_gateway.listeners import ApiListeners
from local_aws.api_gateway.rest_api import rest_apis
from local_aws.assembly import read_assembly
from local_aws.cloudformation import DeployedResource, Deployment, deploy
from local_aws.environment import client_environment
from local_aws.glue_jobs import GlueJobs
from local_aws.iam import enforcement
from local_aws.iam.conditions import UnsupportedPolicyError
from local_aws.iam.enforcement import Enforcement
from local_aws.intrinsics import DeploymentError
from local_aws.lambda_functions import LambdaFunctions
from local_aws.logs import log_to_file
from local_aws.mailbox import Mailbox
from local_aws.moto_server import MotoServer
from local_aws.patching import MotoObject
from local_aws.pipes import Pipe, PipePoller, UnsupportedPipeError
from local_aws.resources.base import Target
from local_aws.schedules import ScheduledRules
from local_aws.work_dir import BUCKETS, EMAILS, EMAILS_PAGE, LOGS, WorkDir

ACCOUNT: Final = "123456789012"
"""The account of every moto that is not told otherwise."""

REGION: Final = "us-east-1"

_EXECUTION_DEADLINE_SECONDS: Final = 10.0


class AlreadyRunningError(Exception):
    """An embedded AWS already runs in this process; moto keeps its state in module variables."""


class EmbeddedAws:
    """Deploys a cloud assembly on an embedded AWS and keeps it running.

    A start begins with an empty account and empty folders `buckets`, `emails`, `lambda`, `logs` and `spark` in the
    work folder; the buckets, e-mails and logs of an earlier start are moved to `previous/<UTC time>/`. After `close`
    no thread and no process of it is left, and the folders stay.

    Args:
        assembly: The cloud assembly (`cdk.out`).
        work_dir: Folder for buckets, e-mails and logs.
        port: Port of 127.0.0.1; 0 takes a free one.
        say: Gets a sentence that the user has to know, such as where the files of an earlier start are.

    Attributes:
        endpoint_url: Where it answers.
        outputs: Stack name to output name to value; the address of a REST API is the one at which it answers.
    """

    _running: ClassVar[EmbeddedAws | None] = None

    def __init__(
        self, assembly: Path, work_dir: Path, *, port: int = 0, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._assembly = assembly
        self._work_dir = work_dir
        self._port = port
        self._say = say
        self._closers = ExitStack()
        self.endpoint_url: str = ""
        self.outputs: Mapping[str, Mapping[str, str]] = {}

    def start(self) -> None:
        """Start the server, deploy the assembly, and begin to move messages and events.

        Raises:
            AlreadyRunningError: There is one in this process.
            WorkDirInUseError: One of another process has the work folder.
            PortInUseError: Something else listens on the port.
            DeploymentError: The assembly cannot be deployed.
        """
        assembly = read_assembly(self._assembly)
        with ExitStack() as closers:
            self._occupy_process(closers)
            work_dir = WorkDir(self._work_dir)
            closers.callback(work_dir.close)
            if previous := work_dir.prepare():
                self._say(previous_runs.sentence(previous))
            server_log = work_dir.path / LOGS / "server.log"
            closers.enter_context(log_to_file(server_log, "local_aws", "moto", level=logging.WARNING))
            target = self._start_server(work_dir.path, closers)
            deployment = deploy(assembly, target)
            self._check_policies()
            self._start_pipes(deployment, closers)
            schedules = ScheduledRules(ACCOUNT, REGION)
            schedules.start()
            closers.callback(schedules.close)
            closers.callback(lambda: self._iam.report().write(work_dir.path / LOGS))
            self.outputs = self._start_apis(deployment, closers)
            work_dir.publish(self.endpoint_url, self.outputs)
            self._closers = closers.pop_all()

    def close(self) -> None:
        """Stop schedules, pipes, executions, functions and jobs, then the server. A second call does nothing."""
        self._closers.close()

    def environment(self) -> dict[str, str]:
        """Return the environment variables for a client process."""
        return client_environment(self.endpoint_url, REGION)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _occupy_process(self, closers: ExitStack) -> None:
        if EmbeddedAws._running is not None:
            raise AlreadyRunningError(
                f"An embedded AWS already runs in this process, at {EmbeddedAws._running.endpoint_url}. Close it first."
            )
        EmbeddedAws._running = self
        closers.callback(setattr, EmbeddedAws, "_running", None)

    def _start_server(self, work_dir: Path, closers: ExitStack) -> Target:
        moto_api_backend.reset()
        s3_directory.install(work_dir / BUCKETS)
        closers.callback(s3_directory.uninstall)
        step_functions.install()
        events.install()
        dynamodb_transactions.install()
        cloudwatch.install()
        cloudwatch_logs.install()
        mailbox = Mailbox(work_dir / EMAILS)
        mailbox.install()

        self._iam = iam = Enforcement(ACCOUNT, REGION)
        server = MotoServer(self._port, work_dir / LOGS / "requests.log", guard=iam.application)
        closers.callback(server.close)
        self.endpoint_url = server.endpoint_url

        enforcement.install(iam)
        closers.callback(enforcement.uninstall)
        jobs = GlueJobs(work_dir, server.endpoint_url)
        jobs.install()
        closers.callback(jobs.close)
        self._waiting_for_functions = ThreadPoolExecutor(thread_name_prefix="api")
        closers.callback(self._waiting_for_functions.shutdown)
        functions = LambdaFunctions(work_dir, server.endpoint_url)
        functions.install()
        closers.callback(functions.close)

        target = Target(server.endpoint_url, ACCOUNT, REGION)
        server.add_page(EMAILS_PAGE, lambda: mailbox.page(target.object_url))
        closers.callback(_stop_executions, target)
        closers.callback(_disable_rules, target)
        return target

    def _check_policies(self) -> None:
        try:
            self._iam.check_policies()
        except UnsupportedPolicyError as error:
            raise DeploymentError(str(error)) from error

    def _start_pipes(self, deployment: Deployment, closers: ExitStack) -> None:
        pipes = [_pipe(resource) for resource in deployment.of_type("AWS::Pipes::Pipe")]
        poller = PipePoller(pipes, self.endpoint_url)
        poller.start()
        closers.callback(poller.close)

    def _start_apis(self, deployment: Deployment, closers: ExitStack) -> Mapping[str, Mapping[str, str]]:
        """Serve the REST APIs; return the outputs with the addresses at which they answer."""
        apis = rest_apis(deployment)
        workers = self._waiting_for_functions
        listeners = ApiListeners(apis, account=ACCOUNT, region=REGION, workers=workers, after_port=self._port)
        closers.callback(listeners.close)
        return listeners.local_addresses(deployment.outputs)


def _pipe(resource: DeployedResource) -> Pipe:
    try:
        return Pipe.from_properties(resource.created.ref, resource.properties)
    except UnsupportedPipeError as error:
        raise DeploymentError(f"Stack {resource.stack_name}: {error}") from error


def _disable_rules(target: Target) -> None:
    """Keep the executions that are stopped next from starting others, such as a notifier."""
    events_client = target.client("events")
    for bus in events_client.list_event_buses()["EventBuses"]:
        for page in events_client.get_paginator("list_rules").paginate(EventBusName=bus["Name"]):
            for rule in page["Rules"]:
                events_client.disable_rule(Name=rule["Name"], EventBusName=bus["Name"])


def _stop_executions(target: Target) -> None:
    client = target.client("stepfunctions")
    for machine in client.list_state_machines()["stateMachines"]:
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING"
        )
        for execution in [execution for page in pages for execution in page["executions"]]:
            client.stop_execution(executionArn=execution["executionArn"], cause="The embedded AWS is being closed.")
    _join_executions()


def _join_executions() -> None:
    """Wait for the threads of the executions, which notice a little later that they are stopped."""
    deadline = time.monotonic() + _EXECUTION_DEADLINE_SECONDS
    backend: MotoObject = get_backend(ACCOUNT, REGION)
    for machine in backend.state_machines:
        for execution in machine.executions:
            execution.thread.join(max(0.0, deadline - time.monotonic()))
