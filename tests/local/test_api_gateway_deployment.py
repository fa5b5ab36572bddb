"""What a template may say of a REST API, and whom its resource policy lets in."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local_aws.api_gateway.access import ResourcePolicy
from local_aws.api_gateway.listeners import ApiListeners
from local_aws.api_gateway.rest_api import Resource, RestApi
from local_aws.iam.enforcement import Enforcement
from local_aws.intrinsics import DeploymentError
from local_aws.server import EmbeddedAws
from tests.local.rest_apis import assembly, client_of, resources

ARN = "arn:aws:execute-api:us-east-1:123456789012:abc/live/GET/"


def policy(effect: str, operator: str, *blocks: str, resource: str = "execute-api:/*") -> dict[str, Any]:
    condition = {operator: {"aws:SourceIp": list(blocks)}}
    statement = {"Effect": effect, "Principal": "*", "Action": "execute-api:Invoke", "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [{**statement, "Condition": condition}]}


@pytest.mark.parametrize(
    ("document", "anonymous", "signed"),
    [
        (policy("Allow", "IpAddress", "127.0.0.1/32"), True, True),
        (policy("Allow", "IpAddress", "203.0.113.0/24", "127.0.0.0/8"), True, True),
        (policy("Allow", "IpAddress", "203.0.113.0/24"), False, True),
        (policy("Deny", "NotIpAddress", "127.0.0.1/32"), False, True),
        (policy("Deny", "NotIpAddress", "203.0.113.0/24"), False, False),
        (policy("Allow", "IpAddress", "127.0.0.1/32", resource="execute-api:/live/GET/items"), False, True),
        (policy("Allow", "IpAddress", "127.0.0.1/32", resource="arn:aws:execute-api:*:*:abc/live/GET/*"), True, True),
    ],
)
def test_an_address_is_let_in_by_an_allow_and_a_signature_needs_none(
    document: dict[str, Any], *, anonymous: bool, signed: bool
) -> None:
    read = ResourcePolicy.read(document, where="Api")

    assert read.lets_in(ARN, "127.0.0.1", signed=False) is anonymous
    assert read.lets_in(ARN, "127.0.0.1", signed=True) is signed


def test_an_address_that_is_not_let_in_is_told_so_before_anything_else_is_looked_at(tmp_path: Path) -> None:
    only_others = resources({"Policy": policy("Allow", "IpAddress", "203.0.113.0/24")})
    with EmbeddedAws(assembly(tmp_path / "cdk.out", only_others), tmp_path / "aws") as aws:
        api = client_of(aws)
        refused = (api.ask("/"), api.ask("/v1/a"), api.ask_with_key("/v1/a"))

        assert api.ask_signed("/signed").status == 200

    for reply in refused:
        assert reply.status == 403
        assert (
            "is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:"
            in reply.json["Message"]
        )


@pytest.mark.parametrize(
    ("logical_id", "change", "message"),
    [
        ("Root", {"AuthorizationType": "COGNITO_USER_POOLS"}, "COGNITO_USER_POOLS is not emulated"),
        ("Root", {"Integration": {"Type": "MOCK"}}, "only the proxy integration"),
        ("Root", {"RequestParameters": {}}, "RequestParameters"),
        ("Api", {"Policy": policy("Allow", "StringEquals", "x")}, "resource policy"),
        ("Api", {"ApiKeySourceType": "AUTHORIZER"}, "ApiKeySourceType"),
        ("Stage", {"Variables": {"a": "b"}}, "Variables"),
        ("ClientErrors", {"ResponseType": "THROTTLED"}, "only DEFAULT_4XX and DEFAULT_5XX"),
        ("ClientErrors", {"ResponseTemplates": {"application/json": "{}"}}, "only DEFAULT_4XX and DEFAULT_5XX"),
        (
            "ClientErrors",
            {"ResponseParameters": {"gatewayresponse.header.X": "method.request.header.X"}},
            "only DEFAULT_4XX and DEFAULT_5XX with headers",
        ),
    ],
)
def test_what_is_not_emulated_is_an_error_that_names_it(
    tmp_path: Path, logical_id: str, change: dict[str, Any], message: str
) -> None:
    given = resources()
    kind, properties = given[logical_id]
    given[logical_id] = (kind, {**properties, **change})

    with pytest.raises(DeploymentError, match=message):
        EmbeddedAws(assembly(tmp_path / "cdk.out", given), tmp_path / "aws").start()


def test_an_api_takes_the_port_after_the_endpoint_s_or_any_free_one() -> None:
    api = RestApi(id="abc", root=Resource("root", "/"), stages=frozenset(), policy=None, binary_media_types=())
    output = {"Stack": {"Url": "https://abc.execute-api.us-east-1.amazonaws.com/live/", "Name": "abc"}}

    iam = Enforcement("1", "us-east-1")

    def addresses(after_port: int) -> Mapping[str, str]:
        with ThreadPoolExecutor() as workers:
            listeners = ApiListeners(
                [api], account="1", region="us-east-1", iam=iam, workers=workers, after_port=after_port
            )
            found = listeners.local_addresses(output)["Stack"]
            listeners.close()
        return found

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        elsewhere = addresses(port - 1)
    assert addresses(port - 1) == {"Url": f"http://127.0.0.1:{port}/live/", "Name": "abc"}
    assert elsewhere["Url"] not in (f"http://127.0.0.1:{port}/live/", output["Stack"]["Url"])
