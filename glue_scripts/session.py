"""What both entries begin with: the Spark session, the log, and the job's arguments."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

RUN_ID_ARGUMENT = "JOB_RUN_ID"
"""Glue gives it to every run of a job."""

logger = logging.getLogger(__name__)

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
    """The session of a job: Spark hands out tasks and moves blobs."""
    for internal in _LOGGERS_OF_INTERNALS:
        logging.getLogger(internal).setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout)
    session: SparkSession = SparkSession.builder.appName(name).getOrCreate()
    _keep_rows_out_of_the_log(session)
    tasks = session.sparkContext.defaultParallelism
    logger.info("started %s: Spark %s, %d tasks at a time", name, session.version, tasks)
    return session


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
