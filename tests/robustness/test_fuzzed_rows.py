"""Rows and files of any text through Spark: it judges each row as a second judge in plain Python does.

`make trust` makes 50,000 rows of each dataset, and 3,000 files.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from pyspark.sql import DataFrame, SparkSession

from tests.robustness import second_judge
from tests.robustness.csv_files import count, files, fuzzing, rows
from tests.robustness.second_judge import Judgement
from validators.counts import collect_counts, count_rows
from validators.file_checks import check_text, plain_chunks
from validators.rows import FAILS_PREFIX, RAW, ReadableFile, flag_columns, judge_files
from validators.schemas import REQUIRED_COLUMNS

ROWS: Final = count("TRUST_ROWS", few=400)
FILES: Final = count("TRUST_ROW_FILES", few=150)
UPLOADED: Final = datetime(2024, 6, 26, tzinfo=UTC)
DATASETS: Final = list(REQUIRED_COLUMNS)


def some_rows(dataset: str) -> list[list[str]]:
    """Rows, each of which begins with its number."""
    made: list[list[str]] = []

    @given(rows(REQUIRED_COLUMNS[dataset]))
    @fuzzing(ROWS)
    def keep(row: list[str]) -> None:
        # A carriage return that ends a line without quotes belongs to the line's end, and not to the field.
        made.append([str(len(made)), *row[:-1], row[-1].rstrip("\r")])

    keep()
    return made


def some_files(dataset: str) -> list[bytes]:
    """Files that the checks before Spark accept."""
    made: set[bytes] = set()

    @given(files(dataset))
    @fuzzing(FILES)
    def keep(data: bytes) -> None:
        if not second_judge.broken_file_rules(data, dataset):
            made.add(data)

    keep()
    return sorted(made)


def readable(folder: Path, contents: Mapping[str, bytes], dataset: str) -> list[ReadableFile]:
    """The files as the validation job hands them to Spark."""
    found = []
    for name, data in contents.items():
        path = folder / name
        path.write_bytes(b"".join(plain_chunks(io.BytesIO(data))))
        text = check_text(io.BytesIO(data), dataset)
        found.append(
            ReadableFile(
                name=name,
                uri=path.as_uri(),
                header=text.header,
                last_modified=UPLOADED,
                is_line_per_row=text.is_line_per_row,
            )
        )
    return found


def broken_by_number(judged: DataFrame) -> dict[str, set[str]]:
    """The rules that Spark finds broken, by the number that a row begins with."""
    flags = flag_columns(judged)
    return {
        row[RAW][0].partition(",")[0]: {flag.removeprefix(FAILS_PREFIX) for flag in flags if row[flag]}
        for row in judged.select(RAW, *flags).collect()
    }


@pytest.mark.parametrize("dataset", DATASETS)
def test_spark_and_a_second_judge_find_the_same_rules_broken(spark: SparkSession, tmp_path: Path, dataset: str) -> None:
    header, made = ["number", *REQUIRED_COLUMNS[dataset]], some_rows(dataset)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *made])
    sources = readable(tmp_path, {"rows.csv": text.getvalue().encode()}, dataset)
    found = broken_by_number(judge_files(spark, dataset, sources))
    expected = {row[0]: second_judge.broken_row_rules(header, row, dataset, UPLOADED) for row in made}
    assert found.keys() == expected.keys()
    differing = {number for number in found if found[number] != expected[number]}
    assert [(made[int(n)], found[n], expected[n]) for n in sorted(differing)] == []
    assert len(Counter(rule for broken in expected.values() for rule in broken)) > 3
    assert sum(not broken for broken in expected.values()) > ROWS // 10


@pytest.mark.parametrize("dataset", DATASETS)
def test_spark_and_a_second_judge_count_the_same_rows_of_a_file(
    spark: SparkSession, tmp_path: Path, dataset: str
) -> None:
    contents = {f"{number}.csv": data for number, data in enumerate(some_files(dataset))}
    sources = readable(tmp_path, contents, dataset)
    judged = judge_files(spark, dataset, sources)
    statistics = collect_counts(count_rows(judged, dataset, {})).statistics
    found = {name: _judgement(statistics.get(name, {"rows": 0, "quarantined": 0}), judged) for name in contents}
    tidy = {name: data for name, data in contents.items() if second_judge.is_tidy(data)}
    expected = {name: second_judge.judgement(data, dataset, UPLOADED) for name, data in tidy.items()}
    assert [(tidy[name], found[name], expected[name]) for name in tidy if found[name] != expected[name]] == []
    assert len(tidy) > FILES // 10


def _judgement(counts: Mapping[str, int], judged: DataFrame) -> Judgement:
    rules = [flag.removeprefix(FAILS_PREFIX) for flag in flag_columns(judged)]
    return Judgement(counts["rows"], counts["quarantined"], {rule: counts[rule] for rule in rules if counts.get(rule)})
