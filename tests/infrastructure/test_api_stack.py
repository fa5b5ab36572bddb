"""The API: who may call it, how often, and what is written about it, in both kinds of access."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Template as Assertions

from app import build_app
from stacks.settings import SettingsError
from tests.infrastructure.templates import Deployment, Template, allowed, properties, resources, text

OPENED = {
    "api_access": "api_key",
    "api_allowed_cidrs": "203.0.113.0/24,127.0.0.1/32",
    "api_cors_allowed_origins": "https://charts.example.com",
    "api_requests_per_second": "7",
    "api_burst_requests": "21",
    "api_requests_per_day": "5000",
}


@pytest.fixture(scope="module")
def with_key(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The API of dev with a key; cdk-nag has looked at it."""
    return _api(tmp_path_factory.mktemp("with_key"), OPENED)


def _api(outdir: Path, overrides: Mapping[str, object]) -> Template:
    build_app("dev", outdir, overrides).synth()
    template = json.loads((outdir / "MusicKpi-dev-Api.template.json").read_text(encoding="utf-8"))
    assert isinstance(template, dict)
    return template


def _methods(template: Template) -> dict[str, Mapping[str, Any]]:
    """`GET /v1/{proxy+}` and so on -> the method."""
    paths = {"RootResourceId": ""}
    waiting = {
        key: resource["Properties"]
        for key, resource in template["Resources"].items()
        if resource["Type"] == "AWS::ApiGateway::Resource"
    }
    while waiting:
        for key, resource in list(waiting.items()):
            parent = text(resource["ParentId"]).strip("<>").split(".")[-1]
            if parent in paths:
                paths[key] = f"{paths[parent]}/{resource['PathPart']}"
                del waiting[key]
    return {
        f"{method['HttpMethod']} {paths[text(method['ResourceId']).strip('<>').split('.')[-1]] or '/'}": method
        for method in (one["Properties"] for one in resources(template, "AWS::ApiGateway::Method"))
    }


def test_with_iam_everything_needs_a_signature_and_there_is_no_page(deployment: Deployment) -> None:
    methods = _methods(deployment.api)
    assert methods.keys() == {"GET /v1/{proxy+}", "HEAD /v1/{proxy+}"}
    assert {method["AuthorizationType"] for method in methods.values()} == {"AWS_IAM"}
    assert "Policy" not in properties(deployment.api, "AWS::ApiGateway::RestApi")
    assert set(deployment.api["Outputs"]) == {"ApiUrl", "ApiKeyId"}


def test_a_signed_request_needs_the_key_as_well_because_nothing_else_bounds_a_day(deployment: Deployment) -> None:
    for method in _methods(deployment.api).values():
        assert (method["AuthorizationType"], method["ApiKeyRequired"]) == ("AWS_IAM", True)
    plan = properties(deployment.api, "AWS::ApiGateway::UsagePlan")
    assert plan["Quota"] == {"Limit": deployment.settings.api_requests_per_day, "Period": "DAY"}
    (of_plan,) = [one["Properties"] for one in resources(deployment.api, "AWS::ApiGateway::UsagePlanKey")]
    (key,) = [name for name, one in deployment.api["Resources"].items() if one["Type"] == "AWS::ApiGateway::ApiKey"]
    assert of_plan["KeyId"] == {"Ref": key}
    (stage,) = plan["ApiStages"]
    assert "Api" in text(stage["ApiId"])


def test_every_error_of_the_gateway_says_that_it_is_asked_by_https_only(
    deployment: Deployment, with_key: Template
) -> None:
    for template in (deployment.api, with_key):
        responses = {
            one["Properties"]["ResponseType"]: one["Properties"]["ResponseParameters"]
            for one in resources(template, "AWS::ApiGateway::GatewayResponse")
        }
        strict = {"gatewayresponse.header.Strict-Transport-Security": "'max-age=31536000'"}
        assert responses == {"DEFAULT_4XX": strict, "DEFAULT_5XX": strict}


def test_with_a_key_data_needs_it_and_the_page_does_not(with_key: Template) -> None:
    needs_key = {name: method.get("ApiKeyRequired", False) for name, method in _methods(with_key).items()}
    assert needs_key == {
        "GET /": False,
        "GET /assets/{proxy+}": False,
        "GET /v1/{proxy+}": True,
        "HEAD /v1/{proxy+}": True,
        "OPTIONS /v1/{proxy+}": False,
    }
    assert set(with_key["Outputs"]) == {"ApiUrl", "ApiKeyId"}


def test_with_a_key_nobody_from_elsewhere_reaches_even_the_page(with_key: Template) -> None:
    (statement,) = properties(with_key, "AWS::ApiGateway::RestApi")["Policy"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "execute-api:Invoke",
        "Resource": "execute-api:/*",
        "Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "127.0.0.1/32"]}},
    }


def test_addresses_beside_signatures_only_take_away(tmp_path: Path) -> None:
    template = _api(tmp_path, {"api_allowed_cidrs": "203.0.113.0/24"})
    (statement,) = properties(template, "AWS::ApiGateway::RestApi")["Policy"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24"]}}


def test_an_api_that_would_be_open_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs api_allowed_cidrs"):
        build_app("dev", tmp_path, {"api_access": "api_key"})
    with pytest.raises(SettingsError, match="never open to everybody"):
        build_app("dev", tmp_path, {"api_access": "api_key", "api_allowed_cidrs": "0.0.0.0/0"})


def test_rate_and_quota_are_those_of_the_settings(with_key: Template) -> None:
    (stage,) = properties(with_key, "AWS::ApiGateway::Stage")["MethodSettings"]
    plan = properties(with_key, "AWS::ApiGateway::UsagePlan")
    assert (stage["ThrottlingRateLimit"], stage["ThrottlingBurstLimit"]) == (7, 21)
    assert plan["Throttle"] == {"RateLimit": 7, "BurstLimit": 21}
    assert plan["Quota"] == {"Limit": 5000, "Period": "DAY"}


def test_requests_are_logged_without_what_could_name_a_person(deployment: Deployment) -> None:
    stage = properties(deployment.api, "AWS::ApiGateway::Stage")
    fields = json.loads(stage["AccessLogSetting"]["Format"])
    assert {"requestId", "resource", "status", "error", "responseLatency"} <= fields.keys()
    assert not any("identity" in value or value == "$context.path" for value in fields.values())
    (settings,) = stage["MethodSettings"]
    assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("ERROR", False)
    assert stage["TracingEnabled"] is True


def test_old_tls_is_refused(deployment: Deployment) -> None:
    api = properties(deployment.api, "AWS::ApiGateway::RestApi")
    assert api["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2")
    assert api["EndpointAccessMode"] == "STRICT"
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_the_function_is_small_bounded_and_traced(deployment: Deployment, with_key: Template) -> None:
    function = properties(deployment.api, "AWS::Lambda::Function")
    assert (function["Timeout"], function["MemorySize"], function["Architectures"]) == (10, 512, ["arm64"])
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert "ReservedConcurrentExecutions" not in function
    assert set(function["Environment"]["Variables"]) == {"KPIS_TABLE", "CORS_ALLOWED_ORIGINS"}
    opened = properties(with_key, "AWS::Lambda::Function")["Environment"]["Variables"]
    assert opened["CORS_ALLOWED_ORIGINS"] == "https://charts.example.com"


def test_every_log_group_expires(deployment: Deployment) -> None:
    groups = [group["Properties"] for group in resources(deployment.api, "AWS::Logs::LogGroup")]
    (api,) = (key for key, one in deployment.api["Resources"].items() if one["Type"] == "AWS::ApiGateway::RestApi")
    assert {text(group["LogGroupName"]) for group in groups} == {
        f"/aws/lambda/music-kpi-{deployment.environment}-kpi-api",
        f"/aws/apigateway/music-kpi-{deployment.environment}-kpi-api",
        f"API-Gateway-Execution-Logs_<{api}>/live",
    }
    assert {group["RetentionInDays"] for group in groups} == {deployment.settings.log_retention_days}


def test_the_function_reads_the_kpis_and_nothing_else(deployment: Deployment) -> None:
    role = f"What the function music-kpi-{deployment.environment}-kpi-api may do"
    actions = allowed(deployment.api, role)
    of_tables = {resource: value for resource, value in actions.items() if "dynamodb" in "".join(value)}
    table, index = sorted(of_tables)
    assert "KpisTable" in table
    assert index == f"{table}/index/by_date"
    assert of_tables == {
        table: {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"},
        index: {"dynamodb:Query"},
    }
    others = set().union(*(value for resource, value in actions.items() if resource not in of_tables))
    assert others == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
    }
    assert {resource for resource in actions if resource.startswith("*")} == {"*"}


def test_what_the_function_calls_is_what_it_may_call(dev: Deployment) -> None:
    source = (Path(__file__).parents[2] / "lambdas/kpi_api/store.py").read_text(encoding="utf-8")
    calls = {"get_item": "GetItem", "batch_get_item": "BatchGetItem", "query": "Query"}
    used = {f"dynamodb:{action}" for method, action in calls.items() if f"_client.{method}(" in source}
    role = "What the function music-kpi-dev-kpi-api may do"
    granted = {action for value in allowed(dev.api, role).values() for action in value}
    assert used == {action for action in granted if action.startswith("dynamodb:")}


def test_only_the_api_may_invoke_the_function(with_key: Template) -> None:
    permissions = [permission["Properties"] for permission in resources(with_key, "AWS::Lambda::Permission")]
    assert len(permissions) == len(_methods(with_key))
    for permission in permissions:
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert ":execute-api:" in text(permission["SourceArn"])
        assert "/test-invoke-stage/" not in text(permission["SourceArn"])


def test_nobody_in_another_account_can_use_the_function_s_role(deployment: Deployment) -> None:
    role = roles_by_trust(deployment.api)["lambda.amazonaws.com"]
    assert role["Condition"] == {"StringEqualsIfExists": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def roles_by_trust(template: Template) -> dict[str, Mapping[str, Any]]:
    """Service -> the statement that lets it assume a role."""
    found = {}
    for role in resources(template, "AWS::IAM::Role"):
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        found[statement["Principal"]["Service"]] = statement
    return found


def test_the_code_is_the_handler_with_its_page_and_the_shared_names(dev: Deployment) -> None:
    key = properties(dev.api, "AWS::Lambda::Function")["Code"]["S3Key"]
    (asset,) = dev.outdir.glob(f"asset.{key}")
    with zipfile.ZipFile(asset) as archive:
        files = set(archive.namelist())
    assert {"lambdas/kpi_api/handler.py", "lambdas/kpi_api/page/index.html", "glue_scripts/names.py"} <= files
    assert not any(file.startswith(("stacks/", "local_aws/", "tests/")) for file in files)


def test_a_change_of_the_addresses_is_deployed(with_key: Template, tmp_path: Path) -> None:
    """API Gateway serves what was deployed last; the CDK makes a new deployment when the hash of the API changes."""
    other = _api(tmp_path, {**OPENED, "api_allowed_cidrs": "203.0.113.0/24"})

    def deployments(template: Template) -> set[str]:
        return set(Assertions.from_json(dict(template)).find_resources("AWS::ApiGateway::Deployment"))

    assert deployments(with_key) != deployments(other)
