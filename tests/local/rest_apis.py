"""A REST API with one function, as a template, and a client of it."""

from __future__ import annotations

import http.client
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_aws.server import EmbeddedAws
from tests.local.assemblies import role, template, write_assembly
from tests.local.clients import operators_client

# Answers with the event, or with whatever the header `x-answer` holds; `x-do` makes it fail.
SOURCE = textwrap.dedent("""
    import json, time
    def handler(event, context):
        headers = event["headers"] or {}
        match headers.get("X-Do"):
            case "raise": raise ValueError("broken")
            case "exit": raise SystemExit(1)
            case "sleep": time.sleep(30)
        if "X-Answer" in headers: return json.loads(headers["X-Answer"])
        return {"statusCode": 200, "body": json.dumps(event), "headers": {"Content-Type": "application/json"}}
""")
API = {"Ref": "Api"}
ROOT = {"Fn::GetAtt": ["Api", "RootResourceId"]}
URI = {
    "Fn::Join": [
        "",
        [
            "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/",
            {"Fn::GetAtt": ["Function", "Arn"]},
            "/invocations",
        ],
    ]
}


def resource(part: str, parent: object = ROOT) -> tuple[str, dict[str, Any]]:
    return ("AWS::ApiGateway::Resource", {"RestApiId": API, "ParentId": parent, "PathPart": part})


def method(of: object, http_method: str = "GET", **properties: object) -> tuple[str, dict[str, Any]]:
    integration = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": URI}
    whole = {"RestApiId": API, "ResourceId": of, "HttpMethod": http_method, "Integration": integration}
    return ("AWS::ApiGateway::Method", {**whole, "AuthorizationType": "NONE", **properties})


def resources(api: Mapping[str, object] | None = None) -> dict[str, Any]:
    slow = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": URI, "TimeoutInMillis": 300}
    return {
        "Role": role("lambda"),
        "OtherRole": role("lambda", actions=("s3:GetObject",)),
        "Permission": (
            "AWS::Lambda::Permission",
            {
                "FunctionName": {"Ref": "Function"},
                "Action": "lambda:InvokeFunction",
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": {"Fn::Sub": "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"},
            },
        ),
        "Function": (
            "AWS::Lambda::Function",
            {
                "Runtime": "python3.11",
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": {"ZipFile": SOURCE},
                "Timeout": 8,  # a first process may start slowly on a loaded machine
            },
        ),
        "Api": ("AWS::ApiGateway::RestApi", {"Name": "shop", "BinaryMediaTypes": ["image/*"], **(api or {})}),
        "Root": method(ROOT),
        "V1": resource("v1"),
        "Proxy": resource("{proxy+}", {"Ref": "V1"}),
        "GetProxy": method({"Ref": "Proxy"}, ApiKeyRequired=True),
        "OptionsProxy": method({"Ref": "Proxy"}, "OPTIONS"),
        "Items": resource("items"),
        "AnyItems": method({"Ref": "Items"}, "ANY"),
        "Item": resource("{id}", {"Ref": "Items"}),
        "GetItem": method({"Ref": "Item"}),
        "Best": resource("best", {"Ref": "Items"}),
        "GetBest": method({"Ref": "Best"}),
        "Signed": resource("signed"),
        "GetSigned": method({"Ref": "Signed"}, AuthorizationType="AWS_IAM"),
        "Days": resource("days", {"Ref": "V1"}),
        "GetDays": method({"Ref": "Days"}, AuthorizationType="AWS_IAM"),
        "Slow": resource("slow"),
        "GetSlow": method({"Ref": "Slow"}, Integration=slow),
        "ClientErrors": (
            "AWS::ApiGateway::GatewayResponse",
            {
                "RestApiId": API,
                "ResponseType": "DEFAULT_4XX",
                "ResponseParameters": {"gatewayresponse.header.X-Of-The-Gateway": "'a client error'"},
            },
        ),
        "ServerErrors": (
            "AWS::ApiGateway::GatewayResponse",
            {
                "RestApiId": API,
                "ResponseType": "DEFAULT_5XX",
                "ResponseParameters": {"gatewayresponse.header.X-Of-The-Gateway": "'a server error'"},
            },
        ),
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": API}, "DependsOn": ["Root"]},
        "Stage": (
            "AWS::ApiGateway::Stage",
            {"RestApiId": API, "DeploymentId": {"Ref": "Deployment"}, "StageName": "live"},
        ),
        "Key": ("AWS::ApiGateway::ApiKey", {"Enabled": True}),
        "OtherKey": ("AWS::ApiGateway::ApiKey", {"Enabled": True, "Value": "a-key-that-is-in-no-plan"}),
        "Plan": (
            "AWS::ApiGateway::UsagePlan",
            {
                "ApiStages": [{"ApiId": API, "Stage": {"Ref": "Stage"}, "Throttle": {}}],
                "Quota": {"Limit": 10, "Period": "DAY"},
                "Throttle": {"RateLimit": 1, "BurstLimit": 1},
            },
        ),
        "PlanKey": (
            "AWS::ApiGateway::UsagePlanKey",
            {"KeyId": {"Ref": "Key"}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": "Plan"}},
        ),
    }


URL = {
    "Fn::Join": [
        "",
        ["https://", API, ".execute-api.", {"Ref": "AWS::Region"}, ".amazonaws.com/", {"Ref": "Stage"}, "/"],
    ]
}


def assembly(folder: Path, given: Mapping[str, Any]) -> Path:
    outputs = {"Url": {"Value": URL}, "KeyId": {"Value": {"Ref": "Key"}}}
    return write_assembly(folder, {"Stack": template(given, Outputs=outputs)})


@dataclass(frozen=True)
class Reply:
    """What a client gets."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


@dataclass(frozen=True)
class Api:
    """A client of the API; paths are sent as they are."""

    url: str
    key: str
    operator: Mapping[str, str]
    """The environment of a client process."""

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=60)
        connection.request(method, address.path.rstrip("/") + path, body, dict(headers or {}))
        response = connection.getresponse()
        reply = Reply(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return reply

    def ask_with_key(self, path: str) -> Reply:
        return self.ask(path, headers={"x-api-key": self.key})

    def ask_signed(self, path: str, service: str = "execute-api", region: str = "us-east-1", **keys: str) -> Reply:
        request = AWSRequest("GET", self.url.rstrip("/") + path)
        given = {**self.operator, **keys}
        credentials = Credentials(
            given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], given["AWS_SESSION_TOKEN"]
        )
        SigV4Auth(credentials, service, region).add_auth(request)
        return self.ask(path, headers=dict(request.headers))

    def answered(self, answer: object, **headers: str) -> Reply:
        """What a client gets when the function answers so."""
        return self.ask("/", headers={"x-answer": json.dumps(answer), **headers})


def client_of(aws: EmbeddedAws) -> Api:
    client = api_gateway(aws)
    outputs = aws.outputs["Stack"]
    key = client.get_api_key(apiKey=outputs["KeyId"], includeValue=True)["value"]
    return Api(outputs["Url"], key, aws.environment())


def api_gateway(aws: EmbeddedAws) -> Any:  # noqa: ANN401
    return operators_client(aws.environment(), "apigateway")
