"""How the jobs' time grows: with rows, days touched, files, and rows in the lake. `python -m benchmarks.growth`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.aws import BenchAws, Run, serving
from benchmarks.dataset import Size, make

ONE_DAY: Final = Size(plays=10_000, days=1, first_day=50)
"""What comes to a lake that is there already; its day is one of those in the lake."""


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        grows: what is varied.
        size: the batch that is measured.
        lake: the batch that is loaded before it, unmeasured.
    """

    grows: str
    size: Size
    lake: Size | None = None


def cases(plays: int) -> Iterator[Case]:
    """Each thing varied by itself, around a batch of so many plays."""
    for factor in (1, 10):
        yield Case("rows", Size(plays=plays * factor))
    for days in (1, 10, 100):
        yield Case("days", Size(plays=plays, days=days))
    for files in (1, 10, 100):
        yield Case("files", Size(plays=plays, files=files))
    for days in (1, 10, 100):
        yield Case("lake", ONE_DAY, Size(plays=plays * days, days=days, first_day=50 if days == 1 else 0))


def measure(case: Case, folder: Path) -> tuple[Run, Run]:
    """Runs the validation job and the KPI job over the batch of a case, in an account of its own."""
    with serving(folder / "aws") as aws:
        if case.lake:
            _load(aws, case.lake, folder / "lake", "lake")
        # With another songs file, all days that have plays of unknown tracks would be computed anew.
        return _load(aws, case.size, folder / "data", "batch", has_references=not case.lake)


def _load(aws: BenchAws, size: Size, folder: Path, batch: str, *, has_references: bool = True) -> tuple[Run, Run]:
    aws.stage(make(folder, size), batch, has_references=has_references)
    return aws.validate(batch), aws.compute(batch)


def main() -> None:
    """Prints a line of Markdown for each case as soon as it is measured."""
    plays = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print("| grows | plays | days | files | in the lake | validation s | KPIs s | of it DynamoDB s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases(plays)):
            validation, kpis = measure(case, Path(folder) / str(number))
            assert kpis.phases is not None
            size, lake = case.size, case.lake or replace(case.size, plays=0)
            print(
                f"| {case.grows} | {size.plays:,} | {size.days} | {size.files} | {lake.plays:,} "
                f"| {validation.seconds:.1f} | {kpis.seconds:.1f} | {kpis.phases.rest:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
