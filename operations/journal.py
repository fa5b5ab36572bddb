"""The journal of a purge: what makes it resumable after any interruption.

Items `PURGES`/<salted hash> of the ledger. One that tells a number of `objects` is of a purge that has ended, and that
could not work on so many: it is to be repeated once they can be worked on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from glue_scripts.ledger import queried, utc_now
from glue_scripts.names import LEDGER_PARTITION_KEY, LEDGER_SORT_KEY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

_PURGES: Final = "PURGES"


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
            Key=_key(user),
            UpdateExpression="SET begun_at = if_not_exists(begun_at, :now), "
            "resume_pipe = if_not_exists(resume_pipe, :resume) REMOVE objects",
            ExpressionAttributeValues={":now": utc_now(), ":resume": resume_pipe},
            ReturnValues="ALL_NEW",
        )["Attributes"]
        return _entry(item)

    def add_days(self, user: str, days: Iterable[str]) -> None:
        """Notes days before anything is removed from them."""
        if found := set(days):
            self._table.update_item(
                Key=_key(user),
                UpdateExpression="ADD #days :days",
                ExpressionAttributeNames={"#days": "days"},
                ExpressionAttributeValues={":days": found},
            )

    def days(self, user: str) -> list[str]:
        """The noted days, consistently read, ascending."""
        item = self._table.get_item(Key=_key(user), ConsistentRead=True).get("Item", {})
        return sorted(_entry(item).days) if item else []

    def close(self, user: str) -> None:
        """Ends a purge; the tombstone stays."""
        self._table.delete_item(Key=_key(user))

    def close_incomplete(self, user: str, objects: int) -> None:
        """Ends a purge that could not work on some object versions: everything else may go on, `status` tells it."""
        self._table.update_item(
            Key=_key(user),
            UpdateExpression="SET objects = :objects REMOVE resume_pipe, #days",
            ExpressionAttributeNames={"#days": "days"},
            ExpressionAttributeValues={":objects": objects},
        )

    def unfinished(self) -> list[Entry]:
        """All purges that were begun and not ended, consistently read."""
        return [_entry(item) for item in self._items() if "objects" not in item]

    def incomplete(self) -> list[Incomplete]:
        """All purges that ended without some objects, consistently read."""
        return [
            Incomplete(begun_at=str(item["begun_at"]), objects=int(item["objects"]))
            for item in self._items()
            if "objects" in item
        ]

    def _items(self) -> Iterator[Mapping[str, Any]]:
        query = {
            "KeyConditionExpression": f"{LEDGER_PARTITION_KEY} = :purges",
            "ExpressionAttributeValues": {":purges": _PURGES},
            "ConsistentRead": True,
        }
        return queried(self._table, query)


def _key(user: str) -> dict[str, str]:
    return {LEDGER_PARTITION_KEY: _PURGES, LEDGER_SORT_KEY: user}


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry(
        user=str(item[LEDGER_SORT_KEY]),
        begun_at=str(item["begun_at"]),
        resume_pipe=bool(item["resume_pipe"]),
        days=frozenset(map(str, item.get("days", ()))),
    )
