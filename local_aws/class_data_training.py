"""What the training run of the class data archive does: the parts of Spark that most jobs touch once."""

from __future__ import annotations

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as f


def main() -> None:
    """Writes, reads, joins and aggregates a few rows as CSV, JSON and Parquet over `s3://`."""
    spark = SparkSession.builder.getOrCreate()
    numbers = spark.range(1000).select(
        f.col("id"),
        (f.col("id") % 7).cast("string").alias("kind"),
        f.timestamp_seconds(f.col("id") * 1000).alias("at"),
        f.concat(f.lit('a "quoted", text '), f.col("id").cast("string")).alias("text"),
    )
    numbers.write.option("header", True).csv("s3://training/csv")
    rows = spark.read.option("header", True).option("escape", '"').option("multiLine", True).csv("s3://training/csv")
    typed = rows.select(
        f.expr("try_cast(id as bigint)").alias("id"),
        f.trim("kind").alias("kind"),
        f.to_timestamp("at").alias("at"),
        f.regexp_replace("text", "[^a-z]", "").alias("text"),
    )
    typed.withColumn("day", f.to_date("at")).repartition("day").write.partitionBy("day").parquet(
        "s3://training/parquet"
    )
    lake = spark.read.parquet("s3://training/parquet").dropDuplicates(["id"])
    kinds = spark.createDataFrame([(str(kind), f"kind {kind}") for kind in range(7)], "kind string, name string")
    joined = lake.join(kinds, "kind", "left")
    totals = joined.groupBy("kind", "name").agg(
        f.count("*").alias("rows"), f.countDistinct("id").alias("ids"), f.sum("id").alias("total"), f.max("at")
    )
    ranked = totals.withColumn("rank", f.row_number().over(Window.orderBy(f.desc("rows"), "kind")))
    ranked.where("rank <= 3").collect()
    joined.groupBy("day").agg(f.collect_list(f.struct("kind", "name")).alias("kinds")).write.json("s3://training/json")
    lake.cache().count()
    spark.sql("select 1 as one union all select 2").collect()
    spark.stop()


if __name__ == "__main__":
    main()
