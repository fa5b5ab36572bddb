"""What a job's session keeps out of the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pyspark.sql import SparkSession

from glue_scripts.session import spark_session


@pytest.fixture
def job_session(spark: SparkSession) -> SparkSession:
    """The session as a job makes it: that of the other tests, which relies on nothing that a job sets."""
    assert spark_session("tests") is spark
    return spark


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
