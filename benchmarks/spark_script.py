"""What the Spark contenders begin with. They run as jobs of the embedded AWS, as ours do: the same JVM and settings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from pyspark.sql import DataFrame, SparkSession

FILE_PART: Final = "32m"
"""With Spark's 128m, some hundred megabytes end on a single core."""


def arguments() -> tuple[str, Path]:
    """The folder of the data and the file for the result: `--data` and `--result`; Glue's own are passed over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--result", type=Path, required=True)
    options, _ = parser.parse_known_args()
    return options.data, options.result


def session(name: str) -> SparkSession:
    """A session in UTC, which reads files in parts of FILE_PART."""
    spark: SparkSession = SparkSession.builder.appName(name).getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.files.maxPartitionBytes", FILE_PART)
    return spark


def read(spark: SparkSession, folder: str, dataset: str) -> DataFrame:
    """The rows of a dataset's files, every column as text."""
    options = {"header": True, "quote": '"', "escape": '"', "multiLine": False}
    return spark.read.csv(f"file://{folder}/{dataset}*.csv", **options)  # type: ignore[arg-type]
