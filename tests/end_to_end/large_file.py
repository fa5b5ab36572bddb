"""A file of gigabytes through the whole pipeline. `make trust` names this module, the default suite has it not."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from laptop.inputs import Input
from samples.generate import FIRST_DAY
from tests.end_to_end.conftest import Deployed
from tests.end_to_end.music import REFERENCES, expected_rows
from tests.end_to_end.test_pipeline import by_key

BYTES: Final = int(os.environ.get("TRUST_LARGE_BYTES", 2 * 1024**3))
PLAYS: Final = 50_000
NOTE: Final = 1_000
"""Characters of a further column, so that rows are long."""


def write_file(path: Path) -> tuple[bytes, int]:
    """Write rows until the file is large enough: the same plays again and again, in another order each time.

    Returns:
        The plays as a small file, and how many rows the large one has.
    """
    chance = random.Random(11)
    plays = [
        f"u{chance.randrange(5000)},t{chance.randrange(20)},{FIRST_DAY} {n % 24:02}:{n % 60:02}:{n % 59:02}"
        for n in range(PLAYS)
    ]
    notes = [chance.randbytes(NOTE // 2).hex() for _ in range(97)]
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("user_id,track_id,listen_time,note\n")
        while file.tell() < BYTES:
            chance.shuffle(plays)
            file.writelines(f"{play},{notes[n % len(notes)]}\n" for n, play in enumerate(plays))
            rows += len(plays)
    return ("user_id,track_id,listen_time\n" + "\n".join(plays) + "\n").encode(), rows


def test_a_file_of_gigabytes(deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "streams" / "large.csv"
    path.parent.mkdir()
    small, rows = write_file(path)
    references = deployed.upload(tmp_path, REFERENCES)
    begun = time.monotonic()
    large = deployed.pipeline.upload(Input("streams", path))
    path.unlink()
    seconds = time.monotonic() - begun
    _wait(deployed, lambda: not deployed.pipeline.answers().left_in_raw)
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows({**REFERENCES, "streams/large.csv": small}))
    statuses = deployed.pipeline.snapshot().file_statuses
    assert {statuses[file.ledger_key] for file in [*references, large]} == {"ARCHIVED"}
    assert deployed.emails() == []
    with capsys.disabled():
        print(
            f"\n{BYTES / 1024**3:.1f} GiB, {rows} rows: uploaded in {seconds:.0f} s, in the KPIs and archived "
            f"{time.monotonic() - begun:.0f} s after the upload began"
        )


def _wait(deployed: Deployed, is_done: Callable[[], bool]) -> None:
    while not is_done():
        assert not deployed.pipeline.snapshot().failures, deployed.emails()
        time.sleep(2)
