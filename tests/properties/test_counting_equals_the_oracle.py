"""Plays that are stored and counted by SQL give the oracle's KPI rows, row for row and to the last digit.

Random data made to be difficult, in one bucket and in many, in this process and spread over Spark's tasks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from benchmarks.folder_objects import FolderObjects
from glue_scripts.ledger import Tombstones, salted_hash
from glue_scripts.spread import Spread
from glue_scripts.stored_plays import RunOfDay
from tests import oracle
from tests.difficult_data import Data, random_data
from tests.oracle import Play, by_key
from tests.stored import Account, plays_of


def in_files(plays: Sequence[Play], files: int, seed: int = 0) -> list[list[Play]]:
    """Deals plays out to files; some plays stand in two."""
    rng = random.Random(seed)
    dealt: list[list[Play]] = [[] for _ in range(files)]
    for play in plays:
        for number in rng.sample(range(files), k=min(files, rng.choice([1, 1, 1, 2]))):
            dealt[number].append(play)
    return dealt


def stored_runs(account: Account, plays: Sequence[Play], buckets: Sequence[int]) -> list[Sequence[RunOfDay]]:
    """Stores plays as a run for each number of buckets, each of two files; some plays stand in several."""
    files = [plays_of(part, f"file-{number}") for number, part in enumerate(in_files(plays, 2 * len(buckets)))]
    return [
        account.store(files[2 * number : 2 * number + 2], run=f"run-{number}", buckets=count)
        for number, count in enumerate(buckets)
    ]


def assert_equals_oracle(
    account: Account, data: Data, *, buckets: Sequence[int], top_songs: int = 3, top_genres: int = 5
) -> None:
    expected = oracle.kpi_items(*data, top_songs=top_songs, top_genres=top_genres)
    runs = stored_runs(account, data.plays, buckets)
    actual = account.kpi_items(runs, data.songs, data.users, top_songs=top_songs, top_genres=top_genres)
    assert by_key(actual) == by_key(expected)


@pytest.fixture
def here(tmp_path: Path) -> Account:
    return Account(objects=FolderObjects(tmp_path))


@pytest.fixture
def spread(tmp_path: Path, spark: SparkSession) -> Account:
    return Account(objects=FolderObjects(tmp_path), start=partial(Spread.of, spark.sparkContext))


BUCKETS = [[1], [2], [64], [1, 1], [4, 16], [16, 1, 4, 16]]


@pytest.mark.parametrize(("seed", "buckets"), list(enumerate(BUCKETS)), ids=str)
def test_on_random_data(here: Account, seed: int, buckets: list[int]) -> None:
    data = random_data(seed, plays=3000, tracks=80, users=60, countries=6)
    assert_equals_oracle(here, data, buckets=buckets)


@pytest.mark.parametrize("buckets", [[64], [1, 1], [16, 1, 4, 16]], ids=str)
def test_on_random_data_spread_over_tasks(spread: Account, buckets: list[int]) -> None:
    data = random_data(4, plays=3000, tracks=80, users=60, countries=6)
    assert_equals_oracle(spread, data, buckets=buckets)


def test_where_nearly_everything_ties(here: Account) -> None:
    data = random_data(4, plays=150, tracks=120, users=100, countries=4)
    assert_equals_oracle(here, data, buckets=[4], top_songs=2, top_genres=7)


def test_with_more_countries_than_a_row_holds(here: Account) -> None:
    data = random_data(5, plays=2500, tracks=30, users=900, countries=700)
    assert_equals_oracle(here, data, buckets=[8], top_songs=1, top_genres=1)


def test_without_a_catalogue_and_users(here: Account) -> None:
    plays = random_data(6, plays=200, tracks=10, users=10, countries=1).plays
    assert_equals_oracle(here, Data(plays, [], []), buckets=[2])


def test_without_plays_there_is_no_row(here: Account) -> None:
    _, songs, users = random_data(7, plays=1, tracks=10, users=10, countries=1)
    assert here.kpi_items([], songs, users, top_songs=3, top_genres=5) == []
    assert oracle.kpi_items([], songs, users, top_songs=3, top_genres=5) == []


def test_neither_order_nor_repetition_of_rows_matters(here: Account) -> None:
    data = random_data(8, plays=1000, tracks=40, users=30, countries=3)
    again = Data([*reversed(data.plays), *data.plays], [*reversed(data.songs), *data.songs], data.users[::-1] * 2)
    expected = oracle.kpi_items(*data, top_songs=3, top_genres=5)
    assert oracle.kpi_items(*again, top_songs=3, top_genres=5) == expected
    assert_equals_oracle(here, again, buckets=[2, 8])


@pytest.mark.parametrize("buckets", [[1], [4, 16]], ids=str)
@pytest.mark.parametrize("is_known_when_stored", [True, False])
def test_purged_users_count_nowhere(here: Account, buckets: list[int], is_known_when_stored: bool) -> None:
    data = random_data(10, plays=2000, tracks=40, users=30, countries=3)
    purged = set(sorted({play.user_id for play in data.plays})[::3])
    tombstones = Tombstones("salt", frozenset(salted_hash("salt", user_id) for user_id in purged))
    stay = Data([play for play in data.plays if play.user_id not in purged], data.songs, data.users)
    if is_known_when_stored:
        files = [plays_of(part, f"file-{number}") for number, part in enumerate(in_files(data.plays, 2))]
        runs = [
            here.store([file], run=f"run-{number}", buckets=buckets[number % len(buckets)], tombstones=tombstones)
            for number, file in enumerate(files)
        ]
        actual = here.kpi_items(runs, data.songs, data.users, top_songs=3, top_genres=5)
    else:
        runs = stored_runs(here, data.plays, buckets)
        actual = here.kpi_items(runs, data.songs, data.users, top_songs=3, top_genres=5, tombstones=tombstones)
    assert by_key(actual) == by_key(oracle.kpi_items(*stay, top_songs=3, top_genres=5))


def test_the_same_rows_here_and_spread(tmp_path: Path, spark: SparkSession) -> None:
    data = random_data(11, plays=4000, tracks=60, users=80, countries=6)

    def items(folder: Path, start: Callable[..., object] | None) -> object:
        options = {} if start is None else {"start": start}
        account = Account(objects=FolderObjects(folder), **options)  # type: ignore[arg-type]
        runs = stored_runs(account, data.plays, [2, 8, 1])
        written = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.parquet")}
        rows = account.kpi_items(runs, data.songs, data.users, top_songs=3, top_genres=5)
        return [day.document() for run in runs for day in run], written, by_key(rows)

    assert items(tmp_path / "here", None) == items(tmp_path / "spread", partial(Spread.of, spark.sparkContext))
