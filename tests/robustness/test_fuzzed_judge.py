"""Rows and files of any text through the judge of SQL on DuckDB: it judges each as a second judge in plain Python does.

`make trust` makes 50,000 rows of each dataset, and 3,000 files.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.robustness import second_judge
from tests.robustness.both_judges import by_duckdb
from tests.robustness.second_judge import Judgement
from tests.robustness.test_fuzzed_rows import DATASETS, FILES, ROWS, UPLOADED, some_files, some_rows
from validators import csv_pieces
from validators.rules import RULES, Severity
from validators.schemas import REQUIRED_COLUMNS

PIECE_BYTES: Final = 20_000


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", PIECE_BYTES)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_judge_and_a_second_one_find_the_same_rules_broken(tmp_path: Path, dataset: str) -> None:
    header, made = ["number", *REQUIRED_COLUMNS[dataset]], some_rows(dataset)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *made])
    outcome = by_duckdb(tmp_path, dataset, {"rows.csv": text.getvalue().encode()}, {})["rows.csv"]
    found = {row["fields"][0].partition(",")[0]: set(row["rules"]) for row in outcome.broken}
    expected = {row[0]: second_judge.broken_row_rules(header, row, dataset, UPLOADED) for row in made}
    differing = {number for number in expected if found.get(number, set()) != expected[number]}
    assert [(made[int(n)], found.get(n), expected[n]) for n in sorted(differing)] == []
    assert len(Counter(rule for broken in expected.values() for rule in broken)) > 3
    assert outcome.valid.total() == sum(not broken for broken in expected.values()) > ROWS // 10


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_judge_and_a_second_one_count_the_same_rows_of_a_file(tmp_path: Path, dataset: str) -> None:
    contents = {f"{number}.csv": data for number, data in enumerate(some_files(dataset))}
    outcomes = by_duckdb(tmp_path, dataset, contents, {})
    tidy = {name: data for name, data in contents.items() if second_judge.is_tidy(data)}
    expected = {name: second_judge.judgement(data, dataset, UPLOADED) for name, data in tidy.items()}
    found = {name: _judgement(outcomes[name].counts) for name in tidy}
    assert [(tidy[name], found[name], expected[name]) for name in tidy if found[name] != expected[name]] == []
    assert len(tidy) > FILES // 10


def _judgement(counts: dict[str, int]) -> Judgement:
    rules = {rule.id for rule in RULES if rule.severity is Severity.QUARANTINE_ROW}
    failed = {name: count for name, count in counts.items() if name in rules}
    return Judgement(counts.get("rows", 0), counts.get("quarantined", 0), failed)
