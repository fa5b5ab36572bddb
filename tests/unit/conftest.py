"""The two tables, on moto with the embedded AWS's transactions: real conditions, no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

from glue_scripts import names
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Ledger
from local_aws import dynamodb_transactions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


@dataclass(frozen=True)
class Tables:
    """Both tables, raw and as the jobs use them."""

    ledger_table: Table
    kpis_table: Table

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.ledger_table)

    @property
    def kpi_table(self) -> KpiTable:
        return KpiTable(self.kpis_table, self.ledger_table.name)


@pytest.fixture(scope="session")
def dynamodb_endpoint() -> Iterator[str]:
    dynamodb_transactions.install()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def tables(dynamodb_endpoint: str) -> Iterator[Tables]:
    moto_api_backend.reset()  # its backends are the process's, and hold what others made
    dynamodb = boto3.resource(
        "dynamodb",
        endpoint_url=dynamodb_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    ledger_table = dynamodb.create_table(
        TableName="ledger",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": names.LEDGER_PARTITION_KEY, "AttributeType": "S"},
            {"AttributeName": names.STATUS_INDEX_PARTITION_KEY, "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": names.LEDGER_PARTITION_KEY, "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": names.STATUS_INDEX,
                "KeySchema": [
                    {"AttributeName": names.STATUS_INDEX_PARTITION_KEY, "KeyType": "HASH"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    kpis_table = dynamodb.create_table(
        TableName="kpis",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": names.KPIS_PARTITION_KEY, "AttributeType": "S"},
            {"AttributeName": names.KPIS_SORT_KEY, "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": names.KPIS_PARTITION_KEY, "KeyType": "HASH"},
            {"AttributeName": names.KPIS_SORT_KEY, "KeyType": "RANGE"},
        ],
    )
    yield Tables(ledger_table, kpis_table)
    ledger_table.delete()
    kpis_table.delete()
