"""Which objects are skipped as no data files, and which are not."""

from __future__ import annotations

import pytest

from validators.companion_files import MIN_FILE_BYTES, companion
from validators.schemas import REQUIRED_COLUMNS


@pytest.mark.parametrize(
    ("key", "size", "is_directory"),
    [
        ("raw/streams/", 0, False),
        ("raw/streams/a/b/", 0, False),
        ("raw/streams/a/", MIN_FILE_BYTES - 1, False),
        ("raw/streams/a", 0, True),
        ("raw/streams/a_$folder$", 0, False),
        ("raw/streams/._", 0, False),
        ("raw/streams/PLAYS.CSV.CRC", 12, False),
        ("raw/streams/Manifest.JSON", 900, False),
        ("raw/streams/~$plays.xlsx", 165, False),
        ("raw/streams/.~lock.plays.csv#", 90, False),
        ("_SUCCESS", 0, False),
    ],
)
def test_an_object_that_a_tool_leaves_is_no_file(key: str, size: int, is_directory: bool) -> None:
    assert companion(key, size, is_directory=is_directory)


@pytest.mark.parametrize(
    ("key", "size", "is_directory"),
    [
        ("raw/streams/a/", MIN_FILE_BYTES, False),
        ("raw/streams/a", 1, True),
        ("raw/streams/a", 0, False),
        ("raw/streams/_success", 0, False),
        ("raw/streams/x_SUCCESS", 0, False),
        ("raw/streams/.hidden.csv", 100, False),
        ("raw/streams/_plays.csv", 100, False),
        ("raw/streams/manifest.json/plays.csv", 100, False),
        ("raw/streams/plays.crc.csv", 100, False),
        ("raw/streams/_temporary.csv", 100, False),
        ("raw/streams/my_temporary/plays.csv", 100, False),
    ],
)
def test_any_other_object_is_judged_as_a_file(key: str, size: int, is_directory: bool) -> None:
    assert companion(key, size, is_directory=is_directory) is None


def test_no_header_is_shorter_than_the_least_file() -> None:
    assert min(len(",".join(columns)) for columns in REQUIRED_COLUMNS.values()) == MIN_FILE_BYTES
