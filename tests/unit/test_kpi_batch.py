"""A batch that is run again loads nothing twice, and says so; of its reference files only the newest counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from glue_scripts import names
from glue_scripts.kpi_batch import AcceptedFile, KpiBatch, Written
from glue_scripts.kpi_items import Item
from glue_scripts.ledger import Claim, FileStatus, Tombstones
from glue_scripts.publication import Publisher, Snapshots
from tests.unit.conftest import Tables

KEYS = ("raw/streams/a.csv", "raw/streams/b.csv")


class NoPlays:
    """An engine of files without plays; remembers the keys of what it has written."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        self.written += [file.key for file in (*references, *streams)]
        return Written(snapshots=[file.snapshot(file.snapshot_name(run), 1) for file in references], dates=[])

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[Item]:
        return []


def entry(key: str, day: int = 26) -> dict[str, Any]:
    """An entry of `accepted.json`, of a file that was uploaded on a day of June."""
    return {
        "key": key,
        "version_id": "v1",
        "dataset": key.split("/")[1],
        "last_modified": f"2024-06-{day}T00:00:00Z",
        "uri": "s3://bucket/a.csv",
        "header": ["user_id"],
        "size": 100,
        "is_line_per_row": True,
    }


def load(tables: Tables, run: str, engine: NoPlays, *files: dict[str, Any]) -> list[str]:
    """Runs a batch; returns the keys that it says it was the first to load."""
    publisher = Publisher(tables.ledger, tables.kpi_table, engine.compute)
    batch = KpiBatch(engine=engine, ledger=tables.ledger, publisher=publisher, run=run)
    return [file.key for file in batch.load({"format": names.ACCEPTED_FORMAT, "files": files})]


@pytest.fixture(autouse=True)
def accepted(tables: Tables) -> None:
    for key in KEYS:
        tables.ledger.receive_file(key, "v1", {"execution": "one"})
        tables.ledger.advance_file(key, "v1", FileStatus.ACCEPTED, {})


def test_a_run_tells_the_files_that_it_was_the_first_to_load(tables: Tables) -> None:
    assert load(tables, "run-1", NoPlays(), *map(entry, KEYS)) == list(KEYS)
    assert load(tables, "run-2", NoPlays(), *map(entry, KEYS)) == []


def test_a_run_after_one_that_died_in_between_tells_the_other_files_only(tables: Tables) -> None:
    tables.ledger.advance_file(KEYS[0], "v1", FileStatus.LOADED, {"loaded_by": "run-1"})
    assert load(tables, "run-2", NoPlays(), *map(entry, KEYS)) == [KEYS[1]]


def test_only_the_newest_catalogue_becomes_a_snapshot_unless_the_current_one_is_newer(tables: Tables) -> None:
    engine = NoPlays()
    load(tables, "run-1", engine, entry("raw/songs/new.csv", 27), entry("raw/songs/old.csv", 25))
    load(tables, "run-2", engine, entry("raw/songs/late.csv", 26))
    assert engine.written == ["raw/songs/new.csv"]
    current = tables.ledger.current_snapshot("songs")
    assert current is not None
    assert (current.key, current.uri[:6]) == ("raw/songs/new.csv", "run-1-")
