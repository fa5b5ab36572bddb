"""Runs of a day that are merged: what is chosen, what is written, and what happens beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.folder_objects import FolderObjects
from glue_scripts import judging, merging
from glue_scripts.ledger import MAX_RUNS_MERGED, NO_TOMBSTONES, Claim, Tombstones
from glue_scripts.merging import MANY_RUNS, StoredRuns, merge_runs, runs_to_merge
from glue_scripts.publication import ComputedDay
from glue_scripts.stored_plays import RunOfDay
from tests.engine import no_spark
from tests.oracle import by_key
from tests.unit.conftest import Tables
from tests.unit.test_sql_engine import (
    EVENING,
    MORNING,
    NO_SNAPSHOTS,
    TUESDAY,
    WEDNESDAY,
    Lake,
    expected,
    plays,
    purge,
)

DATE = "2024-06-25"


# Which runs


def test_runs_are_merged_once_there_are_many() -> None:
    rows = {f"run-{number}": 10 for number in range(MANY_RUNS - 1)}
    assert runs_to_merge(rows) == []
    assert sorted(runs_to_merge(rows | {"another": 10})) == sorted([*rows, "another"])


def test_a_run_that_is_larger_than_all_smaller_ones_together_is_not_written_again() -> None:
    small = {f"run-{number}": 10 for number in range(MANY_RUNS)}
    assert set(runs_to_merge({**small, "large": 10 * MANY_RUNS + 1, "larger": 10**6})) == set(small)
    assert len(runs_to_merge({**small, "as large": 10 * MANY_RUNS})) == MANY_RUNS + 1


def test_a_day_that_gets_one_run_after_another_keeps_few_and_writes_each_row_a_few_times() -> None:
    runs, written, most = {}, 0, 0
    for number in range(1_000):
        runs[f"run-{number}"] = 100
        if merged := runs_to_merge(runs):
            rows = sum(runs.pop(run) for run in merged)
            written += rows
            runs[f"merged-{number}"] = rows
        most = max(most, len(runs))
    assert most < MANY_RUNS + 8
    assert written < 6 * 100 * 1_000


# What is written


def stored_runs(lake: Lake) -> StoredRuns:
    return StoredRuns(objects=FolderObjects(lake.folder), context=no_spark, share=lake.engine.share)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.of(tmp_path / "bucket")


@pytest.mark.parametrize("rows_of_a_task", [1, 2, 100])
def test_merged_runs_count_as_the_runs_did_with_any_buckets(
    lake: Lake, rows_of_a_task: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write_streams("one", MORNING)
    monkeypatch.setattr(judging, "PLAYS_PER_BUCKET", 1)
    lake.write_streams("two", EVENING)
    monkeypatch.setattr(merging, "PLAYS_PER_BUCKET", rows_of_a_task)
    stored_runs(lake).merge(TUESDAY, ["one", "two"], "merged", NO_TOMBSTONES)
    snapshots = lake.write_snapshots()
    merged = lake.compute({TUESDAY: ["merged"]}, snapshots)
    assert by_key(merged) == by_key(lake.compute({TUESDAY: ["one", "two"]}, snapshots)) != {}
    assert lake.run_of_day("merged", TUESDAY).buckets >= lake.run_of_day("two", TUESDAY).buckets > 1


def test_merged_runs_keep_the_file_of_each_play(lake: Lake) -> None:
    """Otherwise a withdrawn file could not be left out any more, nor restored."""
    morning, evening = lake.file("streams", "morning", MORNING), lake.file("streams", "evening", EVENING)
    lake.write("one", morning)
    lake.write("two", evening)
    stored_runs(lake).merge(TUESDAY, ["one", "two"], "merged", NO_TOMBSTONES)
    for withdrawn, lines in ((morning, EVENING), (evening, MORNING)):
        rows = lake.compute({TUESDAY: ["merged"]}, NO_SNAPSHOTS, withdrawn=frozenset({withdrawn.accepted.name}))
        of_tuesday = [play for play in plays(lines) if play.listen_time.date().isoformat() == TUESDAY]
        assert by_key(rows) == expected(of_tuesday, [], [])


def test_merged_runs_have_no_purged_users(lake: Lake) -> None:
    lake.write_streams("one", MORNING, EVENING)
    stored_runs(lake).merge(TUESDAY, ["one"], "merged", purge("ann", "cem"))
    assert lake.column(f"curated/plays/listen_date={TUESDAY}/run=merged", "user_id") == ["bob"]


@pytest.mark.parametrize("date", [TUESDAY, WEDNESDAY])
def test_runs_of_which_nothing_is_left_are_merged_into_an_empty_one(lake: Lake, date: str) -> None:
    """On one day all plays are of purged users, on the other one the runs were empty before."""
    lake.write_streams("one", MORNING, tombstones=purge("ann") if date == WEDNESDAY else NO_TOMBSTONES)
    stored_runs(lake).merge(date, ["one"], "merged", purge("ann", "bob"))
    merged = lake.run_of_day("merged", date)
    assert (merged.rows, merged.objects, merged.execution_arn) == (0, [], None)
    assert lake.compute({date: ["merged"]}, NO_SNAPSHOTS) == []


# In what order


@dataclass
class SomeRuns:
    """Runs of one day, without a lake."""

    tables: Tables
    rows_of: dict[str, int]
    merged: dict[str, Sequence[str]] = field(default_factory=dict)
    meanwhile: Sequence[str] = ()
    tombstones: Tombstones = NO_TOMBSTONES

    def rows(self, date: str, runs: Collection[str]) -> Mapping[str, int]:
        return {run: self.rows_of[run] for run in runs}

    def merge(self, date: str, runs: Collection[str], name: str, tombstones: Tombstones) -> None:
        assert name not in self.tables.ledger.runs(date)
        self.merged[name] = sorted(runs)
        self.tombstones = tombstones
        for run in self.meanwhile:
            assert self.tables.ledger.replace_run(date, run, f"clean-{run}")


def many_runs(tables: Tables, count: int) -> SomeRuns:
    names = [f"run-{number:03}" for number in range(count)]
    for run in names:
        tables.ledger.commit_run(DATE, run)
    return SomeRuns(tables, dict.fromkeys(names, 10))


def computed(tables: Tables, tombstones: Tombstones = NO_TOMBSTONES) -> ComputedDay:
    return ComputedDay(Claim(DATE, 7, tables.ledger.runs(DATE)), tombstones)


def test_one_run_stands_in_the_place_of_many(tables: Tables) -> None:
    lake = many_runs(tables, MANY_RUNS)
    merge_runs(tables.ledger, lake, [computed(tables)], "job")
    assert tables.ledger.runs(DATE) == {"job-merged-7"}
    assert lake.merged == {"job-merged-7": sorted(lake.rows_of)}


def test_very_many_runs_take_several_transactions(tables: Tables) -> None:
    lake = many_runs(tables, 200)
    requests = tables.recorded()
    merge_runs(tables.ledger, lake, [computed(tables)], "job")
    swaps = [params["TransactItems"] for operation, params in requests if operation == "TransactWriteItems"]
    assert [len(swap) for swap in swaps] == [MAX_RUNS_MERGED + 1, MAX_RUNS_MERGED + 1, 200 - 2 * MAX_RUNS_MERGED + 1]
    assert tables.ledger.runs(DATE) == {"job-merged-7"}


def test_runs_that_cannot_be_swapped_any_more_stay_beside_the_merged_one(tables: Tables) -> None:
    """Its plays are in both, and count once."""
    lake = many_runs(tables, 200)
    lake.meanwhile = ["run-150"]
    merge_runs(tables.ledger, lake, [computed(tables)], "job")
    left = tables.ledger.runs(DATE)
    assert {"job-merged-7", "clean-run-150", "run-199"} <= left
    assert len(left) == 200 - MAX_RUNS_MERGED + 1


def test_a_day_that_was_computed_twice_is_merged_once(tables: Tables) -> None:
    """As by a batch of plays that brings a catalogue."""
    lake = many_runs(tables, MANY_RUNS)
    day = computed(tables)
    merge_runs(tables.ledger, lake, [day, ComputedDay(Claim(DATE, 8, day.claim.runs), NO_TOMBSTONES)], "job")
    assert set(lake.merged) == {"job-merged-8"}


def test_few_runs_are_left_alone(tables: Tables) -> None:
    lake = many_runs(tables, MANY_RUNS - 1)
    merge_runs(tables.ledger, lake, [computed(tables)], "job")
    assert (len(tables.ledger.runs(DATE)), lake.merged) == (MANY_RUNS - 1, {})


def test_a_merge_changes_nothing_if_one_of_the_runs_was_replaced_meanwhile(tables: Tables) -> None:
    """A purge has taken a person out of a run: the merged one would bring the person back into the lake."""
    lake = many_runs(tables, MANY_RUNS)
    lake.meanwhile = ["run-007"]
    merge_runs(tables.ledger, lake, [computed(tables)], "job")
    assert tables.ledger.runs(DATE) == {*lake.rows_of, "clean-run-007"} - {"run-007"}


def test_a_run_that_was_merged_is_not_committed_again(tables: Tables) -> None:
    lake = many_runs(tables, MANY_RUNS)
    merge_runs(tables.ledger, lake, [computed(tables)], "job")
    tables.ledger.commit_run(DATE, "run-003")
    assert tables.ledger.runs(DATE) == {"job-merged-7"}


def test_a_document_of_a_merged_run_names_no_execution(lake: Lake) -> None:
    lake.write_streams("one", MORNING)
    stored_runs(lake).merge(TUESDAY, ["one"], "merged", NO_TOMBSTONES)
    arns = {run: lake.run_of_day(run, TUESDAY).execution_arn for run in ("one", "merged")}
    assert arns == {"one": "arn:execution", "merged": None}
    assert isinstance(lake.run_of_day("merged", TUESDAY), RunOfDay)


def test_a_merged_run_leaves_out_the_users_whom_the_rows_of_the_day_leave_out_and_no_others(tables: Tables) -> None:
    """Otherwise a purge would find nobody in the runs, and would leave the day as it is, whose rows count the user."""
    lake = many_runs(tables, MANY_RUNS)
    day = computed(tables, purge("ann"))
    tables.ledger.purge_user("bob")
    merge_runs(tables.ledger, lake, [day], "job")
    assert lake.tombstones == purge("ann")
