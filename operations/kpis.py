"""The KPI rows of a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glue_scripts.ledger import Day, day_key
from glue_scripts.names import KPIS_PARTITION_KEY, KPIS_SORT_KEY, SUMMARY
from operations.deployment import Deployment
from operations.errors import UnknownThingError


@dataclass(frozen=True)
class DayRows:
    """A day's rows, consistently read.

    Attributes:
        day: what the ledger knew before the rows were read.
        summary: the row SUMMARY; None where the day has no plays.
        genres: the daily rows, most plays first.
        hours: the hourly rows, by hour, then most plays first.
    """

    day: Day
    summary: dict[str, Any] | None
    genres: list[dict[str, Any]]
    hours: list[dict[str, Any]]


def read_day(deployment: Deployment, date: str, *, genre: str | None, hours: bool) -> DayRows:
    """Reads a day.

    Args:
        deployment: where.
        date: yyyy-mm-dd.
        genre: only this one; None for all.
        hours: whether hourly rows are wanted, too.

    Raises:
        UnknownThingError: the day was never computed, or has no such genre.
    """
    day = deployment.ledger.day(date)
    if day is None:
        raise UnknownThingError(f"No file has ever had plays of {date}: `status` tells what is under way.")
    prefixes = ["GENRE#", *(["HOUR#"] if hours else [])]
    rows = [row for prefix in (SUMMARY, *prefixes) for row in _query(deployment, date, prefix)]
    wanted = [row for row in rows if genre is None or row.get("genre") == genre]
    if genre is not None and not wanted:
        raise UnknownThingError(f"{date} has no plays of the genre {genre!r}: `kpis --day {date}` lists its genres.")
    return DayRows(
        day=day,
        summary=next((row for row in rows if row[KPIS_SORT_KEY] == SUMMARY), None),
        genres=sorted(_of(wanted, "GENRE#"), key=lambda row: (-row["listens"], row["genre"])),
        hours=sorted(_of(wanted, "HOUR#"), key=lambda row: (row["hour"], -row["listens"], row["genre"])),
    )


def _of(rows: Sequence[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    return [row for row in rows if row[KPIS_SORT_KEY].startswith(prefix)]


def _query(deployment: Deployment, date: str, prefix: str) -> list[dict[str, Any]]:
    query: dict[str, Any] = {
        "KeyConditionExpression": f"{KPIS_PARTITION_KEY} = :day AND begins_with({KPIS_SORT_KEY}, :prefix)",
        "ExpressionAttributeValues": {":day": day_key(date), ":prefix": prefix},
        "ConsistentRead": True,
    }
    rows: list[dict[str, Any]] = []
    while True:
        page = deployment.kpis_table.query(**query)
        rows += page["Items"]
        if "LastEvaluatedKey" not in page:
            return rows
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
