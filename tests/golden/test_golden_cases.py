"""Runs every folder beside this file: what its CSV files give is what its `expected.json` says.

A case is `users.csv`, `songs.csv`, `streams*.csv`, `expected.json` (every row of table `kpis` that they give, worked
out by hand) and `why.md`. A new folder is a new case.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.flat_rows import flat
from benchmarks.folder_objects import FolderObjects
from glue_scripts.ledger import NO_TOMBSTONES, Claim
from tests import oracle
from tests.engine import engine_on
from tests.lake import lake_file, write_lake
from tests.oracle import by_key
from tests.stored import Account, plays_of

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/expected.json"))
LAST_MODIFIED = datetime(2025, 6, 1, 12, tzinfo=UTC)
TOP_SONGS, TOP_GENRES = 3, 5


def expected_rows(case: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((case / "expected.json").read_text("utf-8"), parse_float=Decimal)
    return rows


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_job_s_engine_gives_the_expected_rows(case: Path, tmp_path: Path) -> None:
    engine = engine_on(tmp_path, top_songs=TOP_SONGS, top_genres=TOP_GENRES)
    objects = FolderObjects(tmp_path)
    paths = [("songs", case / "songs.csv"), ("users", case / "users.csv")]
    paths += [("streams", path) for path in sorted(case.glob("streams*.csv"))]
    files = [
        lake_file(objects, dataset, path.name, path.read_bytes(), uploaded_at=LAST_MODIFIED.isoformat())
        for dataset, path in paths
    ]
    written = write_lake(objects, files, "run")
    claims = [Claim(date=date, version=1, runs=frozenset({"run"})) for date in written.dates]
    snapshots = {snapshot.dataset: snapshot for snapshot in written.snapshots}
    kpis = engine.compute(claims, snapshots, NO_TOMBSTONES, frozenset())
    assert by_key(flat(kpis)) == by_key(expected_rows(case))


@pytest.mark.parametrize("buckets", [1, 4])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sql_gives_the_expected_rows_in_one_bucket_and_in_many(case: Path, buckets: int, tmp_path: Path) -> None:
    account = Account(objects=FolderObjects(tmp_path))
    files = [
        plays_of(oracle.parse_streams(path.read_bytes(), LAST_MODIFIED)[0], path.name)
        for path in sorted(case.glob("streams*.csv"))
    ]
    rows = account.kpi_items(
        [account.store(files, run="run", buckets=buckets)],
        oracle.parse_songs((case / "songs.csv").read_bytes())[0],
        oracle.parse_users((case / "users.csv").read_bytes())[0],
        top_songs=TOP_SONGS,
        top_genres=TOP_GENRES,
    )
    assert by_key(rows) == by_key(expected_rows(case))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_oracle_gives_the_expected_rows(case: Path) -> None:
    plays = [
        play
        for path in sorted(case.glob("streams*.csv"))
        for play in oracle.parse_streams(path.read_bytes(), LAST_MODIFIED)[0]
    ]
    rows = oracle.kpi_items(
        plays,
        oracle.parse_songs((case / "songs.csv").read_bytes())[0],
        oracle.parse_users((case / "users.csv").read_bytes())[0],
        top_songs=TOP_SONGS,
        top_genres=TOP_GENRES,
    )
    assert by_key(rows) == by_key(expected_rows(case))


def test_every_folder_is_a_whole_case() -> None:
    folders = [path for path in Path(__file__).parent.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert folders
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert {"users.csv", "songs.csv", "expected.json", "why.md"} <= names, folder.name
        assert any(name.startswith("streams") for name in names), folder.name
