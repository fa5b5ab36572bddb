"""The tables of scale are those in the docs, and the model follows its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import costs, scale
from benchmarks.scale import Load
from glue_scripts.spread import HERE_PLAYS
from glue_scripts.taken_batches import MAX_BATCHES
from stacks.settings import Settings, read_context

DOCS = (Path(__file__).parents[2] / "docs/performance.md").read_text(encoding="utf-8")
PROD = Settings.read(read_context()["environments"], "prod")


@pytest.mark.parametrize("table", [scale.sustained_table, scale.cost_table])
def test_the_docs_show_the_table(table: Callable[[], str]) -> None:
    assert table() in DOCS


@pytest.mark.parametrize(
    ("plays", "workers", "seconds"),
    [
        (0, 2, 0),
        (2**20, 2, 2**20 * 1e-6 / 0.5),  # one bucket: one thread
        (2**20, 50, 2**20 * 1e-6 / 0.5),
        (HERE_PLAYS, 2, HERE_PLAYS * 1e-6 / 2),
        (HERE_PLAYS, 50, HERE_PLAYS * 1e-6 / 2),  # the driver alone
        (10**8, 2, 10 + 2 * 10**8 * 1e-6 / 2),  # four processors of the one executor
        (10**8, 10, 10 + 2 * 10**8 * 1e-6 / 18),
        (10**8, 50, 10 + 2 * 10**8 * 1e-6 / 48),  # 96 buckets, 196 processors
        (10**9, 50, 10 + 2 * 10**9 * 1e-6 / 98),
    ],
)
def test_plays_take_the_driver_or_the_other_workers(plays: int, workers: int, seconds: float) -> None:
    """A play takes a microsecond of a core, a worker has four processors of half a core each."""
    assert scale.plays_seconds(plays, 1e-6, workers) == pytest.approx(seconds)


def test_a_kpi_run_counts_the_day_so_far() -> None:
    two = scale.day(Load(files=2, plays_of_file=4_000_000, pollers=1), PROD)
    first, second = (
        scale.plays_seconds(plays, scale.KPI_SECONDS + scale.DIVIDE_SECONDS, PROD.number_of_workers)
        + plays * scale.RANK_SECONDS / scale.CORES_OF_VCPU
        for plays in (4_000_000, 8_000_000)
    )
    objects = 2 * 0.1 / 8

    assert two.batches == 2
    assert two.kpi_seconds == {
        "start of KPI runs": 2 * costs.JOB_SECONDS,
        "KPIs of the growing day": pytest.approx(first + second),
        "objects of the day's batches": pytest.approx(3 * objects),
    }
    assert two.longest_run == pytest.approx(costs.JOB_SECONDS + second + 2 * objects)


def test_where_batches_wait_a_kpi_run_counts_the_day_once_for_several_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Load(files=33 * 63, plays_of_file=1_000, pollers=1)
    alone = scale.day(load, PROD)
    monkeypatch.setattr(costs, "SECONDS_A_DAY", 0)
    monkeypatch.setattr(costs, "batches", lambda *_, pollers: alone.batches)
    waiting = scale.day(load, PROD)
    assert waiting.kpi_seconds["start of KPI runs"] == alone.kpi_seconds["start of KPI runs"]
    assert waiting.objects_read < alone.objects_read / MAX_BATCHES * 2
    assert waiting.longest_run == alone.longest_run


def test_fewer_batches_are_loaded_together_the_larger_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "SECONDS_A_DAY", 0)
    monkeypatch.setattr(costs, "batches", lambda *_, pollers: 100)
    small, large = (scale.day(Load(100, plays, 1), PROD).objects_read for plays in (1_000, 10_000_000))
    assert (small, large) == (2 * (21 + 42 + 63 + 84 + 100), 2 * sum([*range(2, 100, 2), 100]))


def test_one_file_more_than_what_is_sustained_is_not() -> None:
    load, _ = scale.sustained(100_000, PROD, pollers=1)

    assert scale.is_sustained(load, PROD)
    assert not scale.is_sustained(replace(load, files=load.files + 1), PROD)


@pytest.mark.parametrize(
    ("constant", "value", "plays_of_file", "limit"),
    [
        ("PARTITION_UNITS", 1, 1_000, "DynamoDB writes"),
        ("MAX_CONCURRENT_VALIDATIONS", 1, 1_000, "validation runs"),
        ("GET_SECONDS", 3, 1_000, "objects of the day's batches"),
        ("GET_SECONDS", 0, 100_000, "KPIs of the growing day"),
        ("GET_SECONDS", 0, 1, "start of KPI runs"),
        ("KPI_SECONDS", 0.001, 10_000_000, "job timeout"),
    ],
)
def test_the_limit_that_binds_is_named(
    monkeypatch: pytest.MonkeyPatch, constant: str, value: float, plays_of_file: int, limit: str
) -> None:
    """Batches are not loaded together here: otherwise the job timeout would bind before the limit under test."""
    monkeypatch.setattr(scale, "MAX_BATCHES", 0)
    monkeypatch.setattr(scale, constant, value)

    assert scale.sustained(plays_of_file, replace(PROD, max_concurrent_kpi_runs=10), pollers=1)[1] == limit


def test_the_fewest_workers_are_tried_first_and_the_fewest_runs_with_them() -> None:
    load = Load(files=1_440, plays_of_file=1_000, pollers=costs.POLLERS)
    assert not scale.is_sustained(load, PROD)

    found = scale.needed(load, PROD)

    assert found == replace(PROD, max_concurrent_kpi_runs=2)
    assert scale.is_sustained(load, found)
    assert scale.needed(replace(load, files=10_000_000), PROD) is None


def test_a_day_of_small_files_costs_what_costs_tells() -> None:
    glue, rest = scale.cost(Load(files=1_000, plays_of_file=1, pollers=1), PROD, costs.read_prices())
    told = costs.cost(1_000, PROD, costs.read_prices(), pollers=1)

    assert glue == pytest.approx(told.glue, rel=0.03)
    assert rest == pytest.approx(told.rest, rel=0.1)
