"""Each call of AWS that the state machines and the KPI job make fails in each way, once and for good.

What becomes of it is the table of docs/faults.md.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from glue_scripts import names
from glue_scripts.ledger import Ledger
from operations.kpis import entries, read_rows
from stacks.constructs.state_machine import DEFINITIONS
from tests import fault_table, oracle
from tests.workflow.job_calls import TOP, Call, KpiJob, ValidationJob, Wire, fate_of
from tests.workflow.pipeline import File, Pipeline, wait_for
from tests.workflow.test_failing_tasks import REPEATED, TASKS, Batch, Task

PIPELINE: Final = "State machine `pipeline`"
NOTIFIER: Final = "State machine `notify_failure`"
COMPUTE: Final = "Glue job `compute_kpis`"


def task_names(machine: str) -> set[str]:
    """The tasks of a state machine, those of its Maps included."""

    def tasks(states: Mapping[str, Any]) -> Iterator[str]:
        for name, state in states.items():
            if state["Type"] == "Task":
                yield name
            yield from tasks(state.get("ItemProcessor", {}).get("States", {}))

    return set(tasks(json.loads((DEFINITIONS / f"{machine}.asl.json").read_text("utf-8"))["States"]))


# The state machine


def test_the_page_tells_of_every_task_of_the_state_machine() -> None:
    assert {task.name for task in TASKS} | REPEATED == task_names("pipeline")
    fault_table.assert_complete(PIPELINE, TASKS)


@pytest.mark.parametrize(("task", "error", "times"), fault_table.cells(TASKS), ids=fault_table.name_of)
def test_a_call_of_the_state_machine_fails(pipeline: Pipeline, task: Task, error: str, times: str) -> None:
    batch = Batch(pipeline, task, times=1 if times == "once" else None, error=fault_table.code(task.operation, error))
    arn = batch.run()
    ended = pipeline.ended(arn)
    if times == "for good":
        assert ended["status"] == "FAILED"
        batch.assert_nothing_is_lost()
        (email,) = pipeline.failure_emails(arn)
        assert f"State:     {task.failing}" in email["message"]
        batch.fault.lift()
        ended = pipeline.redrive(arn)
    batch.assert_ended_well(ended)
    assert len(pipeline.rejection_emails(arn)) == 1
    emails = len(pipeline.emails(arn))
    assert emails == (1 if times == "once" else 2)
    fault_table.check(PIPELINE, TASKS, task, error, times, "retried" if times == "once" else "redriven")


# Its notifier


NOTIFYING: Final = [
    Call("states:GetExecutionHistory", "{arn}", "FindState"),
    Call("states:ListExecutions", '{machine}"', "CountFailures"),
    Call("s3:ListObjectsV2", "processing/{name}/rejection_email.json", "FindRejectionEmail"),
    Call("s3:GetObject", "processing/{name}/rejection_email.json", "ReadRejectionEmail"),
    Call("sns:Publish", "somebody must look", "SendFailureEmail"),
]


def test_the_page_tells_of_every_task_of_the_notifier() -> None:
    assert {call.purpose for call in NOTIFYING} == task_names("notify_failure")
    fault_table.assert_complete(NOTIFIER, NOTIFYING)


@pytest.mark.parametrize(("call", "error", "times"), fault_table.cells(NOTIFYING, every=2), ids=fault_table.name_of)
def test_a_call_of_the_notifier_fails(pipeline: Pipeline, call: Call, error: str, times: str) -> None:
    pipeline.glue.outcomes[pipeline.compute_job] = lambda _: "FAILED"
    name = f"{call.purpose}-{pipeline.folder.split('/')[2]}"
    arn = f"{pipeline.machine.replace(':stateMachine:', ':execution:')}:{name}"
    fault = pipeline.faults.fail(
        call.operation,
        call.about.format(arn=arn, name=name, machine=pipeline.machine),
        error=fault_table.code(call.operation, error),
        times=1 if times == "once" else None,
    )
    before = set(pipeline.notifications("FAILED"))
    pipeline.start([pipeline.upload("good.csv"), pipeline.upload("bad.csv")], name)
    if times == "for good":
        (notification,) = wait_for(lambda: set(pipeline.notifications("FAILED")) - before, "the notifier's failure")
        assert pipeline.emails(arn) == []
        fault.lift()
        assert pipeline.redrive(notification)["status"] == "SUCCEEDED"
    (email,) = pipeline.failure_emails(arn)
    assert fault.calls > 1
    assert "State:     ComputeKpis" in email["message"]
    fault_table.check(NOTIFIER, NOTIFYING, call, error, times, "retried" if times == "once" else "alarm")


# The KPI job


LOADING: Final = [
    Call("s3:GetObject", "accepted.json", "the list of accepted files"),
    Call("dynamodb:GetItem", "FILE#", "whether a file is loaded"),
    Call("dynamodb:GetItem", "BATCH#", "what the batch became in the lake"),
    Call("dynamodb:UpdateItem", "begun_by", "begin the batch"),
    Call("dynamodb:Query", "WAITING", "batches that wait"),
    Call("dynamodb:UpdateItem", '"SNAPSHOTS"', "make songs current"),
    Call("dynamodb:Query", '"DAYS"', "the days"),
    Call("dynamodb:GetItem", "SUMMARY", "what is visible of a day"),
    Call("dynamodb:GetItem", "UNKNOWN_TRACKS", "the unknown tracks of a day"),
    Call("dynamodb:UpdateItem", "RUNS#", "commit a run to a day"),
    Call("dynamodb:UpdateItem", "ADD claim", "claim a day"),
    Call("dynamodb:Query", "RUNS#", "the runs of a day"),
    Call("dynamodb:Query", '"PURGED"', "tombstones"),
    Call("dynamodb:Query", '"WITHDRAWN"', "withdrawn files"),
    Call("dynamodb:GetItem", '"SNAPSHOTS"', "the current snapshots"),
    Call("s3:GetObject", "/curated/runs/", "the document of a day"),
    Call("s3:GetObject", "/reference/songs/", "an object of a snapshot"),
    Call("s3:GetObject", "/curated/plays/", "plays of a day"),
    Call("dynamodb:BatchWriteItem", "", "rows of a day"),
    Call("dynamodb:PutItem", "SUMMARY", "publish a day"),
    Call("dynamodb:UpdateItem", "SET #published", "note that a day is published"),
    Call("dynamodb:Query", "DAY#", "rows of earlier versions"),
    Call("dynamodb:UpdateItem", "FILE#raw/", "note a file as loaded"),
    Call("cloudwatch:PutMetricData", "", "metrics"),
]
SONGS: Final = (
    b"track_id,track_name,artists,album_name,track_genre,duration_ms,popularity,explicit\n"
    b"t1,One,A,x,pop,1000,1,false\nt2,Two,B,x,jazz,3000,1,false\n"
)
UPLOADED: Final = datetime(2030, 1, 1, tzinfo=UTC)
_loads: Final = itertools.count()


@dataclass
class Load:
    """A batch of a songs and a streams file, whose jobs are the real ones."""

    pipeline: Pipeline
    wire: Wire
    files: list[File]
    streams: bytes
    date: str

    @classmethod
    def of(cls, pipeline: Pipeline) -> Load:
        """A batch with plays of a day of its own; somebody has been purged before."""
        number = next(_loads)
        day = (date(2001, 1, 1) + timedelta(days=number)).isoformat()
        streams = b"user_id,track_id,listen_time\n"
        streams += b"".join(f"u{n % 3},t{n % 2 + 1},{day} 10:00:{n:02}\n".encode() for n in range(20))
        streams += f"u1,in no catalogue,{day} 11:00:00\n".encode()
        wire = Wire()
        pipeline.glue.outcomes[pipeline.validate_job] = ValidationJob(pipeline, Wire()).run
        pipeline.glue.outcomes[pipeline.compute_job] = KpiJob(pipeline, wire).run
        Ledger(pipeline.ledger).purge_user("somebody else")
        # Of two snapshots of one second the one with the greater key is newer; each load's must be.
        songs = pipeline.upload_as(f"{names.RAW_PREFIX}songs/{number:06}/songs.csv", SONGS)
        return cls(pipeline, wire, [songs, pipeline.upload("streams.csv", streams)], streams, day)

    def assert_is_complete(self, ended: Mapping[str, Any]) -> None:
        """The day's rows are what the oracle computes, the day is published and the files are archived."""
        assert ended["status"] == "SUCCEEDED"
        plays = oracle.parse_streams(self.streams, UPLOADED)[0]
        expected = oracle.kpi_items(plays, oracle.parse_songs(SONGS)[0], [], top_songs=TOP, top_genres=TOP)
        summary, genres = read_rows(self.pipeline.kpis, self.date)
        rows = by_sort_key(entries(summary, genres))
        assert {sk: {name: rows[sk][name] for name in row} for sk, row in by_sort_key(expected).items()} == (
            by_sort_key(expected)
        )
        assert len(rows) == len(expected)
        known = Ledger(self.pipeline.ledger).day(self.date)
        assert known
        assert known.published == known.claim == summary["version"]
        assert [self.pipeline.status(file) for file in self.files] == ["ARCHIVED", "ARCHIVED"]
        assert not any(self.pipeline.is_in_raw(file) for file in self.files)


def by_sort_key(items: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows of one day by their sort key."""
    return {item[names.KPIS_SORT_KEY]: item for item in items}


@pytest.fixture
def earlier_day(pipeline: Pipeline) -> None:
    """A day of the year that is in the ledger before: a run of the KPI job looks at it, too."""
    if not Ledger(pipeline.ledger).dates("2001-01-01", "2001-12-31"):
        earlier = Load.of(pipeline)
        earlier.assert_is_complete(pipeline.run(earlier.files))
        pipeline.glue.runs.clear()


@pytest.mark.usefixtures("no_snapshots", "earlier_day", "no_pauses")
def test_the_page_tells_of_every_call_of_the_kpi_job(pipeline: Pipeline) -> None:
    load = Load.of(pipeline)
    load.assert_is_complete(pipeline.run(load.files))
    unknown = [made for made in load.wire.seen if not any(call.is_made_by(*made) for call in LOADING)]
    assert unknown == []
    never = [call for call in LOADING if not any(call.is_made_by(*made) for made in load.wire.seen)]
    assert [call.purpose for call in never] == []
    fault_table.assert_complete(COMPUTE, LOADING)


@pytest.mark.usefixtures("no_snapshots", "earlier_day", "no_pauses")
@pytest.mark.parametrize(("call", "error", "times"), fault_table.cells(LOADING), ids=fault_table.name_of)
def test_a_call_of_the_kpi_job_fails(pipeline: Pipeline, call: Call, error: str, times: str) -> None:
    load = Load.of(pipeline)
    load.wire.fail_as(call, error, times)
    arn = pipeline.start(load.files)
    ended, outcome = fate_of(
        arn,
        pipeline,
        load.wire,
        files=load.files,
        job=pipeline.compute_job,
        state="ComputeKpis",
        told=(call.operation.partition(":")[2], "has taken no row", "ReadTimeoutError", "ConnectionError"),
    )
    load.assert_is_complete(ended)
    assert len(pipeline.emails(arn)) == (1 if outcome == "redriven" else 0)
    fault_table.check(COMPUTE, LOADING, call, error, times, outcome)
