"""What job runs and functions write is in CloudWatch Logs of the embedded AWS, as on AWS."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.logs.responses import LogsResponse

from local_aws import cloudwatch_logs, log_streams
from local_aws.iam.principals import Credentials
from local_aws.log_streams import (
    EVENT_OVERHEAD,
    LIVE_BYTES,
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    FollowedLog,
    LogStream,
    batches,
    pieces,
)
from local_aws.server import EmbeddedAws
from tests.local.assemblies import role, template, write_assembly
from tests.local.clients import operators_client
from tests.local.functions import MODULE, zip_of
from tests.local.s3_and_glue import BUCKET, Aws, create_job, ended, log_of, running_jobs, serving, start, until

OUTPUT, ERROR = "/aws-glue/jobs/output", "/aws-glue/jobs/error"


class RecordedStream(LogStream):
    """A stream that notes its messages in place of putting them."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "us-east-1", Credentials("", ""), group="g", name="s")
        self.messages: list[str] = []

    def put(self, messages: Any) -> None:  # noqa: ANN401
        self.messages += messages


def client_of(endpoint_url: str, service: str = "logs") -> Any:  # noqa: ANN401 - the service is a variable
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


def events(logs: Any, group: str, **parameters: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """What `aws logs tail` asks for."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, interleaved=True, **parameters)
    return [event for page in pages for event in page["events"]]


def messages(logs: Any, group: str, **parameters: Any) -> list[str]:  # noqa: ANN401
    return [event["message"] for event in events(logs, group, **parameters)]


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    cloudwatch_logs.install()
    with serving(tmp_path) as aws, running_jobs(aws):
        yield aws


@pytest.fixture
def logs(aws: Aws) -> Any:  # noqa: ANN401
    return client_of(aws.endpoint_url)


def test_standard_output_and_error_are_in_the_stream_that_is_called_like_the_run(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    create_job(aws, "import sys\nprint('one')\nprint('two', file=sys.stderr)\nprint()\nprint('no end', end='')")
    run_id = start(aws)
    ended(aws, run_id)

    assert messages(logs, OUTPUT) == ["one", "two", "no end"]
    assert {event["logStreamName"] for event in events(logs, OUTPUT)} == {run_id}
    read = logs.get_log_events(logGroupName=OUTPUT, logStreamName=run_id, startFromHead=True)["events"]
    assert [event["message"] for event in read] == ["one", "two", "no end"]
    assert log_of(aws, run_id) == "one\ntwo\n\nno end"


def test_the_group_s_prefix_is_the_job_s_argument_and_the_run_s_comes_first(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    create_job(aws, "print('here')", DefaultArguments={"--custom-logGroup-prefix": "/of/the/job"})
    ended(aws, start(aws))
    ended(aws, start(aws, Arguments={"--custom-logGroup-prefix": "/of/the/run"}))

    assert messages(logs, "/of/the/job/output") == messages(logs, "/of/the/run/output") == ["here"]
    names = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    assert names == {"/of/the/job/output", "/of/the/job/error", "/of/the/run/output", "/of/the/run/error"}


def test_a_line_is_there_while_the_run_still_works(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    wait = 'import boto3, time\ns3 = boto3.client("s3")\nwhile "Contents" not in s3.list_objects_v2(Bucket="music", '
    create_job(aws, "print('begun')\nprint('half', end='')\n" + wait + 'Prefix="go"): time.sleep(0.05)\nprint(" done")')
    run_id = start(aws)

    until(lambda: bool(logs.describe_log_groups(logGroupNamePrefix=OUTPUT)["logGroups"]), 60, "the first line")
    until(lambda: messages(logs, OUTPUT) == ["begun"], 60, "the first line")
    aws.s3.put_object(Bucket=BUCKET, Key="go")

    assert ended(aws, run_id)["JobRunState"] == "SUCCEEDED"
    assert messages(logs, OUTPUT) == ["begun", "half done"]


def test_a_traceback_is_in_output_and_how_the_run_ended_in_error(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    create_job(aws, "raise ValueError('the file is odd')")
    run_id = start(aws)
    ended(aws, run_id)

    assert messages(logs, OUTPUT)[-1] == "ValueError: the file is odd"
    assert messages(logs, ERROR) == [f"Job run {run_id} of job is FAILED", "ValueError: the file is odd"]


def test_a_run_that_cannot_be_launched_says_why_in_error(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    create_job(aws, "")
    aws.s3.delete_object(Bucket=BUCKET, Key="code/job.py")
    run_id = start(aws)
    ended(aws, run_id)

    (message,) = messages(logs, ERROR, logStreamNamePrefix=run_id)
    assert message.startswith("LAUNCH ERROR | File cannot be read: s3://music/code/job.py")


def test_what_a_stopped_run_wrote_is_there(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    create_job(aws, "import time\nprint('begun', end='', flush=True)\ntime.sleep(600)")
    run_id = start(aws)
    until(lambda: (aws.work_dir / f"logs/glue/job/{run_id}.log").exists() and bool(log_of(aws, run_id)), 60, "it")
    aws.glue.batch_stop_job_run(JobName="job", JobRunIds=[run_id])
    ended(aws, run_id)

    assert messages(logs, OUTPUT) == ["begun"]
    assert messages(logs, ERROR)[0] == f"Job run {run_id} of job is STOPPED"


def test_the_prefix_of_a_stream_s_name_finds_one_run_only(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    create_job(aws, "import sys; print(sys.argv[sys.argv.index('--word') + 1])")
    ended(aws, start(aws, Arguments={"--word": "first"}))
    ended(aws, second := start(aws, Arguments={"--word": "second"}))

    assert sorted(messages(logs, OUTPUT)) == ["first", "second"]
    assert messages(logs, OUTPUT, logStreamNamePrefix=second) == ["second"]
    assert messages(logs, OUTPUT, logStreamNamePrefix="jr_") == messages(logs, OUTPUT)
    assert messages(logs, OUTPUT, logStreamNamePrefix="another") == []
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(logGroupName="/none", logStreamNamePrefix="jr_")


def test_moto_itself_does_not_heed_the_prefix_of_a_stream_s_name(
    aws: Aws,
    logs: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LogsResponse, "filter_log_events", cloudwatch_logs._moto_filter_log_events)
    create_job(aws, "print('x')")
    ended(aws, start(aws))

    assert messages(logs, OUTPUT, logStreamNamePrefix="another") == ["x"]


def test_long_lines_and_bytes_that_are_no_text_are_events_of_their_own(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    create_job(aws, "import sys\nsys.stdout.buffer.write('é'.encode() * 400_001 + b'\\n\\xff\\x00|\\x1b[31m\\nlast')")
    ended(aws, start(aws))

    *long, odd, last = messages(logs, OUTPUT)
    assert "".join(long) == "é" * 400_001
    assert (odd, last) == ("\ufffd\x00|\x1b[31m", "last")


def test_of_a_very_long_log_the_beginning_and_the_last_words_are_there(aws: Aws, logs: Any) -> None:  # noqa: ANN401
    create_job(aws, "for number in range(60_000): print(number)\nraise ValueError('last words')")
    run_id = start(aws)
    ended(aws, run_id)

    found = messages(logs, OUTPUT)
    assert found[:2] == ["0", "1"]
    assert found[-1] == "ValueError: last words"
    (note,) = [number for number, message in enumerate(found) if message.startswith("[Lines are left out here. ")]
    assert f"/logs/glue/job/{run_id}.log holds all" in found[note]
    assert found[note - 1].isdecimal()
    assert found[note + 1].isdecimal()
    assert sum(len(message) + 512 for message in found) < 1.2 * LIVE_BYTES
    assert "\n59999\n" in log_of(aws, run_id)


def test_following_a_huge_log_holds_little_in_memory(tmp_path: Path) -> None:
    path, stream = tmp_path / "log", RecordedStream()
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"\n" * 250_000 + b"x" * 750_000)
    log = FollowedLog(path, stream, live_bytes=2_000_000, tail_bytes=100_000)

    tracemalloc.start()
    log.follow()
    log.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sum(map(len, stream.messages)) < 3_500_000
    assert peak < 30_000_000
    assert stream.messages[-2].startswith("[Lines are left out here. ")


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=60) | st.just(b"\n") | st.just("é\n".encode()), max_size=40),
    st.lists(st.integers(0, 3), max_size=40),
)
def test_however_a_log_is_written_every_line_comes_once_and_in_order(written: list[bytes], looks: list[int]) -> None:
    stream = RecordedStream()
    with pytest.MonkeyPatch.context() as small, _temporary() as path:
        small.setattr(log_streams, "_READ_BYTES", 16)
        log = FollowedLog(path, stream)
        for number, part in enumerate(written):
            with path.open("ab") as file:
                file.write(part)
            for _ in range(looks[number] if number < len(looks) else 0):
                log.follow()
        log.finish()
        log.finish()

        text = path.read_bytes().decode("utf-8", "replace")
    assert "".join(stream.messages) == text.replace("\n", "").replace("\r", "")


@contextmanager
def _temporary() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.touch()
        yield path


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", "x", "é" * 100, "x" * (MAX_EVENT_BYTES - EVENT_OVERHEAD), "😀" * 30_000])))
def test_a_batch_is_within_the_limits_of_put_log_events(given_messages: list[str]) -> None:
    found = [*batches(given_messages)]
    assert [message for batch in found for message in batch] == given_messages
    for batch in found:
        assert sum(len(message.encode()) + EVENT_OVERHEAD for message in batch) <= MAX_BATCH_BYTES
        assert 0 < len(batch) <= MAX_BATCH_EVENTS


def test_a_batch_has_no_more_events_than_one_request_takes() -> None:
    assert [len(batch) for batch in batches(["x"] * 25_000)] == [10_000, 10_000, 5_000]


@settings(deadline=None)
@given(st.text(alphabet="aé😀", max_size=20).map(lambda text: text * 30_000))
def test_the_pieces_of_a_line_are_within_the_limit_of_an_event(line: str) -> None:
    found = [*pieces(line.encode())]
    assert "".join(found) == line
    assert all(0 < len(piece.encode()) <= MAX_EVENT_BYTES - EVENT_OVERHEAD for piece in found)


FUNCTION = """
import os, sys

print("imported")

def handler(event, context):
    print("got", event)
    print("to standard error", file=sys.stderr)
    if event == "end":
        os._exit(1)
    return context.log_stream_name
"""


def stack(*job_actions: str, function_actions: tuple[str, ...] = ("*",)) -> dict[str, Any]:
    location = {"Fn::Sub": "s3://cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/job.py"}
    return template(
        {
            "Role": role("glue", actions=("s3:*", *job_actions)),
            "Job": (
                "AWS::Glue::Job",
                {
                    "Name": "prints",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Command": {"Name": "pythonshell", "ScriptLocation": location},
                    "DefaultArguments": {"--custom-logGroup-prefix": "/jobs/prints"},
                },
            ),
            "Output": ("AWS::Logs::LogGroup", {"LogGroupName": "/jobs/prints/output", "RetentionInDays": 7}),
            "Error": ("AWS::Logs::LogGroup", {"LogGroupName": "/jobs/prints/error", "RetentionInDays": 7}),
            "FunctionRole": role("lambda", actions=function_actions),
            "Group": ("AWS::Logs::LogGroup", {"LogGroupName": "/aws/lambda/answers"}),
            "Function": (
                "AWS::Lambda::Function",
                {
                    "FunctionName": "answers",
                    "Runtime": "python3.11",
                    "Handler": "answers.handler",
                    "Role": {"Fn::GetAtt": ["FunctionRole", "Arn"]},
                    "Code": {
                        "S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"},
                        "S3Key": "code.zip",
                    },
                },
            ),
        }
    )


def assembly(folder: Path, deployed: dict[str, Any]) -> Path:
    files = {name: {"path": name, "packaging": "file"} for name in ("job.py", "code.zip")}
    write_assembly(folder, {"Stack": deployed}, files=files)
    (folder / "job.py").write_text("print('hello')", encoding="utf-8")
    (folder / "code.zip").write_bytes(zip_of({MODULE: FUNCTION}))
    return folder


def run_job(glue: Any) -> dict[str, Any]:  # noqa: ANN401
    run_id = glue.start_job_run(JobName="prints")["JobRunId"]

    def run() -> dict[str, Any]:
        return dict(glue.get_job_run(JobName="prints", RunId=run_id)["JobRun"])

    until(lambda: run()["JobRunState"] in ("SUCCEEDED", "FAILED"), 60, "the run's end")
    return run()


@pytest.mark.parametrize(
    ("actions", "found"),
    [
        (("logs:CreateLogStream", "logs:PutLogEvents"), ["hello"]),
        (("logs:CreateLogStream",), []),
        (("logs:PutLogEvents",), []),
        ((), []),
    ],
)
def test_a_role_that_may_not_write_its_log_runs_without_one(
    tmp_path: Path, actions: tuple[str, ...], found: list[str]
) -> None:
    with EmbeddedAws(assembly(tmp_path / "cdk.out", stack(*actions)), tmp_path / "aws") as aws:
        run = run_job(operators_client(aws.environment(), "glue"))

        assert run["JobRunState"] == "SUCCEEDED"
        assert messages(operators_client(aws.environment(), "logs"), "/jobs/prints/output") == found
        log = (tmp_path / f"aws/logs/glue/prints/{run['Id']}.log").read_text()
    warnings = (tmp_path / "aws/logs/server.log").read_text(encoding="utf-8")
    assert log == "hello\n"
    assert ("of the log group /jobs/prints/output gets nothing more: " in warnings) == (not found)


def test_what_a_function_writes_is_in_a_stream_for_each_environment(tmp_path: Path) -> None:
    with EmbeddedAws(assembly(tmp_path / "cdk.out", stack()), tmp_path / "aws") as aws:
        logs, functions = operators_client(aws.environment(), "logs"), operators_client(aws.environment(), "lambda")

        def invoke(event: str) -> Any:  # noqa: ANN401
            answer = functions.invoke(FunctionName="answers", Payload=json.dumps(event), LogType="Tail")
            assert b"to standard error" in base64.b64decode(answer["LogResult"])
            return json.load(answer["Payload"])

        stream = invoke("once")
        first = ["imported", "got once", "to standard error"]
        until(lambda: messages(logs, "/aws/lambda/answers", logStreamNamePrefix=stream) == first, 60, "its lines")
        invoke("end")
        invoke("again")
        more = [*first, "got end", "to standard error", "imported", "got again", "to standard error"]
        until(lambda: messages(logs, "/aws/lambda/answers") == more, 60, "all lines")
        names = {event["logStreamName"] for event in events(logs, "/aws/lambda/answers")}

    assert len(names) == 2
    assert len(list((tmp_path / "aws/logs/lambda/answers").iterdir())) == 2


def test_a_function_s_role_must_be_allowed_to_write_its_log(tmp_path: Path) -> None:
    deployed = stack(function_actions=("logs:CreateLogStream",))
    with EmbeddedAws(assembly(tmp_path / "cdk.out", deployed), tmp_path / "aws") as aws:
        operators_client(aws.environment(), "lambda").invoke(FunctionName="answers", Payload=b"1")
        log = tmp_path / "aws/logs/server.log"
        told = "of the log group /aws/lambda/answers gets nothing more: "
        until(lambda: told in log.read_text(encoding="utf-8"), 60, "the warning")

        assert messages(operators_client(aws.environment(), "logs"), "/aws/lambda/answers") == []
