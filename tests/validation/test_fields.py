"""A row with too few or too many fields is broken, whatever a query asks of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.validation.judging import readable
from validators.rows import FAILS_PREFIX, MALFORMED_ROW, judge_files, valid_rows
from validators.schemas import REQUIRED_COLUMNS

GOOD = {
    "users": "u1,Ann,42,Norway,2024-01-31",
    "songs": "t1,Song,A,Album,pop,1000,50,True",
    "streams": "u1,t1,2024-06-25 10:00:00",
}


@pytest.mark.parametrize("is_line_per_row", [True, False])
@pytest.mark.parametrize("dataset", REQUIRED_COLUMNS)
def test_a_query_of_one_column_sees_the_same_rows_as_a_query_of_all(
    spark: SparkSession, tmp_path: Path, dataset: str, is_line_per_row: bool
) -> None:
    header, good = ",".join(REQUIRED_COLUMNS[dataset]), GOOD[dataset]
    rows = [f"x,{good}", good, f"x,{good},surplus"]
    files = [
        replace(file, is_line_per_row=is_line_per_row)
        for file in readable(tmp_path, {"file": "\n".join([f"more,{header}", *rows, ""])})
    ]
    judged = judge_files(spark, dataset, files)
    flags = [row[0] for row in judged.select(FAILS_PREFIX + MALFORMED_ROW).collect()]
    assert flags == [False, True, True]
    valid = valid_rows(judged, dataset)
    assert {column: valid.select(column).count() for column in valid.columns} == dict.fromkeys(valid.columns, 1)
