"""The two state machines, run by the interpreter of the embedded AWS; Glue's jobs are scripted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.local.workflow_server import ACCOUNT, REGION, WorkflowServer, wait_for, workflow_server

STATE_MACHINES: Final = Path(__file__).parents[2] / "state_machines"
BUCKET: Final = "data"
TOPIC: Final = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"
SUBSTITUTIONS: Final = {
    "DataBucket": BUCKET,
    "LedgerTable": "ledger",
    "ValidateBatchJob": "validate",
    "ComputeKpisJob": "compute",
    "AlertTopicArn": TOPIC,
    "MaxBatchBytes": str(20 * 2**30),
    "Environment": "dev",
    "Runbook": "docs/runbook.md",
}
EMAIL: Final = {"subject": '[dev] 2 files "rejected" – é', "message": 'line "one"\nline \\two\n{% $no %}'}
NAMES: Final = ("plain.csv", "a b+c%20é'(1).csv", "x?versionId=y&z=[1]:{}.csv", 'quote".csv')


def definition(name: str) -> str:
    text = (STATE_MACHINES / f"{name}.asl.json").read_text(encoding="utf-8")
    for key, value in SUBSTITUTIONS.items():
        text = text.replace(f"${{{key}}}", value)
    assert "${" not in text
    return text


class Pipeline:
    """The pipeline's state machine with its surroundings.

    Args:
        server: Server that it runs on.
    """

    def __init__(self, server: WorkflowServer) -> None:
        self.server = server
        self.s3 = server.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.s3.put_object(Bucket=BUCKET, Key="quality/report.json", Body=b'{"a": 1}')
        self.dynamodb = server.client("dynamodb")
        self.dynamodb.create_table(
            TableName="ledger",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        sns = server.client("sns")
        sns.create_topic(Name="alerts")
        sns.subscribe(TopicArn=TOPIC, Protocol="email", Endpoint="team@example.org")
        self.arn = server.create_state_machine(definition("pipeline"))
        self.manifest: dict[str, Any] = {}
        self.rejected: set[str] = set()
        self.verdict_changes: dict[str, Any] = {}
        server.glue.outcomes = {"validate": self.validate, "compute": lambda _: "SUCCEEDED"}

    def upload(self, name: str) -> dict[str, Any]:
        """Put a file into raw/ and return the `detail` of its event."""
        key = f"raw/streams/{name}"
        answer = self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"user_id,track_id\n")
        described = {"key": key, "version-id": answer["VersionId"], "size": 17, "etag": answer["ETag"].strip('"')}
        return {"version": "0", "bucket": {"name": BUCKET}, "object": {**described, "sequencer": "1"}}

    def validate(self, arguments: dict[str, str]) -> str:
        """Judge the files of a manifest as the validation job would."""
        key = arguments["--manifest_uri"].removeprefix(f"s3://{BUCKET}/")
        self.manifest = json.loads(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        verdict: dict[str, Any] = {"format": "batch-verdict/2", "accepted": [], "rejected": [], "skipped": []}
        for number, file in enumerate(self.manifest["files"]):
            name = file["key"].removeprefix("raw/streams/")
            judged = {"file": number, "long_key": False}
            if "refused" in file:
                verdict["skipped"].append({"file": number, "reason": "gone"})
            elif name in self.rejected:
                more = {"copy": "staged", "report_key": "quality/report.json", "reasons": ["bad rows"]}
                verdict["rejected"].append({**judged, **more})
            else:
                verdict["accepted"].append(judged)
        for name, document in {"rejection_email": EMAIL, "verdict": {**verdict, **self.verdict_changes}}.items():
            body = json.dumps(document).encode()
            self.s3.put_object(Bucket=BUCKET, Key=key.replace("manifest.json", f"{name}.json"), Body=body)
        return "SUCCEEDED"

    def keys(self, prefix: str) -> list[str]:
        """List the objects under a prefix."""
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in listed]

    def versions(self) -> int:
        """Count the versions that are left in raw/."""
        listed = self.s3.list_object_versions(Bucket=BUCKET, Prefix="raw/")
        return len(listed.get("Versions", [])) + len(listed.get("DeleteMarkers", []))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def pipeline(server: WorkflowServer) -> Pipeline:
    return Pipeline(server)


@pytest.mark.parametrize("rejected", [0, 1, 2])
@pytest.mark.parametrize("accepted", [0, 1, 2])
def test_a_batch_ends_with_every_file_where_it_belongs(pipeline: Pipeline, rejected: int, accepted: int) -> None:
    names = NAMES[: rejected + accepted]
    pipeline.rejected = set(names[:rejected])
    events = [pipeline.upload(name) for name in names]
    ended = pipeline.server.run(pipeline.arn, events)
    assert ended["status"] == "SUCCEEDED"

    targets = [f"{event['object']['key']}/{event['object']['version-id']}" for event in events]
    bad, good = targets[:rejected], targets[rejected:]
    assert pipeline.keys("archive/") == sorted(f"archive/{target}" for target in good)
    wanted = [f"error/{target}{end}" for target in bad for end in ("", ".report.json")]
    assert pipeline.keys("error/") == sorted(wanted)
    assert pipeline.versions() == 0
    assert {file["archive_key"] for file in ended["output"]["accepted"]} == {f"archive/{target}" for target in good}
    assert {file["error_key"] for file in ended["output"]["rejected"]} == {f"error/{target}" for target in bad}
    assert all(file["reasons"] == ["bad rows"] for file in ended["output"]["rejected"])
    assert ended["output"]["skipped"] == []

    items = pipeline.dynamodb.scan(TableName="ledger")["Items"]
    ledger = {(item["pk"]["S"], item["sk"]["S"]): item for item in items}
    objects = [event["object"] for event in events[rejected:]]
    assert set(ledger) == {(f"FILE#{item['key']}", item["version-id"]) for item in objects}
    assert all(item["status"] == {"S": "ARCHIVED"} for item in ledger.values())

    emails = [{"subject": email["subject"], "message": email["message"]} for email in pipeline.server.emails()]
    assert emails == ([EMAIL] if rejected else [])
    jobs = [run["JobName"] for run in pipeline.server.glue.runs.values()]
    assert jobs == ["validate"] + (["compute"] if accepted else [])


def test_the_manifest_names_every_file_once_with_its_moment_and_its_copy(pipeline: Pipeline) -> None:
    event = pipeline.upload("a b+é.csv")
    ended = pipeline.server.run(pipeline.arn, [event, event])
    (file,) = pipeline.manifest["files"]
    assert pipeline.manifest["format"] == "batch-manifest/2"
    assert pipeline.manifest["execution_arn"] == ended["executionArn"]
    assert (file["key"], file["version_id"], file["size"]) == (
        "raw/streams/a b+é.csv",
        event["object"]["version-id"],
        17,
    )
    assert file["last_modified"].endswith("Z")
    (copy,) = {key for key in pipeline.keys(f"processing/{ended['name']}/") if not key.endswith(".json")}
    assert pipeline.s3.get_object(Bucket=BUCKET, Key=copy)["Body"].read() == b"user_id,track_id\n"


def test_a_version_that_is_gone_is_not_staged_and_not_a_failure(pipeline: Pipeline) -> None:
    gone, there = pipeline.upload("same.csv"), pipeline.upload("same.csv.gz")
    pipeline.s3.delete_object(Bucket=BUCKET, Key=gone["object"]["key"], VersionId=gone["object"]["version-id"])
    ended = pipeline.server.run(pipeline.arn, [gone, there])
    assert ended["status"] == "SUCCEEDED"
    assert [file["reason"] for file in ended["output"]["skipped"]] == ["gone"]
    assert len(ended["output"]["accepted"]) == 1
    assert [file.get("refused") for file in pipeline.manifest["files"]] == ["object_missing", None]


@pytest.mark.parametrize(("copy", "left"), [("none", 1), ("made", 0)])
def test_a_rejected_file_that_stage_has_not_copied_gets_its_report_and_is_deleted_only_if_the_job_has_copied_it(
    pipeline: Pipeline, copy: str, left: int
) -> None:
    event = pipeline.upload("large.csv")
    entry = {"file": 0, "long_key": False, "copy": copy, "report_key": "quality/report.json", "reasons": ["any"]}
    pipeline.verdict_changes = {"accepted": [], "rejected": [entry]}
    assert pipeline.server.run(pipeline.arn, [event])["status"] == "SUCCEEDED"
    target = f"error/{event['object']['key']}/{event['object']['version-id']}"
    assert pipeline.keys("error/") == [f"{target}.report.json"]
    assert pipeline.versions() == left


@pytest.mark.parametrize(
    "change",
    [
        {"accepted": []},
        {"accepted": {"file": 0}},
        {"accepted": None},
        {"format": "batch-verdict/1"},
        {"rejected": "none"},
    ],
    ids=["a file is missing", "an object for a list", "null for a list", "another format", "a text for a list"],
)
def test_a_verdict_that_does_not_judge_every_file_fails_the_execution(
    pipeline: Pipeline, change: dict[str, Any]
) -> None:
    pipeline.verdict_changes = change
    ended = pipeline.server.run(pipeline.arn, [pipeline.upload("f.csv")])
    assert (ended["status"], ended["error"]) == ("FAILED", "VerdictNotUnderstood")
    assert f"s3://{BUCKET}/processing/{ended['name']}/verdict.json" in ended["cause"]


def test_a_job_that_was_stopped_fails_the_execution(pipeline: Pipeline) -> None:
    pipeline.server.glue.outcomes["validate"] = lambda _: "STOPPED"
    ended = pipeline.server.run(pipeline.arn, [pipeline.upload("f.csv")])
    assert (ended["status"], ended["error"]) == ("FAILED", "JobDidNotSucceed")
    assert "STOPPED" in ended["cause"]


def test_a_failed_job_runs_twice_and_a_redrive_resumes_there(pipeline: Pipeline) -> None:
    outcomes = pipeline.server.glue.outcomes
    outcomes["compute"] = lambda _: "FAILED"
    arn = pipeline.server.start(pipeline.arn, [pipeline.upload("f.csv")])
    ended = pipeline.server.ended(arn)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    outcomes["compute"] = lambda _: "SUCCEEDED"
    pipeline.server.client("stepfunctions").redrive_execution(executionArn=arn)
    assert pipeline.server.ended(arn)["status"] == "SUCCEEDED"
    jobs = [run["JobName"] for run in pipeline.server.glue.runs.values()]
    assert jobs == ["validate", "compute", "compute", "compute"]
    assert pipeline.versions() == 0


@pytest.mark.parametrize(
    ("how", "status", "subject"),
    [
        ("fail", "FAILED", "[dev] Music KPI pipeline FAILED: somebody must look"),
        ("stop", "ABORTED", "[dev] Music KPI pipeline ABORTED: somebody must look"),
        ("time out", "TIMED_OUT", "[dev] Music KPI pipeline TIMED OUT: somebody must look"),
    ],
)
def test_an_execution_that_did_not_succeed_sends_an_email(
    pipeline: Pipeline, how: str, status: str, subject: str
) -> None:
    server = pipeline.server
    notifier = server.create_state_machine(definition("notify_failure"))
    machine = server.create_state_machine(
        json.dumps({**json.loads(definition("pipeline")), "TimeoutSeconds": 2 if how == "time out" else 60})
    )
    events = server.client("events")
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine], "status": ["FAILED", "TIMED_OUT", "ABORTED"]},
    }
    events.put_rule(Name="failures", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="failures", Targets=[{"Id": "notifier", "Arn": notifier}])
    server.glue.outcomes["validate"] = lambda _: "FAILED" if how == "fail" else "RUNNING"
    arn = server.start(machine, [pipeline.upload("f.csv")])
    if how == "stop":
        wait_for(lambda: server.glue.runs, "the run")
        server.client("stepfunctions").stop_execution(executionArn=arn)
    assert server.ended(arn)["status"] == status
    (email,) = wait_for(server.emails, "the e-mail")
    assert email["subject"] == subject
    assert email["to"] == "team@example.org"
    assert ("Error:     States.TaskFailed" if how == "fail" else "Error:     none given") in email["message"]
    assert f"aws stepfunctions redrive-execution --execution-arn {arn}" in email["message"]
