"""The rows of table `kpis` as DynamoDB items, from the tables of `kpi_sql.DAY_RESULTS`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from glue_scripts.names import GENRE_INDEX_PARTITION_KEY, SUMMARY

Item = dict[str, Any]

_SONG = ("rank", "track_id", "track_name", "artists", "listens")
_TOTALS = ("listens", "unique_listeners", "listening_time_ms")
_AVERAGES = ("avg_listening_time_ms_per_user", "avg_listening_time_ms_per_play")


def items_of(tables: Mapping[str, pa.Table], *, top_genres: int) -> list[Item]:
    """Build every row of some days.

    Args:
        tables: by name; none where no day has a play.
        top_genres: how many genres a day ranks.

    Returns:
        Items with `pk` and `sk`: integers as int, times in milliseconds, averages and ratios as Decimal with two
        decimals. Without version, time and snapshots, which the publisher knows.
    """
    if not tables:
        return []
    rows = {name: table.to_pylist() for name, table in tables.items()}
    songs_of = _grouped(rows["top_songs"], "day", "genre_name")
    genres_of = _grouped(rows["genre_rows"], "day")
    countries_of = _grouped(rows["country_rows"], "day")
    return [
        *map(_hour_item, rows["hour_rows"]),
        *(_genre_item(row, songs_of[row["day"], row["genre_name"]]) for row in rows["genre_rows"]),
        *(
            _summary_item(row, genres_of[row["day"],], countries_of[row["day"],], top_genres)
            for row in rows["summary_rows"]
        ),
    ]


def _grouped(rows: Iterable[Item], *keys: str) -> Mapping[tuple[Any, ...], list[Item]]:
    """Group rows; a key without rows has none: a day of unknown tracks only has no genre."""
    groups: defaultdict[tuple[Any, ...], list[Item]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    return groups


def _hundredths(value: Decimal) -> Decimal:
    return value.scaleb(-2)


def _measures(row: Item) -> Item:
    return {
        "date": row["day"].isoformat(),
        "genre": row["genre_name"],
        **{name: int(row[name]) for name in _TOTALS},
        **{name: _hundredths(row[name]) for name in _AVERAGES},
    }


def _hour_item(row: Item) -> Item:
    measures = _measures(row)
    hour = f"{row['hour']:02}"
    return {
        "pk": f"DAY#{measures['date']}",
        "sk": f"HOUR#{hour}#GENRE#{row['genre_name']}",
        "hour": hour,
        **measures,
    }


def _genre_item(row: Item, songs: list[Item]) -> Item:
    measures = _measures(row)
    key = f"GENRE#{row['genre_name']}"
    ranked = sorted(songs, key=lambda song: song["rank"])
    return {
        "pk": f"DAY#{measures['date']}",
        "sk": key,
        GENRE_INDEX_PARTITION_KEY: key,
        **measures,
        "top_songs": [{**{name: song[name] for name in _SONG}, "listens": int(song["listens"])} for song in ranked],
    }


def _summary_item(row: Item, genres: list[Item], countries: list[Item], top_genres: int) -> Item:
    date = row["day"].isoformat()
    top = sorted(
        (genre for genre in genres if genre["genre_rank"] <= top_genres), key=lambda genre: genre["genre_rank"]
    )
    return {
        "pk": f"DAY#{date}",
        "sk": SUMMARY,
        GENRE_INDEX_PARTITION_KEY: SUMMARY,
        "date": date,
        **{name: int(row[name]) for name in (*_TOTALS, "unknown_track_plays")},
        "listens_per_listener": _hundredths(row["listens_per_listener"]),
        "top_genres": [
            {"rank": genre["genre_rank"], "genre": genre["genre_name"], "listens": int(genre["listens"])}
            for genre in top
        ],
        "listens_by_country": {row["country"]: int(row["listens"]) for row in countries},
    }
