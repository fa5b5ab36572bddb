"""Removes a person: from every file, every version of it and the lake; then computes the touched days anew.

The order makes it safe to interrupt anywhere and to run again with the same user id:

1. the journal, with whether the pipe ran; 2. the tombstone, which every later ingest and computation honours; 3. the
pipe is paused, and what runs is waited for: from here on nobody but us reads or writes files; 4. the lake: a day is
noted in the journal, then its runs are replaced; 5. all other files, raw/ last; 6. the noted days are claimed and
computed; 7. the pipe runs again; 8. the journal is closed. Every step finds done what an earlier try has done.

An object that cannot be worked on does not stop the work on the others: it is named at the end, and the journal tells
that the purge is incomplete. Such a file in raw/ may be processed meanwhile: the tombstone keeps the plays out.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Final

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError

from glue_scripts import names
from glue_scripts.objects import json_line
from glue_scripts.publication import read_days, unpublished
from glue_scripts.stored_plays import document_key, object_key, plays_folder, run_of_document_key
from operations import csv_rows, documents, parquet_rows
from operations.csv_rows import Cleaned, Person, UnreadableTextError
from operations.days import ComputedDay
from operations.deployment import Deployment
from operations.errors import OperationError, RefusedError, aws_failure
from operations.executions import running_executions, unfinished_job_runs
from operations.journal import Entry, Journal
from operations.lake import read_run
from operations.pending import PendingFiles
from operations.recompute import recompute
from operations.rewrites import Name
from operations.versions import Version, delete, delete_all_versions, versions, write
from operations.waiting import wait_until
from validators.reports import masked

PARALLEL_OBJECTS: Final = 8
SPOOLED_BYTES: Final = 16 * 1024**2
_FILE_PREFIXES: Final = (
    names.PROCESSING_PREFIX,
    names.ARCHIVE_PREFIX,
    names.ERROR_PREFIX,
    names.QUALITY_PREFIX,
    names.REFERENCE_PREFIX,
    names.CURATED_PREFIX,
)
_PARQUET_PREFIXES: Final = (names.CURATED_PREFIX, names.REFERENCE_PREFIX, names.PROCESSING_PREFIX)
"""Where a key that ends so is the jobs' own: the copies of uploads in processing/ have names without an end."""

_GONE: Final = ("NoSuchKey", "NoSuchVersion", "404")
"""An object that has gone since it was listed, as by a lifecycle rule, holds nobody."""
_OF_ONE_OBJECT: Final = (
    ClientError,
    BotoCoreError,
    UnreadableTextError,
    documents.OddDocumentError,
    ValueError,
    RecursionError,
    pa.ArrowException,
)
"""What an odd object can lead to: S3 refuses it, or it is not what its name says."""


class IncompleteError(OperationError):
    """Some objects could not be purged."""


class LakeChangedError(OperationError):
    """Somebody else replaced a run of a day while the pipe was paused."""


@dataclass(frozen=True)
class Failure:
    """An object version, or the files of a day's runs, that could not be purged.

    Attributes:
        key: the object key, or a prefix.
        version_id: the version; `all` of a prefix.
        reason: why, in words.
    """

    key: str
    version_id: str
    reason: str


@dataclass
class Removed:
    """What a purge removed.

    Attributes:
        rows: rows, or mentions in reports, by prefix; a play that lies in several files counts in each.
        versions: object versions that held them and are gone, by prefix.
        unreadable: keys that could not be read row by row, held the id and were deleted as a whole.
        broken: keys of broken gzip that does not hold the id as far as it could be unpacked: left as they are.
        failed: what could not be purged.
        named: keys that hold the id in their name, which only whoever uploads can change.
        days: the touched days, as they are after being computed anew.
    """

    rows: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    days: list[ComputedDay] = field(default_factory=list)

    def note(self, key: str, rows: int) -> None:
        """Counts one version that is gone."""
        prefix = key.partition("/")[0] + "/"
        self.rows[prefix] += rows
        self.versions[prefix] += 1


def unfinished_purges(deployment: Deployment) -> list[Entry]:
    """Purges that were begun and not ended."""
    return Journal(deployment.ledger_table).unfinished()


def refuse_while_purging(deployment: Deployment) -> None:
    """Raises RefusedError while a purge is unfinished: files must rest until it is done."""
    if purges := unfinished_purges(deployment):
        raise RefusedError(
            f"A purge that was begun at {purges[0].begun_at} is unfinished: repeat its `purge-user` command first."
        )


def purge_user(deployment: Deployment, user_id: str, *, minutes: float, tell: Callable[[str], None]) -> Removed:
    """Removes a person and computes the touched days anew.

    Args:
        deployment: where.
        user_id: as in the data.
        minutes: how long to wait at most for what runs, and for the computation.
        tell: gets one sentence per step.

    Raises:
        RefusedError: the purge of another user is unfinished.
        NotDoneYetError: something still runs; the pipe stays paused until the command is repeated.
        RecomputationFailedError: the days could not be computed; likewise.
    """
    person = Person(user_id)
    user_id = person.id.decode()
    journal = Journal(deployment.ledger_table)
    user = deployment.ledger.user_hash(user_id)
    if any(entry.user != user for entry in journal.unfinished()):
        refuse_while_purging(deployment)
    # Before the tombstone: from here on no leftover is collected by which the purge finds the days.
    entry = journal.open(user, resume_pipe=_pipe_state(deployment, "DesiredState") == "RUNNING")
    deployment.ledger.purge_user(user_id)
    tell(f"Left a tombstone of {masked('user_id', user_id)}: no later file brings the plays back")
    with _telling_of_the_pause(deployment, tell):
        _pause(deployment, minutes=minutes, tell=tell)
        removed = _remove(deployment, person, user, journal, tell=tell)
        # Besides the noted days those that a computation of a purge died over, whose note another command has closed.
        days = sorted({*journal.days(user), *unpublished(*read_days(deployment.ledger, deployment.kpi_table))})
        if days:
            removed.days = recompute(deployment, days, minutes=minutes, tell=tell)
        _resume(deployment, was_running=entry.resume_pipe, tell=tell)
    if removed.failed:
        journal.close_incomplete(user, len(removed.failed))
    else:
        journal.close(user)
    return removed


def _remove(
    deployment: Deployment, person: Person, user: str, journal: Journal, *, tell: Callable[[str], None]
) -> Removed:
    purge = _Purge(deployment, person, user, journal, tell)
    purge.clean_lake()
    tell("Replaced the runs of the lake that held plays")
    for prefix in _FILE_PREFIXES:
        purge.clean_prefix(prefix)
    purge.clean_raw()
    tell("Rewrote the files")
    return purge.removed


@contextmanager
def _telling_of_the_pause(deployment: Deployment, tell: Callable[[str], None]) -> Iterator[None]:
    """If a purge ends early for any reason, its message says that the pipe is stopped and how to go on."""
    is_done = False
    try:
        yield
        is_done = True
    finally:
        if not is_done:
            tell(
                f"The purge is not finished: the pipe {deployment.pipe} stays paused, and uploads wait in its queue. "
                "Remove the cause and repeat the command with the same id: it goes on where this one ended."
            )


def _pause(deployment: Deployment, *, minutes: float, tell: Callable[[str], None]) -> None:
    if _pipe_state(deployment, "DesiredState") == "RUNNING":
        deployment.pipes.stop_pipe(Name=deployment.pipe)
    repeat = "the pipe stays paused and uploads wait in the queue; repeat the command."
    tell(f"Pausing the pipe {deployment.pipe}, and waiting for what runs")
    wait_until(
        lambda: _pipe_state(deployment, "CurrentState") == "STOPPED",
        minutes=minutes,
        otherwise=f"the pipe {deployment.pipe} has not stopped; {repeat}",
    )
    wait_until(
        lambda: not running_executions(deployment) and not unfinished_job_runs(deployment),
        minutes=minutes,
        otherwise=f"executions or job runs are still under way (see `status`); {repeat}",
    )


def _resume(deployment: Deployment, *, was_running: bool, tell: Callable[[str], None]) -> None:
    if not was_running:
        tell(
            f"The pipe {deployment.pipe} was paused before, and stays so: aws pipes start-pipe --name {deployment.pipe}"
        )
        return
    if _pipe_state(deployment, "DesiredState") != "RUNNING":
        deployment.pipes.start_pipe(Name=deployment.pipe)
    tell(f"The pipe {deployment.pipe} runs again")


def _pipe_state(deployment: Deployment, state: str) -> str:
    return str(deployment.pipes.describe_pipe(Name=deployment.pipe)[state])


class _Purge:
    """The part that works on objects."""

    def __init__(
        self, deployment: Deployment, person: Person, user: str, journal: Journal, tell: Callable[[str], None]
    ) -> None:
        self._deployment = deployment
        self._person = person
        self._user_id = person.id.decode()
        self._user = user
        self._journal = journal
        self._tell = tell
        self._failed: set[Name] = set()
        self.removed = Removed()

    # The lake

    def clean_lake(self) -> None:
        """Replaces each run that holds plays of the person, committed or not, by one without them."""
        for date, runs in self._stored_runs().items():
            with self._surviving((plays_folder(date), "all")):
                for run in runs:
                    if self._count_rows(_run_prefix(date, run)):
                        self._replace(date, run)

    def _replace(self, date: str, run: str) -> None:
        ledger = self._deployment.ledger
        if ledger.day(date):
            # First the journal: once the run is gone, nothing else tells that the day is to be computed again. Nor does
            # a run that was merged: the merged run may lack the person, and the day's rows may still count the plays.
            self._journal.add_days(self._user, [date])
        # A run is replaced that was merged, or by a purge that ended before it deleted the run.
        is_replaced = ledger.is_replaced(date, run)
        if not is_replaced and not ledger.replace_run(date, run, self._write_successor(date, run)):
            raise LakeChangedError(f"Somebody else changed the runs of {date} meanwhile: repeat the command.")
        self._delete_run(date, run)

    def _stored_runs(self) -> dict[str, list[str]]:
        """By day, ascending, the runs that have a document: committed ones, and those of failed executions."""
        runs: dict[str, list[str]] = {}
        for version in versions(self._deployment, names.RUNS_PREFIX):
            if version.is_latest and not version.is_marker:
                date, run = run_of_document_key(version.key)
                runs.setdefault(date, []).append(run)
        return {date: sorted(runs[date]) for date in sorted(runs)}

    def _delete_run(self, date: str, run: str) -> None:
        prefix = _run_prefix(date, run)
        self.removed.rows[names.CURATED_PREFIX] += self._count_rows(prefix)
        for version in [*versions(self._deployment, document_key(run, date)), *versions(self._deployment, prefix)]:
            delete(self._deployment, version)
            self.removed.versions[names.CURATED_PREFIX] += 1

    def _write_successor(self, date: str, run: str) -> str | None:
        """Writes a run without the person's plays; None where nothing is left. Repeated, it has the same name."""
        successor = self._successor(run)
        before = read_run(self._deployment, date, run)
        current = {version.key: version for version in self._current_parquet(_run_prefix(date, run))}
        objects = []
        for stored in before.objects:
            with self._download(current[stored.key]) as source, _temporary() as target:
                cleaned = parquet_rows.remove_rows(source, target, self._user_id)
                if cleaned.left:
                    key = object_key(successor, date, stored.bucket, before.buckets)
                    objects.append(replace(stored, key=key, rows=cleaned.left, size=target.tell()))
                    write(self._deployment, key, target)
        if not objects:
            return None
        after = replace(before, name=successor, objects=objects)
        write(self._deployment, after.document_key, BytesIO(json_line(after.document())))
        return successor

    def _successor(self, run: str) -> str:
        return "purge-" + hashlib.sha256(f"{run}#{self._user}".encode()).hexdigest()[:24]

    def _count_rows(self, prefix: str) -> int:
        count = 0
        for version in self._current_parquet(prefix):
            with self._surviving(version.name), self._download(version) as source:
                count += parquet_rows.count_rows(source, self._user_id)
        return count

    def _current_parquet(self, prefix: str) -> Iterator[Version]:
        found = versions(self._deployment, prefix)
        return (version for version in found if version.is_latest and version.key.endswith(".parquet"))

    # Files

    def clean_prefix(self, prefix: str) -> None:
        """Rewrites what is current and deletes what is not, wherever it holds the person."""
        found = list(versions(self._deployment, prefix))
        self.removed.named += sorted({v.key for v in found if self._person.is_in_name(v.key)})
        with ThreadPoolExecutor(max_workers=PARALLEL_OBJECTS) as pool:
            outcomes = list(pool.map(self._clean_version, [version for version in found if not version.is_marker]))
        touched = set()
        for version, rows in outcomes:
            if rows:
                self.removed.note(version.key, rows)
                touched.add(version.key)
        for key in touched:
            with self._surviving((key, "all")):
                left = [version for version in versions(self._deployment, key) if version.key == key]
                if all(version.is_marker for version in left):
                    delete_all_versions(self._deployment, key)

    def clean_raw(self) -> None:
        """Rewrites files that wait for the pipeline; see `PendingFiles`."""
        pending = PendingFiles(self._deployment)
        for version in pending.oldest_first():
            if self._person.is_in_name(version.key):
                self.removed.named.append(version.key)
            with self._surviving(version.name):
                if not pending.finish(version):
                    self._clean_pending(pending, version)
        pending.forget(self._failed)

    def _clean_pending(self, pending: PendingFiles, version: Version) -> None:
        with self._download(version) as source, _temporary() as target:
            try:
                cleaned = self._clean_csv(version.key, source, target)
            except UnreadableTextError:
                self._delete_unreadable(version)
                self.removed.note(version.key, 1)
                return
            if cleaned.removed:
                pending.replace(version, target if cleaned.left else None)
                self.removed.note(version.key, cleaned.removed)
            else:
                pending.keep(version, source)

    def _clean_version(self, version: Version) -> tuple[Version, int]:
        """Removes the person from one version; returns the rows that were theirs."""
        rows = 0
        with self._surviving(version.name):
            rows = self._clean_readable(version)
        return version, rows

    def _clean_readable(self, version: Version) -> int:
        with self._download(version) as source, _temporary() as target:
            try:
                cleaned = self._clean(version.key, source, target)
            except UnreadableTextError:
                self._delete_unreadable(version)
                return 1
            if cleaned.removed:
                # Nobody reads a run that no day is made of: it is not rewritten.
                if version.is_latest and not version.key.startswith(names.CURATED_PREFIX):
                    write(self._deployment, version.key, target)
                delete(self._deployment, version)
            return cleaned.removed

    def _clean(self, key: str, source: IO[bytes], target: IO[bytes]) -> Cleaned:
        if key.endswith(".parquet") and key.startswith(_PARQUET_PREFIXES):
            return self._clean_parquet(source, target)
        if key.startswith((names.CURATED_PREFIX, names.REFERENCE_PREFIX)):
            return _NOTHING
        if key.endswith(".html"):  # Great Expectations' pages: counts by file and rule, no values
            return _NOTHING
        if not self._contains(key, source):
            return _NOTHING
        if key.startswith(names.QUARANTINE_PREFIX):
            return documents.remove_quarantined(source, target, self._person)
        if key.endswith(".json"):
            document, mentions = documents.remove_mentions(json.loads(source.read()), self._person)
            target.write(json_line(document))
            return Cleaned(removed=mentions, left=1)
        return csv_rows.remove_rows(source, target, self._person)

    def _clean_parquet(self, source: IO[bytes], target: IO[bytes]) -> Cleaned:
        if not parquet_rows.count_rows(source, self._user_id):
            return _NOTHING
        source.seek(0)
        return parquet_rows.remove_rows(source, target, self._user_id)

    def _clean_csv(self, key: str, source: IO[bytes], target: IO[bytes]) -> Cleaned:
        return csv_rows.remove_rows(source, target, self._person) if self._contains(key, source) else _NOTHING

    def _contains(self, key: str, source: IO[bytes]) -> bool:
        """Whether a file may hold the person; it is at its beginning afterwards."""
        try:
            return csv_rows.contains(source, self._person)
        except UnreadableTextError:
            self.removed.broken.append(key)
            return False
        finally:
            source.seek(0)

    def _delete_unreadable(self, version: Version) -> None:
        # Told at once: a repetition of an interrupted purge does not find it any more.
        self._tell(f"{version.key} cannot be read row by row and holds the id: version {version.version_id} is deleted")
        delete(self._deployment, version)
        self.removed.unreadable.append(version.key)

    @contextmanager
    def _surviving(self, name: Name) -> Iterator[None]:
        """Notes what keeps one object from being purged, and lets the others go on."""
        try:
            yield
        except _OF_ONE_OBJECT as error:
            if name not in self._failed and not _is_gone(error):
                self._failed.add(name)
                self.removed.failed.append(Failure(*name, _reason(error)))

    @contextmanager
    def _download(self, version: Version) -> Iterator[IO[bytes]]:
        """The bytes of a version."""
        found = self._deployment.s3.get_object(
            Bucket=self._deployment.bucket, Key=version.key, VersionId=version.version_id
        )
        with _temporary() as file:
            for chunk in found["Body"].iter_chunks(1024**2):
                file.write(chunk)
            file.seek(0)
            yield file


def _is_gone(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _GONE


def _reason(error: Exception) -> str:
    """Why an object cannot be purged; nothing that stands in it."""
    if isinstance(error, ClientError) and error.response["Error"]["Code"] == "InvalidObjectState":
        return "it is archived: restore it (aws s3api restore-object), or delete it"
    if isinstance(error, ClientError | BotoCoreError):
        return aws_failure(error)
    return f"its content is not what its name says ({type(error).__name__})"


_NOTHING: Final = Cleaned(removed=0, left=0)


def _run_prefix(date: str, run: str) -> str:
    return f"{plays_folder(date)}run={run}/"


@contextmanager
def _temporary() -> Iterator[IO[bytes]]:
    with SpooledTemporaryFile(max_size=SPOOLED_BYTES) as file:
        yield file
