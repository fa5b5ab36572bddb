"""Graphs about the data: how good it is and how soon it is in the KPIs."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch

from glue_scripts import names
from stacks.constructs.graphs import Graph, row
from stacks.constructs.metrics import own_metric, own_metric_by_dimension
from stacks.settings import Settings


def quality(*, settings: Settings) -> list[cloudwatch.GraphWidget]:
    """Rows and rules."""
    rows = (names.ROWS_IN, names.ROWS_VALID, names.ROWS_QUARANTINED, names.ROWS_REJECTED)
    mean, total = cloudwatch.Stats.AVERAGE, cloudwatch.Stats.SUM
    valid = own_metric_by_dimension(names.RULE_VALID_PERCENT, settings=settings, statistic=mean)
    rejected = own_metric_by_dimension(names.FILES_REJECTED_BY_RULE, settings=settings, statistic=total)
    return row(
        Graph("Rows", "rows", [own_metric(one, settings=settings, label=one.name) for one in rows]),
        Graph("Rows that keep each rule, mean of the files", "per cent", [valid]),
        Graph("Files rejected, by rule", "files", [rejected]),
    )


def freshness(*, settings: Settings) -> list[cloudwatch.GraphWidget]:
    """Files that have arrived in the KPIs, and files that have not."""
    highest = cloudwatch.Stats.MAXIMUM
    arrived = [
        own_metric(names.FRESHNESS, settings=settings, statistic=statistic, label=label)
        for label, statistic in {"half of the files": "p50", "95 % of the files": "p95", "all files": highest}.items()
    ]
    oldest = own_metric(names.OLDEST_UNPUBLISHED, settings=settings, statistic=highest, label="oldest file")
    shown = {
        "files": names.UNPUBLISHED_FILES,
        "days": names.UNPUBLISHED_DAYS,
        "forgotten files": names.FORGOTTEN_FILES,
    }
    waiting = [own_metric(metric, settings=settings, statistic=highest, label=label) for label, metric in shown.items()]
    return row(
        Graph("From upload to KPIs", "seconds", arrived, limit=(settings.freshness_limit_seconds, "95 % of the files")),
        Graph("Oldest file that is not in the KPIs", "seconds", [oldest]),
        Graph("Not in the KPIs, and forgotten", "files, days", waiting),
    )
