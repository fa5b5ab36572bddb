"""DynamoDB writes that are atomic, in place of moto's.

moto's TransactWriteItems copies whole tables (28 transactions of 99 puts in a table of 3,000 rows: minutes), and its
rollback erases what other clients wrote meanwhile. Its UpdateItem is not atomic either: two clients that ADD at the
same time can get the same value back, and a failed update leaves a half-changed item. Here a request holds one lock.
"""

from __future__ import annotations

import base64
import copy
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    MockValidationException,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.responses import DynamoHandler, DynamoResult

from local_aws.patching import MotoObject, replace

_MAX_ACTIONS: Final = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html"""

_NO_REASON: Final = (None, None, None)
_lock: Final = threading.RLock()
_installed: Final[list[bool]] = []


@dataclass(frozen=True)
class Action:
    """One action of a transaction.

    Attributes:
        kind: `ConditionCheck`, `Put`, `Update` or `Delete`.
        request: The action as the client wrote it.
        table: Table of moto that it concerns.
        hash_key: Partition key of the item.
        range_key: Sort key of the item, if the table has one.
    """

    kind: str
    request: dict[str, Any]
    table: MotoObject
    hash_key: DynamoType
    range_key: DynamoType | None

    @classmethod
    def of(cls, backend: MotoObject, transact_item: dict[str, Any]) -> Action:
        """Read an action.

        Raises:
            TransactWriteSingleOpException: It is not exactly one of the four kinds.
            MockValidationException: The key is not the table's.
        """
        kinds = [kind for kind in transact_item if kind in ("ConditionCheck", "Put", "Update", "Delete")]
        if len(kinds) != 1 or len(transact_item) != 1:
            raise TransactWriteSingleOpException
        request = transact_item[kinds[0]]
        table = backend.get_table(request["TableName"])
        key = request["Item"] if kinds[0] == "Put" else request["Key"]
        if kinds[0] != "Put" and set(key) != {name for name in (table.hash_key_attr, table.range_key_attr) if name}:
            raise MockValidationException("The provided key element does not match the schema")
        hash_key, range_key = backend.get_keys_value(table, key)
        return cls(kinds[0], request, table, hash_key, range_key)

    @property
    def identity(self) -> tuple[str, DynamoType, DynamoType | None]:
        """What tells the action's item from every other item."""
        return self.table.name, self.hash_key, self.range_key

    def item(self) -> Item | None:
        """Return the item as it is stored now."""
        found: Item | None = self.table.get_item(self.hash_key, self.range_key)
        return found

    def failed_condition(self) -> tuple[str, str, dict[str, Any] | None] | None:
        """Return the cancellation reason of the action's condition, or None if it holds."""
        condition = get_filter_expression(
            self.request.get("ConditionExpression"),
            self.request.get("ExpressionAttributeNames"),
            self.request.get("ExpressionAttributeValues"),
        )
        current = self.item()
        if condition.expr(current):
            return None
        wanted = self.request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and current is not None
        old = current.to_json()["Attributes"] if wanted and current is not None else None
        return "ConditionalCheckFailed", "The conditional request failed", old

    def apply(self, backend: MotoObject) -> None:
        """Do it, whatever its condition.

        Raises:
            MockValidationException: The values do not fit the item or the table.
        """
        table_name = self.request["TableName"]
        if self.kind == "Put":
            backend.put_item(table_name, self.request["Item"])
        elif self.kind == "Delete":
            backend.delete_item(table_name, self.request["Key"])
        elif self.kind == "Update":
            backend.update_item(
                table_name,
                self.request["Key"],
                update_expression=self.request["UpdateExpression"],
                expression_attribute_names=self.request.get("ExpressionAttributeNames"),
                expression_attribute_values=self.request.get("ExpressionAttributeValues"),
            )


def transact_write_items(backend: MotoObject, transact_items: list[dict[str, Any]]) -> None:
    """Apply every action or none: all conditions first, then the changes.

    Args:
        backend: moto's DynamoDB backend.
        transact_items: Actions as in the request of TransactWriteItems.

    Raises:
        TooManyTransactionsException: More than 100 actions (a ValidationException).
        MultipleTransactionsException: An item occurs twice (a ValidationException).
        TransactionCanceledException: A condition failed or values do not fit; its reasons stand in the actions' order.
    """
    if len(transact_items) > _MAX_ACTIONS:
        raise TooManyTransactionsException
    with _lock:
        actions = [Action.of(backend, transact_item) for transact_item in transact_items]
        if len({action.identity for action in actions}) < len(actions):
            raise MultipleTransactionsException
        reasons = [action.failed_condition() or _NO_REASON for action in actions]
        if any(code is not None for code, _, _ in reasons):
            raise TransactionCanceledException(reasons)
        _apply_all(backend, actions)


def _apply_all(backend: MotoObject, actions: list[Action]) -> None:
    undo: list[Callable[[], None]] = []
    for position, action in enumerate(actions):
        undo.append(_restoration(action.table, action.hash_key, action.range_key, changed=action.kind == "Update"))
        try:
            action.apply(backend)
        except MockValidationException as error:
            for restore in undo:
                restore()
            reasons: list[Any] = [_NO_REASON] * len(actions)
            reasons[position] = ("ValidationError", error.exception_msg, None)
            raise TransactionCanceledException(reasons) from error


def _restoration(
    table: MotoObject, hash_key: DynamoType, range_key: DynamoType | None, *, changed: bool
) -> Callable[[], None]:
    """Return what brings an item back as it is now.

    Args:
        table: Table of moto.
        hash_key: Partition key.
        range_key: Sort key, if the table has one.
        changed: Whether the item is about to be changed in place, and not replaced or deleted.
    """
    current = table.get_item(hash_key, range_key)
    kept = copy.deepcopy(current) if changed else current

    def restore() -> None:
        if kept is None:
            table.delete_item(hash_key, range_key)
        elif range_key is None:
            table.items[hash_key] = kept
        else:
            table.items[hash_key][range_key] = kept

    return restore


def install() -> None:
    """Make every DynamoDB request of moto atomic, and TransactWriteItems as fast as its actions."""
    if _installed:
        return
    _installed.append(True)
    replace(DynamoDBBackend, "transact_write_items", transact_write_items)
    _one_request_at_a_time()
    _undo_failed_updates()
    _write_answers_at_once()


def _one_request_at_a_time() -> None:
    def call_action(self: MotoObject) -> MotoObject:
        with _lock:
            return dispatch(self)

    dispatch = replace(DynamoHandler, "call_action", call_action)


def _undo_failed_updates() -> None:
    def update_item(self: MotoObject, table_name: str, key: dict[str, Any], **named: MotoObject) -> MotoObject:
        table = self.get_table(table_name)
        restore = _restoration(table, *self.get_keys_value(table, key), changed=True)
        try:
            return apply_update(self, table_name, key, **named)
        except MockValidationException:
            restore()
            raise

    apply_update = replace(DynamoDBBackend, "update_item", update_item)


def _write_answers_at_once() -> None:
    """Write items as JSON directly: moto looks every attribute up by several spellings, most of a Query's time."""

    def execute_result(self: MotoObject, context: MotoObject) -> MotoObject:
        if not isinstance(self.result, dict):
            return serialize(self, context)
        members = {name: value for name, value in self.result.items() if value is not None}
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(members, default=_json_member)

    serialize = replace(DynamoResult, "execute_result", execute_result)


def _json_member(value: object) -> str | float:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"a value of type {type(value).__name__} has no place in an answer of DynamoDB")
