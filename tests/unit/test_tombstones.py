"""Purged users are left out of a data frame, and nobody else is."""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import SparkSession

from glue_scripts.ledger import NO_TOMBSTONES, Tombstones, salted_hash
from glue_scripts.tombstones import without_purged
from tests.frames import plays_frame, plays_in
from tests.oracle import Play

MOMENT = datetime(2024, 6, 25, 12, tzinfo=UTC)
PLAYS = [Play(user_id, "t", MOMENT) for user_id in ("ann", "björn", "björn", "ann ", "日本")]


def test_without_tombstones_everybody_stays(spark: SparkSession) -> None:
    assert plays_in(without_purged(plays_frame(spark, PLAYS), NO_TOMBSTONES)) == PLAYS


def test_every_row_of_a_purged_user_goes_and_no_other(spark: SparkSession) -> None:
    purged = ("björn", "日本", "nobody")
    tombstones = Tombstones("salt", frozenset(salted_hash("salt", user_id) for user_id in purged))
    rest = plays_in(without_purged(plays_frame(spark, PLAYS), tombstones))
    assert [play.user_id for play in rest] == ["ann", "ann "]
