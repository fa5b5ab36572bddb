"""Table `kpis` on moto's server, and the handler over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend

from benchmarks.tables import KPIS, create_table
from lambdas.kpi_api import handler
from local_aws.environment import client_environment
from local_aws.iam.principals import ANYBODY
from local_aws.moto_server import MotoServer


@contextmanager
def kpi_service(rows: Iterable[dict[str, Any]], folder: Path, *, allowed_origins: str = "") -> Iterator[Any]:
    """Sets the handler's environment; gives the table.

    Args:
        rows: items of the table.
        folder: takes the server's log.
        allowed_origins: as the function's environment has them.
    """
    moto_api_backend.reset()  # its backends are the process's, and hold what others made
    with pytest.MonkeyPatch.context() as patch, closing(MotoServer(0, folder / "requests.log")) as server:
        for name, value in client_environment(server.endpoint_url, "us-east-1", ANYBODY).items():
            patch.setenv(name, value)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # Lambda sets both
        patch.setenv("KPIS_TABLE", KPIS)
        patch.setenv("CORS_ALLOWED_ORIGINS", allowed_origins)
        handler._api.cache_clear()
        table = create_table(boto3.resource("dynamodb"), KPIS)
        with table.batch_writer() as batch:
            for row in rows:
                batch.put_item(Item=row)
        yield table
        handler._api.cache_clear()
