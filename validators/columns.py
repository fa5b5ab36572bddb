r"""How the text of a field becomes a value, as DuckDB's SQL.

- `to_id(text)`: VARCHAR, without ASCII whitespace at both ends.
- `to_name(text)`: VARCHAR, its first characters, whitespace and all.
- `to_integer(text)`: BIGINT. Digits, at most 18, with or without a sign; ASCII whitespace around them.
- `to_boolean(text)`: BOOLEAN. true/false, t/f, yes/no, y/n or 1/0 in any case; ASCII whitespace around them.
- `to_moment(text)`: TIMESTAMP, UTC, to the second. 2024-06-25 17:43:00, or with T. A fraction (cut off) may follow,
  and Z or a zone from -18:00 to +18:00.
- `to_day_or_moment(text)`: TIMESTAMP. The same, or a day, 2024-06-25, for its midnight.
- `is_given(text)`: BOOLEAN, whether there is more than ASCII whitespace.

Each but the last gives null for a text that is not so, an empty one included.

A value that is plain takes the fast way. DuckDB's own casts take much that is no value here, such as `24:00:00`.
"""

from __future__ import annotations

from typing import Final

from validators.schemas import MAX_NAME_CHARACTERS, REQUIRED_COLUMNS

_WHITESPACE: Final = r"E' \t\n\r\x0b\x0c'"
_PLAIN_MOMENT: Final = r"\d{4}-\d{2}-\d{2}[ T]([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_MOMENT: Final = _PLAIN_MOMENT + r"(\.\d+)?(Z|[+-](0\d|1[0-7]):[0-5]\d|[+-]18:00)?"

MACROS: Final = (
    # What comes after the blank (`!`) is no whitespace: few texts have anything to trim.
    f"""
    CREATE OR REPLACE TEMP MACRO to_id(text) AS
        CASE WHEN text < '!' OR text[-1] <= ' ' THEN nullif(trim(text, {_WHITESPACE}), '') ELSE text END
    """,
    f"""
    CREATE OR REPLACE TEMP MACRO to_name(text) AS
        nullif(CASE WHEN strlen(text) > {MAX_NAME_CHARACTERS} THEN text[:{MAX_NAME_CHARACTERS}] ELSE text END, '')
    """,
    "CREATE OR REPLACE TEMP MACRO is_given(text) AS to_id(text) IS NOT NULL",
    r"""
    CREATE OR REPLACE TEMP MACRO to_integer(text) AS
        CASE WHEN regexp_full_match(to_id(text), '[+-]?\d{1,18}') THEN try_cast(to_id(text) AS BIGINT) END
    """,
    """
    CREATE OR REPLACE TEMP MACRO to_boolean(text) AS
        CASE WHEN lower(to_id(text)) IN ('true', 't', 'yes', 'y', '1') THEN true
             WHEN lower(to_id(text)) IN ('false', 'f', 'no', 'n', '0') THEN false END
    """,
    """
    CREATE OR REPLACE TEMP MACRO minutes_of_zone(text) AS
        CASE WHEN text[-6] IN ('+', '-')
             THEN try_cast(text[-6] || '1' AS INTEGER)
                  * (try_cast(text[-5:-4] AS INTEGER) * 60 + try_cast(text[-2:] AS INTEGER))
             ELSE 0 END
    """,
    f"""
    CREATE OR REPLACE TEMP MACRO to_moment(text) AS
        CASE WHEN regexp_full_match(text, '{_PLAIN_MOMENT}') THEN try_cast(text AS TIMESTAMP)
             WHEN regexp_full_match(text, '{_MOMENT}')
             THEN try_cast(concat(text[:10], ' ', text[12:19]) AS TIMESTAMP) - to_minutes(minutes_of_zone(text)) END
    """,
    r"""
    CREATE OR REPLACE TEMP MACRO to_day_or_moment(text) AS
        CASE WHEN regexp_full_match(text, '\d{4}-\d{2}-\d{2}') THEN try_cast(text AS TIMESTAMP) ELSE to_moment(text) END
    """,
)

TYPES: Final = {
    "users": {
        "user_id": "to_id",
        "user_name": "to_name",
        "user_age": "to_integer",
        "user_country": "to_id",
        "created_at": "to_day_or_moment",
    },
    "songs": {
        "track_id": "to_id",
        "track_name": "to_name",
        "artists": "to_name",
        "album_name": "to_name",
        "track_genre": "to_id",
        "duration_ms": "to_integer",
        "popularity": "to_integer",
        "explicit": "to_boolean",
    },
    "streams": {"user_id": "to_id", "track_id": "to_id", "listen_time": "to_moment"},
}
"""By dataset and column: what makes its value of its text."""

assert {dataset: tuple(types) for dataset, types in TYPES.items()} == REQUIRED_COLUMNS
