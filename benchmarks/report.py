"""Medians, ratios and the machine, as JSON and as a short table."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from typing import Any, Final

KPIS: Final = "KPI job"
KPIS_ALONE: Final = "KPI job without DynamoDB"
VALIDATION: Final = "validation job"
VALIDATION_ALONE: Final = "validation job without objects"
BOTH: Final = "validate + KPI"
"""Both jobs, without DynamoDB."""
FLOOR: Final = "DuckDB"
DUCKDB_LAKE: Final = "DuckDB with the lake write"
POLARS: Final = "polars with the lake write"
TEXTBOOK: Final = "textbook Spark"
SINGLE_PASS: Final = "hand-written pass"
NAIVE_SUITE: Final = "naive suite"

RATIOS: Final = (
    (BOTH, FLOOR),
    (BOTH, DUCKDB_LAKE),
    (BOTH, POLARS),
    (KPIS_ALONE, FLOOR),
    (TEXTBOOK, KPIS_ALONE),
    (VALIDATION_ALONE, SINGLE_PASS),
    (VALIDATION, SINGLE_PASS),
    (NAIVE_SUITE, VALIDATION),
)


def report(
    size: Mapping[str, Any],
    seconds: Mapping[str, Sequence[float]],
    peaks: Mapping[str, Sequence[float]],
    phases: Sequence[Mapping[str, float]],
    object_seconds: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """What a run has measured, for JSON.

    Args:
        size: what was generated.
        seconds: of each round by contender.
        peaks: MiB of each round by contender.
        phases: of the KPI job, seconds, of each round.
        object_seconds: of each round by job: in which it read or wrote an object.
    """
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_of_the_last_minute": os.getloadavg()[0],
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in ("pyspark", "duckdb", "polars", "great-expectations", "moto")},
        "size": dict(size),
        "seconds": {name: list(values) for name, values in seconds.items()},
        "median_seconds": medians,
        "rows_per_second": {name: size["plays"] / value for name, value in medians.items()},
        "peak_mib": {name: max(values) for name, values in peaks.items()},
        "kpi_job_phases": {name: median(phase[name] for phase in phases) for name in phases[0]},
        "object_seconds": {name: median(values) for name, values in object_seconds.items()},
        "ratios": {
            f"{one} / {other}": medians[one] / medians[other]
            for one, other in RATIOS
            if one in medians and other in medians
        },
    }


def headline(measured: Mapping[str, Any]) -> str:
    """The one figure to look at, in one line: the time of both jobs in DuckDB's."""
    name = f"{BOTH} / {FLOOR}"
    return f"headline: {name} = {measured['ratios'][name]:.2f} at {measured['size']['plays']} plays"


def table(measured: Mapping[str, Any]) -> str:
    """The report in Markdown."""
    lines = ["| contender | median s | rows/s | peak MiB |", "| --- | ---: | ---: | ---: |"]
    for name, value in measured["median_seconds"].items():
        peak = measured["peak_mib"].get(name)
        memory = f"{peak:,.0f}" if peak else ""
        lines.append(f"| {name} | {value:.1f} | {measured['rows_per_second'][name]:,.0f} | {memory} |")
    lines += ["", "| ratio | |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.2f} |" for name, value in measured["ratios"].items()]
    lines += ["", "| phase of the KPI job | median s |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.1f} |" for name, value in measured["kpi_job_phases"].items()]
    lines += ["", "| object reads and writes of the | median s |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.1f} |" for name, value in measured["object_seconds"].items()]
    return "\n".join(lines)
