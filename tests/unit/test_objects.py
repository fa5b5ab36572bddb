"""Where a batch's documents and files are."""

from __future__ import annotations

import pytest

from glue_scripts.objects import MAX_KEY_BYTES, REPORT_SUFFIX, DocumentError, Location, target_key


def test_a_judged_file_goes_below_its_own_key_and_version() -> None:
    assert target_key("archive/", "raw/streams/a b+c.csv", "v1") == "archive/raw/streams/a b+c.csv/v1"


@pytest.mark.parametrize("character", ["a", "é", "🎵"])
def test_a_key_too_long_for_that_goes_by_its_hash(character: str) -> None:
    key = "raw/streams/" + character * ((1024 - 12) // len(character.encode()))
    target = target_key("error/", key, "v" * 32)
    assert target.startswith("error/long-keys/")
    assert len((target + REPORT_SUFFIX).encode()) <= 1024
    assert target != target_key("error/", key + "x", "v" * 32)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "s3:///key", "https://bucket/key", "bucket/key"])
def test_what_is_no_s3_uri_is_an_error(uri: str) -> None:
    with pytest.raises(DocumentError, match="Not an S3 URI"):
        Location.of_uri(uri)


def test_documents_of_a_batch_are_siblings() -> None:
    assert (
        Location.of_uri("s3://bucket/a/b/manifest.json").sibling("verdict.json").uri == "s3://bucket/a/b/verdict.json"
    )


@pytest.mark.parametrize("version_id", ["null", "v" * 200, "v" * 201, "v" * 1024])
@pytest.mark.parametrize("key", ["raw/streams/a.csv", "raw/streams/" + "x" * 1012, "raw/streams/" + "é" * 506])
def test_a_target_and_the_report_beside_it_are_keys_that_s3_takes(key: str, version_id: str) -> None:
    for prefix in ("archive/", "error/"):
        target = target_key(prefix, key, version_id)
        assert len((target + REPORT_SUFFIX).encode()) <= MAX_KEY_BYTES
        assert target != target_key(prefix, key, version_id + "w")
        assert target != target_key(prefix, key + "w", version_id)
