"""Which objects are skipped as no data files, and which are not."""

from __future__ import annotations

import pytest

from validators.companion_files import MIN_FILE_BYTES, companion
from validators.schemas import REQUIRED_COLUMNS


@pytest.mark.parametrize(
    ("key", "size", "content_type"),
    [
        ("raw/streams/", 0, ""),
        ("raw/streams/a/b/", 0, "binary/octet-stream"),
        ("raw/streams/a/", MIN_FILE_BYTES - 1, ""),
        ("raw/streams/a", 0, "application/x-directory"),
        ("raw/streams/a", 0, "Application/X-Directory; charset=UTF-8"),
        ("raw/streams/a_$folder$", 0, ""),
        ("raw/streams/._", 0, ""),
        ("raw/streams/PLAYS.CSV.CRC", 12, ""),
        ("raw/streams/Manifest.JSON", 900, ""),
        ("raw/streams/~$plays.xlsx", 165, ""),
        ("raw/streams/.~lock.plays.csv#", 90, ""),
        ("_SUCCESS", 0, ""),
    ],
)
def test_an_object_that_a_tool_leaves_is_no_file(key: str, size: int, content_type: str) -> None:
    assert companion(key, size, content_type)


@pytest.mark.parametrize(
    ("key", "size", "content_type"),
    [
        ("raw/streams/a/", MIN_FILE_BYTES, ""),
        ("raw/streams/a", 1, "application/x-directory"),
        ("raw/streams/a", 0, "text/csv"),
        ("raw/streams/_success", 0, ""),
        ("raw/streams/x_SUCCESS", 0, ""),
        ("raw/streams/.hidden.csv", 100, ""),
        ("raw/streams/_plays.csv", 100, ""),
        ("raw/streams/manifest.json/plays.csv", 100, ""),
        ("raw/streams/plays.crc.csv", 100, ""),
        ("raw/streams/_temporary.csv", 100, ""),
        ("raw/streams/my_temporary/plays.csv", 100, ""),
    ],
)
def test_any_other_object_is_judged_as_a_file(key: str, size: int, content_type: str) -> None:
    assert companion(key, size, content_type) is None


def test_no_header_is_shorter_than_the_least_file() -> None:
    assert min(len(",".join(columns)) for columns in REQUIRED_COLUMNS.values()) == MIN_FILE_BYTES
