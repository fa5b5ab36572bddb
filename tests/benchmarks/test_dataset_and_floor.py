"""The benchmark's files are the same again, and its floor computes what the reference computes."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import duckdb_floor, polars_lazy
from benchmarks.dataset import KINDS, Size, make
from benchmarks.kpi_rows import TOP_GENRES, TOP_SONGS, UnequalResultsError, canonical, check_equal
from tests import oracle

SIZE = Size(plays=4000, days=3, files=2, users=200, tracks=400)
UPLOADED = datetime(2025, 1, 1, tzinfo=UTC)


def test_the_same_size_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", SIZE), make(tmp_path / "other", SIZE)
    for a, b in zip((one.users, one.songs, *one.streams), (other.users, other.songs, *other.streams), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_the_peers_compute_the_rows_of_the_reference(tmp_path: Path) -> None:
    data = make(tmp_path / "data", SIZE)
    plays: list[oracle.Play] = []
    for path in data.streams:
        valid, invalid = oracle.parse_streams(path.read_bytes(), UPLOADED)
        assert invalid, "the files must have bad rows"
        plays += valid
    songs, _ = oracle.parse_songs(data.songs.read_bytes())
    users, _ = oracle.parse_users(data.users.read_bytes())
    expected = oracle.kpi_items(plays, songs, users, top_songs=TOP_SONGS, top_genres=TOP_GENRES)
    for found in (
        duckdb_floor.compute(tmp_path / "data"),
        duckdb_floor.compute(tmp_path / "data", tmp_path / "duckdb"),
        polars_lazy.compute(tmp_path / "data", tmp_path / "polars"),
    ):
        assert canonical(found) == canonical(expected)
    for lake in ("duckdb", "polars"):
        assert len(list((tmp_path / lake).glob("*/*.parquet"))) >= SIZE.days


def test_the_same_rows_are_written_plain_quoted_or_packed(tmp_path: Path) -> None:
    plain, quoted, packed = (
        make(tmp_path / kind, replace(SIZE, kind=kind)).files("streams")[0].read_bytes() for kind in KINDS
    )
    assert quoted.replace(b'"', b"") == plain != quoted
    assert gzip.decompress(packed) == plain


def test_bad_rows_can_be_left_out(tmp_path: Path) -> None:
    data = make(tmp_path / "data", replace(SIZE, bad=0))
    assert [oracle.parse_streams(path.read_bytes(), UPLOADED)[1] for path in data.streams] == [0, 0]


def test_a_difference_in_the_last_digit_is_refused() -> None:
    rows = [{"pk": "DAY#2024-06-25", "sk": "SUMMARY", "listens_per_listener": "1.25"}]
    check_equal({"ours": rows, "floor": [dict(rows[0])]})
    with pytest.raises(UnequalResultsError, match="broken and ours differ"):
        check_equal({"ours": rows, "broken": [{**rows[0], "listens_per_listener": "1.26"}]})
