"""A backfill and a burst, with one run of the KPI job at a time and with three: exact, and how long they take.

`make trust` names this module, the default suite has it not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from glue_scripts.ledger import FileStatus, Ledger
from laptop.pipeline import SUCCEEDED
from samples.generate import STREAM_COLUMNS, csv_bytes
from stacks.settings import read_context
from tests.end_to_end.conftest import deploying, synthesized
from tests.end_to_end.music import expected_rows
from tests.end_to_end.test_nasty_histories import generated, job_runs, quick_retries, told  # noqa: F401 - fixtures
from tests.end_to_end.test_pipeline import by_key

BACKFILL: Final = int(os.environ.get("LOAD_BACKFILL", "60"))
BURST: Final = int(os.environ.get("LOAD_BURST", "500"))
PLAYS_OF_A_DAY: Final = 200
FILES_OF_A_BATCH: Final = {"backfill": 10, "burst": 33}
DEADLINE_SECONDS: Final = 3600.0


def backfill() -> dict[str, bytes]:
    """A file for each of many days, with a few plays of the day after: time zones differ."""
    dates = [f"2024-{1 + number // 28:02}-{1 + number % 28:02}" for number in range(BACKFILL + 1)]
    contents = {}
    for today, tomorrow in pairwise(dates):
        days = [today] * PLAYS_OF_A_DAY + [tomorrow] * 5
        rows = [
            {"user_id": f"u{n % 37}", "track_id": f"t{n % 30}", "listen_time": f"{day} {n % 24:02}:{n % 60:02}:00"}
            for n, day in enumerate(days)
        ]
        contents[f"streams/{today}.csv"] = csv_bytes(STREAM_COLUMNS, rows)
    return contents


def burst() -> dict[str, bytes]:
    """Small files, all of the same two days."""
    _, streams = generated(plays=10 * BURST)
    header, *lines = streams.splitlines(keepends=True)
    return {f"streams/{part}.csv": b"".join([header, *lines[part::BURST]]) for part in range(BURST)}


@pytest.mark.parametrize("kpi_runs", [1, 3])
@pytest.mark.parametrize("files", [backfill, burst])
def test_it_is_exact_with(
    files: Callable[[], dict[str, bytes]],
    kpi_runs: int,
    tmp_path: Path,
    told: Callable[[str], None],  # noqa: F811 - the fixture
) -> None:
    references, _ = generated(plays=1)
    contents = files()
    environments = read_context()["environments"]
    environments["dev"] |= {"max_concurrent_kpi_runs": kpi_runs, "batch_size": FILES_OF_A_BATCH[files.__name__]}
    assembly = synthesized(tmp_path / "assembly", {"environments": environments})
    with deploying(assembly, tmp_path / "aws") as deployed:
        deployed.wait_for(deployed.upload(tmp_path, references))
        begun, before = time.monotonic(), job_runs(deployed)
        uploaded = deployed.upload(tmp_path, contents)
        deployed.wait_for(uploaded, deadline_seconds=DEADLINE_SECONDS)
        seconds = time.monotonic() - begun
        snapshot = deployed.pipeline.snapshot()
        assert {snapshot.file_statuses[file.ledger_key] for file in uploaded} == {FileStatus.ARCHIVED}
        assert {execution.status for execution in snapshot.executions} == {SUCCEEDED}
        assert by_key(deployed.kpi_rows()) == by_key(expected_rows({**references, **contents}))
        days = Ledger(deployed.pipeline.ledger_table).days()
        told(
            f"{files.__name__} of {len(contents)} files, {kpi_runs} KPI runs at a time: {seconds:.0f} s, "
            f"{len(snapshot.executions) - 1} executions, {dict(job_runs(deployed) - before)}, "
            f"{len(days)} days computed {sum(day.claim for day in days)} times"
        )
