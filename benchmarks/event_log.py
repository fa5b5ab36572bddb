"""Phases of a KPI job from its Spark event log: until the first Spark job, lake writes, computing, and the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

_WRITE: Final = "InsertIntoHadoopFsRelationCommand"
"""What Spark's plans call a write of files."""


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Seconds of one job run.

    Attributes:
        start: until the first Spark job: Python, the JVM, imports, the session.
        lake: until the last write of Parquet has ended: CSV is read, judged, and written as snapshots and runs.
        compute: until the last Spark job has ended, the claims of the days included.
        rest: until the process has ended: rows to DynamoDB, which the embedded AWS emulates.
    """

    start: float
    lake: float
    compute: float
    rest: float

    @property
    def without_dynamodb(self) -> float:
        """The whole process without `rest`."""
        return self.start + self.lake + self.compute

    def as_dict(self) -> dict[str, float]:
        """For a report."""
        return asdict(self)


def phases(lines: Iterable[str], started: float, ended: float) -> Phases:
    """Reads an event log.

    Args:
        lines: of the log, each a JSON event.
        started: when the process was started, seconds since 1970.
        ended: when it had ended.
    """
    events = [json.loads(line) for line in lines]
    first = min(_moments(events, "SparkListenerJobStart", "Submission Time"))
    last = max(_moments(events, "SparkListenerJobEnd", "Completion Time"))
    writes = {
        event["executionId"]
        for event in events
        if event["Event"].endswith("SparkListenerSQLExecutionStart") and _WRITE in event["physicalPlanDescription"]
    }
    written = max(
        event["time"] / 1000
        for event in events
        if event["Event"].endswith("SparkListenerSQLExecutionEnd") and event["executionId"] in writes
    )
    return Phases(start=first - started, lake=written - first, compute=last - written, rest=ended - last)


def _moments(events: Iterable[Mapping[str, Any]], kind: str, field: str) -> list[float]:
    return [event[field] / 1000 for event in events if event["Event"] == kind]
