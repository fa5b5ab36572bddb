"""EventBridge Pipes from a queue to a state machine, which moto does not run.

A pipe here has one poller, and waits no longer than its window. On AWS several pollers may fill batches side by side,
and at low traffic each may wait up to 20 seconds whatever its window.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-sqs.html
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto.pipes.models import Pipe as MotoPipe
from moto.pipes.models import PipeStatus, pipes_backends

from local_aws.iam import enforcement
from local_aws.patching import JsonValue, MotoObject, replace
from local_aws.service_metrics import count

_LOG: Final = logging.getLogger(__name__)
_PLACEHOLDER: Final = re.compile(r"<(\$[^<>]*|aws\.pipes\.[a-z.-]+)>")
_QUOTE: Final = re.compile(r'(?<!\\)"')
_RECEIVE_SIZE: Final = 10
"""What one ReceiveMessage gives at most."""
_IDLE_SECONDS: Final = 0.2
_FAILURE_SECONDS: Final = 1.0
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-monitoring.html
_NAMESPACE: Final = "AWS/EventBridge/Pipes"
_FAILED: Final = "ExecutionFailed"
_UNSUPPORTED: Final = ("Enrichment", "EnrichmentParameters")


class UnsupportedPipeError(Exception):
    """The pipe uses something that the embedded AWS does not run."""


class MalformedMessageError(Exception):
    """The input template does not fit a message; it stays in the queue, whose redrive policy moves it on."""


@dataclass(frozen=True)
class Pipe:
    """A pipe from a queue to a state machine.

    Attributes:
        name: Name of the pipe.
        queue_arn: ARN of the queue.
        batch_size: Number of messages in an execution at most.
        batch_window_seconds: How long messages are collected, counted from the first.
        input_template: Template of one message's part of the input; None passes the whole record.
        state_machine_arn: ARN of the state machine.
        role_arn: As whom it reads the queue and starts executions.
    """

    name: str
    queue_arn: str
    batch_size: int
    batch_window_seconds: int
    input_template: str | None
    state_machine_arn: str
    role_arn: str

    @classmethod
    def from_properties(cls, name: str, properties: Mapping[str, Any]) -> Self:
        """Read a resource of type `AWS::Pipes::Pipe`.

        Args:
            name: Name of the pipe.
            properties: Its properties, every intrinsic function resolved.

        Raises:
            UnsupportedPipeError: It is not a pipe from SQS to Step Functions, or it filters, enriches or waits.
        """
        source = properties.get("SourceParameters", {})
        target = properties.get("TargetParameters", {})
        invocation = target.get("StepFunctionStateMachineParameters", {}).get("InvocationType", "FIRE_AND_FORGET")
        reasons = [
            f"it has {option}, which is not run here" for option in _UNSUPPORTED if properties.get(option) is not None
        ]
        if ":sqs:" not in properties["Source"]:
            reasons.append(f"its source is {properties['Source']}, not a queue")
        if ":states:" not in properties["Target"]:
            reasons.append(f"its target is {properties['Target']}, not a state machine")
        if source.get("FilterCriteria"):
            reasons.append("it has FilterCriteria, which are not run here")
        if invocation != "FIRE_AND_FORGET":
            reasons.append(f"its InvocationType is {invocation}, not FIRE_AND_FORGET")
        if reasons:
            raise UnsupportedPipeError(f"pipe {name} cannot be run by the embedded AWS: {'; '.join(reasons)}")
        queue = source.get("SqsQueueParameters", {})
        return cls(
            name=name,
            queue_arn=properties["Source"],
            batch_size=int(queue.get("BatchSize", 10)),
            batch_window_seconds=int(queue.get("MaximumBatchingWindowInSeconds", 0)),
            input_template=target.get("InputTemplate"),
            state_machine_arn=properties["Target"],
            role_arn=properties["RoleArn"],
        )

    @property
    def region(self) -> str:
        """Region of the queue."""
        return self.queue_arn.split(":")[3]

    @property
    def account(self) -> str:
        """Account of the queue."""
        return self.queue_arn.split(":")[4]

    @property
    def arn(self) -> str:
        """Its own ARN."""
        return f"arn:aws:pipes:{self.region}:{self.account}:pipe/{self.name}"


def transform(template: str | None, record: Mapping[str, Any]) -> JsonValue:
    """Apply a pipe's input template to a record.

    Args:
        template: Text with places such as `<$.body.detail>`; a `body` or part of it that is JSON is read as such.
        record: The SQS record: `messageId`, `body`, `attributes` and so on.

    Raises:
        MalformedMessageError: The record lacks what the template names, or the outcome is not JSON.
    """
    if template is None:
        return dict(record)
    whole = _PLACEHOLDER.fullmatch(template.strip())
    if whole:
        return _value_at(whole.group(1), record)
    text = _PLACEHOLDER.sub(lambda place: _as_text(_value_at(place.group(1), record), place), template)
    try:
        return json.loads(text)
    except ValueError as error:
        raise MalformedMessageError(f"the input template gives no JSON: {text}") from error


def _value_at(path: str, record: Mapping[str, Any]) -> JsonValue:
    value: JsonValue = record
    for name in path.removeprefix("$").lstrip(".").split("."):
        if isinstance(value, str):
            value = _read_json(value)
        if not isinstance(value, Mapping) or name not in value:
            raise MalformedMessageError(f"the message {record.get('messageId')} has no {path}")
        value = value[name]
    return value


def _read_json(text: str) -> JsonValue:
    try:
        return json.loads(text)
    except ValueError as error:
        raise MalformedMessageError(f"the message's body is not JSON: {text[:200]}") from error


def _as_text(value: JsonValue, place: re.Match[str]) -> str:
    """Write a value for its place in the template: without quotes of its own where it stands inside a text."""
    inside_text = len(_QUOTE.findall(place.string[: place.start()])) % 2 == 1
    text = json.dumps(value)
    if isinstance(value, str) and inside_text:
        return text[1:-1]
    return json.dumps(text)[1:-1] if inside_text else text


def install() -> None:
    """Make StopPipe true: in moto a stopped pipe starts again when it is looked at, and STOPPED means nothing."""
    replace(MotoPipe, "advance", _advance)


def _advance(self: MotoObject) -> None:
    """Replace `Pipe.advance`: a pipe is STOPPED once the poller has let go of the queue, which only it can tell."""
    if self.status in (PipeStatus.CREATING, PipeStatus.STARTING):
        self.status = PipeStatus.RUNNING.value


class PipePoller:
    """Runs pipes: one thread each, until it is closed. A pipe can be stopped and started by the API.

    Args:
        pipes: The pipes.
        endpoint_url: Where the embedded AWS answers.
    """

    def __init__(self, pipes: Sequence[Pipe], endpoint_url: str) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=_PipeRun(pipe, endpoint_url, self._stop).run, name=f"pipe-{pipe.name}", daemon=True)
            for pipe in pipes
        ]

    def start(self) -> None:
        """Start polling."""
        install()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop polling; messages that were received and not passed on show up again after their visibility timeout."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()


class _PipeRun:
    """One pipe at work."""

    def __init__(self, pipe: Pipe, endpoint_url: str, stop: threading.Event) -> None:
        self._pipe = pipe
        self._stop = stop
        self._endpoint_url = endpoint_url
        self._clients: dict[tuple[str, str], MotoObject] = {}
        self._queue_url = f"{endpoint_url}/{pipe.account}/{pipe.queue_arn.rpartition(':')[2]}"

    def run(self) -> None:
        """Collect batches and start executions until told to stop; a failure is counted, logged and tried again."""
        while not self._stop.is_set():
            try:
                if self._is_paused():
                    self._stop.wait(_IDLE_SECONDS)
                    continue
                # A pipe looks at its queue before it reads from it: its role needs GetQueueAttributes.
                self._client("sqs").get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])
                batch = self._collect()
                if batch and not self._stop.is_set():
                    self._pass_on(batch)
            except (ClientError, BotoCoreError, enforcement.AccessDeniedError) as error:
                _LOG.warning("pipe %s: %s; it tries again", self._pipe.name, error)
                count(
                    _NAMESPACE,
                    _FAILED,
                    {"PipeName": self._pipe.name},
                    account=self._pipe.account,
                    region=self._pipe.region,
                )
                self._stop.wait(_FAILURE_SECONDS)

    def _client(self, service: str) -> MotoObject:
        """Return a client with the credentials of the pipe's role.

        Raises:
            AccessDeniedError: Pipes may not assume the role.
        """
        credentials = enforcement.assume(
            self._pipe.role_arn, service="pipes.amazonaws.com", source_arn=self._pipe.arn, session=self._pipe.name
        )
        key = (service, credentials.access_key)
        if key not in self._clients:
            make_client: MotoObject = boto3.session.Session().client
            self._clients[key] = make_client(
                service,
                region_name=self._pipe.region,
                endpoint_url=self._endpoint_url,
                **credentials.for_boto3(),
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[key]

    def _is_paused(self) -> bool:
        """Whether somebody has stopped the pipe; called when no message is in hand, it says so to the API as well."""
        if not self._should_pause():
            return False
        self._moto_pipe().status = PipeStatus.STOPPED.value
        return True

    def _should_pause(self) -> bool:
        pipe = self._moto_pipe()
        return pipe is not None and pipe.desired_state == PipeStatus.STOPPED.value

    def _moto_pipe(self) -> MotoObject:
        return pipes_backends[self._pipe.account][self._pipe.region].pipes.get(self._pipe.name)

    def _collect(self) -> list[dict[str, Any]]:
        """Receive until the batch is full or its window is over; the window begins with the first message.

        A stop ends the window: what has been received is still passed on.
        """
        batch: list[dict[str, Any]] = []
        deadline: float | None = None
        while not self._stop.is_set() and len(batch) < self._pipe.batch_size:
            if self._should_pause() or (deadline is not None and time.monotonic() >= deadline):
                break
            received = (
                self._client("sqs")
                .receive_message(
                    QueueUrl=self._queue_url,
                    MaxNumberOfMessages=min(_RECEIVE_SIZE, self._pipe.batch_size - len(batch)),
                    AttributeNames=["All"],
                    MessageAttributeNames=["All"],
                )
                .get("Messages", [])
            )
            batch += received
            if deadline is None and batch:
                deadline = time.monotonic() + self._pipe.batch_window_seconds
            if not received:
                self._stop.wait(_IDLE_SECONDS)
        return batch

    def _pass_on(self, batch: list[dict[str, Any]]) -> None:
        """Start one execution with the batch, and delete its messages after it has started."""
        inputs: list[JsonValue] = []
        good: list[dict[str, Any]] = []
        for message in batch:
            try:
                inputs.append(transform(self._pipe.input_template, _record(message, self._pipe)))
                good.append(message)
            except MalformedMessageError as error:
                _LOG.warning("pipe %s leaves a message in the queue: %s", self._pipe.name, error)
        if not good:
            return
        self._client("stepfunctions").start_execution(
            stateMachineArn=self._pipe.state_machine_arn, input=json.dumps(inputs)
        )
        for start in range(0, len(good), _RECEIVE_SIZE):
            self._client("sqs").delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(good[start : start + _RECEIVE_SIZE])
                ],
            )


def _record(message: Mapping[str, Any], pipe: Pipe) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": message.get("MessageAttributes", {}),
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": pipe.queue_arn,
        "awsRegion": pipe.region,
    }
