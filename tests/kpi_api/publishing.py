"""Days of made-up figures, published by the pipeline's own publisher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import boto3
from boto3.dynamodb.conditions import Key

from benchmarks.tables import LEDGER, create_table
from glue_scripts import names
from glue_scripts.kpi_items import DayKpis
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Claim, Ledger, Snapshot
from glue_scripts.names import day_key
from glue_scripts.publication import Publisher
from tests.day_kpis import days_of
from tests.kpi_api.rows import MADE_OF, Item

Listens = Mapping[str, int]
"""The plays of a day by genre, from which all its figures follow."""


class Publishing:
    """Publishes made-up days: version 1 of each, then 2, and so on.

    Args:
        table: the table `kpis`.
    """

    def __init__(self, table: Any) -> None:  # noqa: ANN401 - a boto3 table
        self.table = table
        self._ledger_table = create_table(boto3.resource("dynamodb"), LEDGER)
        self._listens: Listens = {}
        ledger = Ledger(self._ledger_table)
        ledger.make_current(
            Snapshot("songs", str(MADE_OF["songs_snapshot"]), "raw/songs/songs.csv", "a-version", "", 1)
        )
        made_with = {name: MADE_OF[name] for name in ("kpi_code", "kpi_settings")}
        self._publisher = Publisher(ledger, KpiTable(table), self._compute, made_with)

    def publish(self, date: str, listens: Listens) -> None:
        """Publishes the next version of a day, which deletes the rows of versions that nobody reads any more."""
        self._listens = listens
        self._publisher.publish({date: ()})

    def forget(self, date: str) -> None:
        """Makes a day as if it had never been published."""
        rows = self.table.query(KeyConditionExpression=Key("pk").eq(day_key(date)))["Items"]
        with self.table.batch_writer() as batch:
            for row in rows:
                batch.delete_item(Key={"pk": row["pk"], "sk": row["sk"]})
        self._ledger_table.delete_item(Key={"pk": "DAYS", "sk": date})

    @contextmanager
    def before_each_write(self, happens: Callable[[str], None]) -> Iterator[None]:
        """Calls a function before each write to the table, with the name of the operation."""

        def handler(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore has no types
            happens(model.name)

        events = self.table.meta.client.meta.events
        names_of_events = [f"before-call.dynamodb.{operation}" for operation in ("PutItem", "BatchWriteItem")]
        for name in names_of_events:
            events.register(name, handler)
        try:
            yield
        finally:
            for name in names_of_events:
                events.unregister(name, handler)

    def _compute(self, claims: Sequence[Claim], *_: object) -> dict[str, DayKpis]:
        return days_of(row for claim in claims if self._listens for row in made_up_day(claim.date, self._listens))


def made_up_day(date: str, listens: Listens) -> list[Item]:
    """The flat rows of a day."""
    total = sum(listens.values())
    ranked = sorted(listens.items(), key=lambda entry: (-entry[1], entry[0]))
    totals = {
        "listens": total,
        "unique_listeners": total,
        "listening_time_ms": 1000 * total,
        "listens_per_listener": Decimal(1),
        "unknown_track_plays": 0,
        "top_genres": [{"rank": rank, "genre": name, "listens": n} for rank, (name, n) in enumerate(ranked, 1)],
        "listens_by_country": {"Peru": total},
    }
    pk = day_key(date)
    rows = [{"pk": pk, "sk": names.SUMMARY, "date": date, **totals}]
    for genre, n in listens.items():
        song = {"rank": 1, "track_id": "t", "track_name": None, "artists": None, "listens": n}
        of_genre = {"pk": pk, "date": date, "genre": genre, **figures(n)}
        rows.append({**of_genre, "sk": f"GENRE#{genre}", "top_songs": [song]})
        rows += [{**of_genre, "sk": f"HOUR#{hour}#GENRE#{genre}", "hour": hour} for hour in ("08", "23")]
    return rows


def figures(listens: int) -> Item:
    """The measures of so many plays."""
    return {
        "listens": listens,
        "unique_listeners": listens,
        "listening_time_ms": 1000 * listens,
        "avg_listening_time_ms_per_user": Decimal(1000),
        "avg_listening_time_ms_per_play": Decimal(1000),
    }
