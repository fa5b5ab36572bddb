"""What both entries begin with: the job's arguments, the log, and Spark where a batch needs it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark import SparkContext

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


def begin_log(job: str) -> None:
    """Writes the log of a job to its standard output, without the loggers that flood it or quote rows."""
    for internal in _LOGGERS_OF_INTERNALS:
        logging.getLogger(internal).setLevel(logging.WARNING)
    for name in _PYTHON_LOGGERS_THAT_QUOTE_ROWS:
        # PySpark hands them arguments that a plain logger refuses; one that is disabled does not look at them.
        logging.getLogger(name).disabled = True
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout)
    logger.info("began %s", job)


class Spark:
    """The Spark session of a job, started when it is first needed. A small batch never starts it.

    Args:
        name: the application's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = Lock()
        self._session: SparkSession | None = None

    def context(self) -> SparkContext:
        """The context of the session, which the first call starts; other threads wait for it."""
        with self._lock:
            if self._session is None:
                session: SparkSession = SparkSession.builder.appName(self._name).getOrCreate()
                _keep_rows_out_of_the_log(session)
                tasks = session.sparkContext.defaultParallelism
                logger.info("started Spark %s, %d tasks at a time", session.version, tasks)
                self._session = session
        return self._session.sparkContext


def _keep_rows_out_of_the_log(session: SparkSession) -> None:
    """Switch off the loggers of the JVM that quote rows.

    From here and not by a log4j2.properties: that would replace the one by which Glue brings logs to CloudWatch.
    """
    log4j = session.sparkContext._jvm.org.apache.logging.log4j  # type: ignore[union-attr]
    for name in _LOGGERS_THAT_QUOTE_ROWS:
        log4j.core.config.Configurator.setLevel(name, log4j.Level.OFF)
