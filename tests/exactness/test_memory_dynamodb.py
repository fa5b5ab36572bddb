"""The DynamoDB in memory answers as moto's does, on random operations and on our own code's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.exactness.memory_dynamodb import MemoryDynamoDB
from tests.unit.conftest import Tables, dynamodb_endpoint, tables  # noqa: F401 - fixtures

SETTINGS: Final = settings(
    max_examples=50,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a failure is short as it is, and shrinking one takes minutes on moto
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
KEYS: Final = ("DAY#1", "DAY#2")
"""Few keys and few values: an operation shall find what an earlier one left."""
SORT_KEYS: Final = ("SUMMARY", "GENRE#é", "GENRE#a", "GENRE#\uff5e", "GENRE#\U0001f3b5")
SETS: Final = st.sets(st.sampled_from(["a", "b"]), min_size=1)
NUMBERS: Final = st.integers(-1, 1)
UPDATES: Final = (
    "ADD claim :number",
    "ADD runs :set, claim :number",
    "SET #status = :text ADD runs :set",
    "DELETE runs :set",
    "REMOVE runs, #status",
    "SET runs = :set",
    "SET claim = if_not_exists(claim, :number), #status = if_not_exists(#status, :text)",
    "SET claim = if_not_exists(published, :number) REMOVE published",
    "SET published = :number, #status = :text",
    "SET published = claim",
    "SET claim = :number ADD claim :number",
)
CONDITIONS: Final = (
    None,
    "claim = :number",
    "runs = :set",
    "#status IN (:text, :other)",
    "attribute_not_exists(claim) OR claim < :number",
    "attribute_exists(runs) AND NOT claim <= :number",
    "contains(runs, :text)",
    "#status > :text",
    "claim = :text",
    "(claim >= :number OR #status = :other) AND attribute_not_exists(published)",
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A condition, an update, or both, with the names and values that they use and no others."""
    update, condition = draw(st.sampled_from(UPDATES)), draw(st.sampled_from(CONDITIONS))
    texts = st.sampled_from(["a", "é"])
    values = {":number": draw(NUMBERS), ":set": draw(SETS), ":text": draw(texts), ":other": draw(texts)}
    text = f"{update} {condition or ''}"
    used = {name: value for name, value in values.items() if name in text}
    return {
        "UpdateExpression": update,
        **({"ConditionExpression": condition} if condition else {}),
        **({"ExpressionAttributeNames": {"#status": "status"}} if "#status" in text else {}),
        **({"ExpressionAttributeValues": used} if used else {}),
    }


@st.composite
def transactions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Actions on different items, and now and then on one twice."""
    actions: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 4))):
        ledger_key, row_key = (
            {"pk": draw(st.sampled_from(KEYS))},
            {"pk": "DAY#1", "sk": draw(st.sampled_from(SORT_KEYS))},
        )
        number = draw(NUMBERS)
        condition = {"ConditionExpression": "claim = :number", "ExpressionAttributeValues": {":number": number}}
        actions.append(
            draw(
                st.sampled_from(
                    [
                        {"ConditionCheck": {"TableName": "ledger", "Key": ledger_key, **condition}},
                        {"Put": {"TableName": "kpis", "Item": {**row_key, "claim": number, "top": [{"rank": number}]}}},
                        {"Put": {"TableName": "kpis", "Item": {**row_key, "name": None}, **condition}},
                        {"Delete": {"TableName": "kpis", "Key": row_key}},
                        {"Update": {"TableName": "ledger", "Key": ledger_key, **draw(requests())}},
                    ]
                )
            )
        )
    return actions


def answer(call: Callable[[Any], Any], on: Any) -> Any:  # noqa: ANN401 - what a call gives, or why it fails
    """The part of an answer that our code reads."""
    try:
        response = call(on)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return code, [reason["Code"] for reason in error.response.get("CancellationReasons", [])]
    if isinstance(response, Mapping) and "ResponseMetadata" in response:
        return {name: response[name] for name in ("Attributes", "Item") if name in response}
    return response or {}


def contents(table: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a Table of boto3 or of ours
    """Every item, by the queries and reads that our code uses."""
    if table.name == "ledger":
        return [table.get_item(Key={"pk": key}, ConsistentRead=True).get("Item", {}) for key in KEYS]
    items: list[dict[str, Any]] = []
    start: dict[str, Any] = {}
    while True:
        page = table.query(
            KeyConditionExpression="pk = :day",
            ExpressionAttributeValues={":day": "DAY#1"},
            ConsistentRead=True,
            **start,
        )
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            return items
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


@SETTINGS
@given(data=st.data())
def test_both_answer_alike(tables: Tables, data: st.DataObject) -> None:  # noqa: F811
    memory = MemoryDynamoDB({"ledger": ("pk",), "kpis": ("pk", "sk")})
    clear(tables)
    for _ in range(data.draw(st.integers(10, 25))):
        transaction = data.draw(st.one_of(st.none(), st.none(), transactions()))
        if transaction is None:
            key, request = {"pk": data.draw(st.sampled_from(KEYS))}, data.draw(requests())
            request["ReturnValues"] = data.draw(st.sampled_from(["NONE", "ALL_OLD", "ALL_NEW"]))
            pair: Any = (memory.table("ledger"), tables.ledger_table)
            ours, theirs = (answer(lambda table: table.update_item(Key=key, **request), one) for one in pair)  # noqa: B023
        else:
            clients: Any = (memory.table("kpis"), tables.kpis_table.meta.client)
            ours, theirs = (
                answer(lambda client: client.transact_write_items(TransactItems=transaction), one)  # noqa: B023
                for one in clients
            )
        assert ours == theirs
    for name, table in (("ledger", tables.ledger_table), ("kpis", tables.kpis_table)):
        assert contents(memory.table(name)) == contents(table)


def clear(tables: Tables) -> None:  # noqa: F811
    for key in KEYS:
        tables.ledger_table.delete_item(Key={"pk": key})
    for sort_key in SORT_KEYS:
        tables.kpis_table.delete_item(Key={"pk": "DAY#1", "sk": sort_key})
