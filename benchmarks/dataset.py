"""Makes CSV files of a given size as they would arrive: users, songs, and plays over some days, a few rows bad.

The same size gives the same bytes. Tracks are Zipf-distributed: few are played very often.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

KINDS: Final = ("plain", "quoted", "gzip")
"""How the rows of a streams file are written: without quotes, each field in quotes, or plain in a gzip."""
FIRST_DAY: Final = "2024-06-25"
SECONDS_PER_DAY: Final = 86_400
ZIPF_EXPONENT: Final = 1.1
COUNTRIES: Final = 60
UNKNOWN_TRACK_SHARE: Final = 0.01
REPEATED_SHARE: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Size:
    """What to make.

    Attributes:
        plays: rows of all streams files together.
        days: the days that they spread over, evenly.
        files: streams files; each has plays of all days.
        users: rows of the users file, where there is no input.
        tracks: tracks of the songs file, where there is no input.
        genres: genres of the songs file, where there is no input.
        bad: rows of each kind of bad row in a thousand; a rule tolerates ten.
        first_day: how many days the first one is after FIRST_DAY.
        kind: of the streams files, one of KINDS.
        seed: of the random numbers.
    """

    plays: int
    days: int = 7
    files: int = 1
    users: int = 50_000
    tracks: int = 90_000
    genres: int = 114
    bad: int = 1
    first_day: int = 0
    kind: str = "plain"
    seed: int = 7


@dataclass(frozen=True)
class Dataset:
    """Where the files are.

    Attributes:
        users: the users file.
        songs: the songs file.
        streams: the files of plays.
    """

    users: Path
    songs: Path
    streams: tuple[Path, ...]

    def files(self, dataset: str) -> tuple[Path, ...]:
        """The files of one of `names.DATASETS`."""
        return {"users": (self.users,), "songs": (self.songs,), "streams": self.streams}[dataset]


def make(folder: Path, size: Size, source: Path | None = None) -> Dataset:
    """Writes the files.

    Args:
        folder: is created.
        size: what to make.
        source: a folder with `songs.csv.gz` and `users.csv.gz` to use in place of made-up ones.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(size.seed)
    users, songs = folder / "users.csv", folder / "songs.csv"
    with duckdb.connect() as db:
        if source:
            _unpack(source / "users.csv.gz", users)
            _unpack(source / "songs.csv.gz", songs)
        else:
            _write(db, _users(size.users, rng), users)
            _write(db, _songs(size, rng), songs)
        streams = tuple(folder / f"streams-{number:04}.csv" for number in range(size.files))
        plays = _plays(size, _ids(db, users, "user_id"), _ids(db, songs, "track_id"), rng)
        borders = np.linspace(0, size.plays, size.files + 1).astype(int)
        for path, start, end in zip(streams, borders[:-1], borders[1:], strict=True):
            _write(db, plays.slice(start, end - start), path, size.kind)
    return Dataset(users, songs, streams)


def _unpack(packed: Path, target: Path) -> None:
    with gzip.open(packed) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)


def _write(db: duckdb.DuckDBPyConnection, rows: pa.Table, path: Path, kind: str = "plain") -> None:
    options = {"plain": "", "quoted": ", FORCE_QUOTE *", "gzip": ", COMPRESSION gzip"}[kind]
    db.register("rows", rows)
    db.execute(f"COPY rows TO '{path}' (FORMAT csv, HEADER, DELIMITER ','{options})")
    db.unregister("rows")


def _ids(db: duckdb.DuckDBPyConnection, path: Path, column: str) -> Sequence[str]:
    query = f"SELECT DISTINCT {column} FROM read_csv(?, all_varchar = true) WHERE {column} IS NOT NULL ORDER BY 1"
    return [row[0] for row in db.execute(query, [str(path)]).fetchall()]


def _users(count: int, rng: np.random.Generator) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array(np.arange(1, count + 1).astype(str)),
            "user_name": _numbered("User", np.arange(count)),
            "user_age": rng.integers(13, 90, count),
            "user_country": _numbered("Country", rng.integers(0, COUNTRIES, count)),
            "created_at": pa.array(["2024-02-07"] * count),
        }
    )


def _songs(size: Size, rng: np.random.Generator) -> pa.Table:
    """Every track in one genre, and every fifth in a second one, where its name differs."""
    count = size.tracks
    second = np.arange(0, count, 5)
    tracks = np.concatenate([np.arange(count), second])
    genres = rng.integers(0, size.genres, count)
    other_genres = (genres[second] + 1) % size.genres
    rows = len(tracks)
    return pa.table(
        {
            "track_id": _numbered("track", tracks),
            "artists": _numbered("Artist, the", tracks // 10),
            "album_name": _numbered("Album", tracks // 8),
            "track_name": _numbered("Song", np.arange(rows)),
            "popularity": rng.integers(0, 100, rows),
            "duration_ms": rng.integers(60_000, 400_000, rows),
            "explicit": pa.array(np.where(rng.random(rows) < 0.1, "True", "False")),
            "track_genre": _numbered("genre", np.concatenate([genres, other_genres])),
        }
    )


def _numbered(word: str, numbers: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(np.char.add(f"{word} ", numbers.astype(str)))


def _plays(size: Size, users: Sequence[str], tracks: Sequence[str], rng: np.random.Generator) -> pa.Table:
    weights = 1.0 / np.arange(1, len(tracks) + 1) ** ZIPF_EXPONENT
    # Ranks are given to tracks at random: sorted ids would put the hits side by side.
    by_rank = rng.permutation(len(tracks))
    ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(size.plays)).clip(max=len(tracks) - 1)
    track = by_rank[ranks]
    user = rng.integers(0, len(users), size.plays)
    start = np.datetime64(FIRST_DAY, "s") + np.timedelta64(size.first_day * SECONDS_PER_DAY, "s")
    second = rng.integers(0, size.days * SECONDS_PER_DAY, size.plays)
    again = rng.choice(size.plays, int(size.plays * REPEATED_SHARE), replace=False)
    original = rng.integers(0, size.plays, len(again))
    for column in (track, user, second):
        column[again] = column[original]
    # The tables end with what replaces a value in a few rows.
    track[rng.random(size.plays) < UNKNOWN_TRACK_SHARE] = len(tracks)
    bad_share = size.bad / 1000
    user[rng.random(size.plays) < bad_share] = len(users)
    moments = np.datetime_as_string(start + second.astype("timedelta64[s]"), unit="s")
    moments[rng.random(size.plays) < bad_share] = "yesterday"
    return pa.table(
        {
            "user_id": pa.array([*users, None]).take(pa.array(user)),
            "track_id": pa.array([*tracks, "unknown-track"]).take(pa.array(track)),
            "listen_time": pa.array(moments),
        }
    )
