"""What several tests need: one Spark session, and boto3 clients that are made quickly."""

from __future__ import annotations

import functools
import os
import pickle
import sys
from collections.abc import Iterator

import pytest
from botocore.loaders import JSONFileLoader
from pyspark.sql import SparkSession

from local_aws.patching import replace
from local_aws.spark_conf import SMALL_RUN_OPTIONS, find_java_home


def pytest_configure() -> None:
    """Parse the model of a service once for all boto3 sessions: each test has sessions of its own."""
    load_file = functools.partial(JSONFileLoader.load_file, JSONFileLoader())

    @functools.cache
    def pickled(path: str) -> bytes:
        return pickle.dumps(load_file(path))

    # A copy for each, because botocore changes the models that it has loaded.
    replace(JSONFileLoader, "load_file", lambda _, path: pickle.loads(pickled(path)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take longest first, which run real jobs and long histories."""
    items.sort(key=lambda item: item.path.parent.name not in {"end_to_end", "exactness"})


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A small, quick Spark session with the settings that the jobs rely on: UTC and ANSI mode."""
    os.environ["JAVA_HOME"] = str(find_java_home(os.environ))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.extraJavaOptions", " ".join(SMALL_RUN_OPTIONS))
        .config("spark.sql.warehouse.dir", tmp_path_factory.mktemp("warehouse").as_uri())
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
