"""A Spark script: the KPIs of a textbook. Plays to partitioned Parquet, then groupBy, countDistinct, window."""

from __future__ import annotations

import tempfile

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.kpi_rows import TOP_SONGS, Aggregates, canonical, kpi_rows, write_result
from benchmarks.spark_script import arguments, read, session


def aggregates(spark: SparkSession, folder: str, lake: str) -> Aggregates:
    """Writes the plays to the lake and computes from there."""
    _valid_plays(read(spark, folder, "streams")).write.partitionBy("date").parquet(lake)
    # Without this, Spark reads the dates of the folders' names as dates.
    spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    plays = spark.read.parquet(lake).withColumn("hour", F.date_format("listen_time", "HH"))
    songs = read(spark, folder, "songs").withColumn("duration_ms", F.expr("try_cast(duration_ms AS BIGINT)"))
    songs = songs.where("trim(track_id) <> '' AND trim(track_genre) <> '' AND duration_ms >= 0")
    least = songs.groupBy("track_id").agg(F.min(F.struct("duration_ms", "track_name", "artists")).alias("least"))
    tracks = least.select("track_id", "least.*")
    genres = songs.select("track_id", F.col("track_genre").alias("genre")).distinct()
    countries = read(spark, folder, "users").groupBy("user_id").agg(F.min("user_country").alias("country"))
    of_genre = plays.join(tracks, "track_id").join(genres, "track_id")
    return Aggregates(
        hours=_rows(of_genre.groupBy("date", "hour", "genre").agg(*_measures())),
        genres=_rows(of_genre.groupBy("date", "genre").agg(*_measures())),
        songs=_rows(_ranked(of_genre)),
        days=_rows(
            plays.join(tracks, "track_id", "left")
            .groupBy("date")
            .agg(*_measures(), F.count_if(F.col("duration_ms").isNull()).alias("unknown_track_plays"))
        ),
        countries=_rows(
            plays.join(countries, "user_id", "left")
            .groupBy("date", F.coalesce("country", F.lit("unknown")).alias("country"))
            .agg(F.count("*").alias("listens"))
        ),
    )


def _valid_plays(rows: DataFrame) -> DataFrame:
    moment = F.to_timestamp("listen_time")
    valid = rows.where("trim(user_id) <> '' AND trim(track_id) <> ''").where(moment.isNotNull())
    return (
        valid.withColumn("listen_time", moment)
        .dropDuplicates(["user_id", "track_id", "listen_time"])
        .withColumn("date", F.date_format("listen_time", "yyyy-MM-dd"))
    )


def _measures() -> list[Column]:
    return [
        F.count("*").alias("listens"),
        F.countDistinct("user_id").alias("unique_listeners"),
        F.coalesce(F.sum("duration_ms"), F.lit(0)).alias("listening_time_ms"),
    ]


def _ranked(of_genre: DataFrame) -> DataFrame:
    order = Window.partitionBy("date", "genre").orderBy(F.desc("listens"), "track_id")
    listens = of_genre.groupBy("date", "genre", "track_id", "track_name", "artists").agg(F.count("*").alias("listens"))
    return listens.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= TOP_SONGS)


def _rows(frame: DataFrame) -> list[dict[str, object]]:
    return [row.asDict() for row in frame.collect()]


if __name__ == "__main__":
    data, result = arguments()
    with tempfile.TemporaryDirectory() as folder:
        computed = aggregates(session("textbook-kpis"), data, f"file://{folder}/plays")
    write_result(result, canonical(kpi_rows(computed)))
