"""The datasets and the columns that a file of each must have; it may carry more, in any order."""

from __future__ import annotations

from typing import Final

REQUIRED_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "users": ("user_id", "user_name", "user_age", "user_country", "created_at"),
    "songs": (
        "track_id",
        "track_name",
        "artists",
        "album_name",
        "track_genre",
        "duration_ms",
        "popularity",
        "explicit",
    ),
    "streams": ("user_id", "track_id", "listen_time"),
}

SNAPSHOT_DATASETS: Final = ("users", "songs")
"""A file of these is a full snapshot; a file of `streams` adds plays."""

NULL_WORDS: Final = ("NULL", "null", "None", "nan", "NaN", "NaT", "<NA>", "N/A", "#N/A")
"""What databases, Python, pandas and spreadsheets write for a missing value.

R writes `NA`, which is also the code of Namibia: it is null in numbers, booleans and times only.
"""

NULL: Final = r"\N"
"""What MySQL and Hadoop write for a missing value."""

MAX_ID_BYTES: Final = 200
MAX_GENRE_BYTES: Final = 200
MAX_COUNTRY_BYTES: Final = 64
MAX_GENRES_OF_TRACK: Final = 50
"""One play makes up to two rows of a day, of the day and of the hour, for each genre of its track."""
MAX_GENRES: Final = 5_000
"""Of a songs file. A day has up to 25 rows for each genre that was played."""
MAX_NAME_CHARACTERS: Final = 300
MAX_FILE_BYTES: Final = 5 * 1024**3
"""CopyObject takes no larger object (Amazon S3 API reference)."""
MAX_GZIP_RATIO: Final = 250
"""Text of this kind packs 3 to 20 times; deflate's limit is 1032 times (zlib's technical details)."""
MAX_GZIP_MEMBERS: Final = 1_000_000
"""Far more than a file of 5 GiB packed in blocks has (bgzip: 64 KiB a member); each costs time however small it is."""
MAX_ROW_CHARACTERS: Final = 1024**2
"""Far more than a row of music needs; a row of gigabytes, such as an open quote makes, fits into no executor."""
MAX_HEADER_CHARACTERS: Final = 64 * 1024
"""Of all column names together, which are a part of the batch's documents."""
MAX_COLUMNS: Final = 1000
"""Each column is an array of each piece of a file, however few rows the piece has."""
MAX_DURATION_MS: Final = 2**31 - 1
EARLIEST_LISTEN_TIME: Final = "2000-01-01 00:00:00"
FUTURE_GRACE_HOURS: Final = 24


def dataset_of(key: str) -> str | None:
    """The dataset of an object key: the folder under `raw/`. None where there is no such dataset."""
    parts = key.split("/")
    return parts[1] if len(parts) >= 3 and parts[0] == "raw" and parts[1] in REQUIRED_COLUMNS else None
