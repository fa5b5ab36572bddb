"""How the pipeline stands."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from glue_scripts.ledger import DayStatus, FileStatus, Ledger
from glue_scripts.names import LEDGER_PARTITION_KEY, STATUS_INDEX, STATUS_INDEX_PARTITION_KEY
from operations import replay
from operations.deployment import Deployment
from operations.executions import FailedExecution, failed_executions, running_executions, unfinished_job_runs
from operations.journal import Entry, Incomplete, Journal
from validators.schemas import SNAPSHOT_DATASETS

UNFINISHED_FILES: Final = (FileStatus.RECEIVED, FileStatus.ACCEPTED, FileStatus.LOADED)
REJECTED_LISTED: Final = 1_000
"""Rejected files stay in the ledger for good; so many of the latest are read into memory."""
_PUBLISHED: Final = (DayStatus.PUBLISHED, DayStatus.PUBLISHED_WITH_UNKNOWN_TRACKS)


@dataclass(frozen=True, kw_only=True, order=True)
class RejectedFile:
    """A rejected file; the one that was uploaded later is the greater one.

    Attributes:
        uploaded_at: ISO 8601 in UTC; empty where the version was gone before it could be read.
        key: the object key.
        version_id: its version.
        execution: ARN of the execution that judged it.
    """

    uploaded_at: str
    key: str
    version_id: str
    execution: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """How the pipeline stands; files and days by an index that lags a little.

    Attributes:
        pipe: state of the pipe, RUNNING or STOPPED at rest.
        files: number of files by ledger status.
        unfinished_files: key and version of each file that is neither archived nor rejected, by ledger status.
        rejected_files: the rejected files that were uploaded last, at most REJECTED_LISTED; `files` has their number.
        forgotten_files: key and version of each file in raw/ that the ledger does not know.
        has_more_forgotten: whether there may be more of them, because raw/ holds very many.
        days: number of days ever computed.
        days_not_published: days whose latest claim is not published.
        days_on_older_snapshots: days computed with a snapshot of songs or users that is not the current one.
        days_with_unknown_tracks: plays of unknown tracks by day.
        queued: events of new files that wait, or are being collected into a batch.
        dead_letters: events of new files that could not be delivered or worked on.
        notifier_dead_letters: failures of which no e-mail could be sent.
        running: executions under way.
        job_runs: job runs under way.
        failed: executions that failed and were not redriven.
        purges: purges that were begun and not ended; the pipe is paused until they are.
        incomplete_purges: purges that ended without some objects, and are to be repeated.
    """

    pipe: str
    files: dict[str, int]
    unfinished_files: dict[str, list[str]]
    rejected_files: list[RejectedFile]
    forgotten_files: list[str]
    has_more_forgotten: bool
    days: int
    days_not_published: list[str]
    days_on_older_snapshots: list[str]
    days_with_unknown_tracks: dict[str, int]
    queued: int
    dead_letters: int
    notifier_dead_letters: int
    running: list[str]
    job_runs: list[str]
    failed: list[FailedExecution]
    purges: list[Entry]
    incomplete_purges: list[Incomplete]


def status(deployment: Deployment, *, older_than: float) -> Status:
    """Looks at everything once.

    Args:
        deployment: where.
        older_than: minutes in raw/ after which a file that the ledger does not know is a forgotten one.
    """
    forgotten = replay.forgotten(deployment, minutes=older_than)
    ledger = deployment.ledger
    journal = Journal(deployment.ledger_table)
    not_published, older, unknown = _days(ledger)
    return Status(
        pipe=deployment.pipes.describe_pipe(Name=deployment.pipe)["DesiredState"],
        files={file_status.value: _count(deployment, file_status) for file_status in FileStatus},
        unfinished_files={
            file_status.value: sorted(
                str(item[LEDGER_PARTITION_KEY]).removeprefix("FILE#") for item in ledger.items_with_status(file_status)
            )
            for file_status in UNFINISHED_FILES
        },
        rejected_files=heapq.nlargest(REJECTED_LISTED, _rejected(deployment)),
        forgotten_files=[f"{file.key}#{file.version_id}" for file in forgotten.files],
        has_more_forgotten=not forgotten.is_complete,
        days=len(ledger.dates()),
        days_not_published=not_published,
        days_on_older_snapshots=older,
        days_with_unknown_tracks=unknown,
        queued=_messages(deployment, deployment.upload_queue_url),
        dead_letters=_messages(deployment, deployment.dead_letter_queue_url),
        notifier_dead_letters=_messages(deployment, deployment.notifier_dead_letter_queue_url),
        running=running_executions(deployment),
        job_runs=unfinished_job_runs(deployment),
        failed=failed_executions(deployment),
        purges=journal.unfinished(),
        incomplete_purges=journal.incomplete(),
    )


def _days(ledger: Ledger) -> tuple[list[str], list[str], dict[str, int]]:
    """Dates not published, dates on older snapshots, and plays of unknown tracks by date."""
    current = {dataset: ledger.current_snapshot(dataset) for dataset in SNAPSHOT_DATASETS}
    uris = {dataset: snapshot.uri for dataset, snapshot in current.items() if snapshot}
    published = [item for day_status in _PUBLISHED for item in ledger.items_with_status(day_status)]
    older = sorted(_date(item) for item in published if item["snapshots"] != uris)
    unknown = {_date(item): int(item["unknown_plays"]) for item in published if item["unknown_plays"]}
    claimed = sorted(_date(item) for item in ledger.items_with_status(DayStatus.CLAIMED))
    return claimed, older, dict(sorted(unknown.items()))


def _date(item: Any) -> str:  # noqa: ANN401 - an item of DynamoDB
    return str(item[LEDGER_PARTITION_KEY]).removeprefix("DAY#")


def _rejected(deployment: Deployment) -> Iterator[RejectedFile]:
    asked = {
        "ProjectionExpression": f"{LEDGER_PARTITION_KEY}, uploaded_at, #execution",
        "ExpressionAttributeNames": {"#execution": "execution"},
    }
    for page in _pages(deployment, FileStatus.REJECTED, asked):
        for item in page["Items"]:
            key, _, version_id = str(item[LEDGER_PARTITION_KEY]).removeprefix("FILE#").rpartition("#")
            yield RejectedFile(
                key=key,
                version_id=version_id,
                uploaded_at=str(item.get("uploaded_at", "")),
                execution=str(item["execution"]),
            )


def _count(deployment: Deployment, file_status: FileStatus) -> int:
    return sum(int(page["Count"]) for page in _pages(deployment, file_status, {"Select": "COUNT"}))


def _pages(deployment: Deployment, file_status: FileStatus, asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    query: dict[str, Any] = {
        "IndexName": STATUS_INDEX,
        "KeyConditionExpression": "#status = :status",
        "ExpressionAttributeValues": {":status": file_status},
        **asked,
        "ExpressionAttributeNames": {
            "#status": STATUS_INDEX_PARTITION_KEY,
            **asked.get("ExpressionAttributeNames", {}),
        },
    }
    while True:
        page = deployment.ledger_table.query(**query)
        yield page
        if "LastEvaluatedKey" not in page:
            return
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _messages(deployment: Deployment, queue_url: str) -> int:
    counts = deployment.sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return sum(map(int, counts.values()))
