"""Tables, plain and global."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from local_aws.resources.base import Created, Creator, Properties, Target

_THROUGHPUT: Final = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
"""For provisioned tables whose capacity is scaled by a policy in the cloud; moto never throttles."""


def create_table(target: Target, properties: Properties) -> Created:
    """Create a table from `AWS::DynamoDB::Table`."""
    description = _create(
        target,
        properties,
        tags=properties.tags(),
        provisioned=properties.optional("ProvisionedThroughput"),
        deletion_protection=properties.optional("DeletionProtectionEnabled", False),
    )
    name = description["TableName"]
    _set_recovery(target, name, properties.optional("PointInTimeRecoverySpecification"))
    properties.ignore("TableClass", "OnDemandThroughput", reason="a matter of price, not of behaviour")
    properties.ignore("ContributorInsightsSpecification", reason="an observation tool")
    properties.ignore("ResourcePolicy", reason="access is not enforced on the laptop")
    return Created(ref=name, attributes=_attributes(description))


def create_global_table(target: Target, properties: Properties) -> Created:
    """Create a table from `AWS::DynamoDB::GlobalTable` with its one replica.

    Raises:
        UnknownPropertyError: The template wants replicas in other regions.
    """
    replicas = properties.required("Replicas")
    if [replica["Region"] for replica in replicas] != [target.region]:
        raise properties.unsupported("Replicas", reason=f"there is only the region {target.region} on the laptop")
    replica = replicas[0]
    description = _create(
        target,
        properties,
        tags=replica.get("Tags", []),
        provisioned=_THROUGHPUT,
        deletion_protection=replica.get("DeletionProtectionEnabled", False),
    )
    name = description["TableName"]
    _set_recovery(target, name, replica.get("PointInTimeRecoverySpecification"))
    properties.ignore(
        "WriteProvisionedThroughputSettings",
        "WriteOnDemandThroughputSettings",
        "ReadProvisionedThroughputSettings",
        "ReadOnDemandThroughputSettings",
        "WarmThroughput",
        reason="a matter of price, not of behaviour",
    )
    return Created(ref=name, attributes=_attributes(description))


def _create(
    target: Target,
    properties: Properties,
    *,
    tags: list[dict[str, str]],
    provisioned: Mapping[str, int] | None,
    deletion_protection: bool,
) -> dict[str, Any]:
    name = properties.optional("TableName") or properties.generated_name(max_length=255)
    on_demand = properties.optional("BillingMode", "PROVISIONED") == "PAY_PER_REQUEST"
    request: dict[str, Any] = {
        "TableName": name,
        "AttributeDefinitions": properties.required("AttributeDefinitions"),
        "KeySchema": properties.required("KeySchema"),
        "BillingMode": "PAY_PER_REQUEST" if on_demand else "PROVISIONED",
        "DeletionProtectionEnabled": deletion_protection,
        "Tags": tags,
    }
    if not on_demand:
        request["ProvisionedThroughput"] = provisioned
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        if indexes := properties.optional(kind):
            request[kind] = [_index(index, kind, on_demand=on_demand) for index in indexes]
    if stream := properties.optional("StreamSpecification"):
        request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": stream["StreamViewType"]}
    if encryption := properties.optional("SSESpecification"):
        request["SSESpecification"] = {("Enabled" if k == "SSEEnabled" else k): v for k, v in encryption.items()}
    description: dict[str, Any] = target.client("dynamodb").create_table(**request)["TableDescription"]
    if time_to_live := properties.optional("TimeToLiveSpecification"):
        target.client("dynamodb").update_time_to_live(TableName=name, TimeToLiveSpecification=time_to_live)
    return description


def _index(index: Mapping[str, Any], kind: str, *, on_demand: bool) -> dict[str, Any]:
    request = {key: index[key] for key in ("IndexName", "KeySchema", "Projection")}
    if kind == "GlobalSecondaryIndexes" and not on_demand:
        request["ProvisionedThroughput"] = index.get("ProvisionedThroughput", _THROUGHPUT)
    return request


def _set_recovery(target: Target, name: str, specification: Mapping[str, Any] | None) -> None:
    if specification:
        target.client("dynamodb").update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification=specification
        )


def _attributes(description: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {"Arn": description["TableArn"]}
    if "LatestStreamArn" in description:
        attributes["StreamArn"] = description["LatestStreamArn"]
    return attributes


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::DynamoDB::Table": create_table,
    "AWS::DynamoDB::GlobalTable": create_global_table,
}
