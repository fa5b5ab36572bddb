"""Operators with the policies of docs/operations.md can do their work, and cannot become a job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError

from glue_scripts import names
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Ledger, file_key
from glue_scripts.names import summary_key
from local_aws.iam import enforcement
from local_aws.server import ACCOUNT, REGION
from operations import cli
from tests.permissions.conftest import Stacks
from tests.permissions.removal import uploads_are_noticed
from tests.workflow.pipeline import Pipeline, wait_for

PAGE: Final = Path(__file__).parents[2] / "docs" / "operations.md"
PIPE: Final = "music-kpi-dev-uploads"
DAY: Final = "2024-06-25"
CODE: Final = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"


def documented() -> list[dict[str, Any]]:
    """The policies of the page, filled in: an operator's, and what one who purges needs in addition."""
    blocks = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    filled = [
        block.replace("<env>", "dev").replace("<account>", ACCOUNT).replace("<region>", REGION) for block in blocks
    ]
    policies = [json.loads(block) for block in filled]
    assert len(policies) == 2
    return policies


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    out: str
    err: str


@dataclass(frozen=True)
class Operator:
    """Somebody with some of the policies."""

    run: Callable[..., Ended]
    session: boto3.Session

    def client(self, service: str) -> Any:  # noqa: ANN401 - the service is a variable
        """A client with this operator's credentials."""
        make_client: Any = self.session.client
        return make_client(service)


@contextmanager
def operator_with(
    stacks: Stacks, policies: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    """An operator whose role has these policies; commands and clients use its credentials."""
    iam = stacks.client("iam")
    name = f"operator-{len(policies)}"
    trust = {"Effect": "Allow", "Principal": {"Service": "sso.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    for number, policy in enumerate(policies):
        iam.put_role_policy(RoleName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(policy))
    credentials = enforcement.assume(arn, service="sso.amazonaws.com", source_arn=arn, session="somebody")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
        patch.setenv("AWS_SESSION_TOKEN", credentials.session_token)
        patch.setenv("AWS_ENDPOINT_URL", stacks.environment["AWS_ENDPOINT_URL"])
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("COLUMNS", "200")

        def run(*arguments: str) -> Ended:
            capsys.readouterr()
            patch.setattr("sys.argv", ["operations", *arguments, "--env", "dev"])
            with pytest.raises(SystemExit) as end:
                cli.main()
            out, err = capsys.readouterr()
            return Ended(int(end.value.code or 0), out, err)

        yield Operator(run, boto3.Session())
    for number in range(len(policies)):
        iam.delete_role_policy(RoleName=name, PolicyName=f"p{number}")
    iam.delete_role(RoleName=name)


@pytest.fixture
def operator(stacks: Stacks, capsys: pytest.CaptureFixture[str]) -> Iterator[Operator]:
    """Somebody with the first policy."""
    with operator_with(stacks, documented()[:1], capsys) as operator:
        yield operator


@pytest.fixture
def purger(stacks: Stacks, capsys: pytest.CaptureFixture[str]) -> Iterator[Operator]:
    """Somebody with both policies."""
    with operator_with(stacks, documented(), capsys) as purger:
        yield purger


@pytest.fixture
def computed(pipeline: Pipeline) -> list[list[str]]:
    """The days of each run of the KPI job that a recomputation has started; the run keeps the books."""
    found: list[list[str]] = []
    ledger = Ledger(pipeline.ledger)
    of_a_batch = pipeline.jobs.compute

    def compute(arguments: dict[str, str]) -> str:
        key = arguments["--accepted_uri"].removeprefix(f"s3://{pipeline.bucket}/")
        if not key.startswith(names.RECOMPUTE_PREFIX):
            return of_a_batch(arguments)
        document = json.loads(pipeline.s3.get_object(Bucket=pipeline.bucket, Key=key)["Body"].read())
        found.append(document["recompute"])
        for date in document["recompute"]:
            publish(ledger, KpiTable(pipeline.kpis), date)
        return "SUCCEEDED"

    pipeline.glue.outcomes[pipeline.compute_job] = compute
    publish(ledger, KpiTable(pipeline.kpis), DAY)
    return found


def publish(ledger: Ledger, kpi_table: KpiTable, date: str) -> None:
    """What the KPI job does for a day without plays; the table may hold rows that no claim has made."""
    while (version := ledger.claim_day(date)) <= kpi_table.visible([date])[date].version:
        pass
    kpi_table.flip({**summary_key(date), "version": version})
    ledger.note_published(date, version)


def refused(call: Callable[..., object], **arguments: object) -> str:
    """The action of a call that IAM refuses."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    found = re.search(r"not authorized to perform: (\S+)", error.value.response["Error"]["Message"])
    assert found
    return found[1]


def test_each_command_but_a_purge_works_with_the_first_policy(
    stacks: Stacks, pipeline: Pipeline, operator: Operator, computed: list[list[str]]
) -> None:
    assert operator.run("status", "--older-than", "0").exit_code == 0

    recomputed = operator.run("recompute", "--from", DAY, "--to", DAY)
    assert (recomputed.exit_code, computed) == (0, [[DAY]]), recomputed.err
    shown = operator.run("kpis", "--day", DAY)
    assert shown.exit_code == 0, shown.err

    file = pipeline.upload("forgotten.csv")
    listed = operator.run("status", "--older-than", "0")
    assert f"{file.key}#{file.version_id}" in listed.out
    started = operator.run("replay", file.key)
    assert started.exit_code == 0, started.err
    wait_for(lambda: pipeline.status(file) == "ARCHIVED", "the end of the forgotten file")

    bad = pipeline.upload("bad.csv")
    pipeline.run([bad])
    report = {"format": names.REPORT_FORMAT, "key": bad.key, "version_id": bad.version_id}
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=f"{bad.error_key}.report.json", Body=json.dumps(report).encode())
    with uploads_are_noticed(stacks):
        replayed = operator.run("replay", bad.key)
        assert replayed.exit_code == 0, replayed.err
        wait_for(lambda: not pipeline.running() and pipeline.status(bad) == "REJECTED", "the second rejection")
    sqs = stacks.client("sqs")
    letter = json.dumps({"detail": pipeline.upload("letter.csv").event})
    sqs.send_message(QueueUrl=stacks.outputs["DeadLetterQueueUrl"], MessageBody=letter)
    withdrawn = operator.run("withdraw", file.key)
    assert (withdrawn.exit_code, "is withdrawn" in withdrawn.out) == (0, True), withdrawn.err
    assert operator.run("restore", file.key).exit_code == 0
    assert operator.run("files", file.key).exit_code == 0
    assert operator.run("collect", "--dry-run").exit_code == 0
    letters = operator.run("replay", "--dead-letters")
    assert (letters.exit_code, "1 dead letters are back" in letters.out) == (0, True), letters.err

    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "FAILED"
    failed = pipeline.run([pipeline.upload("good.csv")])
    pipeline.glue.outcomes[pipeline.validate_job] = pipeline.jobs.validate
    redriven = operator.run("redrive", failed["executionArn"])
    assert redriven.exit_code == 0, redriven.err
    assert pipeline.ended(failed["executionArn"])["status"] == "SUCCEEDED"


def test_a_purge_works_with_both(
    stacks: Stacks, pipeline: Pipeline, purger: Operator, computed: list[list[str]]
) -> None:
    user = "listener-of-no-trace"
    rows = b"user_id,track_id,listen_time\nu2,t,2024-06-25 10:00:00\n"
    with_user = rows + user.encode() + b",t,2024-06-25 10:00:00\n"
    waiting = pipeline.upload("waiting.csv", with_user)
    moved = f"{names.ARCHIVE_PREFIX}{pipeline.folder}old.csv/v"
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=moved, Body=with_user)

    purged = purger.run("purge-user", user, "--yes")

    assert purged.exit_code == 0, purged.err
    successor = pipeline.ledger.get_item(Key=file_key(waiting.key, waiting.version_id))["Item"]["replaced_by"]
    for key, version in ((waiting.key, {"VersionId": successor}), (moved, {})):
        found = pipeline.s3.get_object(Bucket=pipeline.bucket, Key=key, **version)
        assert found["Body"].read() == rows
        assert found["ContentDisposition"] == "attachment"
    pipes = stacks.client("pipes")
    wait_for(lambda: pipes.describe_pipe(Name=PIPE)["CurrentState"] == "RUNNING", "the pipe")


@pytest.mark.parametrize("who", ["operator", "purger"])
def test_neither_can_run_code_as_a_job(request: pytest.FixtureRequest, pipeline: Pipeline, who: str) -> None:
    somebody: Operator = request.getfixturevalue(who)
    glue, s3 = somebody.client("glue"), somebody.client("s3")
    script = {"--scriptLocation": f"s3://{pipeline.bucket}/raw/streams/evil.py"}

    for job in (pipeline.validate_job, pipeline.compute_job):
        assert refused(glue.start_job_run, JobName=job, Arguments=script) == "glue:StartJobRun"
        assert refused(glue.start_job_run, JobName=job) == "glue:StartJobRun"
        update = {"Command": {"Name": "glueetl", "ScriptLocation": script["--scriptLocation"]}}
        assert refused(glue.update_job, JobName=job, JobUpdate=update) == "glue:UpdateJob"
    for key in ("script.py", "packages.zip"):
        assert refused(s3.put_object, Bucket=CODE, Key=key, Body=b"evil") == "s3:PutObject"
    states = somebody.client("stepfunctions")
    machine = pipeline.machine
    assert refused(states.start_execution, stateMachineArn=machine) == "states:StartExecution"
    kpis = somebody.client("dynamodb")
    row = {names.KPIS_PARTITION_KEY: {"S": "DAY#x"}, names.KPIS_SORT_KEY: {"S": "SUMMARY"}}
    assert refused(kpis.put_item, TableName="music-kpi-dev-kpis", Item=row) == "dynamodb:PutItem"
    assert pipeline.jobs_run() == []


def test_an_operator_writes_nothing_that_jobs_read_but_uploads(pipeline: Pipeline, operator: Operator) -> None:
    s3 = operator.client("s3")
    prefixes = (
        names.PROCESSING_PREFIX,
        names.RECOMPUTE_PREFIX,
        names.ARCHIVE_PREFIX,
        names.ERROR_PREFIX,
        names.QUALITY_PREFIX,
        names.REFERENCE_PREFIX,
        names.CURATED_PREFIX,
    )
    for prefix in prefixes:
        assert refused(s3.put_object, Bucket=pipeline.bucket, Key=f"{prefix}x", Body=b"") == "s3:PutObject"
    pipes = operator.client("pipes")
    assert refused(pipes.stop_pipe, Name=PIPE) == "pipes:StopPipe"


def test_a_recomputation_takes_days_and_nothing_else(pipeline: Pipeline, operator: Operator, stacks: Stacks) -> None:
    states = operator.client("stepfunctions")
    given = {"days": [DAY, "x --scriptLocation s3://x/y.py"], "Arguments": {"--scriptLocation": "s3://x/y.py"}}

    started = states.start_execution(
        stateMachineArn=stacks.outputs["RecomputeStateMachineArn"], input=json.dumps(given)
    )

    ended = pipeline.ended(started["executionArn"])
    assert (ended["status"], ended["error"], pipeline.jobs_run()) == ("FAILED", "DaysNotUnderstood", [])
