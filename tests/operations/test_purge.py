"""After a purge no trace is left, everything else is as it was, and an interruption anywhere changes nothing."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.client import BaseClient

from glue_scripts import names
from glue_scripts.ledger import FileStatus, Snapshot, file_key
from tests.local.workflow_server import wait_for
from tests.operations.conftest import DAY, World

USER = "listener-of-no-trace"
OTHER_DAY = "2024-06-26"
HEADER = b"user_id,track_id,listen_time\n"
THEIRS = USER.encode() + b",t,2024-06-25 10:00:00\n"
ROWS = b"u-2,t,2024-06-25 10:00:00\n" + USER.encode() + b"2,t,2024-06-25 10:00:00\n"
FILE = HEADER + THEIRS + ROWS
CLEANED = HEADER + ROWS
PIPE = "music-kpi-dev-uploads"
MUTATIONS = {"PutObject", "DeleteObject", "UpdateItem", "DeleteItem", "StopPipe", "StartPipe", "StartJobRun"}


def parquet(*users: str) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"user_id": list(users), "track_id": ["t"] * len(users)}), target)
    return target.getvalue()


def users_in(content: bytes) -> list[str]:
    return [str(user) for user in pq.read_table(io.BytesIO(content))["user_id"].to_pylist()]


def run_key(date: str, run: str, part: str = "part-0.parquet") -> str:
    return f"{names.PLAYS_PREFIX}listen_date={date}/run={run}/{part}"


def readable(content: bytes) -> bytes:
    """Content in which a user id can be searched."""
    if content.startswith(b"PAR1"):
        return " ".join(users_in(content)).encode()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def traces(world: World) -> Iterator[str]:
    """Where the id stands as a word of its own."""
    for (key, version_id), content in world.contents().items():
        if USER.encode() in readable(content).replace(USER.encode() + b"2", b""):
            yield f"{key} {version_id}"
    for table in (world.deployment.ledger_table, world.deployment.kpis_table):
        yield from (str(item) for item in table.scan()["Items"] if USER in str(item))


def current(world: World) -> dict[str, bytes]:
    """The current version of every object but what a recomputation writes."""
    contents = world.contents()
    listed = world.deployment.s3.list_object_versions(Bucket=world.deployment.bucket).get("Versions", [])
    latest = [(version["Key"], version["VersionId"]) for version in listed if version["IsLatest"]]
    return {key: contents[key, version] for key, version in latest if "/recompute-" not in key}


def pipe_state(world: World) -> str:
    return str(world.deployment.pipes.describe_pipe(Name=PIPE)["CurrentState"])


def interrupted_after(calls: int) -> Callable[..., object]:
    """What takes the place of every AWS call: after so many that change something it interrupts the command."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]
    made = itertools.count()
    lock = threading.Lock()

    def limited(self: BaseClient, operation: str, arguments: dict[str, Any]) -> object:
        is_of_command = threading.current_thread().name.startswith(("MainThread", "ThreadPoolExecutor"))
        if is_of_command and operation in MUTATIONS:
            with lock:
                if next(made) >= calls:
                    raise KeyboardInterrupt
        return call(self, operation, arguments)

    return limited


@pytest.fixture
def filled(world: World) -> World:
    """Every kind of object, with and without the person."""
    world.put(run_key(DAY, "r1"), parquet(USER, "u-2"))
    world.put(run_key(DAY, "r1", "part-1.parquet"), parquet("u-3"))
    world.put(run_key(DAY, "r1", "_SUCCESS"), b"")
    world.put(run_key(DAY, "r2"), parquet("u-4"))
    world.put(run_key(OTHER_DAY, "r3"), parquet(USER, USER))
    world.put(run_key(DAY, "crashed"), parquet(USER, "u-2"))
    world.publish(DAY, "r1", "r2")
    world.publish(OTHER_DAY, "r3")
    world.publish("2024-06-27", "elsewhere")
    world.put("reference/users/s/part-0.parquet", parquet(USER, "u-2"))
    world.put("archive/raw/streams/a.csv/v1", FILE + b"first version\n")
    world.put("archive/raw/streams/a.csv/v1", FILE, Metadata={"sender": "x"}, ContentType="text/csv")
    world.put("archive/raw/streams/b.csv/v1", gzip.compress(FILE))
    world.put("archive/raw/streams/c.csv/v1", CLEANED)
    world.put("error/raw/streams/d.csv/v1", THEIRS + ROWS)
    world.put("error/raw/streams/d.csv/v1.report.json", json.dumps({"rules": [{"detail": f"has: {USER}, t"}]}).encode())
    world.put("error/raw/streams/e.csv/v1", FILE.decode().encode("utf-16"))
    world.put("processing/x/0a", FILE)
    world.put("processing/x/gone", FILE)
    world.deployment.s3.delete_object(Bucket=world.deployment.bucket, Key="processing/x/gone")
    lines = [{"row": 2, "rules": ["x"], "fields": [user, None, "t"]} for user in (USER, "u-2")]
    world.put("quality/quarantine/streams/run=r/file=0a/p.json", "".join(json.dumps(x) + "\n" for x in lines).encode())
    return world


EXPECTED = {
    "archive/raw/streams/a.csv/v1": CLEANED,
    "archive/raw/streams/b.csv/v1": CLEANED,
    "archive/raw/streams/c.csv/v1": CLEANED,
    "error/raw/streams/d.csv/v1": ROWS,
    "error/raw/streams/d.csv/v1.report.json": b'{"rules": [{"detail": "has: [removed], t"}]}\n',
    "processing/x/0a": CLEANED,
    "quality/quarantine/streams/run=r/file=0a/p.json": b'{"row": 2, "rules": ["x"], "fields": ["u-2", null, "t"]}\n',
    "reference/users/s/part-0.parquet": b"u-2",
    run_key(DAY, "r2"): b"u-4",
}


def assert_purged(world: World) -> None:
    assert list(traces(world)) == []
    left = {key: readable(content) for key, content in current(world).items()}
    days = {date: world.deployment.ledger.day(date) for date in (DAY, OTHER_DAY)}
    (successor,) = {run for day in [days[DAY]] if day for run in day.runs} - {"r2"}
    swapped = {run_key(DAY, successor): b"u-2", run_key(DAY, successor, "part-1.parquet"): b"u-3"}
    assert left == EXPECTED | swapped
    other = days[OTHER_DAY]
    assert other is not None
    assert other.runs == frozenset()
    assert {date for run in world.computed for date in run} == {DAY, OTHER_DAY}
    assert all(day and day.is_published and day.claim > 1 for day in days.values())
    assert USER in world.deployment.ledger.purged_users()
    assert json.loads(world.run("status", "--json").out)["purges"] == []
    wait_for(lambda: pipe_state(world) == "RUNNING", "the pipe")


class TestNoTrace:
    """What is removed, and what stays."""

    def test_everything_of_the_person_goes_and_nothing_else(self, filled: World) -> None:
        ended = filled.run("purge-user", f" {USER}", "--yes")

        assert ended.exit_code == 0, ended.err
        assert USER not in ended.out + ended.err
        assert_purged(filled)
        assert "error/raw/streams/e.csv/v1" in ended.out, "what cannot be read row by row is deleted and told"
        head = filled.deployment.s3.head_object(Bucket=filled.deployment.bucket, Key="archive/raw/streams/a.csv/v1")
        assert (head["Metadata"], head["ContentType"]) == ({"sender": "x"}, "text/csv")
        markers = filled.deployment.s3.list_object_versions(Bucket=filled.deployment.bucket).get("DeleteMarkers", [])
        assert markers == []

    def test_as_json_it_tells_the_same(self, filled: World) -> None:
        ended = filled.run("purge-user", USER, "--yes", "--json")

        assert ended.exit_code == 0, ended.err
        found = json.loads(ended.out)
        assert found["rows"]["archive/"] == found["versions"]["archive/"] == 3
        assert found["unreadable"] == ["error/raw/streams/e.csv/v1"]
        assert [(day["date"], day["published"]) for day in found["days"]] == [(DAY, 3), (OTHER_DAY, 2)]
        assert_purged(filled)

    def test_a_second_time_there_is_nothing_to_remove(self, filled: World) -> None:
        filled.run("purge-user", USER, "--yes")
        before = current(filled)

        ended = filled.run("purge-user", USER, "--yes", "--json")

        found = json.loads(ended.out)
        assert (found["rows"], found["days"]) == ({}, [])
        assert current(filled) == before
        assert len(filled.computed) == 1

    def test_interrupted_after_any_call_it_goes_on_where_it_ended(
        self, filled: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each try makes one call more than the one before, so that each breaks off elsewhere."""
        endings = []
        for calls in range(60):
            with monkeypatch.context() as patch:
                patch.setattr(BaseClient, "_make_api_call", interrupted_after(calls))
                endings.append(filled.run("purge-user", USER, "--yes").exit_code)
            if endings[-1] == 0:
                break

        assert endings == [130] * (len(endings) - 1) + [0]
        assert len(endings) > 5
        assert_purged(filled)

    def test_it_is_refused_without_a_confirmation(self, filled: World) -> None:
        before = filled.contents()

        ended = filled.run("purge-user", USER)

        assert (ended.exit_code, "cannot be undone" in ended.err) == (4, True)
        assert filled.contents() == before
        assert USER not in filled.deployment.ledger.purged_users()


class TestPause:
    """Nobody reads or writes files meanwhile."""

    def test_it_waits_for_running_executions_and_the_next_try_ends_it(self, filled: World) -> None:
        client = filled.deployment.step_functions
        waits = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 100000, "End": True}}}
        client.update_state_machine(
            stateMachineArn=filled.deployment.state_machine_arn,
            definition=json.dumps({"QueryLanguage": "JSONata", **waits}),
        )
        running = client.start_execution(stateMachineArn=filled.deployment.state_machine_arn)["executionArn"]
        wait_for(lambda: filled.deployment.pipes.describe_pipe(Name=PIPE), "the pipe")
        filled.deployment.pipes.stop_pipe(Name=PIPE)
        wait_for(lambda: pipe_state(filled) == "STOPPED", "the pause")
        filled.deployment.pipes.start_pipe(Name=PIPE)

        late = filled.run("purge-user", USER, "--yes", "--minutes", "0.02")

        assert (late.exit_code, "executions or job runs are still under way" in late.err) == (3, True)
        assert pipe_state(filled) == "STOPPED"
        assert list(traces(filled))
        client.stop_execution(executionArn=running)
        other = filled.run("purge-user", "somebody else", "--yes")
        assert (other.exit_code, "repeat its `purge-user` command first" in other.err) == (4, True)
        assert filled.run("purge-user", USER, "--yes").exit_code == 0
        assert_purged(filled)

    def test_a_pipe_that_was_paused_before_stays_paused(self, filled: World) -> None:
        filled.deployment.pipes.stop_pipe(Name=PIPE)

        assert filled.run("purge-user", USER, "--yes").exit_code == 0

        assert pipe_state(filled) == "STOPPED"

    def test_a_day_that_a_computation_died_over_is_computed_though_another_command_closed_its_note(
        self, filled: World
    ) -> None:
        assert filled.run("purge-user", USER, "--yes").exit_code == 0
        filled.deployment.ledger.claim_day(DAY, None)

        assert filled.run("purge-user", USER, "--yes").exit_code == 0

        assert filled.computed[-1] == [DAY]
        day = filled.deployment.ledger.day(DAY)
        assert day is not None
        assert day.is_published

    def test_a_failed_computation_leaves_the_pipe_paused_until_it_is_repeated(self, filled: World) -> None:
        outcomes = filled.server.glue.outcomes
        outcomes["music-kpi-dev-compute-kpis"] = lambda arguments: "FAILED"
        failed = filled.run("purge-user", USER, "--yes")
        assert (failed.exit_code, "ended as FAILED" in failed.err) == (1, True)
        assert pipe_state(filled) == "STOPPED"

        outcomes["music-kpi-dev-compute-kpis"] = filled.compute
        assert filled.run("purge-user", USER, "--yes").exit_code == 0
        assert_purged(filled)


class TestPendingFiles:
    """Files that wait in raw/."""

    def pending(self, world: World) -> list[tuple[str, bytes]]:
        """Keys and contents, by the time of their upload."""
        found = world.deployment.s3.list_object_versions(Bucket=world.deployment.bucket, Prefix="raw/")["Versions"]
        contents = world.contents("raw/")
        ordered = sorted(found, key=lambda version: (version["LastModified"], version["Key"]))
        return [(version["Key"], contents[version["Key"], version["VersionId"]]) for version in ordered]

    def test_both_versions_of_a_key_are_rewritten_and_the_former_ones_are_finished(self, world: World) -> None:
        key = "raw/streams/a.csv"
        versions = [world.put(key, FILE), world.put(key, FILE + b"u-3,t,x\n"), world.put(key, CLEANED)]

        assert world.run("purge-user", USER, "--yes").exit_code == 0

        contents = world.contents("raw/")
        assert sorted(contents.values()) == sorted([CLEANED, CLEANED + b"u-3,t,x\n", CLEANED])
        for former in versions[:2]:
            item = world.item(file_key(key, former))
            assert item["status"] == FileStatus.REPLACED
            assert (key, item["replaced_by"]) in contents
        assert (key, versions[2]) in contents, "a file without the person keeps its version"

    def test_the_status_of_a_file_in_a_failed_execution_stays(self, world: World) -> None:
        version = world.put("raw/streams/a.csv", FILE)
        world.deployment.ledger.receive_file("raw/streams/a.csv", version, {"execution": "failed"})

        world.run("purge-user", USER, "--yes")

        assert world.deployment.ledger.file_status_and_execution("raw/streams/a.csv", version) == ("RECEIVED", "failed")

    def test_a_file_of_nobody_else_is_replaced_by_nothing(self, world: World) -> None:
        version = world.put("raw/streams/a.csv", HEADER + THEIRS)

        world.run("purge-user", USER, "--yes")

        assert world.contents("raw/") == {}
        assert world.item(file_key("raw/streams/a.csv", version))["replaced_by"] == "nothing"

    def test_snapshots_keep_the_order_of_their_uploads(self, world: World) -> None:
        columns = b"user_id,user_name,user_age,user_country,created_at\n"
        older = columns + USER.encode() + b",N,1,Peru,2024-01-01\nu-2,M,1,Peru,2024-01-01\n"
        younger = columns + b"u-2,M,1,Chad,2024-01-01\n"
        world.put("raw/users/z.csv", older)
        wait_for(lambda: self.is_later(world, "raw/users/z.csv"), "the next second")
        world.put("raw/users/a.csv", younger)

        world.run("purge-user", USER, "--yes")

        cleaned = columns + b"u-2,M,1,Peru,2024-01-01\n"
        assert self.pending(world) == [("raw/users/z.csv", cleaned), ("raw/users/a.csv", younger)]

    def test_a_snapshot_older_than_the_current_one_does_not_become_younger(self, world: World) -> None:
        columns = b"user_id,user_name,user_age,user_country,created_at\n"
        version = world.put("raw/users/a.csv", columns + USER.encode() + b",N,1,Peru,2024-01-01\nu-2,M,1,Chad,2024\n")
        world.deployment.ledger.make_current(
            Snapshot(
                dataset="users", uri="s3://x/", key="k", version_id="v", last_modified="2999-01-01T00:00:00Z", rows=1
            )
        )

        world.run("purge-user", USER, "--yes")

        assert self.pending_keys(world) == []
        archived = world.contents("archive/")
        assert list(archived.values()) == [columns + b"u-2,M,1,Chad,2024\n"]
        assert next(iter(archived))[0] == f"archive/raw/users/a.csv/{version}"

    def pending_keys(self, world: World) -> list[str]:
        return [key for key, _ in world.contents("raw/")]

    def is_later(self, world: World, key: str) -> bool:
        """Whether an object written at this moment would have a later LastModified."""
        s3 = world.deployment.s3
        written = s3.head_object(Bucket=world.deployment.bucket, Key=key)["LastModified"]
        world.put("clock", b"")
        later = s3.head_object(Bucket=world.deployment.bucket, Key="clock")["LastModified"]
        return later > written
