"""A batch of more bytes than one execution takes is divided: each part is an execution of its own, started once.

Sizes are those that events tell; the objects themselves are small.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest

from glue_scripts.objects import MAX_KEY_BYTES
from local_aws.step_functions.data_limits import DATA_BYTES
from local_aws.step_functions.jsonata_evaluation import json_text
from tests.workflow.pipeline import File, Pipeline, of_size, wait_for
from tests.workflow.test_state_size import LARGEST_BATCH, key_of

GB: Final = 2**30
MOST: Final = 20 * GB
"""`max_batch_gb` of dev."""
WHOLE: Final[list[list[int]]] = []


def uploaded(pipeline: Pipeline, *sizes: object) -> list[File]:
    """Files in their order, of the sizes that their events tell."""
    return [of_size(pipeline.upload(f"{number:02}.csv"), size) for number, size in enumerate(sizes)]


def started_with(pipeline: Pipeline, name: str) -> list[str]:
    """The names of the executions whose names begin so, in their order."""
    pages = pipeline.sfn.get_paginator("list_executions").paginate(stateMachineArn=pipeline.machine)
    names = [str(execution["name"]) for page in pages for execution in page["executions"]]
    return sorted(found for found in names if found.startswith(name))


def assert_divided(
    pipeline: Pipeline, ended: dict[str, Any], files: Sequence[File], parts: Sequence[Sequence[int]]
) -> None:
    """Each part got an execution with the very events of its files, and was not divided again; all files are done."""
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    arn = ended["executionArn"]
    assert ended["output"] == {
        "accepted": [],
        "rejected": [],
        "skipped": [],
        "parts": [
            {"execution_arn": f"{arn}-part-{number}", "files": len(part)} for number, part in enumerate(parts, start=1)
        ],
    }
    for part, run in zip(parts, pipeline.parts(ended), strict=True):
        assert json.loads(run["input"]) == [files[place].event for place in part]
        assert (run["status"], "StartPart" in pipeline.states(run["executionArn"])) == ("SUCCEEDED", False)
        assert [one["key"] for one in run["output"]["accepted"]] == [files[place].key for place in part]
    assert len(started_with(pipeline, ended["name"])) == 1 + len(parts)
    assert [pipeline.status(file) for file in files] == ["ARCHIVED"] * len(files)
    assert pipeline.emails(arn) == []


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], WHOLE),
        ([MOST], WHOLE),
        ([MOST + 1], WHOLE),
        ([MOST // 2, MOST // 2], WHOLE),
        ([None, "much", True, [MOST, MOST], MOST], WHOLE),
        ([MOST // 2, MOST // 2 + 1], [[0], [1]]),
        ([MOST, 0, 1, 0], [[0, 1], [2, 3]]),
        ([MOST + 1, 0], [[0], [1]]),
        ([30 * GB, 1, 1, 30 * GB], [[0], [1, 2], [3]]),
        ([11 * GB] * 4, [[0], [1], [2], [3]]),
        ([5 * GB] * 9, [[0, 1, 2, 3], [4, 5, 6, 7], [8]]),
        ([None, "much", MOST, None, GB], [[0, 1, 2, 3], [4]]),
    ],
)
def test_a_part_holds_as_many_files_as_fit_in_their_order(
    pipeline: Pipeline, sizes: list[object], parts: list[list[int]]
) -> None:
    files = uploaded(pipeline, *sizes)
    ended = pipeline.run(files, f"sizes-{pipeline.folder.split('/')[2]}-")
    if parts:
        assert_divided(pipeline, ended, files, parts)
    else:
        assert (ended["status"], len(ended["output"]["accepted"])) == ("SUCCEEDED", len(files))
        assert "StartParts" not in pipeline.states(ended["executionArn"])


def test_an_event_that_comes_twice_is_in_one_part_and_counts_once(pipeline: Pipeline) -> None:
    first, second = files = uploaded(pipeline, 15 * GB, 15 * GB)
    name = f"twice-{pipeline.folder.split('/')[2]}-"
    assert_divided(pipeline, pipeline.run([first, second, first, second], name), files, [[0], [1]])

    (small,) = uploaded(pipeline, 15 * GB)
    whole = pipeline.run([small, small])
    assert [one["key"] for one in whole["output"]["accepted"]] == [small.key]


def test_two_versions_of_a_key_and_one_without_an_id_are_files_of_parts(pipeline: Pipeline) -> None:
    first, second = (of_size(pipeline.upload("same.csv"), 15 * GB) for _ in range(2))
    described = {"key": first.key, "size": 15 * GB, "etag": "e"}
    unversioned = File(first.key, "null", b"", {"version": "0", "object": described})
    ended = pipeline.run([first, second, unversioned])
    parts = pipeline.parts(ended)
    assert [json.loads(part["input"]) for part in parts] == [[file.event] for file in (first, second, unversioned)]
    assert [list(map(len, part["output"].values())) for part in parts] == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("beginning", ["x" * 71, "x" * 72, "x" * 80])
def test_names_of_parts_are_short_enough_and_tell_whose_they_are(pipeline: Pipeline, beginning: str) -> None:
    number = pipeline.folder.split("/")[2]
    name = beginning[len(number) :] + number
    parts = pipeline.parts(pipeline.run(uploaded(pipeline, MOST, MOST), name))
    names = [part["name"] for part in parts]
    assert [part["status"] for part in parts] == ["SUCCEEDED", "SUCCEEDED"]
    assert [found.rpartition("-part-")[2] for found in names] == ["1", "2"]
    assert max(map(len, names)) <= 80
    assert {found[:54] for found in names} == {name[:54]}
    assert (names[0] == f"{name}-part-1") is (len(name) == 71)

    other = pipeline.parts(pipeline.run(uploaded(pipeline, MOST, MOST), f"{name[:-1]}y"))
    assert not set(names) & {part["name"] for part in other}


def test_a_redrive_after_a_start_that_failed_starts_the_rest_and_nothing_twice(pipeline: Pipeline) -> None:
    name = f"between-{pipeline.folder.split('/')[2]}-"
    files = uploaded(pipeline, 15 * GB, 15 * GB, 15 * GB)
    fault = pipeline.faults.fail("states:StartExecution", f'"{name}-part-2"', times=None)
    failed = pipeline.run(files, name)
    assert failed["status"] == "FAILED"
    wait_for(lambda: not pipeline.running(), "the end of the parts that were started")
    assert f"{name}-part-2" not in started_with(pipeline, name)

    fault.lift()
    ended = pipeline.redrive(failed["executionArn"])

    assert len(pipeline.emails(failed["executionArn"])) == 1, "the one about the failure"
    assert [part["status"] for part in pipeline.parts(ended)] == ["SUCCEEDED"] * 3
    assert started_with(pipeline, name) == [name, *(f"{name}-part-{number}" for number in (1, 2, 3))]
    assert pipeline.jobs_run().count(pipeline.validate_job) == 3
    assert [pipeline.status(file) for file in files] == ["ARCHIVED"] * 3


@pytest.mark.parametrize("is_over", [True, False])
def test_a_part_whose_start_got_no_answer_is_not_started_again(pipeline: Pipeline, is_over: bool) -> None:
    """For an execution of this name and input that runs, StartExecution answers as before; by an error if it ended."""
    if not is_over:
        pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "RUNNING"
    name = f"unanswered-{pipeline.folder.split('/')[2]}-"
    files = uploaded(pipeline, 15 * GB, 15 * GB)
    lost = pipeline.faults.fail("states:StartExecution", f'"{name}-part-', times=None, is_done=True)
    failed = pipeline.run(files, name)
    assert failed["status"] == "FAILED"
    pipeline.glue.outcomes[pipeline.validate_job] = pipeline.jobs.validate
    if is_over:
        wait_for(lambda: not pipeline.running(), "the end of the parts that were started")
    started = started_with(pipeline, name)
    assert len(started) >= 2

    lost.lift()
    ended = pipeline.redrive(failed["executionArn"])

    assert ended["status"] == "SUCCEEDED"
    assert ("PartWasStarted" in pipeline.states(failed["executionArn"])) is is_over
    for run in pipeline.glue.runs.values():
        if run["JobRunState"] == "RUNNING":
            run["JobRunState"] = pipeline.jobs.validate(run["Arguments"])
    assert [part["status"] for part in pipeline.parts(ended)] == ["SUCCEEDED", "SUCCEEDED"]
    assert pipeline.jobs_run().count(pipeline.validate_job) == 2
    assert [pipeline.status(file) for file in files] == ["ARCHIVED", "ARCHIVED"]


@pytest.mark.parametrize("characters", ["é", '"\\', "\x01"])
def test_a_part_that_holds_all_but_one_of_the_longest_keys_can_be_started(pipeline: Pipeline, characters: str) -> None:
    """Its arguments and its input are nearly as long as what this execution was given."""
    files = []
    for number in range(LARGEST_BATCH):
        key = key_of(f"{pipeline.folder}{number:03}/", characters, MAX_KEY_BYTES)
        described = {"key": key, "version-id": f"{number:032}", "size": 1, "etag": "e" * 32, "sequencer": "0" * 18}
        event = {"version": "0", "bucket": {"name": pipeline.bucket}, "object": described, "reason": "PutObject"}
        files.append(File(key, f"{number:032}", b"", event))
    batch = [file.event for file in files]
    while len(json_text(batch).encode()) > DATA_BYTES - 9:  # of the last event's size, which is written below
        batch.pop()
    batch[-1] = of_size(files[len(batch) - 1], MOST).event
    assert len(batch) == (41 if characters == "\x01" else LARGEST_BATCH)

    ended = pipeline.ended(
        pipeline.sfn.start_execution(stateMachineArn=pipeline.machine, input=json_text(batch))["executionArn"]
    )

    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    parts = pipeline.parts(ended)
    assert [json.loads(part["input"]) for part in parts] == [batch[:-1], batch[-1:]]
    assert [(part["status"], part.get("cause")) for part in parts] == [("SUCCEEDED", None)] * 2


def test_a_batch_may_be_of_a_hundred_parts(pipeline: Pipeline) -> None:
    files = uploaded(pipeline, *[MOST] * LARGEST_BATCH)
    ended = pipeline.run(files, f"many-{pipeline.folder.split('/')[2]}-")
    assert_divided(pipeline, ended, files, [[place] for place in range(LARGEST_BATCH)])
