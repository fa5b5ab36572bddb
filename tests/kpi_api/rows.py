"""KPI rows of some days, with the genres that make trouble in paths and pages."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.oracle import Play, Song, User, kpi_items

DAYS: Final = ("2024-06-23", "2024-06-24", "2024-06-25")
ODD_GENRES: Final = (
    "pop",
    "rock / pop #1",
    "drum/bass",
    "a&b=c?d",
    "50% off",
    "%41",
    "days",
    "+1",
    "überpop",
    "演歌",
    "🎵",
    "<img src=x onerror=alert(1)>",
    "say \"hi\" & 'bye'",
    "back\\slash",
    "x" * 200,
)
COUNTRIES: Final = ("Peru", "Côte d'Ivoire", "<b>Chad</b>", None)
COMPUTED_AT: Final = "2024-06-26T01:02:03Z"


def computed_rows(genres: Sequence[str] = ODD_GENRES, *, plays_per_day: int = 400) -> list[dict[str, Any]]:
    """Rows of DAYS as the pipeline writes them; the same ones at every call."""
    rng = random.Random(5)
    songs = [
        Song(f"t{number}", f"Song {number}", None if number % 7 == 0 else f"Artist <{number}>", genre, 180_000 + number)
        for number, genre in enumerate(genre for genre in genres for _ in range(5))
    ]
    users = [User(f"u{number}", COUNTRIES[number % len(COUNTRIES)]) for number in range(40)]
    plays = [
        Play(
            rng.choice(users).user_id,
            rng.choice([*(song.track_id for song in songs), "not in the catalogue"]),
            datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(seconds=rng.randrange(86_400)),
        )
        for day in DAYS
        for _ in range(plays_per_day)
    ]
    return published(kpi_items(plays, songs, users, top_songs=3, top_genres=5))


def published(items: Iterable[dict[str, Any]], *, claim: int = 1) -> list[dict[str, Any]]:
    """Computed items with what the publisher adds."""
    snapshots = {"songs_snapshot": "s3://bucket/reference/songs/1/", "users_snapshot": None}
    return [
        {**item, **(snapshots if item["sk"] == "SUMMARY" else {}), "claim": claim, "computed_at": COMPUTED_AT}
        for item in items
    ]
