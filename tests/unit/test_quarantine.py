"""Rows and rules on real Spark and real Great Expectations: counts, tolerances, samples."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.validation.judging import broken, judge, readable, rejected_by
from validators.counts import broken_rows, count_rows, file_statistics, held_rows, holds_all_broken
from validators.expectations import ExpectationCrashedError, expectation_suite, run_suite
from validators.quarantine import quarantined_rows, samples
from validators.reports import Sample
from validators.rows import judge_files, read_positions

HEADER = "user_id,track_id,listen_time\n"
GOOD = "u1,t1,2024-06-25 10:00:{:02}\n"


def test_each_file_of_a_batch_gets_its_own_verdict_in_one_run(spark: SparkSession, tmp_path: Path) -> None:
    good = "".join(GOOD.format(second) for second in range(60))
    texts = {
        "good": HEADER + good,
        "reordered": "listen_time,more,track_id,user_id\n2024-06-25T10:00:00Z,x,t1,u1\n",
        "bad": HEADER + "u1,t1,17:43\n,t1,2024-06-25 10:00:00\n",
        "empty": HEADER,
    }
    result = judge(spark, tmp_path, texts)
    assert {file: rejected_by(result, file) for file in texts} == {
        "good": [],
        "reordered": [],
        "bad": ["null_user_id", "bad_listen_time"],
        "empty": ["no_rows"],
    }
    assert result.counts["good"].valid == 60
    assert (result.counts["bad"].rows, result.counts["bad"].quarantined) == (2, 2)


@pytest.mark.parametrize(("bad_rows", "rejecting"), [(1, []), (2, ["null_track_id"])])
def test_a_tolerance_holds_up_to_its_last_row(
    spark: SparkSession, tmp_path: Path, bad_rows: int, rejecting: list[str]
) -> None:
    rows = [GOOD.format(0)] * (100 - bad_rows) + ["u1,,2024-06-25 10:00:00\n"] * bad_rows
    result = judge(spark, tmp_path, {"file": HEADER + "".join(rows)})
    assert rejected_by(result, "file") == rejecting
    assert broken(result, "file")["null_track_id"] == bad_rows


def test_the_future_begins_a_day_after_the_upload(spark: SparkSession, tmp_path: Path) -> None:
    text = HEADER + "u1,t1,2024-06-27 00:00:00\nu1,t1,2024-06-27 00:00:01\nu1,t1,1999-12-31 23:59:59\n"
    assert broken(judge(spark, tmp_path, {"file": text}), "file") == {
        "future_listen_time": 1,
        "early_listen_time": 1,
    }


def test_the_future_begins_for_each_file_by_its_own_upload(spark: SparkSession, tmp_path: Path) -> None:
    text = HEADER + "u1,t1,2024-06-27 00:00:01\n"
    early, late = readable(tmp_path, {"early": text, "late": text})
    files = [early, replace(late, last_modified=late.last_modified + timedelta(seconds=1))]
    statistics = file_statistics(count_rows(judge_files(spark, "streams", files), "streams", {}))
    assert {file: counts["future_listen_time"] for file, counts in statistics.items()} == {"early": 1, "late": 0}


def test_rows_swallowed_by_a_stray_quote_count_as_broken(spark: SparkSession, tmp_path: Path) -> None:
    swallowed = '"u9,t1,2024-06-25 10:00:00\n' + GOOD.format(1) * 40 + 'u8,t1",2024-06-25 10:00:00\n'
    result = judge(spark, tmp_path, {"file": HEADER + GOOD.format(0) * 100 + swallowed})
    assert rejected_by(result, "file") == ["malformed_row"]
    assert broken(result, "file")["malformed_row"] == 42


def test_duplicates_are_counted_and_no_reason_to_reject(spark: SparkSession, tmp_path: Path) -> None:
    result = judge(spark, tmp_path, {"file": HEADER + GOOD.format(1) * 5 + GOOD.format(2)})
    assert broken(result, "file") == {"duplicate_rows": 4}
    assert rejected_by(result, "file") == []


@pytest.mark.parametrize(("rows_before", "rejecting"), [(4, []), (5, ["snapshot_shrunk"])])
def test_a_snapshot_may_shrink_to_its_half(
    spark: SparkSession, tmp_path: Path, rows_before: int, rejecting: list[str]
) -> None:
    text = "user_id,user_name,user_age,user_country,created_at\n1,A,30,NL,2024-01-01\n2,B,,,2024-01-01\n"
    result = judge(spark, tmp_path, {"file": text}, "users", snapshot_rows=rows_before)
    assert rejected_by(result, "file") == rejecting


def test_samples_tell_rows_as_a_spreadsheet_does_and_mask_ids(spark: SparkSession, tmp_path: Path) -> None:
    long_id = "x" * 201
    text = HEADER + GOOD.format(0) + f"u1,t1,yesterday\n{long_id},t1,2024-06-25 10:00:00\nu1,t1\n"
    files = readable(tmp_path, {"file": text})
    broken = broken_rows(judge_files(spark, "streams", files))
    found = samples(quarantined_rows(read_positions(spark, files), broken))["file"]
    assert found["bad_listen_time"] == [Sample(row=3, value="yesterday")]
    assert found["long_user_id"] == [Sample(row=4, value="xx… (201 characters)")]
    assert found["malformed_row"] == [Sample(row=5, fields=2)]


def test_a_task_holds_no_more_broken_rows_than_it_may(spark: SparkSession, tmp_path: Path) -> None:
    bad = ["u1,t1,noon\n", ",t1,2024-06-25 10:00:00\n", "u1,t1\n"]
    text = HEADER + "".join(GOOD.format(second) + bad[second % 3] for second in range(30))
    judged = judge_files(spark, "streams", readable(tmp_path, {"file": text}))
    all_held, some_held, none_held = (count_rows(judged, "streams", {}, max_held=count) for count in (30, 29, 0))
    assert [holds_all_broken(counted) for counted in (all_held, some_held, none_held)] == [True, False, False]
    assert [held_rows(counted).count() for counted in (all_held, some_held)] == [30, 29]
    assert sorted(held_rows(all_held).collect()) == sorted(broken_rows(judged).collect())
    assert file_statistics(all_held) == file_statistics(some_held) == file_statistics(none_held)


def test_a_crashed_expectation_is_a_failure_of_the_job_and_no_verdict(spark: SparkSession, tmp_path: Path) -> None:
    files = readable(tmp_path, {"file": HEADER + GOOD.format(0)})
    suite = expectation_suite("streams", ["file"], tolerances={}, current_snapshot_rows=0, warnings=())
    not_counted = judge_files(spark, "streams", files)
    with pytest.raises(ExpectationCrashedError, match="no_rows could not be evaluated: DATATYPE_MISMATCH"):
        run_suite(not_counted, suite, {})


def test_great_expectations_own_page_tells_the_rules(spark: SparkSession, tmp_path: Path) -> None:
    page = judge(spark, tmp_path, {"file": HEADER + "u1,t1,noon\n"}).data_docs
    assert "bad_listen_time" in page
    assert "0 of 1 files follow the rule" in page
