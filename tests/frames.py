"""Rows of the oracle as Spark data frames and back, and KPI rows by key."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.oracle import Play, Song, User


def plays_frame(spark: SparkSession, plays: Iterable[Play]) -> DataFrame:
    """Returns the plays as the data frame that `kpis.kpi_items` takes."""
    return spark.createDataFrame(list(plays), "user_id string, track_id string, listen_time timestamp")


def songs_frame(spark: SparkSession, songs: Iterable[Song]) -> DataFrame:
    """Returns the catalogue as the data frame that `kpis.kpi_items` takes."""
    schema = "track_id string, track_name string, artists string, track_genre string, duration_ms int"
    return spark.createDataFrame(list(songs), schema)


def users_frame(spark: SparkSession, users: Iterable[User]) -> DataFrame:
    """Returns the users as the data frame that `kpis.kpi_items` takes."""
    return spark.createDataFrame(list(users), "user_id string, user_country string")


def plays_in(frame: DataFrame) -> list[Play]:
    """Returns the plays of a data frame with the columns of a play, and possibly more."""
    # PySpark would give timestamps without a zone, in the zone of this machine.
    rows = frame.select("user_id", "track_id", F.unix_micros("listen_time")).collect()
    return [Play(user, track, datetime.fromtimestamp(micros / 10**6, UTC)) for user, track, micros in rows]


def songs_in(frame: DataFrame) -> list[Song]:
    """Returns the songs of a data frame with the columns of a song, and possibly more."""
    return [Song(*row) for row in frame.select(*Song._fields).collect()]


def users_in(frame: DataFrame) -> list[User]:
    """Returns the users of a data frame with the columns of a user, and possibly more."""
    return [User(*row) for row in frame.select(*User._fields).collect()]


def by_key(items: Iterable[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns KPI rows by (pk, sk), every number with its digits (`Decimal("1.5")` equals `Decimal("1.50")`).

    Raises:
        ValueError: two rows have the same key.
    """
    items = list(items)
    rows = {(item["pk"], item["sk"]): {name: _with_digits(value) for name, value in item.items()} for item in items}
    if len(rows) != len(items):
        raise ValueError("two KPI rows have the same key")
    return rows


def _with_digits(value: Any) -> Any:  # noqa: ANN401 - a value of a DynamoDB item
    return value if isinstance(value, str | list | dict) else f"{type(value).__name__} {value}"
