"""Puts the metrics that `names.METRICS` declares into CloudWatch.

boto3 and the standard library only: the jobs use it, and so does the function `pipeline_health`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from glue_scripts.names import DPU_SECONDS, METRIC_NAMESPACE, Metric

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.client import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

MAX_DATA = 1000
"""Data in one PutMetricData: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html."""
MAX_VALUES = 150
"""Different values in one of them: same page."""
MAX_VALUES_IN_ALL = 5000
"""Different values in one request: with their names they have up to 100 bytes, and a request at most 1 MB."""

logger = logging.getLogger(__name__)


class MetricsNotPutError(RuntimeError):
    """CloudWatch did not take metrics, in spite of retries: dashboard and alarms lack them."""


class Metrics:
    """Collects what is measured, and puts it into CloudWatch.

    Each measured value is put as it is, not as a statistic set: CloudWatch can then tell percentiles.

    Args:
        cloudwatch: the client.
        environment: dev, staging or prod: a dimension of every metric.
    """

    def __init__(self, cloudwatch: CloudWatchClient, environment: str) -> None:
        self._cloudwatch = cloudwatch
        self._environment = environment
        self._measured: dict[tuple[Metric, str | None], Counter[float]] = {}

    def measure(self, metric: Metric, value: float, of: str | None = None) -> None:
        """Keeps a value until `put`.

        Args:
            metric: what is measured.
            value: in the metric's unit.
            of: the value of the metric's own dimension, if it has one.
        """
        self._measured.setdefault((metric, of), Counter())[value] += 1

    def put(self) -> None:
        """Puts what was measured since the last call.

        Raises:
            MetricsNotPutError: CloudWatch refused, or was not reached; what was measured is lost.
        """
        data = [datum for (metric, of), values in self._measured.items() for datum in self._data(metric, of, values)]
        self._measured = {}
        for request in _requests(data):
            try:
                self._cloudwatch.put_metric_data(Namespace=METRIC_NAMESPACE, MetricData=request)
            except (BotoCoreError, ClientError) as error:
                raise MetricsNotPutError(f"CloudWatch did not take {len(data)} metrics: {error}") from error

    def put_or_warn(self) -> None:
        """As `put`, for work that is done and must not fail by its metrics: the error is a warning in the log."""
        try:
            self.put()
        except MetricsNotPutError as error:
            # Its words and no traceback, which would tell the error, too, that a job ends with, and the values in it.
            logger.warning("Dashboard and alarms lack what was measured. %s: %s", type(error).__name__, error)

    def _data(self, metric: Metric, of: str | None, values: Counter[float]) -> Iterator[MetricDatumTypeDef]:
        dimensions = metric.dimensions(self._environment, of)
        counted = list(values.items())
        for start in range(0, len(counted), MAX_VALUES):
            part = counted[start : start + MAX_VALUES]
            yield {
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                "Unit": metric.unit,  # type: ignore[typeddict-item]  # a text here, a literal there
                "Values": [value for value, _ in part],
                "Counts": [float(count) for _, count in part],
            }


def metrics_client() -> CloudWatchClient:
    """A client that gives up after half a minute at most: a job is paid for while it waits."""
    return boto3.client(
        "cloudwatch",
        config=Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}),
    )


@contextmanager
def metered(metrics: Metrics, *, job: str, dpus: float) -> Iterator[None]:
    """Measures what a job run costs, and puts all that was measured when it ends, well or not.

    Args:
        metrics: gets the DPU seconds.
        job: names.VALIDATE_BATCH or names.COMPUTE_KPIS.
        dpus: data processing units of the run: workers times those of a worker.
    """
    started = time.monotonic()
    try:
        yield
    finally:
        metrics.measure(DPU_SECONDS, dpus * (time.monotonic() - started), of=job)
        metrics.put_or_warn()


def _requests(data: Iterable[MetricDatumTypeDef]) -> Iterator[list[MetricDatumTypeDef]]:
    """Parts that PutMetricData takes."""
    request: list[MetricDatumTypeDef] = []
    values = 0
    for datum in data:
        size = len(datum["Values"])
        if request and (len(request) == MAX_DATA or values + size > MAX_VALUES_IN_ALL):
            yield request
            request, values = [], 0
        request.append(datum)
        values += size
    if request:
        yield request
