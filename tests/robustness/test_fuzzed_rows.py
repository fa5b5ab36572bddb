"""Rows and files of any text through the judge: it judges each as a second judge in plain Python does.

`make trust` makes 50,000 rows of each dataset, and 3,000 files.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given

from tests.robustness import second_judge
from tests.robustness.csv_files import count, files, fuzzing, rows
from tests.robustness.judged_files import Outcome, ValidRows, judged_files
from tests.robustness.second_judge import Judgement
from tests.validation.judging import UPLOADED
from validators import csv_pieces, quarantine
from validators.rules import RULES, Severity
from validators.schemas import REQUIRED_COLUMNS

ROWS: Final = count("TRUST_ROWS", few=400)
FILES: Final = count("TRUST_ROW_FILES", few=150)
DATASETS: Final = list(REQUIRED_COLUMNS)
PIECE_BYTES: Final = 20_000
ToldAndKept = tuple[dict[str, list[tuple[int, int, int]]], list[dict[str, Any]]]
KNOWN: Final = {"songs": ["t1", "🎵", "0"], "users": ["u1", "ü-3", "u2"]}


def some_rows(dataset: str) -> list[list[str]]:
    """Rows, each of which begins with its number."""
    made: list[list[str]] = []

    @given(rows(REQUIRED_COLUMNS[dataset]))
    @fuzzing(ROWS)
    def keep(row: list[str]) -> None:
        made.append([str(len(made)), *row])

    keep()
    return made


def some_files(dataset: str) -> list[bytes]:
    """Files that the checks of their bytes accept."""
    made: set[bytes] = set()

    @given(files(dataset))
    @fuzzing(FILES)
    def keep(data: bytes) -> None:
        if not second_judge.broken_file_rules(data, dataset):
            made.add(data)

    keep()
    return sorted(made)


def file_of(dataset: str, made: list[list[str]], *, every_field: bool = False, line_end: str = "\n") -> bytes:
    """Rows with their numbers as a file that quotes every field, or those that have to be."""
    whole = ""
    for row in [["number", *REQUIRED_COLUMNS[dataset]], *made]:
        text = io.StringIO(newline="")
        csv.writer(text, quoting=csv.QUOTE_ALL if every_field else csv.QUOTE_MINIMAL).writerow(row)
        whole += text.getvalue().removesuffix("\r\n") + line_end
    return whole.encode()


def judged(folder: Path, dataset: str, contents: dict[str, bytes]) -> dict[str, Outcome]:
    return judged_files(folder, dataset, contents, KNOWN if dataset == "streams" else {})


def tidy_files(dataset: str) -> dict[str, bytes]:
    """By name, files of which the second judge can tell what is in them."""
    made = {f"{number}.csv": data for number, data in enumerate(some_files(dataset))}
    return {name: data for name, data in made.items() if second_judge.is_tidy(data)}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", PIECE_BYTES)


@pytest.fixture
def every_row_is_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_SAMPLES", quarantine.MAX_QUARANTINED_ROWS)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_judge_and_a_second_one_find_the_same_rules_broken(tmp_path: Path, dataset: str) -> None:
    header, made = ["number", *REQUIRED_COLUMNS[dataset]], some_rows(dataset)
    outcome = judged(tmp_path, dataset, {"rows.csv": file_of(dataset, made)})["rows.csv"]
    found = {row["fields"][0].partition(",")[0]: set(row["rules"]) for row in outcome.broken}
    expected = {row[0]: second_judge.broken_row_rules(header, row, dataset, UPLOADED) for row in made}
    differing = {number for number in expected if found.get(number, set()) != expected[number]}
    assert [(made[int(n)], found.get(n), expected[n]) for n in sorted(differing)] == []
    assert len(Counter(rule for broken in expected.values() for rule in broken)) > 3
    assert outcome.valid.total() == sum(not broken for broken in expected.values()) > ROWS // 10


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_judge_and_a_second_one_count_the_same_rows_of_a_file(tmp_path: Path, dataset: str) -> None:
    tidy = tidy_files(dataset)
    outcomes = judged(tmp_path, dataset, tidy)
    expected = {name: second_judge.judgement(data, dataset, UPLOADED) for name, data in tidy.items()}
    found = {name: _judgement(outcomes[name].counts) for name in tidy}
    assert [(tidy[name], found[name], expected[name]) for name in tidy if found[name] != expected[name]] == []
    assert len(tidy) > FILES // 10


@pytest.mark.usefixtures("every_row_is_a_sample")
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_broken_row_is_told_and_kept_as_it_stands_in_its_file(tmp_path: Path, dataset: str) -> None:
    with_blank_lines = [each for row in some_rows(dataset) for each in ([row, []] if row[0].endswith("7") else [row])]
    of_rows = {
        f"{line_end!r}.csv": file_of(dataset, with_blank_lines, every_field=True, line_end=line_end)
        for line_end in ("\n", "\r\n")
    }
    contents = tidy_files(dataset) | of_rows
    outcomes = judged(tmp_path, dataset, contents)
    expected = {name: told_and_kept(data, dataset) for name, data in contents.items()}
    found = {name: _told_and_kept(outcome) for name, outcome in outcomes.items()}
    differing = [name for name in contents if found[name] != expected[name]]
    assert [(contents[name][:500], found[name], expected[name]) for name in differing] == []
    assert min(len(outcomes[name].broken) for name in of_rows) > ROWS // 10


@pytest.mark.parametrize("dataset", DATASETS)
def test_what_is_asked_of_the_valid_rows_of_a_file_is_what_python_counts(tmp_path: Path, dataset: str) -> None:
    contents = {"rows.csv": file_of(dataset, some_rows(dataset)), **tidy_files(dataset)}
    outcomes = judged(tmp_path, dataset, contents)
    expected = {name: asked(outcome.valid, dataset) for name, outcome in outcomes.items()}
    found = {name: {key: outcomes[name].counts[key] for key in expected[name]} for name in contents}
    assert [
        (contents[name][:500], found[name], expected[name]) for name in contents if found[name] != expected[name]
    ] == []
    assert all(any(counts[key] for counts in found.values()) for key in found["rows.csv"])


@pytest.mark.parametrize(
    ("dataset", "header"),
    [
        (
            "songs",
            b'\n"duration_ms","album_name","explicit","track_name","popularity","track_id","artists","track_genre"',
        ),
        ("users", b'\r\n\r\n"user_country","user_id","user_age","created_at","user_name","more"'),
    ],
)
def test_a_header_alone_below_blank_lines_is_no_row(tmp_path: Path, dataset: str, header: bytes) -> None:
    outcome = judged(tmp_path, dataset, {"no-rows.csv": header})["no-rows.csv"]
    assert (set(outcome.counts.values()), outcome.samples, outcome.broken, outcome.valid) == ({0}, {}, [], ValidRows())


def told_and_kept(data: bytes, dataset: str) -> ToldAndKept:
    """By rule, where its broken rows stand, and as how many rows each counts; and what the quarantine is to keep."""
    told = defaultdict(list)
    kept = []
    lines = second_judge.lines_of(second_judge.text_of(data))
    for number, row, broken in second_judge.judged_rows(data, dataset, UPLOADED):
        if not broken:
            continue
        weight = second_judge.weight(row, broken)
        for rule in broken:
            told[rule].append((row.number, row.line, weight))
        own = "".join(lines[row.line - 1 : row.line - 1 + row.lines]).rstrip("\r\n")
        fields: list[str | None] = [own]
        if broken != {"malformed_row"}:
            fields = [field or None for field in row.fields]
        kept.append({"row": number, "lines": weight, "rules": broken, "fields": fields})
    return dict(told), kept


def asked(valid: ValidRows, dataset: str) -> dict[str, int]:
    """What is counted of the valid rows of a file."""
    rows = [(dict(zip(REQUIRED_COLUMNS[dataset], row, strict=True)), times) for row, times in valid.items()]
    duplicates = {"duplicate_rows": valid.total() - len(valid)}
    if dataset == "streams":
        unknown = {"unknown_track": ("track_id", KNOWN["songs"]), "unknown_user": ("user_id", KNOWN["users"])}
        return duplicates | {
            warning: sum(times for row, times in rows if row[column] not in ids)
            for warning, (column, ids) in unknown.items()
        }
    if dataset == "users":
        return duplicates
    genres = {(row["track_id"], row["track_genre"]) for row, _ in rows}
    of_tracks = Counter(track for track, _ in genres)
    most = max(of_tracks.values(), default=0)
    return duplicates | {"genres": len({genre for _, genre in genres}), "genres_of_track": most}


def _told_and_kept(outcome: Outcome) -> ToldAndKept:
    told = {
        rule: [(sample.row, sample.line, sample.lines) for sample in found] for rule, found in outcome.samples.items()
    }
    return told, [row | {"rules": set(row["rules"])} for row in outcome.broken]


def _judgement(counts: dict[str, int]) -> Judgement:
    rules = {rule.id for rule in RULES if rule.severity is Severity.QUARANTINE_ROW}
    failed = {name: failed for name, failed in counts.items() if name in rules and failed}
    return Judgement(counts.get("rows", 0), counts.get("quarantined", 0), failed)
