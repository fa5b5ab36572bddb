"""A batch that is run again loads nothing twice, and says so: what is measured of a file is measured once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from glue_scripts import names
from glue_scripts.kpi_batch import AcceptedFile, KpiBatch
from glue_scripts.kpis import Item
from glue_scripts.ledger import Claim, FileStatus, Tombstones
from glue_scripts.publication import Publisher, Snapshots
from tests.unit.conftest import Tables

KEYS = ("raw/streams/a.csv", "raw/streams/b.csv")


class NoRows:
    """An engine of files without plays."""

    def write_plays(self, files: Sequence[AcceptedFile], run: str, tombstones: Tombstones) -> list[str]:
        return []

    def write_snapshot(self, file: AcceptedFile, name: str, tombstones: Tombstones) -> tuple[str, int]:
        raise NotImplementedError

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[Item]:
        return []


def load(tables: Tables, run: str) -> list[str]:
    """Runs the batch; returns the keys that it says it was the first to load."""
    engine = NoRows()
    publisher = Publisher(tables.ledger, tables.kpi_table, engine.compute)
    batch = KpiBatch(engine=engine, ledger=tables.ledger, publisher=publisher, run=run)
    files = [
        {
            "key": key,
            "version_id": "v1",
            "dataset": "streams",
            "last_modified": "2024-06-26T00:00:00Z",
            "uri": "s3://bucket/a.csv",
            "header": ["user_id"],
            "is_line_per_row": True,
        }
        for key in KEYS
    ]
    return [file.key for file in batch.load({"format": names.ACCEPTED_FORMAT, "files": files})]


@pytest.fixture(autouse=True)
def accepted(tables: Tables) -> None:
    for key in KEYS:
        tables.ledger.receive_file(key, "v1", {"execution": "one"})
        tables.ledger.advance_file(key, "v1", FileStatus.ACCEPTED, {})


def test_a_run_tells_the_files_that_it_was_the_first_to_load(tables: Tables) -> None:
    assert load(tables, "run-1") == list(KEYS)
    assert load(tables, "run-2") == []


def test_a_run_after_one_that_died_in_between_tells_the_other_files_only(tables: Tables) -> None:
    tables.ledger.advance_file(KEYS[0], "v1", FileStatus.LOADED, {"loaded_by": "run-1"})
    assert load(tables, "run-2") == [KEYS[1]]
