"""The ledger: what is known of every file, every day and the current reference snapshots. Table `ledger`, DynamoDB.

| `pk` | `sk` | the item |
|---|---|---|
| `FILE#<key>` | version id | a file; an index lists files by `status` and `uploaded_at` |
| `BATCH#<execution ARN>` | `BATCH` | an execution's accepted files in the lake; the index lists those that wait |
| `DAYS` | yyyy-mm-dd | a day that was claimed: `claim`, and `published`, a hint |
| `RUNS#<yyyy-mm-dd>` | lake run | a run of the day: `committed_at` once it counts, `replaced_by` once it does not |
| `WITHDRAWN` | hash of the file | a file whose plays do not count, or were restored |
| `SNAPSHOTS` | dataset | the pointer to the current reference snapshot |
| `PURGED` | `SALT`, `USER#<hash>` | the salt, and a tombstone for each purged user |

No item grows with the number of files. Wherever KPIs depend on an item, it is read consistently, and by its key.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from glue_scripts.names import (
    FIRST_DATE,
    LEDGER_PARTITION_KEY,
    LEDGER_SORT_KEY,
    STATUS_INDEX,
    STATUS_INDEX_PARTITION_KEY,
    STATUS_INDEX_SORT_KEY,
)
from glue_scripts.objects import file_name

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


FILE_PREFIX = "FILE#"
_BATCH_PREFIX = "BATCH#"
_DAYS = "DAYS"
_LAST_DATE = "9999-12-31"
_PURGED = "PURGED"
_WITHDRAWN = "WITHDRAWN"
_USER = "USER#"
_WAITING = "WAITING"
"""The status of a batch that another batch's run of the KPI job may take along. No file has it."""
_NOTHING = ""
"""What replaces a run of which nothing is left."""
PARALLEL_READS = 8
SEQUENCER_CHARACTERS = 64
"""More than S3's have, which are 16 or 18."""
MAX_RUNS_MERGED = 90
"""DynamoDB writes at most 100 items in one transaction."""
_PAUSES_OF_CONFLICTS = (0.1, 0.2, 0.4, 0.8)
"""Seconds between the tries of a write that collides with `replace_runs`.

DynamoDB refuses such a write, and boto3 does not try it again.
"""
_LOST_RACE = {"None", "ConditionalCheckFailed", "TransactionConflict"}
"""Why DynamoDB cancels a transaction if somebody else has changed one of its items."""


Age = tuple[str, str, str, str]


def age_of(uploaded_at: str, key: str, sequencer: str, version_id: str) -> Age:
    """What decides which of two reference files is newer: the time, the key, S3's order of a key's events, the version.

    S3 tells the time to the second. Sequencers of one key are compared as text, the shorter one filled with zeros:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html

    Args:
        uploaded_at: ISO 8601 in UTC, to the second.
        key: the object key.
        sequencer: of S3's event; empty where there is none.
        version_id: the object version, which says nothing of the order, and is the same for the same file.
    """
    return uploaded_at, key, sequencer.upper().ljust(SEQUENCER_CHARACTERS, "0"), version_id


class UnknownBatchError(ValueError):
    """The ledger does not know what a batch became in the lake."""


class FileStatus(StrEnum):
    """How far a file has come; it moves forward only, in this order.

    SKIPPED, REJECTED, ARCHIVED and REPLACED are final.
    """

    RECEIVED = "RECEIVED"
    SKIPPED = "SKIPPED"
    """No data file, such as a folder or a checksum (`validators.companion_files`): it stays in raw/."""
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    LOADED = "LOADED"
    ARCHIVED = "ARCHIVED"
    REPLACED = "REPLACED"
    """Nothing has worked on this version, and a purge put another one, without a person's rows, in its place."""


_MAY_BECOME: Mapping[FileStatus, tuple[FileStatus, ...]] = {
    FileStatus.SKIPPED: (FileStatus.RECEIVED, FileStatus.SKIPPED),
    FileStatus.ACCEPTED: (FileStatus.RECEIVED,),
    FileStatus.REJECTED: (FileStatus.RECEIVED,),
    FileStatus.LOADED: (FileStatus.ACCEPTED, FileStatus.LOADED),
}


@dataclass(frozen=True)
class Snapshot:
    """A reference snapshot: an immutable folder of Parquet, made of one accepted file.

    Attributes:
        dataset: users or songs.
        uri: the folder.
        key: the file it was made of.
        version_id: its version.
        last_modified: when that version was uploaded, ISO 8601 in UTC, to the second.
        rows: its valid rows.
        sequencer: of S3's event about the upload, in hexadecimal; empty where an operator has sent the event.
    """

    dataset: str
    uri: str
    key: str
    version_id: str
    last_modified: str
    rows: int
    sequencer: str = ""

    @property
    def age(self) -> Age:
        """What decides which of two snapshots is newer."""
        return age_of(self.last_modified, self.key, self.sequencer, self.version_id)

    @property
    def file(self) -> dict[str, str]:
        """The file, as SUMMARY names it: the SHA-256 of its key in hexadecimal, and its version."""
        return {"key_hash": hashlib.sha256(self.key.encode()).hexdigest(), "version_id": self.version_id}


class Aged(Protocol):
    """A reference file, or a snapshot of one."""

    @property
    def age(self) -> Age:
        """What decides which of two is newer."""
        ...


AgedT = TypeVar("AgedT", bound=Aged)


def newest_of(files: Iterable[AgedT], current: Snapshot | None) -> AgedT | None:
    """The file whose snapshot is to be current; None where the current one is of a newer file, or of that one."""
    newest = max(files, key=lambda file: file.age, default=None)
    return newest if newest and (current is None or newest.age > current.age) else None


@dataclass(frozen=True)
class Batch:
    """What the rows of an execution's accepted files became in the lake. Nothing else names them.

    Attributes:
        execution_arn: the execution.
        run: the lake run of its plays.
        dates: the days of which the run has plays, yyyy-mm-dd, ascending. Some 15,000 fit into an item of 400 KB: 41
            years, and no play is older than FIRST_DATE.
        snapshots: those made of its files; at most one for each dataset.
        document_uri: the list of the accepted files.
        size: bytes of the run's objects.
    """

    execution_arn: str
    run: str
    dates: Sequence[str]
    snapshots: Sequence[Snapshot]
    document_uri: str
    size: int


@dataclass(frozen=True)
class BatchUse:
    """Who loads a batch.

    Attributes:
        is_waiting: whether a run of the KPI job may take it along.
        begun_by: the run of the KPI job that was the first to load it; None where none has begun.
        begun_at: when one began last, ISO 8601 in UTC, to the second; None where none has begun.
    """

    is_waiting: bool
    begun_by: str | None
    begun_at: str | None


@dataclass(frozen=True)
class RecordedVerdict:
    """The verdict on a file that the ledger holds.

    Attributes:
        status: how far the file has come since.
        execution: the execution that recorded it.
        is_new: whether it was recorded just now.
        attributes: what was recorded with it.
    """

    status: FileStatus
    execution: str
    is_new: bool
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Day:
    """What the ledger knows of a day.

    Attributes:
        date: yyyy-mm-dd.
        claim: how many computations were begun.
        published: a version that is visible; 0 where none is known to be. A hint: it is set after the day's SUMMARY in
            the table `kpis`, which is the truth.
    """

    date: str
    claim: int
    published: int


@dataclass(frozen=True)
class Tombstones:
    """The purged users: known by salted hashes only.

    Attributes:
        salt: made once, with the first tombstone; empty where there is none.
        hashes: `salted_hash` of each purged user id.
    """

    salt: str
    hashes: frozenset[str]

    def __contains__(self, user_id: str) -> bool:
        return bool(self.hashes) and salted_hash(self.salt, user_id) in self.hashes


NO_TOMBSTONES = Tombstones(salt="", hashes=frozenset())


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """A file that was withdrawn at least once.

    Attributes:
        key: the object key.
        version_id: the object version.
        changed_at: when it was withdrawn or restored, ISO 8601 in UTC, to the second.
        is_withdrawn: whether its plays are left out; False once it is restored.
        is_computed: whether its days were published since. A hint: it is set after that.
    """

    key: str
    version_id: str
    changed_at: str
    is_withdrawn: bool
    is_computed: bool


@dataclass(frozen=True)
class RunItem:
    """What the ledger knows of a lake run of a day.

    Attributes:
        is_committed: whether it was ever committed.
        replaced_by: the run in its place, empty where nothing was left of it; None where it was not replaced.
        replaced_at: when, ISO 8601 in UTC, to the second; None where it was not replaced.
    """

    is_committed: bool
    replaced_by: str | None
    replaced_at: str | None


@dataclass(frozen=True)
class Claim:
    """A computation of a day, and what it computes from.

    Attributes:
        date: yyyy-mm-dd.
        version: how many computations of the day were begun, this one included: the version of its rows.
        runs: the lake runs of the day, read after the day was claimed: every run that was committed before is there.
    """

    date: str
    version: int
    runs: frozenset[str]


class Ledger:
    """The table `ledger`.

    Args:
        table: the boto3 table resource.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    # Files

    def file_status_and_execution(self, key: str, version_id: str) -> tuple[FileStatus | None, str | None]:
        """How far a file has come, and the execution that has judged it, or has last begun with it; consistently read.

        Both are None where the ledger does not know the file.
        """
        item = self._get(file_key(key, version_id))
        return (FileStatus(item["status"]), str(item["execution"])) if item else (None, None)

    def file_item(self, key: str, version_id: str) -> Mapping[str, Any]:
        """All that is known of a file, consistently read; empty where the ledger does not know it."""
        return self._get(file_key(key, version_id))

    def file_versions(self, key: str) -> list[Mapping[str, Any]]:
        """All that is known of every version of a key, consistently read, by ascending version id."""
        return self._items(f"{FILE_PREFIX}{key}")

    def known_files(self, files: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of some files, by key and version, have an item: consistently read."""
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            items = pool.map(self._get, [file_key(*file) for file in files])
        return {file_of(item) for item in items if item}

    def receive_file(self, key: str, version_id: str, attributes: Mapping[str, Any]) -> None:
        """Notes that an execution has begun with a file. A file that was judged before stays as it is.

        Args:
            key: the object key.
            version_id: the object version.
            attributes: what is noted; without `uploaded_at`, the index does not list the file.
        """
        names, sets, values = _assignments({**attributes, "status": FileStatus.RECEIVED})
        self._update_if(
            file_key(key, version_id),
            sets,
            "attribute_not_exists(#status) OR #status = :received",
            {**names, "#status": "status"},
            {**values, ":received": FileStatus.RECEIVED},
        )

    def record_verdict(
        self, key: str, version_id: str, status: FileStatus, execution_arn: str, attributes: Mapping[str, Any]
    ) -> RecordedVerdict:
        """Records whether a received file is ACCEPTED or REJECTED, unless a verdict on it is recorded already.

        Args:
            key: the object key.
            version_id: the object version.
            status: the verdict.
            execution_arn: the execution that gives it.
            attributes: what is recorded with it.

        Returns:
            The verdict that the ledger now holds.
        """
        recorded = {**attributes, "execution": execution_arn}
        if self.advance_file(key, version_id, status, recorded) is not None:
            return RecordedVerdict(status, execution_arn, is_new=True, attributes=recorded)
        item = self._get(file_key(key, version_id))
        return RecordedVerdict(FileStatus(item["status"]), str(item["execution"]), is_new=False, attributes=item)

    def advance_file(
        self, key: str, version_id: str, status: FileStatus, attributes: Mapping[str, Any]
    ) -> FileStatus | None:
        """Moves a file forward to a status.

        Returns:
            The status that it had: the new one where it has been moved before, as by a run that died afterwards. None
            where the file is further, or judged otherwise, already: another execution was faster.
        """
        names, sets, values = _assignments({**attributes, "status": status})
        allowed = {f":from{position}": before for position, before in enumerate(_MAY_BECOME[status])}
        before = self._update_if(
            file_key(key, version_id),
            sets,
            f"#status IN ({', '.join(allowed)})",
            {**names, "#status": "status"},
            {**values, **allowed},
        )
        return None if before is None else FileStatus(before["status"])

    # Batches

    def record_batch(self, batch: Batch, *, waiting_since: str | None) -> None:
        """Records what a batch became in the lake, unless that is recorded already.

        Args:
            batch: the batch.
            waiting_since: when the first of its files was uploaded; None where no other batch's run of the KPI job may
                take it along.
        """
        waiting = {STATUS_INDEX_PARTITION_KEY: _WAITING, STATUS_INDEX_SORT_KEY: waiting_since} if waiting_since else {}
        names, sets, values = _assignments(
            {
                "run": batch.run,
                "dates": list(batch.dates),
                "snapshots": [asdict(snapshot) for snapshot in batch.snapshots],
                "document": batch.document_uri,
                "size": batch.size,
                **waiting,
            }
        )
        is_new = f"attribute_not_exists({LEDGER_PARTITION_KEY})"
        self._update_if(batch_key(batch.execution_arn), sets, is_new, names, values)

    def batch(self, execution_arn: str) -> Batch:
        """What a batch became in the lake, consistently read.

        Raises:
            UnknownBatchError: nothing was recorded.
        """
        item = self._get(batch_key(execution_arn))
        if not item:
            raise UnknownBatchError(
                f"The ledger does not know what the files of {execution_arn} became in the lake: their validation has "
                "not ended. Start an execution with the files again."
            )
        return _batch(item)

    def has_batch(self, execution_arn: str) -> bool:
        """Whether a batch is recorded, consistently read."""
        return bool(self._get(batch_key(execution_arn)))

    def begin_batch(self, execution_arn: str, job_run: str) -> bool:
        """Notes that a run of the KPI job loads a recorded batch, which then waits no longer.

        Returns:
            Whether no other run has begun to load it before.
        """
        before = self._update_if(
            batch_key(execution_arn),
            "SET begun_by = if_not_exists(begun_by, :run), begun_at = :now REMOVE #status",
            f"attribute_exists({LEDGER_PARTITION_KEY})",
            {"#status": STATUS_INDEX_PARTITION_KEY},
            {":run": job_run, ":now": utc_now()},
        )
        return before is not None and before.get("begun_by", job_run) == job_run

    def batch_use(self, execution_arn: str) -> BatchUse | None:
        """Who loads a batch, consistently read; None where it was not recorded."""
        item = self._get(batch_key(execution_arn))
        if not item:
            return None
        is_waiting = item.get(STATUS_INDEX_PARTITION_KEY) == _WAITING
        return BatchUse(is_waiting, item.get("begun_by"), item.get("begun_at"))

    def waiting_batches(self, most: int) -> list[Batch]:
        """Batches that no run of the KPI job has begun to load, from an index that lags.

        Args:
            most: how many are read at most: those whose files have waited longest.
        """
        return [_batch(item) for item in islice(self._with_status(_WAITING, ScanIndexForward=True, Limit=most), most)]

    # Days

    def commit_run(self, date: str, run: str) -> None:
        """Makes a lake run, complete in the lake, one of a day's runs; doing it again changes nothing.

        If the run was replaced, this commits the run in its place, or none if nothing was left of it.
        """
        while (
            run
            and self._update_if(
                run_key(date, run),
                "SET committed_at = if_not_exists(committed_at, :now)",
                "attribute_not_exists(#replaced_by)",
                {"#replaced_by": "replaced_by"},
                {":now": utc_now()},
            )
            is None
        ):
            run = str(self._get(run_key(date, run))["replaced_by"])

    def claim_day(self, date: str) -> int:
        """Claims a day, which lists it as well, in one atomic step; returns the version of the rows to be computed."""
        item = self._table.update_item(
            Key={LEDGER_PARTITION_KEY: _DAYS, LEDGER_SORT_KEY: date},
            UpdateExpression="ADD claim :one",
            ExpressionAttributeValues={":one": 1},
            ReturnValues="ALL_NEW",
        )["Attributes"]
        return _integer(item["claim"])

    def runs(self, date: str) -> frozenset[str]:
        """The committed runs of a day that no other run has replaced, consistently read.

        A query is no snapshot: it can miss a run that is committed meanwhile and find the one that it replaces marked.
        The query is then repeated: a run is committed before the other one is marked.
        """
        while True:
            items = {_sort_key(item): item for item in self._items(f"RUNS#{date}")}
            committed = {run for run, item in items.items() if "committed_at" in item}
            if {_last_successor(items, run) for run in committed} <= committed | {_NOTHING}:
                return frozenset(run for run in committed if "replaced_by" not in items[run])

    def replace_run(self, date: str, old: str, new: str | None) -> bool:
        """Puts a run of a day in another's place; doing it again changes nothing.

        The other one may be committed or not. Rows change only when the day is claimed and computed after this.

        Args:
            date: yyyy-mm-dd.
            old: the run to take out.
            new: the run to put in, complete in the lake; None if nothing is left of the old one.

        Returns:
            False where another run has replaced the old one.
        """
        while True:
            item = self._get(run_key(date, old))
            if "replaced_by" in item:
                return str(item["replaced_by"]) == (new or _NOTHING)
            is_committed = "committed_at" in item
            if is_committed and new:
                self.commit_run(date, new)
            # A run that was committed meanwhile fails the condition.
            if (
                self._update_if(
                    run_key(date, old),
                    "SET #replaced_by = :new, replaced_at = :now",
                    "attribute_not_exists(#replaced_by) AND "
                    f"attribute_{'' if is_committed else 'not_'}exists(committed_at)",
                    {"#replaced_by": "replaced_by"},
                    {":new": new or _NOTHING, ":now": utc_now()},
                )
                is not None
            ):
                return True

    def replace_runs(self, date: str, old: Collection[str], new: str) -> bool:
        """Puts one run in the place of several committed ones, in one atomic step.

        Args:
            date: yyyy-mm-dd.
            old: the runs to take out, at most MAX_RUNS_MERGED.
            new: the run to put in, complete in the lake; it may be in the place of others already.

        Returns:
            False where another run has replaced one of them: then nothing is changed.
        """
        now = utc_now()
        commit = {
            "Key": run_key(date, new),
            "UpdateExpression": "SET committed_at = if_not_exists(committed_at, :now)",
            "ConditionExpression": "attribute_not_exists(replaced_by)",
            "ExpressionAttributeValues": {":now": now},
        }
        replace = {
            "UpdateExpression": "SET replaced_by = :new, replaced_at = :now",
            "ConditionExpression": "attribute_exists(committed_at) AND attribute_not_exists(replaced_by)",
            "ExpressionAttributeValues": {":new": new, ":now": now},
        }
        updates = [commit, *({**replace, "Key": run_key(date, run)} for run in sorted(old))]
        try:
            self._table.meta.client.transact_write_items(
                TransactItems=[{"Update": {"TableName": self._table.name, **update}} for update in updates]  # type: ignore[typeddict-item]
            )
        except ClientError as error:
            reasons = {str(reason["Code"]) for reason in error.response.get("CancellationReasons", [])}
            if reasons and reasons <= _LOST_RACE:
                return False
            raise
        return True

    def run_items(self, date: str) -> dict[str, RunItem]:
        """Every run of a day that was committed or replaced, by name, consistently read."""
        return {
            _sort_key(item): RunItem("committed_at" in item, item.get("replaced_by"), item.get("replaced_at"))
            for item in self._items(f"RUNS#{date}")
        }

    def is_replaced(self, date: str, run: str) -> bool:
        """Whether another run has taken a run's place on a day, or nothing is left of it; consistently read."""
        return "replaced_by" in self._get(run_key(date, run))

    def days(self, first: str = FIRST_DATE, last: str = _LAST_DATE) -> list[Day]:
        """Every day that was ever claimed, consistently read.

        Args:
            first: yyyy-mm-dd; no play is older than FIRST_DATE.
            last: yyyy-mm-dd.

        Returns:
            Days from first to last, both included, by ascending date.
        """
        # DynamoDB refuses a range that ends before it begins.
        return [_day(item) for item in self._items(_DAYS, first, last)] if first <= last else []

    def dates(self, first: str = FIRST_DATE, last: str = _LAST_DATE) -> list[str]:
        """The dates of `days`."""
        return [day.date for day in self.days(first, last)]

    def day(self, date: str) -> Day | None:
        """What is known of a day, consistently read; None where it was never claimed."""
        item = self._get({LEDGER_PARTITION_KEY: _DAYS, LEDGER_SORT_KEY: date})
        return _day(item) if item else None

    def note_published(self, date: str, version: int) -> None:
        """Notes that a version of a day's rows is visible, unless a later one is noted."""
        self._update_if(
            {LEDGER_PARTITION_KEY: _DAYS, LEDGER_SORT_KEY: date},
            "SET #published = :version",
            "attribute_not_exists(#published) OR #published < :version",
            {"#published": "published"},
            {":version": version},
        )

    # Purged users

    def user_hash(self, user_id: str) -> str:
        """The salted hash of a user, by which a tombstone knows the user; the first call makes the salt.

        Args:
            user_id: as in the data; ASCII whitespace around it does not count.
        """
        salt = self._table.update_item(
            Key={LEDGER_PARTITION_KEY: _PURGED, LEDGER_SORT_KEY: "SALT"},
            UpdateExpression="SET salt = if_not_exists(salt, :salt)",
            ExpressionAttributeValues={":salt": secrets.token_hex(16)},
            ReturnValues="ALL_NEW",
        )["Attributes"]["salt"]
        return salted_hash(str(salt), user_id.strip(string.whitespace))

    def purge_user(self, user_id: str) -> None:
        """Leaves a tombstone: computations that claim after this leave the user out. Doing it again changes nothing.

        Args:
            user_id: as `user_hash` takes it.
        """
        self._table.put_item(Item={LEDGER_PARTITION_KEY: _PURGED, LEDGER_SORT_KEY: f"{_USER}{self.user_hash(user_id)}"})

    def purged_users(self) -> Tombstones:
        """All tombstones, consistently read."""
        items = {_sort_key(item): item for item in self._items(_PURGED)}
        if "SALT" not in items:
            return NO_TOMBSTONES
        hashes = frozenset(key.removeprefix(_USER) for key in items if key.startswith(_USER))
        return Tombstones(salt=str(items["SALT"]["salt"]), hashes=hashes)

    # Withdrawn files

    def withdraw_file(self, key: str, version_id: str) -> None:
        """Leaves a file's plays out of every computation that claims after this. Doing it again changes nothing."""
        self._change_withdrawal(key, version_id, is_withdrawn=True)

    def restore_file(self, key: str, version_id: str) -> None:
        """Lets the plays of a withdrawn file count again, from computations that claim after this."""
        self._change_withdrawal(key, version_id, is_withdrawn=False)

    def _change_withdrawal(self, key: str, version_id: str, *, is_withdrawn: bool) -> None:
        names, sets, values = _assignments(
            {"key": key, "version_id": version_id, "changed_at": utc_now(), "is_withdrawn": is_withdrawn}
        )
        self._table.update_item(
            Key=_withdrawal_key(key, version_id),
            UpdateExpression=f"{sets} REMOVE is_computed",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )

    def note_withdrawal_computed(self, key: str, version_id: str, *, is_withdrawn: bool) -> None:
        """Notes that a file's days were published since it was withdrawn or restored, if it still is."""
        self._update_if(
            _withdrawal_key(key, version_id),
            "SET is_computed = :yes",
            "is_withdrawn = :is_withdrawn",
            {},
            {":yes": True, ":is_withdrawn": is_withdrawn},
        )

    def withdrawal(self, key: str, version_id: str) -> Withdrawal | None:
        """Whether a file is withdrawn, or was restored; None where it never was withdrawn; consistently read."""
        item = self._get(_withdrawal_key(key, version_id))
        return _withdrawal(item) if item else None

    def withdrawals(self) -> list[Withdrawal]:
        """Every file that was withdrawn at least once, consistently read."""
        return [_withdrawal(item) for item in self._items(_WITHDRAWN)]

    def withdrawn_files(self) -> frozenset[str]:
        """The files whose plays are left out, as the plays name them, consistently read."""
        return frozenset(_sort_key(item) for item in self._items(_WITHDRAWN) if item["is_withdrawn"])

    # Snapshots

    def current_snapshot(self, dataset: str) -> Snapshot | None:
        """The dataset's current snapshot, consistently read."""
        item = self._get(_snapshot_key(dataset))
        if not item:
            return None
        return Snapshot(
            dataset=dataset,
            uri=str(item["uri"]),
            key=str(item["key"]),
            version_id=str(item["version_id"]),
            last_modified=str(item["last_modified"]),
            rows=_integer(item["rows"]),
            sequencer=str(item["sequencer"]),
        )

    def make_current(self, snapshot: Snapshot) -> bool:
        """Makes a snapshot the current one, if it is newer.

        Returns:
            False where the current one is of a newer file, or of the same one.
        """
        before = self._update_if(
            _snapshot_key(snapshot.dataset),
            "SET age = :age, uri = :uri, #key = :key, version_id = :version_id, last_modified = :last_modified, "
            "#rows = :rows, sequencer = :sequencer",
            "attribute_not_exists(age) OR age < :age",
            {"#key": "key", "#rows": "rows"},
            {
                ":age": "\n".join(snapshot.age),
                ":uri": snapshot.uri,
                ":key": snapshot.key,
                ":version_id": snapshot.version_id,
                ":last_modified": snapshot.last_modified,
                ":rows": snapshot.rows,
                ":sequencer": snapshot.sequencer,
            },
        )
        return before is not None

    def _get(self, key: Mapping[str, str]) -> Mapping[str, Any]:
        return self._table.get_item(Key=key, ConsistentRead=True).get("Item", {})

    def _items(self, partition: str, first: str = "", last: str = "") -> list[Mapping[str, Any]]:
        """All items of a partition, or those whose sort keys are from first to last; consistently read, ascending."""
        query: dict[str, Any] = {
            "KeyConditionExpression": f"{LEDGER_PARTITION_KEY} = :partition",
            "ExpressionAttributeValues": {":partition": partition},
            "ConsistentRead": True,
        }
        if first:
            query["KeyConditionExpression"] += f" AND {LEDGER_SORT_KEY} BETWEEN :first AND :last"
            query["ExpressionAttributeValues"] |= {":first": first, ":last": last}
        return list(queried(self._table, query))

    def _update_if(
        self,
        key: Mapping[str, str],
        update: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        pauses: Sequence[float] = _PAUSES_OF_CONFLICTS,
    ) -> Mapping[str, Any] | None:
        """What the item was before; empty where there was none. None where the condition does not hold."""
        try:
            response = self._table.update_item(
                Key=key,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_OLD",
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                return None
            if code == "TransactionConflictException" and pauses:
                time.sleep(pauses[0])
                return self._update_if(key, update, condition, names, values, pauses[1:])
            raise
        return response.get("Attributes", {})

    def files_with_status(self, status: FileStatus) -> Iterator[Mapping[str, Any]]:
        """Files with a status, from an index that lags: good to show, never to compute by.

        Yields:
            Items with all their attributes, those that were uploaded last first; `file_of` tells key and version.
        """
        return self._with_status(status, ScanIndexForward=False)

    def _with_status(self, status: str, **request: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - of Query
        query = {
            "IndexName": STATUS_INDEX,
            "KeyConditionExpression": "#status = :status",
            "ExpressionAttributeNames": {"#status": STATUS_INDEX_PARTITION_KEY},
            "ExpressionAttributeValues": {":status": status},
        }
        return queried(self._table, query | request)


def queried(table: Table, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The items of a Query, all its pages."""
    page = table.query(**query)
    yield from page["Items"]
    while "LastEvaluatedKey" in page:
        page = table.query(**query, ExclusiveStartKey=page["LastEvaluatedKey"])
        yield from page["Items"]


def _assignments(attributes: Mapping[str, Any]) -> tuple[dict[str, str], str, dict[str, Any]]:
    """Names, update expression and values that set some attributes."""
    numbered = list(enumerate(attributes))
    return (
        {f"#{number}": name for number, name in numbered},
        "SET " + ", ".join(f"#{number} = :{number}" for number, _ in numbered),
        {f":{number}": attributes[name] for number, name in numbered},
    )


def salted_hash(salt: str, user_id: str) -> str:
    """The SHA-256 of salt and user id in UTF-8, in hexadecimal."""
    return hashlib.sha256((salt + user_id).encode()).hexdigest()


def file_key(key: str, version_id: str) -> dict[str, str]:
    """The key of a file's item."""
    return {LEDGER_PARTITION_KEY: f"{FILE_PREFIX}{key}", LEDGER_SORT_KEY: version_id}


def file_of(item: Mapping[str, Any]) -> tuple[str, str]:
    """Key and version of a file, by its item."""
    return str(item[LEDGER_PARTITION_KEY]).removeprefix(FILE_PREFIX), _sort_key(item)


def batch_key(execution_arn: str) -> dict[str, str]:
    """The key of a batch's item."""
    return {LEDGER_PARTITION_KEY: f"{_BATCH_PREFIX}{execution_arn}", LEDGER_SORT_KEY: "BATCH"}


def _batch(item: Mapping[str, Any]) -> Batch:
    return Batch(
        execution_arn=str(item[LEDGER_PARTITION_KEY]).removeprefix(_BATCH_PREFIX),
        run=str(item["run"]),
        dates=_strings(item["dates"]),
        snapshots=[Snapshot(**{**each, "rows": _integer(each["rows"])}) for each in item["snapshots"]],
        document_uri=str(item["document"]),
        size=_integer(item["size"]),
    )


def run_key(date: str, run: str) -> dict[str, str]:
    """The key of the item of a day's run."""
    return {LEDGER_PARTITION_KEY: f"RUNS#{date}", LEDGER_SORT_KEY: run}


def _withdrawal_key(key: str, version_id: str) -> dict[str, str]:
    return {LEDGER_PARTITION_KEY: _WITHDRAWN, LEDGER_SORT_KEY: file_name(key, version_id)}


def _withdrawal(item: Mapping[str, Any]) -> Withdrawal:
    return Withdrawal(
        key=str(item["key"]),
        version_id=str(item["version_id"]),
        changed_at=str(item["changed_at"]),
        is_withdrawn=bool(item["is_withdrawn"]),
        is_computed=bool(item.get("is_computed", False)),
    )


def _snapshot_key(dataset: str) -> dict[str, str]:
    return {LEDGER_PARTITION_KEY: "SNAPSHOTS", LEDGER_SORT_KEY: dataset}


def _last_successor(items: Mapping[str, Mapping[str, Any]], run: str) -> str:
    """The run that a run's plays are in: itself, or the last of those that have replaced each other."""
    while "replaced_by" in items.get(run, {}):
        run = str(items[run]["replaced_by"])
    return run


def _sort_key(item: Mapping[str, Any]) -> str:
    return str(item[LEDGER_SORT_KEY])


def _day(item: Mapping[str, Any]) -> Day:
    return Day(date=_sort_key(item), claim=_integer(item["claim"]), published=_integer(item.get("published", 0)))


def utc_now() -> str:
    """This moment, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _integer(value: Any) -> int:  # noqa: ANN401 - boto3 types an attribute's value as a union of all DynamoDB types
    return int(value)


def _strings(values: Any) -> list[str]:  # noqa: ANN401 - as above
    return [str(value) for value in values]
