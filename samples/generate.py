"""Writes made-up users, songs and plays as CSV files, good ones and a few bad ones.

`python -m samples.generate OUT --seed 7` fills the folder OUT. The same arguments give the same bytes. Names are made
of random syllables: no artist, song or person is meant.

`OUT/expected.json` says what the pipeline has to make of each file: by file name `dataset`, `outcome` (accepted or
rejected), `rule` (the file or row rule that rejects it, else null) and `quarantined_rows`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import random
import string
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Final, Literal

EXPECTED_NAME: Final = "expected.json"
FIRST_DAY: Final = date(2025, 3, 1)
MIN_PLAYS: Final = 500
"""Fewer would leave the file with a few bad rows too small to stay within the tolerance of one per cent."""

PARTS_PER_DAY: Final = 3
LATE_SHARE: Final = 0.03
REPEATED_SHARE: Final = 0.01
UNKNOWN_SHARE: Final = 0.01
ROWS_PER_BAD_ROW: Final = 250

USER_COLUMNS: Final = ("user_id", "user_name", "user_age", "user_country", "created_at")
SONG_COLUMNS: Final = (
    "track_id",
    "track_name",
    "artists",
    "album_name",
    "track_genre",
    "duration_ms",
    "popularity",
    "explicit",
    "tempo",
)
STREAM_COLUMNS: Final = ("user_id", "track_id", "listen_time")

GENRES: Final = (
    "acoustic", "afrobeat", "ambient", "blues", "children's", "classical", "country", "dance", "disco", "drum-and-bass",
    "folk", "funk", "gospel", "hip-hop", "indie", "jazz", "latin", "metal", "opera", "pop", "punk", "reggae", "rock",
    "rock, live", "techno", "überpop", "演歌",
)  # fmt: skip
COUNTRIES: Final = (
    "Brazil", "Canada", "Côte d'Ivoire", "France", "Germany", "India", "Japan", "Korea, Republic of", "Mexico",
    "Nigeria", "Poland", "Türkiye", "United Kingdom", "United States",
)  # fmt: skip
SYLLABLES: Final = ("ba", "dor", "el", "fi", "gru", "ka", "lin", "mo", "nu", "or", "qua", "ri", "sel", "tu", "vo", "zi")
ODD_NAMES: Final = (
    '"{}"',
    '{}, the "Loud" One',
    "{},\nPart Two",
    "{} (feat. Ñandú Öz)",
    "{} 🎵",
    "「{}」",
    "{}\\{}",
    "l'{}; d'{}",
)

Row = dict[str, str]
Outcome = Literal["accepted", "rejected"]


@dataclass(frozen=True)
class Expected:
    """What the pipeline has to make of a file.

    Attributes:
        dataset: users, songs or streams.
        outcome: accepted or rejected.
        rule: id of the rule that rejects the file; None where it is accepted.
        quarantined_rows: how many rows of an accepted file are invalid; 0 for a rejected one.
    """

    dataset: str
    outcome: Outcome = "accepted"
    rule: str | None = None
    quarantined_rows: int = 0


@dataclass(frozen=True)
class SampleFile:
    """A file: its bytes, and what has to become of it."""

    content: bytes
    expected: Expected


@dataclass(frozen=True)
class Play:
    """One listen, at a whole second in UTC."""

    user_id: str
    track_id: str
    listen_time: datetime


def sample_files(
    *,
    seed: int,
    plays: int = 20_000,
    days: int = 2,
    users: int = 600,
    tracks: int = 400,
    first_day: date = FIRST_DAY,
) -> dict[str, SampleFile]:
    """Makes a whole set of files.

    Args:
        seed: equal seeds and sizes give equal bytes.
        plays: how many plays the good files hold, before some are repeated; at least MIN_PLAYS.
        days: over how many days they spread, from `first_day` on (UTC).
        users: how many users there are.
        tracks: how many tracks there are; some stand in the catalogue once per genre.
        first_day: date of the first play.

    Returns:
        Files by name: `users.csv`, `songs.csv.gz`, and `streams_….csv[.gz]`.

    Raises:
        ValueError: `plays` is less than MIN_PLAYS, or `days`, `users` or `tracks` is less than one.
    """
    if plays < MIN_PLAYS or min(days, users, tracks) < 1:
        raise ValueError(f"Ask for at least {MIN_PLAYS} plays and for one day, user and track or more.")
    rng = random.Random(seed)
    people, songs = user_rows(rng, users), song_rows(rng, tracks)
    listened = random_plays(rng, people, songs, plays=plays, days=days, first_day=first_day)
    few_bad, good = listened[: plays // 5], listened[plays // 5 :]
    return {
        "users.csv": SampleFile(csv_bytes(USER_COLUMNS, people), Expected("users")),
        "songs.csv.gz": SampleFile(packed(csv_bytes(SONG_COLUMNS, songs)), Expected("songs")),
        **good_stream_files(rng, good, days=days, first_day=first_day),
        "streams_a_few_bad_rows.csv": _file_with_a_few_bad_rows(rng, few_bad),
        **bad_stream_files(listened[:200]),
    }


def user_rows(rng: random.Random, count: int) -> list[Row]:
    """Makes rows of a users file; some users have no country."""
    return [
        {
            "user_id": str(number),
            "user_name": f"{_word(rng)} {_word(rng)}",
            "user_age": str(rng.randint(14, 90)),
            "user_country": rng.choice((*COUNTRIES, "")),
            "created_at": (FIRST_DAY - timedelta(days=rng.randint(1, 900))).isoformat(),
        }
        for number in range(1, count + 1)
    ]


def song_rows(rng: random.Random, tracks: int) -> list[Row]:
    """Makes rows of a songs file: every track in one to three genres, a row for each; every tenth name is odd."""
    rows = []
    for number in range(tracks):
        track = {
            "track_id": "".join(rng.choices(string.ascii_letters + string.digits, k=22)),
            "track_name": _title(rng, odd=number % 10 == 0),
            "artists": ";".join(_title(rng, odd=number % 25 == 5) for _ in range(rng.choice((1, 1, 1, 2)))),
            "album_name": _title(rng, odd=False),
            "duration_ms": str(rng.randint(45_000, 480_000)),
            "popularity": str(rng.randint(0, 100)),
            "explicit": str(rng.random() < 0.1),
            "tempo": f"{rng.uniform(60, 180):.3f}",
        }
        for genre in rng.sample(GENRES, k=rng.choice((1, 1, 1, 1, 2, 3))):
            rows.append({**track, "track_genre": genre})
    return rows


def random_plays(
    rng: random.Random, users: Sequence[Row], songs: Sequence[Row], *, plays: int, days: int, first_day: date
) -> list[Play]:
    """Makes plays in random order: a few tracks get most of them (Zipf), most are in the evening.

    One in a hundred is of an unknown track, one in a hundred of an unknown user.
    """
    track_ids = list(dict.fromkeys(row["track_id"] for row in songs))
    rng.shuffle(track_ids)
    popularity = [1 / rank for rank in range(1, len(track_ids) + 1)]
    midnight = datetime.combine(first_day, time(), UTC)
    return [
        Play(
            user_id=f"guest-{rng.randrange(20)}" if rng.random() < UNKNOWN_SHARE else rng.choice(users)["user_id"],
            track_id=f"unreleased-{rng.randrange(20)}" if rng.random() < UNKNOWN_SHARE else track_id,
            listen_time=midnight
            + timedelta(days=rng.randrange(days), seconds=int(rng.triangular(0, 24 * 3600, 19 * 3600))),
        )
        for track_id in rng.choices(track_ids, popularity, k=plays)
    ]


def good_stream_files(
    rng: random.Random, plays: Iterable[Play], *, days: int, first_day: date
) -> dict[str, SampleFile]:
    """Spreads plays over PARTS_PER_DAY files a day, each with a notation of its own.

    Some plays come a day late, and some are in two files. Every second file is gzipped; every third has its columns in
    another order, and one more.
    """
    parts: list[list[Play]] = [[] for _ in range(days * PARTS_PER_DAY)]
    for play in plays:
        day = (play.listen_time.date() - first_day).days
        if rng.random() < LATE_SHARE:
            day = min(day + 1, days - 1)
        parts[day * PARTS_PER_DAY + rng.randrange(PARTS_PER_DAY)].append(play)
        if rng.random() < REPEATED_SHARE:
            rng.choice(parts).append(play)
    files = {}
    for number, part in enumerate(parts):
        day, notation = divmod(number, PARTS_PER_DAY)
        name = f"streams_{first_day + timedelta(days=day)}_{notation + 1}.csv"
        rows = [{**_stream_row(play, notation), "device": "phone"} for play in part]
        content = csv_bytes(("device", *STREAM_COLUMNS[::-1]) if notation == 2 else STREAM_COLUMNS, rows)
        if number % 2:
            name, content = f"{name}.gz", packed(content)
        files[name] = SampleFile(content, Expected("streams"))
    return files


def bad_stream_files(plays: Sequence[Play]) -> dict[str, SampleFile]:
    """Makes files that are rejected: one for each of four rules.

    Args:
        plays: what they hold, or would hold.
    """
    rows = [_stream_row(play) for play in plays]
    half_bad = [{**row, "listen_time": "yesterday evening"} if number % 2 else row for number, row in enumerate(rows)]
    not_utf8 = csv_bytes(STREAM_COLUMNS, [*rows, {**rows[0], "user_id": "Zoë"}]).replace("ë".encode(), b"\xeb")
    return {
        "streams_missing_column.csv": _rejected(csv_bytes(STREAM_COLUMNS[:2], rows), "missing_column"),
        "streams_not_utf8.csv": _rejected(not_utf8, "not_utf8"),
        "streams_bad_times.csv": _rejected(csv_bytes(STREAM_COLUMNS, half_bad), "bad_listen_time"),
        "streams_empty.csv": _rejected(b"", "no_rows"),
    }


def csv_bytes(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """Returns rows as UTF-8 CSV with a header (RFC 4180, lines end with LF); fields beyond `columns` are left out."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def packed(content: bytes) -> bytes:
    """Returns content gzipped, without the time, so that equal content gives equal bytes."""
    return gzip.compress(content, mtime=0)


def write_files(files: dict[str, SampleFile], folder: Path) -> None:
    """Writes files and EXPECTED_NAME into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        (folder / name).write_bytes(file.content)
    expected = {name: asdict(file.expected) for name, file in files.items()}
    (folder / EXPECTED_NAME).write_text(json.dumps(expected, indent=2) + "\n", "utf-8")


def _file_with_a_few_bad_rows(rng: random.Random, plays: Sequence[Play]) -> SampleFile:
    rows = [_stream_row(play) for play in plays]
    bad = rng.sample(range(len(rows)), k=len(rows) // ROWS_PER_BAD_ROW or 1)
    faults = ({"listen_time": "2025-02-30 10:00:00"}, {"user_id": " "}, {"listen_time": "17:43"})
    for number, index in enumerate(bad):
        rows[index] |= faults[number % len(faults)]
    return SampleFile(csv_bytes(STREAM_COLUMNS, rows), Expected("streams", quarantined_rows=len(bad)))


def _rejected(content: bytes, rule: str) -> SampleFile:
    return SampleFile(content, Expected("streams", "rejected", rule))


def _stream_row(play: Play, notation: int = 0) -> Row:
    moment = play.listen_time
    listen_time = (
        moment.strftime("%Y-%m-%d %H:%M:%S"),
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        moment.astimezone(timezone(timedelta(hours=5, minutes=30))).strftime("%Y-%m-%d %H:%M:%S.250+05:30"),
    )[notation]
    return {"user_id": play.user_id, "track_id": play.track_id, "listen_time": listen_time}


def _title(rng: random.Random, *, odd: bool) -> str:
    title = " ".join(_word(rng) for _ in range(rng.randint(1, 3)))
    return rng.choice(ODD_NAMES).replace("{}", title) if odd else title


def _word(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))).title()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m samples.generate", description="Writes made-up sample files.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to fill")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--plays", type=int, default=20_000, help=f"at least {MIN_PLAYS}")
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--first-day", type=date.fromisoformat, default=FIRST_DAY, help="date of the first play (UTC)")
    options = parser.parse_args(arguments)
    try:
        files = sample_files(
            seed=options.seed,
            plays=options.plays,
            days=options.days,
            users=options.users,
            tracks=options.tracks,
            first_day=options.first_day,
        )
    except ValueError as error:
        parser.error(str(error))
    write_files(files, options.out)
    print(f"{len(files)} files and {EXPECTED_NAME} are in {options.out}")


if __name__ == "__main__":
    main()
