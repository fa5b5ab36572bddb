"""Writes to DynamoDB that are atomic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models import DynamoDBBackend

from tests.local.workflow_server import WorkflowServer, workflow_server

TABLE: Final = "rows"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running:
        running.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        yield running


@pytest.fixture
def dynamodb(server: WorkflowServer) -> Any:  # noqa: ANN401
    return server.client("dynamodb")


def key(sk: str, pk: str = "p") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def row(sk: str, n: int = 0, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {**key(sk), "n": {"N": str(n)}, **more}


def put(sk: str, n: int = 0) -> dict[str, Any]:
    return {"Put": {"TableName": TABLE, "Item": row(sk, n)}}


def check(sk: str, n: int) -> dict[str, Any]:
    values = {":n": {"N": str(n)}}
    return {
        "ConditionCheck": {
            "TableName": TABLE,
            "Key": key(sk),
            "ConditionExpression": "n = :n",
            "ExpressionAttributeValues": values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def update(sk: str, expression: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": TABLE,
            "Key": key(sk),
            "UpdateExpression": expression,
            "ExpressionAttributeValues": {":v": value},
        }
    }


def rows(dynamodb: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    pages = dynamodb.get_paginator("scan").paginate(TableName=TABLE)
    return {item["sk"]["S"]: item for page in pages for item in page["Items"]}


def cancelled(dynamodb: Any, actions: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: ANN401
    with pytest.raises(ClientError) as caught:
        dynamodb.transact_write_items(TransactItems=actions)
    assert caught.value.response["Error"]["Code"] == "TransactionCanceledException"
    return [dict(reason) for reason in caught.value.response["CancellationReasons"]]


def test_all_four_kinds_of_action_are_applied(dynamodb: Any) -> None:  # noqa: ANN401
    for sk in ("checked", "updated", "deleted"):
        dynamodb.put_item(TableName=TABLE, Item=row(sk, 1))
    dynamodb.transact_write_items(
        TransactItems=[
            check("checked", 1),
            put("put", 7),
            update("updated", "SET n = :v", {"N": "5"}),
            update("made", "ADD n :v", {"N": "3"}),
            {"Delete": {"TableName": TABLE, "Key": key("deleted")}},
        ]
    )
    assert {sk: item["n"]["N"] for sk, item in rows(dynamodb).items()} == {
        "checked": "1",
        "put": "7",
        "updated": "5",
        "made": "3",
    }


def test_a_failed_condition_changes_nothing_and_says_which_action_failed(dynamodb: Any) -> None:  # noqa: ANN401
    dynamodb.put_item(TableName=TABLE, Item=row("claim", 2))
    reasons = cancelled(dynamodb, [put("new"), check("claim", 1), {"Delete": {"TableName": TABLE, "Key": key("x")}}])
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed", "None"]
    assert reasons[1]["Item"] == row("claim", 2)
    assert "Item" not in reasons[0]
    assert set(rows(dynamodb)) == {"claim"}


def test_every_failed_condition_has_its_reason(dynamodb: Any) -> None:  # noqa: ANN401
    dynamodb.put_item(TableName=TABLE, Item=row("there"))
    absent = {"Put": {"TableName": TABLE, "Item": row("there", 9), "ConditionExpression": "attribute_not_exists(pk)"}}
    reasons = cancelled(dynamodb, [absent, put("other"), check("missing", 1)])
    assert [reason["Code"] for reason in reasons] == ["ConditionalCheckFailed", "None", "ConditionalCheckFailed"]
    assert rows(dynamodb) == {"there": row("there")}


def test_conditions_see_the_table_as_it_was_before_the_transaction(dynamodb: Any) -> None:  # noqa: ANN401
    dynamodb.put_item(TableName=TABLE, Item=row("a", 1))
    reasons = cancelled(dynamodb, [update("b", "SET n = :v", {"N": "1"}), check("c", 1), check("a", 1)])
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed", "None"]


def test_values_that_do_not_fit_undo_what_was_applied_before_them(dynamodb: Any) -> None:  # noqa: ANN401
    before = {"text": row("text", 1, s={"S": "word"}), "counted": row("counted", 1), "dropped": row("dropped", 1)}
    for item in before.values():
        dynamodb.put_item(TableName=TABLE, Item=item)
    actions = [
        put("new"),
        put("text2"),
        update("counted", "ADD n :v", {"N": "5"}),
        {"Delete": {"TableName": TABLE, "Key": key("dropped")}},
        update("text", "ADD s :v", {"N": "1"}),
    ]
    reasons = cancelled(dynamodb, actions)
    assert [reason["Code"] for reason in reasons] == ["None"] * 4 + ["ValidationError"]
    assert rows(dynamodb) == before


@pytest.mark.parametrize(
    "actions",
    [
        [put("a"), put("a", 2)],
        [put("a"), check("a", 1)],
        [put(str(number)) for number in range(101)],
        [{**put("a"), **check("b", 1)}],
        [{"Delete": {"TableName": TABLE, "Key": {"pk": {"S": "p"}}}}],
    ],
    ids=["an item twice", "an item put and checked", "101 actions", "two kinds in one", "half a key"],
)
def test_a_transaction_that_aws_would_not_take_is_refused(dynamodb: Any, actions: list[dict[str, Any]]) -> None:  # noqa: ANN401
    with pytest.raises(ClientError, match="ValidationException"):
        dynamodb.transact_write_items(TransactItems=actions)
    assert rows(dynamodb) == {}


def test_a_failed_single_update_leaves_the_item_as_it_was(dynamodb: Any) -> None:  # noqa: ANN401
    dynamodb.put_item(TableName=TABLE, Item=row("a", 1, s={"S": "word"}))
    with pytest.raises(ClientError, match="ValidationException"):
        dynamodb.update_item(
            TableName=TABLE,
            Key=key("a"),
            UpdateExpression="SET n = :n ADD s :n",
            ExpressionAttributeValues={":n": {"N": "2"}},
        )
    assert rows(dynamodb) == {"a": row("a", 1, s={"S": "word"})}


def test_concurrent_adds_are_all_counted_and_each_gets_its_own_value(dynamodb: Any) -> None:  # noqa: ANN401
    dynamodb.put_item(TableName=TABLE, Item=row("guard", 1))

    def add(number: int) -> int | None:
        if number % 3 == 0:
            cancelled(dynamodb, [update("counter", "ADD n :v", {"N": "100"}), check("guard", 2)])
            return None
        if number % 3 == 1:
            dynamodb.transact_write_items(TransactItems=[update("counter", "ADD n :v", {"N": "1"}), check("guard", 1)])
            return None
        answer = dynamodb.update_item(
            TableName=TABLE,
            Key=key("counter"),
            UpdateExpression="ADD n :v, seen :s",
            ExpressionAttributeValues={":v": {"N": "1"}, ":s": {"SS": [str(number)]}},
            ReturnValues="ALL_NEW",
        )
        assert str(number) in answer["Attributes"]["seen"]["SS"]
        return int(answer["Attributes"]["n"]["N"])

    with ThreadPoolExecutor(8) as threads:
        values = [value for value in threads.map(add, range(300)) if value is not None]
    assert rows(dynamodb)["counter"]["n"]["N"] == "200"
    assert len(set(values)) == len(values) == 100
    assert len(rows(dynamodb)["counter"]["seen"]["SS"]) == 100


def test_an_update_answers_with_its_own_values_when_others_follow_at_once(
    dynamodb: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    update = DynamoDBBackend.update_item

    def slow(self: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        item = update(self, *arguments, **named)
        time.sleep(0.1)  # leaves the others time to change the item before this answer is written
        return item

    monkeypatch.setattr(DynamoDBBackend, "update_item", slow)

    def add(_: int) -> str:
        values = {":v": {"N": "1"}}
        answer = dynamodb.update_item(
            TableName=TABLE,
            Key=key("counter"),
            UpdateExpression="ADD n :v",
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
        return str(answer["Attributes"]["n"]["N"])

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(add, range(4))) == ["1", "2", "3", "4"]


def test_a_real_day_is_written_in_seconds(dynamodb: Any) -> None:  # noqa: ANN401
    dynamodb.put_item(TableName=TABLE, Item=row("claim", 1))
    start = time.process_time()
    for batch in range(28):
        actions = [put(f"{batch:02d}-{number:02d}") for number in range(99)]
        dynamodb.transact_write_items(TransactItems=[check("claim", 1), *actions])
    assert time.process_time() - start < 15, "moto's own takes minutes; this takes 2 s on an idle machine"
    pages = dynamodb.get_paginator("query").paginate(
        TableName=TABLE, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": "p"}}
    )
    assert sum(len(page["Items"]) for page in pages) == 28 * 99 + 1


def test_every_type_of_value_survives_a_round_trip(dynamodb: Any) -> None:  # noqa: ANN401
    item = {
        **key("all"),
        "n": {"N": "1.50"},
        "b": {"B": b"\x00\xff"},
        "bs": {"BS": [b"\x01"]},
        "ss": {"SS": ["x"]},
        "ns": {"NS": ["1"]},
        "m": {"M": {"é": {"L": [{"NULL": True}, {"BOOL": False}]}}},
    }
    dynamodb.put_item(TableName=TABLE, Item=item)
    assert dynamodb.get_item(TableName=TABLE, Key=key("all"))["Item"] == item
    assert "Item" not in dynamodb.get_item(TableName=TABLE, Key=key("none"))
