"""The benchmark's contenders give the rows of an independent computation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import duckdb_floor, kpi_kernels
from benchmarks.dataset import Size
from benchmarks.kpi_rows import canonical


@pytest.mark.parametrize("runs", [1, 3])
def test_sql_kernels_equal_the_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    monkeypatch.setattr(kpi_kernels, "PLAYS_PER_FILE", 1000)
    kpi_kernels.make_rows(tmp_path, Size(plays=5000, days=3, users=300, tracks=200, genres=9))
    kpi_kernels.sql_here(tmp_path, runs)
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["rows"] == canonical(duckdb_floor.compute(tmp_path / "csv"))
    assert list(result["seconds"]) == list(result["processor"]) == ["store", "snapshots", "count", "rank"]
