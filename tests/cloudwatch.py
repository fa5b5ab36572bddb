"""What moto's CloudWatch has been given, and what alarms and dashboards ask of a CloudWatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from glue_scripts import names

UNITS = frozenset(metric.unit for metric in names.METRICS)


@dataclass(frozen=True)
class Series:
    """One metric with its dimensions.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        dimensions: Name and value of each.
        unit: Its unit; None where whoever reads it does not ask for one.
    """

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    unit: str | None = None


def put_series(cloudwatch: Any, environment: str) -> set[Series]:  # noqa: ANN401 - a boto3 client
    """Every series of our own namespace and an environment that has data, with the unit that its data has."""
    own = (names.ENVIRONMENT_DIMENSION, environment)
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=names.METRIC_NAMESPACE)
    return {
        Series(metric["Namespace"], metric["MetricName"], _pairs(metric["Dimensions"]), unit)
        for page in pages
        for metric in page["Metrics"]
        if own in _pairs(metric["Dimensions"])
        for unit in UNITS
        if statistics(cloudwatch, metric["MetricName"], metric["Dimensions"], unit)
    }


def statistics(
    cloudwatch: Any,  # noqa: ANN401 - a boto3 client
    name: str,
    dimensions: Sequence[Mapping[str, str]],
    unit: str,
) -> dict[str, float]:
    """Sum, Minimum, Maximum and SampleCount of two days; empty if there are no data of that unit."""
    now = datetime.now(UTC)
    points = cloudwatch.get_metric_statistics(
        Namespace=names.METRIC_NAMESPACE,
        MetricName=name,
        Dimensions=list(dimensions),
        StartTime=now - timedelta(days=1),
        EndTime=now + timedelta(days=1),
        Period=2 * 86_400,
        Statistics=["Sum", "Minimum", "Maximum", "SampleCount"],
        Unit=unit,
    )["Datapoints"]
    if not points:
        return {}
    return {
        "Sum": sum(point["Sum"] for point in points),
        "Minimum": min(point["Minimum"] for point in points),
        "Maximum": max(point["Maximum"] for point in points),
        "SampleCount": sum(point["SampleCount"] for point in points),
    }


def watched_by_alarm(alarm: Mapping[str, Any]) -> Iterator[Series]:
    """What an alarm asks for, as a template or the API shows the alarm."""
    if "MetricName" in alarm:
        yield Series(alarm["Namespace"], alarm["MetricName"], _pairs(alarm.get("Dimensions", [])), alarm.get("Unit"))
    for query in alarm.get("Metrics", []):
        if "MetricStat" in query:
            metric, unit = query["MetricStat"]["Metric"], query["MetricStat"].get("Unit")
            yield Series(metric["Namespace"], metric["MetricName"], _pairs(metric.get("Dimensions", [])), unit)


def watched_by_dashboard(body: Mapping[str, Any]) -> Iterator[Series]:
    """The metrics that a dashboard's graphs name one by one."""
    for widget in body["widgets"]:
        for line in widget["properties"].get("metrics", []):
            if isinstance(line[0], str):
                namespace, name, *rest = [part for part in line if isinstance(part, str)]
                yield Series(namespace, name, frozenset(zip(rest[::2], rest[1::2], strict=True)))


def _pairs(dimensions: Sequence[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    return frozenset((dimension["Name"], str(dimension["Value"])) for dimension in dimensions)
