"""The DynamoDB in memory answers as moto's does, on random operations and on our own code's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from glue_scripts import ledger
from tests.exactness.memory_dynamodb import MemoryDynamoDB
from tests.unit.conftest import Tables, dynamodb_endpoint, tables  # noqa: F401 - fixtures

Call = tuple[str, dict[str, Any]]
"""An operation and its request."""

SETTINGS: Final = settings(
    max_examples=50,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a failure is short as it is, and shrinking one takes minutes on moto
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
KEYS: Final = tuple({"pk": pk, "sk": sk} for pk in ("DAY#1", "DAY#2") for sk in ("SUMMARY", "V#0000000001#GENRE#é"))
"""Few keys and few values: an operation shall find what an earlier one left."""
SORT_KEYS: Final = ("SUMMARY", "V#1#GENRE#é", "V#1#GENRE#a", "V#1#GENRE#\uff5e", "V#2#GENRE#\U0001f3b5", "V#2#")
SETS: Final = st.sets(st.sampled_from(["a", "b"]), min_size=1)
NUMBERS: Final = st.integers(-1, 1)
UPDATES: Final = (
    "ADD claim :number",
    "ADD days :set, claim :number",
    "SET #status = :text ADD days :set",
    "REMOVE days, #status",
    "SET days = :set",
    "SET claim = if_not_exists(claim, :number), #status = if_not_exists(#status, :text)",
    "SET claim = if_not_exists(published, :number) REMOVE published",
    "SET published = :number, #status = :text",
    "SET published = claim",
    "SET claim = :number ADD claim :number",
)
TRANSACTED: Final = ("SET claim = :number", "SET published = :number, #status = :text", "REMOVE days, #status")
"""Updates that are valid for every item. An update that is not valid cancels a transaction for another reason."""
CONDITIONS: Final = (
    None,
    "claim = :number",
    "days = :set",
    "#status IN (:text, :other)",
    "attribute_not_exists(claim) OR claim < :number",
    "attribute_exists(days) AND NOT claim <= :number",
    "#status > :text",
    "claim = :text",
    "(claim >= :number OR #status = :other) AND attribute_not_exists(published)",
)  # fmt: skip
STARTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"claim": 1, "days": {"a"}},
    {"claim": -1, "published": -1, "status": "a", "days": {"a", "b"}},
    {"published": 1, "status": "é", "days": {"b", "c"}},
)
"""What an item holds before the one write that is tried on it."""


def used_by(texts: Mapping[str, str | None], values: Mapping[str, Any]) -> dict[str, Any]:
    """Expressions with the names and values that they use and no others."""
    text = " ".join(expression or "" for expression in texts.values())
    used = {name: value for name, value in values.items() if name in text}
    return {
        **{name: expression for name, expression in texts.items() if expression},
        **({"ExpressionAttributeNames": {"#status": "status"}} if "#status" in text else {}),
        **({"ExpressionAttributeValues": used} if used else {}),
    }


@st.composite
def writes(draw: st.DrawFn) -> Call:
    """A put or an update with any condition or none, or a batch of puts and deletes."""
    texts = st.sampled_from(["a", "é"])
    values = {":number": draw(NUMBERS), ":set": draw(SETS), ":text": draw(texts), ":other": draw(texts)}
    condition = draw(st.sampled_from(CONDITIONS))
    returned = st.sampled_from(["NONE", "ALL_OLD"])
    match draw(st.sampled_from(["put", "update", "update", "batch", "transaction"])):
        case "put":
            item = {**draw(st.sampled_from(KEYS)), "claim": draw(NUMBERS), "name": None, "top": [{"rank": 1}]}
            asked = {"Item": item, "ReturnValues": draw(returned)}
            return "put_item", {**asked, **used_by({"ConditionExpression": condition}, values)}
        case "update":
            update = draw(st.sampled_from(UPDATES))
            asked = {"Key": draw(st.sampled_from(KEYS)), "ReturnValues": draw(returned | st.just("ALL_NEW"))}
            expressions = {"UpdateExpression": update, "ConditionExpression": condition}
            return "update_item", {**asked, **used_by(expressions, values)}
        case "transaction":
            actions = []
            for key in draw(st.permutations(KEYS))[: draw(st.integers(1, 3))]:
                expressions = {
                    "UpdateExpression": draw(st.sampled_from(TRANSACTED)),
                    "ConditionExpression": draw(st.sampled_from(CONDITIONS)),
                }
                actions.append({"Update": {"TableName": "kpis", "Key": key, **used_by(expressions, values)}})
            return "transact_write_items", {"TransactItems": actions}
        case _:
            sort_keys = draw(st.lists(st.sampled_from(SORT_KEYS), min_size=1, max_size=4, unique=True))
            requests = [
                draw(
                    st.sampled_from(
                        [
                            {"PutRequest": {"Item": {"pk": "DAY#1", "sk": sort_key, "claim": draw(NUMBERS)}}},
                            {"DeleteRequest": {"Key": {"pk": "DAY#1", "sk": sort_key}}},
                        ]
                    )
                )
                for sort_key in sort_keys
            ]
            return "batch_write_item", {"RequestItems": {"kpis": requests}}


def answer(table: Any, call: Call) -> Any:  # noqa: ANN401 - what a call gives, or why it fails
    """The part of an answer that our code reads."""
    operation, request = call
    on = table.meta.client if operation in ("batch_write_item", "transact_write_items") else table
    try:
        response = getattr(on, operation)(**request)
    except ClientError as error:
        reasons = [reason["Code"] for reason in error.response.get("CancellationReasons", [])]
        return error.response["Error"]["Code"], reasons
    return {name: response[name] for name in ("Attributes", "Item", "UnprocessedItems") if name in response}


def queried(table: Any, condition: str, values: Mapping[str, str], names: str | None = None) -> list[dict[str, Any]]:  # noqa: ANN401
    """All pages of a query, as our code asks for them."""
    asked = {"KeyConditionExpression": condition, "ExpressionAttributeValues": values, "ConsistentRead": True}
    asked |= {"ProjectionExpression": names} if names else {}
    return [dict(item) for item in ledger.queried(table, asked)]


QUERIES: Final[tuple[tuple[str, dict[str, str], str | None], ...]] = (
    ("pk = :pk", {":pk": "DAY#1"}, None),
    ("pk = :pk", {":pk": "DAY#2"}, "pk, sk"),
    ("pk = :pk AND sk BETWEEN :first AND :last", {":pk": "DAY#1", ":first": "V#1#", ":last": "V#2#"}, None),
    ("pk = :pk AND begins_with(sk, :start)", {":pk": "DAY#1", ":start": "V#1#GENRE#"}, "pk, sk"),
)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: ", ".join(start) or "nothing")
def test_both_do_every_write_alike_on(tables: Tables, start: dict[str, Any]) -> None:  # noqa: F811
    values = {":number": 1, ":set": {"a"}, ":text": "a", ":other": "b"}
    calls: list[Call] = [
        ("update_item", {"Key": KEYS[0], "ReturnValues": "ALL_NEW", **used_by({"UpdateExpression": update}, values)})
        for update in UPDATES
    ]
    calls += [
        (
            "put_item",
            {"Item": KEYS[0], "ReturnValues": "ALL_OLD", **used_by({"ConditionExpression": condition}, values)},
        )
        for condition in CONDITIONS
    ]
    for call in calls:
        memory = MemoryDynamoDB({"kpis": ("pk", "sk")}).table("kpis")
        both: tuple[Any, Any] = (memory, tables.kpis_table)
        for table in both:
            table.put_item(Item={**KEYS[0], **start})
        ours, theirs = (answer(table, call) for table in both)
        assert ours == theirs, call
        ours, theirs = (table.get_item(Key=KEYS[0], ConsistentRead=True)["Item"] for table in both)
        assert ours == theirs, call


@SETTINGS
@given(data=st.data())
def test_both_answer_alike(tables: Tables, data: st.DataObject) -> None:  # noqa: F811
    memory = MemoryDynamoDB({"kpis": ("pk", "sk")}).table("kpis")
    clear(tables)
    both: tuple[Any, Any] = (memory, tables.kpis_table)
    for _ in range(data.draw(st.integers(10, 25))):
        call = data.draw(writes())
        ours, theirs = (answer(table, call) for table in both)
        assert ours == theirs, call
    for query in QUERIES:
        ours, theirs = (queried(table, *query) for table in both)
        assert ours == theirs, query


def clear(tables: Tables) -> None:  # noqa: F811
    for item in tables.kpis_table.scan()["Items"]:
        tables.kpis_table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})
