"""A Spark script: the validation's rules as Great Expectations' built-in expectations, one after another."""

from __future__ import annotations

import great_expectations as gx
from great_expectations.core import ExpectationSuite
from great_expectations.expectations.core.expect_column_value_lengths_to_be_between import (
    ExpectColumnValueLengthsToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
    ExpectColumnValuesToBeInSet,
)
from great_expectations.expectations.core.expect_column_values_to_match_regex import (
    ExpectColumnValuesToMatchRegex,
)
from great_expectations.expectations.core.expect_column_values_to_not_be_null import (
    ExpectColumnValuesToNotBeNull,
)
from great_expectations.expectations.expectation import Expectation
from pyspark.sql import DataFrame, SparkSession

from benchmarks.kpi_rows import write_result
from benchmarks.spark_script import arguments, read, session

_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d+)?$"
_INTEGER = r"^[+-]?\d{1,18}$"


def count(spark: SparkSession, folder: str) -> dict[str, dict[str, int]]:
    """By dataset, how many rows break each rule that a built-in expectation can tell."""
    songs, users = read(spark, folder, "songs"), read(spark, folder, "users")
    tracks = [row["track_id"] for row in songs.select("track_id").distinct().collect()]
    listeners = [row["user_id"] for row in users.select("user_id").distinct().collect()]
    return {
        "users": _run(
            users,
            {
                **_key("user_id"),
                "bad_user_age": ExpectColumnValuesToMatchRegex(column="user_age", regex=_INTEGER),
                "long_user_country": ExpectColumnValueLengthsToBeBetween(column="user_country", max_value=64),
            },
        ),
        "songs": _run(
            songs,
            {
                **_key("track_id"),
                **_key("track_genre"),
                "bad_duration_ms": ExpectColumnValuesToMatchRegex(column="duration_ms", regex=r"^\+?\d{1,10}$"),
                "bad_popularity": ExpectColumnValuesToMatchRegex(column="popularity", regex=_INTEGER),
            },
        ),
        "streams": _run(
            read(spark, folder, "streams"),
            {
                **_key("user_id"),
                **_key("track_id"),
                "bad_listen_time": ExpectColumnValuesToMatchRegex(column="listen_time", regex=_TIMESTAMP),
                "not_in_songs": ExpectColumnValuesToBeInSet(column="track_id", value_set=tracks),
                "not_in_users": ExpectColumnValuesToBeInSet(column="user_id", value_set=listeners),
            },
        ),
    }


def _key(column: str) -> dict[str, Expectation]:
    return {
        f"null_{column}": ExpectColumnValuesToNotBeNull(column=column),
        f"long_{column}": ExpectColumnValueLengthsToBeBetween(column=column, max_value=200),
    }


def _run(rows: DataFrame, rules: dict[str, Expectation]) -> dict[str, int]:
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_spark("spark").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows})
    for rule, expectation in rules.items():
        expectation.meta = {"rule": rule}
    # Results come in an order of their own.
    results = batch.validate(ExpectationSuite(name="rules", expectations=list(rules.values()))).results
    return {
        result.expectation_config.meta["rule"]: int(result.result["unexpected_count"])
        for result in results
        if result.expectation_config
    }


if __name__ == "__main__":
    data, result = arguments()
    write_result(result, count(session("naive-suite"), data))
