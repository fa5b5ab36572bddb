"""Files that are small when packed and exhaust a job's memory unless every row that it holds is bounded in bytes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from tests.validation.validation_job import JudgedBatch, Staged, judge
from validators.schemas import MAX_ROW_CHARACTERS

HEADER = "user_id,track_id,listen_time\n"
HEAP = "512m"
"""A quarter of what a job of the laptop has, so that a quarter of the files is enough."""
WIDE = "\U0001f600"
"""Four bytes in UTF-8, and in the JVM's memory."""
FILES, ROWS = 3, 15


def _broken_row() -> str:
    """A row of 4 MB that breaks a rule: each of its three fields is as long as it can be."""
    field = WIDE * (MAX_ROW_CHARACTERS // 3 - 2)
    return f"{field},{field},{field}\n"


def _good_file() -> str:
    return HEADER + "".join(f"u{n},t{n % 5},2024-06-25 12:{n // 60:02}:{n % 60:02}\n" for n in range(200))


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgedBatch]:
    poison = gzip.compress((HEADER + _broken_row() * ROWS).encode())
    many = gzip.compress((HEADER + ",t1,2024-06-25 10:00:00\n" * 40_000 + _broken_row() * ROWS).encode())
    files = [Staged(key=f"raw/streams/poison{n}.csv.gz", content=poison) for n in range(FILES)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_AWS_SPARK_DRIVER_MEMORY", HEAP)
        yield judge(
            tmp_path_factory.mktemp("job"),
            [
                *files,
                Staged(key="raw/streams/many.csv.gz", content=many),
                Staged(key="raw/streams/honest.csv", content=_good_file().encode()),
            ],
        )


def test_the_good_file_beside_them_is_accepted(batch: JudgedBatch) -> None:
    assert [entry["key"] for entry in batch.verdict["accepted"]] == ["raw/streams/honest.csv"]
    assert len(batch.verdict["rejected"]) == FILES + 1
