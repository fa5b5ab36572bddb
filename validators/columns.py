r"""How the text of a field becomes a value, as DuckDB's SQL.

- `to_id(text)`: VARCHAR.
- `to_country(text)`: VARCHAR. Null for a null word.
- `to_name(text)`: VARCHAR, its first characters, whitespace and all. Null for a null word.
- `to_integer(text)`: BIGINT. Digits, at most 18, with or without a sign; `.0` may follow, with any number of zeros.
- `to_boolean(text)`: BOOLEAN. true/false, t/f, yes/no, y/n or 1/0 in any case, or 1.0/0.0.
- `to_moment(text)`: TIMESTAMP, UTC, to the second. 2024-06-25 17:43:00, or with T. A fraction (cut off) may follow,
  and a zone: Z, z, ` UTC`, or from -18:00 to +18:00 as +HH:MM, +HHMM or +HH.
- `to_day_or_moment(text)`: TIMESTAMP. The same, or a day, 2024-06-25, for its midnight.
- `is_null_word(id)`: BOOLEAN, whether what `to_id` gives is a word that stands for a missing value.
- `is_given(text)`: BOOLEAN, whether the text of an integer, a boolean or a moment stands for a value.

ASCII whitespace at both ends of a text does not count, but for names. Each macro but the last two gives null for a text
that is not so. Empty text and `\N` are null everywhere.

A value that is plain takes the fast way. DuckDB's own casts take much that is no value here, such as `24:00:00`.
"""

from __future__ import annotations

from typing import Final

from validators.schemas import MAX_NAME_CHARACTERS, NULL, NULL_WORDS, REQUIRED_COLUMNS

_NULL_WORD_BYTES: Final = max(map(len, NULL_WORDS))
_WHITESPACE: Final = r"E' \t\n\r\x0b\x0c'"
_PLAIN_MOMENT: Final = r"\d{4}-\d{2}-\d{2}[ T]([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_MOMENT: Final = _PLAIN_MOMENT + r"(\.\d+)?(Z|z| UTC|[+-](0\d|1[0-7])(:?[0-5]\d)?|[+-]18(:?00)?)?"

MACROS: Final = (
    # What comes after the blank (`!`) is no whitespace: few texts have anything to trim.
    f"""
    CREATE OR REPLACE TEMP MACRO to_id(text) AS
        CASE WHEN text < '!' OR text[-1] <= ' ' OR text = '{NULL}'
             THEN nullif(nullif(trim(text, {_WHITESPACE}), ''), '{NULL}') ELSE text END
    """,
    f"""
    CREATE OR REPLACE TEMP MACRO is_null_word(id) AS
        CASE WHEN strlen(id) <= {_NULL_WORD_BYTES} THEN id IN {NULL_WORDS} ELSE false END
    """,
    "CREATE OR REPLACE TEMP MACRO to_country(text) AS CASE WHEN NOT is_null_word(to_id(text)) THEN to_id(text) END",
    f"""
    CREATE OR REPLACE TEMP MACRO to_name(text) AS
        CASE WHEN strlen(text) > {MAX_NAME_CHARACTERS} THEN text[:{MAX_NAME_CHARACTERS}]
             WHEN NOT is_null_word(to_id(text)) AND text NOT IN ('', '{NULL}') THEN text END
    """,
    "CREATE OR REPLACE TEMP MACRO is_given(text) AS coalesce(to_country(text) <> 'NA', false)",
    r"""
    CREATE OR REPLACE TEMP MACRO to_integer(text) AS
        CASE WHEN regexp_full_match(to_id(text), '[+-]?\d{1,18}(\.0*)?')
             THEN try_cast(split_part(to_id(text), '.', 1) AS BIGINT) END
    """,
    r"""
    CREATE OR REPLACE TEMP MACRO to_boolean(text) AS
        CASE WHEN regexp_full_match(lower(to_id(text)), 'true|t|yes|y|1(\.0*)?') THEN true
             WHEN regexp_full_match(lower(to_id(text)), 'false|f|no|n|0(\.0*)?') THEN false END
    """,
    # +HH:MM, +HHMM, +HH, or anything else for UTC
    """
    CREATE OR REPLACE TEMP MACRO minutes_of_zone(zone) AS
        CASE WHEN zone[1] IN ('+', '-')
             THEN try_cast(zone[1] || '1' AS INTEGER) * (
                  try_cast(zone[2:3] AS INTEGER) * 60
                  + CASE WHEN strlen(zone) > 3 THEN try_cast(zone[-2:] AS INTEGER) ELSE 0 END)
             ELSE 0 END
    """,
    f"""
    CREATE OR REPLACE TEMP MACRO trimmed_to_moment(text) AS
        CASE WHEN regexp_full_match(text, '{_MOMENT}')
             THEN try_cast(concat(text[:10], ' ', text[12:19]) AS TIMESTAMP)
                  - to_minutes(minutes_of_zone(ltrim(text[20:], '.0123456789'))) END
    """,
    f"""
    CREATE OR REPLACE TEMP MACRO to_moment(text) AS
        CASE WHEN regexp_full_match(text, '{_PLAIN_MOMENT}') THEN try_cast(text AS TIMESTAMP)
             ELSE trimmed_to_moment(to_id(text)) END
    """,
    r"""
    CREATE OR REPLACE TEMP MACRO to_day_or_moment(text) AS
        CASE WHEN regexp_full_match(to_id(text), '\d{4}-\d{2}-\d{2}') THEN try_cast(to_id(text) AS TIMESTAMP)
             ELSE to_moment(text) END
    """,
)

TYPES: Final = {
    "users": {
        "user_id": "to_id",
        "user_name": "to_name",
        "user_age": "to_integer",
        "user_country": "to_country",
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
