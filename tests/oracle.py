"""The reference: what the pipeline has to compute, in plain Python.

Two layers, neither of which knows Spark or pandas. `parse_users`, `parse_songs` and `parse_streams` read the bytes
of a CSV file and keep its valid rows; `kpi_items` turns valid rows into every row of table `kpis`. Clarity goes
before speed: this file is what the jobs' code is judged by.

Python orders text by code points, which is the order of its UTF-8 bytes; so plain `sorted` is the order we want.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import re
import string
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeVar

MAX_KEY_BYTES: Final = 200
MAX_COUNTRY_BYTES: Final = 64
MAX_NAME_CHARACTERS: Final = 300
MAX_INTEGER: Final = 2**31 - 1
MAX_COUNTRIES: Final = 300
UNKNOWN: Final = "unknown"
OTHER: Final = "other"

EARLIEST_LISTEN: Final = datetime(2000, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE: Final = timedelta(hours=24)
MAX_ZONE_OFFSET: Final = timedelta(hours=18)
"""The greatest offset of Java's `ZoneOffset`, and so of Spark's timestamps."""

GZIP_MAGIC: Final = b"\x1f\x8b"
INTEGER: Final = re.compile(r"(?P<whole>[+-]?[0-9]{1,18})(\.0*)?")
BOOLEAN: Final = re.compile(r"(?P<true>true|t|yes|y|1(\.0*)?)|false|f|no|n|0(\.0*)?", re.IGNORECASE)
NULL: Final = "\\N"
"""Null in every column."""
NULL_WORDS: Final = frozenset(("NULL", "null", "None", "nan", "NaN", "NaT", "<NA>", "N/A", "#N/A"))
"""Null in names and countries; in integers, booleans and times, `NA` is, too."""
DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIMESTAMP: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[ T](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?"
    r"(?:Z|z| UTC|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-5][0-9]))?)?"
)


class Play(NamedTuple):
    """One listen: a user, a track and a second (UTC). Equal plays are one play."""

    user_id: str
    track_id: str
    listen_time: datetime


class Song(NamedTuple):
    """One catalogue row: a track in one of its genres."""

    track_id: str
    track_name: str | None
    artists: str | None
    track_genre: str
    duration_ms: int


class User(NamedTuple):
    """One row of the user list."""

    user_id: str
    user_country: str | None


class InvalidRowError(ValueError):
    """A row breaks a row rule."""


# --- Layer 1: bytes of a file -> its valid rows, and how many rows are invalid

Fields = dict[str, str]
"""A CSV row: text by column name, as it stands in the file."""

Row = TypeVar("Row")


def parse_users(data: bytes) -> tuple[list[User], int]:
    """Returns the valid rows of a users file in its order, and the number of invalid ones.

    Raises:
        UnicodeDecodeError: the file is not UTF-8.
        KeyError: a required column is missing.
    """
    return _valid_rows(data, _user)


def parse_songs(data: bytes) -> tuple[list[Song], int]:
    """Returns the valid rows of a songs file in its order, and the number of invalid ones.

    Raises:
        UnicodeDecodeError: the file is not UTF-8.
        KeyError: a required column is missing.
    """
    return _valid_rows(data, _song)


def parse_streams(data: bytes, last_modified: datetime) -> tuple[list[Play], int]:
    """Returns the valid rows of a streams file in its order, and the number of invalid ones.

    Args:
        data: the file, gzipped or not.
        last_modified: when the object version was written, with a zone; plays a day later than that are invalid.

    Raises:
        UnicodeDecodeError: the file is not UTF-8.
        KeyError: a required column is missing.
    """
    return _valid_rows(data, lambda fields: _play(fields, latest=last_modified + FUTURE_TOLERANCE))


def _valid_rows(data: bytes, convert: Callable[[Fields], Row]) -> tuple[list[Row], int]:
    text = (gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data).decode("utf-8-sig")
    csv.field_size_limit(sys.maxsize)
    header, *lines = (line for line in csv.reader(io.StringIO(text, newline="")) if line)
    names = [name.strip(string.whitespace) for name in header]
    lines = [line for line in lines if not is_header(line, names)]
    rows: list[Row] = []
    for line in lines:
        with contextlib.suppress(InvalidRowError):
            if len(line) != len(names):
                raise InvalidRowError(f"{len(line)} fields under a header of {len(names)}")
            rows.append(convert(dict(zip(names, line, strict=True))))
    return rows, len(lines) - len(rows)


def is_header(fields: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row is the header of a file that was put together of several; each may begin with a BOM."""
    return [field.strip(string.whitespace + "\ufeff" + '"') for field in fields] == [name.strip('"') for name in names]


def _play(fields: Fields, latest: datetime) -> Play:
    listen_time = timestamp(fields["listen_time"])
    if not EARLIEST_LISTEN <= listen_time <= latest:
        raise InvalidRowError(f"listen_time {listen_time} is before 2000 or in the future")
    return Play(_key(fields["user_id"]), _key(fields["track_id"]), listen_time)


def _song(fields: Fields) -> Song:
    _check(INTEGER, given(fields["popularity"]))
    _check(BOOLEAN, given(fields["explicit"]))
    return Song(
        _key(fields["track_id"]),
        name(fields["track_name"]),
        name(fields["artists"]),
        _key(fields["track_genre"]),
        _duration(fields["duration_ms"]),
    )


def _user(fields: Fields) -> User:
    _check(INTEGER, given(fields["user_age"]))
    created_at = given(fields["created_at"])
    if created_at is not None:
        timestamp(f"{created_at} 00:00:00" if DATE.fullmatch(created_at) else created_at)
    country = known(fields["user_country"])
    if country is not None and len(country.encode()) > MAX_COUNTRY_BYTES:
        raise InvalidRowError(f"user_country has more than {MAX_COUNTRY_BYTES} bytes")
    return User(_key(fields["user_id"]), country)


def trimmed(text: str) -> str | None:
    """The text of an id."""
    value = text.strip(string.whitespace)
    return None if value in ("", NULL) else value


def known(text: str) -> str | None:
    """The text of a field in which a word may stand for null."""
    value = trimmed(text)
    return None if value in NULL_WORDS else value


def given(text: str) -> str | None:
    """The text of an integer, a boolean or a time."""
    value = known(text)
    return None if value == "NA" else value


def _key(text: str) -> str:
    """An id or a genre."""
    value = trimmed(text)
    if value is None or len(value.encode()) > MAX_KEY_BYTES:
        raise InvalidRowError(f"an id or a genre is missing or has more than {MAX_KEY_BYTES} bytes: {text!r}")
    return value


def name(text: str) -> str | None:
    """A name, its first characters."""
    is_null = text in ("", NULL) or text.strip(string.whitespace) in NULL_WORDS
    return None if is_null else text[:MAX_NAME_CHARACTERS]


def _duration(text: str) -> int:
    value = integer(text)
    if value is None or not 0 <= value <= MAX_INTEGER:
        raise InvalidRowError(f"duration_ms is not an integer from 0 to {MAX_INTEGER}: {text!r}")
    return value


def integer(text: str) -> int | None:
    """The value of an integer; None where it is none."""
    match = INTEGER.fullmatch(text.strip(string.whitespace))
    return int(match["whole"]) if match else None


def _check(pattern: re.Pattern[str], value: str | None) -> None:
    if value is not None and not pattern.fullmatch(value):
        raise InvalidRowError(f"{value!r} does not match {pattern.pattern}")


def timestamp(text: str) -> datetime:
    """The instant in UTC, its fraction of a second cut."""
    match = TIMESTAMP.fullmatch(text.strip(string.whitespace))
    if match is None:
        raise InvalidRowError(f"not a timestamp: {text!r}")
    offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    if offset > MAX_ZONE_OFFSET:
        raise InvalidRowError(f"no zone is that far from UTC: {text!r}")
    zone = timezone(-offset if match["sign"] == "-" else offset)
    try:
        return datetime.fromisoformat(f"{match['date']} {match['time']}").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRowError(f"no such date or time of day: {text!r}") from error


# --- Layer 2: valid rows -> the rows of table `kpis`


def kpi_items(
    plays: Iterable[Play], songs: Iterable[Song], users: Iterable[User], *, top_songs: int, top_genres: int
) -> list[dict[str, Any]]:
    """Computes every row of table `kpis` for the days in `plays`.

    Args:
        plays: valid plays, duplicates allowed.
        songs: valid catalogue rows, conflicting ones allowed.
        users: valid user rows, conflicting ones allowed.
        top_songs: how many songs a genre's `top_songs` lists at most.
        top_genres: how many genres a day's `top_genres` lists at most.

    Returns:
        Rows ordered by (pk, sk), as in the design's row schema without `claim`, `computed_at` and the snapshot
        names. Numbers are int, averages and ratios Decimal with two decimals, times milliseconds.
    """
    songs = list(songs)
    tracks = _tracks(songs)
    genres_of = defaultdict(set)
    for song in songs:
        genres_of[song.track_id].add(song.track_genre)
    countries = _countries(users)

    by_day: defaultdict[str, list[Play]] = defaultdict(list)
    by_genre: defaultdict[tuple[str, str], list[Play]] = defaultdict(list)
    by_hour_and_genre: defaultdict[tuple[str, str, str], list[Play]] = defaultdict(list)
    for play in set(plays):
        day, hour = play.listen_time.strftime("%Y-%m-%d"), play.listen_time.strftime("%H")
        by_day[day].append(play)
        for genre in genres_of[play.track_id]:
            by_genre[day, genre].append(play)
            by_hour_and_genre[day, hour, genre].append(play)

    items = []
    for day, group in by_day.items():
        genre_listens = {genre: len(those) for (its_day, genre), those in by_genre.items() if its_day == day}
        items.append(_summary(day, group, tracks, countries, _top(genre_listens, top_genres)))
    for (day, genre), group in by_genre.items():
        keys = {"pk": f"DAY#{day}", "sk": f"GENRE#{genre}", "genre_pk": f"GENRE#{genre}", "date": day, "genre": genre}
        items.append({**keys, **_measures(group, tracks), "top_songs": _top_songs(group, tracks, top_songs)})
    for (day, hour, genre), group in by_hour_and_genre.items():
        keys = {"pk": f"DAY#{day}", "sk": f"HOUR#{hour}#GENRE#{genre}", "date": day, "hour": hour, "genre": genre}
        items.append({**keys, **_measures(group, tracks)})
    return sorted(items, key=lambda item: (item["pk"], item["sk"]))


class _Track(NamedTuple):
    duration_ms: int
    track_name: str | None
    artists: str | None


def _tracks(songs: Iterable[Song]) -> dict[str, _Track]:
    """Of conflicting rows of a track the least (duration_ms, track_name, artists) holds; None sorts first."""
    tracks: dict[str, _Track] = {}
    for song in songs:
        candidate = _Track(song.duration_ms, song.track_name, song.artists)
        tracks[song.track_id] = min(tracks.get(song.track_id, candidate), candidate, key=_none_first)
    return tracks


def _none_first(track: _Track) -> tuple[tuple[bool, Any], ...]:
    return tuple((value is not None, value) for value in track)


def _countries(users: Iterable[User]) -> dict[str, str]:
    """Of conflicting rows of a user the least country holds; a user whose rows have none is not in the result."""
    countries: dict[str, str] = {}
    for user in users:
        if user.user_country is not None:
            countries[user.user_id] = min(countries.get(user.user_id, user.user_country), user.user_country)
    return countries


def _summary(
    day: str,
    plays: list[Play],
    tracks: dict[str, _Track],
    countries: dict[str, str],
    top_genres: list[tuple[str, int]],
) -> dict[str, Any]:
    known = [play for play in plays if play.track_id in tracks]
    listeners = len({play.user_id for play in plays})
    return {
        "pk": f"DAY#{day}",
        "sk": "SUMMARY",
        "genre_pk": "SUMMARY",
        "date": day,
        "listens": len(plays),
        "unique_listeners": listeners,
        "listens_per_listener": ratio(len(plays), listeners),
        "listening_time_ms": sum(tracks[play.track_id].duration_ms for play in known),
        "unknown_track_plays": len(plays) - len(known),
        "top_genres": [
            {"rank": rank, "genre": genre, "listens": listens} for rank, (genre, listens) in enumerate(top_genres, 1)
        ],
        "listens_by_country": _listens_by_country(plays, countries),
    }


def _measures(plays: list[Play], tracks: dict[str, _Track]) -> dict[str, Any]:
    listeners = len({play.user_id for play in plays})
    time = sum(tracks[play.track_id].duration_ms for play in plays)
    return {
        "listens": len(plays),
        "unique_listeners": listeners,
        "listening_time_ms": time,
        "avg_listening_time_ms_per_user": ratio(time, listeners),
        "avg_listening_time_ms_per_play": ratio(time, len(plays)),
    }


def _top_songs(plays: list[Play], tracks: dict[str, _Track], count: int) -> list[dict[str, Any]]:
    top = _top(Counter(play.track_id for play in plays), count)
    return [
        {
            "rank": rank,
            "track_id": track_id,
            "track_name": tracks[track_id].track_name,
            "artists": tracks[track_id].artists,
            "listens": listens,
        }
        for rank, (track_id, listens) in enumerate(top, 1)
    ]


def _listens_by_country(plays: list[Play], countries: dict[str, str]) -> dict[str, int]:
    listens = Counter(countries.get(play.user_id, UNKNOWN) for play in plays)
    kept = Counter(dict(_top(listens, MAX_COUNTRIES)))
    rest = listens.total() - kept.total()
    if rest:
        kept[OTHER] += rest
    return dict(kept)


def _top(listens: dict[str, int], count: int) -> list[tuple[str, int]]:
    """The `count` names with most listens; of equal ones those that come first by UTF-8 bytes."""
    return sorted(listens.items(), key=lambda entry: (-entry[1], entry[0]))[:count]


def ratio(total: int, n: int) -> Decimal:
    """Returns total / n with two decimals, rounded half up in integers: floor((200 total + n) / 2n) / 100."""
    return Decimal((200 * total + n) // (2 * n)).scaleb(-2)


def by_key(items: Iterable[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns KPI rows by (pk, sk), every number with its digits (`Decimal("1.5")` equals `Decimal("1.50")`).

    Raises:
        ValueError: two rows have the same key.
    """
    items = list(items)
    rows = {(item["pk"], item["sk"]): {name: _with_digits(value) for name, value in item.items()} for item in items}
    if len(rows) != len(items):
        raise ValueError("two KPI rows have the same key")
    return rows


def _with_digits(value: Any) -> Any:  # noqa: ANN401 - a value of a DynamoDB item
    return value if isinstance(value, str | list | dict) else f"{type(value).__name__} {value}"
