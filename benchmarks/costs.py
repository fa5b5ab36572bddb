"""What a day of files costs on AWS, by the prices of prices.json. `python -m benchmarks.costs` prints the table.

A model, not a bill: files come evenly over the day, all of them good and of a thousand plays, those of each batch on
one day of KPIs. How many batches they make depends on how many pollers the pipe has: the table shows one, and five.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stacks.settings import MAX_CONCURRENT_VALIDATIONS, Settings, read_context

PRICES: Final = Path(__file__).with_name("prices.json")
FILES_A_DAY: Final = (10, 1_000, 10_000)
SECONDS_A_DAY: Final = 86_400

POLLERS: Final = 5
"""Pollers of a pipe that fill batches side by side, an estimate: AWS says that there may be several, and not how many.

Lambda's pollers of a queue, which work in the same way, begin with five:
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""
JOB_SECONDS: Final = 90
"""Billed time of a job run, an estimate: what a small batch takes with its start."""
JOBS: Final = 2
STATES_OF_BATCH: Final = 16
STATES_OF_FILE: Final = 8
"""What state_machines/pipeline.asl.json enters for a batch and for each accepted file of it."""
UNITS_OF_DAY: Final = 440 + 2 + 2 + 440
"""Write units of table `kpis` for a batch, by `python -m benchmarks.write_units` on the public files: the 113 rows of a
version, SUMMARY, its copy in the index, and the rows of the version before last, which are deleted."""
LEDGER_UNITS_OF_FILE: Final = 11
"""4 units for the item: it is put, and its status changes three times. 7 units for the index by status: the item is put
there, and each change deletes it and puts it again."""
LEDGER_UNITS_OF_BATCH: Final = 4
"""The batch's item, and of its day the run, the claim and the version that is published."""
PUTS_OF_FILE: Final = 5
"""The upload, the copies to processing/ and archive/, the report, a Parquet file of the lake."""
GETS_OF_FILE: Final = 5
"""HEAD, the check of its bytes, the reading of its rows, reading the lake twice."""
KEPT_BYTES_OF_FILE: Final = 75_000
"""In S3: a file of a thousand plays in archive/ (60 KB), its plays in the lake and its report."""
KEPT_BYTES_IN_TABLES: Final = 3_000
"""In DynamoDB: the file's item in the ledger, and the index's copy of it."""
KEPT_BYTES_OF_DAY: Final = 2 * 393_000 + 2 * 2_000
"""In DynamoDB: the rows of two versions of 113 genres, SUMMARY, and the index's copy of it."""
MESSAGES_OF_FILE: Final = 3
"""Requests to SQS: send, receive, delete."""


@dataclass(frozen=True)
class Cost:
    """Dollars of a day.

    Attributes:
        batches: executions of the state machine.
        glue: both jobs.
        rest: everything else that is counted by use.
        stored: what a day's files and KPIs add to the bill of each month that they are kept.
    """

    batches: int
    glue: float
    rest: float
    stored: float

    @property
    def total(self) -> float:
        """Glue and the rest."""
        return self.glue + self.rest


def batches(files: int, settings: Settings, *, pollers: int) -> int:
    """Count the executions of a day.

    Args:
        files: Files of the day.
        settings: Settings of the environment.
        pollers: How many batches the pipe fills side by side: each of them has a window of its own. At most every file
            is a batch, and at least as many batches are needed as are full.
    """
    windows = pollers * (SECONDS_A_DAY // max(settings.batch_window_seconds, 1))
    return max(min(files, windows), math.ceil(files / settings.batch_size))


def ceiling(settings: Settings, prices: Mapping[str, float]) -> float:
    """Compute the dollars that Glue costs in a day at most: all runs that may be at a time, around the clock."""
    runs = MAX_CONCURRENT_VALIDATIONS + settings.max_concurrent_kpi_runs
    return runs * settings.dpus * 24 * prices["glue_dpu_hour"]


def cost(files: int, settings: Settings, prices: Mapping[str, float], *, pollers: int) -> Cost:
    """Compute the cost of a day with so many files."""
    count = batches(files, settings, pollers=pollers)
    return Cost(count, _glue(count, settings.dpus, prices), rest(count, files, prices), _stored(files, prices))


def rest(count: int, files: int, prices: Mapping[str, float]) -> float:
    """Compute the dollars of a day for everything but Glue that is counted by use.

    Args:
        count: Executions of the state machine.
        files: Files of the day.
        prices: US dollars, as prices.json names them.
    """
    units = count * (UNITS_OF_DAY + LEDGER_UNITS_OF_BATCH) + files * LEDGER_UNITS_OF_FILE
    states = count * STATES_OF_BATCH + files * STATES_OF_FILE
    return (
        states * prices["step_functions_transition"]
        + units * prices["dynamodb_write_unit"]
        + files * PUTS_OF_FILE * prices["s3_put_copy_list"]
        + files * GETS_OF_FILE * prices["s3_get"]
        + files * prices["eventbridge_event"]
        + files * MESSAGES_OF_FILE * prices["sqs_request"]
        + files * prices["pipes_request"]
    )


def glue(job_seconds: float, dpus: int, prices: Mapping[str, float]) -> float:
    """Compute the dollars of job runs that take so many seconds together, with so many DPUs each."""
    return job_seconds * dpus / 3600 * prices["glue_dpu_hour"]


def _glue(count: int, dpus: int, prices: Mapping[str, float]) -> float:
    return glue(count * JOBS * max(JOB_SECONDS, prices["glue_minimum_seconds"]), dpus, prices)


def read_prices() -> dict[str, float]:
    """Read the prices of prices.json in US dollars, and `glue_minimum_seconds`."""
    document = json.loads(PRICES.read_text(encoding="utf-8"))
    return {name: value for name, value in document.items() if isinstance(value, int | float)}


def _stored(files: int, prices: Mapping[str, float]) -> float:
    in_tables = files * KEPT_BYTES_IN_TABLES + KEPT_BYTES_OF_DAY
    in_bucket = files * KEPT_BYTES_OF_FILE
    return (in_tables * prices["dynamodb_gb_month"] + in_bucket * prices["s3_gb_month"]) / 1e9


def table() -> str:
    """The costs of all environments in Markdown."""
    prices = read_prices()
    environments = read_context()["environments"]
    lines = [
        "| files a day | environment | batches | Glue $ | rest $ | a day $ | kept, a month $ | two jobs per file $ |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for files in FILES_A_DAY:
        for name in environments:
            settings = Settings.read(environments, name)
            one, several = (cost(files, settings, prices, pollers=pollers) for pollers in (1, POLLERS))
            two_jobs_per_file = _glue(files, settings.dpus, prices)
            lines.append(
                f"| {files:,} | {name}, {settings.batch_window_seconds} s "
                f"| {value_range(f'{one.batches:,}', f'{several.batches:,}')} "
                f"| {value_range(f'{one.glue:,.2f}', f'{several.glue:,.2f}')} "
                f"| {value_range(f'{one.rest:,.2f}', f'{several.rest:,.2f}')} "
                f"| {value_range(f'{one.total:,.2f}', f'{several.total:,.2f}')} "
                f"| {one.stored:.3f} | {two_jobs_per_file:,.2f} |"
            )
    return "\n".join(lines)


def value_range(low: str, high: str) -> str:
    """Write two values as a range, or as one where they are equal."""
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    print(table())
