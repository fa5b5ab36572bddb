"""Clients by which the interpreter calls the server that it runs in.

moto's interpreter calls `http://localhost:$MOTO_PORT` (5000 where unset), which is wrong for a server on an ephemeral
port, and makes a new client for every task, which costs more than the call itself.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import boto3
import moto.stepfunctions.parser.models  # noqa: F401 # loads every module of the interpreter
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.stepfunctions.parser.asl.component.state.exec.state_task.credentials import StateCredentials
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.utils import boto_client

from local_aws.iam import enforcement
from local_aws.iam.principals import Credentials
from local_aws.patching import MotoObject, replace

_CALL_TIMEOUT_SECONDS: Final = 900
_lock: Final = threading.Lock()
_clients: Final[dict[tuple[str, str, str, str], Any]] = {}
_address: Final[dict[str, str]] = {}


@dataclass
class ExecutionRole(StateCredentials):
    """The role with which a task makes its calls.

    Attributes:
        state_machine_arn: The state machine of the task, for which Step Functions assumes the role.
    """

    state_machine_arn: str

    def assume(self) -> Credentials:
        """Return credentials of the role.

        Raises:
            ClientError: Step Functions may not assume it.
        """
        try:
            return enforcement.assume(
                self.role_arn,
                service="states.amazonaws.com",
                source_arn=self.state_machine_arn,
                session=self.state_machine_arn.rpartition(":")[2],
            )
        except enforcement.AccessDeniedError as error:
            answer: Any = {
                "Error": {"Code": "AccessDeniedException", "Message": str(error)},
                "ResponseMetadata": {"RequestId": "none", "HTTPStatusCode": 400},
            }
            raise ClientError(answer, "AssumeRole") from error


def client_for(region: str, service: str, state_credentials: object = None) -> MotoObject:
    """Return a client of this server for a service; it replaces moto's `boto_client_for`.

    Args:
        region: AWS region.
        service: Name of the service in botocore.
        state_credentials: `ExecutionRole` of the state, as whom the call is made; without it the operator's.

    Raises:
        RuntimeError: No request has reached the server in this process.
        ClientError: Step Functions may not assume the role.
    """
    if "url" not in _address:
        raise RuntimeError(
            "no request has reached a moto server in this process: start one before its clients are used"
        )
    credentials = state_credentials.assume() if isinstance(state_credentials, ExecutionRole) else enforcement.operator()
    key = (_address["url"], region, service, credentials.access_key)
    with _lock:  # making clients of one session is not thread-safe
        if key not in _clients:
            make_client: MotoObject = boto3.session.Session().client
            _clients[key] = make_client(
                service,
                region_name=region,
                endpoint_url=key[0],
                **credentials.for_boto3(),
                config=Config(
                    parameter_validation=False,
                    retries={"total_max_attempts": 1},
                    read_timeout=_CALL_TIMEOUT_SECONDS,
                    max_pool_connections=50,
                ),
            )
            _clients[key].meta.events.register("after-call", _complete_metadata)
        return _clients[key]


def _complete_metadata(parsed: dict[str, Any], **_: object) -> None:
    """Give every answer a request id: without one, moto's integrations crash on an error instead of retrying it."""
    parsed.setdefault("ResponseMetadata", {}).setdefault("RequestId", "none")


def _eval_state_credentials(self: MotoObject, env: MotoObject) -> MotoObject:
    """Replace `StateTask._eval_state_credentials`."""
    credentials = evaluate_credentials(self, env)
    machine = env.states.context_object.context_object_data["StateMachine"]["Id"]
    return ExecutionRole(credentials.role_arn, machine)


evaluate_credentials: Callable[..., MotoObject]


def install() -> None:
    """Learn the server's address from its requests, and give every module of the interpreter `client_for`."""
    global evaluate_credentials
    evaluate_credentials = replace(StateTask, "_eval_state_credentials", _eval_state_credentials)

    def remember_address(self: MotoObject, environ: dict[str, Any], start_response: MotoObject) -> MotoObject:
        _address["url"] = f"http://127.0.0.1:{environ['SERVER_PORT']}"
        return serve(self, environ, start_response)

    serve = replace(DomainDispatcherApplication, "__call__", remember_address)
    original = boto_client.boto_client_for
    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions.") and getattr(module, "boto_client_for", None) is original:
            replace(module, "boto_client_for", client_for)
