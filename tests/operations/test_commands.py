"""Every command but purge-user: what it does, what it tells, and that it can be repeated."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from moto.core.responses import ActionResult
from moto.glue.responses import GlueResponse

from glue_scripts import names
from glue_scripts.ledger import Day, FileStatus, Snapshot, file_key
from glue_scripts.objects import target_key
from operations import kpis, status
from operations.deployment import PREFIX
from operations.executions import FAIL_STATES, unfinished_job_runs
from operations.journal import Journal
from stacks import settings
from stacks.constructs.state_machine import DEFINITIONS
from tests import oracle
from tests.day_kpis import days_of
from tests.local.workflow_server import REGION, wait_for
from tests.operations.conftest import BUCKET, COMPUTE_JOB, DAY, World, day_kpis

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

NOW = datetime(2025, 1, 1, tzinfo=UTC)
KEY = "raw/streams/a b.csv"


def test_names_begin_as_those_of_the_stacks() -> None:
    assert PREFIX == settings.PREFIX


def test_an_unknown_environment_is_told_in_one_sentence(world: World) -> None:
    ended = world.run("status", environment="prd")

    assert (ended.exit_code, ended.out) == (2, "")
    assert "no environment 'prd' in account 123456789012" in ended.err


@pytest.mark.parametrize(
    ("variables", "exit_code"),
    [
        ({"AWS_REGION": REGION}, 0),
        ({"AWS_DEFAULT_REGION": REGION}, 0),
        ({"AWS_REGION": REGION, "AWS_DEFAULT_REGION": "eu-west-1"}, 0),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": REGION}, 0),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": REGION}, 2),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, 2),
        ({}, 2),
    ],
)
def test_the_region_is_the_one_that_either_variable_names(
    world: World, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], exit_code: int
) -> None:
    monkeypatch.delenv("AWS_REGION")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    ended = world.run("status")

    assert ended.exit_code == exit_code, ended.err
    if not any(variables.values()):
        assert (ended.out, ended.err) == (
            "",
            "No region is set: set AWS_REGION to the region where the pipeline is deployed.\n",
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command"),
        (["kpis", "--day", "yesterday"], "yesterday"),
        (["replay"], "give KEYs, --error, --forgotten, --dead-letters or --clean"),
        (["replay", "--error", "--dead-letters"], "give KEYs, --error, --forgotten, --dead-letters or --clean"),
        (["replay", "raw/streams/a.csv", "--forgotten"], "give KEYs, --error, --forgotten, --dead-letters or --clean"),
        (["recompute", "--from", "2024-01-01", "--to", "2024-01-31"], "no plays from 2024-01-01 to 2024-01-31"),
        (["kpis", "--day", "2024-01-01"], "No file has ever had plays of 2024-01-01"),
        (["redrive", "nobody"], "There is no execution"),
        (["replay", "raw/streams/none.csv"], "Nothing of raw/streams/none.csv is in error/"),
        (["purge-user", " ", "--yes"], "the user id is empty"),
        (["recompute"], "give --from and --to, or --outdated"),
        (["recompute", "--from", "2024-01-01"], "give --from and --to, or --outdated"),
        (["recompute", "--outdated", "--to", "2024-01-01"], "give --from and --to, or --outdated"),
    ],
)
def test_wrong_usage_is_told_in_one_sentence(world: World, arguments: list[str], message: str) -> None:
    ended = world.run(*arguments)

    assert ended.exit_code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_the_fail_states_are_those_of_the_definition() -> None:
    """A redrive of an execution that ended in one enters it again: the command has to know all of them."""

    def errors(machine: dict[str, Any]) -> Iterator[str]:
        for state in machine["States"].values():
            if state["Type"] == "Fail":
                yield state["Error"]
            yield from errors(state.get("ItemProcessor", {"States": {}}))

    definition = json.loads((DEFINITIONS / "pipeline.asl.json").read_text(encoding="utf-8"))
    assert set(FAIL_STATES) == set(errors(definition))


class TestStatus:
    """`status`."""

    def test_it_tells_what_is_under_way_and_what_needs_attention(self, world: World) -> None:
        ledger = world.deployment.ledger
        for number, file_status in enumerate((FileStatus.ACCEPTED, FileStatus.REJECTED)):
            world.receive(f"raw/streams/{number}.csv", "v")
            ledger.advance_file(f"raw/streams/{number}.csv", "v", file_status, {})
        world.kpis["2024-06-24"] = day_kpis("2024-06-24", "pop", unknown_plays=2)
        for date in ("2024-06-24", "2024-06-25", "2024-06-27"):
            world.publish(date, "run")
        world.deploy(top_songs="4")
        world.publish("2024-06-25")
        for date in ("2024-06-26", "2024-06-27"):
            ledger.claim_day(date)
        world.deployment.pipes.stop_pipe(Name="music-kpi-dev-uploads")
        wait_for(
            lambda: world.deployment.pipes.describe_pipe(Name="music-kpi-dev-uploads")["CurrentState"] == "STOPPED",
            "the pause",
        )
        world.deployment.sqs.send_message(QueueUrl=world.deployment.upload_queue_url, MessageBody="{}")
        world.deployment.sqs.send_message(QueueUrl=world.deployment.dead_letter_queue_url, MessageBody="{}")

        found = json.loads(world.run("status", "--json").out)

        assert found["unfinished_files"] == {"RECEIVED": [], "ACCEPTED": ["raw/streams/0.csv#v"], "LOADED": []}
        assert [file["key"] for file in found["rejected_files"]] == ["raw/streams/1.csv"], "however long ago"
        assert found["days"] == 4
        assert found["days_not_published"] == ["2024-06-26", "2024-06-27"]
        assert found["outdated_days"] == {"2024-06-24": ["top_songs"], "2024-06-27": ["top_songs"]}
        assert found["days_with_unknown_tracks"] == {"2024-06-24": 2}
        assert (found["pipe"], found["queued"], found["dead_letters"]) == ("STOPPED", 1, 1)
        told = world.run("status")
        assert told.exit_code == 0
        for word in ("2024-06-26", "replay --dead-letters", "raw/streams/0.csv#v", "STOPPED"):
            assert word in told.out
        assert "recompute --outdated computes them:" in told.out
        assert "2024-06-24 (top_songs)" in told.out

    def test_final_files_are_counted_that_were_uploaded_in_the_last_seven_days(self, world: World) -> None:
        now = datetime.now(UTC)
        for age in (timedelta(0), timedelta(days=6, hours=23), timedelta(days=7, hours=1), timedelta(days=900)):
            for file_status in FileStatus:
                self.put_file(world, file_status, now - age)

        found = json.loads(world.run("status", "--json").out)

        assert found["final_files"] == {"SKIPPED": 2, "REJECTED": 2, "ARCHIVED": 2, "REPLACED": 2}
        since = datetime.fromisoformat(found["final_files_since"])
        assert now - timedelta(days=7, seconds=1) <= since <= datetime.now(UTC) - timedelta(days=7)
        assert {name: len(files) for name, files in found["unfinished_files"].items()} == {
            "RECEIVED": 4,
            "ACCEPTED": 4,
            "LOADED": 4,
        }
        table = re.findall(r"│ ([A-Z]+) +│ (\d+) +│ ([^│]*?) +│", world.run("status").out)
        assert table == [
            *((name, "4", "all") for name in ("RECEIVED", "ACCEPTED", "LOADED")),
            *((name, "2", "uploaded in the last 7 days") for name in ("SKIPPED", "REJECTED", "ARCHIVED", "REPLACED")),
        ]

    def test_it_reads_no_final_file_of_long_ago_but_the_latest_rejected_ones(self, world: World) -> None:
        read: list[int] = []
        events = world.deployment.ledger_table.meta.client.meta.events
        events.register("after-call.dynamodb.Query", lambda parsed, **_: read.append(parsed["ScannedCount"]))
        status.status(world.deployment, older_than=60)
        before = sum(read)
        for _ in range(20):
            for file_status in (FileStatus.SKIPPED, FileStatus.ARCHIVED, FileStatus.REPLACED):
                self.put_file(world, file_status, datetime(2024, 6, 25, tzinfo=UTC))
        self.put_file(world, FileStatus.REJECTED, datetime(2024, 6, 25, tzinfo=UTC))
        read.clear()

        assert len(status.status(world.deployment, older_than=60).rejected_files) == 1

        assert sum(read) == before + 1

    def put_file(self, world: World, file_status: FileStatus, uploaded_at: datetime) -> None:
        """Writes the item of a file of its own."""
        item = {
            **file_key(f"raw/streams/{uuid4()}.csv", "v"),
            "status": file_status,
            "uploaded_at": uploaded_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "execution": "arn:e",
        }
        world.deployment.ledger_table.put_item(Item=item)

    def test_job_runs_are_listed_until_one_was_started_too_long_ago_to_be_under_way(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The list of AWS: the newest run first, in pages."""
        asked: list[int] = []
        ages = [0, 1, 6, 9, 30, 60]

        def get_job_runs(response: GlueResponse) -> ActionResult:
            page = int(json.loads(response.body).get("NextToken", 0))
            asked.append(page)
            started_on = datetime.now(UTC) - timedelta(days=ages[page])
            state = "RUNNING" if page in (0, 2) else "SUCCEEDED"
            runs = [{"Id": f"jr_{page}", "JobRunState": state, "StartedOn": started_on}]
            more = {"NextToken": str(page + 1)} if page + 1 < len(ages) else {}
            return ActionResult({"JobRuns": runs, **more})

        monkeypatch.setattr(GlueResponse, "get_job_runs", get_job_runs)

        runs = unfinished_job_runs(world.deployment)

        jobs = ("music-kpi-dev-validate-batch", COMPUTE_JOB)
        assert runs == [f"{job}: jr_{page}" for job in jobs for page in (0, 2)]
        assert asked == [0, 1, 2, 3] * 2

    def test_it_notes_what_is_published_where_a_job_died_before_it_did(self, world: World) -> None:
        ledger = world.deployment.ledger
        version = world.publish(DAY, "run")
        hint = {names.LEDGER_PARTITION_KEY: "DAYS", names.LEDGER_SORT_KEY: DAY}
        world.deployment.ledger_table.update_item(Key=hint, UpdateExpression="REMOVE published")
        world.publish("2024-06-26", "run")
        claimed = ledger.claim_day("2024-06-26")

        assert json.loads(world.run("status", "--json").out)["days_not_published"] == ["2024-06-26"]

        assert ledger.days() == [Day(DAY, version, version), Day("2024-06-26", claimed, claimed - 1)]


class TestOutdatedDays:
    """Days that would be computed with something newer: `status` lists them, `recompute --outdated` computes them."""

    def outdated(self, world: World) -> dict[str, list[str]]:
        found: dict[str, list[str]] = json.loads(world.run("status", "--json").out)["outdated_days"]
        return found

    def make_current(self, world: World, dataset: str, version_id: str) -> None:
        snapshot = Snapshot(dataset, f"s3://{version_id}/", "k", version_id, "2024-06-25T00:00:00Z", 1)
        assert world.deployment.ledger.make_current(snapshot)

    @pytest.mark.parametrize("dataset", ["songs", "users"])
    def test_a_newer_snapshot_makes_days_outdated(self, world: World, dataset: str) -> None:
        world.publish(DAY, "run")
        assert self.outdated(world) == {}
        self.make_current(world, dataset, "v1")
        assert self.outdated(world) == {DAY: [dataset]}
        world.publish(DAY)
        assert self.outdated(world) == {}
        self.make_current(world, dataset, "v2")
        assert self.outdated(world) == {DAY: [dataset]}

    def test_a_snapshot_that_a_purge_has_written_again_makes_none_outdated(self, world: World) -> None:
        self.make_current(world, "users", "v1")
        world.publish(DAY, "run")
        pointer = {names.LEDGER_PARTITION_KEY: "SNAPSHOTS", names.LEDGER_SORT_KEY: "users"}
        world.deployment.ledger_table.update_item(
            Key=pointer, UpdateExpression="SET uri = :uri", ExpressionAttributeValues={":uri": "s3://without-them/"}
        )

        assert self.outdated(world) == {}

    @pytest.mark.parametrize("argument", ["kpi_code", "top_songs", "top_genres"])
    def test_newer_code_and_other_settings_make_days_outdated(self, world: World, argument: str) -> None:
        world.publish(DAY, "run")
        world.deploy(**{argument: "9"})

        assert self.outdated(world) == {DAY: [argument]}

        world.publish(DAY)
        assert self.outdated(world) == {}

    def test_a_day_without_plays_is_never_outdated(self, world: World) -> None:
        world.publish(DAY)
        world.deploy(kpi_code="newer")

        assert self.outdated(world) == {}

    def test_exactly_the_outdated_days_are_computed(self, world: World) -> None:
        for date in ("2024-06-24", "2024-06-25", "2024-06-26"):
            world.publish(date, "run")
        world.deploy(kpi_code="newer")
        world.publish("2024-06-25")

        told = world.run("recompute", "--outdated", "--json")
        again = world.run("recompute", "--outdated")

        assert world.computed == [["2024-06-24", "2024-06-26"]]
        assert [day["date"] for day in json.loads(told.out)] == ["2024-06-24", "2024-06-26"]
        assert self.outdated(world) == {}
        assert (again.exit_code, again.out) == (0, "No day is outdated: there is nothing to compute.\n")
        assert json.loads(world.run("recompute", "--outdated", "--json").out) == []


class TestRedrive:
    """`redrive`."""

    def fail(self, world: World, name: str, definition: dict[str, Any]) -> str:
        client = world.deployment.step_functions
        client.update_state_machine(
            stateMachineArn=world.deployment.state_machine_arn,
            definition=json.dumps({"QueryLanguage": "JSONata", **definition}),
        )
        arn = client.start_execution(stateMachineArn=world.deployment.state_machine_arn, name=name)["executionArn"]
        assert world.server.ended(arn)["status"] == "FAILED"
        return arn

    def test_a_failed_execution_goes_on_once_its_cause_is_gone(self, world: World) -> None:
        read = {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
            "Arguments": {"Bucket": BUCKET, "Key": "missing"},
            "End": True,
        }
        arn = self.fail(world, "first", {"StartAt": "Read", "States": {"Read": read}})
        assert "first FAILED" in world.run("status").out
        refused = world.run("redrive")
        assert (refused.exit_code, "--yes" in refused.err) == (4, True)
        world.put("missing", b"here")

        assert world.run("redrive", "--yes").exit_code == 0

        assert world.server.ended(arn)["status"] == "SUCCEEDED"
        again = world.run("redrive", "--yes")
        assert (again.exit_code, "nothing to redrive" in again.out) == (0, True)
        named = world.run("redrive", "first")
        assert (named.exit_code, "is SUCCEEDED" in named.err) == (2, True)

    def test_one_that_ended_in_a_fail_state_is_left_alone(self, world: World) -> None:
        end = {"Type": "Fail", "Error": "VerdictNotUnderstood", "Cause": "x"}
        self.fail(world, "second", {"StartAt": "No", "States": {"No": end}})

        named = world.run("redrive", "second")

        assert named.exit_code == 1
        assert "second cannot be redriven: it ended in the Fail state VerdictNotUnderstood" in named.out


class TestReplay:
    """`replay`."""

    def reject(
        self, world: World, key: str = KEY, *, version_id: str = "v1", copy: bool = True, content: bytes = b"content"
    ) -> str:
        """Leaves what the pipeline leaves of a rejected file; returns its key in error/."""
        error_key = target_key(names.ERROR_PREFIX, key, version_id)
        if copy:
            world.put(error_key, content, Metadata={"sender": "x"})
        report = {"format": names.REPORT_FORMAT, "key": key, "version_id": version_id}
        world.put(error_key + ".report.json", json.dumps(report).encode())
        world.receive(key, version_id)
        world.deployment.ledger.advance_file(key, version_id, FileStatus.REJECTED, {})
        return error_key

    def test_a_file_goes_back_once_and_leaves_error_when_it_is_loaded(self, world: World) -> None:
        error_key = self.reject(world)
        assert world.run("replay", KEY).exit_code == 0
        ((_, version_id), content), *others = world.contents("raw/").items()
        assert (content, others) == (b"content", [])
        assert world.item(file_key(KEY, "v1"))["replayed_as"] == version_id

        assert f"is under way as version {version_id}" in world.run("replay", error_key).out
        assert len(world.contents("raw/")) == 1
        assert len(world.contents("error/")) == 2

        world.receive(KEY, version_id)
        world.deployment.ledger.advance_file(KEY, version_id, FileStatus.ACCEPTED, {})
        world.run("replay", "--clean")
        assert len(world.contents("error/")) == 2, "an accepted file can still fail to be loaded"
        world.deployment.ledger.advance_file(KEY, version_id, FileStatus.LOADED, {})
        assert error_key in world.run("replay", "--clean").out
        assert world.contents("error/") == {}
        assert world.run("replay", "--clean").out == ""

    def test_a_file_that_is_rejected_again_can_be_replayed_again(self, world: World) -> None:
        self.reject(world)
        world.run("replay", KEY)
        first = world.item(file_key(KEY, "v1"))["replayed_as"]
        world.receive(KEY, first)
        world.deployment.ledger.advance_file(KEY, first, FileStatus.REJECTED, {})

        assert "is back as version" in world.run("replay", KEY).out

        assert world.item(file_key(KEY, "v1"))["replayed_as"] != first
        assert len(world.contents("error/")) == 2

    def test_a_replayed_file_that_a_purge_replaced_leaves_error_when_its_successor_is_loaded(
        self, world: World
    ) -> None:
        user = "listener-of-no-trace"
        header, others = b"user_id,track_id,listen_time\n", b"u2,t1,2024-06-25 10:00:00\n"
        self.reject(world, content=header + others + user.encode() + b",t1,2024-06-25 11:00:00\n")
        world.run("replay", KEY)

        assert world.run("purge-user", user, "--yes").exit_code == 0

        ((_, successor), content), *rest = world.contents("raw/").items()
        assert (content, rest) == (header + others, [])
        assert f"is under way as version {successor}" in world.run("replay", KEY).out
        assert len(world.contents("error/")) == 2
        world.receive(KEY, successor)
        world.deployment.ledger.advance_file(KEY, successor, FileStatus.ACCEPTED, {})
        world.deployment.ledger.advance_file(KEY, successor, FileStatus.LOADED, {})
        world.run("replay", "--clean")
        assert world.contents("error/") == {}

    def test_everything_under_a_prefix_goes_back(self, world: World) -> None:
        self.reject(world, "raw/streams/2024/a.csv")
        self.reject(world, "raw/streams/2024/b.csv")
        self.reject(world, "raw/streams/2023/c.csv")
        self.reject(world, "raw/streams/2024/gone.csv", copy=False)

        refused = world.run("replay", "--error", "raw/streams/2024/")
        told = world.run("replay", "--error", "raw/streams/2024/", "--yes")

        assert (refused.exit_code, "Replay 3 files?" in refused.err) == (4, True)
        assert {key for key, _ in world.contents("raw/")} == {"raw/streams/2024/a.csv", "raw/streams/2024/b.csv"}
        assert "raw/streams/2024/gone.csv (version v1) has no copy" in told.out
        assert "S3 did not hand it out: its report says why; upload it again" in " ".join(told.out.split())

    def test_a_file_whose_key_names_no_dataset_is_not_offered_the_same_key(self, world: World) -> None:
        keys = ["raw/plays it's.csv", "raw/unknown/a.csv"]
        error_keys = [self.reject(world, key) for key in keys]
        self.reject(world, KEY)

        named = world.run("replay", keys[0], KEY)
        everything = world.run("replay", "--error", "raw/unknown/", "--yes")

        assert (named.exit_code, everything.exit_code) == (1, 0)
        assert f"{KEY} (version v1) is back as version" in named.out, "one file does not stop another"
        told = "is not under raw/users/ or raw/songs/ or raw/streams/ and would be rejected again"
        assert told in named.out
        assert told in everything.out
        (command,) = re.findall(r"for example (aws s3 cp .*)$", named.out, re.MULTILINE)
        assert shlex.split(command)[3] == f"s3://{BUCKET}/{error_keys[0]}"
        assert {key for key, _ in world.contents("raw/")} == {KEY}

    def test_a_file_goes_back_as_data_whatever_it_was_sent_as(self, world: World) -> None:
        error_key = self.reject(world, copy=False)
        world.put(error_key, b"<script>", ContentType="text/html", Metadata={"a": "b"}, Tagging="c=d")

        world.run("replay", KEY)

        found = world.deployment.s3.get_object(Bucket=BUCKET, Key=KEY)
        assert (found["ContentType"], found["ContentDisposition"]) == ("application/octet-stream", "attachment")
        assert found["Metadata"] == {}
        assert world.deployment.s3.get_object_tagging(Bucket=BUCKET, Key=KEY)["TagSet"] == []

    def test_a_report_that_is_not_understood_stops_no_other_file(self, world: World) -> None:
        odd = [self.reject(world, f"raw/streams/{name}.csv") for name in ("old", "broken")]
        world.put(odd[0] + ".report.json", b'{"format": "file-report/0"}')
        world.put(odd[1] + ".report.json", b"{")
        self.reject(world, KEY)

        told = world.run("replay", "--error", "--yes")
        named = world.run("replay", odd[0])

        assert (told.exit_code, named.exit_code) == (0, 1)
        assert {key for key, _ in world.contents("raw/")} == {KEY}
        for error_key in odd:
            assert f"{error_key} (version unknown) has no report of the format file-report/" in told.out

    def events(self, world: World) -> list[dict[str, Any]]:
        """The details of the events that the pipe has taken, each batch an execution."""
        client = world.deployment.step_functions
        listed = client.list_executions(stateMachineArn=world.deployment.state_machine_arn)["executions"]
        inputs = [client.describe_execution(executionArn=found["executionArn"])["input"] for found in listed]
        return [detail for batch in inputs for detail in json.loads(batch)]

    def test_files_that_the_ledger_does_not_know_are_started_as_they_are(self, world: World) -> None:
        s3 = world.deployment.s3
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
        world.deployment.s3.put_object(Bucket=BUCKET, Key="raw/streams/null.csv", Body=b"user_id,track_id,listen_time")
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        known = world.put("raw/streams/known.csv", b"user_id,track_id,listen_time")
        world.receive("raw/streams/known.csv", known)
        forgotten = world.put(KEY, b"user_id,track_id,listen_time")
        world.put("raw/streams/_SUCCESS", b"")
        young = world.run("replay", "--forgotten", "--yes")
        status = json.loads(world.run("status", "--json", "--older-than", "0").out)
        before = world.contents("raw/")

        refused = world.run("replay", "--forgotten", "--older-than", "0")
        told = world.run("replay", "--forgotten", "--older-than", "0", "--yes")

        assert (young.exit_code, "nothing to replay" in young.out) == (0, True)
        assert status["forgotten_files"] == [f"{KEY}#{forgotten}", "raw/streams/null.csv#null"]
        assert status["has_more_forgotten"] is False
        assert "Files in raw/ that the ledger does not know" in world.run("status", "--older-than", "0").out
        assert (refused.exit_code, "Send events for 2 files?" in refused.err) == (4, True)
        assert told.exit_code == 0
        assert f"{KEY} (version {forgotten}) was not known to the ledger: an event about it is sent" in told.out
        assert world.contents("raw/") == before
        wait_for(lambda: len(self.events(world)) == 2, "the executions")
        found = {event["object"]["version-id"]: event for event in self.events(world)}
        assert found.keys() == {forgotten, "null"}
        described = found[forgotten]["object"]
        assert (described["key"], described["size"], len(described["etag"])) == (KEY, 28, 32)
        assert found[forgotten]["bucket"] == {"name": BUCKET}

    def test_a_named_file_is_started_however_young_and_one_that_is_known_is_not(self, world: World) -> None:
        version = world.put(KEY, b"user_id,track_id,listen_time")
        world.put(KEY + ".other", b"user_id,track_id,listen_time")

        assert f"(version {version}) was not known to the ledger" in world.run("replay", KEY).out

        wait_for(lambda: len(self.events(world)) == 1, "the execution")
        world.receive(KEY, version)
        again = world.run("replay", KEY)
        assert (again.exit_code, f"Nothing of {KEY} is in error/" in again.err) == (2, True)

    def test_dead_letters_go_back_to_the_queue(self, world: World) -> None:
        for number in range(12):
            world.deployment.sqs.send_message(
                QueueUrl=world.deployment.dead_letter_queue_url, MessageBody=json.dumps({"detail": {"number": number}})
            )

        assert "12 dead letters are back" in world.run("replay", "--dead-letters").out

        assert "0 dead letters are back" in world.run("replay", "--dead-letters").out
        client = world.deployment.step_functions

        def delivered() -> set[int]:
            listed = client.list_executions(stateMachineArn=world.deployment.state_machine_arn)["executions"]
            inputs = [client.describe_execution(executionArn=found["executionArn"])["input"] for found in listed]
            return {detail["number"] for batch in inputs for detail in json.loads(batch)}

        wait_for(lambda: delivered() == set(range(12)), "the executions")


class TestRecompute:
    """`recompute`."""

    def test_exactly_the_days_with_plays_are_computed(self, world: World) -> None:
        for date in ("2024-06-23", "2024-06-24", "2024-06-25", "2024-06-26"):
            world.publish(date, "run")

        told = world.run("recompute", "--from", "2024-06-24", "--to", "2024-06-25", "--json")

        assert world.computed == [["2024-06-24", "2024-06-25"]]
        assert json.loads(told.out)[0] == {
            "date": "2024-06-24",
            "version": 2,
            "plays": 7,
            "unknown_plays": 0,
            "snapshots": {},
        }
        shown = world.run("recompute", "--from", "2024-06-24", "--to", "2024-06-25").out
        assert re.search(r"2024-06-25\W+3\W+7\W+0\W", shown), shown

    def test_a_failed_run_and_one_that_takes_longer_are_told(self, world: World) -> None:
        world.publish(DAY, "run")
        outcomes = world.server.glue.outcomes
        outcomes[COMPUTE_JOB] = lambda arguments: "FAILED"
        failed = world.run("recompute", "--from", DAY, "--to", DAY)
        outcomes[COMPUTE_JOB] = lambda arguments: "RUNNING"
        late = world.run("recompute", "--from", DAY, "--to", DAY, "--minutes", "0")

        assert (failed.exit_code, "ended as FAILED" in failed.err) == (1, True)
        assert (late.exit_code, "goes on by itself" in late.err) == (3, True)


class TestKpis:
    """`kpis`."""

    def test_a_day_is_shown_with_its_version(self, world: World) -> None:
        world.kpis[DAY] = day_kpis(DAY, "pop", "rock")
        world.publish(DAY, "run")

        everything = world.run("kpis", "--day", DAY, "--hours").out
        pop = json.loads(world.run("kpis", "--day", DAY, "--genre", "pop", "--hours", "--json").out)

        assert "published, version 1" in everything
        assert everything.index("SUMMARY") < everything.index("Genres") < everything.index("Hours")
        for word in ("3.50", "[red]Song", "rock", "0:01:01", "Peru 7"):
            assert word in everything
        assert [row["sk"] for row in (*pop["genres"], *pop["hours"])] == ["GENRE#pop", "HOUR#17#GENRE#pop"]
        assert (pop["summary"]["listens"], pop["claim"], pop["version"]) == (7, 1, 1)
        world.deployment.ledger.claim_day(DAY)
        later = world.run("kpis", "--day", DAY)
        assert "version 1 is visible, a later computation (2) is under way" in later.out
        assert world.run("kpis", "--day", DAY, "--genre", "jazz").exit_code == 2

    @pytest.mark.parametrize("arguments", [[], ["--genre", "pop"]])
    def test_a_day_that_is_computed_for_the_first_time_has_no_kpis_yet(
        self, world: World, arguments: list[str]
    ) -> None:
        world.deployment.ledger.claim_day(DAY)

        told = world.run("kpis", "--day", DAY, *arguments)

        assert (told.exit_code, told.out) == (
            0,
            f"{DAY}: the first computation is under way, no KPIs yet: see `status`\n",
        )

    def test_a_day_of_which_nothing_is_left_has_no_plays(self, world: World) -> None:
        world.publish(DAY, "run")
        world.deployment.ledger.replace_run(DAY, "run", None)
        world.publish(DAY)

        told = world.run("kpis", "--day", DAY, "--json")

        assert json.loads(told.out) == {
            "date": DAY,
            "claim": 2,
            "version": 2,
            "summary": None,
            "genres": [],
            "hours": [],
        }
        assert world.run("kpis", "--day", DAY).out == f"{DAY}: published, version 2\nNo plays.\n"
        computed = json.loads(world.run("recompute", "--from", DAY, "--to", DAY, "--json").out)
        assert [(day["version"], day["plays"]) for day in computed] == [(3, 0)]
        assert "Computed with" not in world.run("recompute", "--from", DAY, "--to", DAY).out

    def test_a_day_that_changes_while_it_is_read_is_shown_as_one_version_has_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is published twice after SUMMARY was read: then the rows of that version are gone."""
        world.kpis[DAY] = day_kpis(DAY, "pop", "rock")
        world.publish(DAY, "run")
        world.kpis[DAY] = day_kpis(DAY, "jazz")
        self.publish_after_each_summary(world, monkeypatch, changes=2)

        found = json.loads(world.run("kpis", "--day", DAY, "--hours", "--json").out)

        assert found["version"] == 5
        assert [(row["genre"], row["claim"]) for row in found["genres"]] == [("jazz", 5)]
        assert {row["claim"] for row in (found["summary"], *found["hours"])} == {5}

    def test_one_that_keeps_changing_is_told(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.publish(DAY, "run")
        self.publish_after_each_summary(world, monkeypatch, changes=99)

        told = world.run("kpis", "--day", DAY)

        assert (told.exit_code, told.out) == (1, "")
        assert f"{DAY} keeps being published" in told.err
        assert "Repeat the command" in told.err

    def publish_after_each_summary(self, world: World, monkeypatch: pytest.MonkeyPatch, *, changes: int) -> None:
        """After each of the first reads of a SUMMARY the day is published twice."""
        read = kpis.read_summary
        left = iter(range(changes))

        def read_summary(table: Table, date: str) -> dict[str, Any]:
            summary = read(table, date)
            if next(left, None) is not None:
                world.publish(date)
                world.publish(date)
            return summary

        monkeypatch.setattr(kpis, "read_summary", read_summary)


def test_the_flat_form_is_that_of_the_oracle() -> None:
    plays = oracle.parse_streams(
        b"user_id,track_id,listen_time\nu,t,2024-06-25 10:00:00\nu,t,2024-06-25 23:00:00\n", NOW
    )
    songs = oracle.parse_songs(
        b"track_id,track_name,artists,album_name,track_genre,duration_ms,popularity,explicit\nt,T,A,x,pop,1000,1,false\n"
    )
    expected = oracle.kpi_items(plays[0], songs[0], [], top_songs=3, top_genres=5)
    (day,) = days_of(expected).values()

    found = list(kpis.entries(day.summary, day.genres))

    assert sorted(found, key=lambda row: row["sk"]) == sorted(expected, key=lambda row: row["sk"])
    assert len(found) == 4


@pytest.mark.parametrize(
    "arguments", [["redrive"], ["replay", "--error"], ["recompute", "--from", DAY, "--to", DAY]], ids=lambda a: a[0]
)
def test_files_rest_while_a_purge_is_unfinished(world: World, arguments: list[str]) -> None:
    Journal(world.deployment.ledger_table).open("hash", resume_pipe=True)

    ended = world.run(*arguments)

    assert (ended.exit_code, "repeat its `purge-user` command first" in ended.err) == (4, True)
