"""A bucket that is a folder, for the Spark session of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from local_aws.spark_conf import file_system_properties


@contextmanager
def mounted(spark: SparkSession, bucket: str, folder: Path) -> Iterator[None]:
    """Mounts `s3://<bucket>/` on a folder, as the embedded Glue does for a job."""
    mounts = {
        **{
            name.removeprefix("spark.hadoop."): value
            for name, value in file_system_properties({bucket: folder}).items()
        },
        "fs.s3.impl.disable.cache": "true",
        "fs.viewfs.overload.scheme.target.file.impl": "org.apache.hadoop.fs.LocalFileSystem",
    }
    for name, value in mounts.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name in mounts:
            spark.conf.unset(name)
