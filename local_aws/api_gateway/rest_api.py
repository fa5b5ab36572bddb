"""A REST API as data: its resources, methods and stages, read from the resources of a deployment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from local_aws.api_gateway.access import ResourcePolicy
from local_aws.cloudformation import DeployedResource, Deployment
from local_aws.intrinsics import DeploymentError

INTEGRATION_TIMEOUT_MILLIS: Final = 29_000
"""https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html"""

_TYPE: Final = "AWS::ApiGateway::"
_FUNCTION_URI: Final = re.compile(r"arn:[^:]+:apigateway:[^:]+:lambda:path/2015-03-31/functions/([^/]+)/invocations")
_INTEGRATION_PROPERTIES: Final = frozenset({"Type", "IntegrationHttpMethod", "Uri", "TimeoutInMillis"})

_FIXED_HEADER: Final = re.compile(r"gatewayresponse\.header\.(?P<name>[A-Za-z0-9-]+)='(?P<value>[^']*)'")


@dataclass(frozen=True)
class Method:
    """What answers one HTTP method of a resource.

    Attributes:
        function_arn: The function behind it.
        needs_signature: Whether requests must be signed (AWS_IAM).
        needs_key: Whether requests must carry an API key of a usage plan.
        timeout_seconds: How long its answer may take.
    """

    function_arn: str
    needs_signature: bool = False
    needs_key: bool = False
    timeout_seconds: float = INTEGRATION_TIMEOUT_MILLIS / 1000


@dataclass
class Resource:
    """A resource and those under it.

    Attributes:
        id: Its id.
        path: Such as `/v1/{proxy+}`.
        methods: By HTTP method, `ANY` among them.
        children: By path part.
    """

    id: str
    path: str
    methods: dict[str, Method] = field(default_factory=dict)
    children: dict[str, Resource] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """Where a request goes.

    Attributes:
        resource: The resource that its path matches.
        method: The method of that.
        path_parameters: Decoded values of `{name}` and `{name+}`.
    """

    resource: Resource
    method: Method
    path_parameters: Mapping[str, str]


@dataclass(frozen=True)
class RestApi:
    """A REST API.

    Attributes:
        id: Its id.
        root: The resource `/`.
        stages: Names of its stages.
        policy: Its resource policy.
        binary_media_types: Bodies of these travel in base64.
        error_headers: Headers that the gateway adds to its own errors, by `DEFAULT_4XX` and `DEFAULT_5XX`.
    """

    id: str
    root: Resource
    stages: frozenset[str]
    policy: ResourcePolicy | None
    binary_media_types: tuple[str, ...]
    error_headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def headers_of_error(self, status: int) -> Mapping[str, str]:
        """Return what the gateway adds to an error of its own."""
        return self.error_headers.get(f"DEFAULT_{status // 100}XX", {})

    def route(self, http_method: str, raw_path: str) -> Route | None:
        """Find what answers a request: a fixed part goes before `{name}`, and that before `{name+}`.

        Args:
            http_method: In capitals.
            raw_path: The path without its stage, as the client has encoded it.

        Returns:
            None if nothing does.
        """
        parts = [] if raw_path in ("", "/") else raw_path.removeprefix("/").split("/")
        found = _find(self.root, parts, http_method, {})
        if found is None:
            return None
        resource, parameters = found
        method = resource.methods.get(http_method) or resource.methods["ANY"]
        return Route(resource, method, parameters)


def _find(
    resource: Resource, parts: Sequence[str], http_method: str, parameters: Mapping[str, str]
) -> tuple[Resource, Mapping[str, str]] | None:
    if not parts:
        return (resource, parameters) if {http_method, "ANY"} & resource.methods.keys() else None
    for part, child in sorted(resource.children.items(), key=_rank):
        taken = _take(part, parts)
        if taken and (found := _find(child, taken[1], http_method, {**parameters, **taken[0]})):
            return found
    return None


def _rank(child: tuple[str, Resource]) -> int:
    part, _ = child
    return part.startswith("{") + part.endswith("+}")


def _take(part: str, parts: Sequence[str]) -> tuple[Mapping[str, str], Sequence[str]] | None:
    """What a resource's part makes of the parts of a path: its parameter, and the parts that are left for others."""
    if part.endswith("+}"):
        return ({part[1:-2]: unquote("/".join(parts))}, []) if any(parts) else None
    first = unquote(parts[0])
    if part.startswith("{"):
        return ({part[1:-1]: first}, parts[1:]) if first else None
    return ({}, parts[1:]) if part == first else None


def rest_apis(deployment: Deployment) -> list[RestApi]:
    """Read the REST APIs of a deployment.

    Raises:
        DeploymentError: One of them holds something that is not emulated.
    """
    return [_rest_api(api, deployment) for api in deployment.of_type(f"{_TYPE}RestApi")]


def _rest_api(api: DeployedResource, deployment: Deployment) -> RestApi:
    api_id = api.created.ref

    def of_api(kind: str) -> Iterable[DeployedResource]:
        return (part for part in deployment.of_type(_TYPE + kind) if part.properties["RestApiId"] == api_id)

    root = Resource(api.created.attributes["RootResourceId"], "/")
    by_id = {root.id: root}
    for part in of_api("Resource"):  # in the order of creation: parents come first
        parent = by_id[part.properties["ParentId"]]
        name = part.properties["PathPart"]
        child = Resource(part.created.ref, f"{parent.path.rstrip('/')}/{name}")
        by_id[child.id] = parent.children[name] = child
    for part in of_api("Method"):
        by_id[part.properties["ResourceId"]].methods[part.properties["HttpMethod"]] = _method(part)
    policy = api.properties.get("Policy")
    return RestApi(
        id=api_id,
        root=root,
        stages=frozenset(stage.created.ref for stage in of_api("Stage")),
        policy=None if policy is None else ResourcePolicy.read(policy, where=str(api.logical_id)),
        binary_media_types=tuple(api.properties.get("BinaryMediaTypes", ())),
        error_headers={part.properties["ResponseType"]: _error_headers(part) for part in of_api("GatewayResponse")},
    )


def _error_headers(part: DeployedResource) -> dict[str, str]:
    """Read a response of the gateway's own.

    Raises:
        DeploymentError: It is of a single error, changes the status or the body, or has a header with no fixed value.
    """
    where = f"{part.stack_name}/{part.logical_id} (AWS::ApiGateway::GatewayResponse)"
    properties = part.properties
    parameters: Mapping[str, str] = properties.get("ResponseParameters", {})
    headers = {name: _FIXED_HEADER.fullmatch(f"{name}={value}") for name, value in parameters.items()}
    if (
        properties["ResponseType"] not in ("DEFAULT_4XX", "DEFAULT_5XX")
        or properties.keys() & {"ResponseTemplates", "StatusCode"}
        or None in headers.values()
    ):
        raise DeploymentError(
            f"{where}: only DEFAULT_4XX and DEFAULT_5XX with headers such as gatewayresponse.header.Name: 'value' "
            f"are emulated, not {dict(properties)!r}."
        )
    return {found["name"]: found["value"] for found in headers.values() if found is not None}


def _method(part: DeployedResource) -> Method:
    where = f"{part.stack_name}/{part.logical_id} (AWS::ApiGateway::Method)"
    integration: Mapping[str, Any] = part.properties["Integration"]
    unknown = {name for name, value in integration.items() if name not in _INTEGRATION_PROPERTIES and value}
    function = _FUNCTION_URI.fullmatch(str(integration.get("Uri")))
    if integration["Type"] != "AWS_PROXY" or unknown or function is None:
        raise DeploymentError(
            f"{where}: only the proxy integration of a function (AWS_PROXY with {', '.join(_INTEGRATION_PROPERTIES)}) "
            f"is emulated, not {dict(integration)!r}."
        )
    authorization = part.properties.get("AuthorizationType", "NONE")
    if authorization not in ("NONE", "AWS_IAM"):
        raise DeploymentError(f"{where}: AuthorizationType {authorization} is not emulated; NONE and AWS_IAM are.")
    return Method(
        function_arn=function[1],
        needs_signature=authorization == "AWS_IAM",
        needs_key=bool(part.properties.get("ApiKeyRequired", False)),
        timeout_seconds=integration.get("TimeoutInMillis", INTEGRATION_TIMEOUT_MILLIS) / 1000,
    )
