"""Writes a day's KPI rows to the table `kpis`: only what differs, and only while the day's claim is the latest."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from glue_scripts.kpi_items import Item
from glue_scripts.ledger import Claim, day_key
from glue_scripts.names import KPIS_PARTITION_KEY, KPIS_SORT_KEY, LEDGER_PARTITION_KEY, SUMMARY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

MAX_WRITES = 99
"""TransactWriteItems takes 100 actions; one is the check of the claim (Amazon DynamoDB API reference)."""
MAX_TRIES = 12
MAX_WAIT_SECONDS = 20.0

_BOOKKEEPING = ("claim", "computed_at")
# Reasons for which DynamoDB cancels a transaction that may succeed when it is sent again.
_TRANSIENT = {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_TRANSIENT_ERRORS = {"TransactionInProgressException", "ProvisionedThroughputExceededException", "ThrottlingException"}


class TransactionNotWrittenError(RuntimeError):
    """A transaction met conflicts or throttling until its tries were used up."""


class KpiTable:
    """The table `kpis`.

    Args:
        table: the boto3 table resource.
        ledger_table_name: where a day's claim is checked.
        sleep: waits for so many seconds.
    """

    def __init__(self, table: Table, ledger_table_name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = table
        self._ledger_table_name = ledger_table_name
        self._sleep = sleep

    def write_day(self, claim: Claim, items: Sequence[Item], computed_at: str) -> bool:
        """Makes a day's rows equal to `items`.

        The transactions go one after another, because all of them check the day's ledger item; SUMMARY is in the last.

        Args:
            claim: the day's claim; every transaction checks that it is the latest.
            items: all rows of the day, without `claim` and `computed_at`.
            computed_at: ISO 8601, kept with every row that changes.

        Returns:
            False where somebody claimed the day later; what is written until then, they overwrite.

        Raises:
            TransactionNotWrittenError: conflicts or throttling did not end in time.
        """
        stamped = [{**item, "claim": claim.number, "computed_at": computed_at} for item in items]
        actions = changes(self._present(claim.date), stamped)
        return all(self._write(claim, part) for part in _parts(actions, MAX_WRITES))

    def _present(self, date: str) -> list[Mapping[str, Any]]:
        query: dict[str, Any] = {
            "KeyConditionExpression": f"{KPIS_PARTITION_KEY} = :day",
            "ExpressionAttributeValues": {":day": day_key(date)},
            "ConsistentRead": True,
        }
        items: list[Mapping[str, Any]] = []
        while True:
            page = self._table.query(**query)
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                return items
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _write(self, claim: Claim, actions: Sequence[Mapping[str, Any]]) -> bool:
        check = {
            "ConditionCheck": {
                "TableName": self._ledger_table_name,
                "Key": {LEDGER_PARTITION_KEY: day_key(claim.date)},
                "ConditionExpression": "claim = :claim",
                "ExpressionAttributeValues": {":claim": claim.number},
            }
        }
        named = [
            {kind: {"TableName": self._table.name, **action} for kind, action in entry.items()} for entry in actions
        ]
        for attempt in range(MAX_TRIES):
            try:
                self._table.meta.client.transact_write_items(TransactItems=[check, *named])  # type: ignore[list-item]
            except ClientError as error:
                if is_superseded(error):
                    return False
                if not is_transient(error):
                    raise
            else:
                return True
            self._sleep(random.uniform(0, min(MAX_WAIT_SECONDS, 0.1 * 2**attempt)))
        raise TransactionNotWrittenError(
            f"The rows of {claim.date} met conflicts or throttling in {MAX_TRIES} tries. Nothing is lost: redrive the "
            "execution when the table's throttling has ended."
        )


def changes(present: Sequence[Mapping[str, Any]], wanted: Sequence[Item]) -> list[dict[str, Any]]:
    """The puts and deletes that turn a day's present rows into the wanted ones, SUMMARY last.

    Rows that differ in `claim` and `computed_at` only are equal; SUMMARY is always written, because it carries the
    day's claim.
    """
    before = {item[KPIS_SORT_KEY]: _comparable(item) for item in present}
    after = {item[KPIS_SORT_KEY]: item for item in wanted}
    day = next((item[KPIS_PARTITION_KEY] for item in [*present, *wanted]), None)
    puts = [
        {"Put": {"Item": item}}
        for sort_key, item in sorted(after.items())
        if sort_key != SUMMARY and before.get(sort_key) != _comparable(item)
    ]
    deletes = [
        {"Delete": {"Key": {KPIS_PARTITION_KEY: day, KPIS_SORT_KEY: sort_key}}}
        for sort_key in sorted(before.keys() - after.keys(), key=lambda sort_key: (sort_key == SUMMARY, sort_key))
    ]
    summary = [{"Put": {"Item": after[SUMMARY]}}] if SUMMARY in after else []
    return [*puts, *deletes, *summary]


def is_superseded(error: ClientError) -> bool:
    """Whether a transaction was cancelled because its claim, checked first, is no longer the latest."""
    reasons = error.response.get("CancellationReasons", [])
    return bool(reasons) and reasons[0].get("Code") == "ConditionalCheckFailed"


def is_transient(error: ClientError) -> bool:
    """Whether the same transaction may succeed when it is sent again."""
    code = error.response["Error"]["Code"]
    if code != "TransactionCanceledException":
        return code in _TRANSIENT_ERRORS
    return all(reason.get("Code", "None") in _TRANSIENT for reason in error.response.get("CancellationReasons", []))


def _comparable(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in _BOOKKEEPING}


def _parts(actions: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    return (actions[start : start + size] for start in range(0, len(actions), size))
