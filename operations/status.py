"""How the pipeline stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from glue_scripts.ledger import FileStatus, file_of
from glue_scripts.names import STATUS_INDEX, STATUS_INDEX_PARTITION_KEY, STATUS_INDEX_SORT_KEY
from glue_scripts.publication import read_days, unpublished
from operations import replay
from operations.days import mend_hints, outdated
from operations.deployment import Deployment
from operations.executions import FailedExecution, failed_executions, running_executions, unfinished_job_runs
from operations.files import KnownFile, withdrawn_files
from operations.journal import Entry, Incomplete, Journal

UNFINISHED_FILES: Final = (FileStatus.RECEIVED, FileStatus.ACCEPTED, FileStatus.LOADED)
FINAL_FILES: Final = tuple(file_status for file_status in FileStatus if file_status not in UNFINISHED_FILES)
FINAL_DAYS: Final = 7
"""Final files stay in the ledger for good; those that were uploaded in so many days are counted."""
REJECTED_LISTED: Final = 1_000
"""So many of the latest rejected files are read into memory."""


@dataclass(frozen=True, kw_only=True)
class RejectedFile:
    """A rejected file.

    Attributes:
        uploaded_at: ISO 8601 in UTC; the moment of its receipt where the version was gone before it could be read.
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
    """How the pipeline stands; files by an index that lags a little.

    Attributes:
        pipe: state of the pipe, RUNNING or STOPPED at rest.
        unfinished_files: key and version of each unfinished file, by ledger status.
        final_files: number of files by final ledger status, without those that were uploaded before
            `final_files_since`.
        final_files_since: FINAL_DAYS ago, ISO 8601 in UTC, to the second.
        rejected_files: the rejected files that were uploaded last, at most REJECTED_LISTED, however long ago.
        forgotten_files: key and version of each file in raw/ that the ledger does not know.
        has_more_forgotten: whether there may be more of them, because raw/ holds very many.
        days: number of days ever computed, or begun to be.
        days_not_published: days whose latest claim is not visible.
        outdated_days: by day what is older than what it would be computed with today, see `operations.days.outdated`.
        days_with_unknown_tracks: plays of unknown tracks by day.
        queued: events of new files that wait, or are being collected into a batch.
        dead_letters: events of new files that could not be delivered or worked on.
        notifier_dead_letters: failures of which no e-mail could be sent.
        running: executions under way.
        job_runs: job runs under way.
        failed: executions that failed and were not redriven.
        withdrawn_files: files whose plays are left out, or whose restoration is not visible yet.
        purges: purges that were begun and not ended; the pipe is paused until they are.
        incomplete_purges: purges that ended without some objects, and are to be repeated.
    """

    pipe: str
    unfinished_files: dict[str, list[str]]
    final_files: dict[str, int]
    final_files_since: str
    rejected_files: list[RejectedFile]
    forgotten_files: list[str]
    has_more_forgotten: bool
    days: int
    days_not_published: list[str]
    outdated_days: dict[str, list[str]]
    days_with_unknown_tracks: dict[str, int]
    queued: int
    dead_letters: int
    notifier_dead_letters: int
    running: list[str]
    job_runs: list[str]
    failed: list[FailedExecution]
    withdrawn_files: list[KnownFile]
    purges: list[Entry]
    incomplete_purges: list[Incomplete]


def status(deployment: Deployment, *, older_than: float) -> Status:
    """Looks at everything once, and notes in the ledger which days are published, where that is not noted.

    Args:
        deployment: where.
        older_than: minutes in raw/ after which a file that the ledger does not know is a forgotten one.
    """
    forgotten = replay.forgotten(deployment, minutes=older_than)
    ledger = deployment.ledger
    journal = Journal(deployment.ledger_table)
    claimed, visible = read_days(ledger, deployment.kpi_table)
    mend_hints(deployment, claimed, visible)
    since = (datetime.now(UTC) - timedelta(days=FINAL_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Status(
        pipe=deployment.pipes.describe_pipe(Name=deployment.pipe)["DesiredState"],
        unfinished_files={
            file_status.value: sorted("#".join(file_of(item)) for item in ledger.files_with_status(file_status))
            for file_status in UNFINISHED_FILES
        },
        final_files={file_status.value: _count(deployment, file_status, since) for file_status in FINAL_FILES},
        final_files_since=since,
        rejected_files=list(islice(_rejected(deployment), REJECTED_LISTED)),
        forgotten_files=[f"{file.key}#{file.version_id}" for file in forgotten.files],
        has_more_forgotten=not forgotten.is_complete,
        days=len(claimed),
        days_not_published=unpublished(claimed, visible),
        outdated_days=outdated(deployment, visible),
        days_with_unknown_tracks={date: day.unknown_plays for date, day in visible.items() if day.unknown_plays},
        queued=_messages(deployment, deployment.upload_queue_url),
        dead_letters=_messages(deployment, deployment.dead_letter_queue_url),
        notifier_dead_letters=_messages(deployment, deployment.notifier_dead_letter_queue_url),
        running=running_executions(deployment),
        job_runs=unfinished_job_runs(deployment),
        failed=failed_executions(deployment),
        withdrawn_files=withdrawn_files(deployment),
        purges=journal.unfinished(),
        incomplete_purges=journal.incomplete(),
    )


def _rejected(deployment: Deployment) -> Iterator[RejectedFile]:
    for item in deployment.ledger.files_with_status(FileStatus.REJECTED):
        key, version_id = file_of(item)
        yield RejectedFile(
            key=key, version_id=version_id, uploaded_at=str(item["uploaded_at"]), execution=str(item["execution"])
        )


def _count(deployment: Deployment, file_status: FileStatus, since: str) -> int:
    """The files with a status that were uploaded at a moment or later. The index sorts by it: no other file is read."""
    table = deployment.ledger_table
    pages = table.meta.client.get_paginator("query").paginate(
        TableName=table.name,
        IndexName=STATUS_INDEX,
        KeyConditionExpression="#status = :status AND #uploaded_at >= :since",
        ExpressionAttributeNames={"#status": STATUS_INDEX_PARTITION_KEY, "#uploaded_at": STATUS_INDEX_SORT_KEY},
        ExpressionAttributeValues={":status": file_status, ":since": since},
        Select="COUNT",
    )
    return sum(page["Count"] for page in pages)


def _messages(deployment: Deployment, queue_url: str) -> int:
    counts = deployment.sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return sum(map(int, counts.values()))
