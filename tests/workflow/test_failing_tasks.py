"""Each task of the pipeline fails: once, for good, or with its work done and its answer lost.

Nothing is lost, and a redrive resumes at the very task, without doing twice what must be once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.workflow.faults import Fault
from tests.workflow.pipeline import REPORT, File, Pipeline, of_size, wait_for


@dataclass(frozen=True)
class Task:
    """A task and the call that it makes.

    Attributes:
        name: state.
        operation: call.
        about: what the call is about, in terms of the execution's name and the two files of the batch.
        within: the Map around it.
        attempts: how often it is tried before the execution fails.
        fails_at: the state at which the execution fails; empty: this one.
        is_cold: the bad file is one that S3 does not hand out.
        is_divided: each file is a part of its own, by the sizes that their events tell.
    """

    name: str
    operation: str
    about: str
    within: str | None = None
    attempts: int = 5
    fails_at: str = ""
    is_cold: bool = False
    is_divided: bool = False

    @property
    def failing(self) -> str:
        """The state at which the execution fails, and is resumed."""
        return self.fails_at or self.name

    @property
    def purpose(self) -> str:
        """What the call is for: its state."""
        return self.name


TASKS = [
    Task("StartPart", "states:StartExecution", '"{execution}-part-1"', "StartParts", is_divided=True),
    Task("FindVersion", "s3:HeadObject", "{good.key}", "Stage", attempts=10, fails_at="FindVersionAgain"),
    Task("CopyToProcessing", "s3:CopyObject", "processing/{execution}/", "Stage", attempts=10, fails_at="CopyAgain"),
    Task("WriteManifest", "s3:PutObject", "processing/{execution}/manifest.json"),
    Task("Validate", "glue:StartJobRun", "processing/{execution}/manifest.json", attempts=2),
    Task("ReadVerdict", "s3:GetObject", "processing/{execution}/verdict.json"),
    Task("CopyToError", "s3:CopyObject", "{bad.error_key}", "MoveRejectedToError"),
    Task("CopyReportToError", "s3:CopyObject", "{bad.error_key}.report.json", "MoveRejectedToError"),
    Task("DeleteRejectedFromRaw", "s3:DeleteObject", "{bad.key}", "MoveRejectedToError"),
    Task("CopyReportAlone", "s3:CopyObject", "{bad.error_key}.report.json", "MoveRejectedToError", is_cold=True),
    Task("ComputeKpis", "glue:StartJobRun", "processing/{execution}/accepted.json", attempts=2),
    Task("CopyToArchive", "s3:CopyObject", "{good.archive_key}", "Archive"),
    Task("DeleteArchivedFromRaw", "s3:DeleteObject", "{good.key}", "Archive"),
    Task("MarkArchived", "dynamodb:UpdateItem", "{good.archive_key}", "Archive"),
    Task("ReadRejectionEmail", "s3:GetObject", "processing/{execution}/rejection_email.json"),
    Task("SendRejectionEmail", "sns:Publish", "1 file(s) rejected"),
]
REPEATED = {"FindVersionAgain", "CopyAgain", "CopyUndescribed"}
"""Tasks of Stage that repeat a call of another one, or ask why that was refused."""
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


class Batch:
    """A batch of one good and one bad file, in which calls of one task fail.

    Args:
        pipeline: The deployed pipeline.
        task: The task.
        how: Arguments of `Faults.fail`.
    """

    def __init__(self, pipeline: Pipeline, task: Task, **how: int | str | bool | None) -> None:
        self.pipeline = pipeline
        self.good = pipeline.upload("good.csv", b"good")
        cold = {"StorageClass": "GLACIER"} if task.is_cold else {}
        self.bad = pipeline.upload_as(f"{pipeline.folder}bad.csv", b"bad", **cold)
        if task.is_divided:
            self.good, self.bad = (of_size(file, 15 * 2**30) for file in (self.good, self.bad))
        self.task = task
        self.execution = f"{task.name}-{pipeline.folder.split('/')[2]}"
        about = task.about.format(execution=self.execution, good=self.good, bad=self.bad)
        self.fault: Fault = pipeline.faults.fail(task.operation, about, **how)  # type: ignore[arg-type]

    def run(self) -> str:
        """Process the batch, and return the execution's ARN."""
        arn = str(self.pipeline.run([self.good, self.bad], self.execution)["executionArn"])
        wait_for(lambda: not self.pipeline.running(), "the end of what the execution has started")
        return arn

    def assert_nothing_is_lost(self) -> None:
        """Each file is in raw/, in its very version, or already where it belongs; a delete never comes first."""
        moved = self.pipeline.moved()
        for file, target in ((self.good, self.good.archive_key), (self.bad, self.bad.error_key)):
            assert self.pipeline.is_in_raw(file) or moved[target][0] == file.content
            assert self.pipeline.is_in_raw(file) or not (file is self.bad and self.task.is_cold)
            if not self.pipeline.is_in_raw(file) and file is self.bad:
                assert moved[f"{target}.report.json"][0] == REPORT

    def assert_ended_well(self, ended: Mapping[str, object], *, copies: int = 1) -> None:
        """Everything is as if nothing had failed."""
        assert ended["status"] == "SUCCEEDED"
        jobs = [self.pipeline.validate_job, self.pipeline.compute_job]
        if self.task.is_divided:
            assert [part["status"] for part in self.pipeline.parts(ended)] == ["SUCCEEDED", "SUCCEEDED"]
            jobs.append(self.pipeline.validate_job)
        moved = self.pipeline.moved()
        wanted = {self.good.archive_key: {b"good"}, f"{self.bad.error_key}.report.json": {REPORT}}
        assert {key: set(versions) for key, versions in moved.items()} == (
            wanted if self.task.is_cold else wanted | {self.bad.error_key: {b"bad"}}
        )
        assert max(len(versions) for versions in moved.values()) == copies
        assert [self.pipeline.is_in_raw(file) for file in (self.good, self.bad)] == [False, self.task.is_cold]
        assert self._statuses(self.good, self.bad) == ["ARCHIVED", "REJECTED"]
        run = self.pipeline.jobs_run()
        assert (sorted(run) == sorted(jobs)) if self.task.is_divided else (run == jobs)

    def _statuses(self, *files: File) -> list[str | None]:
        return [self.pipeline.status(file) for file in files]


@each_task
def test_a_task_that_fails_once_is_tried_again_and_nobody_is_bothered(pipeline: Pipeline, task: Task) -> None:
    batch = Batch(pipeline, task, times=1)
    arn = batch.run()
    assert batch.fault.calls >= 2
    batch.assert_ended_well(pipeline.ended(arn))
    assert len(pipeline.emails(arn)) == 1, "only the one about the rejected file"
    assert "TaskFailed" in [event["type"] for event in pipeline.history(arn)]


@each_task
def test_a_task_that_fails_for_good_fails_the_execution_and_a_redrive_resumes_at_it(
    pipeline: Pipeline, task: Task
) -> None:
    batch = Batch(pipeline, task, times=None)
    arn = batch.run()

    assert pipeline.ended(arn)["status"] == "FAILED"
    failed = [event["type"] for event in pipeline.history(arn)].count("TaskFailed")
    assert failed >= task.attempts, f"{failed} attempts"
    assert batch.fault.calls >= task.attempts
    batch.assert_nothing_is_lost()
    (email,) = pipeline.failure_emails(arn)
    assert email["subject"] == "[dev] Music KPI pipeline FAILED: somebody must look"
    assert f"State:     {task.failing}" in email["message"]
    assert f"aws stepfunctions redrive-execution --execution-arn {arn}" in email["message"]
    # The answer to HEAD has no body.
    assert f"the test makes {task.operation} fail" in email["message"] or task.operation == "s3:HeadObject"
    before = pipeline.states(arn)

    batch.fault.lift()
    ended = pipeline.redrive(arn)

    resumed = pipeline.states_after_redrive(arn)
    assert resumed[: 2 if task.within else 1] == [name for name in (task.within, task.failing) if name]
    done_before = {"Validate", "ComputeKpis"} & set(before) - {task.name}
    assert not done_before & set(resumed), "a job that had succeeded ran again"
    batch.assert_ended_well(ended)
    assert len(pipeline.rejection_emails(arn)) == 1
    assert len(pipeline.failure_emails(arn)) == 1


@pytest.mark.parametrize(
    "task",
    [task for task in TASKS if task.operation.startswith(("s3:", "dynamodb:", "states:"))],
    ids=lambda task: task.name,
)
def test_a_task_whose_answer_was_lost_is_repeated_without_harm(pipeline: Pipeline, task: Task) -> None:
    batch = Batch(pipeline, task, times=1, is_done=True)
    is_copy_kept = task.name in ("CopyToError", "CopyReportToError", "CopyReportAlone", "CopyToArchive")
    batch.assert_ended_well(pipeline.ended(batch.run()), copies=2 if is_copy_kept else 1)


@pytest.mark.parametrize(
    "task",
    [task for task in TASKS if task.within in ("StartParts", "MoveRejectedToError", "Archive")],
    ids=lambda task: task.name,
)
def test_an_execution_that_was_redriven_too_early_can_be_redriven_again(pipeline: Pipeline, task: Task) -> None:
    batch = Batch(pipeline, task, times=None)
    arn = batch.run()
    assert pipeline.redrive(arn)["status"] == "FAILED"
    batch.assert_nothing_is_lost()
    batch.fault.lift()
    batch.assert_ended_well(pipeline.redrive(arn))


@pytest.mark.parametrize(
    "task", [task for task in TASKS if task.within and not task.is_divided], ids=lambda task: task.name
)
def test_files_beside_one_that_fails_are_neither_lost_nor_moved_twice(pipeline: Pipeline, task: Task) -> None:
    batch = Batch(pipeline, task, times=None)
    others = [pipeline.upload(f"{kind} {number}.csv") for kind in ("good", "bad") for number in range(2)]
    files = [*others[:2], batch.good, batch.bad, *others[2:]]
    arn = pipeline.run(files, batch.execution)["executionArn"]
    assert pipeline.ended(arn)["status"] == "FAILED"
    batch.assert_nothing_is_lost()
    batch.fault.lift()
    ended = pipeline.redrive(arn)
    assert ended["status"] == "SUCCEEDED"
    moved = pipeline.moved()
    for file in files:
        is_cold = task.is_cold and file is batch.bad
        targets = {file.archive_key, file.error_key} & moved.keys()
        assert [moved[target] for target in targets] == ([] if is_cold else [[file.content]])
        assert pipeline.is_in_raw(file) is is_cold
    assert [len(ended["output"][kind]) for kind in ("accepted", "rejected")] == [3, 3]
    assert len(pipeline.rejection_emails(arn)) == 1


def test_a_version_that_vanishes_between_look_and_copy_fails_nobody(pipeline: Pipeline) -> None:
    gone, other = pipeline.upload("gone.csv"), pipeline.upload("good.csv")
    staged = hashlib.sha256(f"{gone.key}#{gone.version_id}".encode()).hexdigest()
    name = f"vanish-{pipeline.folder.split('/')[2]}"
    pipeline.faults.meanwhile("s3:CopyObject", f"processing/{name}/{staged}", lambda: pipeline.delete(gone))
    ended = pipeline.run([gone, other], name)
    assert ended["status"] == "SUCCEEDED"
    assert [one["reasons"] for one in ended["output"]["rejected"]] == [["object_missing"]]
    assert pipeline.moved() == {f"{gone.error_key}.report.json": [REPORT], other.archive_key: [other.content]}
    assert pipeline.emails(ended["executionArn"]) == pipeline.rejection_emails(ended["executionArn"])


@pytest.mark.parametrize("times", [5, None])
def test_a_refused_look_that_is_not_about_the_object_is_no_verdict(pipeline: Pipeline, times: int | None) -> None:
    """HEAD answers 400 without a reason, and not only where a key is missing: the copy, which has one, succeeds."""
    good = pipeline.upload("good.csv", b"good")
    fault = pipeline.faults.fail("s3:HeadObject", good.key, error="BadRequest", times=times)
    ended = pipeline.run([good])
    if times is None:
        assert ended["status"] == "FAILED"
        assert pipeline.states(ended["executionArn"])[-1] == "FindVersionAgain"
        fault.lift()
        ended = pipeline.redrive(ended["executionArn"])
    assert ended["status"] == "SUCCEEDED"
    assert pipeline.moved() == {good.archive_key: [b"good"]}
