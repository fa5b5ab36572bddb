"""The ledger: what is known of every file, every day and the current reference snapshots. Table `ledger`, DynamoDB.

Items (partition key `pk`), every one read consistently wherever KPIs depend on it:

- `FILE#<key>#<version-id>`: a file; its `status` is indexed;
- `DAY#<yyyy-mm-dd>`: a day; its `status` is indexed;
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
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from glue_scripts.names import FIRST_DATE, LEDGER_PARTITION_KEY, STATUS_INDEX, STATUS_INDEX_PARTITION_KEY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


_SALT_KEY = "PURGED#SALT"


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
    FileStatus.ACCEPTED: (FileStatus.RECEIVED, FileStatus.ACCEPTED),
    FileStatus.REJECTED: (FileStatus.RECEIVED, FileStatus.REJECTED),
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

    def file_status(self, key: str, version_id: str) -> FileStatus | None:
        """How far a file has come, consistently read; None where the ledger does not know it."""
        return self.file_status_and_execution(key, version_id)[0]

    def file_status_and_execution(self, key: str, version_id: str) -> tuple[FileStatus | None, str | None]:
        """How far a file has come, and the execution that last began with it."""
        item = self._get(file_key(key, version_id))
        return (FileStatus(item["status"]), str(item["execution"])) if item else (None, None)

    def receive_file(self, key: str, version_id: str, attributes: Mapping[str, Any]) -> None:
        """Notes that an execution has begun with a file; a status that the file already has stays."""
        names = {f"#{position}": name for position, name in enumerate(attributes)}
        sets = [f"#{position} = :{position}" for position in range(len(attributes))]
        self._table.update_item(
            Key={LEDGER_PARTITION_KEY: file_key(key, version_id)},
            UpdateExpression="SET " + ", ".join(["#status = if_not_exists(#status, :received)", *sets]),
            ExpressionAttributeNames={"#status": "status", **names},
            ExpressionAttributeValues={
                ":received": FileStatus.RECEIVED,
                **{f":{position}": value for position, value in enumerate(attributes.values())},
            },
        )

    def advance_file(
        self, key: str, version_id: str, status: FileStatus, attributes: Mapping[str, Any]
    ) -> FileStatus | None:
        """Moves a file forward to a status.

        Returns:
            The status that it had: the new one where it has been moved before, as by a run that died afterwards. None
            where the file is further, or judged otherwise, already: another execution was faster.
        """
        names = {f"#{position}": name for position, name in enumerate(attributes)}
        sets = [f"#{position} = :{position}" for position in range(len(attributes))]
        allowed = {f":from{position}": before for position, before in enumerate(_MAY_BECOME[status])}
        before = self._updated_if(
            file_key(key, version_id),
            "SET " + ", ".join(["#status = :status", *sets]),
            f"#status IN ({', '.join(allowed)})",
            {"#status": "status", **names},
            {
                ":status": status,
                **allowed,
                **{f":{position}": value for position, value in enumerate(attributes.values())},
            },
        )
        return None if before is None else FileStatus(before["status"])

    # Days

    def claim_day(self, date: str, run: str | None) -> Claim:
        """Commits a run to a day, if one is given, and claims the day: one atomic step.

        The day is listed before that, so that no claimed day is ever missing in `dates`.
        """
        self._table.update_item(
            Key={LEDGER_PARTITION_KEY: f"DAYS#{date[:4]}"},
            UpdateExpression="ADD dates :date",
            ExpressionAttributeValues={":date": {date}},
        )
        add = "ADD claim :one" + (", runs :run" if run else "")
        values: dict[str, Any] = {":one": 1, ":claimed": DayStatus.CLAIMED}
        if run:
            values[":run"] = {run}
        item = self._table.update_item(
            Key={LEDGER_PARTITION_KEY: day_key(date)},
            UpdateExpression=f"SET #status = :claimed {add}",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )["Attributes"]
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
        if not item:
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

    def replace_runs(self, date: str, old: Collection[str], new: Collection[str]) -> bool:
        """Swaps runs of a day in one atomic step; doing it again changes nothing.

        Rows change only when the day is claimed and computed after this.

        Args:
            date: yyyy-mm-dd.
            old: runs to take out.
            new: runs to put in, complete in the lake; none if nothing is left of the old ones.

        Returns:
            False where the day lacks one of the old runs, and not because the swap has been made: somebody else
            swapped it. Read the day again and start over from what it is made of.
        """
        while True:
            before = frozenset(_strings(self._get(day_key(date)).get("runs", set())))
            is_done = before.isdisjoint(old) and before.issuperset(new)
            if is_done or not before.issuperset(old):
                return is_done
            # One expression cannot DELETE from a set and ADD to it: compare and set. A run that was committed
            # meanwhile fails the comparison.
            after = (before - frozenset(old)) | frozenset(new)
            is_swapped = self._update_if(
                day_key(date),
                "SET #runs = :after" if after else "REMOVE #runs",
                "#runs = :before",
                {"#runs": "runs"},
                {":before": set(before), **({":after": set(after)} if after else {})},
            )
            if is_swapped:
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
        self, key: str, update: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """What the item was before, empty where there was none; None where the condition does not hold."""
        try:
            response = self._table.update_item(
                Key={LEDGER_PARTITION_KEY: key},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_OLD",
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


def salted_hash(salt: str, user_id: str) -> str:
    """The SHA-256 of salt and user id in UTF-8, in hexadecimal."""
    return hashlib.sha256((salt + user_id).encode()).hexdigest()


def file_key(key: str, version_id: str) -> str:
    """The partition key of a file."""
    return f"FILE#{key}#{version_id}"


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
