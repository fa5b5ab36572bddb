"""Phases of a KPI job from its own log: until the session is there, the lake is written, and days are computed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

_LINE: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) INFO (\S+ \S+)")
"""A line in the format of `glue_scripts.session`: the moment in UTC, and the logger with the first word it says."""

SESSION: Final = "glue_scripts.session started"
WROTE: Final = "glue_scripts.sql_engine wrote"
COMPUTED: Final = "glue_scripts.sql_engine computed"


class PhaseNotLoggedError(Exception):
    """The log lacks a line that ends a phase."""


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Seconds of one job run.

    Attributes:
        start: until the session is there: Python, the JVM, imports.
        lake: until runs and snapshots are written: CSV is read, judged, and written as Parquet.
        compute: until the last days are computed, their claims included.
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
    """Reads the log of a run.

    Args:
        lines: of the log, those of others among them.
        started: when the process was started, seconds since 1970.
        ended: when it had ended.

    Raises:
        PhaseNotLoggedError: a line that ends a phase is missing.
    """
    last = {line[2]: _seconds(line[1]) for line in map(_LINE.match, lines) if line}
    missing = {SESSION, WROTE, COMPUTED} - last.keys()
    if missing:
        raise PhaseNotLoggedError(f"The log has no line of: {', '.join(sorted(missing))}")
    return Phases(
        start=last[SESSION] - started,
        lake=last[WROTE] - last[SESSION],
        compute=last[COMPUTED] - last[WROTE],
        rest=ended - last[COMPUTED],
    )


def _seconds(moment: str) -> float:
    return datetime.strptime(moment, "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC).timestamp()
