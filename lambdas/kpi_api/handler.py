"""The entry that Lambda calls; everything else is in the modules beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from lambdas.kpi_api.api import Api
from lambdas.kpi_api.messages import Request
from lambdas.kpi_api.store import Store

logging.getLogger().setLevel(logging.INFO)

# API Gateway waits 29 seconds. Two tries of two seconds leave room to say that DynamoDB is busy.
_CLIENT = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answers one request of API Gateway.

    Args:
        event: REST proxy integration, payload format 1.0.
        context: Lambda's, unused.

    Returns:
        What the proxy integration takes: `statusCode`, `headers`, `body`, `isBase64Encoded`.
    """
    return _api().answer(Request.of_event(event)).to_proxy()


@cache
def _api() -> Api:
    store = Store(boto3.client("dynamodb", config=_CLIENT), os.environ["KPIS_TABLE"])
    return Api(store, allowed_origins=os.environ["CORS_ALLOWED_ORIGINS"].split(","))
