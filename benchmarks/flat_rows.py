"""What the KPI job computes and publishes, in the form in which rows of all contenders are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from boto3.dynamodb.conditions import Key

from glue_scripts import names
from glue_scripts.kpi_items import DayKpis, Item
from glue_scripts.ledger import queried
from operations.kpis import entries, read_rows

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


def flat(kpis: Mapping[str, DayKpis]) -> list[Item]:
    """The entries of days that were computed: SUMMARY, and those of genres and of their hours."""
    return [entry for day in kpis.values() for entry in entries(day.summary, day.genres)]


def published(table: Table) -> Iterator[Item]:
    """The entries of all days that table `kpis` shows."""
    days = {
        "IndexName": names.DATE_INDEX,
        "KeyConditionExpression": Key(names.DATE_INDEX_PARTITION_KEY).eq(names.SUMMARY),
    }
    for summary in queried(table, days):
        yield from entries(*read_rows(table, str(summary["date"])))
