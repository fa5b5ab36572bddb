"""Log groups, alarms and dashboards, and SSM parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from local_aws.resources.base import Created, Creator, Properties, Target, json_text

_ALARM_PROPERTIES: Final = (
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluateLowSampleCountPercentile",
    "EvaluationPeriods",
    "ExtendedStatistic",
    "InsufficientDataActions",
    "MetricName",
    "Metrics",
    "Namespace",
    "OKActions",
    "Period",
    "Statistic",
    "Tags",
    "Threshold",
    "ThresholdMetricId",
    "TreatMissingData",
    "Unit",
)


def create_log_group(target: Target, properties: Properties) -> Created:
    """Create a log group with its retention."""
    name = properties.optional("LogGroupName") or properties.generated_name(max_length=512)
    logs = target.client("logs")
    tags = {tag["Key"]: tag["Value"] for tag in properties.tags()}
    logs.create_log_group(logGroupName=name, **({"tags": tags} if tags else {}))
    if days := properties.optional("RetentionInDays"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    properties.ignore("KmsKeyId", "LogGroupClass", "DataProtectionPolicy", reason="they change no behaviour here")
    properties.ignore("DeletionProtectionEnabled", reason="nothing is deleted within a session")
    properties.ignore("FieldIndexPolicies", "ResourcePolicyDocument", reason="nothing queries or enforces them here")
    return Created(ref=name, attributes={"Arn": target.arn("logs", f"log-group:{name}:*")})


def create_log_resource_policy(target: Target, properties: Properties) -> Created:
    """Put a resource policy of CloudWatch Logs."""
    name = properties.required("PolicyName")
    target.client("logs").put_resource_policy(
        policyName=name, policyDocument=json_text(properties.required("PolicyDocument"))
    )
    return Created(ref=name)


def create_alarm(target: Target, properties: Properties) -> Created:
    """Create an alarm as the API shows it; nothing evaluates it."""
    name = properties.optional("AlarmName") or properties.generated_name(max_length=255)
    target.client("cloudwatch").put_metric_alarm(AlarmName=name, **properties.present(*_ALARM_PROPERTIES))
    return Created(ref=name, attributes={"Arn": target.arn("cloudwatch", f"alarm:{name}")})


def create_dashboard(target: Target, properties: Properties) -> Created:
    """Create a dashboard."""
    name = properties.optional("DashboardName") or properties.generated_name(max_length=255)
    target.client("cloudwatch").put_dashboard(
        DashboardName=name, DashboardBody=json_text(properties.required("DashboardBody"))
    )
    properties.ignore("Tags", reason="moto's dashboards have none")
    return Created(ref=name)


def create_parameter(target: Target, properties: Properties) -> Created:
    """Create a parameter of the parameter store."""
    name = properties.optional("Name") or properties.generated_name(max_length=255)
    kind, value = properties.required("Type"), properties.required("Value")
    target.client("ssm").put_parameter(
        Name=name, Type=kind, Value=value, **properties.present("Description", "AllowedPattern", "Tier", "DataType")
    )
    properties.ignore("Policies", reason="nothing expires within a session")
    properties.ignore("Tags", reason="the parameter store of a session has no owner")
    return Created(ref=name, attributes={"Type": kind, "Value": value})


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::CloudWatch::Alarm": create_alarm,
    "AWS::CloudWatch::Dashboard": create_dashboard,
    "AWS::Logs::LogGroup": create_log_group,
    "AWS::Logs::ResourcePolicy": create_log_resource_policy,
    "AWS::SSM::Parameter": create_parameter,
}
