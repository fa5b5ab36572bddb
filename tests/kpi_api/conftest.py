"""The handler over table `kpis` on moto's server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest

from glue_scripts import names
from lambdas.kpi_api import handler
from local_aws.environment import client_environment
from local_aws.moto_server import MotoServer
from tests.kpi_api.gateway import proxy_event
from tests.kpi_api.rows import computed_rows

TABLE = "kpis"


@dataclass(frozen=True)
class Answer:
    """What the handler returned."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:  # noqa: ANN401
        """The body, its numbers with their digits."""
        return json.loads(self.text, parse_float=Decimal)


@dataclass(frozen=True)
class Kpis:
    """The table with its rows, and the API over it."""

    table: Any
    rows: list[dict[str, Any]]

    def get(self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, **query: Any) -> Answer:  # noqa: ANN401
        """Calls the handler; `from_` stands for the parameter `from`."""
        text = urlencode({name.rstrip("_"): value for name, value in query.items()}, doseq=True)
        answer = handler.handler(proxy_event(method, path, text, headers), None)
        return Answer(answer["statusCode"], answer["headers"], answer["body"])

    def row(self, date: str, sort_key: str) -> dict[str, Any]:
        """A row as it was written."""
        return next(row for row in self.rows if (row["pk"], row["sk"]) == (f"DAY#{date}", sort_key))


@pytest.fixture(scope="module")
def kpis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kpis]:
    """The table of one test module; what a test changes in it, it puts back."""
    server = MotoServer(0, tmp_path_factory.mktemp("moto") / "requests.log")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in client_environment(server.endpoint_url, "us-east-1").items():
            patch.setenv(name, value)
        patch.setenv("KPIS_TABLE", TABLE)
        patch.setenv("CORS_ALLOWED_ORIGINS", "https://reports.example.com, https://other.example.com")
        handler._api.cache_clear()
        rows = computed_rows()
        table = create_table()
        with table.batch_writer() as batch:
            for row in rows:
                batch.put_item(Item=row)
        yield Kpis(table, rows)
        handler._api.cache_clear()
    server.close()


def create_table() -> Any:  # noqa: ANN401
    """The table `kpis` as the storage stack has it."""
    keys = (names.KPIS_PARTITION_KEY, names.KPIS_SORT_KEY)
    index = (names.GENRE_INDEX_PARTITION_KEY, names.GENRE_INDEX_SORT_KEY)
    return boto3.resource("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (*keys, *index)],
        KeySchema=_key_schema(*keys),
        GlobalSecondaryIndexes=[
            {
                "IndexName": names.GENRE_INDEX,
                "KeySchema": _key_schema(*index),
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


def _key_schema(partition: str, sort: str) -> list[Any]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
