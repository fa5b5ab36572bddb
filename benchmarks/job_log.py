"""Phases of a KPI job from its own log: until it begins, and until days are computed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

_LINE: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) INFO (\S+ \S+)")
"""A line in the format of `glue_scripts.session`: the moment in UTC, and the logger with the first word it says."""

BEGAN: Final = "glue_scripts.session began"
COMPUTED: Final = "glue_scripts.sql_engine computed"


class PhaseNotLoggedError(Exception):
    """The log lacks a line that ends a phase."""


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Seconds of one job run.

    Attributes:
        start: until the job's log begins: Python and imports.
        compute: until the last days are computed, their claims included, and the start of Spark where days are large.
        rest: until the process has ended: rows to DynamoDB, which the embedded AWS emulates.
    """

    start: float
    compute: float
    rest: float

    @property
    def without_dynamodb(self) -> float:
        """The whole process without `rest`."""
        return self.start + self.compute

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
    missing = {BEGAN, COMPUTED} - last.keys()
    if missing:
        raise PhaseNotLoggedError(f"The log has no line of: {', '.join(sorted(missing))}")
    return Phases(
        start=last[BEGAN] - started,
        compute=last[COMPUTED] - last[BEGAN],
        rest=ended - last[COMPUTED],
    )


def _seconds(moment: str) -> float:
    return datetime.strptime(moment, "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC).timestamp()
