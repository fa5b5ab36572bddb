"""The two tables, on moto: real conditions, no Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

from benchmarks.tables import create_tables
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

Request = tuple[str, dict[str, Any]]
"""An operation of DynamoDB, and its parameters with Python's types."""


@dataclass(frozen=True)
class Tables:
    """Both tables, of one client, raw and as the jobs use them."""

    ledger_table: Table
    kpis_table: Table

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.ledger_table)

    @property
    def kpi_table(self) -> KpiTable:
        return KpiTable(self.kpis_table)

    def before_each_request(self, happens: Callable[[str, dict[str, Any]], None]) -> None:
        """Calls a function with each request of these tables before it is sent; the function may change it."""

        def handler(params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401 - botocore has no types
            happens(model.name, params)

        self.kpis_table.meta.client.meta.events.register("provide-client-params.dynamodb.*", handler)

    def recorded(self) -> list[Request]:
        """A list that each request of these tables is added to from now on."""
        requests: list[Request] = []
        self.before_each_request(lambda operation, params: requests.append((operation, params)))
        return requests


@pytest.fixture(scope="session")
def dynamodb_endpoint() -> Iterator[str]:
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
    ledger_table, kpis_table = create_tables(dynamodb)
    yield Tables(ledger_table, kpis_table)
    ledger_table.delete()
    kpis_table.delete()
