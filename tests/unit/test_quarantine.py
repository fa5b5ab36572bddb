"""Rows and rules on real Spark and real Great Expectations: counts, tolerances, samples."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.validation.judging import broken, judge, readable, rejected_by
from validators.counts import FIELD_BYTES, MAX_ROW_BYTES, ROWS, Counts, broken_rows, collect_counts, count_rows
from validators.expectations import ExpectationCrashedError, expectation_suite, judge_batch, run_suite
from validators.file_checks import row_positions
from validators.quarantine import (
    few_quarantined_rows,
    first_quarantined_rows,
    many_quarantined_rows,
    row_offsets,
    samples,
)
from validators.reports import Sample, located
from validators.rows import FILE, RULES, judge_files, read_positions
from validators.schemas import MAX_GENRES, MAX_GENRES_OF_TRACK

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
    statistics = collect_counts(count_rows(judge_files(spark, "streams", files), "streams", {})).statistics
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
    rows = collect_counts(count_rows(judge_files(spark, "streams", files), "streams", {})).broken_rows
    assert rows is not None
    found = samples(few_quarantined_rows(rows, row_offsets(read_positions(spark, files)))["file"])
    assert found["bad_listen_time"] == [Sample(row=3, value="yesterday")]
    assert found["long_user_id"] == [Sample(row=4, value="xx… (201 characters)")]
    assert found["malformed_row"] == [Sample(row=5)]


def test_few_and_many_broken_rows_are_numbered_and_sampled_alike(spark: SparkSession, tmp_path: Path) -> None:
    bad = ["u1,t1,noon\n", ",t1,2024-06-25 10:00:00\n", ",,2024-06-25 10:00:00\n", "u1,t1\n"]
    texts = {
        name: HEADER + "".join(GOOD.format(second % 60) + bad[(second + n) % 4] for second in range(50 + 50 * n))
        for n, name in enumerate(("one", "other"))
    }
    files = readable(tmp_path, texts)
    judged, offsets = judge_files(spark, "streams", files), row_offsets(read_positions(spark, files))
    rows = collect_counts(count_rows(judged, "streams", {})).broken_rows
    assert rows is not None
    few, many = few_quarantined_rows(rows, offsets), many_quarantined_rows(broken_rows(judged), offsets)
    assert [row["row"] for row in few["one"]] == list(range(3, 102, 2))
    by_number = {(row["file"], row["row"]): row.asDict() for row in many.collect()}
    assert by_number == {(file, row["row"]): {"file": file, **row} for file, found in few.items() for row in found}
    samples_of = {file: samples(found) for file, found in few.items()}
    assert samples_of == {file: samples(found) for file, found in first_quarantined_rows(many).items()}
    assert [len(found) for found in samples_of["other"].values()] == [20, 20, 20, 20]


def test_one_query_gives_great_expectations_its_counts_and_the_quarantine_its_rows(
    spark: SparkSession, tmp_path: Path
) -> None:
    files = readable(tmp_path, {"file": HEADER + GOOD.format(0) + "u1,t1,noon\n"})
    counted = count_rows(judge_files(spark, "streams", files), "streams", {})
    collect_counts.cache_clear()
    judge_batch(counted, "streams", ["file"], tolerances={}, current_snapshot_rows=0)
    rows = collect_counts(counted).broken_rows
    assert [row[RULES] for row in rows or []] == [["bad_listen_time"]]
    assert collect_counts.cache_info().misses == 1


@pytest.mark.parametrize(("of_task", "of_driver", "is_few"), [(30, 30, True), (29, 30, False), (30, 29, False)])
def test_no_more_broken_rows_are_held_than_may_be(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of_task: int,
    of_driver: int,
    *,
    is_few: bool,
) -> None:
    bad = ["u1,t1,noon\n", ",t1,2024-06-25 10:00:00\n", "u1,t1\n"]
    text = HEADER + "".join(GOOD.format(second) + bad[second % 3] for second in range(30))
    judged = judge_files(spark, "streams", readable(tmp_path, {"file": text}))
    expected = collect_counts(count_rows(judged, "streams", {}))
    monkeypatch.setattr("validators.counts.MAX_HELD_ROWS_OF_TASK", of_task)
    monkeypatch.setattr("validators.counts.MAX_HELD_ROWS", of_driver)
    counts = collect_counts(count_rows(judged, "streams", {}))
    assert counts.statistics == expected.statistics
    assert (counts.broken_rows is not None) == is_few
    assert sorted(expected.broken_rows or []) == sorted(broken_rows(judged).collect())


@pytest.mark.parametrize(("size", "fields"), [(MAX_ROW_BYTES, ["é" * 100, "t1", "noon"]), (MAX_ROW_BYTES + 1, [])])
def test_a_long_row_is_held_without_its_fields_and_is_sampled_all_the_same(
    spark: SparkSession, tmp_path: Path, size: int, fields: list[str]
) -> None:
    extra = "x" * (size - 4 * FIELD_BYTES - len("é".encode()) * 100 - len("t1noon"))
    header = HEADER.replace("\n", ",extra\n")
    files = readable(tmp_path, {"file": header + "é" * 100 + f",t1,noon,{extra}\n"})
    judged, offsets = judge_files(spark, "streams", files), row_offsets(read_positions(spark, files))
    held = collect_counts(count_rows(judged, "streams", {})).broken_rows
    assert held is not None
    (few,), (many,) = (
        few_quarantined_rows(held, offsets)["file"],
        many_quarantined_rows(broken_rows(judged), offsets).collect(),
    )
    assert (few["row"], few["rules"], few["fields"]) == (2, ["bad_listen_time"], fields and [*fields, extra])
    assert {"file": "file", **few} == many.asDict()
    assert samples([few]) == {"bad_listen_time": [Sample(row=2, value="noon")]}


def test_the_fields_of_a_malformed_row_are_counted_in_the_file(spark: SparkSession, tmp_path: Path) -> None:
    text = HEADER + GOOD.format(0) + "x" * MAX_ROW_BYTES + ",t1\nu1,t1,noon,\nu1,t1,noon\n"
    files = readable(tmp_path, {"file": text})
    rows = collect_counts(count_rows(judge_files(spark, "streams", files), "streams", {})).broken_rows
    found = samples(few_quarantined_rows(rows or [], row_offsets(read_positions(spark, files)))["file"])
    assert located(found, row_positions(io.BytesIO(text.encode()), {3, 4, 5})) == {
        "malformed_row": [Sample(row=3, line=3, fields=2), Sample(row=4, line=4, fields=4)],
        "bad_listen_time": [Sample(row=5, line=5, value="noon")],
    }


def test_a_value_is_held_up_to_its_shown_characters(spark: SparkSession, tmp_path: Path) -> None:
    text = HEADER + "u1,t1," + "é" * 81 + "\nu1,t1," + "é" * 80 + "\nu1,t1," + " " * 81 + "\nu1,t1," + " " * 80 + "\n"
    files = readable(tmp_path, {"file": text})
    rows = collect_counts(count_rows(judge_files(spark, "streams", files), "streams", {})).broken_rows
    found = samples(few_quarantined_rows(rows or [], row_offsets(read_positions(spark, files)))["file"])
    shown = ["é" * 80 + "… (81 characters)", "é" * 80, " " * 80 + "… (81 characters)", " " * 80]
    assert [sample.value for sample in found["bad_listen_time"]] == shown


def test_the_driver_holds_no_more_bytes_than_it_may(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = "x" * 1000 + ",t1,noon\n"
    judged = judge_files(spark, "streams", readable(tmp_path, {"file": HEADER + row * 30}))
    size = 1000 + len("t1noon") + 3 * FIELD_BYTES
    for room, is_few in ((29 * size, True), (29 * size - 1, False)):
        monkeypatch.setattr("validators.counts.MAX_HELD_BYTES", room)
        collect_counts.cache_clear()
        assert (collect_counts(count_rows(judged, "streams", {})).broken_rows is not None) == is_few


def test_the_quarantine_of_a_file_is_bounded_in_bytes(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join("x" * (1000 - n) + ",t1,noon\n" for n in range(30))
    files = readable(tmp_path, {"one": HEADER + rows, "other": HEADER + rows})
    judged, offsets = judge_files(spark, "streams", files), row_offsets(read_positions(spark, files))
    monkeypatch.setattr("validators.quarantine.MAX_QUARANTINED_BYTES", 5 * (1000 + 6 + 3 * FIELD_BYTES))
    kept = many_quarantined_rows(broken_rows(judged), offsets).collect()
    assert sorted((row["file"], row["row"]) for row in kept) == [(f, n) for f in ("one", "other") for n in range(2, 7)]


def test_a_crashed_expectation_is_a_failure_of_the_job_and_no_verdict(spark: SparkSession, tmp_path: Path) -> None:
    files = readable(tmp_path, {"file": HEADER + GOOD.format(0)})
    suite = expectation_suite("streams", ["file"], tolerances={}, current_snapshot_rows=0, warnings=())
    counted = count_rows(judge_files(spark, "streams", files), "streams", {})
    crashing = counted.withColumn(ROWS, F.concat(F.lit("user-1 of "), FILE).cast("int"))
    with pytest.raises(ExpectationCrashedError, match=r"no_rows could not be evaluated: .*CAST_INVALID_INPUT") as crash:
        run_suite(crashing, suite, {})
    assert "user-1" not in str(crash.value)


@pytest.mark.parametrize("rule", ["bad_listen_time", "duplicate_rows"])
def test_a_rule_without_a_measure_is_a_failure_of_the_job_and_does_not_count_as_followed(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    def without_measure(counted: DataFrame) -> Counts:
        counts = collect_counts(counted)
        statistics = {file: {**found} for file, found in counts.statistics.items()}
        for found in statistics.values():
            del found[rule]
        return replace(counts, statistics=statistics)

    monkeypatch.setattr("validators.expectations.collect_counts", without_measure)
    with pytest.raises(ExpectationCrashedError, match=f"the rule {rule} could not be evaluated: NotMeasuredError"):
        judge(spark, tmp_path, {"file": HEADER + GOOD.format(0)})


def test_rows_of_a_file_that_is_not_asked_for_are_a_failure_of_the_job(spark: SparkSession, tmp_path: Path) -> None:
    files = readable(tmp_path, {"file": HEADER + GOOD.format(0)})
    counted = count_rows(judge_files(spark, "streams", files), "streams", {})
    with pytest.raises(ExpectationCrashedError, match="NotMeasuredError"):
        judge_batch(counted, "streams", ["another"], tolerances={}, current_snapshot_rows=0)


def test_the_rules_that_broke_a_snapshot_s_rows_come_before_its_shrinking(spark: SparkSession, tmp_path: Path) -> None:
    header = "user_id,user_name,user_age,user_country,created_at\n"
    texts = {
        "broken": header + "1,A,30.0,NL,2024-01-01\n2,B,31.0,NL,2024-01-01\n",
        "part": header + "1,A,30,NL,2024-01-01\n",
    }
    result = judge(spark, tmp_path, texts, "users", snapshot_rows=4)
    assert rejected_by(result, "broken") == ["bad_user_age", "snapshot_shrunk"]
    detail = {file: result.results[file][-1].detail for file in texts}
    assert detail == {
        "broken": "0 good rows, where at least 2 are needed: half of the current snapshot's; "
        "rows that break a rule are the cause, so mend them first",
        "part": "1 good row, where at least 2 are needed: half of the current snapshot's",
    }


def test_great_expectations_own_page_tells_the_rules(spark: SparkSession, tmp_path: Path) -> None:
    page = judge(spark, tmp_path, {"file": HEADER + "u1,t1,noon\n"}).data_docs
    assert "bad_listen_time" in page
    assert "0 of 1 files follow the rule" in page


class TestGenres:
    """How many genres a track and a songs file may have."""

    HEADER = "track_id,track_name,artists,album_name,track_genre,duration_ms,popularity,explicit\n"

    def file(self, tracks: int, genres: int, first_track: int = 0) -> str:
        """Tracks that have each of the genres, all but the first of them in two rows."""
        return "".join(
            f"t{first_track + track},name {copy},a,b,g{genre},1000,1,f\n"
            for track in range(tracks)
            for genre in range(genres)
            for copy in range(1 + (genre > 0))
        )

    def test_a_track_may_have_so_many_genres_and_no_more(self, spark: SparkSession, tmp_path: Path) -> None:
        good, bad = self.file(3, MAX_GENRES_OF_TRACK), self.file(1, MAX_GENRES_OF_TRACK + 1, first_track=3)
        broken_row = "t0,n,a,b,one more,no duration,1,f\n"
        texts = {"good": self.HEADER + good + broken_row, "bad": self.HEADER + good + bad}
        result = judge(spark, tmp_path, texts, "songs")
        assert {file: rejected_by(result, file) for file in texts} == {"good": [], "bad": ["too_many_genres"]}
        (detail,) = [found.detail for found in result.results["bad"] if not found.success]
        assert detail == "the file has 51 genres, and one track has 51 of them"
        assert result.counts["bad"].rows == 4 * (2 * MAX_GENRES_OF_TRACK - 1) + 2

    def test_a_file_may_have_so_many_genres_and_no_more(self, spark: SparkSession, tmp_path: Path) -> None:
        rows = [f"t{n},n,a,b,g{n},1000,1,f\n" for n in range(MAX_GENRES + 1)]
        texts = {
            "good": self.HEADER + "".join(rows[:-1]),
            "bad": self.HEADER + "".join(rows),
            "empty": self.HEADER,
            "broken": self.HEADER + "t1,n,a,b,g1,no duration,1,f\n",
        }
        result = judge(spark, tmp_path, texts, "songs")
        assert {file: rejected_by(result, file) for file in texts} == {
            "good": [],
            "bad": ["too_many_genres"],
            "empty": ["no_rows"],
            "broken": ["bad_duration_ms"],
        }

    def test_the_order_of_the_rows_does_not_matter(self, spark: SparkSession, tmp_path: Path) -> None:
        rows = self.file(1, MAX_GENRES_OF_TRACK + 1).splitlines(keepends=True)
        texts = {"one": self.HEADER + "".join(rows), "other": self.HEADER + "".join(reversed(rows))}
        result = judge(spark, tmp_path, texts, "songs")
        assert result.results["one"] == result.results["other"]
