"""REST APIs of API Gateway, with their keys and usage plans.

moto keeps the APIs, keys and plans, so that API Gateway's own API shows them. Resources, methods, deployments and
stages exist in the deployment only, from which `local_aws.api_gateway` serves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from local_aws.resources.base import Created, Creator, Properties, Target, lower_first


def create_rest_api(target: Target, properties: Properties) -> Created:
    """Create a REST API."""
    api_gateway = target.client("apigateway")
    api_id = api_gateway.create_rest_api(
        name=properties.required("Name"),
        tags={tag["Key"]: tag["Value"] for tag in properties.tags()},
        **lower_first(properties.present("Description", "BinaryMediaTypes", "EndpointConfiguration")),
    )["id"]
    if properties.optional("ApiKeySourceType", "HEADER") != "HEADER":
        raise properties.unsupported("ApiKeySourceType", reason="keys are read from the header x-api-key")
    properties.ignore("Policy", reason="local_aws.api_gateway reads and enforces it")
    properties.ignore("SecurityPolicy", "EndpointAccessMode", reason="there is no TLS on 127.0.0.1")
    properties.ignore("MinimumCompressionSize", reason="nothing is compressed on 127.0.0.1")
    (root,) = api_gateway.get_resources(restApiId=api_id)["items"]
    return Created(ref=api_id, attributes={"RestApiId": api_id, "RootResourceId": root["id"]})


def create_resource(target: Target, properties: Properties) -> Created:
    """Create a part of a path."""
    for name in ("RestApiId", "ParentId", "PathPart"):
        properties.required(name)
    resource_id = properties.generated_name(max_length=64)
    return Created(ref=resource_id, attributes={"ResourceId": resource_id})


def create_method(target: Target, properties: Properties) -> Created:
    """Create a method of a resource."""
    for name in ("RestApiId", "ResourceId", "HttpMethod", "Integration"):
        properties.required(name)
    properties.present("ApiKeyRequired", "AuthorizationType")
    properties.ignore("OperationName", reason="it is for generated clients")
    return Created(ref=properties.generated_name(max_length=64))


def create_deployment(target: Target, properties: Properties) -> Created:
    """Create a deployment: every method is served at once."""
    properties.required("RestApiId")
    properties.ignore("Description", reason="nothing shows it")
    deployment_id = properties.generated_name(max_length=64)
    return Created(ref=deployment_id, attributes={"DeploymentId": deployment_id})


def create_stage(target: Target, properties: Properties) -> Created:
    """Create a stage: the first part of the paths."""
    properties.required("RestApiId")
    properties.required("DeploymentId")
    properties.ignore("AccessLogSetting", reason="every request is in logs/requests.log")
    properties.ignore("MethodSettings", reason="nothing is throttled, cached or logged per method")
    properties.ignore("TracingEnabled", reason="no traces are kept on the laptop")
    properties.ignore("Description", "Tags", reason="nothing shows them")
    return Created(ref=properties.required("StageName"))


def create_gateway_response(target: Target, properties: Properties) -> Created:
    """Create what the gateway adds to its own errors."""
    for name in ("RestApiId", "ResponseType"):
        properties.required(name)
    properties.present("ResponseParameters", "ResponseTemplates", "StatusCode")
    return Created(ref=properties.generated_name(max_length=64))


def create_api_key(target: Target, properties: Properties) -> Created:
    """Create an API key; its value is generated if the template gives none."""
    key_id = target.client("apigateway").create_api_key(
        tags={tag["Key"]: tag["Value"] for tag in properties.tags()},
        name=properties.optional("Name") or properties.generated_name(max_length=255),
        **lower_first(properties.present("Description", "Enabled", "Value", "CustomerId")),
    )["id"]
    properties.ignore("GenerateDistinctId", reason="every id is distinct")
    return Created(ref=key_id, attributes={"APIKeyId": key_id})


def create_usage_plan(target: Target, properties: Properties) -> Created:
    """Create a usage plan, whose throttling and quota are shown and not enforced."""
    plan_id = target.client("apigateway").create_usage_plan(
        name=properties.optional("UsagePlanName") or properties.generated_name(max_length=255),
        apiStages=[
            {"apiId": stage["ApiId"], "stage": stage["Stage"]} for stage in properties.optional("ApiStages", [])
        ],
        tags={tag["Key"]: tag["Value"] for tag in properties.tags()},
        **lower_first(properties.present("Description", "Quota", "Throttle")),
    )["id"]
    return Created(ref=plan_id, attributes={"Id": plan_id})


def create_usage_plan_key(target: Target, properties: Properties) -> Created:
    """Put a key into a usage plan."""
    key_id = properties.required("KeyId")
    plan_id = properties.required("UsagePlanId")
    target.client("apigateway").create_usage_plan_key(
        usagePlanId=plan_id, keyId=key_id, keyType=properties.required("KeyType")
    )
    return Created(ref=f"{key_id}:{plan_id}", attributes={"Id": f"{key_id}:{plan_id}"})


def create_account(target: Target, properties: Properties) -> Created:
    """Create the account's setting that API Gateway may write logs."""
    properties.ignore("CloudWatchRoleArn", reason="API Gateway writes no logs here")
    name = properties.generated_name(max_length=64)
    return Created(ref=name, attributes={"Id": name})


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::ApiGateway::Account": create_account,
    "AWS::ApiGateway::ApiKey": create_api_key,
    "AWS::ApiGateway::Deployment": create_deployment,
    "AWS::ApiGateway::GatewayResponse": create_gateway_response,
    "AWS::ApiGateway::Method": create_method,
    "AWS::ApiGateway::Resource": create_resource,
    "AWS::ApiGateway::RestApi": create_rest_api,
    "AWS::ApiGateway::Stage": create_stage,
    "AWS::ApiGateway::UsagePlan": create_usage_plan,
    "AWS::ApiGateway::UsagePlanKey": create_usage_plan_key,
}
