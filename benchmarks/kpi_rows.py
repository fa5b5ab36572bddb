"""KPI rows from plain aggregates, and the one form in which rows of all contenders are compared."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

TOP_SONGS: Final = 3
TOP_GENRES: Final = 5
BOOKKEEPING: Final = (
    "claim",
    "version",
    "computed_at",
    "genre_rows",
    "songs_snapshot",
    "users_snapshot",
    "snapshots",
    "kpi_code",
    "kpi_settings",
)
"""What the KPI job writes beside the KPIs."""

Row = Mapping[str, Any]


class UnequalResultsError(Exception):
    """Contenders do not agree: their times may not be compared."""


@dataclass(frozen=True, kw_only=True)
class Aggregates:
    """What a contender has computed, rows in any order.

    Attributes:
        hours: date, hour, genre, listens, unique_listeners, listening_time_ms.
        genres: the same by date and genre.
        songs: date, genre, rank, track_id, track_name, artists, listens.
        days: date, listens, unique_listeners, listening_time_ms, unknown_track_plays.
        countries: date, country, listens.
    """

    hours: Sequence[Row]
    genres: Sequence[Row]
    songs: Sequence[Row]
    days: Sequence[Row]
    countries: Sequence[Row]


def kpi_rows(aggregates: Aggregates) -> list[dict[str, Any]]:
    """The rows of table `kpis`, without bookkeeping."""
    songs: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    genres: defaultdict[str, list[Row]] = defaultdict(list)
    countries: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(aggregates.songs, key=lambda song: song["rank"]):
        songs[row["date"], row["genre"]].append({name: row[name] for name in _SONG})
    for row in sorted(aggregates.genres, key=lambda genre: (-genre["listens"], genre["genre"])):
        genres[row["date"]].append(row)
    for row in aggregates.countries:
        countries[row["date"]].append(row)
    return [
        *(_hour(row) for row in aggregates.hours),
        *(_genre(row, songs[row["date"], row["genre"]]) for row in aggregates.genres),
        *(_summary(row, genres[row["date"]], countries[row["date"]]) for row in aggregates.days),
    ]


_SONG: Final = ("rank", "track_id", "track_name", "artists", "listens")


def _ratio(total: int, count: int) -> Decimal:
    return Decimal((200 * total + count) // (2 * count)).scaleb(-2)


def _measures(row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("date", "genre", "listens", "unique_listeners", "listening_time_ms")},
        "avg_listening_time_ms_per_user": _ratio(row["listening_time_ms"], row["unique_listeners"]),
        "avg_listening_time_ms_per_play": _ratio(row["listening_time_ms"], row["listens"]),
    }


def _hour(row: Row) -> dict[str, Any]:
    key = f"HOUR#{row['hour']}#GENRE#{row['genre']}"
    return {"pk": f"DAY#{row['date']}", "sk": key, "hour": row["hour"], **_measures(row)}


def _genre(row: Row, songs: Sequence[Row]) -> dict[str, Any]:
    key = f"GENRE#{row['genre']}"
    return {"pk": f"DAY#{row['date']}", "sk": key, "genre_pk": key, **_measures(row), "top_songs": list(songs)}


def _summary(row: Row, genres: Sequence[Row], countries: Sequence[Row]) -> dict[str, Any]:
    top = [
        {"rank": rank, "genre": genre["genre"], "listens": genre["listens"]}
        for rank, genre in enumerate(genres[:TOP_GENRES], start=1)
    ]
    totals = ("date", "listens", "unique_listeners", "listening_time_ms", "unknown_track_plays")
    return {
        "pk": f"DAY#{row['date']}",
        "sk": "SUMMARY",
        "genre_pk": "SUMMARY",
        **{name: row[name] for name in totals},
        "listens_per_listener": _ratio(row["listens"], row["unique_listeners"]),
        "top_genres": top,
        "listens_by_country": {country["country"]: country["listens"] for country in countries},
    }


def canonical(rows: Iterable[Row]) -> list[Any]:
    """Rows in the order of their keys, numbers as exact text, without bookkeeping."""
    kept = [{name: _plain(value) for name, value in row.items() if name not in BOOKKEEPING} for row in rows]
    return sorted(kept, key=lambda row: (row["pk"], row["sk"]))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, int | Decimal):
        return f"{Decimal(value).normalize():f}"
    return value


def write_result(path: Path, result: object) -> None:
    """Writes what a contender has computed, for the comparison."""
    path.write_text(json.dumps(result), encoding="utf-8")


def check_equal(results: Mapping[str, Any]) -> None:
    """Compares results of contenders by their names.

    Raises:
        UnequalResultsError: they are not all equal; names the first difference.
    """
    (first, expected), *others = results.items()
    for name, result in others:
        if result != expected:
            raise UnequalResultsError(f"{name} and {first} differ, nothing is timed: {_difference(expected, result)}")


def _difference(expected: Any, result: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(expected, list) and isinstance(result, list):
        if len(expected) != len(result):
            return f"{len(expected)} rows and {len(result)}"
        return next(f"{ours} and {theirs}" for ours, theirs in zip(expected, result, strict=True) if ours != theirs)
    return f"{expected} and {result}"
