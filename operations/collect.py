"""Deletes what nobody reads any more from the lake: runs of dead jobs, and runs that were merged.

A job that dies leaves the run that it was writing, which no day has. Runs of a day that has many are merged into one,
and stay for the computations that read them. Athena sees both until they are deleted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, Final

from botocore.exceptions import ClientError

from glue_scripts.file_days import run_of_file_days
from glue_scripts.ledger import RunItem
from glue_scripts.names import FILES_PREFIX, PLAYS_PREFIX, PROCESSING_PREFIX, RUNS_PREFIX
from glue_scripts.stored_plays import (
    DAY_FOLDER,
    document_key,
    documents_folder,
    plays_folder,
    run_of_document_key,
    run_of_object_key,
)
from operations.deployment import Deployment
from operations.errors import OperationError
from operations.executions import FAILED_STATUSES
from operations.lake import read_file_days, read_run
from operations.versions import Version, delete, versions

LONGEST_READER: Final = timedelta(days=1, minutes=200)
"""How long a computation can go on to read the runs that were there when it began.

Glue lets a job run wait for a day at most (https://docs.aws.amazon.com/glue/latest/dg/job-run-statuses.html), and the
setting `job_timeout_minutes` is 200 at most.
"""
PARALLEL_DELETES: Final = 8


class NoExpiryError(OperationError):
    """The bucket has no rule that says when working copies expire."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A run of a day that nobody reads any more.

    Attributes:
        date: yyyy-mm-dd.
        run: the run's name.
        is_merged: whether another run is in its place; otherwise no day ever had it.
        objects: the object versions.
    """

    date: str
    run: str
    is_merged: bool
    objects: Sequence[Version]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(version.size for version in self.objects)


def is_leftover(
    item: RunItem | None,
    *,
    written: datetime,
    now: datetime,
    kept: timedelta,
    is_needed: Callable[[], bool],
) -> bool:
    """Whether a run of a day can be deleted: nobody reads it, and nobody will.

    Args:
        item: what the ledger knows of the run; None where nothing.
        written: when its last object was written.
        now: this moment.
        kept: how long a run that no day has is kept: longer than a failed execution can be redriven.
        is_needed: whether a job run may still load the batch whose files the run holds; asked where the age does not
            tell.
    """
    if item is not None and item.replaced_at is not None:
        return not _is_recent(item.replaced_at, now)
    if item is not None and item.is_committed:
        return False
    return now - written > kept and not is_needed()


def _is_recent(moment: str, now: datetime) -> bool:
    """Whether a job run that was under way at a moment may be under way still."""
    return now - datetime.fromisoformat(moment) <= LONGEST_READER


def leftovers(deployment: Deployment) -> Iterator[Leftover]:
    """Finds the runs that nobody reads any more, day by day.

    Raises:
        NoExpiryError: the bucket does not say for how long a run of a dead job is kept.
    """
    now, kept = datetime.now(UTC), _processing_time(deployment)

    @cache
    def may_be_loaded(execution_arn: str) -> bool:
        use = deployment.ledger.batch_use(execution_arn)
        is_begun = use is not None and use.begun_at is not None and _is_recent(use.begun_at, now)
        return (use is not None and use.is_waiting) or is_begun or _may_go_on(deployment, execution_arn)

    for date in _dates(deployment):
        items = deployment.ledger.run_items(date)
        for run, found in _runs(deployment, date).items():
            item = items.get(run)
            written = max(version.last_modified for version in found)
            is_needed = partial(_is_needed, deployment, date, run, found, may_be_loaded)
            if is_leftover(item, written=written, now=now, kept=kept, is_needed=is_needed):
                is_merged = item is not None and item.replaced_at is not None
                yield Leftover(date=date, run=run, is_merged=is_merged, objects=found)


def delete_leftovers(deployment: Deployment, found: Iterable[Leftover]) -> int:
    """Deletes runs for good, one after another; returns how many. It may be interrupted and repeated."""
    gone: set[str] = set()
    count = 0
    with ThreadPoolExecutor(PARALLEL_DELETES) as pool:
        for leftover in found:
            count += 1
            gone |= set() if leftover.is_merged else {leftover.run}
            # The document last: it is what tells whose files the run holds.
            document = document_key(leftover.run, leftover.date)
            for is_document in (False, True):
                due = [version for version in leftover.objects if (version.key == document) == is_document]
                list(pool.map(lambda version: delete(deployment, version), due))
        # What tells the days of the files of a dead run goes with it.
        of_gone = (each for each in versions(deployment, FILES_PREFIX) if run_of_file_days(each.key) in gone)
        due = [each for each in of_gone if each.is_marker or not _has_day(deployment, each.key)] if gone else []
        list(pool.map(lambda version: delete(deployment, version), due))
    return count


def _has_day(deployment: Deployment, key: str) -> bool:
    """Whether a day has, or had, the run that a document of a file's days is of.

    A job that died may have committed its run to some of the days. Their plays are in this run, or in a merged one.
    """
    days = read_file_days(deployment, key)
    return any(days.run in deployment.ledger.run_items(date) for date in days.dates)


def counted(found: Iterable[Leftover]) -> dict[str, Counter[str]]:
    """By kind, `merged` and `dead`: how many runs, objects and bytes."""
    by_kind = {"merged": Counter[str](), "dead": Counter[str]()}
    for leftover in found:
        by_kind["merged" if leftover.is_merged else "dead"].update(
            runs=1, objects=len(leftover.objects), bytes=leftover.size
        )
    return by_kind


def _processing_time(deployment: Deployment) -> timedelta:
    """When working copies expire. Nothing can be redriven after that."""
    days = [
        rule["Expiration"]["Days"]
        for rule in _lifecycle_rules(deployment)
        if _prefix_of(rule) == PROCESSING_PREFIX and "Days" in rule.get("Expiration", {})
    ]
    if not days:
        raise NoExpiryError(
            f"{deployment.bucket} has no lifecycle rule by which {PROCESSING_PREFIX} expires, so that nothing tells "
            "which runs a redrive may still need: deploy the stacks again."
        )
    return timedelta(days=max(days))


def _lifecycle_rules(deployment: Deployment) -> Sequence[Any]:
    try:
        return deployment.s3.get_bucket_lifecycle_configuration(Bucket=deployment.bucket)["Rules"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
            return []
        raise


def _prefix_of(rule: object) -> object:
    match rule:
        case {"Filter": {"Prefix": prefix}} | {"Prefix": prefix}:
            return prefix
        case _:
            return None


def _dates(deployment: Deployment) -> list[str]:
    """The days of which the lake has anything."""
    found = set()
    for prefix in (PLAYS_PREFIX, RUNS_PREFIX):
        pages = deployment.s3.get_paginator("list_objects_v2").paginate(
            Bucket=deployment.bucket, Prefix=prefix + DAY_FOLDER, Delimiter="/"
        )
        folders = (folder["Prefix"] for page in pages for folder in page.get("CommonPrefixes", []))
        found |= {folder.removeprefix(prefix + DAY_FOLDER).rstrip("/") for folder in folders}
    return sorted(found)


def _runs(deployment: Deployment, date: str) -> dict[str, list[Version]]:
    """What the lake has of a day, by run."""
    found: defaultdict[str, list[Version]] = defaultdict(list)
    for version in versions(deployment, plays_folder(date)):
        found[run_of_object_key(version.key)].append(version)
    for version in versions(deployment, documents_folder(date)):
        found[run_of_document_key(version.key)[1]].append(version)
    return dict(found)


def _is_needed(
    deployment: Deployment, date: str, run: str, found: Sequence[Version], may_be_loaded: Callable[[str], bool]
) -> bool:
    """Whether the execution whose files a run holds may load it. A merged run, or one without a document, has none."""
    key = document_key(run, date)
    if not any(version.key == key and version.is_latest and not version.is_marker for version in found):
        return False
    execution_arn = read_run(deployment, date, run).execution_arn
    return execution_arn is not None and may_be_loaded(execution_arn)


def _may_go_on(deployment: Deployment, execution_arn: str) -> bool:
    """Whether an execution is under way, or can be redriven. Step Functions forgets it after 90 days."""
    try:
        found = deployment.step_functions.describe_execution(executionArn=execution_arn)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            return False
        raise
    if found["status"] in FAILED_STATUSES:
        return found.get("redriveStatus") == "REDRIVABLE"
    return found["status"] != "SUCCEEDED"
