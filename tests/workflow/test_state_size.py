"""Nothing that grows with a text is in the state: any batch that an execution takes ends well, whatever its keys are.

The embedded interpreter limits data as AWS does (tests/local/test_data_limits.py).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from glue_scripts.objects import MAX_KEY_BYTES, file_name
from local_aws.step_functions.data_limits import DATA_BYTES
from tests.workflow.pipeline import File, Pipeline
from validators.reports import MAX_MESSAGE_BYTES
from validators.rules import RULES

LARGEST_BATCH: Final = 100
MAX_VERSION_BYTES: Final = 1018
"""S3 names 1,024 as the limit, and makes ids of 32; beside the longest key the ledger's key has room for so many."""
WORST: Final = {
    "quotes and backslashes": ('"\\', ["bad"]),
    "control characters": ("\x01", ["bad", "good"]),
    "all kinds": ('a"\\\x01\r\x7fé€😀% +?#&', ["good", "bad"]),
}
"""Characters of the keys, and what becomes of one file after the other. moto answers 404 for a key with a line feed."""
KINDS: Final = ("accepted", "rejected", "skipped")


@pytest.fixture(autouse=True)
def _large_batches_take_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.workflow.pipeline.DEADLINE_SECONDS", 600.0)


def key_of(beginning: str, character: str, size: int) -> str:
    """A key of at most so many bytes, made of a beginning and of characters."""
    repeated = (character * size).encode()[: size - len(beginning.encode())]
    return beginning + repeated.decode(errors="ignore")


def that_fit(files: Sequence[File]) -> list[File]:
    """As many of the files as an execution's input takes."""
    found = list(files[:LARGEST_BATCH])
    while len(json.dumps([file.event for file in found]).encode()) > DATA_BYTES:
        found.pop()
    return found


def worst_verdicts(pipeline: Pipeline) -> None:
    """Let the validation job leave the longest that a file can have: all reasons, and the longest e-mail."""
    reasons = [rule.id for rule in RULES]

    def worst(verdict: dict[str, Any]) -> dict[str, Any]:
        for entry in verdict["rejected"]:
            entry["reasons"] = reasons
        return verdict

    pipeline.jobs.change_verdict = worst
    message = '"\\' * (MAX_MESSAGE_BYTES // 2)
    pipeline.jobs.compose_email = lambda *_: {"subject": "s" * 99, "message": message}


def assert_ended_well(pipeline: Pipeline, files: Sequence[File], ended: dict[str, Any]) -> None:
    """Every file is where it belongs, and the output names each."""
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert sum(len(ended["output"][kind]) for kind in KINDS) == len(files)
    for file in files:
        assert not pipeline.is_in_raw(file)
        target = file.error_key if "bad" in file.key.rpartition("/")[2] else file.archive_key
        if pipeline.status(file) == "ARCHIVED":
            assert pipeline.s3.get_object(Bucket=pipeline.bucket, Key=target)["Body"].read() == file.content


@pytest.mark.parametrize("kind", WORST)
def test_the_largest_batch_of_the_longest_keys_ends_well(pipeline: Pipeline, kind: str) -> None:
    worst_verdicts(pipeline)
    character, verdicts = WORST[kind]
    files = []
    for number, verdict in zip(range(LARGEST_BATCH), itertools.cycle(verdicts), strict=False):
        key = key_of(f"{pipeline.folder}{number:03}/{verdict}", character, MAX_KEY_BYTES)
        files.append(pipeline.upload_as(key, b"user_id,track_id,listen_time\n"))
    batch = that_fit(files)
    assert len(batch) >= 30
    assert_ended_well(pipeline, batch, pipeline.run(batch))


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_batch_of_any_keys_versions_verdicts_and_sizes_ends_well(pipeline: Pipeline, data: st.DataObject) -> None:
    worst_verdicts(pipeline)
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\n"), min_size=1, max_size=400)
    example = data.draw(st.uuids())
    files = []
    for number in range(data.draw(st.integers(1, 12))):
        verdict = data.draw(st.sampled_from(["good", "bad", "gone"]))
        key = key_of(
            f"{pipeline.folder}{example}/{number}/{verdict}", data.draw(text), data.draw(st.integers(60, 1024))
        )
        if verdict == "gone":
            version = data.draw(st.sampled_from("vV.-_")) * data.draw(st.sampled_from([1, 32, MAX_VERSION_BYTES]))
            described = {"key": key, "version-id": version, "size": 1, "etag": "e"}
            files.append(File(key, version, b"", {"version": "0", "object": described}))
        else:
            files.append(pipeline.upload_as(key, b"user_id,track_id,listen_time\n"))
    assert_ended_well(pipeline, files, pipeline.run(that_fit(files)))


def test_the_largest_batch_of_versions_that_are_gone_ends_well(pipeline: Pipeline) -> None:
    worst_verdicts(pipeline)
    files = []
    for number in range(LARGEST_BATCH):
        key = key_of(f"{pipeline.folder}{number:03}/bad", '"', MAX_KEY_BYTES)
        version = f"{number:03}".ljust(MAX_VERSION_BYTES, "v")
        described = {"key": key, "version-id": version, "size": 1, "etag": "e"}
        event = {"version": "0", "bucket": {"name": pipeline.bucket}, "object": described, "reason": "PutObject"}
        files.append(File(key, version, b"", event))
    batch = that_fit(files)
    ended = pipeline.run(batch)
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    named = [entry[name] for entry in ended["output"]["rejected"] for name in ("key", "version_id", "error_key")]
    assert len(named) == 3 * len(batch)
    assert {len(text) for text in named} == {len("..." + "x" * 50)}


def test_more_files_than_the_largest_batch_fail_before_anything_is_done(pipeline: Pipeline) -> None:
    key = f"{pipeline.folder}good.csv"
    files = [
        File(key, str(number), b"", {"object": {"key": key, "version-id": str(number), "size": 1, "etag": "e"}})
        for number in range(LARGEST_BATCH + 1)
    ]
    ended = pipeline.run(files)
    assert (ended["status"], ended["error"]) == ("FAILED", "BatchTooLarge")
    assert "101 files" in ended["cause"]
    assert pipeline.states(ended["executionArn"]) == ["ReceiveBatch", "IsBatchSmall", "BatchTooLarge"]


def test_the_state_machine_composes_the_keys_of_copies_as_the_jobs_do(pipeline: Pipeline) -> None:
    """On both sides of the length from which a file goes under the hash of its key, in bytes and not in characters."""
    files = []
    for character in ("x", "é"):
        for length in (960, 970, 980, 1024):
            for verdict in ("good", "bad"):
                beginning = f"{pipeline.folder}{length}{'é' if character == 'é' else ''}/{verdict}"
                files.append(pipeline.upload_as(key_of(beginning, character, length), b"u,t,l\n"))
    assert_ended_well(pipeline, files, pipeline.run(files))
    assert len({file_name(file.key, file.version_id) for file in files}) == len(files)
