"""The same KPIs from the same CSV files by polars, lake write included.

`python -m benchmarks.polars_lazy DATA RESULT`
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.kpi_rows import TOP_SONGS, Aggregates, canonical, kpi_rows, write_result

_MEASURES: Final = (
    pl.col("listens").sum(),
    pl.col("user_id").n_unique().alias("unique_listeners"),
    pl.col("time").sum().alias("listening_time_ms"),
)


def compute(folder: Path, lake: Path) -> list[dict[str, Any]]:
    """All KPI rows of a folder that `dataset.make` has filled.

    Args:
        folder: the CSV files.
        lake: gets the valid plays, Parquet by date, from which the KPIs are computed.
    """
    _plays(folder).sink_parquet(pl.PartitionBy(lake, key="date"), mkdir=True)
    songs, users = _songs(folder), _users(folder)
    tracks = (
        songs.sort("track_id", "duration_ms", "track_name", "artists")
        .group_by("track_id", maintain_order=True)
        .first()
        .drop("genre")
    )
    genres = songs.select("track_id", "genre").unique()
    counts = (
        pl.scan_parquet(lake / "**/*.parquet", hive_partitioning=False)
        .unique()
        .group_by(_date("moment"), pl.col("moment").dt.to_string("%H").alias("hour"), "user_id", "track_id")
        .agg(pl.len().cast(pl.Int64).alias("listens"))
        .join(tracks.lazy().select("track_id", "duration_ms"), on="track_id", how="left")
        .with_columns(time=pl.col("listens") * pl.col("duration_ms"))
        .collect(engine="streaming")
        .lazy()
    )
    listeners = (
        counts.join(genres.lazy(), on="track_id", how="inner")
        .filter(pl.col("duration_ms").is_not_null())
        .group_by("date", "hour", "genre", "user_id")
        .agg(pl.col("listens").sum(), pl.col("time").sum())
        .collect(engine="streaming")
        .lazy()
    )
    top_songs = (
        counts.group_by("date", "track_id")
        .agg(pl.col("listens").sum())
        .join(genres.lazy(), on="track_id")
        .sort(["listens", "track_id"], descending=[True, False])
        .group_by("date", "genre", maintain_order=True)
        .head(TOP_SONGS)
        .with_columns(rank=pl.col("listens").cum_count().over("date", "genre").cast(pl.Int64))
        .join(tracks.lazy(), on="track_id")
    )
    days = counts.group_by("date").agg(
        pl.col("listens").sum(),
        pl.col("user_id").n_unique().alias("unique_listeners"),
        pl.col("time").sum().alias("listening_time_ms"),
        pl.col("listens").filter(pl.col("duration_ms").is_null()).sum().alias("unknown_track_plays"),
    )
    countries = (
        counts.join(users.lazy(), on="user_id", how="left")
        .group_by("date", pl.col("country").fill_null("unknown"))
        .agg(pl.col("listens").sum())
    )
    of_hours = listeners.group_by("date", "hour", "genre").agg(_MEASURES)
    of_genres = listeners.group_by("date", "genre").agg(_MEASURES)
    frames = {"hours": of_hours, "genres": of_genres, "songs": top_songs, "days": days, "countries": countries}
    collected = pl.collect_all(list(frames.values()), engine="streaming")
    rows = {name: frame.to_dicts() for name, frame in zip(frames, collected, strict=True)}
    return kpi_rows(Aggregates(**rows))


def _plays(folder: Path) -> pl.LazyFrame:
    """Valid rows as docs/rules.md has them, as far as the benchmark's files can break a rule."""
    moment = pl.col("listen_time").str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False)
    return (
        pl.scan_csv(folder / "streams-*.csv", infer_schema=False)
        .select(_trimmed("user_id"), _trimmed("track_id"), moment.alias("moment"))
        .filter(pl.col("user_id") != "", pl.col("track_id") != "", pl.col("moment").is_not_null())
        .with_columns(_date("moment"))
    )


def _songs(folder: Path) -> pl.DataFrame:
    return (
        pl.scan_csv(folder / "songs.csv", infer_schema=False)
        .select(
            _trimmed("track_id"),
            _trimmed("track_genre").alias("genre"),
            pl.col("duration_ms").cast(pl.Int64, strict=False),
            pl.col("track_name").str.slice(0, 300),
            pl.col("artists").str.slice(0, 300),
        )
        .filter(pl.col("track_id") != "", pl.col("genre") != "", pl.col("duration_ms") >= 0)
        .collect()
    )


def _users(folder: Path) -> pl.DataFrame:
    country = pl.col("user_country").str.strip_chars()
    return (
        pl.scan_csv(folder / "users.csv", infer_schema=False)
        .select(_trimmed("user_id"), pl.when(country != "").then(country).alias("country"))
        .group_by("user_id")
        .agg(pl.col("country").min())
        .collect()
    )


def _trimmed(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars()


def _date(column: str) -> pl.Expr:
    return pl.col(column).dt.to_string("%Y-%m-%d").alias("date")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=Path(sys.argv[2]).parent) as lake_folder:
        write_result(Path(sys.argv[2]), canonical(compute(Path(sys.argv[1]), Path(lake_folder))))
