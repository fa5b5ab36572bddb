"""A batch that is run again loads nothing twice, and says so; its snapshots take effect before its days are claimed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.kpi_batch import KpiBatch, UnknownDayError
from glue_scripts.kpi_items import Item
from glue_scripts.ledger import Batch, Claim, FileStatus, Snapshot, Tombstones, UnknownBatchError
from glue_scripts.publication import Publisher, Snapshots
from tests.unit.conftest import Tables

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:pipeline:one"
KEYS = ("raw/streams/a.csv", "raw/streams/b.csv")
DAY = "2024-06-25"


class NoPlays:
    """An engine of days without plays; remembers what it was asked for."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.snapshots: Snapshots = {}

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[Item]:
        self.claims += claims
        self.snapshots = snapshots
        return []


def accepted(key: str) -> AcceptedFile:
    return AcceptedFile(key=key, version_id="v1", dataset=key.split("/")[1], uploaded_at="2024-06-26T00:00:00Z")


def record(tables: Tables, *snapshots: Snapshot) -> None:
    tables.ledger.record_batch(Batch(EXECUTION, "validation-run", [DAY], snapshots, "s3://bucket/accepted.json"))


def load(
    tables: Tables, run: str, *keys: str, recompute: Sequence[str] = (), engine: NoPlays | None = None
) -> list[str]:
    """Runs the KPI job; returns the keys that it says it was the first to load."""
    publisher = Publisher(tables.ledger, tables.kpi_table, (engine or NoPlays()).compute)
    batch = KpiBatch(ledger=tables.ledger, publisher=publisher, run=run)
    files = AcceptedFiles(execution_arn=EXECUTION, files=[accepted(key) for key in keys], recompute=recompute)
    return [file.key for file in batch.load(files)]


@pytest.fixture(autouse=True)
def judged(tables: Tables) -> None:
    for key in KEYS:
        tables.ledger.receive_file(key, "v1", {"execution": EXECUTION})
        tables.ledger.record_verdict(key, "v1", FileStatus.ACCEPTED, EXECUTION, {})


def test_a_run_tells_the_files_that_it_was_the_first_to_load(tables: Tables) -> None:
    record(tables)
    assert load(tables, "run-1", *KEYS) == list(KEYS)
    assert load(tables, "run-2", *KEYS) == []


def test_a_run_after_one_that_died_in_between_tells_the_other_files_only(tables: Tables) -> None:
    record(tables)
    tables.ledger.advance_file(KEYS[0], "v1", FileStatus.LOADED, {"loaded_by": "run-1"})
    assert load(tables, "run-2", *KEYS) == [KEYS[1]]


def test_every_run_commits_the_run_that_the_validation_wrote(tables: Tables) -> None:
    record(tables)
    engine = NoPlays()
    for run in ("run-1", "run-2"):
        load(tables, run, *KEYS, engine=engine)
    assert engine.claims == [Claim(DAY, number, frozenset({"validation-run"})) for number in (1, 2)]


def test_a_snapshot_of_the_batch_is_current_when_its_days_are_computed(tables: Tables) -> None:
    old, new = (
        Snapshot("songs", f"s3://bucket/{moment}/", "raw/songs/songs.csv", "v1", moment, 1)
        for moment in ("2024-06-01T00:00:00Z", "2024-06-26T00:00:00Z")
    )
    tables.ledger.make_current(old)
    record(tables, new)
    engine = NoPlays()
    load(tables, "run-1", *KEYS, engine=engine)
    assert engine.snapshots["songs"] == new


def test_files_that_the_ledger_has_no_batch_of_are_an_error(tables: Tables) -> None:
    with pytest.raises(UnknownBatchError, match=r"execution:pipeline:one became in the lake.*with the files again"):
        load(tables, "run-1", *KEYS)


def test_days_are_computed_without_a_batch(tables: Tables) -> None:
    tables.ledger.claim_day(DAY, None)
    engine = NoPlays()
    assert load(tables, "run-1", recompute=[DAY], engine=engine) == []
    assert engine.claims == [Claim(DAY, 2, frozenset())]


def test_a_day_that_nobody_has_claimed_is_not_computed(tables: Tables) -> None:
    with pytest.raises(UnknownDayError, match="No file has ever had plays of 2024-06-25"):
        load(tables, "run-1", recompute=[DAY])
