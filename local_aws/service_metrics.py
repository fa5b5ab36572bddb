"""The metrics that services put about themselves, of which alarms are made; moto puts none."""

from __future__ import annotations

from collections.abc import Mapping

from moto.cloudwatch.models import cloudwatch_backends


def count(namespace: str, name: str, dimensions: Mapping[str, str], *, account: str, region: str) -> None:
    """Put one more of something into CloudWatch.

    Args:
        namespace: Such as `AWS/Events`.
        name: Name of the metric.
        dimensions: Its dimensions.
        account: Account id.
        region: Region.
    """
    data = {
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        "Value": 1.0,
        "Unit": "Count",
    }
    cloudwatch_backends[account][region].put_metric_data(namespace, [data])
