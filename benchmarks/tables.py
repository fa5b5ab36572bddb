"""Both tables with their indexes, empty, as the stacks have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from glue_scripts import names

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table

LEDGER: Final = "ledger"
KPIS: Final = "kpis"


def create_tables(dynamodb: DynamoDBServiceResource) -> tuple[Table, Table]:
    """Makes the tables LEDGER and KPIS."""
    ledger = _create_table(
        dynamodb,
        LEDGER,
        (names.LEDGER_PARTITION_KEY, names.LEDGER_SORT_KEY),
        names.STATUS_INDEX,
        (names.STATUS_INDEX_PARTITION_KEY, names.STATUS_INDEX_SORT_KEY),
    )
    kpis = _create_table(
        dynamodb,
        KPIS,
        (names.KPIS_PARTITION_KEY, names.KPIS_SORT_KEY),
        names.DATE_INDEX,
        (names.DATE_INDEX_PARTITION_KEY, names.DATE_INDEX_SORT_KEY),
    )
    return ledger, kpis


def _create_table(
    dynamodb: DynamoDBServiceResource, name: str, keys: Sequence[str], index: str, index_keys: Sequence[str]
) -> Table:
    return dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in (*keys, *index_keys)],
        KeySchema=_key_schema(keys),
        GlobalSecondaryIndexes=[
            {"IndexName": index, "KeySchema": _key_schema(index_keys), "Projection": {"ProjectionType": "ALL"}}
        ],
    )


def _key_schema(keys: Sequence[str]) -> list[Any]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)]
