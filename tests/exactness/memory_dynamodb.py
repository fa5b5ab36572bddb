"""A DynamoDB in memory: the part of boto3's Table and client that our code uses, a thousand times quicker than moto.

`test_memory_dynamodb.py` proves it equal to moto's DynamoDB on random operations. It is the worst that DynamoDB may be:
a read that is not consistent gives what was there before the last write, a query is no snapshot (each page is a step of
its own), and the writes of a BatchWriteItem happen one by one, so that a job can die between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from botocore.exceptions import ClientError

from tests.exactness import expressions
from tests.exactness.expressions import ExpressionError, Item

Key = tuple[str, ...]
Before = Callable[[str, Mapping[str, Any]], bool]
"""Called with the operation and its request before the operation happens; False leaves a write of a batch out."""
Written = Callable[[str, Key, Item | None, Item | None], None]
"""Called once for each write, with the table's name, the key, and the item before and after."""

MAX_REQUESTS: Final = 25
MAX_ACTIONS: Final = 100


def _go_on(operation: str, request: Mapping[str, Any]) -> bool:
    return True


@dataclass
class _Stored:
    key_names: tuple[str, ...]
    items: dict[Key, Item] = field(default_factory=dict)
    lagging: dict[Key, Item] = field(default_factory=dict)
    last_written: Key | None = None

    def key_of(self, attributes: Mapping[str, Any]) -> Key:
        return tuple(attributes[name] for name in self.key_names)

    def write(self, key: Key, after: Item | None) -> Item | None:
        if self.last_written is not None:
            _store(self.lagging, self.last_written, self.items.get(self.last_written))
        before = self.items.get(key)
        _store(self.items, key, after)
        self.last_written = key
        return before


def _store(items: dict[Key, Item], key: Key, item: Item | None) -> None:
    if item is None:
        items.pop(key, None)
    else:
        items[key] = item


class MemoryDynamoDB:
    """Tables, each a mapping from keys to items.

    Args:
        key_names: by table name, the partition key and, if the table has one, the sort key.
        index_keys: by index name, partition key and sort key. Every table has the indexes, of all attributes.
        written: told of every write.
        page_size: items a page of a query holds.
    """

    def __init__(
        self,
        key_names: Mapping[str, tuple[str, ...]],
        index_keys: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        *,
        written: Written = lambda table, key, before, after: None,
        page_size: int = 3,
    ) -> None:
        self.stored = {name: _Stored(keys) for name, keys in key_names.items()}
        self.index_keys = index_keys
        self.written = written
        self.page_size = page_size

    def table(self, name: str, before: Before = _go_on) -> MemoryTable:
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
        item = (self._stored.items if ConsistentRead else self._stored.lagging).get(self._stored.key_of(Key))
        return {} if item is None else {"Item": _copied(item)}

    def query(
        self,
        *,
        KeyConditionExpression: str,  # noqa: N803
        ExpressionAttributeValues: Mapping[str, Any],  # noqa: N803
        ConsistentRead: bool = False,  # noqa: N803
        ExclusiveStartKey: Mapping[str, str] | None = None,  # noqa: N803
        ProjectionExpression: str = "",  # noqa: N803
        ExpressionAttributeNames: Mapping[str, str] = MappingProxyType({}),  # noqa: N803
        ScanIndexForward: bool = True,  # noqa: N803
        Limit: int | None = None,  # noqa: N803
        **index: str,
    ) -> dict[str, Any]:
        self.before("query", {"table": self.name, "Values": ExpressionAttributeValues, **index})
        stored = self._stored
        holds = expressions.condition(KeyConditionExpression)
        # An index has the items that have its keys, sorts them by these, and is never read consistently.
        place = (*(self.database.index_keys[index["IndexName"]] if index else ()), *stored.key_names)
        places = {
            tuple(item[name] for name in place): item
            for item in (stored.items if ConsistentRead else stored.lagging).values()
            if all(name in item for name in place) and holds(item, ExpressionAttributeNames, ExpressionAttributeValues)
        }
        found = sorted(places, key=_bytes, reverse=not ScanIndexForward)
        if ExclusiveStartKey:
            start = _bytes(tuple(ExclusiveStartKey[name] for name in place))
            found = [key for key in found if (_bytes(key) > start) == ScanIndexForward and _bytes(key) != start]
        page = found[: min(self.database.page_size, Limit or self.database.page_size)]
        more = {"LastEvaluatedKey": dict(zip(place, page[-1], strict=True))} if len(found) > len(page) else {}
        names = ProjectionExpression.split(", ") if ProjectionExpression else None
        return {"Items": [_copied(places[key], names) for key in page], **more}

    def put_item(self, *, Item: Mapping[str, Any], ReturnValues: str = "NONE", **request: Any) -> dict[str, Any]:  # noqa: ANN401, N803 - as boto3
        self.before("put_item", {"table": self.name, "Item": Item, **request})
        before = self._checked("PutItem", self._stored.key_of(Item), request)
        self._write(self._stored.key_of(Item), stored_value(dict(Item)))
        return {"Attributes": _copied(before)} if before is not None and ReturnValues == "ALL_OLD" else {}

    def update_item(self, *, Key: Mapping[str, str], ReturnValues: str = "NONE", **request: Any) -> dict[str, Any]:  # noqa: ANN401, N803 - as boto3
        self.before("update_item", {"table": self.name, "Key": Key, **request})
        key = self._stored.key_of(Key)
        before, after = self._update(key, {"Key": Key, **request})
        answer = {"NONE": None, "ALL_OLD": before, "ALL_NEW": after}[ReturnValues]
        return {} if answer is None else {"Attributes": _copied(answer)}

    def _update(self, key: Key, request: Mapping[str, Any]) -> tuple[Item | None, Item]:
        """Updates an item, if the condition holds; returns what it was before and what it is then."""
        before = self._checked("UpdateItem", key, request)
        after = dict(before or request["Key"])
        try:
            changed = [
                change(before or {}, after, *_names_and_values(request))
                for change in expressions.update(request["UpdateExpression"])
            ]
        except ExpressionError as error:
            raise _error("UpdateItem", "ValidationException", "the update does not fit the item") from error
        if len(set(changed)) < len(changed):
            raise _error("UpdateItem", "ValidationException", "an attribute is changed twice")
        self._write(key, after)
        return before, after

    def batch_write_item(self, *, RequestItems: Mapping[str, list[Mapping[str, Any]]]) -> dict[str, Any]:  # noqa: N803
        unprocessed: dict[str, list[Mapping[str, Any]]] = {}
        for name, requests in RequestItems.items():
            table = self.database.table(name)
            keys = [table._stored.key_of(_target(request)) for request in requests]
            if len(requests) > MAX_REQUESTS or len(set(keys)) < len(keys):
                raise _error("BatchWriteItem", "ValidationException", "too many requests, or two for one item")
            for key, request in zip(keys, requests, strict=True):
                if not self.before("batch_write_item", {"table": name, **request}):
                    unprocessed.setdefault(name, []).append(request)
                else:
                    table._write(
                        key, stored_value(dict(request["PutRequest"]["Item"])) if "PutRequest" in request else None
                    )
        return {"UnprocessedItems": unprocessed}

    def transact_write_items(self, *, TransactItems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Updates of this database's tables: all of them, or none if a condition does not hold."""
        self.before("transact_write_items", {"TransactItems": TransactItems})
        updates = [(self.database.table(item["Update"]["TableName"]), item["Update"]) for item in TransactItems]
        keys = [(table.name, table._stored.key_of(update["Key"])) for table, update in updates]
        if len(keys) > MAX_ACTIONS or len(set(keys)) < len(keys):
            raise _error("TransactWriteItems", "ValidationException", "too many actions, or two for one item")
        reasons = [table._reason(update) for table, update in updates]
        if any(reasons):
            error = {"Code": "TransactionCanceledException", "Message": "Transaction cancelled"}
            codes = [{"Code": reason or "None"} for reason in reasons]
            raise ClientError({"Error": error, "CancellationReasons": codes}, "TransactWriteItems")  # type: ignore[typeddict-item]
        # A transaction is atomic: all updates are stored before `written` is called with the first.
        told = self.database.written
        writes: list[tuple[str, Key, Item | None, Item | None]] = []
        self.database.written = lambda *write: writes.append(write)
        for table, update in updates:
            table._update(table._stored.key_of(update["Key"]), update)
        self.database.written = told
        for write in writes:
            told(*write)
        return {}

    def _reason(self, update: Mapping[str, Any]) -> str | None:
        """Why a transaction is cancelled because of an update; None if it is not."""
        try:
            self._checked("TransactWriteItems", self._stored.key_of(update["Key"]), update)
        except ClientError as error:
            return str(error.response["Error"]["Code"]).removesuffix("Exception")
        return None

    @property
    def _stored(self) -> _Stored:
        return self.database.stored[self.name]

    def _checked(self, operation: str, key: Key, request: Mapping[str, Any]) -> Item | None:
        """The item, where the request's condition holds for it."""
        present = self._stored.items.get(key)
        if "ConditionExpression" in request:
            holds = expressions.condition(request["ConditionExpression"])
            if not holds(present or {}, *_names_and_values(request)):
                raise _error(operation, "ConditionalCheckFailedException", "The conditional request failed")
        return present

    def _write(self, key: Key, after: Item | None) -> None:
        before = self._stored.write(key, after)
        if before is not None or after is not None:
            self.database.written(self.name, key, before, after)


def _target(request: Mapping[str, Any]) -> Mapping[str, Any]:
    put = request.get("PutRequest")
    target: Mapping[str, Any] = put["Item"] if put else request["DeleteRequest"]["Key"]
    return target


def _bytes(key: Key) -> list[bytes]:
    return [part.encode() for part in key]


def _names_and_values(request: Mapping[str, Any]) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    return request.get("ExpressionAttributeNames", {}), stored_value(dict(request.get("ExpressionAttributeValues", {})))


def _error(operation: str, code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


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


def _copied(item: Item, names: list[str] | None = None) -> Item:
    return {
        name: value.copy() if isinstance(value, set | list | dict) else value
        for name, value in item.items()
        if names is None or name in names
    }
