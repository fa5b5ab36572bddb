"""`collect`: what nobody reads any more goes from the lake, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from glue_scripts.file_days import FileDays
from glue_scripts.ledger import Batch, RunItem
from glue_scripts.names import PROCESSING_PREFIX
from glue_scripts.objects import json_line
from glue_scripts.stored_plays import RunOfDay, StoredPlays, object_key
from operations import collect
from operations.collect import LONGEST_READER, is_leftover
from tests.operations.conftest import BUCKET, DAY, World

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEPT = timedelta(days=30)


def ago(**of: float) -> datetime:
    return NOW - timedelta(**of)


def replaced(at: datetime, by: str = "merged") -> RunItem:
    return RunItem(is_committed=True, replaced_by=by, replaced_at=at.strftime("%Y-%m-%dT%H:%M:%SZ"))


@pytest.mark.parametrize(
    ("item", "written", "is_needed", "expected"),
    [
        (RunItem(True, None, None), ago(days=1000), False, False),
        (replaced(NOW - LONGEST_READER - timedelta(seconds=1)), ago(days=1000), True, True),
        (replaced(NOW - LONGEST_READER), ago(days=1000), False, False),
        (replaced(ago(days=2), by=""), ago(days=1000), False, True),
        (None, ago(days=31), False, True),
        (None, ago(days=29), False, False),
        (None, ago(days=31), True, False),
    ],
    ids=["counts", "merged long ago", "merged just now", "nothing left", "dead", "young", "to be redriven"],
)
def test_a_run_is_a_leftover_if(item: RunItem | None, written: datetime, is_needed: bool, expected: bool) -> None:
    found = is_leftover(item, written=written, now=NOW, kept=KEPT, is_needed=lambda: is_needed)
    assert found is expected


@pytest.fixture
def later(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Lets the command run at a later time."""
    rule = {"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": PROCESSING_PREFIX}, "Expiration": {"Days": 30}}
    configuration: Any = {"Rules": [rule]}
    world.deployment.s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=configuration)

    def move(by: timedelta) -> None:
        class Later(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Later:  # noqa: ANN401 - as datetime
                return cls.fromtimestamp((datetime.now(tz) + by).timestamp(), tz)

        monkeypatch.setattr(collect, "datetime", Later)

    return move


EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:m:e"
"""Step Functions has forgotten it."""


def put_run(world: World, run: str, execution: str | None = EXECUTION) -> None:
    """Writes a run of DAY: an object, its document, and the days of its file."""
    key = object_key(run, DAY, 0, 1)
    world.put(key, b"PAR1")
    day = RunOfDay(run, DAY, 1, [StoredPlays(DAY, 0, 1, key, 1, 4)], execution)
    world.put(day.document_key, json_line(day.document()))
    days = FileDays("f" * 64, run, [DAY])
    world.put(days.key, json_line(days.document()))


def runs_in_lake(world: World) -> set[str]:
    """Names of runs of which any object is there."""
    keys = {key for key, _ in world.contents("curated/")}
    runs = {key.rpartition("/")[2].removesuffix(".json") for key in keys if key.endswith(".json")}
    return runs | {key.split("/")[3].removeprefix("run=") for key in keys if key.endswith(".parquet")}


def collected(world: World) -> dict[str, int]:
    """How many runs of each kind the command finds and deletes."""
    ended = world.run("collect", "--yes", "--json")
    assert ended.exit_code == 0, ended.err
    return {kind: count.get("runs", 0) for kind, count in json.loads(ended.out).items()}


def test_merged_runs_go_when_no_computation_can_read_them_any_more(
    world: World, later: Callable[[timedelta], None]
) -> None:
    for run in ("one", "two", "other"):
        put_run(world, run)
        world.deployment.ledger.commit_run(DAY, run)
    put_run(world, "both", execution=None)
    assert world.deployment.ledger.replace_runs(DAY, ["one", "two"], "both")

    assert collected(world) == {"merged": 0, "dead": 0}
    later(LONGEST_READER + timedelta(minutes=1))
    assert collected(world) == {"merged": 2, "dead": 0}

    objects = {key for key, _ in world.contents("curated/") if not key.startswith("curated/files/")}
    assert {key for key in objects if "one" in key or "two" in key} == set()
    # The days of their files stay: the merged run has their plays.
    assert runs_in_lake(world) == {"one", "two", "both", "other"}
    assert collected(world) == {"merged": 0, "dead": 0}


def test_a_run_of_a_dead_job_goes_when_no_redrive_can_need_it(world: World, later: Callable[[timedelta], None]) -> None:
    put_run(world, "dead")
    put_run(world, "counts")
    world.deployment.ledger.commit_run(DAY, "counts")
    assert collected(world) == {"merged": 0, "dead": 0}
    later(timedelta(days=31))
    assert collected(world) == {"merged": 0, "dead": 1}
    assert runs_in_lake(world) == {"counts"}


def test_a_run_that_some_of_its_days_have_keeps_the_days_of_its_files(
    world: World, later: Callable[[timedelta], None]
) -> None:
    """Its job died while it committed the run. Without these days, a withdrawal would leave the other day as it is."""
    put_run(world, "partly")
    days = FileDays("f" * 64, "partly", [DAY, "2024-06-26"])
    world.put(days.key, json_line(days.document()))
    world.deployment.ledger.commit_run("2024-06-26", "partly")
    later(timedelta(days=31))
    assert collected(world) == {"merged": 0, "dead": 1}
    assert [key for key, _ in world.contents("curated/files/")] == [days.key] * 2


def test_a_run_without_a_document_goes_as_well(world: World, later: Callable[[timedelta], None]) -> None:
    world.put(object_key("half", DAY, 0, 1), b"PAR1")
    later(timedelta(days=31))
    assert collected(world) == {"merged": 0, "dead": 1}
    assert runs_in_lake(world) == set()


def test_a_run_of_an_execution_that_can_be_redriven_stays(world: World, later: Callable[[timedelta], None]) -> None:
    fail = {"StartAt": "F", "States": {"F": {"Type": "Fail"}}}
    machine = world.server.client("stepfunctions").create_state_machine(
        name="fails", definition=json.dumps(fail), roleArn="arn:aws:iam::123456789012:role/r"
    )["stateMachineArn"]
    arn = world.deployment.step_functions.start_execution(stateMachineArn=machine)["executionArn"]
    while world.deployment.step_functions.describe_execution(executionArn=arn)["status"] == "RUNNING":
        pass
    put_run(world, "failed", arn)
    later(timedelta(days=31))
    is_redrivable = world.deployment.step_functions.describe_execution(executionArn=arn)["redriveStatus"]
    assert is_redrivable == "REDRIVABLE"
    assert collected(world) == {"merged": 0, "dead": 0}


def test_a_run_of_a_batch_that_waits_stays_and_one_that_is_being_loaded_too(
    world: World, later: Callable[[timedelta], None]
) -> None:
    put_run(world, "waits")
    batch = Batch(EXECUTION, "waits", [DAY], [], "s3://b/accepted.json", 4)
    ledger = world.deployment.ledger
    ledger.record_batch(batch, waiting_since="2024-06-25T00:00:00Z")
    later(timedelta(days=31))
    assert collected(world) == {"merged": 0, "dead": 0}
    later(timedelta(0))
    assert ledger.begin_batch(EXECUTION, "job")
    assert collected(world) == {"merged": 0, "dead": 0}
    later(timedelta(days=31))
    assert collected(world) == {"merged": 0, "dead": 1}


def test_nothing_is_deleted_without_a_confirmation_or_with_dry_run(
    world: World, later: Callable[[timedelta], None]
) -> None:
    put_run(world, "dead")
    later(timedelta(days=31))
    counted = world.run("collect", "--dry-run")
    assert (counted.exit_code, "runs of dead jobs" in counted.out) == (0, True)
    refused = world.run("collect")
    assert (refused.exit_code, "Delete 1 runs" in refused.err) == (4, True)
    assert runs_in_lake(world) == {"dead"}


def test_a_bucket_that_does_not_tell_how_long_working_copies_are_kept_is_an_error(world: World) -> None:
    ended = world.run("collect", "--yes")
    assert (ended.exit_code, "deploy the stacks again" in ended.err) == (1, True)
