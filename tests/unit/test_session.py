"""What a job's session keeps out of the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pyspark.sql import SparkSession

from glue_scripts.session import Spark, begin_log


def test_a_job_starts_its_session_once_where_it_needs_it(spark: SparkSession) -> None:
    of_job = Spark("tests")
    assert of_job.context() is of_job.context() is spark.sparkContext


@pytest.mark.parametrize("name", ["SQLQueryContextLogger", "DataFrameQueryContextLogger"])
def test_no_handler_gets_what_pyspark_4_logs_about_the_value_that_it_could_not_work_on(name: str) -> None:
    begin_log("tests")
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
