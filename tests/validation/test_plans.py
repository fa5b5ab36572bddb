"""Spark's plan parses each column once, however many rules look at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.validation.bad_inputs import SONGS_HEADER, STREAMS_HEADER, USERS_HEADER
from tests.validation.judging import readable
from validators.rows import judge_files, valid_rows

PATTERNS = {"streams": (STREAMS_HEADER, 2), "songs": (SONGS_HEADER, 2), "users": (USERS_HEADER, 4)}
"""By dataset: the header, and how many patterns its columns are held against: two of timestamps, dates, integers."""


@pytest.mark.parametrize("dataset", PATTERNS)
def test_each_column_is_parsed_once(spark: SparkSession, tmp_path: Path, dataset: str) -> None:
    header, patterns = PATTERNS[dataset]
    files = readable(tmp_path, {"a.csv": header + "x\n"})
    valid = valid_rows(judge_files(spark, dataset, files), dataset)
    plan = valid._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("RLIKE(") == patterns
