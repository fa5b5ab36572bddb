"""The oracle itself, by hand."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.oracle import Play, Song, User, kpi_items, parse_songs, parse_streams, parse_users, ratio

LAST_MODIFIED = datetime(2024, 6, 30, 12, tzinfo=UTC)
NOON = datetime(2024, 6, 25, 12, tzinfo=UTC)


def plays_of(*lines: str) -> list[Play]:
    data = "\n".join(["user_id,track_id,listen_time", *lines]).encode()
    return parse_streams(data, LAST_MODIFIED)[0]


def songs_of(*lines: str) -> list[Song]:
    header = "track_id,track_name,artists,album_name,track_genre,duration_ms,popularity,explicit"
    return parse_songs("\n".join([header, *lines]).encode())[0]


def users_of(*lines: str) -> list[User]:
    return parse_users("\n".join(["user_id,user_name,user_age,user_country,created_at", *lines]).encode())[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-25 17:43:13", datetime(2024, 6, 25, 17, 43, 13, tzinfo=UTC)),
        ("2024-06-25T17:43:13", datetime(2024, 6, 25, 17, 43, 13, tzinfo=UTC)),
        ("2024-06-25 17:43:13Z", datetime(2024, 6, 25, 17, 43, 13, tzinfo=UTC)),
        ("2024-06-25 17:43:13.999999999", datetime(2024, 6, 25, 17, 43, 13, tzinfo=UTC)),
        ("2024-06-25 17:43:13.5+02:00", datetime(2024, 6, 25, 15, 43, 13, tzinfo=UTC)),
        ("2024-06-25 17:43:13z", datetime(2024, 6, 25, 17, 43, 13, tzinfo=UTC)),
        (" 2024-06-25 17:43:13 UTC\t", datetime(2024, 6, 25, 17, 43, 13, tzinfo=UTC)),
        ("2024-06-25 17:43:13+02", datetime(2024, 6, 25, 15, 43, 13, tzinfo=UTC)),
        ("2024-06-25 17:43:13.25+0230", datetime(2024, 6, 25, 15, 13, 13, tzinfo=UTC)),
        ("2024-06-25T17:43:13-09:30", datetime(2024, 6, 26, 3, 13, 13, tzinfo=UTC)),
        ("2024-06-25 00:00:00+18:00", datetime(2024, 6, 24, 6, tzinfo=UTC)),
        ("2024-02-29 23:59:59", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("2000-01-01 00:00:00", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2024-07-01 12:00:00", LAST_MODIFIED + timedelta(hours=24)),
    ],
)
def test_a_listen_time_is_an_instant_in_utc_to_the_second(text: str, expected: datetime) -> None:
    assert plays_of(f"u,t,{text}") == [Play("u", "t", expected)]


@pytest.mark.parametrize(
    "text",
    [
        "", "17:43", "2024-06-25", "2024-06-25 17:43", "2024-06-25 17:43:13\u00a0", "2024-06-25 17:43:13  UTC",
        "2024-06-25  17:43:13", "2024-06-25t17:43:13", "2024-06-25 17:43:13UTC", "2024-06-25 17:43:13.",
        "20240625T174313", "2024-06-25 17:43:13+02000",
        "2024-06-25 17:43:13+2", "2024-06-25 17:43:13 +02:00", "2024-06-25 17:43:13+18:01",
        "2024-06-25 17:43:13+02:60", "2024-06-25 24:00:00", "2024-06-25 23:60:00", "2024-06-25 23:59:60",
        "2024-06-31 00:00:00", "2023-02-29 00:00:00", "2024-00-01 00:00:00", "0000-01-01 00:00:00",
        "1999-12-31 23:59:59", "2000-01-01 00:00:00+00:01", "2024-07-01 12:00:01", "2024-07-01 12:00:00-00:01",
        "9999-12-31 23:59:59-18:00", "٢٠٢٤-06-25 17:43:13", "1719337393",
    ],
)  # fmt: skip
def test_anything_else_is_no_listen_time(text: str) -> None:
    assert plays_of(f"u,t,{text}") == []


def test_ids_are_trimmed_of_ascii_whitespace_only() -> None:
    assert plays_of('" u\t","\x0bt\n",2024-06-25 12:00:00') == [Play("u", "t", NOON)]
    assert plays_of("\u00a0,a b,2024-06-25 12:00:00") == [Play("\u00a0", "a b", NOON)]
    assert plays_of(" ,t,2024-06-25 12:00:00", "u,,2024-06-25 12:00:00") == []


def test_an_id_or_genre_has_at_most_200_bytes_and_a_country_64() -> None:
    assert len(plays_of(f"{'é' * 100},t,2024-06-25 12:00:00")) == 1
    assert plays_of(f"{'é' * 100}x,t,2024-06-25 12:00:00") == []
    assert len(songs_of(f"t,n,a,,{'é' * 100},1,,")) == 1
    assert songs_of(f"t,n,a,,{'é' * 100}x,1,,") == []
    assert users_of(f"u,n,1,{'é' * 32},", f"v,n,1,{'é' * 32}x,") == [User("u", "é" * 32)]


def test_names_are_cut_to_300_characters_and_may_be_missing() -> None:
    assert songs_of(f"t,{'🎵' * 301},,,pop,1,,") == [Song("t", "🎵" * 300, None, "pop", 1)]


@pytest.mark.parametrize("duration", ["0", "2147483647", "+5", "007", " 5 "])
def test_a_duration_is_an_integer(duration: str) -> None:
    assert [song.duration_ms for song in songs_of(f"t,n,a,,pop,{duration},,")] == [int(duration)]


@pytest.mark.parametrize("duration", ["", "-1", "2147483648", "1.5", "NULL", "1e3", "NaN", "٣", "1_000"])
def test_a_song_without_a_right_duration_is_invalid(duration: str) -> None:
    assert songs_of(f"t,n,a,,pop,{duration},,") == []


@pytest.mark.parametrize("line", ["t,n,a,,,1,,", "t,n,a,, ,1,,", "t,n,a,,pop,1,high,", "t,n,a,,pop,1,,maybe"])
def test_a_song_breaking_another_rule_is_invalid(line: str) -> None:
    assert songs_of(line) == []


@pytest.mark.parametrize("line", ["u,n,old,X,", "u,n,1.5,X,", "u,n,1,X,2024-02-30", "u,n,1,X,soon", ",n,1,X,"])
def test_a_user_breaking_a_rule_is_invalid(line: str) -> None:
    assert users_of(line) == []


def test_a_user_needs_nothing_but_an_id() -> None:
    assert users_of("u,,,,", "v,n,-3,X,2024-06-25", "w,n,1,,2024-06-25T01:02:03.4+02:00") == [
        User("u", None),
        User("v", "X"),
        User("w", None),
    ]


def test_files_may_be_gzipped_and_have_a_byte_order_mark_crlf_blank_lines_and_their_own_columns() -> None:
    text = '\ufefflisten_time, x ,track_id,user_id\r\n2024-06-25 12:00:00,"a\r\n""b"",",t,u\r\n\r\nbad,,t,u\r\n'
    expected = [Play("u", "t", NOON)], 1
    assert parse_streams(text.encode(), LAST_MODIFIED) == expected
    assert parse_streams(gzip.compress(text.encode()), LAST_MODIFIED) == expected


def test_a_row_of_another_length_than_the_header_is_invalid() -> None:
    assert plays_of("u,t,2024-06-25 12:00:00,more", "t,2024-06-25 12:00:00") == []


def test_a_file_without_a_column_or_in_another_encoding_raises() -> None:
    with pytest.raises(KeyError, match="listen_time"):
        parse_streams(b"user_id,track_id\nu,t\n", LAST_MODIFIED)
    with pytest.raises(UnicodeDecodeError):
        parse_users("user_id\nZoë\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("total", "n", "expected"),
    [(1, 8, "0.13"), (107, 40, "2.68"), (1, 3, "0.33"), (2, 3, "0.67"), (0, 7, "0.00"), (6, 3, "2.00"),
     (10**15 + 1, 8, "125000000000000.13"), (1, 201, "0.00"), (1, 200, "0.01")],
)  # fmt: skip
def test_a_ratio_is_rounded_half_up_to_two_decimals(total: int, n: int, expected: str) -> None:
    assert str(ratio(total, n)) == expected


def test_a_play_of_a_track_in_two_genres_gives_every_row_once() -> None:
    songs = [Song("t", "Name", None, genre, 1500) for genre in ("rock", "pop", "pop")]
    items = kpi_items([Play("u", "t", NOON)] * 2, songs, [User("u", "X")], top_songs=3, top_genres=1)
    measures = {
        "listens": 1,
        "unique_listeners": 1,
        "listening_time_ms": 1500,
        "avg_listening_time_ms_per_user": Decimal("1500.00"),
        "avg_listening_time_ms_per_play": Decimal("1500.00"),
    }
    day = {"pk": "DAY#2024-06-25", "date": "2024-06-25"}
    top_songs = [{"rank": 1, "track_id": "t", "track_name": "Name", "artists": None, "listens": 1}]

    def daily(genre: str) -> dict[str, object]:
        keys = {"sk": f"GENRE#{genre}", "genre_pk": f"GENRE#{genre}", "genre": genre}
        return {**day, **keys, **measures, "top_songs": top_songs}

    def hourly(genre: str) -> dict[str, object]:
        return {**day, "sk": f"HOUR#12#GENRE#{genre}", "hour": "12", "genre": genre, **measures}

    assert items == [
        daily("pop"),
        daily("rock"),
        hourly("pop"),
        hourly("rock"),
        {
            **day,
            "sk": "SUMMARY",
            "genre_pk": "SUMMARY",
            "listens": 1,
            "unique_listeners": 1,
            "listens_per_listener": Decimal("1.00"),
            "listening_time_ms": 1500,
            "unknown_track_plays": 0,
            "top_genres": [{"rank": 1, "genre": "pop", "listens": 1}],
            "listens_by_country": {"X": 1},
        },
    ]


def test_a_country_called_other_keeps_its_listens_where_the_rest_is_summed() -> None:
    users = [User(f"u{number:03}", f"c{number:03}") for number in range(301)]
    plays = [Play(user.user_id, "t", NOON) for user in users]
    plays += [Play("visitor", "t", NOON), Play("visitor", "t", NOON + timedelta(seconds=1))]
    (summary,) = kpi_items(plays, [], [*users, User("visitor", "other")], top_songs=3, top_genres=5)
    assert len(summary["listens_by_country"]) == 300
    assert summary["listens_by_country"]["other"] == 2 + 2
    assert "c299" not in summary["listens_by_country"]
    assert sum(summary["listens_by_country"].values()) == summary["listens"] == 303
