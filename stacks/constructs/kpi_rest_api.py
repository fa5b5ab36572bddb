"""The REST API in front of the KPI function: who may call what, how often, and what is written about it."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.constructs.log_groups import log_group
from stacks.constructs.permissions import acknowledge
from stacks.constructs.python_function import PythonFunction
from stacks.settings import Settings

STAGE: Final = "live"

_COMPRESSED_FROM: Final = cdk.Size.kibibytes(1)

_FIELDS: Final = apigateway.AccessLogField
# No address, no browser, no user and no path: the resource says what was asked for, but not which day or genre.
_ACCESS_LOG: Final = {
    "requestId": _FIELDS.context_request_id(),
    "requestTime": _FIELDS.context_request_time(),
    "method": _FIELDS.context_http_method(),
    "resource": _FIELDS.context_resource_path(),
    "status": _FIELDS.context_status(),
    "error": _FIELDS.context_error_response_type(),
    "responseLength": _FIELDS.context_response_length(),
    "responseLatency": _FIELDS.context_response_latency(),
    "integrationLatency": _FIELDS.context_integration_latency(),
    "integrationStatus": _FIELDS.context_integration_status(),
    "xrayTraceId": _FIELDS.context_xray_trace_id(),
}

_LOGS_POLICY_FINDING: Final = (
    "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]"
)


class KpiRestApi(Construct):
    """A regional REST API whose every request goes to one function.

    With `api_key` everything is for the allowed addresses only: `/v1/…` wants the key, the page and its assets do not.
    With `iam`, `/v1/…` wants a signature, and there is nothing else: a browser cannot sign.

    Args:
        scope: Parent construct.
        construct_id: Construct id.
        answers: The function behind the API.
        settings: Settings of the environment.
    """

    def __init__(self, scope: Construct, construct_id: str, *, answers: PythonFunction, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._has_key = settings.api_access == "api_key"
        self.api = self._rest_api()
        self._add_methods(apigateway.LambdaIntegration(answers.function, allow_test_invoke=False))
        self.key = self._key() if self._has_key else None
        self._acknowledge()

    def _rest_api(self) -> apigateway.RestApi:
        name = self._settings.name("kpi-api")
        access_logs = log_group(self, "AccessLogs", name=f"/aws/apigateway/{name}", settings=self._settings)
        api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=name,
            description="KPIs of music streaming, by day, genre and hour",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            policy=_resource_policy(self._settings),
            min_compression_size=_COMPRESSED_FROM,
            # The account's setting that API Gateway may write logs; without it a stage with logs is refused.
            cloud_watch_role=True,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                throttling_rate_limit=self._settings.api_requests_per_second,
                throttling_burst_limit=self._settings.api_burst_requests,
                access_log_destination=apigateway.LogGroupLogDestination(access_logs),
                access_log_format=apigateway.AccessLogFormat.custom(cdk.Stack.of(self).to_json_string(_ACCESS_LOG)),
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                tracing_enabled=True,
            ),
        )
        # Without a policy API Gateway accepts TLS 1.0 at the address of a regional REST API:
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-security-policies-list.html
        resource = api.node.default_child
        assert isinstance(resource, apigateway.CfnRestApi)
        resource.security_policy = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"
        resource.endpoint_access_mode = "STRICT"
        api.node.try_remove_child("Endpoint")  # an output; the stack has one of its own
        # API Gateway makes the group of its execution log itself where there is none: without an expiry, and it stays
        # when the stack is deleted.
        name = f"API-Gateway-Execution-Logs_{api.rest_api_id}/{STAGE}"
        api.deployment_stage.node.add_dependency(log_group(self, "ExecutionLogs", name=name, settings=self._settings))
        return api

    def _add_methods(self, integration: apigateway.LambdaIntegration) -> None:
        v1 = self.api.root.add_resource("v1").add_resource("{proxy+}")
        authorization = apigateway.AuthorizationType.NONE if self._has_key else apigateway.AuthorizationType.IAM
        for method in ("GET", "HEAD"):
            v1.add_method(method, integration, authorization_type=authorization, api_key_required=self._has_key)
        if self._settings.api_cors_allowed_origins:
            # A browser asks with neither key nor signature whether a page of another site may ask.
            v1.add_method("OPTIONS", integration)
        if self._has_key:
            self.api.root.add_method("GET", integration)
            self.api.root.add_resource("assets").add_resource("{proxy+}").add_method("GET", integration)

    def _key(self) -> apigateway.IApiKey:
        name = self._settings.name("kpi-api")
        key = apigateway.ApiKey(self, "Key", description=f"Who may ask {name}")
        plan = self.api.add_usage_plan(
            "UsagePlan",
            name=name,
            throttle=apigateway.ThrottleSettings(
                rate_limit=self._settings.api_requests_per_second, burst_limit=self._settings.api_burst_requests
            ),
            quota=apigateway.QuotaSettings(limit=self._settings.api_requests_per_day, period=apigateway.Period.DAY),
            api_stages=[apigateway.UsagePlanPerApiStage(api=self.api, stage=self.api.deployment_stage)],
        )
        plan.add_api_key(key)
        return key

    def _acknowledge(self) -> None:
        for finding, reason in {
            "AwsSolutions-APIG2": "The function checks every parameter and says what is wrong with it; a validator of "
            "API Gateway could only say that one is missing.",
            "AwsSolutions-APIG3": "The allow-list of addresses or IAM, and throttling, keep strangers away; a web ACL "
            "costs more than the API.",
            "AwsSolutions-APIG4": "With api_key the methods are behind an allow-list of addresses and a key; the page "
            "holds no data.",
            "AwsSolutions-COG4": "There is no user pool: callers are programs and analysts of one company.",
            _LOGS_POLICY_FINDING: "The managed policy that API Gateway's documentation asks for, to write logs.",
        }.items():
            acknowledge(self, finding, reason)


def _resource_policy(settings: Settings) -> iam.PolicyDocument | None:
    """Who is let in by address. Methods without a signature need the Allow; a signature is checked beside a Deny.

    An Allow for everybody would let signatures of any AWS account in, so `iam` has none.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
    """
    if not settings.api_allowed_cidrs:
        return None
    allows = settings.api_access == "api_key"
    statement = iam.PolicyStatement(
        effect=iam.Effect.ALLOW if allows else iam.Effect.DENY,
        principals=[iam.StarPrincipal()],
        actions=["execute-api:Invoke"],
        resources=["execute-api:/*"],
        conditions={"IpAddress" if allows else "NotIpAddress": {"aws:SourceIp": list(settings.api_allowed_cidrs)}},
    )
    return iam.PolicyDocument(statements=[statement])
