"""Serves the REST APIs of a deployment, each on a port of its own, so that paths begin with the stage as on AWS."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from local_aws.api_gateway.gateway import Gateway
from local_aws.api_gateway.rest_api import RestApi
from local_aws.iam.enforcement import Enforcement
from local_aws.moto_server import LocalServer, PortInUseError


class ApiListeners:
    """Serves REST APIs.

    Args:
        apis: The APIs.
        account: Account id.
        region: Region.
        iam: Verifies signatures.
        workers: Threads in which functions are waited for. They are the caller's to end, after the functions.
        after_port: The first API takes the next port if that is free, so that its address stays the same from start to
            start; 0 takes any free one.
    """

    def __init__(
        self,
        apis: list[RestApi],
        *,
        account: str,
        region: str,
        iam: Enforcement,
        workers: ThreadPoolExecutor,
        after_port: int,
    ) -> None:
        self._region: Final = region
        self._ports: dict[str, int] = {}
        with ExitStack() as closers:
            for number, api in enumerate(apis, start=1):
                gateway = Gateway(api, account=account, region=region, iam=iam, workers=workers)
                server = _listen(gateway, after_port + number if after_port else 0)
                closers.callback(server.close)
                self._ports[api.id] = server.port
            self._closers = closers.pop_all()

    def close(self) -> None:
        """Stop listening, and wait for the requests under way."""
        self._closers.close()

    def local_addresses(self, outputs: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """Return outputs of stacks in which the addresses of the APIs are those that answer here.

        Args:
            outputs: Stack name to output name to value, such as `https://<api>.execute-api.…/<stage>/`.
        """
        return {
            stack: {name: self._local_address(value) for name, value in of_stack.items()}
            for stack, of_stack in outputs.items()
        }

    def _local_address(self, value: str) -> str:
        for api_id, port in self._ports.items():
            value = value.replace(
                f"https://{api_id}.execute-api.{self._region}.amazonaws.com", f"http://127.0.0.1:{port}"
            )
        return value


def _listen(gateway: Gateway, port: int) -> LocalServer:
    name = f"api {gateway.api.id}"
    try:
        return LocalServer(gateway, port, name=name)
    except PortInUseError:
        return LocalServer(gateway, 0, name=name)
