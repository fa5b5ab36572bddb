"""After a purge no trace is left, everything else is as it was, and an interruption anywhere changes nothing."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.client import BaseClient

from glue_scripts import names
from glue_scripts.ledger import FileStatus, Snapshot, file_key
from glue_scripts.objects import json_line
from glue_scripts.stored_plays import RunOfDay, StoredPlays, document_key, object_key
from operations.pending import PendingFiles
from operations.purge import purge_user
from tests.local.workflow_server import wait_for
from tests.operations.conftest import COMPUTE_JOB, DAY, UPLOADED_AT, World

USER = "listener-of-no-trace"
OTHER_DAY = "2024-06-26"
HEADER = b"user_id,track_id,listen_time\n"
THEIRS = USER.encode() + b",t,2024-06-25 10:00:00\n"
ROWS = b"u-2,t,2024-06-25 10:00:00\n" + USER.encode() + b"2,t,2024-06-25 10:00:00\n"
FILE = HEADER + THEIRS + ROWS
CLEANED = HEADER + ROWS
PIPE = "music-kpi-dev-uploads"
BUCKETS = 2
MUTATIONS = {
    "PutObject",
    "DeleteObject",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "StopPipe",
    "StartPipe",
    "StartExecution",
}


def parquet(*users: str) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"user_id": list(users), "track_id": ["t"] * len(users)}), target)
    return target.getvalue()


def users_in(content: bytes) -> list[str]:
    return [str(user) for user in pq.read_table(io.BytesIO(content))["user_id"].to_pylist()]


def run_key(date: str, run: str, bucket: int = 0) -> str:
    return object_key(run, date, bucket, BUCKETS)


def put_run(world: World, date: str, run: str, *users_of_buckets: Sequence[str]) -> None:
    """Writes a run of a day as the validation job does: its objects, then its document."""
    stored = []
    for bucket, users in enumerate(users_of_buckets):
        body = parquet(*users)
        world.put(run_key(date, run, bucket), body)
        stored.append(StoredPlays(date, bucket, BUCKETS, run_key(date, run, bucket), len(users), len(body)))
    day = RunOfDay(run, date, BUCKETS, stored, "arn:e")
    world.put(day.document_key, json_line(day.document()))


def readable(content: bytes) -> bytes:
    """Content in which a user id can be searched."""
    if content.startswith(b"PAR1"):
        return " ".join(users_in(content)).encode()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def traces(world: World, *, but: Collection[str] = ()) -> Iterator[str]:
    """Where the id stands as a word of its own, the objects of some keys left out."""
    for (key, version_id), content in world.contents(but=but).items():
        if USER.encode() in readable(content).replace(USER.encode() + b"2", b""):
            yield f"{key} {version_id}"
    for table in (world.deployment.ledger_table, world.deployment.kpis_table):
        yield from (str(item) for item in table.scan()["Items"] if USER in str(item))


def current(world: World) -> dict[str, bytes]:
    """The current version of every object but what a recomputation writes."""
    contents = world.contents()
    listed = world.deployment.s3.list_object_versions(Bucket=world.deployment.bucket).get("Versions", [])
    latest = [(version["Key"], version["VersionId"]) for version in listed if version["IsLatest"]]
    return {key: contents[key, version] for key, version in latest if "/recompute/" not in key}


def pipe_state(world: World) -> str:
    return str(world.deployment.pipes.describe_pipe(Name=PIPE)["CurrentState"])


def interrupted_after(calls: int) -> Callable[..., object]:
    """What takes the place of every AWS call: after so many that change something it interrupts the command."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]
    made = itertools.count()
    lock = threading.Lock()

    def limited(self: BaseClient, operation: str, arguments: dict[str, Any]) -> object:
        # The pools of the command work on objects, those of the KPI job on items.
        is_of_command = threading.current_thread() is threading.main_thread() or (
            threading.current_thread().name.startswith("ThreadPoolExecutor") and operation.endswith("Object")
        )
        if is_of_command and operation in MUTATIONS:
            with lock:
                if next(made) >= calls:
                    raise KeyboardInterrupt
        return call(self, operation, arguments)

    return limited


@pytest.fixture
def filled(world: World) -> World:
    """Every kind of object, with and without the person."""
    put_run(world, DAY, "r1", [USER, "u-2"], ["u-3"])
    put_run(world, DAY, "r2", ["u-4"])
    put_run(world, OTHER_DAY, "r3", [USER, USER])
    world.put(run_key(DAY, "crashed"), parquet(USER, "u-2"))  # before it wrote its document
    world.publish(DAY, "r1", "r2")
    world.publish(OTHER_DAY, "r3")
    world.publish("2024-06-27", "elsewhere")
    world.put("reference/users/s/part-0.parquet", parquet(USER, "u-2"))
    world.put("archive/raw/streams/a.csv/v1", FILE + b"first version\n")
    world.put("archive/raw/streams/a.csv/v1", FILE, Metadata={"sender": "x"}, ContentType="text/html")
    world.put("archive/raw/streams/b.csv/v1", gzip.compress(FILE))
    world.put("archive/raw/streams/c.csv/v1", CLEANED)
    world.put("error/raw/streams/d.csv/v1", THEIRS + ROWS)
    world.put("error/raw/streams/d.csv/v1.report.json", json.dumps({"rules": [{"detail": f"has: {USER}, t"}]}).encode())
    world.put("error/raw/streams/e.csv/v1", FILE.decode().encode("utf-16"))
    world.put("processing/x/0a", FILE)
    world.put("processing/x/ids/jr_1/0a/00000.parquet", parquet(USER, "u-2"))
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
    "processing/x/ids/jr_1/0a/00000.parquet": b"u-2",
    "quality/quarantine/streams/run=r/file=0a/p.json": b'{"row": 2, "rules": ["x"], "fields": ["u-2", null, "t"]}\n',
    "reference/users/s/part-0.parquet": b"u-2",
    run_key(DAY, "r2"): b"u-4",
}


def assert_purged(world: World) -> None:
    assert list(traces(world)) == []
    left = {key: readable(content) for key, content in current(world).items()}
    runs = {key: json.loads(left.pop(key)) for key in sorted(left) if key.startswith(names.RUNS_PREFIX)}
    ledger = world.deployment.ledger
    (successor,) = ledger.runs(DAY) - {"r2"}
    assert left == EXPECTED | {run_key(DAY, successor): b"u-2", run_key(DAY, successor, 1): b"u-3"}
    assert runs.keys() == {document_key("r2", DAY), document_key(successor, DAY)}
    sizes = [len(current(world)[run_key(DAY, successor, bucket)]) for bucket in range(BUCKETS)]
    objects = [{"bucket": bucket, "rows": 1, "size": size} for bucket, size in enumerate(sizes)]
    assert (runs[document_key(successor, DAY)]["rows"], runs[document_key(successor, DAY)]["objects"]) == (2, objects)
    assert ledger.runs(OTHER_DAY) == frozenset()
    assert {date for run in world.computed for date in run} == {DAY, OTHER_DAY}
    visible = world.deployment.kpi_table.visible([DAY, OTHER_DAY])
    assert all(day.version > 1 for day in visible.values())
    assert visible[OTHER_DAY].made_of == {}, "nothing is left of the day"
    assert USER in ledger.purged_users()
    status = json.loads(world.run("status", "--json").out)
    assert (status["purges"], status["days_not_published"]) == ([], [])
    wait_for(lambda: pipe_state(world) == "RUNNING", "the pipe")


class TestRunsOfExecutionsThatFailed:
    """A redrive commits the run that the validation wrote, or the one in its place."""

    @pytest.mark.parametrize("is_committed", [False, True])
    def test_the_redrive_gets_a_run_without_the_person(self, world: World, is_committed: bool) -> None:
        put_run(world, DAY, "waiting", [USER, "u-2"], [USER])
        if is_committed:
            world.publish(DAY, "waiting")

        assert world.run("purge-user", USER, "--yes").exit_code == 0

        assert list(traces(world)) == []
        assert world.computed == ([[DAY]] if is_committed else [])
        world.deployment.ledger.commit_run(DAY, "waiting")
        (run,) = world.deployment.ledger.runs(DAY)
        assert run != "waiting"
        document = json.loads(current(world)[document_key(run, DAY)])
        (stored,) = RunOfDay.of_document(document).objects
        assert users_in(current(world)[stored.key]) == ["u-2"]

    def test_a_day_is_computed_whose_runs_were_merged_without_the_person(self, world: World) -> None:
        """A slow job has read the tombstone and merged the runs, and a faster one has published the day before that."""
        put_run(world, DAY, "one", [USER, "u-2"])
        put_run(world, DAY, "merged", ["u-2"])
        world.publish(DAY, "one")
        assert world.deployment.ledger.replace_runs(DAY, ["one"], "merged")

        assert world.run("purge-user", USER, "--yes").exit_code == 0

        assert list(traces(world)) == []
        assert world.computed == [[DAY]]
        assert world.deployment.ledger.runs(DAY) == {"merged"}

    def test_of_a_run_with_plays_of_the_person_alone_nothing_is_committed(self, world: World) -> None:
        put_run(world, DAY, "waiting", [USER])

        assert world.run("purge-user", USER, "--yes").exit_code == 0

        assert current(world) == {}
        world.deployment.ledger.commit_run(DAY, "waiting")
        assert world.deployment.ledger.runs(DAY) == frozenset()


class TestNoTrace:
    """What is removed, and what stays."""

    def test_everything_of_the_person_goes_and_nothing_else(self, filled: World) -> None:
        ended = filled.run("purge-user", f" {USER}", "--yes")

        assert ended.exit_code == 0, ended.err
        assert USER not in ended.out + ended.err
        assert_purged(filled)
        assert "error/raw/streams/e.csv/v1" in ended.out, "what cannot be read row by row is deleted and told"
        head = filled.deployment.s3.head_object(Bucket=filled.deployment.bucket, Key="archive/raw/streams/a.csv/v1")
        assert (head["Metadata"], head["ContentType"]) == ({}, "application/octet-stream")
        assert head["ContentDisposition"] == "attachment", "what a producer sent is never opened as a page"
        markers = filled.deployment.s3.list_object_versions(Bucket=filled.deployment.bucket).get("DeleteMarkers", [])
        assert markers == []

    def test_as_json_it_tells_the_same(self, filled: World) -> None:
        ended = filled.run("purge-user", USER, "--yes", "--json")

        assert ended.exit_code == 0, ended.err
        found = json.loads(ended.out)
        assert found["rows"]["archive/"] == found["versions"]["archive/"] == 3
        assert found["unreadable"] == ["error/raw/streams/e.csv/v1"]
        assert [(day["date"], day["version"], day["plays"]) for day in found["days"]] == [
            (DAY, 3, 7),
            (OTHER_DAY, 2, 0),
        ]
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


class TestOddObjects:
    """Whatever a producer sends, or somebody leaves, the rest is purged and nothing goes unsaid."""

    @pytest.fixture
    def odd(self, filled: World) -> dict[str, str]:
        """Objects that cannot be worked on, to their versions; each is beside the same that can."""
        row = json.dumps({"fields": {"user_id": USER}}).encode()
        return {
            "raw/streams/cold.csv": filled.put("raw/streams/cold.csv", FILE, StorageClass="GLACIER"),
            "archive/raw/streams/cold.csv/v1": filled.put(
                "archive/raw/streams/cold.csv/v1", FILE, StorageClass="DEEP_ARCHIVE"
            ),
            "processing/x/verdict.json": filled.put("processing/x/verdict.json", b'{"' + USER.encode() + b'": '),
            "quality/quarantine/streams/run=r/file=0b/p.json": filled.put(
                "quality/quarantine/streams/run=r/file=0b/p.json", row.replace(b": {", b": [").replace(b"}}", b"]}")
            ),
            "quality/quarantine/streams/run=r/file=0c/p.json": filled.put(
                "quality/quarantine/streams/run=r/file=0c/p.json", row
            ),
            "reference/users/s/part-1.parquet": filled.put("reference/users/s/part-1.parquet", b"PAR1 " * 9),
            run_key("2024-06-27", "elsewhere"): filled.put(run_key("2024-06-27", "elsewhere"), b"no parquet"),
        }

    def test_the_rest_is_purged_and_each_of_them_is_named_until_it_is_done(
        self, filled: World, odd: dict[str, str]
    ) -> None:
        waiting = filled.put("raw/streams/waiting.csv", FILE)

        ended = filled.run("purge-user", USER, "--yes")

        assert ended.exit_code == 1
        assert f"{len(odd)} object versions could not be purged" in ended.err
        for key, version in odd.items():
            assert f"  {key}#{version}: " in ended.out
        assert "it is archived: restore it" in ended.out
        assert list(traces(filled, but=odd)) == []
        assert ("raw/streams/waiting.csv", waiting) not in filled.contents("raw/", but=odd)
        wait_for(lambda: pipe_state(filled) == "RUNNING", "the pipe")
        assert {date for run in filled.computed for date in run} == {DAY, OTHER_DAY}
        assert filled.run("recompute", "--from", DAY, "--to", DAY).exit_code == 0, "nothing else is refused"
        assert "some objects, and are to be repeated (1):" in filled.run("status").out
        assert json.loads(filled.run("status", "--json").out)["incomplete_purges"][0]["objects"] == len(odd)

        for key, version in odd.items():
            filled.deployment.s3.delete_object(Bucket=filled.deployment.bucket, Key=key, VersionId=version)
        assert filled.run("purge-user", USER, "--yes").exit_code == 0
        assert list(traces(filled)) == []
        status = json.loads(filled.run("status", "--json").out)
        assert (status["purges"], status["incomplete_purges"]) == ([], [])

    def test_json_names_them_too(self, filled: World, odd: dict[str, str]) -> None:
        ended = filled.run("purge-user", USER, "--yes", "--json")

        assert ended.exit_code == 1
        failed = json.loads(ended.out)["failed"]
        assert {one["key"]: one["version_id"] for one in failed} == odd
        assert USER not in str([one["reason"] for one in failed]) + ended.err

    def test_broken_gzip_that_does_not_hold_the_id_as_far_as_it_goes_is_told(self, filled: World) -> None:
        filled.put("error/raw/streams/g.csv/v1", gzip.compress(CLEANED.replace(USER.encode(), b"u-5"))[:-9])

        ended = filled.run("purge-user", USER, "--yes")

        assert ended.exit_code == 0
        assert "Broken gzip: what could be unpacked does not hold the id, the rest nobody can read (1):" in ended.out
        assert "  error/raw/streams/g.csv/v1\n" in ended.out

    def test_an_object_that_goes_meanwhile_is_none_that_failed(
        self, filled: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call = BaseClient._make_api_call  # type: ignore[attr-defined]

        def expiring(self: BaseClient, operation: str, arguments: dict[str, Any]) -> object:
            if operation == "GetObject" and arguments["Key"] == "archive/raw/streams/b.csv/v1":
                call(self, "DeleteObject", arguments)
            return call(self, operation, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", expiring)

        assert filled.run("purge-user", USER, "--yes").exit_code == 0
        assert list(traces(filled)) == []

    @pytest.mark.parametrize("metadata", ["replaces-version", "replaces-upload-of", "rewrite-token"])
    def test_metadata_of_a_producer_say_nothing(self, world: World, metadata: str) -> None:
        key = "raw/streams/a.csv"
        first = world.put(key, FILE)
        world.put(key, HEADER, Metadata={metadata: first})

        ended = world.run("purge-user", USER, "--yes")

        assert ended.exit_code == 0, ended.err
        assert sorted(world.contents("raw/").values()) == sorted([CLEANED, HEADER])
        assert world.item(file_key(key, first))["replaced_by"] != "nothing"
        wait_for(lambda: pipe_state(world) == "RUNNING", "the pipe")

    def test_whatever_ends_it_early_the_operator_is_told_that_the_pipe_rests(
        self, filled: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def defect(_: PendingFiles) -> None:
            raise AssertionError("a defect")

        monkeypatch.setattr(PendingFiles, "oldest_first", defect)

        with pytest.raises(AssertionError, match="a defect"):
            purge_user(filled.deployment, USER, minutes=1, tell=lambda sentence: print(sentence))

        told = filled.capture.readouterr().out
        assert f"the pipe {PIPE} stays paused, and uploads wait in its queue" in told
        assert "repeat the command with the same id" in told


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
        claimed = filled.deployment.ledger.claim_day(DAY)

        assert filled.run("purge-user", USER, "--yes").exit_code == 0

        assert filled.computed[-1] == [DAY]
        assert filled.deployment.kpi_table.visible([DAY])[DAY].version > claimed

    def test_a_failed_computation_leaves_the_pipe_paused_until_it_is_repeated(self, filled: World) -> None:
        outcomes = filled.server.glue.outcomes
        outcomes[COMPUTE_JOB] = lambda arguments: "FAILED"
        failed = filled.run("purge-user", USER, "--yes")
        assert (failed.exit_code, "ended as FAILED" in failed.err) == (1, True)
        assert pipe_state(filled) == "STOPPED"

        outcomes[COMPUTE_JOB] = filled.compute
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
            assert item["uploaded_at"], "the index by status needs it"
            assert (key, item["replaced_by"]) in contents
        assert (key, versions[2]) in contents, "a file without the person keeps its version"

    def test_the_status_of_a_file_in_a_failed_execution_stays(self, world: World) -> None:
        version = world.put("raw/streams/a.csv", FILE)
        world.receive("raw/streams/a.csv", version)

        world.run("purge-user", USER, "--yes")

        item = world.item(file_key("raw/streams/a.csv", version))
        assert (item["status"], item["execution"], item["uploaded_at"]) == ("RECEIVED", "arn:e", UPLOADED_AT)

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

    def test_interrupted_after_any_call_each_snapshot_is_there_once_and_in_its_order(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        columns = b"user_id,user_name,user_age,user_country,created_at\n"
        older = columns + USER.encode() + b",N,1,Peru,2024-01-01\nu-2,M,1,Peru,2024-01-01\n"
        younger, youngest = columns + b"u-2,M,1,Chad,2024-01-01\n", columns + b"u-2,M,1,Mali,2024-01-01\n"
        for key, content in (("raw/users/z.csv", older), ("raw/users/a.csv", younger), ("raw/users/z.csv", youngest)):
            world.put(key, content)
            wait_for(partial(self.is_later, world, key), "the next second")
        endings: list[int] = []
        while 0 not in endings:
            with monkeypatch.context() as patch:
                # Each try makes one call that changes something more than the one before, so that each ends elsewhere.
                patch.setattr(BaseClient, "_make_api_call", interrupted_after(len(endings)))
                endings.append(world.run("purge-user", USER, "--yes").exit_code)
            assert len(endings) < 40

        assert endings == [130] * (len(endings) - 1) + [0]
        cleaned = columns + b"u-2,M,1,Peru,2024-01-01\n"
        assert self.pending(world) == [
            ("raw/users/z.csv", cleaned),
            ("raw/users/a.csv", younger),
            ("raw/users/z.csv", youngest),
        ]
        items = world.deployment.ledger_table.scan()["Items"]
        left = [item for item in items if str(item[names.LEDGER_PARTITION_KEY]).startswith("REWRITE#")]
        assert len(left) <= 3, "one for each version of which the deletion was the last call before an interruption"
        assert not any("age" in item for item in left)

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
