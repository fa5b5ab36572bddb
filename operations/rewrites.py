"""What a purge notes of the files that it rewrites in raw/: items `REWRITE#<hash of key and version>` of the ledger.

The version that a rewritten file gets is known only after it was written. So a random token is noted first, for the
version to be replaced, and written with the file: an interrupted purge finds by it what it has done. Producers write
neither the ledger nor, without knowing it, the token.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from glue_scripts.names import LEDGER_PARTITION_KEY, LEDGER_SORT_KEY
from glue_scripts.objects import file_name

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

Age = tuple[str, str, str]
"""When a file was uploaded (ISO 8601 in UTC, to the second), its key, its version: the order of snapshots."""
Name = tuple[str, str]
"""Key and version of a file."""
_REWRITE: Final = "REWRITE"


class Rewrites:
    """The files in raw/ that an unfinished purge rewrites, or has rewritten.

    Args:
        table: the table `ledger`.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self, name: Name) -> str:
        """Notes that a version is about to be rewritten; returns the token, the same one each time."""
        item = self._table.update_item(
            Key=_key(name),
            UpdateExpression="SET rewrite_token = if_not_exists(rewrite_token, :token)",
            ExpressionAttributeValues={":token": secrets.token_hex(16)},
            ReturnValues="ALL_NEW",
        )["Attributes"]
        return str(item["rewrite_token"])

    def note_age(self, name: Name, age: Age) -> None:
        """Notes of a rewritten file the age of the one that it replaced."""
        self._table.update_item(
            Key=_key(name), UpdateExpression="SET age = :age", ExpressionAttributeValues={":age": list(age)}
        )

    def read(self, name: Name) -> tuple[str | None, Age | None]:
        """The token of a version that was to be rewritten, and the age of one that was written."""
        item: dict[str, Any] = self._table.get_item(Key=_key(name), ConsistentRead=True).get("Item", {})
        age = item.get("age")
        return item.get("rewrite_token"), (age[0], age[1], age[2]) if age else None

    def forget(self, name: Name) -> None:
        """Removes what is noted of a version."""
        self._table.delete_item(Key=_key(name))


def _key(name: Name) -> dict[str, str]:
    return {LEDGER_PARTITION_KEY: f"{_REWRITE}#{file_name(*name)}", LEDGER_SORT_KEY: _REWRITE}
