"""What both entries begin with: the Spark session, the log, and the job's arguments."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from awsglue.utils import getResolvedOptions
from pyspark.sql import DataFrame, SparkSession

RUN_ID_ARGUMENT = "JOB_RUN_ID"
"""Glue gives it to every run of a job."""

FILE_PART = "32m"
"""Files are read in parts of at most so many bytes: with Spark's 128m, some hundred megabytes end on a single core."""

_LOGGERS_OF_INTERNALS = ("great_expectations", "py4j")
"""At INFO they write hundreds of lines about themselves."""

_PYTHON_LOGGERS_THAT_QUOTE_ROWS = ("DataFrameQueryContextLogger", "SQLQueryContextLogger")
"""PySpark 4 writes the message of each error of Spark to one of them, with the value that Spark could not work on."""

_LOGGERS_THAT_QUOTE_ROWS = (
    "org.apache.spark.executor.Executor",
    "org.apache.spark.scheduler.DAGScheduler",
    "org.apache.spark.scheduler.TaskSetManager",
    "org.apache.spark.sql.execution",
    "org.apache.spark.storage.BlockManager",
    "org.apache.spark.util.Utils",
)
"""They log the exception of a task that failed, in which Spark quotes the value that it could not work on."""


def job_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """The job's arguments and the id of this run.

    Args:
        arguments: the names that the script declares.

    Raises:
        GlueArgumentError: one of them is missing.
    """
    options: dict[str, str] = getResolvedOptions(sys.argv, list(arguments))
    return options


def spark_session(name: str) -> SparkSession:
    """The session of a job: days and hours are UTC's, and a wrong cast is an error."""
    for logger in _LOGGERS_OF_INTERNALS:
        logging.getLogger(logger).setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout)
    session: SparkSession = SparkSession.builder.appName(name).getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    session.conf.set("spark.sql.ansi.enabled", "true")
    # Parquet's own type in place of the deprecated INT96, which is Spark's default: written in two thirds of the time.
    session.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    session.conf.set("spark.sql.files.maxPartitionBytes", FILE_PART)
    # What is kept is read a few times only: packing it takes longer than that, and saves a fifth of its size at most.
    session.conf.set("spark.sql.inMemoryColumnarStorage.compressed", "false")
    _keep_rows_out_of_the_log(session)
    return session


def session_threads(spark: SparkSession, workers: int) -> ThreadPoolExecutor:
    """Threads in which columns mean what they mean in the thread that made the session.

    Spark looks up the settings for a new expression in the session that is active in the thread, and takes its defaults
    where there is none: then a wrong cast is null and no error.
    """
    sessions = spark._jvm.SparkSession  # type: ignore[union-attr]
    return ThreadPoolExecutor(workers, initializer=sessions.setActiveSession, initargs=(spark._jsparkSession,))


@contextmanager
def kept(frame: DataFrame) -> Iterator[DataFrame]:
    """The frame, computed once for several reads.

    How many partitions it has is for the caller to say: before Spark 4, adaptive execution does not merge those of the
    last exchange (https://github.com/apache/spark/pull/45054), and a few rows would be in Spark's 200.
    """
    frame.persist()
    try:
        yield frame
    finally:
        frame.unpersist()


def merged(frame: DataFrame) -> DataFrame:
    """The frame in as many partitions as there are cores."""
    return frame.coalesce(frame.sparkSession.sparkContext.defaultParallelism)


def _keep_rows_out_of_the_log(session: SparkSession) -> None:
    """Switch off the loggers that quote rows: those of Python, and those of the JVM.

    From here and not by a log4j2.properties: that would replace the one by which Glue brings logs to CloudWatch.
    """
    for name in _PYTHON_LOGGERS_THAT_QUOTE_ROWS:
        # PySpark hands them arguments that a plain logger refuses; one that is disabled does not look at them.
        logging.getLogger(name).disabled = True
    log4j = session.sparkContext._jvm.org.apache.logging.log4j  # type: ignore[union-attr]
    for name in _LOGGERS_THAT_QUOTE_ROWS:
        log4j.core.config.Configurator.setLevel(name, log4j.Level.OFF)
