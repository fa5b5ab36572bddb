"""The journal of a purge: what makes it resumable after any interruption. Items `PURGE#<salted hash>` of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from glue_scripts.ledger import utc_now
from glue_scripts.names import (
    LEDGER_PARTITION_KEY,
    STATUS_INDEX,
    STATUS_INDEX_PARTITION_KEY,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

OPEN: Final = "PURGE_OPEN"
INCOMPLETE: Final = "PURGE_INCOMPLETE"
"""The purge has ended, and some objects could not be worked on: it is to be repeated once they can."""
_PREFIX: Final = "PURGE#"


@dataclass(frozen=True)
class Entry:
    """An unfinished purge.

    Attributes:
        user: the salted hash of the user id.
        begun_at: ISO 8601 in UTC.
        resume_pipe: whether the pipe ran before, and is to run afterwards.
        days: days that had plays of the user, yyyy-mm-dd: to be computed anew before the purge is done.
    """

    user: str
    begun_at: str
    resume_pipe: bool
    days: frozenset[str]


@dataclass(frozen=True)
class Incomplete:
    """A purge that ended without some objects.

    Attributes:
        begun_at: ISO 8601 in UTC.
        objects: how many object versions could not be worked on.
    """

    begun_at: str
    objects: int


class Journal:
    """Purges that are to be repeated.

    Args:
        table: the table `ledger`.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def open(self, user: str, *, resume_pipe: bool) -> Entry:
        """Begins a purge; one that was interrupted is found as it was left."""
        item = self._table.update_item(
            Key={LEDGER_PARTITION_KEY: _PREFIX + user},
            UpdateExpression="SET #status = :open, begun_at = if_not_exists(begun_at, :now), "
            "resume_pipe = if_not_exists(resume_pipe, :resume)",
            ExpressionAttributeNames={"#status": STATUS_INDEX_PARTITION_KEY},
            ExpressionAttributeValues={":open": OPEN, ":now": utc_now(), ":resume": resume_pipe},
            ReturnValues="ALL_NEW",
        )["Attributes"]
        return _entry(item)

    def add_days(self, user: str, days: Iterable[str]) -> None:
        """Notes days before anything is removed from them."""
        if found := set(days):
            self._table.update_item(
                Key={LEDGER_PARTITION_KEY: _PREFIX + user},
                UpdateExpression="ADD #days :days",
                ExpressionAttributeNames={"#days": "days"},
                ExpressionAttributeValues={":days": found},
            )

    def days(self, user: str) -> list[str]:
        """The noted days, consistently read, ascending."""
        item = self._table.get_item(Key={LEDGER_PARTITION_KEY: _PREFIX + user}, ConsistentRead=True).get("Item", {})
        return sorted(_entry(item).days) if item else []

    def close(self, user: str) -> None:
        """Ends a purge; the tombstone stays."""
        self._table.delete_item(Key={LEDGER_PARTITION_KEY: _PREFIX + user})

    def close_incomplete(self, user: str, objects: int) -> None:
        """Ends a purge that could not work on some object versions: everything else may go on, `status` tells it."""
        self._table.update_item(
            Key={LEDGER_PARTITION_KEY: _PREFIX + user},
            UpdateExpression="SET #status = :incomplete, objects = :objects REMOVE resume_pipe, #days",
            ExpressionAttributeNames={"#status": STATUS_INDEX_PARTITION_KEY, "#days": "days"},
            ExpressionAttributeValues={":incomplete": INCOMPLETE, ":objects": objects},
        )

    def unfinished(self) -> list[Entry]:
        """All purges that were begun and not ended."""
        return [_entry(item) for item in self._with_status(OPEN)]

    def incomplete(self) -> list[Incomplete]:
        """All purges that ended without some objects."""
        return [
            Incomplete(begun_at=str(item["begun_at"]), objects=int(str(item["objects"])))
            for item in self._with_status(INCOMPLETE)
        ]

    def _with_status(self, status: str) -> list[Mapping[str, object]]:
        found: list[Mapping[str, object]] = []
        query: dict[str, Any] = {
            "IndexName": STATUS_INDEX,
            "KeyConditionExpression": "#status = :status",
            "ExpressionAttributeNames": {"#status": STATUS_INDEX_PARTITION_KEY},
            "ExpressionAttributeValues": {":status": status},
        }
        while True:
            page = self._table.query(**query)
            found += page["Items"]
            if "LastEvaluatedKey" not in page:
                return found
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _entry(item: Mapping[str, object]) -> Entry:
    days = item.get("days", set())
    assert isinstance(days, set)
    return Entry(
        user=str(item[LEDGER_PARTITION_KEY]).removeprefix(_PREFIX),
        begun_at=str(item["begun_at"]),
        resume_pipe=bool(item["resume_pipe"]),
        days=frozenset(map(str, days)),
    )
