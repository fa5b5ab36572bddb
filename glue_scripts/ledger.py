"""The ledger: what is known of every file, every day and the current reference snapshots. Table `ledger`, DynamoDB.

Items (partition key `pk`), every one read consistently wherever KPIs depend on it:

- `FILE#<key>#<version-id>`: a file; its `status` is indexed;
- `BATCH#<execution ARN>`: what the rows of an execution's accepted files became in the lake;
- `DAY#<yyyy-mm-dd>`: a day; its `status` is indexed. `runs` are its lake runs; `replaced_by#<run>` names the run that
  took a run's place;
- `DAYS#<yyyy>`: `dates`, the days of a year that were ever claimed, because a table without sort key cannot list its
  days consistently, and an index lags;
- `SNAPSHOT#<dataset>`: the pointer to the current reference snapshot;
- `PURGED#<first hex digit>`: `users`, the salted hashes of purged user ids, and `PURGED#SALT` the salt: 17 small reads
  give all tombstones, where a scan would read every file.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from botocore.exceptions import ClientError

from glue_scripts.names import FIRST_DATE, LEDGER_PARTITION_KEY, STATUS_INDEX, STATUS_INDEX_PARTITION_KEY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


_SALT_KEY = "PURGED#SALT"
_REPLACED_BY = "replaced_by#"
_NOTHING = ""
"""What replaces a run of which nothing is left."""
_KEYS_OF_A_BATCH = 100
"""BatchGetItem takes no more (Amazon DynamoDB API reference)."""


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


class DayStatus(StrEnum):
    """Whether a day's rows are what its last claim computed."""

    CLAIMED = "CLAIMED"
    PUBLISHED = "PUBLISHED"
    PUBLISHED_WITH_UNKNOWN_TRACKS = "PUBLISHED_WITH_UNKNOWN_TRACKS"


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
    """

    dataset: str
    uri: str
    key: str
    version_id: str
    last_modified: str
    rows: int

    @property
    def age(self) -> tuple[str, str, str]:
        """What decides which of two snapshots is newer: time, then key, then version."""
        return self.last_modified, self.key, self.version_id


class Aged(Protocol):
    """A reference file, or a snapshot of one."""

    @property
    def age(self) -> tuple[str, str, str]:
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
    """

    execution_arn: str
    run: str
    dates: Sequence[str]
    snapshots: Sequence[Snapshot]
    document_uri: str


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
        status: as of its last change.
        runs: the lake runs that make it up.
        claim: how many computations were begun.
        published: the claim whose rows are complete; 0 where there is none.
        unknown_plays: plays of tracks that were unknown to the published claim.
        snapshots: the URI of the snapshot that the published claim used, by dataset; none where there was none.
    """

    date: str
    status: DayStatus
    runs: frozenset[str]
    claim: int
    published: int
    unknown_plays: int
    snapshots: Mapping[str, str]

    @property
    def is_published(self) -> bool:
        """Whether the latest claim's rows are complete."""
        return self.published == self.claim


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


@dataclass(frozen=True)
class Claim:
    """The right to write a day's rows, until somebody claims the day later.

    Attributes:
        date: yyyy-mm-dd.
        number: how many computations of the day were begun, this one included.
        runs: the lake runs that make up the day: this claim's and every one committed before it.
    """

    date: str
    number: int
    runs: frozenset[str]


class Ledger:
    """The table `ledger`.

    Args:
        table: the boto3 table resource.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def table_name(self) -> str:
        """The table's name, for conditions in transactions."""
        return self._table.name

    # Files

    def file_status_and_execution(self, key: str, version_id: str) -> tuple[FileStatus | None, str | None]:
        """How far a file has come, and the execution that has judged it, or has last begun with it; consistently read.

        Both are None where the ledger does not know the file.
        """
        item = self._get(file_key(key, version_id))
        return (FileStatus(item["status"]), str(item["execution"])) if item else (None, None)

    def known_files(self, files: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of some files, by key and version, have an item: consistently read, a hundred at a time."""
        by_key = {file_key(*file): file for file in files}
        due = list(by_key)
        known = set()
        while due:
            asked, due = due[:_KEYS_OF_A_BATCH], due[_KEYS_OF_A_BATCH:]
            answer = self._table.meta.client.batch_get_item(
                RequestItems={
                    self._table.name: {
                        "Keys": [{LEDGER_PARTITION_KEY: key} for key in asked],
                        "ProjectionExpression": LEDGER_PARTITION_KEY,
                        "ConsistentRead": True,
                    }
                }
            )
            known |= {by_key[str(item[LEDGER_PARTITION_KEY])] for item in answer["Responses"][self._table.name]}
            left = answer["UnprocessedKeys"].get(self._table.name)
            due += [str(key[LEDGER_PARTITION_KEY]) for key in left["Keys"]] if left else []
        return known

    def receive_file(self, key: str, version_id: str, attributes: Mapping[str, Any]) -> None:
        """Notes that an execution has begun with a file. A file that was judged before stays as it is."""
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
        before = self._updated_if(
            file_key(key, version_id),
            sets,
            f"#status IN ({', '.join(allowed)})",
            {**names, "#status": "status"},
            {**values, **allowed},
        )
        return None if before is None else FileStatus(before["status"])

    # Batches

    def record_batch(self, batch: Batch) -> None:
        """Records what a batch became in the lake, unless that is recorded already."""
        names, sets, values = _assignments(
            {
                "run": batch.run,
                "dates": list(batch.dates),
                "snapshots": [asdict(snapshot) for snapshot in batch.snapshots],
                "document": batch.document_uri,
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
        return Batch(
            execution_arn=execution_arn,
            run=str(item["run"]),
            dates=_strings(item["dates"]),
            snapshots=[Snapshot(**{**each, "rows": _integer(each["rows"])}) for each in item["snapshots"]],
            document_uri=str(item["document"]),
        )

    def has_batch(self, execution_arn: str) -> bool:
        """Whether a batch is recorded, consistently read."""
        return bool(self._get(batch_key(execution_arn)))

    # Days

    def claim_day(self, date: str, run: str | None) -> Claim:
        """Commits a run to a day, if one is given, and claims the day: one atomic step.

        If the run was replaced, this commits the run that replaced it, or none if nothing was left of it.
        The day is listed before that, so that no claimed day is ever missing in `dates`.
        """
        self._table.update_item(
            Key={LEDGER_PARTITION_KEY: f"DAYS#{date[:4]}"},
            UpdateExpression="ADD dates :date",
            ExpressionAttributeValues={":date": {date}},
        )
        while (claim := self._claim_day_if(date, run)) is None:
            run = str(self._get(day_key(date))[f"{_REPLACED_BY}{run}"]) or None
        return claim

    def _claim_day_if(self, date: str, run: str | None) -> Claim | None:
        """Claims a day; None where the run was replaced."""
        add = "ADD claim :one" + (", runs :run" if run else "")
        item = self._updated_if(
            day_key(date),
            f"SET #status = :claimed {add}",
            "attribute_not_exists(#replaced_by)",
            {"#status": "status", "#replaced_by": f"{_REPLACED_BY}{run}"},
            {":one": 1, ":claimed": DayStatus.CLAIMED, **({":run": {run}} if run else {})},
            returned="ALL_NEW",
        )
        if item is None:
            return None
        return Claim(date=date, number=_integer(item["claim"]), runs=frozenset(_strings(item.get("runs", set()))))

    def dates(self, first: str = FIRST_DATE, last: str | None = None) -> list[str]:
        """Every day that was ever claimed, consistently read: one read a year.

        The last thing that a dying job did may have been to list a day that it did not claim any more.

        Args:
            first: yyyy-mm-dd; no play is older than FIRST_DATE.
            last: yyyy-mm-dd; the end of next year if not given, as no play is from the future.

        Returns:
            Dates from first to last, both included, ascending.
        """
        last = last or f"{datetime.now(UTC).year + 1}-12-31"
        items = [self._get(f"DAYS#{year:04}") for year in range(int(first[:4]), int(last[:4]) + 1)]
        dates = [date for item in items for date in _strings(item.get("dates", set()))]
        return sorted(date for date in dates if first <= date <= last)

    def day(self, date: str) -> Day | None:
        """What is known of a day, consistently read; None where it was never claimed, listed or not."""
        item = self._get(day_key(date))
        if "claim" not in item:  # a run of the day can be replaced before it is committed
            return None
        return Day(
            date=date,
            status=DayStatus(item["status"]),
            runs=frozenset(_strings(item.get("runs", set()))),
            claim=_integer(item["claim"]),
            published=_integer(item.get("published", 0)),
            unknown_plays=_integer(item.get("unknown_plays", 0)),
            snapshots={str(dataset): str(uri) for dataset, uri in item.get("snapshots", {}).items()},
        )

    def is_replaced(self, date: str, run: str) -> bool:
        """Whether another run has taken a run's place on a day, or nothing is left of it; consistently read."""
        return f"{_REPLACED_BY}{run}" in self._get(day_key(date))

    def replace_run(self, date: str, old: str, new: str | None) -> bool:
        """Puts a run of a day in another's place, in one atomic step; doing it again changes nothing.

        The other one may be committed or not. Rows change only when the day is claimed and computed after this.

        Args:
            date: yyyy-mm-dd.
            old: the run to take out.
            new: the run to put in, complete in the lake; None if nothing is left of the old one.

        Returns:
            False where another run has replaced the old one.
        """
        replaced_by = f"{_REPLACED_BY}{old}"
        while True:
            item = self._get(day_key(date))
            if replaced_by in item:
                return str(item[replaced_by]) == (new or _NOTHING)
            before = frozenset(_strings(item.get("runs", set())))
            after = (before - {old}) | ({new} if new and old in before else set())
            # One expression cannot DELETE from a set and ADD to it: compare and set. A run that was committed
            # meanwhile fails the comparison.
            sets = "SET #replaced_by = :new" + (", #runs = :after" if after else "")
            is_replaced = self._update_if(
                day_key(date),
                sets + (" REMOVE #runs" if before and not after else ""),
                "attribute_not_exists(#replaced_by) AND "
                + ("#runs = :before" if before else "attribute_not_exists(#runs)"),
                {"#runs": "runs", "#replaced_by": replaced_by},
                {
                    ":new": new or _NOTHING,
                    **({":before": set(before)} if before else {}),
                    **({":after": set(after)} if after else {}),
                },
            )
            if is_replaced:
                return True

    def published_claim(self, date: str) -> int:
        """The claim whose rows are complete, consistently read; 0 where there is none."""
        return _integer(self._get(day_key(date)).get("published", 0))

    def publish_day(self, claim: Claim, *, unknown_plays: int, snapshots: Mapping[str, str]) -> bool:
        """Notes that the rows of a claim are complete.

        Args:
            claim: the claim.
            unknown_plays: plays of tracks that the songs snapshot lacks.
            snapshots: the URI of the snapshot used, by dataset.

        Returns:
            False where somebody claimed the day later.
        """
        status = DayStatus.PUBLISHED_WITH_UNKNOWN_TRACKS if unknown_plays else DayStatus.PUBLISHED
        return self._update_if(
            day_key(claim.date),
            "SET published = :claim, unknown_plays = :unknown, snapshots = :snapshots, #status = :status, "
            "published_at = :now",
            "claim = :claim",
            {"#status": "status"},
            {
                ":claim": claim.number,
                ":unknown": unknown_plays,
                ":snapshots": dict(snapshots),
                ":status": status,
                ":now": utc_now(),
            },
        )

    def days_that_may_lack_tracks(self) -> list[str]:
        """Days with plays of unknown tracks, and days being computed, which may have them: ascending dates.

        Read day by day and consistently, not from the index: a day that was published a moment ago must not be missed
        by a new catalogue.
        """
        return [day.date for day in self._days() if day.status is not DayStatus.PUBLISHED]

    def unpublished_days(self) -> list[str]:
        """Days whose latest claim's rows are not complete, consistently read: ascending dates.

        Where no job works, each is one whose job has died.
        """
        return [day.date for day in self._days() if not day.is_published]

    def _days(self) -> list[Day]:
        """Every day that was ever claimed, each consistently read, by ascending date."""
        return [day for date in self.dates() if (day := self.day(date))]

    # Purged users

    def purge_user(self, user_id: str) -> None:
        """Leaves a tombstone: computations that claim after this leave the user out. Doing it again changes nothing.

        Args:
            user_id: as in the data; ASCII whitespace around it does not count.
        """
        salt = self._table.update_item(
            Key={LEDGER_PARTITION_KEY: _SALT_KEY},
            UpdateExpression="SET salt = if_not_exists(salt, :salt)",
            ExpressionAttributeValues={":salt": secrets.token_hex(16)},
            ReturnValues="ALL_NEW",
        )["Attributes"]["salt"]
        user_hash = salted_hash(str(salt), user_id.strip(string.whitespace))
        self._table.update_item(
            Key={LEDGER_PARTITION_KEY: f"PURGED#{user_hash[0]}"},
            UpdateExpression="ADD #users :user",
            ExpressionAttributeNames={"#users": "users"},
            ExpressionAttributeValues={":user": {user_hash}},
        )

    def purged_users(self) -> Tombstones:
        """All tombstones, consistently read."""
        salt = self._get(_SALT_KEY).get("salt")
        if salt is None:
            return NO_TOMBSTONES
        shards = [self._get(f"PURGED#{digit}") for digit in string.hexdigits[:16]]
        hashes = frozenset(user for shard in shards for user in _strings(shard.get("users", set())))
        return Tombstones(salt=str(salt), hashes=hashes)

    # Snapshots

    def current_snapshot(self, dataset: str) -> Snapshot | None:
        """The dataset's current snapshot, consistently read."""
        item = self._get(f"SNAPSHOT#{dataset}")
        if not item:
            return None
        return Snapshot(
            dataset=dataset,
            uri=str(item["uri"]),
            key=str(item["key"]),
            version_id=str(item["version_id"]),
            last_modified=str(item["last_modified"]),
            rows=_integer(item["rows"]),
        )

    def make_current(self, snapshot: Snapshot) -> bool:
        """Makes a snapshot the current one, if it is newer.

        Returns:
            False where the current one is of a newer file, or of the same one.
        """
        return self._update_if(
            f"SNAPSHOT#{snapshot.dataset}",
            "SET age = :age, uri = :uri, #key = :key, version_id = :version_id, last_modified = :last_modified, "
            "#rows = :rows",
            "attribute_not_exists(age) OR age < :age",
            {"#key": "key", "#rows": "rows"},
            {
                ":age": "\n".join(snapshot.age),
                ":uri": snapshot.uri,
                ":key": snapshot.key,
                ":version_id": snapshot.version_id,
                ":last_modified": snapshot.last_modified,
                ":rows": snapshot.rows,
            },
        )

    def replace_snapshot(self, old: Snapshot, new: Snapshot) -> bool:
        """Swaps the current snapshot for another one made of the same file, as a purge does.

        Rows change only when days are claimed and computed after this.

        Returns:
            False where `old` is not the current one: a newer file is, or the swap has been made.
        """
        return self._update_if(
            f"SNAPSHOT#{old.dataset}",
            "SET uri = :uri, #rows = :rows",
            "uri = :old AND age = :age",
            {"#rows": "rows"},
            {":uri": new.uri, ":rows": new.rows, ":old": old.uri, ":age": "\n".join(old.age)},
        )

    def _get(self, key: str) -> Mapping[str, Any]:
        return self._table.get_item(Key={LEDGER_PARTITION_KEY: key}, ConsistentRead=True).get("Item", {})

    def _update_if(
        self, key: str, update: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> bool:
        return self._updated_if(key, update, condition, names, values) is not None

    def _updated_if(
        self,
        key: str,
        update: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        returned: Literal["ALL_OLD", "ALL_NEW"] = "ALL_OLD",
    ) -> Mapping[str, Any] | None:
        """What the item was before, or is now; empty where there was none. None where the condition does not hold."""
        try:
            response = self._table.update_item(
                Key={LEDGER_PARTITION_KEY: key},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues=returned,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return None
            raise
        return response.get("Attributes", {})

    def items_with_status(self, status: FileStatus | DayStatus) -> list[Mapping[str, Any]]:
        """Files or days with a status, from an index that lags: good to show, never to compute by.

        Returns:
            Items with all their attributes; `pk` is `FILE#…` or `DAY#…`.
        """
        query: dict[str, Any] = {
            "IndexName": STATUS_INDEX,
            "KeyConditionExpression": "#status = :status",
            "ExpressionAttributeNames": {"#status": STATUS_INDEX_PARTITION_KEY},
            "ExpressionAttributeValues": {":status": status},
        }
        items: list[Mapping[str, Any]] = []
        while True:
            page = self._table.query(**query)
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                return items
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


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


def file_key(key: str, version_id: str) -> str:
    """The partition key of a file."""
    return f"FILE#{key}#{version_id}"


def batch_key(execution_arn: str) -> str:
    """The partition key of a batch."""
    return f"BATCH#{execution_arn}"


def day_key(date: str) -> str:
    """The partition key of a day, in `ledger` as in `kpis`."""
    return f"DAY#{date}"


def utc_now() -> str:
    """This moment, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _integer(value: Any) -> int:  # noqa: ANN401 - boto3 types an attribute's value as a union of all DynamoDB types
    return int(value)


def _strings(values: Any) -> list[str]:  # noqa: ANN401 - as above
    return [str(value) for value in values]
