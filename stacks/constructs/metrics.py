"""The metrics for which the CDK has no `metric_…()`: ours, and those of rules and pipes."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_pipes as pipes

from glue_scripts import names
from stacks.settings import Settings

# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
RULE_INVOCATIONS_FAILED: Final = "FailedInvocations"
RULE_EVENTS_LOST: Final = "InvocationsFailedToBeSentToDlq"
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-monitoring.html
PIPE_EXECUTIONS_FAILED: Final = "ExecutionFailed"
PIPE_EXECUTIONS_TIMED_OUT: Final = "ExecutionTimeout"
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
TABLE_THROTTLED: Final = "ThrottledRequests"
TABLE_ERRORS: Final = "SystemErrors"

MINUTES_5: Final = cdk.Duration.minutes(5)
HOUR: Final = cdk.Duration.hours(1)
DAY: Final = cdk.Duration.days(1)


def own_metric(
    metric: names.Metric,
    *,
    settings: Settings,
    statistic: str = cloudwatch.Stats.SUM,
    period: cdk.Duration = MINUTES_5,
    of: str | None = None,
    label: str | None = None,
) -> cloudwatch.Metric:
    """A metric of ours.

    Args:
        metric: one of `names.METRICS`.
        settings: Settings of the environment.
        statistic: How the values of a period become one.
        period: The period.
        of: The value of the metric's own dimension, if it has one.
        label: What a graph calls it.
    """
    return cloudwatch.Metric(
        namespace=names.METRIC_NAMESPACE,
        metric_name=metric.name,
        dimensions_map=metric.dimensions(settings.environment, of),
        statistic=statistic,
        period=period,
        unit=cloudwatch.Unit[metric.unit.upper()],
        label=label,
    )


def own_metric_by_dimension(metric: names.Metric, *, settings: Settings, statistic: str) -> cloudwatch.MathExpression:
    """Every series of a metric that has a dimension of its own, whatever values it has had: for graphs only."""
    schema = ",".join((names.METRIC_NAMESPACE, *metric.dimensions(settings.environment, "any")))
    environment = f'{names.ENVIRONMENT_DIMENSION}="{settings.environment}"'
    search = f'{{{schema}}} MetricName="{metric.name}" {environment}'
    return cloudwatch.MathExpression(expression=f"SEARCH('{search}', '{statistic}', 3600)", label="", period=HOUR)


def rule_metric(rule: events.Rule, name: str) -> cloudwatch.Metric:
    """A count of a rule on the default event bus; EventBridge tells it only if it is not zero."""
    return cloudwatch.Metric(
        namespace="AWS/Events",
        metric_name=name,
        dimensions_map={"RuleName": rule.rule_name},
        statistic=cloudwatch.Stats.SUM,
        period=MINUTES_5,
        label=f"{rule.node.id}: {name}",
    )


def pipe_metric(pipe: pipes.CfnPipe, name: str) -> cloudwatch.Metric:
    """A count of a pipe."""
    return cloudwatch.Metric(
        namespace="AWS/EventBridge/Pipes",
        metric_name=name,
        dimensions_map={"PipeName": pipe.ref},
        statistic=cloudwatch.Stats.SUM,
        period=MINUTES_5,
        label=name,
    )


def table_metric(table: dynamodb.ITable, name: str, operation: str) -> cloudwatch.Metric:
    """Make the count of one operation on a table.

    Not by the CDK's `metric_…_for_operations`: those are expressions, of which `FILL` would not see the metric itself.
    """
    return cloudwatch.Metric(
        namespace="AWS/DynamoDB",
        metric_name=name,
        dimensions_map={"TableName": table.table_name, "Operation": operation},
        statistic=cloudwatch.Stats.SUM,
        period=MINUTES_5,
        label=f"{operation}: {name}",
    )


def total(label: str, *metrics: cloudwatch.IMetric, period: cdk.Duration = MINUTES_5) -> cloudwatch.MathExpression:
    """The sum of metrics over a period, of which those without data count as zero."""
    using = {f"m{position}": metric for position, metric in enumerate(metrics)}
    filled = " + ".join(f"FILL({name}, 0)" for name in using)
    return cloudwatch.MathExpression(expression=filled, using_metrics=using, label=label, period=period)
