"""`python -m benchmarks --plays 100000 --days 7`: checks that all contenders agree, then times them."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from benchmarks import objects, report
from benchmarks.contenders import Round, run_round
from benchmarks.dataset import Size, make
from benchmarks.kpi_rows import UnequalResultsError

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Exits with 1 where contenders do not agree: then nothing is timed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    for name in ("plays", "days", "files", "users", "tracks", "genres", "bad", "seed"):
        parser.add_argument(f"--{name}", type=int, default=100_000 if name == "plays" else getattr(Size, name))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--input", type=Path, help="folder with songs.csv.gz and users.csv.gz")
    parser.add_argument("--no-naive-suite", action="store_true", help="it takes hours at ten million plays")
    options = vars(parser.parse_args())
    rounds, source = options.pop("rounds"), options.pop("input")
    has_naive_suite = not options.pop("no_naive_suite")
    size = Size(**options)
    with tempfile.TemporaryDirectory() as folder:
        data = make(Path(folder) / "data", size, source)
        # The round that is checked warms the disk's cache up and is not counted.
        checked = run_round(data, Path(folder) / "check", has_naive_suite=has_naive_suite)
        try:
            checked.check()
        except UnequalResultsError as error:
            sys.exit(str(error))
        timed = [
            run_round(
                data, Path(folder) / f"round-{number}", is_reversed=number % 2 == 1, has_naive_suite=has_naive_suite
            )
            for number in range(rounds)
        ]
    measured = summary(size, timed or [checked])
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{size.plays}-plays-{size.days}-days-{size.files}-files-{size.bad}-bad.json"
    target.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(report.table(measured), f"\nKept in {target}")
    print("Objects of the embedded AWS, signed and verified:", flush=True)
    objects.measure()
    print(report.headline(measured))


def summary(size: Size, rounds: list[Round]) -> dict[str, object]:
    """The report of some rounds."""
    seconds, peaks, objects_of_jobs, phases = defaultdict(list), defaultdict(list), defaultdict(list), []
    for runs in (done.runs for done in rounds):
        for name, run in runs.items():
            seconds[name].append(run.seconds)
            peaks[name].append(run.peak_mib)
        validation, kpis = runs[report.VALIDATION], runs[report.KPIS]
        for name, run in ((report.VALIDATION, validation), (report.KPIS, kpis)):
            objects_of_jobs[name].append(run.object_seconds)
        if kpis.phases is None:
            raise AssertionError("the phases of a KPI job are read from its log")
        seconds[report.KPIS_ALONE].append(kpis.phases.without_dynamodb)
        seconds[report.BOTH].append(validation.seconds + kpis.phases.without_dynamodb)
        seconds[report.VALIDATION_ALONE].append(validation.seconds - validation.object_seconds)
        phases.append(kpis.phases.as_dict())
    return report.report(asdict(size), seconds, peaks, phases, objects_of_jobs)


if __name__ == "__main__":
    main()
