"""What becomes of a batch when nothing fails: every file ends where it belongs, one e-mail tells what was rejected."""

from __future__ import annotations

import json

import pytest

from glue_scripts.objects import file_name
from tests.workflow.pipeline import REPORT, Pipeline

NAMES = ("plain.csv", "a b+c%20é'(1).csv", "x?versionId=y&z=[1]:{}#.csv", 'quote".csv', "_hidden.csv", "a%2Fb.csv")


@pytest.mark.parametrize("rejected", [0, 1, 2])
@pytest.mark.parametrize("accepted", [0, 1, 2])
@pytest.mark.parametrize("skipped", [0, 1, 2])
def test_every_file_of_a_batch_ends_where_it_belongs(
    pipeline: Pipeline, rejected: int, accepted: int, skipped: int
) -> None:
    done = [pipeline.upload(f"done {name}") for name in NAMES[:skipped]]
    if done:
        assert pipeline.run(done)["status"] == "SUCCEEDED"
    bad = [pipeline.upload(f"bad {name}", b"bad " + name.encode()) for name in NAMES[2 : 2 + rejected]]
    good = [pipeline.upload(name, b"good " + name.encode()) for name in NAMES[4 : 4 + accepted]]
    before = len(pipeline.jobs_run())

    ended = pipeline.run([*done, *bad, *good])

    assert ended["status"] == "SUCCEEDED"
    assert ended["output"] == {
        "accepted": [
            {"key": file.key, "version_id": file.version_id, "archive_key": file.archive_key} for file in good
        ],
        "rejected": [
            {
                "key": file.key,
                "version_id": file.version_id,
                "error_key": file.error_key,
                "reasons": ["bad_timestamp", "null_key"],
            }
            for file in bad
        ],
        "skipped": [{"key": file.key, "version_id": file.version_id, "reason": "already ARCHIVED"} for file in done],
    }
    wanted = {file.archive_key: [file.content] for file in [*done, *good]}
    wanted |= {file.error_key: [file.content] for file in bad}
    wanted |= {f"{file.error_key}.report.json": [REPORT] for file in bad}
    assert pipeline.moved() == wanted
    assert pipeline.objects(pipeline.folder) == {}
    assert [pipeline.status(file) for file in good] == ["ARCHIVED"] * accepted
    assert [pipeline.status(file) for file in bad] == ["REJECTED"] * rejected
    assert len(pipeline.rejection_emails(ended["executionArn"])) == (1 if rejected else 0)
    assert pipeline.jobs_run()[before:] == [pipeline.validate_job] + ([pipeline.compute_job] if accepted else [])


def test_the_email_about_rejected_files_is_the_one_that_the_verdict_holds(pipeline: Pipeline) -> None:
    ended = pipeline.run([pipeline.upload("bad.csv")])
    (email,) = pipeline.emails(ended["executionArn"])
    assert email["to"] == "operator@example.com"
    assert email["subject"] == "[dev] Music KPI pipeline: 1 file(s) rejected"
    assert email["message"] == f'line "one"\nline \\two {{% $no %}}\nExecution: {ended["executionArn"]}'


def test_the_manifest_names_every_file_once_with_its_moment_and_its_copy(pipeline: Pipeline) -> None:
    file, other = pipeline.upload("a b+é.csv", b"one"), pipeline.upload("other.csv")
    ended = pipeline.run([file, other, file])
    folder = f"processing/{ended['name']}/"
    left = pipeline.objects(folder)
    manifest = json.loads(left.pop(f"{folder}manifest.json")[0])
    assert (manifest["format"], manifest["execution_arn"]) == ("batch-manifest/2", ended["executionArn"])
    first, second = manifest["files"]
    assert (first["key"], first["version_id"], first["size"]) == (file.key, file.version_id, 3)
    assert first["etag"] == file.event["object"]["etag"]
    assert first["sequencer"] == file.event["object"]["sequencer"]
    assert first["last_modified"].endswith("Z")
    assert second["key"] == other.key
    copies = [folder + file_name(one["key"], one["version_id"]) for one in (first, second)]
    assert left.keys() - {f"{folder}verdict.json", f"{folder}accepted.json"} == set(copies)
    assert left[copies[0]] == [b"one"]


def test_the_same_event_twice_in_a_batch_is_one_file(pipeline: Pipeline) -> None:
    good, bad = pipeline.upload("good.csv"), pipeline.upload("bad.csv")
    ended = pipeline.run([good, bad, good, bad])
    assert [len(ended["output"][kind]) for kind in ("accepted", "rejected", "skipped")] == [1, 1, 0]
    assert {key: len(versions) for key, versions in pipeline.moved().items()} == {
        good.archive_key: 1,
        bad.error_key: 1,
        f"{bad.error_key}.report.json": 1,
    }
    assert len(pipeline.emails(ended["executionArn"])) == 1


def test_a_second_event_of_finished_files_changes_nothing_and_sends_no_email(pipeline: Pipeline) -> None:
    good, bad = pipeline.upload("good.csv"), pipeline.upload("bad.csv")
    pipeline.run([good, bad])
    moved = pipeline.moved()

    ended = pipeline.run([good, bad])

    assert ended["status"] == "SUCCEEDED"
    reasons = {one["key"]: one["reason"] for one in ended["output"]["skipped"]}
    assert reasons == {good.key: "already ARCHIVED", bad.key: "already REJECTED"}
    assert ended["output"]["accepted"] == ended["output"]["rejected"] == []
    assert pipeline.emails(ended["executionArn"]) == []
    assert pipeline.moved() == moved
    assert [pipeline.status(file) for file in (good, bad)] == ["ARCHIVED", "REJECTED"]
    assert pipeline.jobs_run() == [pipeline.validate_job, pipeline.compute_job, pipeline.validate_job]


def test_two_versions_of_a_key_in_a_batch_are_two_files(pipeline: Pipeline) -> None:
    first, second = pipeline.upload("same.csv", b"first"), pipeline.upload("same.csv", b"second")
    ended = pipeline.run([second, first])
    assert len(ended["output"]["accepted"]) == 2
    assert pipeline.moved() == {first.archive_key: [b"first"], second.archive_key: [b"second"]}
    assert pipeline.objects(pipeline.folder) == {}


def test_a_version_that_lands_meanwhile_stays_in_raw(pipeline: Pipeline) -> None:
    file = pipeline.upload("same.csv", b"first")
    compute = pipeline.jobs.compute
    later = []

    def overwrite_then_compute(arguments: dict[str, str]) -> str:
        later.append(pipeline.upload("same.csv", b"second"))
        return compute(arguments)

    pipeline.glue.outcomes[pipeline.compute_job] = overwrite_then_compute
    assert pipeline.run([file])["status"] == "SUCCEEDED"
    assert pipeline.moved() == {file.archive_key: [b"first"]}
    assert pipeline.objects(pipeline.folder) == {file.key: [b"second"]}
    assert pipeline.is_in_raw(later[0])


def test_a_version_that_is_gone_before_stage_is_rejected_with_a_report_and_the_others_go_through(
    pipeline: Pipeline,
) -> None:
    gone, other = pipeline.upload("same.csv"), pipeline.upload("same.csv.gz")
    pipeline.delete(gone)
    ended = pipeline.run([gone, other])
    assert ended["status"] == "SUCCEEDED"
    (rejected,) = ended["output"]["rejected"]
    assert rejected["reasons"] == ["object_missing"]
    assert pipeline.moved() == {f"{gone.error_key}.report.json": [REPORT], other.archive_key: [other.content]}
    assert len(pipeline.rejection_emails(ended["executionArn"])) == 1


def test_a_version_among_more_than_a_hundred_of_its_key_is_found(pipeline: Pipeline) -> None:
    file = pipeline.upload("often.csv", b"the first")
    later = [pipeline.upload("often.csv") for _ in range(101)]
    ended = pipeline.run([file])
    assert ended["status"] == "SUCCEEDED"
    assert pipeline.moved() == {file.archive_key: [b"the first"]}
    assert all(pipeline.is_in_raw(version) for version in later)


def test_keys_as_long_as_s3_takes_go_through(pipeline: Pipeline) -> None:
    longest = 1024
    stem = ("é" * 100 + "/") * 4 + "bad "
    name = stem + "x" * (longest - len((pipeline.folder + stem).encode()))
    bad, good = pipeline.upload(name), pipeline.upload(name.replace("bad ", "good"))
    assert [len(file.key.encode()) for file in (bad, good)] == [longest, longest]
    assert pipeline.run([bad, good])["status"] == "SUCCEEDED"
    for key in (good.archive_key, bad.error_key, f"{bad.error_key}.report.json"):
        assert len(pipeline.objects(key)[key]) == 1
    assert pipeline.objects(pipeline.folder) == {}
