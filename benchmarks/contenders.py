"""One round: every contender once, as a whole process, on a fresh account; and the check that they agree."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.aws import ROOT, Run, serving
from benchmarks.dataset import Dataset
from benchmarks.kpi_rows import check_equal
from benchmarks.memory import peak_of_children

_NOT_RULES = ("not_in_songs", "not_in_users")


@dataclass(frozen=True)
class Round:
    """What one round has given.

    Attributes:
        runs: by contender.
        rows: KPI rows by contender.
        failed: failed rows by dataset and rule, by contender.
    """

    runs: Mapping[str, Run]
    rows: Mapping[str, Any]
    failed: Mapping[str, Mapping[str, Mapping[str, int]]]

    def check(self) -> None:
        """Raises UnequalResultsError unless KPI rows are equal, and counts for every rule that two contenders know."""
        check_equal(self.rows)
        ours = self.failed[report.VALIDATION]
        for name in self.failed.keys() - {report.VALIDATION}:
            theirs = {
                dataset: {rule: count for rule, count in counts.items() if rule not in _NOT_RULES}
                for dataset, counts in self.failed[name].items()
            }
            shared = {dataset: {rule: ours[dataset].get(rule) for rule in counts} for dataset, counts in theirs.items()}
            check_equal({report.VALIDATION: shared, name: theirs})


def run_round(data: Dataset, folder: Path, *, is_reversed: bool = False, has_naive_suite: bool = True) -> Round:
    """Runs every contender, one after another.

    Args:
        data: the files.
        folder: is created; keeps the results.
        is_reversed: last ones first, so that in two rounds nobody has the better place.
        has_naive_suite: it takes hours where the others take minutes.
    """
    source = data.users.parent
    with serving(folder) as aws:
        aws.stage(data, "batch")

        def script(name: str) -> Run:
            return aws.run_script(f"{name}.py", source, folder / f"{name}.json")

        def jobs() -> Mapping[str, Run]:
            return {report.VALIDATION: aws.validate("batch"), report.KPIS: aws.compute("batch")}

        turns: list[Callable[[], Mapping[str, Run]]] = [
            lambda: {report.FLOOR: _run_peer("duckdb_floor", source, folder / "duckdb.json")},
            jobs,
            lambda: {
                report.DUCKDB_LAKE: _run_peer("duckdb_floor", source, folder / "duckdb_lake.json", folder / "lake")
            },
            lambda: {report.POLARS: _run_peer("polars_lazy", source, folder / "polars.json")},
            lambda: {report.TEXTBOOK: script("textbook_kpis")},
            lambda: {report.SINGLE_PASS: script("single_pass")},
        ]
        if has_naive_suite:
            turns.append(lambda: {report.NAIVE_SUITE: script("naive_suite")})
        runs: dict[str, Run] = {}
        for turn in reversed(turns) if is_reversed else turns:
            runs |= turn()
        rows = {
            report.FLOOR: _read(folder / "duckdb.json"),
            report.KPIS: aws.kpi_rows(),
            report.DUCKDB_LAKE: _read(folder / "duckdb_lake.json"),
            report.POLARS: _read(folder / "polars.json"),
            report.TEXTBOOK: _read(folder / "textbook_kpis.json"),
        }
        failed = {report.VALIDATION: aws.failed_rows(), report.SINGLE_PASS: _read(folder / "single_pass.json")}
    if has_naive_suite:
        failed[report.NAIVE_SUITE] = _read(folder / "naive_suite.json")
    return Round(runs, rows, failed)


def _run_peer(module: str, *arguments: Path) -> Run:
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    with peak_of_children() as peak:
        started = time.monotonic()
        subprocess.run(command, check=True, cwd=ROOT)
        seconds = time.monotonic() - started
    return Run(seconds=seconds, peak_mib=peak.mebibytes)


def _read(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(path.read_text(encoding="utf-8"))
