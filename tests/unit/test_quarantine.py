"""Rows and rules on real DuckDB and real Great Expectations: counts, tolerances, samples, rows kept in quarantine."""

from __future__ import annotations

import json
import random
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from great_expectations.checkpoint.checkpoint import Checkpoint, CheckpointResult

from glue_scripts.judging import judge_rows
from glue_scripts.spread import HERE
from tests.validation.judging import QUARANTINE, broken, judge, judging, measure, readable, rejected_by
from validators import csv_pieces
from validators.broken_rows import FIELD_BYTES, MAX_ROW_BYTES, MAX_SAMPLES
from validators.csv_pieces import Extent
from validators.expectations import (
    NO_ROWS,
    SNAPSHOT_SHRUNK,
    TOO_MANY_GENRES,
    ExpectationCrashedError,
    NotMeasuredError,
    expectation_suite,
    judge_measures,
)
from validators.quarantine import QUARANTINED_COLUMNS, QuarantinedRows
from validators.reports import Sample
from validators.rules import Severity, rules_of
from validators.schemas import MAX_GENRES, MAX_GENRES_OF_TRACK, REQUIRED_COLUMNS, SNAPSHOT_DATASETS

HEADER = "user_id,track_id,listen_time\n"
GOOD = "u1,t1,2024-06-25 10:00:{:02}\n"


@pytest.fixture(params=[1000, csv_pieces.PIECE_BYTES], ids=["many pieces", "one piece"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", request.param)


def samples(folder: Path, text: str) -> dict[str, list[Sample]]:
    return measure(folder, {"file": text})["file"].samples


def quarantined(folder: Path, file: str = "file") -> list[dict[str, Any]]:
    """The rows that a judging of the folder has written."""
    text = (folder / f"{QUARANTINE}file={file}/part-00000.json").read_text("utf-8")
    return list(map(json.loads, text.splitlines()))


def test_each_file_of_a_batch_gets_its_own_verdict_in_one_run(tmp_path: Path) -> None:
    good = "".join(GOOD.format(second) for second in range(60))
    texts = {
        "good": HEADER + good,
        "reordered": "listen_time,more,track_id,user_id\n2024-06-25T10:00:00Z,x,t1,u1\n",
        "bad": HEADER + "u1,t1,17:43\n,t1,2024-06-25 10:00:00\n",
        "empty": HEADER,
    }
    result = judge(tmp_path, texts)
    assert {file: rejected_by(result, file) for file in texts} == {
        "good": [],
        "reordered": [],
        "bad": ["null_user_id", "bad_listen_time"],
        "empty": ["no_rows"],
    }
    assert result.counts["good"].valid == 60
    assert (result.counts["bad"].rows, result.counts["bad"].quarantined) == (2, 2)


@pytest.mark.parametrize(("bad_rows", "rejecting"), [(1, []), (2, ["null_track_id"])])
def test_a_tolerance_holds_up_to_its_last_row(tmp_path: Path, bad_rows: int, rejecting: list[str]) -> None:
    rows = [GOOD.format(0)] * (100 - bad_rows) + ["u1,,2024-06-25 10:00:00\n"] * bad_rows
    result = judge(tmp_path, {"file": HEADER + "".join(rows)})
    assert rejected_by(result, "file") == rejecting
    assert broken(result, "file")["null_track_id"] == bad_rows


def test_the_future_begins_a_day_after_the_upload(tmp_path: Path) -> None:
    text = HEADER + "u1,t1,2024-06-27 00:00:00\nu1,t1,2024-06-27 00:00:01\nu1,t1,1999-12-31 23:59:59\n"
    assert broken(judge(tmp_path, {"file": text}), "file") == {"future_listen_time": 1, "early_listen_time": 1}


def test_the_future_begins_for_each_file_by_its_own_upload(tmp_path: Path) -> None:
    text = (HEADER + "u1,t1,2024-06-27 00:00:01\n").encode()
    early, late = readable(tmp_path, {"early": text, "late": text})
    files = [early, replace(late, last_modified=late.last_modified + timedelta(seconds=1))]
    measured = judge_rows(files, judging(tmp_path, files), HERE).measured
    assert {name: file.counts["future_listen_time"] for name, file in measured.items()} == {"early": 1, "late": 0}


def test_rows_swallowed_by_a_stray_quote_count_as_broken(tmp_path: Path) -> None:
    swallowed = '"u9,t1,2024-06-25 10:00:00\n' + GOOD.format(1) * 40 + 'u8,t1",2024-06-25 10:00:00\n'
    result = judge(tmp_path, {"file": HEADER + GOOD.format(0) * 100 + swallowed})
    assert rejected_by(result, "file") == ["malformed_row"]
    assert broken(result, "file")["malformed_row"] == 42


def test_duplicates_are_counted_and_no_reason_to_reject(tmp_path: Path) -> None:
    result = judge(tmp_path, {"file": HEADER + GOOD.format(1) * 5 + GOOD.format(2)})
    assert broken(result, "file") == {"duplicate_rows": 4}
    assert rejected_by(result, "file") == []


@pytest.mark.parametrize(("rows_before", "rejecting"), [(4, []), (5, ["snapshot_shrunk"])])
def test_a_snapshot_may_shrink_to_its_half(tmp_path: Path, rows_before: int, rejecting: list[str]) -> None:
    text = "user_id,user_name,user_age,user_country,created_at\n1,A,30,NL,2024-01-01\n2,B,,,2024-01-01\n"
    result = judge(tmp_path, {"file": text}, "users", snapshot_rows=rows_before)
    assert rejected_by(result, "file") == rejecting


def test_a_snapshot_whose_rows_break_a_rule_has_not_shrunk(tmp_path: Path) -> None:
    header = "user_id,user_name,user_age,user_country,created_at\n"
    texts = {
        "broken": header + "1,A,30.5,NL,2024-01-01\n2,B,31.5,NL,2024-01-01\n",
        "part": header + "1,A,30,NL,2024-01-01\n",
    }
    result = judge(tmp_path, texts, "users", snapshot_rows=4)
    assert rejected_by(result, "broken") == ["bad_user_age"]
    assert rejected_by(result, "part") == ["snapshot_shrunk"]
    assert result.results["part"][-1].detail == "1 row, where at least 2 are needed: half of the current snapshot's"


# Samples


@pytest.mark.usefixtures("pieces")
def test_samples_tell_rows_as_a_spreadsheet_does_and_mask_ids(tmp_path: Path) -> None:
    long_id = "x" * 201
    rows = f"u1,t1,yesterday\n{long_id},t1,2024-06-25 10:00:00\nu1,t1\n\n"
    found = samples(tmp_path, "\n" + HEADER + GOOD.format(0) * 100 + "\n\n" + rows + 'u1,"t\n1",noon\n,,noon\n')
    assert found == {
        "bad_listen_time": [
            Sample(row=105, line=105, value="yesterday"),
            Sample(row=109, line=109, lines=2, value="noon"),
            Sample(row=110, line=111, value="noon"),
        ],
        "long_user_id": [Sample(row=106, line=106, value="xx… (201 characters)")],
        "malformed_row": [Sample(row=107, line=107, fields=2)],
        "null_user_id": [Sample(row=110, line=111)],
        "null_track_id": [Sample(row=110, line=111)],
    }


@pytest.mark.usefixtures("pieces")
def test_the_first_rows_of_each_rule_are_sampled_and_all_are_kept(tmp_path: Path) -> None:
    bad = ["u1,t1,noon\n", ",t1,2024-06-25 10:00:00\n", ",,2024-06-25 10:00:00\n", "u1,t1\n"]
    broken_rules = [["bad_listen_time"], ["null_user_id"], ["null_user_id", "null_track_id"], ["malformed_row"]]
    sizes = {"one": 50, "other": 100}
    measured = measure(
        tmp_path,
        {
            name: HEADER + "".join(GOOD.format(number % 60) + bad[number % 4] for number in range(size))
            for name, size in sizes.items()
        },
    )
    for name, size in sizes.items():
        rows = quarantined(tmp_path, name)
        assert [row["row"] for row in rows] == [3 + 2 * number for number in range(size)]
        assert [row["rules"] for row in rows] == [broken_rules[number % 4] for number in range(size)]
        assert measured[name].samples.keys() == {rule for row in rows for rule in row["rules"]}
        for rule, found in measured[name].samples.items():
            expected = [row["row"] for row in rows if rule in row["rules"]][:MAX_SAMPLES]
            assert [(sample.row, sample.line) for sample in found] == [(row, row) for row in expected]
            assert {sample.fields for sample in found} == ({2} if rule == "malformed_row" else {None})
    assert [len(found) for found in measured["other"].samples.values()] == [MAX_SAMPLES] * 4


def test_the_fields_of_a_malformed_row_are_counted_also_where_they_are_not_kept(tmp_path: Path) -> None:
    text = "\n\n" + HEADER + GOOD.format(0) + "x" * MAX_ROW_BYTES + ',t1\n\nu1,t1,noon,\n"u,1","t\n1"\nu1,t1,noon\n'
    assert samples(tmp_path, text) == {
        "malformed_row": [
            Sample(row=5, line=5, fields=2),
            Sample(row=7, line=7, fields=4),
            Sample(row=8, line=8, lines=2, fields=2),
        ],
        "bad_listen_time": [Sample(row=9, line=10, value="noon")],
    }
    assert quarantined(tmp_path) == [
        {"row": 3, "lines": 1, "rules": ["malformed_row"], "fields": []},
        {"row": 4, "lines": 1, "rules": ["malformed_row"], "fields": ["u1,t1,noon,"]},
        {"row": 5, "lines": 2, "rules": ["malformed_row"], "fields": ['"u,1","t\n1"']},
        {"row": 6, "lines": 1, "rules": ["bad_listen_time"], "fields": ["u1", "t1", "noon"]},
    ]


def test_a_value_is_shown_up_to_so_many_characters(tmp_path: Path) -> None:
    text = HEADER + "u1,t1," + "é" * 81 + "\nu1,t1," + "é" * 80 + "\nu1,t1," + " " * 81 + "\nu1,t1," + " " * 80 + "\n"
    shown = ["é" * 80 + "… (81 characters)", "é" * 80, " " * 80 + "… (81 characters)", " " * 80]
    assert [sample.value for sample in samples(tmp_path, text)["bad_listen_time"]] == shown


# Rows kept in quarantine


@pytest.mark.parametrize(("size", "fields"), [(MAX_ROW_BYTES, ["é" * 100, "t1", "noon"]), (MAX_ROW_BYTES + 1, [])])
def test_a_long_row_is_kept_without_its_fields_and_is_sampled_all_the_same(
    tmp_path: Path, size: int, fields: list[str]
) -> None:
    extra = "x" * (size - 4 * FIELD_BYTES - len("é".encode()) * 100 - len("t1noon"))
    header = HEADER.replace("\n", ",extra\n")
    found = samples(tmp_path, header + "é" * 100 + f",t1,noon,{extra}\n")
    assert quarantined(tmp_path) == [
        {"row": 2, "lines": 1, "rules": ["bad_listen_time"], "fields": fields and [*fields, extra]}
    ]
    assert found == {"bad_listen_time": [Sample(row=2, line=2, value="noon")]}


def test_a_file_without_broken_rows_has_no_quarantine(tmp_path: Path) -> None:
    assert samples(tmp_path, HEADER + GOOD.format(0)) == {}
    assert not (tmp_path / QUARANTINE).exists()


@pytest.mark.usefixtures("pieces")
def test_the_quarantine_of_a_file_is_bounded_in_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("validators.quarantine.MAX_QUARANTINED_ROWS", 123)
    text = HEADER + (GOOD.format(0) + "u1,t1,noon\n") * 200
    measured = measure(tmp_path, {"one": text, "other": text})
    for file in ("one", "other"):
        assert measured[file].counts["bad_listen_time"] == 200
        assert [row["row"] for row in quarantined(tmp_path, file)] == list(range(3, 3 + 2 * 123, 2))


@pytest.mark.parametrize("piece_bytes", [2500, csv_pieces.PIECE_BYTES])
def test_the_quarantine_of_a_file_is_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr("validators.quarantine.MAX_QUARANTINED_BYTES", 5 * (1000 + 6 + 3 * FIELD_BYTES))
    rows = "".join("x" * (1000 - n) + ",t1,noon\n" for n in range(30))
    measured = measure(tmp_path, {"one": HEADER + rows, "other": HEADER + rows})
    for file in ("one", "other"):
        assert measured[file].counts["bad_listen_time"] == 30
        assert [row["row"] for row in quarantined(tmp_path, file)] == list(range(2, 7))


def broken_of_piece(sizes: Sequence[int]) -> pa.Table:
    """Broken rows, the first ones of a piece, whose fields take so many bytes."""
    numbers = pa.array(range(len(sizes)), pa.int64())
    return pa.table({"row": numbers, "sheet_row": numbers, "line": numbers, "bytes": pa.array(sizes, pa.int64())})


@pytest.mark.parametrize("seed", range(20))
def test_pieces_and_parts_of_them_in_any_order_give_the_first_rows_of_the_file(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    sizes = {place: [rng.choice([0, 10, 20]) for _ in range(rng.randrange(30))] for place in range(0, 200, 10)}
    first_pieces = list(sizes.values())[: rng.randrange(1, len(sizes))]
    # One bound or the other, where a piece ends or not.
    bounds = (sum(map(len, first_pieces)), 10**9) if seed % 2 else (10**9, sum(map(sum, first_pieces)))
    monkeypatch.setattr("validators.quarantine.MAX_QUARANTINED_ROWS", bounds[0] + rng.randrange(2))
    monkeypatch.setattr("validators.quarantine.MAX_QUARANTINED_BYTES", bounds[1] + rng.randrange(2) * 10)
    parts = [
        (place, broken_of_piece(of_piece).slice(start, 7))
        for place, of_piece in sizes.items()
        for start in range(0, len(of_piece), 7)
    ]
    extents = {place: Extent(len(of_piece), len(of_piece), len(of_piece)) for place, of_piece in sizes.items()}
    in_order, in_any_order = QuarantinedRows(), QuarantinedRows()
    for part in parts:
        in_order.add(*part)
    for part in rng.sample(parts, len(parts)):
        in_any_order.add(*part)
    whole = QuarantinedRows()
    of_file = [size for of_piece in sizes.values() for size in of_piece]
    whole.add(0, broken_of_piece(of_file))
    expected = whole.table({0: Extent(len(of_file), len(of_file), len(of_file))})
    assert expected is not None
    assert expected["row"].to_pylist() == list(range(1, len(expected) + 1))
    assert in_order.table(extents) == expected
    assert in_any_order.table(extents) == expected


@pytest.mark.parametrize("limit", ["rows", "bytes"])
@pytest.mark.parametrize("seed", range(10))
def test_no_more_is_held_than_a_quarantine_and_one_piece(
    monkeypatch: pytest.MonkeyPatch, seed: int, limit: str
) -> None:
    of_piece, size = 10, 16
    monkeypatch.setattr("validators.quarantine.MAX_QUARANTINED_ROWS", 35 if limit == "rows" else 10_000)
    monkeypatch.setattr("validators.quarantine.MAX_QUARANTINED_BYTES", 35 * size if limit == "bytes" else 10**9)
    given: list[weakref.ref[pa.Table]] = []
    rows = QuarantinedRows()
    for place in random.Random(seed).sample(range(100), 100):
        table = broken_of_piece([size] * of_piece)
        given.append(weakref.ref(table))
        rows.add(place, table)
        del table
        held = [reference() for reference in given]
        assert sum(len(table) for table in held if table is not None) <= 35 + of_piece
        del held
    kept = rows.table(dict.fromkeys(range(100), Extent(of_piece, of_piece, of_piece)))
    assert kept is not None
    assert kept["row"].to_pylist() == list(range(1, 36))


def test_what_is_kept_of_a_row_are_the_columns_of_the_quarantine(tmp_path: Path) -> None:
    measure(tmp_path, {"file": HEADER + "ü1,,noon\n"})
    (row,) = quarantined(tmp_path)
    assert tuple(row) == QUARANTINED_COLUMNS
    assert row["fields"] == ["ü1", None, "noon"]


# Great Expectations


def of_streams(measures: Mapping[str, Mapping[str, Any]]) -> None:
    judge_measures(measures, "streams", tolerances={}, current_snapshot_rows=0, snapshots=())


@pytest.mark.parametrize("dataset", REQUIRED_COLUMNS)
def test_every_rule_is_judged_by_an_expectation_of_great_expectations_own(dataset: str) -> None:
    minimum_rows = {NO_ROWS: 1} | ({SNAPSHOT_SHRUNK: 1} if dataset in SNAPSHOT_DATASETS else {})
    suite = expectation_suite(dataset, tolerances={}, minimum_rows=minimum_rows, snapshots=SNAPSHOT_DATASETS)
    judged = Counter(expectation.meta["rule"] for expectation in suite.expectations if expectation.meta)
    rules = [
        *minimum_rows,
        *(rule.id for severity in (Severity.QUARANTINE_ROW, Severity.WARN) for rule in rules_of(dataset, severity)),
    ]
    # Two measures: the genres of the file, and those of a track.
    assert judged == Counter(rules) + Counter({TOO_MANY_GENRES: 2} if dataset == "songs" else {})
    assert {type(expectation).__module__.rpartition(".")[0] for expectation in suite.expectations} == {
        "great_expectations.expectations.core"
    }


@pytest.mark.parametrize("dataset", REQUIRED_COLUMNS)
def test_each_file_has_one_result_of_each_rule(tmp_path: Path, dataset: str) -> None:
    header = ",".join(REQUIRED_COLUMNS[dataset]) + "\n"
    snapshot_rows = 1 if dataset in SNAPSHOT_DATASETS else 0
    result = judge(tmp_path, {"a": header, "b": header}, dataset, snapshot_rows=snapshot_rows)
    row_rules = [rule.id for rule in rules_of(dataset, Severity.QUARANTINE_ROW)]
    warnings = [rule.id for rule in rules_of(dataset, Severity.WARN) if not rule.id.startswith("unknown")]
    expected = [NO_ROWS, *([TOO_MANY_GENRES] if dataset == "songs" else []), *row_rules, *warnings]
    expected += [SNAPSHOT_SHRUNK] if snapshot_rows else []
    for file in ("a", "b"):
        assert [found.rule.id for found in result.results[file]] == expected


class Crash:
    """What raises an error that quotes a value when it is compared."""

    def __lt__(self, other: object) -> bool:
        raise ValueError("user-1 is no number")

    __le__ = __gt__ = __ge__ = __lt__


@pytest.mark.parametrize("rule", ["bad_listen_time", "duplicate_rows"])
def test_a_crashed_expectation_is_a_failure_of_the_job_and_no_verdict(tmp_path: Path, rule: str) -> None:
    measures = {
        name: dict(file.counts)
        for name, file in measure(tmp_path, {"good": HEADER + GOOD.format(0), "crashing": HEADER}).items()
    }
    measures["crashing"][rule] = Crash()  # type: ignore[assignment]
    with pytest.raises(ExpectationCrashedError, match=f"rule {rule} could not be evaluated: .*ValueError") as crash:
        of_streams(measures)
    assert "user-1" not in str(crash.value)


@pytest.mark.parametrize("changes", [{"success": True}, {"result": {"unexpected_index_list": []}}])
def test_a_file_that_great_expectations_contradicts_itself_about_is_a_failure_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, object]
) -> None:
    run = Checkpoint.run

    def contradicting(checkpoint: Checkpoint, **arguments: Any) -> CheckpointResult:  # noqa: ANN401 - as they come
        outcome = run(checkpoint, **arguments)
        (result,) = outcome.run_results.values()
        (found,) = (found for found in result.results if not found.success)
        for name, value in changes.items():
            setattr(found, name, value)
        return outcome

    monkeypatch.setattr(Checkpoint, "run", contradicting)
    with pytest.raises(ExpectationCrashedError, match=r"bad_listen_time: \d files break it, success is (True|False)"):
        judge(tmp_path, {"file": HEADER + "u1,t1,noon\n", "good": HEADER + GOOD.format(0)})


def test_an_expectation_without_a_result_is_a_failure_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Checkpoint.run

    def forgetting(checkpoint: Checkpoint, **arguments: Any) -> CheckpointResult:  # noqa: ANN401 - as they come
        outcome = run(checkpoint, **arguments)
        (result,) = outcome.run_results.values()
        result.results.pop()
        return outcome

    monkeypatch.setattr(Checkpoint, "run", forgetting)
    with pytest.raises(ExpectationCrashedError, match="12 results of 13 expectations"):
        judge(tmp_path, {"file": HEADER + GOOD.format(0)})


@pytest.mark.parametrize("rule", ["bad_listen_time", "duplicate_rows"])
def test_a_rule_without_a_measure_is_a_failure_of_the_job_and_does_not_count_as_followed(
    tmp_path: Path, rule: str
) -> None:
    text = HEADER + GOOD.format(0)
    measures = {name: dict(file.counts) for name, file in measure(tmp_path, {"file": text, "other": text}).items()}
    del measures["file"][rule]
    with pytest.raises(NotMeasuredError, match=f"The rules {rule} were not measured"):
        of_streams(measures)


@pytest.mark.parametrize("measure_of_genres", ["genres", "genres_of_track"])
def test_genres_that_were_not_counted_of_one_file_are_a_failure_of_the_job(
    tmp_path: Path, measure_of_genres: str
) -> None:
    """Great Expectations leaves out a row without a value."""
    text = ",".join(REQUIRED_COLUMNS["songs"]) + "\n"
    found = measure(tmp_path, {"file": text, "other": text}, "songs")
    measures = {name: dict(file.counts) for name, file in found.items()}
    del measures["file"][measure_of_genres]
    with pytest.raises(NotMeasuredError, match="too_many_genres"):
        judge_measures(measures, "songs", tolerances={}, current_snapshot_rows=0, snapshots=())


def test_a_file_of_which_nothing_was_measured_is_a_failure_of_the_job(tmp_path: Path) -> None:
    good = measure(tmp_path, {"file": HEADER + GOOD.format(0)})["file"].counts
    with pytest.raises(NotMeasuredError, match="no_rows"):
        of_streams({"file": good, "another": {}})


def test_great_expectations_own_page_tells_the_rules_and_which_files_break_them(tmp_path: Path) -> None:
    page = judge(tmp_path, {"a.csv": HEADER + "u1,t1,noon\n", "b.csv": HEADER + GOOD.format(0)}).data_docs
    for rule in rules_of("streams", Severity.QUARANTINE_ROW):
        assert f"{rule.id}: {rule.meaning} ({rule.tolerance:.2%})" in page
    assert "50% of 2 total rows" in page
    assert "a.csv" in page
    assert "b.csv" not in page


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

    @pytest.mark.usefixtures("pieces")
    def test_a_track_may_have_so_many_genres_and_no_more(self, tmp_path: Path) -> None:
        good, bad = self.file(3, MAX_GENRES_OF_TRACK), self.file(1, MAX_GENRES_OF_TRACK + 1, first_track=3)
        broken_row = "t0,n,a,b,one more,no duration,1,f\n"
        texts = {"good": self.HEADER + good + broken_row, "bad": self.HEADER + good + bad}
        result = judge(tmp_path, texts, "songs")
        assert {file: rejected_by(result, file) for file in texts} == {"good": [], "bad": ["too_many_genres"]}
        (detail,) = [found.detail for found in result.results["bad"] if not found.success]
        assert detail == "the file has 51 genres, and one track has 51 of them"
        assert result.counts["bad"].rows == 4 * (2 * MAX_GENRES_OF_TRACK - 1) + 2

    def test_a_file_may_have_so_many_genres_and_no_more(self, tmp_path: Path) -> None:
        rows = [f"t{n},n,a,b,g{n},1000,1,f\n" for n in range(MAX_GENRES + 1)]
        texts = {
            "good": self.HEADER + "".join(rows[:-1]),
            "bad": self.HEADER + "".join(rows),
            "empty": self.HEADER,
            "broken": self.HEADER + "t1,n,a,b,g1,no duration,1,f\n",
        }
        result = judge(tmp_path, texts, "songs")
        assert {file: rejected_by(result, file) for file in texts} == {
            "good": [],
            "bad": ["too_many_genres"],
            "empty": ["no_rows"],
            "broken": ["bad_duration_ms"],
        }

    def test_the_order_of_the_rows_does_not_matter(self, tmp_path: Path) -> None:
        rows = self.file(1, MAX_GENRES_OF_TRACK + 1).splitlines(keepends=True)
        texts = {"one": self.HEADER + "".join(rows), "other": self.HEADER + "".join(reversed(rows))}
        result = judge(tmp_path, texts, "songs")
        assert result.results["one"] == result.results["other"]
