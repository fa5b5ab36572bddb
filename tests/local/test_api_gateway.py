"""A REST API, asked by HTTP."""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from local_aws.iam import enforcement
from local_aws.server import EmbeddedAws
from tests.local.clients import operators_client
from tests.local.rest_apis import Api, Reply, api_gateway, assembly, client_of, resources

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    folder = tmp_path_factory.mktemp("api")
    with EmbeddedAws(assembly(folder / "cdk.out", resources()), folder / "aws") as running:
        yield running


@pytest.fixture(scope="module")
def api(aws: EmbeddedAws) -> Api:
    return client_of(aws)


def test_the_output_with_the_address_of_the_api_is_one_that_answers(api: Api) -> None:
    assert api.url.startswith("http://127.0.0.1:")
    assert api.url.endswith("/live/")

    reply = api.ask("/")

    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["x-amzn-RequestId"] == reply.json["requestContext"]["requestId"]


def test_the_function_gets_the_event_of_the_proxy_integration(api: Api) -> None:
    path = "/v1/days/2024-06-25/genres/drum%27n%2Fbass%20%C3%BC%23?limit=5&tag=a&tag=b+c%26&empty="

    event = api.ask(path, headers={"x-api-key": api.key, "user-agent": "test"}).json

    assert event["resource"] == "/v1/{proxy+}"
    assert event["path"] == "/v1/days/2024-06-25/genres/drum%27n%2Fbass%20%C3%BC%23"
    assert event["pathParameters"] == {"proxy": "days/2024-06-25/genres/drum'n/bass ü#"}
    assert event["queryStringParameters"] == {"limit": "5", "tag": "b c&", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"limit": ["5"], "tag": ["a", "b c&"], "empty": [""]}
    assert event["headers"]["X-Api-Key"] == api.key
    assert event["multiValueHeaders"]["X-Forwarded-For"] == ["127.0.0.1"]
    assert (event["httpMethod"], event["body"], event["isBase64Encoded"]) == ("GET", None, False)
    context = event["requestContext"]
    assert context["path"] == "/live" + event["path"]
    assert (context["stage"], context["resourcePath"]) == ("live", "/v1/{proxy+}")
    assert (context["identity"]["sourceIp"], context["identity"]["userAgent"]) == ("127.0.0.1", "test")
    assert context["identity"]["apiKey"] == api.key


def test_what_a_request_lacks_is_null_in_the_event(api: Api) -> None:
    event = api.ask("/").json

    assert event["path"] == "/"
    for member in (
        "pathParameters",
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "stageVariables",
        "body",
    ):
        assert event[member] is None


@pytest.mark.parametrize(
    ("method", "path", "resource", "parameters"),
    [
        ("GET", "/items", "/items", None),
        ("DELETE", "/items", "/items", None),
        ("GET", "/items/7", "/items/{id}", {"id": "7"}),
        ("GET", "/items/a%2Fb", "/items/{id}", {"id": "a/b"}),
        ("GET", "/items/best", "/items/best", None),
        ("OPTIONS", "/v1/a/b/", "/v1/{proxy+}", {"proxy": "a/b/"}),
    ],
)
def test_a_request_goes_to_the_resource_that_fits_best(
    api: Api, method: str, path: str, resource: str, parameters: object
) -> None:
    event = api.ask(path, method).json

    assert (event["resource"], event["pathParameters"]) == (resource, parameters)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/none"), ("POST", "/"), ("GET", "/v1"), ("GET", "/v1/"), ("GET", "/items/1/2")]
)
def test_where_there_is_nothing_the_gateway_says_what_it_says_on_aws(api: Api, method: str, path: str) -> None:
    reply = api.ask(path, method)

    assert (reply.status, reply.json) == (403, {"message": "Missing Authentication Token"})
    assert reply.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


def test_a_gateway_response_adds_its_headers_to_errors_of_the_gateway_and_to_nothing_else(api: Api) -> None:
    added = "X-Of-The-Gateway"
    assert api.ask("/v1/x").headers[added] == "a client error"
    assert api.ask("/nowhere").headers[added] == "a client error"
    failed = api.answered("not what the proxy integration takes")
    assert (failed.status, failed.headers[added]) == (502, "a server error")
    assert added not in api.ask("/").headers
    assert added not in api.answered({"statusCode": 404, "body": ""}).headers


def test_an_unknown_stage_is_forbidden(api: Api) -> None:
    other = dataclasses.replace(api, url=api.url.replace("/live/", "/other/"))

    assert (other.ask("/").status, other.ask("/").json) == (403, {"message": "Forbidden"})


@pytest.mark.parametrize("key", ["", "wrong", "a-key-that-is-in-no-plan"])
def test_a_method_that_needs_a_key_is_forbidden_without_one_of_a_usage_plan(api: Api, key: str) -> None:
    reply = api.ask("/v1/a", headers={"x-api-key": key} if key else {})

    assert (reply.status, reply.json) == (403, {"message": "Forbidden"})
    assert api.ask_with_key("/v1/a").status == 200
    assert api.ask("/v1/a", "OPTIONS").status == 200


def test_a_key_that_is_switched_off_is_forbidden(aws: EmbeddedAws, api: Api) -> None:
    client, key_id = api_gateway(aws), aws.outputs["Stack"]["KeyId"]

    def enable(value: str) -> None:
        client.update_api_key(apiKey=key_id, patchOperations=[{"op": "replace", "path": "/enabled", "value": value}])

    enable("false")
    assert api.ask_with_key("/v1/a").status == 403
    enable("true")
    assert api.ask_with_key("/v1/a").status == 200


def test_a_method_that_needs_a_signature_takes_local_credentials_only(api: Api) -> None:
    unsigned = api.ask("/signed")
    assert (unsigned.status, unsigned.json) == (403, {"message": "Missing Authentication Token"})
    for refused, error in (
        (api.ask_signed("/signed", AWS_ACCESS_KEY_ID="AKIAOTHER"), "UnrecognizedClientException"),
        (api.ask_signed("/signed", AWS_SECRET_ACCESS_KEY="other"), "InvalidSignatureException"),
        (api.ask_signed("/signed", service="s3"), "InvalidSignatureException"),
        (api.ask_signed("/signed", region="eu-west-1"), "InvalidSignatureException"),
        (api.ask("/signed", headers={"authorization": "Bearer x"}), "IncompleteSignatureException"),
    ):
        assert (refused.status, refused.headers["x-amzn-ErrorType"]) == (403, error)
    accepted = api.ask_signed("/signed?b=2&a=1%202")
    assert accepted.status == 200
    assert accepted.json["requestContext"]["identity"]["accessKey"] == api.operator["AWS_ACCESS_KEY_ID"]


def test_a_role_needs_its_token_and_the_right_to_invoke(aws: EmbeddedAws, api: Api) -> None:
    roles = operators_client(aws.environment(), "iam").list_roles()["Roles"]

    def ask(logical_id: str, **changes: str) -> Reply:
        (arn,) = [role["Arn"] for role in roles if f"Stack-{logical_id}-" in role["Arn"]]
        given = enforcement.assume(
            arn, service="lambda.amazonaws.com", source_arn="arn:aws:lambda:::function:f", session="s"
        )
        keys = {"AWS_ACCESS_KEY_ID": given.access_key, "AWS_SECRET_ACCESS_KEY": given.secret_key}
        return api.ask_signed("/signed", **{**keys, "AWS_SESSION_TOKEN": given.session_token, **changes})

    assert ask("Role").status == 200
    assert ask("Role", AWS_SESSION_TOKEN="").headers["x-amzn-ErrorType"] == "UnrecognizedClientException"
    denied = ask("OtherRole")
    assert (denied.status, denied.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert "is not authorized to perform: execute-api:Invoke on resource" in denied.json["Message"]


@pytest.mark.parametrize("language", ["curl", "python"])
def test_the_signatures_that_the_documents_show_are_accepted(api: Api, language: str) -> None:
    page = (REPOSITORY / "docs/api.md").read_text("utf-8")
    (sample,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (command,) = re.findall(r"^    (curl --aws-sigv4 .*\n.*)$", page, re.MULTILINE)
    if language == "python":
        arguments = [sys.executable, "-c", sample, api.url, api.key]
    else:
        arguments = ["bash", "-c", command.replace("<ApiUrl>", api.url).replace("curl ", "curl --silent --fail ", 1)]
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    done = subprocess.run(
        arguments, env={**others, **api.operator}, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert api.operator["AWS_ACCESS_KEY_ID"] in done.stdout


@pytest.mark.parametrize(
    ("answer", "status", "headers", "body"),
    [
        ({"statusCode": 201}, 201, {"Content-Type": "application/json"}, b""),
        ({"statusCode": "404", "body": "ü"}, 404, {}, "ü".encode()),
        ({"statusCode": 200, "body": None, "headers": {"X-A": 1, "X-B": True}}, 200, {"X-A": "1", "X-B": "true"}, b""),
        (
            {"statusCode": 200, "headers": {"X-A": "one"}, "multiValueHeaders": {"X-A": ["two"]}},
            200,
            {"X-A": "two"},
            b"",
        ),
    ],
)
def test_an_answer_reaches_the_client(
    api: Api, answer: object, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    reply = api.answered(answer)

    assert (reply.status, reply.body) == (status, body)
    assert headers.items() <= reply.headers.items()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        [],
        {},
        {"statusCode": "abc"},
        {"statusCode": 42},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": ["X-A"]},
        {"statusCode": 200, "headers": {"X-A": None}},
        {"statusCode": 200, "headers": {"X-A": "a\nX-B: b"}},
        {"statusCode": 200, "multiValueHeaders": {"X-A": "a"}},
        {"statusCode": 200, "cookies": []},
    ],
)
def test_a_malformed_answer_is_a_bad_gateway(api: Api, answer: object) -> None:
    reply = api.answered(answer)

    assert (reply.status, reply.json) == (502, {"message": "Internal server error"})


@pytest.mark.parametrize("how", ["raise", "exit", "sleep"])
def test_a_function_that_fails_or_exceeds_its_own_timeout_is_a_bad_gateway(api: Api, how: str) -> None:
    reply = api.ask("/", headers={"x-do": how})

    assert (reply.status, reply.json) == (502, {"message": "Internal server error"})


def test_a_function_that_exceeds_the_timeout_of_the_integration_is_a_gateway_timeout(api: Api) -> None:
    reply = api.ask("/slow", headers={"x-do": "sleep"})

    assert (reply.status, reply.json) == (504, {"message": "Endpoint request timed out"})


def test_bodies_of_binary_types_travel_in_base64(api: Api) -> None:
    image, text = b"\x89PNG\xff\x00", "größe"

    binary = api.ask("/items", "POST", {"content-type": "image/png"}, image).json
    plain = api.ask("/items", "POST", {"content-type": "text/plain; charset=utf-8"}, text.encode()).json

    assert (binary["body"], binary["isBase64Encoded"]) == (base64.b64encode(image).decode(), True)
    assert (plain["body"], plain["isBase64Encoded"]) == (text, False)


def test_an_answer_in_base64_is_decoded_for_a_client_that_asks_for_the_binary_type_first(api: Api) -> None:
    encoded = base64.b64encode(b"\x89PNG").decode()
    answer = {"statusCode": 200, "body": encoded, "isBase64Encoded": True, "headers": {"Content-Type": "image/png"}}

    assert api.answered(answer, Accept="image/png,*/*").body == b"\x89PNG"
    assert api.answered(answer, Accept="text/html,image/png").body == encoded.encode()


def test_a_head_request_has_headers_and_no_body(api: Api) -> None:
    reply = api.ask("/items", "HEAD")

    assert (reply.status, reply.body) == (200, b"")
