"""Clients of an embedded AWS, with the keys that it gives out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config


def operators_client(environment: Mapping[str, str], service: str, **config: object) -> Any:  # noqa: ANN401
    """Return the client of a service.

    Args:
        environment: The variables of a client process.
        service: Name of the service in botocore.
        config: Of botocore.
    """
    make_client: Any = boto3.session.Session().client
    return make_client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(**config),  # type: ignore[arg-type]
    )
