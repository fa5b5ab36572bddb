"""The largest rows that rules and settings allow fit into items of DynamoDB, and the check of the settings knows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pytest

from benchmarks.write_units import item_bytes
from glue_scripts.count_plays import MAX_COUNTRIES, MAX_UNKNOWN_TRACKS
from glue_scripts.kpi_items import kpis_by_day
from glue_scripts.kpi_table import MAX_WRITES
from glue_scripts.ledger import Snapshot
from glue_scripts.publication import Publisher
from stacks.quotas import COUNTRIES, ITEM_BYTES, VERSION_ID_BYTES, largest_genre_row_bytes, largest_summary_bytes
from stacks.settings import Settings
from tests.unit.conftest import Tables
from validators.schemas import MAX_COUNTRY_BYTES, MAX_GENRE_BYTES, MAX_ID_BYTES, MAX_NAME_CHARACTERS

DAY = date(2024, 6, 25)
TOTAL, HUNDREDTHS = Decimal("9" * 38), Decimal("9" * 28)
LISTENS_OF_SONG = Decimal(2**63 - 1)
"""moto counts a byte for each digit, and has a limit of 405,000 bytes."""
NAME = "\U0001f3b5" * MAX_NAME_CHARACTERS
LARGEST_REQUEST_BYTES = 16 * 1024**2
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""


def most(setting: str, largest: Callable[..., int]) -> int:
    """The largest value of a setting that the settings take, by its own range and by what its rows may have."""
    of_setting: Any = get_args(get_type_hints(Settings, include_extras=True)[setting])[1]
    values = range(of_setting.low, of_setting.high + 1)
    return max(value for value in values if largest(**{setting: value}) <= ITEM_BYTES)


TOP_SONGS = most("top_songs", largest_genre_row_bytes)
TOP_GENRES = most("top_genres", largest_summary_bytes)


def text(number: int, size: int) -> str:
    """A text of so many bytes, another one for each number."""
    return f"{number:04}{'x' * size}"[:size]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with numbers of 128 bits, as DuckDB's HUGEINT arrives."""
    wide = pa.decimal128(38, 0)
    names = rows[0]
    return pa.table(
        {
            name: pa.array([row[name] for row in rows], wide if isinstance(names[name], Decimal) else None)
            for name in names
        }
    )


def day_tables(*, genres: int, hours: int, top_songs: int) -> dict[str, pa.Table]:
    """A day of genres that are as large as can be: by name, the tables of `kpi_sql.DAY_RESULTS`."""
    measures = {
        "listens": TOTAL,
        "unique_listeners": TOTAL,
        "listening_time_ms": TOTAL,
        "avg_listening_time_ms_per_user": HUNDREDTHS,
        "avg_listening_time_ms_per_play": HUNDREDTHS,
    }
    keys = [{"day": DAY, "genre_name": text(number, MAX_GENRE_BYTES)} for number in range(genres)]
    song = {"track_name": NAME, "artists": NAME, "listens": LISTENS_OF_SONG}
    songs = [{"rank": rank, "track_id": text(rank, MAX_ID_BYTES), **song} for rank in range(1, top_songs + 1)]
    totals = {name: measures[name] for name in ("listens", "unique_listeners", "listening_time_ms")}
    countries = [text(number, MAX_COUNTRY_BYTES) for number in range(MAX_COUNTRIES)]
    return {
        "genre_rows": table([{**key, "genre_rank": rank, **measures} for rank, key in enumerate(keys, start=1)]),
        "hour_rows": table([{**key, "hour": hour, **measures} for key in keys for hour in range(hours)]),
        "top_songs": table([{**key, **song} for key in keys for song in songs]),
        "country_rows": table(
            [{"day": DAY, "country": country, "listens": TOTAL} for country in (*countries, "other", "unknown")]
        ),
        "summary_rows": table(
            [{"day": DAY, **totals, "listens_per_listener": HUNDREDTHS, "unknown_track_plays": TOTAL}]
        ),
        "unknown_tracks": table(
            [{"day": DAY, "track_id": text(number, MAX_ID_BYTES)} for number in range(MAX_UNKNOWN_TRACKS)]
        ),
    }


def published(tables: Tables, *, genres: int, hours: int, top_songs: int, top_genres: int) -> list[dict[str, Any]]:
    """Publishes the day; returns what is stored, SUMMARY first."""
    for dataset in ("users", "songs"):
        folder = f"s3://{'b' * 63}/reference/{dataset}/jr_{'0' * 64}-{'0' * 64}/"
        moment = "2024-06-26T00:00:00Z"
        tables.ledger.make_current(Snapshot(dataset, folder, "k" * 1024, "v" * VERSION_ID_BYTES, moment, 1))
    of_day = day_tables(genres=genres, hours=hours, top_songs=top_songs)
    kpis = kpis_by_day(of_day, top_genres=top_genres)
    made_with = {"kpi_code": "0" * 12, "kpi_settings": {"top_songs": top_songs, "top_genres": top_genres}}
    Publisher(tables.ledger, tables.kpi_table, lambda *_: kpis, made_with).publish({DAY.isoformat(): ()})
    return sorted(tables.kpis_table.scan()["Items"], key=lambda item: str(item["sk"]))


def test_the_largest_row_of_a_genre_fits(tables: Tables) -> None:
    _, row, _ = published(tables, genres=1, hours=24, top_songs=TOP_SONGS, top_genres=1)
    assert (len(row["top_songs"]), len(row["hours"]), len(row["genre"].encode())) == (TOP_SONGS, 24, MAX_GENRE_BYTES)
    assert row["listens"] == TOTAL
    assert row["hours"]["23"]["avg_listening_time_ms_per_user"] == HUNDREDTHS.scaleb(-2)
    assert ITEM_BYTES * 0.95 < item_bytes(row) <= largest_genre_row_bytes(top_songs=TOP_SONGS)


def test_the_largest_row_of_unknown_tracks_fits(tables: Tables) -> None:
    *_, row = published(tables, genres=1, hours=1, top_songs=1, top_genres=1)
    assert (row["sk"], len(row["track_ids"])) == ("V#0000000001#UNKNOWN_TRACKS", MAX_UNKNOWN_TRACKS)
    assert item_bytes(row) < ITEM_BYTES


def test_as_many_of_the_largest_rows_as_are_written_at_once_fit_into_a_request() -> None:
    assert MAX_WRITES * ITEM_BYTES < LARGEST_REQUEST_BYTES


@pytest.mark.parametrize("top_genres", [1, TOP_GENRES])
def test_the_largest_summary_fits(tables: Tables, top_genres: int) -> None:
    summary, *_ = published(tables, genres=top_genres, hours=1, top_songs=1, top_genres=top_genres)
    assert (len(summary["top_genres"]), len(summary["listens_by_country"])) == (top_genres, COUNTRIES)
    assert item_bytes(summary) <= largest_summary_bytes(top_genres=top_genres)
