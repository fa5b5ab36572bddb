"""A DynamoDB in memory: the part of boto3's Table and client that our code uses, a thousand times quicker than moto.

`test_memory_dynamodb.py` proves it equal to moto's DynamoDB on random operations. A read that is not consistent gives
what was there before the last write, the worst that DynamoDB may do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from botocore.exceptions import ClientError

from tests.exactness import expressions
from tests.exactness.expressions import ExpressionError, Item

Key = tuple[str, ...]
Before = Callable[[str, Mapping[str, Any]], None]
"""Called with the operation and its request before the operation happens."""
Written = Callable[[str, Mapping[Key, tuple[Item | None, Item | None]]], None]
"""Called with a table's name and, by key, the items before and after, once for each write or transaction."""

MAX_ACTIONS: Final = 100
_KINDS: Final = ("ConditionCheck", "Put", "Update", "Delete")


@dataclass
class _Stored:
    key_names: tuple[str, ...]
    items: dict[Key, Item] = field(default_factory=dict)
    lagging: dict[Key, Item] = field(default_factory=dict)
    last_written: list[Key] = field(default_factory=list)

    def key_of(self, attributes: Mapping[str, Any]) -> Key:
        return tuple(attributes[name] for name in self.key_names)

    def write(self, changes: Mapping[Key, Item | None]) -> dict[Key, tuple[Item | None, Item | None]]:
        _bring_up_to_date(self.lagging, self.items, self.last_written)
        written = {key: (self.items.get(key), after) for key, after in changes.items()}
        for key, after in changes.items():
            if after is None:
                self.items.pop(key, None)
            else:
                self.items[key] = after
        self.last_written = list(changes)
        return written


def _bring_up_to_date(lagging: dict[Key, Item], items: Mapping[Key, Item], keys: Sequence[Key]) -> None:
    for key in keys:
        if key in items:
            lagging[key] = items[key]
        else:
            lagging.pop(key, None)


class MemoryDynamoDB:
    """Tables, each a mapping from keys to items.

    Args:
        key_names: by table name, the partition key and, if the table has one, the sort key.
        written: told of every write.
        page_size: items a page of a query holds.
    """

    def __init__(
        self,
        key_names: Mapping[str, tuple[str, ...]],
        *,
        written: Written = lambda table, changes: None,
        page_size: int = 3,
    ) -> None:
        self.stored = {name: _Stored(keys) for name, keys in key_names.items()}
        self.written = written
        self.page_size = page_size

    def table(self, name: str, before: Before = lambda operation, request: None) -> MemoryTable:
        """A client's own handle of a table, as `boto3.resource("dynamodb").Table(name)`."""
        return MemoryTable(self, name, before)


@dataclass(frozen=True)
class MemoryTable:
    """What stands for a boto3 Table."""

    database: MemoryDynamoDB
    name: str
    before: Before

    @property
    def meta(self) -> MemoryTable:
        return self

    @property
    def client(self) -> MemoryTable:
        return self

    def get_item(self, *, Key: Mapping[str, str], ConsistentRead: bool = False) -> dict[str, Any]:  # noqa: N803
        self.before("get_item", {"table": self.name, "Key": Key})
        stored = self.database.stored[self.name]
        item = (stored.items if ConsistentRead else stored.lagging).get(stored.key_of(Key))
        return {} if item is None else {"Item": _copied(item)}

    def query(
        self,
        *,
        KeyConditionExpression: str,  # noqa: N803
        ExpressionAttributeValues: Mapping[str, Any],  # noqa: N803
        ConsistentRead: bool = False,  # noqa: N803
        ExclusiveStartKey: Mapping[str, str] | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        self.before("query", {"table": self.name, "Values": ExpressionAttributeValues})
        stored = self.database.stored[self.name]
        holds = expressions.condition(KeyConditionExpression)
        items = stored.items if ConsistentRead else stored.lagging
        start = stored.key_of(ExclusiveStartKey) if ExclusiveStartKey else ()
        found = sorted(
            (key for key, item in items.items() if key > start and holds(item, {}, ExpressionAttributeValues)),
            key=lambda key: [part.encode() for part in key],
        )
        page = found[: self.database.page_size]
        more = (
            {"LastEvaluatedKey": dict(zip(stored.key_names, page[-1], strict=True))} if len(found) > len(page) else {}
        )
        return {"Items": [_copied(items[key]) for key in page], **more}

    def put_item(self, *, Item: Mapping[str, Any]) -> None:  # noqa: N803
        self.before("put_item", {"table": self.name, "Item": Item})
        self._commit([{"Put": {"TableName": self.name, "Item": Item}}], "PutItem")

    def update_item(self, *, Key: Mapping[str, str], ReturnValues: str = "NONE", **request: Any) -> dict[str, Any]:  # noqa: ANN401, N803 - as boto3
        self.before("update_item", {"table": self.name, "Key": Key, **request})
        stored = self.database.stored[self.name]
        old = stored.items.get(stored.key_of(Key))
        self._commit([{"Update": {"TableName": self.name, "Key": Key, **request}}], "UpdateItem")
        answer = {"NONE": None, "ALL_OLD": old, "ALL_NEW": stored.items[stored.key_of(Key)]}[ReturnValues]
        return {} if answer is None else {"Attributes": _copied(answer)}

    def transact_write_items(self, *, TransactItems: Sequence[Mapping[str, Any]]) -> None:  # noqa: N803
        self.before("transact_write_items", {"table": self.name, "TransactItems": TransactItems})
        self._commit(TransactItems, "TransactWriteItems")

    def _commit(self, transact_items: Sequence[Mapping[str, Any]], operation: str) -> None:
        """All conditions first, then the changes."""
        actions = [(kind, entry[kind]) for entry in transact_items for kind in _KINDS if kind in entry]
        targets = [self._target(action) for _, action in actions]
        if len(actions) > MAX_ACTIONS or len(set(targets)) < len(targets):
            raise _error(operation, "ValidationException", "too many actions, or two on one item")
        presents = [self.database.stored[table].items.get(key) for table, key in targets]
        outcomes = [_outcome(kind, action, present) for (kind, action), present in zip(actions, presents, strict=True)]
        codes = [outcome if isinstance(outcome, str) else "None" for outcome in outcomes]
        if any(code != "None" for code in codes):
            raise _failure(operation, codes)
        changes: dict[str, dict[Key, Item | None]] = {}
        for (kind, _), (table, key), outcome in zip(actions, targets, outcomes, strict=True):
            if kind != "ConditionCheck" and not isinstance(outcome, str):
                item = None if outcome is None else {**outcome, **self._key_attributes(table, key)}
                changes.setdefault(table, {})[key] = item
        for table, by_key in changes.items():
            self.database.written(table, self.database.stored[table].write(by_key))

    def _target(self, action: Mapping[str, Any]) -> tuple[str, Key]:
        table = action["TableName"]
        return table, self.database.stored[table].key_of(action.get("Item") or action["Key"])

    def _key_attributes(self, table: str, key: Key) -> dict[str, str]:
        return dict(zip(self.database.stored[table].key_names, key, strict=True))


def _outcome(kind: str, action: Mapping[str, Any], present: Item | None) -> Item | str | None:
    """The item after the action; or the code of the reason why it cannot be."""
    names = action.get("ExpressionAttributeNames", {})
    values = stored_value(dict(action.get("ExpressionAttributeValues", {})))
    if "ConditionExpression" in action:
        holds = expressions.condition(action["ConditionExpression"])
        if not holds(present or {}, names, values):
            return "ConditionalCheckFailed"
    if kind == "Put":
        return dict(stored_value(dict(action["Item"])))
    if kind != "Update":
        return present if kind == "ConditionCheck" else None
    before = present or {}
    after = dict(before)
    try:
        changed = [change(before, after, names, values) for change in expressions.update(action["UpdateExpression"])]
    except ExpressionError:
        return "ValidationError"
    return after if len(set(changed)) == len(changed) else "ValidationError"


def _failure(operation: str, codes: Sequence[str]) -> ClientError:
    if operation == "TransactWriteItems":
        message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(codes)}]"
        return _error(operation, "TransactionCanceledException", message, codes)
    if codes == ["ConditionalCheckFailed"]:
        return _error(operation, "ConditionalCheckFailedException", "The conditional request failed")
    return _error(operation, "ValidationException", "the update does not fit the item")


def cancelled(codes: Sequence[str]) -> ClientError:
    """What a cancelled transaction raises."""
    return _failure("TransactWriteItems", codes)


def _error(operation: str, code: str, message: str, reasons: Sequence[str] = ()) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}}
    if reasons:
        response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(response, operation)


def stored_value(value: Any) -> Any:  # noqa: ANN401 - any value of an item
    """A value as boto3 gives it back: numbers are Decimal, sets and lists are others than those given."""
    match value:
        case bool() | str() | None | Decimal():
            return value
        case int():
            return Decimal(value)
        case set() | frozenset():
            return {stored_value(element) for element in value}
        case list() | tuple():
            return [stored_value(element) for element in value]
        case dict():
            return {name: stored_value(element) for name, element in value.items()}
        case _:
            raise TypeError(f"DynamoDB does not hold a {type(value).__name__}")


def _copied(item: Item) -> Item:
    return {name: value.copy() if isinstance(value, set | list | dict) else value for name, value in item.items()}
