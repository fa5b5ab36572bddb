"""The KPIs of a day, as one version has them: no row of another one is among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from glue_scripts.kpi_items import Item
from glue_scripts.ledger import queried
from glue_scripts.names import (
    DATE_INDEX_PARTITION_KEY,
    KPIS_PARTITION_KEY,
    KPIS_SORT_KEY,
    SUMMARY,
    day_key,
    genre_sort_key,
    is_marker,
    summary_key,
)
from operations.deployment import Deployment
from operations.errors import OperationError, UnknownThingError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

MAX_READS: Final = 10


class DayKeepsChangingError(OperationError):
    """A day was published so often that its rows were gone each time, before they were read."""


@dataclass(frozen=True)
class DayRows:
    """What is visible of a day, in the form of `entries`.

    Attributes:
        date: yyyy-mm-dd.
        claim: the latest version that a computation was begun for, before the rows were read.
        version: of the rows; 0 where none is visible yet.
        summary: the entry SUMMARY; None where the day has no plays.
        genres: the daily entries, most plays first.
        hours: the hourly entries, by hour, then most plays first.
    """

    date: str
    claim: int
    version: int
    summary: Item | None
    genres: list[Item]
    hours: list[Item]


def read_day(deployment: Deployment, date: str, *, genre: str | None, hours: bool) -> DayRows:
    """Reads a day for the operator.

    Args:
        deployment: where.
        date: yyyy-mm-dd.
        genre: only this one; None for all.
        hours: whether hourly entries are wanted, too.

    Raises:
        UnknownThingError: the day was never computed, or has no such genre.
        DayKeepsChangingError: the day was published again and again.
    """
    day = deployment.ledger.day(date)
    if day is None:
        raise UnknownThingError(f"No file has ever had plays of {date}: `status` tells what is under way.")
    summary, genres = read_rows(deployment.kpis_table, date)
    wanted = [row for row in genres if genre in (None, row["genre"])]
    if genre is not None and summary and not wanted:
        raise UnknownThingError(f"{date} has no plays of the genre {genre!r}: `kpis --day {date}` lists its genres.")
    found = [] if is_marker(summary) else list(entries(summary, wanted))
    hourly = _of(found, "HOUR#") if hours else []
    return DayRows(
        date=date,
        claim=day.claim,
        version=int(summary.get("version", 0)),
        summary=found[0] if found else None,
        genres=sorted(_of(found, "GENRE#"), key=lambda row: (-row["listens"], row["genre"])),
        hours=sorted(hourly, key=lambda row: (row["hour"], -row["listens"], row["genre"])),
    )


def read_summary(table: Table, date: str) -> Item:
    """A day's SUMMARY, consistently read; empty where no version is visible yet."""
    return table.get_item(Key=summary_key(date), ConsistentRead=True).get("Item", {})


def read_rows(table: Table, date: str) -> tuple[Item, list[Item]]:
    """A day's SUMMARY, and the rows of its version.

    A version's rows are complete when SUMMARY names it, and never change. Two publications later they are deleted. If
    there are fewer of them than SUMMARY counts, the read starts over.

    Args:
        table: the table `kpis`.
        date: yyyy-mm-dd.

    Returns:
        SUMMARY, empty where no version is visible yet, and the rows of the genres.

    Raises:
        DayKeepsChangingError: the day was published again and again.
    """
    for _ in range(MAX_READS):
        summary = read_summary(table, date)
        if is_marker(summary):
            return summary, []
        prefix = genre_sort_key(int(summary["version"]), "")
        query = {
            "KeyConditionExpression": f"{KPIS_PARTITION_KEY} = :day AND begins_with({KPIS_SORT_KEY}, :prefix)",
            "ExpressionAttributeValues": {":day": day_key(date), ":prefix": prefix},
            "ConsistentRead": True,
        }
        genres = [dict(row) for row in queried(table, query)]
        if len(genres) == summary["genre_rows"]:
            return summary, genres
    raise DayKeepsChangingError(
        f"{date} keeps being published: in {MAX_READS} tries its rows were replaced before they were read. Repeat the "
        "command."
    )


def entries(summary: Mapping[str, Any], genres: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    """A day in the flat form of `kpis.json`: SUMMARY, then an entry for each genre, and for each of its hours.

    Args:
        summary: SUMMARY, or the summary of `DayKpis`, which has no version yet: its entries lack what tells it.
        genres: the rows of the genres.

    Yields:
        Items with `pk` and `sk`, which is `SUMMARY`, `GENRE#<genre>` or `HOUR#<hour>#GENRE#<genre>`; `claim` is the
        version.
    """
    of_day: Item = {KPIS_PARTITION_KEY: day_key(summary["date"])}
    if "version" in summary:
        of_day |= {"claim": summary["version"], "computed_at": summary["computed_at"]}
    known = {name: value for name, value in summary.items() if name != DATE_INDEX_PARTITION_KEY}
    yield {**known, **of_day, KPIS_SORT_KEY: SUMMARY, "genre_pk": SUMMARY}
    for genre in genres:
        key = f"GENRE#{genre['genre']}"
        of_genre = {**of_day, "date": genre["date"], "genre": genre["genre"]}
        measures = {name: value for name, value in genre.items() if name != "hours"}
        yield {**measures, **of_genre, KPIS_SORT_KEY: key, "genre_pk": key}
        for hour, figures in genre["hours"].items():
            yield {**figures, **of_genre, KPIS_SORT_KEY: f"HOUR#{hour}#{key}", "hour": hour}


def _of(rows: Iterable[Item], prefix: str) -> list[Item]:
    return [row for row in rows if row[KPIS_SORT_KEY].startswith(prefix)]
