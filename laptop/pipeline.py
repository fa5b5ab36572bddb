"""The deployed pipeline, seen from outside: everything here is an AWS API call by the names in the stacks' outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3

from glue_scripts import names
from glue_scripts.ledger import FILE_PREFIX, FileStatus, Ledger, file_of
from glue_scripts.names import is_marker
from laptop.inputs import Input
from operations.kpis import entries, read_rows, read_summary

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
FINAL_FILE_STATUSES = (FileStatus.REJECTED, FileStatus.ARCHIVED, FileStatus.REPLACED)

FileKey = tuple[str, str]
"""Key and version of a file, by which the ledger knows it."""


@dataclass(frozen=True)
class Uploaded:
    """One uploaded object version."""

    key: str
    version_id: str

    @property
    def ledger_key(self) -> FileKey:
        """What the ledger knows it by."""
        return self.key, self.version_id


@dataclass(frozen=True)
class Execution:
    """One execution of the pipeline, as far as it is."""

    arn: str
    name: str
    status: str
    started: datetime
    stopped: datetime | None
    state: str | None
    """The latest state of the state machine's own (not of a Map's) that the execution entered."""
    since: datetime | None
    job_run: str | None
    """State of the Glue job run that the current state waits for."""


@dataclass(frozen=True)
class Snapshot:
    """What the pipeline is doing at one moment."""

    executions: tuple[Execution, ...]
    notified: tuple[str, ...]
    """Status of every execution of the failure notifier."""
    queued: int
    """Messages in the upload queue, those included that are delivered and not deleted yet."""
    dead_letters: int
    file_statuses: Mapping[FileKey, str]
    """Ledger status by ledger key."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        running = RUNNING in self.notified or any(execution.status == RUNNING for execution in self.executions)
        return self.queued == 0 and not running

    @property
    def failures(self) -> tuple[Execution, ...]:
        """The executions that ended otherwise than as designed."""
        return tuple(execution for execution in self.executions if execution.status not in (RUNNING, SUCCEEDED))


@dataclass(frozen=True)
class Answers:
    """What the pipeline's APIs tell at the end of a run."""

    executions: Sequence[Mapping[str, Any]]
    """Oldest first, as DescribeExecution tells them."""
    kpi_rows: Sequence[Mapping[str, Any]]
    """The entries of every day that has plays, with plain numbers, by `pk`, then `sk`."""
    file_statuses: Mapping[FileKey, str]
    """Ledger status by ledger key."""
    days: Sequence[str]
    """Days (`yyyy-mm-dd`) that were claimed: all that have accepted plays."""
    left_in_raw: Sequence[str]
    """Keys under raw/ that still have an object version."""


class Pipeline:
    """Clients and names of one deployed pipeline.

    Args:
        outputs: the outputs of all stacks, by name.
        environment: the variables of a client process, as `EmbeddedAws.environment()` gives them.
    """

    def __init__(self, outputs: Mapping[str, str], environment: Mapping[str, str]) -> None:
        session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
        endpoint_url = environment["AWS_ENDPOINT_URL"]
        self.outputs = outputs
        self.s3 = session.client("s3", endpoint_url=endpoint_url)
        self.sqs = session.client("sqs", endpoint_url=endpoint_url)
        self.sns = session.client("sns", endpoint_url=endpoint_url)
        self.glue = session.client("glue", endpoint_url=endpoint_url)
        self.step_functions = session.client("stepfunctions", endpoint_url=endpoint_url)
        dynamodb = session.resource("dynamodb", endpoint_url=endpoint_url)
        self.kpis_table = dynamodb.Table(outputs["KpisTableName"])
        self.ledger_table = dynamodb.Table(outputs["LedgerTableName"])

    def upload(self, file: Input) -> Uploaded:
        """Uploads one file to where the pipeline's rule listens."""
        with file.path.open("rb") as body:
            response = self.s3.put_object(Bucket=self.outputs["DataBucketName"], Key=file.key, Body=body)
        return Uploaded(file.key, response["VersionId"])

    def subscribe(self, address: str) -> None:
        """Lets an address receive the alerts."""
        self.sns.subscribe(TopicArn=self.outputs["AlertTopicArn"], Protocol="email", Endpoint=address)

    def snapshot(self) -> Snapshot:
        """Looks at the whole pipeline.

        The queue is read before the executions: a message leaves it only when its execution exists, so that no file
        is overlooked between the two.
        """
        queued = self._messages(self.outputs["UploadQueueUrl"])
        dead_letters = self._messages(self.outputs["DeadLetterQueueUrl"])
        executions = tuple(map(self._look_at, self._list_executions(self.outputs["StateMachineArn"])))
        notified = self._list_executions(self.outputs["NotifierStateMachineArn"])
        return Snapshot(
            executions=tuple(sorted(executions, key=lambda execution: (execution.started, execution.name))),
            notified=tuple(notification["status"] for notification in notified),
            queued=queued,
            dead_letters=dead_letters,
            file_statuses=file_statuses(scan(self.ledger_table)),
        )

    def has_day(self, day: str) -> bool:
        """Whether a reader of the table `kpis` sees plays of a day (`yyyy-mm-dd`)."""
        return not is_marker(read_summary(self.kpis_table, day))

    def kpi_rows(self) -> list[dict[str, Any]]:
        """The entries of every day that has plays, by `pk`, then `sk`."""
        days = (read_rows(self.kpis_table, date) for date in Ledger(self.ledger_table).dates())
        rows = [row for summary, genres in days if not is_marker(summary) for row in entries(summary, genres)]
        return sorted(rows, key=lambda row: (row[names.KPIS_PARTITION_KEY], row[names.KPIS_SORT_KEY]))

    def answers(self) -> Answers:
        """Everything the pipeline tells when it is at rest."""
        return Answers(
            executions=self._describe_executions(),
            kpi_rows=[plain_numbers(row) for row in self.kpi_rows()],
            file_statuses=file_statuses(scan(self.ledger_table)),
            days=Ledger(self.ledger_table).dates(),
            left_in_raw=self._keys_left_in_raw(),
        )

    def _messages(self, queue_url: str) -> int:
        counts = self.sqs.get_queue_attributes(
            QueueUrl=queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return sum(map(int, counts.values()))

    def _list_executions(self, state_machine_arn: str) -> list[Any]:
        pages = self.step_functions.get_paginator("list_executions").paginate(stateMachineArn=state_machine_arn)
        return [execution for page in pages for execution in page["executions"]]

    def _describe_executions(self) -> list[dict[str, Any]]:
        fields = ("executionArn", "name", "status", "startDate", "stopDate", "input", "output", "error", "cause")
        described = []
        for listed in self._list_executions(self.outputs["StateMachineArn"]):
            answer: Mapping[str, Any] = self.step_functions.describe_execution(executionArn=listed["executionArn"])
            described.append({field: answer.get(field) for field in fields})
        return sorted(described, key=lambda execution: (execution["startDate"], execution["name"]))

    def _keys_left_in_raw(self) -> list[str]:
        pages = self.s3.get_paginator("list_object_versions").paginate(
            Bucket=self.outputs["DataBucketName"], Prefix=names.RAW_PREFIX
        )
        return sorted({version["Key"] for page in pages for version in page.get("Versions", [])})

    def _look_at(self, listed: Mapping[str, Any]) -> Execution:
        is_running = listed["status"] == RUNNING
        state, since = self._current_state(listed["executionArn"]) if is_running else (None, None)
        return Execution(
            arn=listed["executionArn"],
            name=listed["name"],
            status=listed["status"],
            started=listed["startDate"],
            stopped=listed.get("stopDate"),
            state=state,
            since=since,
            job_run=self._job_run(listed["name"], state),
        )

    def _current_state(self, execution_arn: str) -> tuple[str | None, datetime | None]:
        described = self.step_functions.describe_state_machine_for_execution(executionArn=execution_arn)
        top_level = json.loads(described["definition"])["States"]
        pages = self.step_functions.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
        entered = [
            (event["stateEnteredEventDetails"]["name"], event["timestamp"])
            for page in pages
            for event in page["events"]
            if event["type"].endswith("StateEntered") and event["stateEnteredEventDetails"]["name"] in top_level
        ]
        return entered[-1] if entered else (None, None)

    def _job_run(self, execution_name: str, state: str | None) -> str | None:
        jobs = {"Validate": self.outputs["ValidateBatchJobName"], "ComputeKpis": self.outputs["ComputeKpisJobName"]}
        if state not in jobs:
            return None
        pages = self.glue.get_paginator("get_job_runs").paginate(JobName=jobs[state])
        runs = [run for page in pages for run in page["JobRuns"] if is_run_of(run, execution_name)]
        latest = max(runs, key=lambda run: run["StartedOn"], default=None)
        return latest["JobRunState"] if latest else None


def all_outputs(by_stack: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The outputs of all stacks, by name."""
    return {name: value for outputs in by_stack.values() for name, value in outputs.items()}


def is_run_of(run: Mapping[str, Any], execution_name: str) -> bool:
    """Whether an execution started a Glue job run: the run's manifest or verdict lies in the execution's folder."""
    folder = f"/{names.PROCESSING_PREFIX}{execution_name}/"
    return any(folder in value for value in run.get("Arguments", {}).values())


def file_statuses(ledger: Sequence[Mapping[str, Any]]) -> dict[FileKey, str]:
    """Status of every file in the ledger by its ledger key."""
    files = [item for item in ledger if str(item[names.LEDGER_PARTITION_KEY]).startswith(FILE_PREFIX)]
    return {file_of(item): str(item["status"]) for item in files}


def scan(table: Table) -> list[dict[str, Any]]:
    """Every item of a table."""
    response: Mapping[str, Any] = table.scan(ConsistentRead=True)
    items = list(response["Items"])
    while "LastEvaluatedKey" in response:
        response = table.scan(ConsistentRead=True, ExclusiveStartKey=response["LastEvaluatedKey"])
        items += response["Items"]
    return items


def plain_numbers(item: Mapping[str, Any]) -> dict[str, Any]:
    """The same item with `int` and `float` in place of DynamoDB's `Decimal`."""
    return {name: _plain(value) for name, value in item.items()}


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return plain_numbers(value)
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return value
