"""Random rows made to be difficult: orders differ on their text, rows conflict and repeat, nobody knows some ids."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tests.oracle import Play, Song, User

TRICKY_TEXT = [
    "a", "B", "b", "Z", "10", "9", "é", "e\u0301", "ß", "ss", "ı", "I", "日本", "\uff5e", "\U0001f3b5",
    'say "x"', "a,b", "a\nb", "a\\", "#", "a b", "a\u00a0b",
]  # fmt: skip
"""Byte order, locale order and UTF-16 order differ on these: U+1F3B5 sorts after U+FF5E in UTF-8, before in UTF-16."""


class Data(NamedTuple):
    """Input of one KPI computation."""

    plays: list[Play]
    songs: list[Song]
    users: list[User]


def tricky_ids(rng: random.Random, count: int) -> list[str]:
    return [f"{rng.choice(TRICKY_TEXT)}{number % 7}{rng.choice(TRICKY_TEXT)}{number}" for number in range(count)]


def random_data(seed: int, *, plays: int, tracks: int, users: int, countries: int) -> Data:
    rng = random.Random(seed)
    genres = [*TRICKY_TEXT, "SUMMARY", "GENRE#a"]
    track_ids, user_ids = tricky_ids(rng, tracks), tricky_ids(rng, users)
    country_names = [None, "other", "unknown", *(f"{rng.choice(TRICKY_TEXT)}{number}" for number in range(countries))]

    def song(track_id: str) -> Song:
        name, artists = rng.choice([None, *TRICKY_TEXT]), rng.choice([None, *TRICKY_TEXT])
        return Song(track_id, name, artists, rng.choice(genres), rng.choice([0, 1, 333, 199_999, 2**31 - 1]))

    catalogue = [song(track_id) for track_id in track_ids[: tracks * 9 // 10] for _ in range(rng.randint(1, 4))]
    user_rows = [
        User(user_id, rng.choice(country_names))
        for user_id in user_ids[: users * 9 // 10]
        for _ in range(rng.randint(1, 2))
    ]
    start = datetime(2024, 2, 28, 22, tzinfo=UTC)
    popularity = [1 / rank for rank in range(1, tracks + 1)]
    rng.shuffle(popularity)
    listened = [
        Play(rng.choice(user_ids), track_id, start + timedelta(seconds=rng.choice([0, 1, rng.randrange(30 * 3600)])))
        for track_id in rng.choices(track_ids, popularity, k=plays)
    ]
    listened += rng.choices(listened, k=plays // 10)
    rng.shuffle(listened)
    return Data(listened, rng.sample(catalogue, k=len(catalogue)), rng.sample(user_rows, k=len(user_rows)))
