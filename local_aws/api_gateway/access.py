"""Who is let in: by address, by key.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from local_aws.api_gateway.moto_backend import apigateway_backends
from local_aws.intrinsics import DeploymentError

_INVOKE: Final = "execute-api:Invoke"
_SHORTHAND: Final = "execute-api:/"


@dataclass(frozen=True)
class _Statement:
    allows: bool
    resources: tuple[str, ...]
    inside: tuple[str, ...]
    outside: tuple[str, ...]

    def applies(self, arn: str, address: str) -> bool:
        path = _SHORTHAND + arn.split("/", 1)[1]
        return (
            any(fnmatchcase(arn, resource) or fnmatchcase(path, resource) for resource in self.resources)
            and (not self.inside or _is_in(address, self.inside))
            and (not self.outside or not _is_in(address, self.outside))
        )


@dataclass(frozen=True)
class ResourcePolicy:
    """The resource policy of an API. Known are conditions on `aws:SourceIp`, with everybody as the principal."""

    statements: tuple[_Statement, ...]

    @classmethod
    def read(cls, document: Mapping[str, Any], *, where: str) -> ResourcePolicy:
        """Read a policy.

        Args:
            document: The policy document.
            where: The API, for the error message.

        Raises:
            DeploymentError: It holds something that is not emulated: an ignored condition could open or close too much.
        """
        return cls(tuple(_statement(statement, where) for statement in _as_list(document["Statement"])))

    def lets_in(self, arn: str, address: str, *, signed: bool) -> bool:
        """Whether a request may go on.

        Args:
            arn: What is asked for: `arn:aws:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>`.
            address: The client's address.
            signed: Whether the request is signed: a Deny still stops it, while its signer's own policy is what allows
                it, and is looked at elsewhere (`Enforcement.invoker`).
        """
        applying = [statement.allows for statement in self.statements if statement.applies(arn, address)]
        return all(applying) and (signed or bool(applying))


def _statement(statement: Mapping[str, Any], where: str) -> _Statement:
    known = {"Effect", "Principal", "Action", "Resource", "Condition", "Sid"}
    conditions: Mapping[str, Mapping[str, Any]] = statement.get("Condition", {})
    is_known = (
        statement.keys() <= known
        and statement["Principal"] in ("*", {"AWS": "*"})
        and _as_list(statement["Action"]) == [_INVOKE]
        and conditions.keys() <= {"IpAddress", "NotIpAddress"}
        and all(condition.keys() == {"aws:SourceIp"} for condition in conditions.values())
    )
    if not is_known:
        raise DeploymentError(
            f"{where}: of the API's resource policy only {_INVOKE} for everybody with conditions on aws:SourceIp is "
            f"emulated, not {dict(statement)!r}."
        )
    return _Statement(
        allows=statement["Effect"] == "Allow",
        resources=tuple(_as_list(statement["Resource"])),
        inside=tuple(_as_list(conditions.get("IpAddress", {}).get("aws:SourceIp", []))),
        outside=tuple(_as_list(conditions.get("NotIpAddress", {}).get("aws:SourceIp", []))),
    )


def _is_in(address: str, blocks: tuple[str, ...]) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(block) for block in blocks)


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - IAM allows one value in place of a list everywhere
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class ApiKey:
    """An API key that may be used.

    Attributes:
        id: Its id.
        value: What the client sends.
    """

    id: str
    value: str


def find_key(value: str, *, account: str, region: str, api_id: str, stage: str) -> ApiKey | None:
    """Return the key of a value, if it is enabled and a usage plan of the stage has it.

    Throttling and quotas of usage plans are not enforced.

    Args:
        value: The header `x-api-key`; empty if there is none.
        account: Account id.
        region: Region.
        api_id: The API.
        stage: Its stage.
    """
    backend = apigateway_backends[account][region]
    for plan in tuple(backend.usage_plans.values()):
        if not any((served["apiId"], served["stage"]) == (api_id, stage) for served in plan.api_stages):
            continue
        for plan_key in tuple(backend.usage_plan_keys.get(plan.id, {}).values()):
            key = backend.keys.get(plan_key.id)
            if key is not None and key.enabled and key.value == value:
                return ApiKey(key.id, key.value)
    return None
