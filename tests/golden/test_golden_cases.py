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
from pyspark.sql import DataFrame, SparkSession

from benchmarks.folder_objects import FolderObjects
from glue_scripts.kpis import kpi_items
from tests import oracle
from tests.frames import by_key
from tests.stored import Account, plays_of
from validators.file_checks import check_text, plain_chunks
from validators.rows import ReadableFile, judge_files, valid_rows

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/expected.json"))
LAST_MODIFIED = datetime(2025, 6, 1, 12, tzinfo=UTC)
TOP_SONGS, TOP_GENRES = 3, 5


def expected_rows(case: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((case / "expected.json").read_text("utf-8"), parse_float=Decimal)
    return rows


def read_with_spark(spark: SparkSession, paths: list[Path], dataset: str, folder: Path) -> DataFrame:
    """Reads files of one dataset as the jobs do; `folder` takes the files' plain text."""
    files = []
    for path in paths:
        with path.open("rb") as stream:
            text = check_text(stream, dataset)
        plain = folder / path.name
        with path.open("rb") as stream, plain.open("wb") as copy:
            copy.writelines(plain_chunks(stream))
        files.append(ReadableFile(path.name, plain.as_uri(), text.header, LAST_MODIFIED, text.is_line_per_row))
    return valid_rows(judge_files(spark, dataset, files), dataset)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_spark_gives_the_expected_rows(case: Path, spark: SparkSession, tmp_path: Path) -> None:
    rows = kpi_items(
        read_with_spark(spark, sorted(case.glob("streams*.csv")), "streams", tmp_path),
        read_with_spark(spark, [case / "songs.csv"], "songs", tmp_path),
        read_with_spark(spark, [case / "users.csv"], "users", tmp_path),
        partitions=2,
        top_songs=TOP_SONGS,
        top_genres=TOP_GENRES,
    )
    assert by_key(rows) == by_key(expected_rows(case))


@pytest.mark.parametrize("buckets", [1, 4])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sql_gives_the_expected_rows(case: Path, buckets: int, tmp_path: Path) -> None:
    account = Account(objects=FolderObjects(tmp_path))
    files = [
        plays_of(oracle.parse_streams(path.read_bytes(), LAST_MODIFIED)[0], path.name)
        for path in sorted(case.glob("streams*.csv"))
    ]
    rows = account.kpi_items(
        [account.store(files, run="run", buckets=buckets).run],
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
