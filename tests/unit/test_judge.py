"""What the judge says of rows: counts, broken rows and valid ones. In production, each call is for one dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from validators.broken_rows import FIELD_BYTES, MAX_ROW_BYTES, in_file
from validators.closed_duckdb import Share
from validators.csv_pieces import Extent, Piece, blocks
from validators.judge import GENRES_SQL, Judged, judge, judging_connection, warnings_of, warnings_sql
from validators.reports import MAX_VALUE_CHARACTERS
from validators.rules import RULES, Severity
from validators.schemas import REQUIRED_COLUMNS

UPLOADED = datetime(2024, 6, 26, tzinfo=UTC)
TIME = "2024-06-25 10:00:00"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with judging_connection(Share(memory_mb=200, temp_folder=tmp_path)) as connection:
        yield connection


def piece(dataset: str, *rows: str, header: Sequence[str] = ()) -> Piece:
    names = header or REQUIRED_COLUMNS[dataset]
    (found,) = blocks(iter(["\n".join([",".join(names), *rows, ""]).encode()]), names)
    return found


def judged(
    db: duckdb.DuckDBPyConnection,
    dataset: str,
    *pieces: Piece,
    max_broken: int = 100,
    uploaded: Sequence[datetime] = (),
) -> Judged:
    moments = uploaded or [UPLOADED] * len(pieces)
    return judge(db, dataset, pieces, uploaded=moments, max_broken=max_broken)


def asked(db: duckdb.DuckDBPyConnection, valid: pa.Table, sql: str, **snapshots: pa.Table) -> dict[int, dict[str, int]]:
    """What a query says of valid rows: by the number of their piece, which stands for their file."""
    for name, table in {"valid": valid.rename_columns({"piece": "file"}), **snapshots}.items():
        db.register(name, table)
    relation = db.sql(sql)
    return {file: dict(zip(relation.columns[1:], found, strict=True)) for file, *found in relation.fetchall()}


def failed(counts: Mapping[str, int]) -> dict[str, int]:
    return {rule: rows for rule, rows in counts.items() if rows and rule not in ("rows", "quarantined")}


def test_rules_that_are_about_rows_have_their_sql_and_no_others() -> None:
    without_sql = {rule.id for rule in RULES if not rule.sql and not rule.aggregate}
    assert without_sql == {rule.id for rule in RULES if rule.severity is Severity.REJECT_FILE} | {"repeated_header"}
    assert [rule.id for rule in RULES if rule.aggregate and (rule.sql or rule.severity is not Severity.WARN)] == []


def test_pieces_of_several_files_are_judged_at_once_each_by_its_own_upload(db: duckdb.DuckDBPyConnection) -> None:
    late = piece("streams", f"u1,t1,{TIME}", "u1,t1,2024-06-27 00:00:00", "u1,t1,2024-06-27 00:00:01", "u1,t1")
    found = judged(
        db,
        "streams",
        late,
        piece("streams"),
        late,
        uploaded=[UPLOADED, UPLOADED, datetime(2024, 6, 26, 5, tzinfo=timezone(timedelta(hours=2)))],
    )
    assert [(counts["rows"], counts["quarantined"]) for counts in found.counts] == [(4, 2), (0, 0), (4, 1)]
    assert list(map(failed, found.counts)) == [{"future_listen_time": 1, "malformed_row": 1}, {}, {"malformed_row": 1}]
    assert found.valid.group_by("piece").aggregate([([], "count_all")]).to_pylist() == [
        {"piece": 0, "count_all": 2},
        {"piece": 2, "count_all": 3},
    ]
    assert [len(broken) for broken in found.broken] == [2, 0, 1]


def test_a_row_breaks_several_rules_and_is_told_with_its_place_and_values(db: duckdb.DuckDBPyConnection) -> None:
    long = "é" * 101
    found = judged(
        db,
        "streams",
        piece(
            "streams",
            "",
            f"{TIME},x,u1,t1",
            f'noon,"two\n\nlines", ,"{long}"',
            f"{TIME},x,,",
            header=("listen_time", "more", "user_id", "track_id"),
        ),
    )
    assert found.counts[0] == {
        "rows": 5,
        "quarantined": 4,
        **dict.fromkeys(["malformed_row", "long_user_id", "future_listen_time", "early_listen_time"], 0),
        **dict.fromkeys(["null_word_user_id", "null_word_track_id", "repeated_header"], 0),
        **{"null_user_id": 4, "null_track_id": 1, "long_track_id": 3, "bad_listen_time": 3},
    }
    place = {"sheet_row": 4, "line": 4, "row": 3, "lines": 3}
    assert in_file(found.broken[0], Extent()).to_pylist()[0] == {
        **place,
        "rules": ["null_user_id", "long_track_id", "bad_listen_time"],
        "fields": ["noon", "two\n\nlines", " ", long],
        "bytes": len(f"noontwo\n\nlines {long}".encode()) + 4 * FIELD_BYTES,
        "field_count": None,
        "has_open_quote": None,
        "listen_time_start": "noon",
        "listen_time_characters": 4,
        "track_id_start": long[:MAX_VALUE_CHARACTERS],
        "track_id_characters": 101,
        "user_id_start": " ",
        "user_id_characters": 1,
    }
    second = in_file(found.broken[0], Extent(rows=10, sheet_rows=20, lines=30)).to_pylist()[1]
    assert (second["row"], second["sheet_row"], second["line"]) == (14, 25, 37)
    assert second["fields"] == [TIME, "x", None, None]


def test_the_first_broken_rows_of_each_piece_are_told_and_all_are_counted(db: duckdb.DuckDBPyConnection) -> None:
    pieces = [piece("streams", *[f",t{number},{TIME}", "a,b"] * 50) for number in range(2)]
    found = judged(db, "streams", *pieces, max_broken=7)
    assert [counts["quarantined"] for counts in found.counts] == [100, 100]
    assert [broken["row"].to_pylist() for broken in found.broken] == [list(range(1, 8))] * 2


def test_a_long_row_is_told_without_its_fields(db: duckdb.DuckDBPyConnection) -> None:
    size = MAX_ROW_BYTES - 3 * FIELD_BYTES - len(f"u{TIME}")
    rows = [f"u,{'t' * size},{TIME}", f"u,{'t' * (size + 1)},{TIME}", "x" * MAX_ROW_BYTES, ",".join("x" * 100)]
    (broken,) = judged(db, "streams", piece("streams", *rows)).broken
    assert [len(fields) for fields in broken["fields"].to_pylist()] == [3, 0, 0, 1]
    assert broken["track_id_characters"].to_pylist() == [size, size + 1, None, None]


def test_ids_that_no_snapshot_has_are_warned_of_for_valid_rows_only(db: duckdb.DuckDBPyConnection) -> None:
    rows = piece("streams", f" u1 ,t1,{TIME}", f"u2,t1,{TIME}", f"u2,t2,{TIME}", "u3,t3,noon")
    songs, users = pa.table({"track_id": ["t1", "t1"]}), pa.table({"user_id": pa.array([], pa.string())})
    valid = judged(db, "streams", rows).valid
    warnings = warnings_of("streams", ["songs", "users"])
    told = {"duplicate_rows": 0, "unknown_track": 1, "unknown_user": 3}
    assert asked(db, valid, warnings_sql(warnings), songs=songs, users=users) == {0: told}
    known = {warning.id for warning in warnings_of("streams", ["songs"])}
    assert known == {warning.id for warning in warnings} - {"unknown_user"}


def test_rows_that_stand_twice_are_counted_by_their_values(db: duckdb.DuckDBPyConnection) -> None:
    song = "t1,a,b,,pop,{duration},,yes"
    rows = [song.format(duration=duration) for duration in ("1", "+1", " 01 ", "2")]
    valid = judged(db, "songs", piece("songs", *rows), piece("songs", *rows[2:])).valid
    duplicates = asked(db, valid, warnings_sql(warnings_of("songs", [])))
    assert duplicates == {0: {"duplicate_rows": 2}, 1: {"duplicate_rows": 0}}


def test_genres_of_a_songs_file_are_counted(db: duckdb.DuckDBPyConnection) -> None:
    songs = [f"{track},a,b,c,{genre},1,1,no" for track, genre in [("t1", "a"), ("t1", "b"), ("t2", "b"), ("t3", "c")]]
    valid = judged(db, "songs", piece("songs", *songs, *songs), piece("songs", *songs[:1])).valid
    assert asked(db, valid, GENRES_SQL) == {
        0: {"genres": 3, "genres_of_track": 2},
        1: {"genres": 1, "genres_of_track": 1},
    }


def test_values_are_typed(db: duckdb.DuckDBPyConnection) -> None:
    valid = judged(db, "users", piece("users", "u1 ,Ann , 42,, 2024", "u2,,,NL,2024-01-31")).valid
    assert valid.drop_columns("piece").to_pylist() == [
        {
            "user_id": "u2",
            "user_name": None,
            "user_age": None,
            "user_country": "NL",
            "created_at": datetime(2024, 1, 31),
        }
    ]


def test_what_stands_in_a_file_is_never_sql(db: duckdb.DuckDBPyConnection) -> None:
    nasty = "'); DROP TABLE judged; --"
    header = ("user_id", "track_id", "listen_time", 'a" FROM texts; --', "piece", "USER_ID")
    (counts,) = judged(db, "streams", piece("streams", f"{nasty},{nasty},{TIME},x,x,x", header=header)).counts
    assert (counts["rows"], failed(counts)) == (1, {})


def test_more_rows_than_fit_into_memory_are_judged(tmp_path: Path) -> None:
    rows = piece("streams", *(f"user-{number:020},track-{number:020},{TIME}" for number in range(300_000)))
    with judging_connection(Share(memory_mb=30, temp_folder=tmp_path)) as db:
        found = judged(db, "streams", rows)
        assert (found.counts[0]["rows"], found.counts[0]["quarantined"], len(found.valid)) == (300_000, 0, 300_000)
        assert asked(db, found.valid, warnings_sql(warnings_of("streams", []))) == {0: {"duplicate_rows": 0}}
