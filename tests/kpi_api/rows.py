"""Items of table `kpis` for some days, with the genres that make trouble in paths and pages."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from glue_scripts.kpi_items import DayKpis
from glue_scripts.names import DATE_INDEX_PARTITION_KEY, KPIS_SORT_KEY, SUMMARY, genre_sort_key, summary_key
from tests.day_kpis import days_of
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
MADE_OF: Final = {
    "songs_snapshot": "s3://bucket/reference/songs/1/",
    "users_snapshot": None,
    "snapshots": {"songs": {"key_hash": hashlib.sha256(b"raw/songs/songs.csv").hexdigest(), "version_id": "a-version"}},
    "kpi_code": "some-code",
    "kpi_settings": {"top_songs": 3, "top_genres": 5},
}
"""What the publisher adds to a SUMMARY, beside the version and the time."""

Item = dict[str, Any]


def computed_rows(genres: Sequence[str] = ODD_GENRES, *, plays_per_day: int = 400) -> list[Item]:
    """Items of DAYS as the pipeline writes them; the same ones at every call."""
    return stored(flat_rows(genres, plays_per_day=plays_per_day))


def flat_rows(genres: Sequence[str] = ODD_GENRES, *, plays_per_day: int = 400) -> list[Item]:
    """The oracle's rows of DAYS; the same ones at every call."""
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
    return kpi_items(plays, songs, users, top_songs=3, top_genres=5)


def stored(flat_rows: Iterable[Item], *, version: int = 1, computed_at: str = COMPUTED_AT) -> list[Item]:
    """Items of table `kpis` of which one version of each day is visible.

    Args:
        flat_rows: `SUMMARY`, `GENRE#…` and `HOUR#…#GENRE#…`, of the oracle or of `kpis.json`, in any order.
        version: of every day, where SUMMARY does not tell it.
        computed_at: likewise.
    """
    return [item for day in days_of(flat_rows).values() for item in _stored_day(day, version, computed_at)]


def _stored_day(day: DayKpis, version: int, computed_at: str) -> list[Item]:
    key = summary_key(day.summary["date"])
    made = {"version": version, "computed_at": computed_at, **MADE_OF, "genre_rows": len(day.genres)}
    summary = {**made, **day.summary, **key, DATE_INDEX_PARTITION_KEY: SUMMARY}
    rows = ({**key, KPIS_SORT_KEY: genre_sort_key(summary["version"], row["genre"]), **row} for row in day.genres)
    return [*rows, summary]
