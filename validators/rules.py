"""What each rule means, how severe it is, what share of rows may break it, and its SQL: the one place that says so.

Reports, e-mails and documents take their words from here, `judge` its SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final

from validators.schemas import (
    EARLIEST_LISTEN_TIME,
    FUTURE_GRACE_HOURS,
    MAX_COLUMNS,
    MAX_COUNTRY_BYTES,
    MAX_DURATION_MS,
    MAX_FILE_BYTES,
    MAX_GENRE_BYTES,
    MAX_GENRES,
    MAX_GENRES_OF_TRACK,
    MAX_GZIP_MEMBERS,
    MAX_GZIP_RATIO,
    MAX_HEADER_CHARACTERS,
    MAX_ID_BYTES,
    MAX_ROW_CHARACTERS,
    NULL_WORDS,
)


class Severity(StrEnum):
    """What breaking a rule does."""

    REJECT_FILE = "reject_file"
    QUARANTINE_ROW = "quarantine_row"
    WARN = "warn"


class RuleError(ValueError):
    """A rule or a tolerance is not understood; nothing may be judged before it is mended."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        id: what reports and settings call it.
        severity: what breaking it does.
        datasets: where it holds.
        column: the column that it is about; None for a rule about the row or the file.
        meaning: what must hold, in one sentence.
        fix: what a producer does about it.
        tolerance: the share of rows (0 to 1) that may break a row rule; one more row rejects the file.
        reason: why the tolerance is what it is.
        sql: in DuckDB's dialect, true for a row that breaks the rule; null counts as false. It may name the columns of
            the dataset, typed as `columns` says (null where the text is empty or not of the type), the text of each
            (`user_age_text`), `is_malformed` and `uploaded` (when the file was uploaded, TIMESTAMP in UTC). Only
            `malformed_row` is asked of a row whose fields are not as many as the columns; a warning is asked of valid
            rows. Empty where bytes and counts break the rule.
        aggregate: of a warning that compares rows with one another or with a snapshot: an aggregate that counts the
            rows of `valid`, the valid rows of a file, that break it. `valid` has the columns of the dataset; `songs`
            and `users` are the snapshots. It may compare ids and nothing else, because plays have integers for ids.
    """

    id: str
    severity: Severity
    datasets: tuple[str, ...]
    column: str | None = None
    meaning: str
    fix: str
    tolerance: float = 0.0
    reason: str = ""
    sql: str = ""
    aggregate: str = ""


_ALL: Final = ("users", "songs", "streams")
_ONE_PERCENT: Final = 0.01
_STRAY_ROWS: Final = "A few stray rows must not hold back a good file; a producer that is broken breaks far more."
_STRAY_SNAPSHOT_ROWS: Final = (
    "What a snapshot lacks is missing from every day that is computed with it; a few stray rows must still not hold "
    "back all the others."
)


def _file_rule(rule_id: str, meaning: str, fix: str, datasets: tuple[str, ...] = _ALL) -> Rule:
    return Rule(id=rule_id, severity=Severity.REJECT_FILE, datasets=datasets, meaning=meaning, fix=fix)


def _row_rule(rule_id: str, datasets: tuple[str, ...], column: str | None, meaning: str, fix: str, *, sql: str) -> Rule:
    return Rule(
        id=rule_id,
        severity=Severity.QUARANTINE_ROW,
        datasets=datasets,
        column=column,
        meaning=meaning,
        fix=fix,
        tolerance=_ONE_PERCENT,
        reason=_STRAY_ROWS if "streams" in datasets else _STRAY_SNAPSHOT_ROWS,
        sql=sql,
    )


_warning: Final = partial(Rule, severity=Severity.WARN)


def _null_word(datasets: tuple[str, ...], column: str, *, effect: str, value: str = "") -> Rule:
    """A warning about the words for a missing value in a column of ids, genres or countries."""
    return _warning(
        id=f"null_word_{column}",
        datasets=datasets,
        column=column,
        meaning=f"{column} is not a word for a missing value: {', '.join(NULL_WORDS)}.",
        fix=f"{effect} If it stands for a missing value, export it as an empty field.",
        sql=f"is_null_word({value or column})",
    )


RULES: Final[tuple[Rule, ...]] = (
    _file_rule(
        "unknown_dataset",
        "The key lies under raw/users/, raw/songs/ or raw/streams/.",
        "Upload the file with another key, under the prefix of its dataset.",
    ),
    _file_rule(
        "object_missing",
        "The uploaded object version is there when the batch is staged.",
        "Upload the file again, and leave it there: the pipeline takes it away when it is done.",
    ),
    _file_rule(
        "archived_storage_class",
        "S3 hands the object out at once: its storage class is none that has to be restored first (GLACIER, "
        "DEEP_ARCHIVE, an archive tier of INTELLIGENT_TIERING).",
        "Upload the file again with the storage class STANDARD. The archived object stays where it was uploaded.",
    ),
    _file_rule(
        "encrypted_by_customer_key",
        "The object can be read without a key that only its sender has (SSE-C).",
        "Upload the file again without such a key; the bucket encrypts every object. The first object stays where it "
        "was uploaded.",
    ),
    _file_rule(
        "unusable_kms_key",
        "If the object is encrypted with a KMS key, the key is enabled and the pipeline may use it.",
        "Upload the file again without naming a KMS key; the bucket encrypts every object. The first object stays "
        "where it was uploaded.",
    ),
    _file_rule(
        "too_large",
        f"The file has at most {MAX_FILE_BYTES // 1024**3} GiB, unpacked too.",
        "Split a streams file and upload the parts. Pack a users or songs file with gzip, and leave out columns that "
        "are not required: a part of it would take the place of the whole.",
    ),
    _file_rule(
        "unreadable",
        "The file is CSV text without NUL bytes, plain or in one complete gzip of at most "
        f"{MAX_GZIP_MEMBERS:,} members that does not unpack to more than {MAX_GZIP_RATIO} times its size.",
        "Export it again as UTF-8 CSV. Check a gzip with `gzip -t`; if that fails, pack the file again and upload it.",
    ),
    _file_rule("not_utf8", "The file is UTF-8.", "Export the file with the encoding UTF-8."),
    _file_rule(
        "long_row",
        f"No line has more than {MAX_ROW_CHARACTERS:,} characters, and the column names together have at most "
        f"{MAX_HEADER_CHARACTERS:,}.",
        "Check that lines end with a line break, and that it is CSV at all.",
    ),
    _file_rule(
        "unbalanced_quote",
        "A field that begins with a quote ends with one, and quotes between the two are doubled (RFC 4180).",
        "Close the quote, or double it if it belongs to the text: from it on, rows cannot be told apart.",
    ),
    _file_rule(
        "missing_column",
        "The header has every required column, spelled exactly, and commas between them.",
        "Begin the file with the header. Add the missing columns to it and to the rows, or rename those meant.",
    ),
    _file_rule(
        "duplicate_column",
        "No column name stands twice in the header; columns without a name do not matter.",
        "Rename or remove the repeated columns.",
    ),
    _file_rule(
        "too_many_columns",
        f"The header has at most {MAX_COLUMNS:,} columns.",
        "Leave out columns that are not required.",
    ),
    _file_rule("no_rows", "The file has at least one row below its header.", "Upload a file with rows."),
    _file_rule(
        "snapshot_shrunk",
        "A snapshot has at least half as many rows as the current one has good rows.",
        "Upload the full snapshot, not a part of it.",
        ("users", "songs"),
    ),
    _file_rule(
        "too_many_genres",
        f"The good rows have at most {MAX_GENRES_OF_TRACK} genres for a track and {MAX_GENRES:,} genres in all.",
        "Check that track_id and track_genre hold what they should, first for the track with the most rows.",
        ("songs",),
    ),
    _row_rule(
        "malformed_row",
        _ALL,
        None,
        "The row has as many fields as the header.",
        "Add the missing fields, put those that hold commas or line breaks in double quotes, or close a quote that is "
        "left open.",
        sql="is_malformed",
    ),
    _row_rule(
        "null_user_id",
        ("users", "streams"),
        "user_id",
        "user_id is given and not blank.",
        "Give the row its user_id.",
        sql="user_id IS NULL",
    ),
    _row_rule(
        "long_user_id",
        ("users", "streams"),
        "user_id",
        f"user_id has at most {MAX_ID_BYTES} bytes in UTF-8.",
        "Check the export: an id this long is usually two fields run together.",
        sql=f"strlen(user_id) > {MAX_ID_BYTES}",
    ),
    _row_rule(
        "null_track_id",
        ("songs", "streams"),
        "track_id",
        "track_id is given and not blank.",
        "Give the row its track_id.",
        sql="track_id IS NULL",
    ),
    _row_rule(
        "long_track_id",
        ("songs", "streams"),
        "track_id",
        f"track_id has at most {MAX_ID_BYTES} bytes in UTF-8.",
        "Check the export: an id this long is usually two fields run together.",
        sql=f"strlen(track_id) > {MAX_ID_BYTES}",
    ),
    _row_rule(
        "bad_listen_time",
        ("streams",),
        "listen_time",
        "listen_time is a moment that exists, as YYYY-MM-DD HH:MM:SS or with T; a fraction may follow, and a zone: Z, "
        "UTC after a blank, ±HH:MM, ±HHMM or ±HH.",
        "Write date and time, such as 2024-06-25 17:43:00; without a zone it is UTC.",
        sql="listen_time IS NULL",
    ),
    _row_rule(
        "future_listen_time",
        ("streams",),
        "listen_time",
        f"listen_time is at most {FUTURE_GRACE_HOURS} hours later than the upload.",
        "Check the producer's clock and zone.",
        sql=f"listen_time > uploaded + INTERVAL {FUTURE_GRACE_HOURS} HOURS",
    ),
    _row_rule(
        "early_listen_time",
        ("streams",),
        "listen_time",
        f"listen_time is not before {EARLIEST_LISTEN_TIME[:10]} UTC.",
        "Check the producer's clock and the date format.",
        sql=f"listen_time < TIMESTAMP '{EARLIEST_LISTEN_TIME}'",
    ),
    _row_rule(
        "null_track_genre",
        ("songs",),
        "track_genre",
        "track_genre is given and not blank.",
        "Give the song a genre.",
        sql="track_genre IS NULL",
    ),
    _row_rule(
        "long_track_genre",
        ("songs",),
        "track_genre",
        f"track_genre has at most {MAX_GENRE_BYTES} bytes in UTF-8.",
        "Check the export: a genre this long is usually two fields run together.",
        sql=f"strlen(track_genre) > {MAX_GENRE_BYTES}",
    ),
    _row_rule(
        "bad_duration_ms",
        ("songs",),
        "duration_ms",
        f"duration_ms is a whole number from 0 to {MAX_DURATION_MS}, with .0 or without.",
        "Write the duration in whole milliseconds, such as 215000.",
        sql=f"duration_ms IS NULL OR duration_ms NOT BETWEEN 0 AND {MAX_DURATION_MS}",
    ),
    _row_rule(
        "bad_popularity",
        ("songs",),
        "popularity",
        "popularity is a whole number, with .0 or without, or it is missing.",
        "Write a whole number, such as 42, or leave the field empty.",
        sql="popularity IS NULL AND is_given(popularity_text)",
    ),
    _row_rule(
        "bad_explicit",
        ("songs",),
        "explicit",
        "explicit is true/false, t/f, yes/no, y/n or 1/0 in any case, with .0 or without, or it is missing.",
        "Use true or false.",
        sql="explicit IS NULL AND is_given(explicit_text)",
    ),
    _row_rule(
        "bad_user_age",
        ("users",),
        "user_age",
        "user_age is a whole number, with .0 or without, or it is missing.",
        "Write a whole number, such as 42, or leave the field empty.",
        sql="user_age IS NULL AND is_given(user_age_text)",
    ),
    _row_rule(
        "long_user_country",
        ("users",),
        "user_country",
        f"user_country has at most {MAX_COUNTRY_BYTES} bytes in UTF-8.",
        "Use the country's name or code.",
        sql=f"strlen(user_country) > {MAX_COUNTRY_BYTES}",
    ),
    _row_rule(
        "bad_created_at",
        ("users",),
        "created_at",
        "created_at is a date (YYYY-MM-DD) or a moment, written as listen_time is, or it is missing.",
        "Write the date as YYYY-MM-DD.",
        sql="created_at IS NULL AND is_given(created_at_text)",
    ),
    _warning(
        id="repeated_header",
        datasets=_ALL,
        meaning="The header stands in the file once.",
        fix="Nothing. Each later row that equals the header is left out and not counted as a row. Files that were put "
        "together repeat it.",
    ),
    _null_word(("users", "streams"), "user_id", effect="The row counts, with this word as its user."),
    _null_word(("songs", "streams"), "track_id", effect="The row counts, with this word as its track."),
    _null_word(("songs",), "track_genre", effect="The row counts, with this word as its genre."),
    _null_word(
        ("users",),
        "user_country",
        value="to_id(user_country_text)",
        effect="The user counts, with the country `unknown`.",
    ),
    _warning(
        id="duplicate_rows",
        datasets=_ALL,
        meaning="No valid row stands twice in the file.",
        fix="Nothing: a play counts once. Many of them point to a producer that sends twice.",
        aggregate="count(*) - count(DISTINCT valid)",
    ),
    _warning(
        id="unknown_track",
        datasets=("streams",),
        column="track_id",
        meaning="The track is in the songs snapshot.",
        fix="Upload a songs snapshot that holds the track; its plays then appear under their genre.",
        aggregate="count_if(NOT EXISTS (FROM songs WHERE songs.track_id = valid.track_id))",
    ),
    _warning(
        id="unknown_user",
        datasets=("streams",),
        column="user_id",
        meaning="The user is in the users snapshot.",
        fix="Upload a users snapshot that holds the user; until then the country is `unknown`.",
        aggregate="count_if(NOT EXISTS (FROM users WHERE users.user_id = valid.user_id))",
    ),
)

RULES_BY_ID: Final[dict[str, Rule]] = {rule.id: rule for rule in RULES}


def rules_of(dataset: str, severity: Severity, tolerances: Mapping[str, float] | None = None) -> tuple[Rule, ...]:
    """The rules of one severity that hold in a dataset, in the order of RULES.

    Args:
        dataset: one of the datasets of `schemas.REQUIRED_COLUMNS`.
        severity: the severity asked for.
        tolerances: overrides by rule id, shares from 0 to 1.

    Raises:
        RuleError: an override names no row rule or is no share.
    """
    overrides = tolerances or {}
    check_tolerances(overrides)
    return tuple(
        replace(rule, tolerance=overrides.get(rule.id, rule.tolerance), reason="set for this environment")
        if rule.id in overrides
        else rule
        for rule in RULES
        if dataset in rule.datasets and rule.severity is severity
    )


def check_tolerances(tolerances: Mapping[str, object]) -> None:
    """Check the setting `tolerances`: at synth, and again where the job reads it.

    Raises:
        RuleError: an override names no row rule, or is not a number from 0 to 1.
    """
    for rule_id, tolerance in tolerances.items():
        rule = RULES_BY_ID.get(rule_id)
        if rule is None or rule.severity is not Severity.QUARANTINE_ROW:
            known = ", ".join(rule.id for rule in RULES if rule.severity is Severity.QUARANTINE_ROW)
            raise RuleError(f"The setting `tolerances` names {rule_id!r}, which is no row rule. Row rules: {known}.")
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance <= 1:
            raise RuleError(f"The tolerance of {rule_id} must be a number from 0 to 1, not {tolerance!r}.")
