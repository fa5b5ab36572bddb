"""The KPIs of a day as attributes of DynamoDB items, from the tables of `kpi_sql.DAY_RESULTS`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

Item = dict[str, Any]

_SONG = ("rank", "track_id", "track_name", "artists", "listens")
_TOTALS = ("listens", "unique_listeners", "listening_time_ms")
_AVERAGES = ("avg_listening_time_ms_per_user", "avg_listening_time_ms_per_play")


@dataclass(frozen=True)
class DayKpis:
    """A day that has plays. Numbers are int, times milliseconds, averages and ratios Decimal with two decimals.

    Attributes:
        summary: the totals, by attribute of SUMMARY. Without version, time and snapshots, which the publisher knows.
        genres: for each genre `date`, `genre`, the measures, `top_songs`, and `hours`: by hour (`00` to `23`) the
            measures of each hour that has plays.
        unknown_tracks: the played tracks that the songs snapshot lacks, ordered by their UTF-8 bytes; None where there
            are more than `count_plays.MAX_UNKNOWN_TRACKS`.
    """

    summary: Item
    genres: list[Item]
    unknown_tracks: Sequence[str] | None


def kpis_by_day(tables: Mapping[str, pa.Table], *, top_genres: int) -> dict[str, DayKpis]:
    """Build the KPIs of some days.

    Args:
        tables: by name; none where no day has a play.
        top_genres: how many genres a day ranks.

    Returns:
        By date, the days that have plays.
    """
    if not tables:
        return {}
    rows = {name: table.to_pylist() for name, table in tables.items()}
    songs_of = _grouped(rows["top_songs"], "day", "genre_name")
    hours_of = _grouped(rows["hour_rows"], "day", "genre_name")
    genres_of = _grouped(rows["genre_rows"], "day")
    countries_of = _grouped(rows["country_rows"], "day")
    unknown_of = _grouped(rows["unknown_tracks"], "day")
    return {
        row["day"].isoformat(): DayKpis(
            _summary_item(row, genres_of[row["day"],], countries_of[row["day"],], top_genres),
            [
                _genre_item(genre, songs_of[row["day"], genre["genre_name"]], hours_of[row["day"], genre["genre_name"]])
                for genre in genres_of[row["day"],]
            ],
            _unknown_tracks(row, unknown_of[row["day"],]),
        )
        for row in rows["summary_rows"]
    }


def _grouped(rows: Iterable[Item], *keys: str) -> Mapping[tuple[Any, ...], list[Item]]:
    """Group rows; a key without rows has none: a day of unknown tracks only has no genre."""
    groups: defaultdict[tuple[Any, ...], list[Item]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    return groups


def _unknown_tracks(row: Item, tracks: list[Item]) -> Sequence[str] | None:
    is_complete = bool(tracks) or not row["unknown_track_plays"]
    return sorted(track["track_id"] for track in tracks) if is_complete else None


def _hundredths(value: Decimal) -> Decimal:
    return value.scaleb(-2)


def _measures(row: Item) -> Item:
    return {
        **{name: int(row[name]) for name in _TOTALS},
        **{name: _hundredths(row[name]) for name in _AVERAGES},
    }


def _genre_item(row: Item, songs: list[Item], hours: list[Item]) -> Item:
    ranked = sorted(songs, key=lambda song: song["rank"])
    return {
        "date": row["day"].isoformat(),
        "genre": row["genre_name"],
        **_measures(row),
        "top_songs": [{**{name: song[name] for name in _SONG}, "listens": int(song["listens"])} for song in ranked],
        "hours": {f"{hour['hour']:02}": _measures(hour) for hour in sorted(hours, key=lambda hour: hour["hour"])},
    }


def _summary_item(row: Item, genres: list[Item], countries: list[Item], top_genres: int) -> Item:
    top = sorted(
        (genre for genre in genres if genre["genre_rank"] <= top_genres), key=lambda genre: genre["genre_rank"]
    )
    return {
        "date": row["day"].isoformat(),
        **{name: int(row[name]) for name in (*_TOTALS, "unknown_track_plays")},
        "listens_per_listener": _hundredths(row["listens_per_listener"]),
        "top_genres": [
            {"rank": genre["genre_rank"], "genre": genre["genre_name"], "listens": int(genre["listens"])}
            for genre in top
        ],
        "listens_by_country": {row["country"]: int(row["listens"]) for row in countries},
    }
