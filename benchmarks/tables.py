"""Both tables with their indexes, empty, as the stacks have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from glue_scripts import names

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table

LEDGER: Final = "ledger"
KPIS: Final = "kpis"
_KEYS: Final = {
    LEDGER: (names.LEDGER_PARTITION_KEY, names.LEDGER_SORT_KEY),
    KPIS: (names.KPIS_PARTITION_KEY, names.KPIS_SORT_KEY),
}
_INDEXES: Final = {
    LEDGER: (names.STATUS_INDEX, names.STATUS_INDEX_PARTITION_KEY, names.STATUS_INDEX_SORT_KEY),
    KPIS: (names.DATE_INDEX, names.DATE_INDEX_PARTITION_KEY, names.DATE_INDEX_SORT_KEY),
}


def create_tables(dynamodb: DynamoDBServiceResource, prefix: str = "") -> tuple[Table, Table]:
    """Makes the tables LEDGER and KPIS.

    Args:
        dynamodb: the boto3 resource.
        prefix: what their names begin with.
    """
    return create_table(dynamodb, LEDGER, prefix), create_table(dynamodb, KPIS, prefix)


def create_table(dynamodb: DynamoDBServiceResource, of: str, prefix: str = "") -> Table:
    """Makes one of the tables, LEDGER or KPIS."""
    keys = _KEYS[of]
    index, *index_keys = _INDEXES[of]
    return dynamodb.create_table(
        TableName=f"{prefix}{of}",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in (*keys, *index_keys)],
        KeySchema=_key_schema(keys),
        GlobalSecondaryIndexes=[
            {"IndexName": index, "KeySchema": _key_schema(index_keys), "Projection": {"ProjectionType": "ALL"}}
        ],
    )


def _key_schema(keys: Sequence[str]) -> list[Any]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)]
