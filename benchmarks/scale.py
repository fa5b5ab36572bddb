"""How many plays and files a day the pipeline sustains, and what many plays cost: `python -m benchmarks.scale`.

A model, and no measurement on Glue: it assumes the constants at the top, and those of `costs`. Plays and files come
evenly over the day, each play on the day that it belongs to, and all files have the same number of plays. Each batch
makes a run of both jobs. A KPI run counts all plays that the day has by then: the runs grow until midnight. Where
batches wait for KPI runs, a run takes others along, whose own runs then end when they have started.

Sustained is what the jobs get done within the day, so that no work is left for the next one. A file may wait for hours
at that rate. Not in the model: plays that come days late, songs files that have days computed again, and AWS's quota of
DPUs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks import costs
from glue_scripts.spread import HERE_PLAYS
from glue_scripts.stored_plays import PARALLEL_DOCUMENTS, PLAYS_PER_BUCKET
from glue_scripts.taken_batches import MAX_BATCHES, MAX_BYTES
from stacks.settings import MAX_CONCURRENT_VALIDATIONS, Settings, read_context

RESULTS: Final = Path(__file__).with_name("results")


def _processor_seconds_of_play(contender: str) -> float:
    """Compute how long one more play takes, from the committed reports of `make bench` on 1 and 10 million plays.

    It is an upper limit: seconds times all cores, though a core may have had nothing to do.
    """
    small, large = (json.loads((RESULTS / f"example-{n}-million-plays.json").read_text("utf-8")) for n in (1, 10))
    seconds: float = large["median_seconds"][contender] - small["median_seconds"][contender]
    cores: int = large["cores"]
    plays: int = large["size"]["plays"] - small["size"]["plays"]
    return seconds * cores / plays


# Measured on a laptop with two cores.

VALIDATION_SECONDS: Final = _processor_seconds_of_play("validation job")
"""Of a core, to judge and store a play, with the reading and writing of objects of the embedded AWS: `make bench`."""
KPI_SECONDS: Final = _processor_seconds_of_play("KPI job without DynamoDB")
"""Of a core, to read and count a play: `make bench`."""
DIVIDE_SECONDS: Final = 3.0 / 10_000_000
"""Of a core, to divide a play among the buckets of its day. A batch's run in the lake has fewer buckets:
`python -m benchmarks.kpi_kernels --plays 10000000 --days 1 --runs 20`, processor, divide (benchmarks/NOTES.md)."""
RANK_SECONDS: Final = 0.4 / 10_000_000
"""Of a core, to add up and rank a day, for each of its plays: the same command, rank. A day has one task for it."""
SPARK_FACTOR: Final = 2.0
"""How much longer work takes in Spark's tasks than in the driver's threads, on the same cores: storing 16.9 s and 8.4 s
by `python -m benchmarks.kpi_kernels --plays 10000000` (benchmarks/NOTES.md). Counting alone differs less."""

# Assumed of AWS.

VCPUS: Final = 4
"""Of a worker G.1X: https://docs.aws.amazon.com/glue/latest/dg/worker-types.html"""
CORES_OF_VCPU: Final = 0.5
"""An assumption: AWS's processor is a thread of a core, and two threads share it."""
SPARK_SECONDS: Final = 10
"""An assumption: how long Spark and its executors take to start. A run that stays in the driver does not start them."""
GET_SECONDS: Final = 0.1
"""For a small object of S3: AWS tells 0.1 to 0.2 s for the first byte, of which the best.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"""
STORED_BYTES_OF_PLAY: Final = 9.3
"""Of a million made-up plays of 50,000 users and 90,000 tracks, as a run of the lake holds them."""
GETS_OF_RUN: Final = 2
"""A KPI run reads the document and the object of each batch that the day has, PARALLEL_DOCUMENTS at a time."""
PARTITION_UNITS: Final = 1_000
"""Write units a second that a partition of DynamoDB takes:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html"""

# What the tables show.

WORKERS: Final = (2, 10, 50)
PLAYS_OF_FILE: Final = (1_000, 100_000)
"""As `costs` has it, and as a producer of many plays would have it."""
KPI_RUNS: Final = (1, 10)
"""Values of `max_concurrent_kpi_runs`: the one in cdk.json, and the largest that is allowed."""
PLAYS_A_DAY: Final = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)


@dataclass(frozen=True)
class Load:
    """What a day brings.

    Attributes:
        files: its files.
        plays_of_file: plays of each.
        pollers: how many batches the pipe fills side by side.
    """

    files: int
    plays_of_file: int
    pollers: int

    @property
    def plays(self) -> int:
        """Of the day."""
        return self.files * self.plays_of_file


@dataclass(frozen=True)
class Day:
    """What the jobs have to do for a load.

    Attributes:
        batches: how many, and so the runs of each job.
        objects_read: how often a KPI run reads an object of a batch.
        validation_seconds: of all validation runs together.
        kpi_seconds: of all KPI runs together, by what takes them.
        longest_run: seconds of the longest run: the day's last KPI run, or a validation run.
    """

    batches: int
    objects_read: int
    validation_seconds: float
    kpi_seconds: Mapping[str, float]
    longest_run: float

    @property
    def job_seconds(self) -> float:
        """Of all runs together."""
        return self.validation_seconds + sum(self.kpi_seconds.values())


def plays_seconds(plays: float, seconds_of_play: float, workers: int) -> float:
    """Compute the seconds of a job run that its plays take, without its start.

    Args:
        plays: How many. The driver works alone on up to HERE_PLAYS, else the executors of all other workers.
        seconds_of_play: Of a core, for a play.
        workers: G.1X.
    """
    is_spread = plays > HERE_PLAYS
    vcpus = (workers - 1 if is_spread else 1) * VCPUS
    at_a_time = min(vcpus, max(1, math.ceil(plays / PLAYS_PER_BUCKET))) * CORES_OF_VCPU
    work = plays * seconds_of_play / at_a_time
    return SPARK_SECONDS + work * SPARK_FACTOR if is_spread else work


def day(load: Load, settings: Settings) -> Day:
    """Compute the work of the jobs. If KPI runs cannot keep up with one batch each, batches are loaded together."""
    alone = _day(load, settings, together=1)
    if sum(alone.kpi_seconds.values()) <= costs.SECONDS_A_DAY * settings.max_concurrent_kpi_runs:
        return alone
    of_batch = load.plays / alone.batches * STORED_BYTES_OF_PLAY
    return _day(load, settings, together=max(1, min(MAX_BATCHES + 1, int(MAX_BYTES / of_batch))))


def _day(load: Load, settings: Settings, *, together: int) -> Day:
    batches = costs.batches(load.files, settings, pollers=load.pollers)
    validation = costs.JOB_SECONDS + plays_seconds(load.plays / batches, VALIDATION_SECONDS, settings.number_of_workers)
    reading = GETS_OF_RUN * GET_SECONDS / PARALLEL_DOCUMENTS
    loaded = [*range(together, batches, together), batches]
    counting = [_counting_seconds(load.plays * number / batches, settings) for number in loaded]
    return Day(
        batches=batches,
        objects_read=GETS_OF_RUN * sum(loaded),
        validation_seconds=batches * validation,
        kpi_seconds={
            "start of KPI runs": batches * costs.JOB_SECONDS,
            "KPIs of the growing day": sum(counting),
            "objects of the day's batches": sum(loaded) * reading,
        },
        longest_run=max(validation, costs.JOB_SECONDS + counting[-1] + batches * reading),
    )


def _counting_seconds(plays: float, settings: Settings) -> float:
    counted = plays_seconds(plays, KPI_SECONDS + DIVIDE_SECONDS, settings.number_of_workers)
    return counted + plays * RANK_SECONDS / CORES_OF_VCPU


def used(load: Load, settings: Settings) -> dict[str, float]:
    """Compute the share of each limit that a load uses. More than 1 is not sustained.

    Returns:
        By limit. That of KPI runs is called after what takes most of their time.
    """
    work = day(load, settings)
    longest_part = max(work.kpi_seconds, key=lambda part: work.kpi_seconds[part])
    kpi_seconds = sum(work.kpi_seconds.values())
    # All rows of a day share one partition key, and so do all files of a status in the index.
    units = max(work.batches * costs.UNITS_OF_DAY, load.files * costs.LEDGER_UNITS_OF_FILE)
    return {
        longest_part: kpi_seconds / (costs.SECONDS_A_DAY * settings.max_concurrent_kpi_runs),
        "validation runs": work.validation_seconds / (costs.SECONDS_A_DAY * MAX_CONCURRENT_VALIDATIONS),
        "job timeout": work.longest_run / (settings.job_timeout_minutes * 60),
        "DynamoDB writes": units / (costs.SECONDS_A_DAY * PARTITION_UNITS),
    }


def is_sustained(load: Load, settings: Settings) -> bool:
    """Tell whether a load exceeds no limit."""
    return max(used(load, settings).values()) <= 1


def sustained(plays_of_file: int, settings: Settings, *, pollers: int) -> tuple[Load, str]:
    """Find the largest load that is sustained, and the limit that binds it.

    Args:
        plays_of_file: Plays of each file.
        settings: Settings of the environment.
        pollers: How many batches the pipe fills side by side.
    """

    def load(files: int) -> Load:
        return Load(files, plays_of_file, pollers)

    low, high = 1, 2
    while is_sustained(load(high), settings):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_sustained(load(middle), settings) else (low, middle)
    shares = used(load(high), settings)
    return load(low), max(shares, key=lambda limit: shares[limit])


def needed(load: Load, settings: Settings) -> Settings | None:
    """Find the settings that sustain a load with the fewest workers, then the fewest KPI runs; None if none do."""
    for workers in WORKERS:
        for runs in range(1, max(KPI_RUNS) + 1):
            tried = replace(settings, number_of_workers=workers, max_concurrent_kpi_runs=runs)
            if is_sustained(load, tried):
                return tried
    return None


def cost(load: Load, settings: Settings, prices: Mapping[str, float]) -> tuple[float, float]:
    """Compute the dollars of a load's day: those of Glue, and everything else by use."""
    work = day(load, settings)
    lake = work.objects_read * prices["s3_get"]
    return costs.glue(work.job_seconds, settings.dpus, prices), costs.rest(work.batches, load.files, prices) + lake


def sustained_table() -> str:
    """Return the table of sustained loads in Markdown, each as a range: with costs.POLLERS pollers, and with one."""
    lines = [
        "| workers | plays a file | KPI runs at a time | files a day | plays a day | what binds |",
        "| ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for workers in WORKERS:
        for plays_of_file in PLAYS_OF_FILE:
            for runs in KPI_RUNS:
                settings = replace(_prod(), number_of_workers=workers, max_concurrent_kpi_runs=runs)
                loads, binds = zip(
                    *(sustained(plays_of_file, settings, pollers=pollers) for pollers in (costs.POLLERS, 1)),
                    strict=True,
                )
                lines.append(
                    f"| {workers} | {plays_of_file:,} | {runs} "
                    f"| {costs.value_range(*(f'{_about(load.files):,}' for load in loads))} "
                    f"| {costs.value_range(*(_millions(_about(load.plays)) for load in loads))} "
                    f"| {'; '.join(dict.fromkeys(binds))} |"
                )
    return "\n".join(lines)


def cost_table() -> str:
    """Write what many plays cost in Markdown: from one poller of the pipe to costs.POLLERS."""
    prices = costs.read_prices()
    lines = [
        "| plays a day | plays a file | batches | workers | KPI runs at a time | longest run s "
        "| Glue $ | rest $ | a day $ |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for plays in PLAYS_A_DAY:
        for plays_of_file in PLAYS_OF_FILE:
            cells = [
                _cost_cells(Load(plays // plays_of_file, plays_of_file, pollers), prices)
                for pollers in (1, costs.POLLERS)
            ]
            ranges = " | ".join(costs.value_range(*both) for both in zip(*cells, strict=True))
            lines.append(f"| {_millions(plays)} | {plays_of_file:,} | {ranges} |")
    return "\n".join(lines)


def _cost_cells(load: Load, prices: Mapping[str, float]) -> list[str]:
    settings = needed(load, _prod())
    if settings is None:
        return [f"{costs.batches(load.files, _prod(), pollers=load.pollers):,}", "none sustains it", *[""] * 5]
    work = day(load, settings)
    dollars = cost(load, settings, prices)
    return [
        f"{work.batches:,}",
        str(settings.number_of_workers),
        str(settings.max_concurrent_kpi_runs),
        f"{work.longest_run:,.0f}",
        *(f"{amount:,.2f}" for amount in (*dollars, sum(dollars))),
    ]


def _about(number: int) -> int:
    """Round to two digits: the model knows no more."""
    return int(float(f"{number:.2g}"))


def _millions(plays: int) -> str:
    return f"{plays / 1e6:,g} M"


def _prod() -> Settings:
    return Settings.read(read_context()["environments"], "prod")


if __name__ == "__main__":
    print(sustained_table(), cost_table(), sep="\n\n")
