"""How the jobs' time grows, each thing varied by itself. `python -m benchmarks.growth [PLAYS]`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.aws import BenchAws, Run, serving
from benchmarks.dataset import KINDS, Size, make
from glue_scripts import names

REOPENED: Final = 50
"""The day that a later batch reopens, counted from the first one."""


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        grows: what is varied.
        value: its value.
        size: the batch that is measured.
        datasets: what the batch has of it.
        before: the batches that are loaded before it, unmeasured; only the first one has users and songs.
    """

    grows: str
    value: str
    size: Size
    datasets: Sequence[str] = names.DATASETS
    before: Sequence[Size] = ()


def cases(plays: int) -> Sequence[Case]:
    """Each thing varied by itself, around a batch of so many plays."""
    base = Size(plays=plays)
    day = Size(plays=plays // 10, days=1, first_day=REOPENED)

    def lake(days: int) -> Size:
        return replace(base, plays=plays * days, days=days, first_day=REOPENED if days == 1 else 0)

    def runs_before(runs: int) -> list[Size]:
        return [replace(day, seed=seed) for seed in range(100, 100 + runs)]

    return (
        *(Case("plays", f"{n:,}", replace(base, plays=n)) for n in (plays, 10 * plays)),
        *(Case("days", str(n), replace(base, days=n)) for n in (1, 10, 100)),
        *(Case("files", str(n), replace(base, files=n)) for n in (1, 10, 100)),
        *(Case("kind of file", kind, replace(base, plays=plays * 10, kind=kind)) for kind in KINDS),
        *(Case("users", f"{n:,}", replace(base, users=n)) for n in (50_000, 2_000_000)),
        *(Case("tracks", f"{n:,}", replace(base, tracks=n)) for n in (90_000, 1_000_000)),
        *(Case("days in the lake", str(n), day, ("streams",), (lake(n),)) for n in (1, 10, 100)),
        *(
            Case("days with unknown tracks", str(n), replace(base, seed=8), ("songs",), (replace(base, days=n),))
            for n in (1, 10, 100)
        ),
        *(Case("runs of the day", str(n), day, ("streams",), runs_before(n)) for n in (1, 16)),
    )


def measure(case: Case, folder: Path) -> tuple[Run, Run]:
    """Runs the validation job and the KPI job over the batch of a case, in an account of its own."""
    with serving(folder / "aws") as aws:
        for number, size in enumerate(case.before):
            _load(aws, size, folder / f"before-{number}", names.DATASETS if number == 0 else ("streams",))
        return _load(aws, case.size, folder / "measured", case.datasets)


def _load(aws: BenchAws, size: Size, folder: Path, datasets: Sequence[str]) -> tuple[Run, Run]:
    batch = folder.name
    aws.stage(make(folder, size), batch, datasets)
    return aws.validate(batch), aws.compute(batch)


def main() -> None:
    """Prints a line of Markdown for each case as soon as it is measured."""
    plays = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print("| what grows | | validation s | peak MiB | KPIs s | of it DynamoDB s | peak MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases(plays)):
            validation, kpis = measure(case, Path(folder) / str(number))
            assert kpis.phases is not None
            print(
                f"| {case.grows} | {case.value} | {validation.seconds:.1f} | {validation.peak_mib:,.0f} "
                f"| {kpis.seconds:.1f} | {kpis.phases.rest:.1f} | {kpis.peak_mib:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
