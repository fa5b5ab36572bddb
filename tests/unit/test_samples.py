"""The sample files are what `expected.json` says of them, and always the same."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from samples.generate import EXPECTED_NAME, SampleFile, main, sample_files
from tests.oracle import Play, parse_songs, parse_streams, parse_users
from validators.file_checks import FileRejectedError, check_text
from validators.rules import RULES_BY_ID

LAST_MODIFIED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def files() -> dict[str, SampleFile]:
    return sample_files(seed=7, plays=4000)


def accepted(files: dict[str, SampleFile], dataset: str) -> dict[str, SampleFile]:
    return {
        name: file
        for name, file in files.items()
        if file.expected.outcome == "accepted" and file.expected.dataset == dataset
    }


def all_plays(files: dict[str, SampleFile]) -> list[Play]:
    return [
        play for file in accepted(files, "streams").values() for play in parse_streams(file.content, LAST_MODIFIED)[0]
    ]


def test_the_same_seed_gives_the_same_bytes(files: dict[str, SampleFile]) -> None:
    assert sample_files(seed=7, plays=4000) == files


def test_another_seed_gives_other_data_under_the_same_names(files: dict[str, SampleFile]) -> None:
    others = sample_files(seed=8, plays=4000)
    assert others.keys() == files.keys()
    assert all(others[name].content != file.content for name, file in files.items() if file.content)


@pytest.mark.parametrize("plays", [500, 4000, 20_000])
def test_accepted_files_have_as_many_invalid_rows_as_expected_and_stay_within_the_tolerances(plays: int) -> None:
    files = sample_files(seed=3, plays=plays)
    for file in accepted(files, "streams").values():
        rows, invalid = parse_streams(file.content, LAST_MODIFIED)
        assert invalid == file.expected.quarantined_rows
        assert invalid <= (len(rows) + invalid) * RULES_BY_ID["bad_listen_time"].tolerance
    assert files["streams_a_few_bad_rows.csv"].expected.quarantined_rows >= 1
    assert parse_users(files["users.csv"].content)[1] == 0
    assert parse_songs(files["songs.csv.gz"].content)[1] == 0


def test_files_that_break_a_file_rule_break_the_expected_one(files: dict[str, SampleFile]) -> None:
    for name in ("streams_missing_column.csv", "streams_not_utf8.csv", "streams_empty.csv"):
        with pytest.raises(FileRejectedError) as rejection:
            check_text(io.BytesIO(files[name].content), "streams")
        assert rejection.value.rule_id == files[name].expected.rule


def test_the_file_with_bad_times_breaks_that_rule_in_half_of_its_rows(files: dict[str, SampleFile]) -> None:
    file = files["streams_bad_times.csv"]
    rows, invalid = parse_streams(file.content, LAST_MODIFIED)
    assert len(rows) == invalid == 100
    assert file.expected.rule == "bad_listen_time"


def test_all_rules_named_are_rules(files: dict[str, SampleFile]) -> None:
    assert {file.expected.rule for file in files.values()} - {None} <= RULES_BY_ID.keys()


def test_plays_are_of_the_days_asked_for() -> None:
    plays = all_plays(sample_files(seed=1, plays=2000, days=3, first_day=date(2024, 2, 28)))
    assert {play.listen_time.date() for play in plays} == {date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)}


def test_no_file_is_a_day_and_no_day_is_a_file(files: dict[str, SampleFile]) -> None:
    days = {
        name: {play.listen_time.date() for play in parse_streams(file.content, LAST_MODIFIED)[0]}
        for name, file in accepted(files, "streams").items()
    }
    assert any(len(of_file) > 1 for of_file in days.values())
    assert all(count > 1 for count in Counter(day for of_file in days.values() for day in of_file).values())


def test_plays_hold_what_the_kpis_have_to_cope_with(files: dict[str, SampleFile]) -> None:
    plays = all_plays(files)
    known_tracks = {song.track_id for song in parse_songs(files["songs.csv.gz"].content)[0]}
    known_users = {user.user_id for user in parse_users(files["users.csv"].content)[0]}
    assert len(set(plays)) < len(plays), "some plays stand twice"
    assert any(play.track_id not in known_tracks for play in plays)
    assert any(play.user_id not in known_users for play in plays)
    listens = sorted(Counter(play.track_id for play in plays).values(), reverse=True)
    assert sum(listens[:40]) > sum(listens[40:]), "a tenth of the tracks has most of the plays"


def test_the_catalogue_holds_what_csv_readers_stumble_over(files: dict[str, SampleFile]) -> None:
    songs = parse_songs(files["songs.csv.gz"].content)[0]
    names = " ".join(song.track_name or "" for song in songs)
    assert all(character in names for character in '",\n🎵\\Ñ')
    assert max(Counter(song.track_id for song in songs).values()) == 3
    assert len({song.track_genre for song in songs}) == 27
    assert any(user.user_country is None for user in parse_users(files["users.csv"].content)[0])


def test_files_are_gzipped_where_their_name_says_so_and_headers_differ(files: dict[str, SampleFile]) -> None:
    headers = set()
    for name, file in accepted(files, "streams").items():
        assert name.endswith(".gz") == file.content.startswith(b"\x1f\x8b")
        content = gzip.decompress(file.content) if name.endswith(".gz") else file.content
        headers.add(tuple(next(csv.reader(io.StringIO(content.decode())))))
    assert len(headers) == 2


def test_the_command_writes_the_files_and_what_to_expect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path / "in"), "--seed", "7", "--plays", "600", "--days", "1"])
    files = sample_files(seed=7, plays=600, days=1)
    written = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    expected = json.loads(written.pop(EXPECTED_NAME))
    assert written == {name: file.content for name, file in files.items()}
    assert expected["streams_not_utf8.csv"] == {
        "dataset": "streams", "outcome": "rejected", "rule": "not_utf8", "quarantined_rows": 0
    }  # fmt: skip
    assert expected.keys() == files.keys()
    assert f"{len(files)} files" in capsys.readouterr().out


def test_too_few_plays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--plays", "499"])
