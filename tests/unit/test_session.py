"""What the jobs rely on in a Spark session."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.errors import NumberFormatException
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from glue_scripts.session import session_threads, spark_session

SETTINGS = (
    "spark.sql.parquet.outputTimestampType",
    "spark.sql.files.maxPartitionBytes",
    "spark.sql.inMemoryColumnarStorage.compressed",
)


@pytest.fixture
def job_session(spark: SparkSession) -> Iterator[SparkSession]:
    """The session as a job makes it; afterwards the settings are those of the other tests."""
    former = {name: spark.conf.get(name) for name in SETTINGS}
    yield spark_session("tests")
    for name, value in former.items():
        spark.conf.set(name, str(value))


def test_a_wrong_cast_is_an_error_in_every_thread_of_a_session(spark: SparkSession) -> None:
    texts = spark.range(1).select(F.lit("a").alias("text"))

    def cast() -> list[Row]:
        return texts.select(F.col("text").cast("int")).collect()

    with session_threads(spark, 1) as pool, pytest.raises(NumberFormatException, match="CAST_INVALID_INPUT"):
        pool.submit(cast).result()


@pytest.mark.parametrize("name", ["SQLQueryContextLogger", "DataFrameQueryContextLogger"])
@pytest.mark.usefixtures("job_session")
def test_no_handler_gets_what_pyspark_4_logs_about_the_value_that_it_could_not_work_on(name: str) -> None:
    handler = _Collecting()
    logger = logging.getLogger(name)
    for collecting in (logger, logging.getLogger()):
        collecting.addHandler(handler)

    try:
        # As PySpark 4 does: https://github.com/apache/spark/blob/master/python/pyspark/errors/exceptions/base.py.
        of_pyspark: Any = logger  # whose own class of logger takes further arguments
        of_pyspark.exception("The value 'a secret' cannot be cast", file="job.py", line="1", errorClass="X")
        logger.critical("The value 'a secret' cannot be cast")
    finally:
        for collecting in (logger, logging.getLogger()):
            collecting.removeHandler(handler)

    assert handler.messages == []


class _Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
