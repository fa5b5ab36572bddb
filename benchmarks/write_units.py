"""Write units of DynamoDB that publishing a day takes: `python -m benchmarks.write_units [FOLDER]`.

FOLDER has `users.csv.gz`, `songs.csv.gz` and `streams1.csv.gz`; without it, a day of as many plays is made up. The KPI
job's own publication runs on moto, and what it asks for is counted.
"""

from __future__ import annotations

import argparse
import gzip
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from moto import mock_aws

from benchmarks.dataset import Size, make
from benchmarks.kpi_kernels import valid_rows
from benchmarks.kpi_rows import TOP_GENRES, TOP_SONGS
from benchmarks.tables import create_tables
from glue_scripts import names
from glue_scripts.count_plays import Catalogue, compute_days, count_bucket
from glue_scripts.kpi_items import DayKpis, kpis_by_day
from glue_scripts.kpi_sql import KPI_CODE, USERS
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import NO_TOMBSTONES, Ledger, Snapshot
from glue_scripts.names import genre_sort_key, summary_key
from glue_scripts.publication import Publisher
from glue_scripts.stored_plays import Plays
from validators.closed_duckdb import Share, closed_connection

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

PLAYS: Final = 11_346
"""Plays of the first streams file of the public data, all of one day."""
MORE_PLAYS: Final = 60
UNIT_BYTES: Final = 1_024

Row = Mapping[str, Any]


def main() -> None:
    """Computes the day, publishes it again and again, prints the units."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.write_units")
    parser.add_argument("folder", type=Path, nargs="?")
    source = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as work:
        if source:
            unpack(source, Path(work) / "csv")
        else:
            make(Path(work) / "csv", Size(plays=PLAYS, days=1))
        valid_rows(Path(work))
        print(report(*days(Path(work))))


def unpack(source: Path, folder: Path) -> None:
    """Unpacks the public files under the names of made ones."""
    folder.mkdir()
    for packed, name in (("users", "users"), ("songs", "songs"), ("streams1", "streams-0000")):
        with gzip.open(source / f"{packed}.csv.gz") as file, (folder / f"{name}.csv").open("wb") as copy:
            shutil.copyfileobj(file, copy)


def days(folder: Path) -> tuple[DayKpis, DayKpis]:
    """The day without its last plays, MORE_PLAYS, and with them, from the valid rows in a folder."""
    plays = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "plays").iterdir()))
    file = pa.DictionaryArray.from_arrays(pa.array([0] * plays.num_rows, pa.int32()), pa.array(["f" * 64]))
    plays = plays.append_column("file", file)
    return _day(folder, plays.slice(0, plays.num_rows - MORE_PLAYS)), _day(folder, plays)


def _day(folder: Path, plays: pa.Table) -> DayKpis:
    with closed_connection(Share(memory_mb=500, temp_folder=folder / "duckdb")) as db:
        Catalogue.of_songs(db, pq.read_table(folder / "songs.parquet")).register(db)
        db.register("user_rows", pq.read_table(folder / "users.parquet"))
        users = db.sql(USERS.sql).to_arrow_table()
        counted = count_bucket(db, Plays.of([plays]), users, NO_TOMBSTONES)
        tables = compute_days(db, counted.items(), top_songs=TOP_SONGS)
        (day,) = kpis_by_day(tables, top_genres=TOP_GENRES).values()
        return day


def report(before: DayKpis, after: DayKpis) -> str:
    """The units of publishing a day three times, in Markdown."""
    first, second, third = units_by_version([before, after, after])
    table = {"the first time": first, "the second time": second, "each later time": third}
    sizes = [item_bytes(row) for row in genre_rows(after)]
    lines = [
        f"{after.summary['listens']:,} plays, {len(after.genres)} genres",
        f"bytes of a genre's row: {min(sizes):,} to {max(sizes):,}, {sum(sizes) // len(sizes):,} on average",
        "",
        "| a day is published | write units | of them |",
        "| --- | ---: | --- |",
    ]
    for what, units in table.items():
        parts = ", ".join(f"{kind} {count:,}" for kind, count in units.items())
        lines.append(f"| {what} | {units.total():,} | {parts} |")
    return "\n".join(lines)


@dataclass
class Meter:
    """Counts the write units of a client's requests, by what is written.

    Attributes:
        units: since the last `read`.
        stored: bytes of the rows that are there, by key.
    """

    units: Counter[str]
    stored: dict[tuple[str, str], int]

    @classmethod
    def of(cls, table: Table) -> Meter:
        """A meter of a table's client."""
        meter = cls(Counter(), {})
        table.meta.client.meta.events.register("provide-client-params.dynamodb.*", meter._count)
        return meter

    def read(self) -> Counter[str]:
        """What was counted; counts from 0 again."""
        counted, self.units = self.units, Counter()
        return counted

    def _count(self, params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401 - botocore has no types
        if model.name == "UpdateItem":
            # Each item that publishing changes in the ledger is far below a unit.
            self.units["ledger"] += 1
        if model.name == "PutItem":
            self._put(params["Item"], "SUMMARY")
        for writes in params.get("RequestItems", {}).values():
            for write in writes:
                if "PutRequest" in write:
                    self._put(write["PutRequest"]["Item"], "rows")
                else:
                    self.units["deletes"] += units_of_bytes(self.stored.pop(_key(write["DeleteRequest"]["Key"])))

    def _put(self, item: Row, kind: str) -> None:
        size = item_bytes(item)
        units = units_of_bytes(max(size, self.stored.get(_key(item), 0)))
        self.stored[_key(item)] = size
        self.units[kind] += units
        if names.DATE_INDEX_PARTITION_KEY in item:
            self.units["index"] += units


def units_by_version(kpis: Sequence[DayKpis]) -> Iterator[Counter[str]]:
    """Publishes a day as often as KPIs of it are given; yields the units of each time."""
    date = kpis[0].summary["date"]
    keys = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with mock_aws():
        ledger_table, kpis_table = create_tables(boto3.resource("dynamodb", **keys))  # type: ignore[call-overload]
        ledger = Ledger(ledger_table)
        for dataset in ("users", "songs"):
            ledger.make_current(snapshot(dataset))
        meter = Meter.of(kpis_table)
        made_with = {"kpi_code": KPI_CODE, "kpi_settings": {"top_songs": TOP_SONGS, "top_genres": TOP_GENRES}}
        for number, of_day in enumerate(kpis):
            computed = {date: of_day}
            publisher = Publisher(ledger, KpiTable(kpis_table), lambda *_, days=computed: days, made_with)
            publisher.publish({date: (f"{RUN}{number}",)})
            yield meter.read()


RUN: Final = "jr_" + "0" * 63
"""A Glue job run's id, but for its last digit."""


def snapshot(dataset: str) -> Snapshot:
    """A snapshot of names as long as on AWS."""
    folder = f"s3://music-kpi-prod-data-123456789012-us-east-1/reference/{dataset}/{RUN}0-{'0' * 64}/"
    key = f"raw/{dataset}/{dataset}.csv"
    return Snapshot(dataset, folder, key, "v" * 32, "2024-06-26T00:00:00Z", 50_000)


def genre_rows(kpis: DayKpis) -> list[Row]:
    """The rows of genres as they are written, but for the version."""
    key = summary_key(kpis.summary["date"])
    return [{**key, names.KPIS_SORT_KEY: genre_sort_key(1, row["genre"]), **row} for row in kpis.genres]


# Sizes, https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html


def write_units(item: Row) -> int:
    """Write units of an item that nothing replaces."""
    return units_of_bytes(item_bytes(item))


def units_of_bytes(size: int) -> int:
    """A unit for each KB that is begun."""
    return math.ceil(size / UNIT_BYTES)


def item_bytes(item: Row) -> int:
    """The size of an item: the names of its attributes, and their values."""
    return sum(len(name.encode()) + _bytes(value) for name, value in item.items())


def _bytes(value: object) -> int:
    match value:
        case None | bool():
            return 1
        case str():
            return len(value.encode())
        case int() | Decimal():
            return _number_bytes(Decimal(value))
        case Mapping():
            return 3 + len(value) + item_bytes(value)
        case Sequence():
            return 3 + len(value) + sum(map(_bytes, value))
    raise TypeError(f"no value of DynamoDB that is counted here: {value!r}")


def _number_bytes(number: Decimal) -> int:
    """A byte for two digits, without the zeros at both ends; one for the exponent, and one for the sign."""
    digits = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    return math.ceil(digits / 2) + 1 + (number < 0)


def _key(item: Row) -> tuple[str, str]:
    return str(item[names.KPIS_PARTITION_KEY]), str(item[names.KPIS_SORT_KEY])


if __name__ == "__main__":
    main()
