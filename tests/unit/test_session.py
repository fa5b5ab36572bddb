"""What the jobs rely on in a Spark session."""

from __future__ import annotations

import pytest
from pyspark.errors import NumberFormatException
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from glue_scripts.session import session_threads


def test_a_wrong_cast_is_an_error_in_every_thread_of_a_session(spark: SparkSession) -> None:
    texts = spark.range(1).select(F.lit("a").alias("text"))

    def cast() -> list[Row]:
        return texts.select(F.col("text").cast("int")).collect()

    with session_threads(spark, 1) as pool, pytest.raises(NumberFormatException, match="CAST_INVALID_INPUT"):
        pool.submit(cast).result()
