"""The judge of SQL on DuckDB says of every row what today's judge on Spark says.

`make trust` makes 50,000 rows of each dataset, and 3,000 files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from pyspark.sql import SparkSession

from tests.robustness import second_judge
from tests.robustness.both_judges import Outcome, by_duckdb, by_spark
from tests.robustness.test_fuzzed_rows import DATASETS, some_files, some_rows
from tests.validation.bad_inputs import INPUTS
from tests.validation.test_tolerances import files_at_the_edges
from validators import csv_pieces
from validators.file_checks import FileRejectedError, check_text, row_positions
from validators.schemas import REQUIRED_COLUMNS

SNAPSHOTS: Final = {"songs": ["t1", "🎵", "0"], "users": ["u1", "ü-3", "u2"]}


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", 8192)


def quoted(table: list[list[str]], *, every_field: bool) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if every_field else csv.QUOTE_MINIMAL)
    writer.writerows(table)
    return text.getvalue().encode()


def unquoted(table: list[list[str]]) -> bytes:
    """Rows as they are: what stands in them may break them. Without what would make Spark read it whole."""
    lines = [",".join(row).replace('"', "'").replace("\r", "").replace("\n", "") for row in table]
    return "".join(f"{line}\n" for line in lines if line.strip("".join(map(chr, range(1, 33))))).encode()


def is_accepted(data: bytes, dataset: str) -> bool:
    try:
        check_text(io.BytesIO(data), dataset)
    except FileRejectedError:
        return False
    return True


def assert_alike(
    spark: SparkSession, folder: Path, dataset: str, contents: Mapping[str, bytes], snapshots: Mapping[str, list[str]]
) -> dict[str, Outcome]:
    by_both = (by_spark(spark, folder, dataset, contents, snapshots), by_duckdb(folder, dataset, contents, snapshots))
    expected, found = ({name: comparable(outcome) for name, outcome in of.items()} for of in by_both)
    differing = [name for name in contents if found[name] != expected[name]]
    assert [(contents[name][:500], *difference(found[name], expected[name])) for name in differing] == []
    for name, data in contents.items():
        if second_judge.is_tidy(data):
            assert_in_their_places(data, by_both[1][name].broken)
    return by_both[1]


def assert_in_their_places(data: bytes, broken: list[dict[str, Any]]) -> None:
    places = row_positions(io.BytesIO(data), {row["row"] for row in broken})
    found = {row["row"]: (row["sheet_row"], row["line"]) for row in broken}
    assert found == {row: (place.row, place.line) for row, place in places.items()}


def comparable(outcome: Outcome) -> dict[str, Any]:
    broken = [{name: row[name] for name in row if name not in ("sheet_row", "line")} for row in outcome.broken]
    return {"counts": outcome.counts, "valid": outcome.valid, "broken": broken}


def difference(found: dict[str, Any], expected: dict[str, Any]) -> Iterator[Any]:
    """Of two outcomes, the parts that differ."""
    if found["counts"] != expected["counts"]:
        yield found["counts"], expected["counts"]
    yield found["valid"] - expected["valid"], expected["valid"] - found["valid"]
    yield [pair for pair in zip(found["broken"], expected["broken"], strict=False) if pair[0] != pair[1]][:3]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("dataset", DATASETS)
def test_they_agree_on_rows_of_any_text(spark: SparkSession, tmp_path: Path, dataset: str) -> None:
    rows = some_rows(dataset)
    table = [["number", *REQUIRED_COLUMNS[dataset]], *rows]
    contents = {
        "minimal": quoted(table, every_field=False),
        "all": quoted(table, every_field=True),
        "none": unquoted(table),
        "last": unquoted([row[1:] for row in table]),
    }
    outcomes = assert_alike(spark, tmp_path, dataset, contents, SNAPSHOTS if dataset == "streams" else {})
    assert [outcomes[name].counts["rows"] for name in ("minimal", "all")] > [len(rows) // 2] * 2
    assert all(len(outcome.broken) > len(rows) // 10 < outcome.valid.total() for outcome in outcomes.values())


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("dataset", DATASETS)
def test_they_agree_on_files_of_any_bytes(spark: SparkSession, tmp_path: Path, dataset: str) -> None:
    made = some_files(dataset)
    for start in range(0, len(made), 50):
        contents = {f"{start + number}.csv": data for number, data in enumerate(made[start : start + 50])}
        assert_alike(spark, tmp_path, dataset, contents, {})
    assert len(made) > 20


@pytest.mark.parametrize("dataset", DATASETS)
def test_they_agree_on_the_inputs_and_edges_of_the_other_tests(
    spark: SparkSession, tmp_path: Path, dataset: str
) -> None:
    inputs = [given.content for given in INPUTS if given.dataset == dataset and is_accepted(given.content, dataset)]
    edges = [text.encode() for text in files_at_the_edges(dataset).values()]
    contents = {f"{number}.csv": data for number, data in enumerate([*inputs, *edges])}
    assert_alike(spark, tmp_path, dataset, contents, SNAPSHOTS if dataset == "streams" else {})
    assert len(inputs) > 3
