"""What a day of files costs on AWS, by the prices of prices.json. `python -m benchmarks.costs` prints the table.

A model, not a bill: files come evenly over the day, all of them good, the plays of each batch on one day of KPIs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stacks.settings import Settings, read_context

PRICES: Final = Path(__file__).with_name("prices.json")
FILES_A_DAY: Final = (10, 1_000, 10_000)
SECONDS_A_DAY: Final = 86_400

JOB_SECONDS: Final = 90
"""Billed time of a job run, an estimate: what a small batch takes with its start."""
JOBS: Final = 2
STATES_OF_BATCH: Final = 16
STATES_OF_FILE: Final = 8
"""What state_machines/pipeline.asl.json enters for a batch and for each accepted file of it."""
ROWS_OF_DAY: Final = 2_708
"""KPI rows of the day of the public files: what a batch writes at most. A row is below 1 KB, so one write unit."""
UNITS_OF_TRANSACTIONAL_WRITE: Final = 2
PUTS_OF_FILE: Final = 5
"""The upload, the copies to processing/ and archive/, the report, a Parquet file of the lake."""
GETS_OF_FILE: Final = 5
"""HEAD, the check of its bytes, Spark in either job, reading the lake."""
MESSAGES_OF_FILE: Final = 3
"""Requests to SQS: send, receive, delete."""


@dataclass(frozen=True)
class Cost:
    """Dollars of a day.

    Attributes:
        batches: executions of the state machine.
        glue: both jobs.
        rest: everything else that is counted by use.
    """

    batches: int
    glue: float
    rest: float

    @property
    def total(self) -> float:
        """Glue and the rest."""
        return self.glue + self.rest


def batches(files: int, settings: Settings) -> int:
    """Executions of a day: one for each batch window in which a file comes, more where a batch is full before."""
    windows = SECONDS_A_DAY // max(settings.batch_window_seconds, 1)
    return max(min(files, windows), math.ceil(files / settings.batch_size))


def cost(files: int, settings: Settings, prices: Mapping[str, float]) -> Cost:
    """Cost of a day with so many files."""
    count = batches(files, settings)
    rows = count * ROWS_OF_DAY * UNITS_OF_TRANSACTIONAL_WRITE
    states = count * STATES_OF_BATCH + files * STATES_OF_FILE
    rest = (
        states * prices["step_functions_transition"]
        + rows * prices["dynamodb_write_unit"]
        + files * PUTS_OF_FILE * prices["s3_put_copy_list"]
        + files * GETS_OF_FILE * prices["s3_get"]
        + files * prices["eventbridge_event"]
        + files * MESSAGES_OF_FILE * prices["sqs_request"]
        + files * prices["pipes_request"]
    )
    return Cost(count, _glue(count, settings.dpus, prices), rest)


def _glue(count: int, dpus: int, prices: Mapping[str, float]) -> float:
    seconds = max(JOB_SECONDS, prices["glue_minimum_seconds"])
    return count * JOBS * dpus * seconds / 3600 * prices["glue_dpu_hour"]


def table() -> str:
    """The costs of all environments in Markdown."""
    prices = json.loads(PRICES.read_text(encoding="utf-8"))
    environments = read_context()["environments"]
    lines = [
        "| files a day | environment | batches | Glue $ | rest $ | a day $ | two jobs per file $ |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for files in FILES_A_DAY:
        for name in environments:
            settings = Settings.read(environments, name)
            day = cost(files, settings, prices)
            two_jobs_per_file = _glue(files, settings.dpus, prices)
            lines.append(
                f"| {files:,} | {name}, {settings.batch_window_seconds} s | {day.batches:,} | {day.glue:,.2f} "
                f"| {day.rest:,.2f} | {day.total:,.2f} | {two_jobs_per_file:,.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
