"""One round: every contender once, as a whole process, on a fresh account; and the check that they agree."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
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
        for name in (report.SINGLE_PASS, report.NAIVE_SUITE):
            theirs = {
                dataset: {rule: count for rule, count in counts.items() if rule not in _NOT_RULES}
                for dataset, counts in self.failed[name].items()
            }
            shared = {dataset: {rule: ours[dataset].get(rule) for rule in counts} for dataset, counts in theirs.items()}
            check_equal({report.VALIDATION: shared, name: theirs})


def run_round(data: Dataset, folder: Path) -> Round:
    """Runs every contender in turn.

    Args:
        data: the files.
        folder: is created; keeps the results.
    """
    source, kpis = data.users.parent, folder / "duckdb.json"
    textbook, single, naive = (folder / f"{name}.json" for name in ("textbook", "single", "naive"))
    with serving(folder) as aws:
        aws.stage(data, "batch")
        runs = {
            report.FLOOR: _run_floor(source, kpis),
            report.VALIDATION: aws.validate("batch"),
            report.KPIS: aws.compute("batch"),
            report.TEXTBOOK: aws.run_script("textbook_kpis.py", source, textbook),
            report.SINGLE_PASS: aws.run_script("single_pass.py", source, single),
            report.NAIVE_SUITE: aws.run_script("naive_suite.py", source, naive),
        }
        rows = {report.FLOOR: _read(kpis), report.KPIS: aws.kpi_rows(), report.TEXTBOOK: _read(textbook)}
        ours = aws.failed_rows()
    failed = {report.VALIDATION: ours, report.SINGLE_PASS: _read(single), report.NAIVE_SUITE: _read(naive)}
    return Round(runs, rows, failed)


def _run_floor(source: Path, result: Path) -> Run:
    command = [sys.executable, "-m", "benchmarks.duckdb_floor", str(source), str(result)]
    with peak_of_children() as peak:
        started = time.monotonic()
        subprocess.run(command, check=True, cwd=ROOT)
        seconds = time.monotonic() - started
    return Run(seconds=seconds, peak_mib=peak.mebibytes)


def _read(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(path.read_text(encoding="utf-8"))
