"""A Spark script: the validation's counts by one hand-written pass per dataset, without Great Expectations."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.kpi_rows import write_result
from benchmarks.spark_script import arguments, read, session

_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d+)?$"
_INTEGER = r"^[+-]?\d{1,18}$"
_BOOLEANS = ("true", "t", "yes", "y", "1", "false", "f", "no", "n", "0")
_COLUMNS = {
    "users": ("user_id", "user_name", "user_age", "user_country", "created_at"),
    "songs": (
        "track_id", "track_name", "artists", "album_name", "track_genre", "duration_ms", "popularity", "explicit",
    ),
    "streams": ("user_id", "track_id", "listen_time"),
}  # fmt: skip

Counts = dict[str, dict[str, int]]


def count(spark: SparkSession, folder: str) -> Counts:
    """By dataset `rows` and how many rows break each rule."""
    counts: Counts = {}
    known: dict[str, DataFrame] = {}
    for dataset, column in (("users", "user_id"), ("songs", "track_id")):
        rows = read(spark, folder, dataset)
        counts[dataset] = _count(rows, dataset, {})
        known[column] = rows.where(~_is_broken(dataset)).select(column).distinct()
    counts["streams"] = _count(read(spark, folder, "streams"), "streams", known)
    return counts


def _count(rows: DataFrame, dataset: str, known: dict[str, DataFrame]) -> dict[str, int]:
    # Before the joins: Spark refuses the file's name where rows come from several sources.
    rows = rows.withColumn("file", F.input_file_name() if dataset == "streams" else F.lit(dataset))
    warnings = {}
    for column, ids in known.items():
        flag = f"unknown_{column.removesuffix('_id')}"
        rows = rows.join(F.broadcast(ids.withColumn(flag, F.lit(False))), column, "left")
        warnings[flag] = F.coalesce(F.col(flag), F.lit(True))
    broken = _is_broken(dataset)
    found = (
        rows.groupBy("file")
        .agg(
            F.count("*").alias("rows"),
            *(F.count_if(rule).alias(name) for name, rule in _rules(dataset).items()),
            *(F.count_if(rule & ~broken).alias(name) for name, rule in warnings.items()),
            F.count_if(~broken).alias("valid"),
            F.count_distinct(F.when(~broken, F.struct(*_COLUMNS[dataset]))).alias("distinct"),
        )
        .collect()
    )
    total = {name: sum(row[name] for row in found) for name in found[0].asDict() if name != "file"}
    total["duplicate_rows"] = total.pop("valid") - total.pop("distinct")
    return total


def _is_broken(dataset: str) -> Column:
    return F.greatest(*_rules(dataset).values())


def _rules(dataset: str) -> dict[str, Column]:
    if dataset == "users":
        return {
            **_key("user_id"),
            "bad_user_age": _given("user_age") & ~F.col("user_age").rlike(_INTEGER),
            "long_user_country": _given("user_country") & (F.octet_length("user_country") > 64),
            "bad_created_at": _given("created_at") & F.to_timestamp("created_at").isNull(),
        }
    if dataset == "songs":
        return {
            **_key("track_id"),
            **_key("track_genre"),
            "bad_duration_ms": ~(_given("duration_ms") & F.col("duration_ms").rlike(r"^\+?\d{1,10}$")),
            "bad_popularity": _given("popularity") & ~F.col("popularity").rlike(_INTEGER),
            "bad_explicit": _given("explicit") & ~F.lower("explicit").isin(*_BOOLEANS),
        }
    moment = F.to_timestamp("listen_time")
    latest = F.current_timestamp() + F.expr("INTERVAL 24 HOURS")
    return {
        **_key("user_id"),
        **_key("track_id"),
        "bad_listen_time": ~(_given("listen_time") & F.col("listen_time").rlike(_TIMESTAMP)) | moment.isNull(),
        "future_listen_time": F.coalesce(moment > latest, F.lit(False)),
        "early_listen_time": F.coalesce(moment < F.lit("2000-01-01").cast("timestamp"), F.lit(False)),
    }


def _given(column: str) -> Column:
    return F.coalesce(F.trim(column) != "", F.lit(False))


def _key(column: str) -> dict[str, Column]:
    return {
        f"null_{column}": ~_given(column),
        f"long_{column}": _given(column) & (F.octet_length(column) > 200),
    }


if __name__ == "__main__":
    data, result = arguments()
    write_result(result, count(session("single-pass"), data))
