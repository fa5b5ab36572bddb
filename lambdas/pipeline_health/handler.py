"""The entry that Lambda calls, by a schedule: what has begun and is not in the KPIs, and what has not begun."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3

from glue_scripts import names
from glue_scripts.forgotten_files import FORGOTTEN_AFTER, forgotten_files
from glue_scripts.ledger import FileStatus, Ledger
from glue_scripts.metrics import Metrics, metrics_client

_UNPUBLISHED = (FileStatus.RECEIVED, FileStatus.ACCEPTED)
"""LOADED is in the KPIs, and only not archived yet."""


def handler(event: Mapping[str, Any], context: object) -> dict[str, float]:
    """Measures once.

    Args:
        event: of the schedule, unused.
        context: Lambda's, unused.

    Returns:
        The values that were put, by the name of their metric.

    Raises:
        MetricsNotPutError: CloudWatch did not take them; the alarm on missing data tells it.
    """
    ledger = Ledger(boto3.resource("dynamodb").Table(os.environ["LEDGER_TABLE"]))
    metrics = Metrics(metrics_client(), os.environ["ENVIRONMENT"])
    now = datetime.now(UTC)
    found = forgotten_files(
        boto3.client("s3"), os.environ["DATA_BUCKET"], ledger, uploaded_before=now - FORGOTTEN_AFTER
    )
    values = {**measured(ledger, now), names.FORGOTTEN_FILES: len(found.files)}
    for metric, value in values.items():
        metrics.measure(metric, value)
    metrics.put()
    return {metric.name: value for metric, value in values.items()}


def measured(ledger: Ledger, now: datetime) -> dict[names.Metric, float]:
    """What has begun and is not in the KPIs.

    Files by an index that lags by less than a second; days by a hint, which a job that dies right after it has
    published leaves as it was, until `status` is called or the day is published again: good enough to tell what lasts
    for hours.

    Args:
        ledger: the ledger.
        now: aware.
    """
    files = [item for status in _UNPUBLISHED for item in ledger.files_with_status(status)]
    ages = [(now - datetime.fromisoformat(str(file["uploaded_at"]))).total_seconds() for file in files]
    return {
        names.OLDEST_UNPUBLISHED: max(ages, default=0.0),
        names.UNPUBLISHED_FILES: len(files),
        names.UNPUBLISHED_DAYS: sum(day.published < day.claim for day in ledger.days()),
    }
