"""The embedded AWS as a whole: its start, its end, and its command line."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import backends

from local_aws.intrinsics import DeploymentError
from local_aws.moto_server import PortInUseError
from local_aws.resources import UnknownResourceTypeError
from local_aws.server import AlreadyRunningError, EmbeddedAws
from local_aws.work_dir import ForeignWorkDirError, WorkDirInUseError, owner, read_state
from tests.local.assemblies import role, template, write_assembly
from tests.local.clients import operators_client
from tests.local.s3_and_glue import serving

DEADLINE_SECONDS = 60.0
STACK = template(
    {
        "Bucket": ("AWS::S3::Bucket", {"BucketName": "data", "VersioningConfiguration": {"Status": "Enabled"}}),
        "Topic": ("AWS::SNS::Topic", {"TopicName": "alerts"}),
    },
    Outputs={"Bucket": {"Value": {"Ref": "Bucket"}}, "Topic": {"Value": {"Ref": "Topic"}}},
)
WAITS = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
ENDS = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
ROLE_ARN = {"Fn::GetAtt": ["Role", "Arn"]}
ROLE = role("events", "glue", "pipes", "states")
BATCHES = template(
    {
        "Role": ROLE,
        "Bucket": (
            "AWS::S3::Bucket",
            {
                "BucketName": "data",
                "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
            },
        ),
        "Queue": ("AWS::SQS::Queue", {"QueueName": "uploads", "VisibilityTimeout": 30}),
        "QueuePolicy": (
            "AWS::SQS::QueuePolicy",
            {
                "Queues": [{"Ref": "Queue"}],
                "PolicyDocument": {
                    "Statement": {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
                    }
                },
            },
        ),
        "Rule": (
            "AWS::Events::Rule",
            {
                "EventPattern": {"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": "raw/"}]}}},
                "Targets": [{"Id": "Queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}],
            },
        ),
        "Machine": (
            "AWS::StepFunctions::StateMachine",
            {"StateMachineName": "batch", "RoleArn": ROLE_ARN, "Definition": ENDS},
        ),
        "Pipe": (
            "AWS::Pipes::Pipe",
            {
                "Name": "batches",
                "RoleArn": ROLE_ARN,
                "Source": {"Fn::GetAtt": ["Queue", "Arn"]},
                "SourceParameters": {"SqsQueueParameters": {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 1}},
                "Target": {"Ref": "Machine"},
                "TargetParameters": {
                    "InputTemplate": "<$.body.detail>",
                    "StepFunctionStateMachineParameters": {"InvocationType": "FIRE_AND_FORGET"},
                },
            },
        ),
    },
    Outputs={"Machine": {"Value": {"Ref": "Machine"}}},
)


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    return write_assembly(tmp_path / "cdk.out", {"Stack": STACK})


@pytest.fixture
def work_dir(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "aws"
    yield path
    if (pid := owner(path)) not in (None, os.getpid()):
        os.kill(int(pid or 0), signal.SIGKILL)
        wait_until(lambda: owner(path) is None, "the server's end")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.05)


def client(aws: EmbeddedAws, service: str) -> Any:  # noqa: ANN401 # the service is a variable
    return operators_client(aws.environment(), service)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "local_aws", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)


def start_in_foreground(assembly: Path, work_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command("up", "--assembly", assembly, "--work-dir", work_dir, "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: read_state(work_dir) is not None or process.poll() is not None, "the start")
    assert process.poll() is None, process.stdout and process.stdout.read()
    return process


def endpoint_answers(url: str) -> bool:
    host, port = re.findall(r"http://([\d.]+):(\d+)", url)[0]
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_deployed_resources_are_there_and_the_bucket_is_a_directory(assembly: Path, work_dir: Path) -> None:
    with EmbeddedAws(assembly, work_dir) as aws:
        assert aws.endpoint_url.startswith("http://127.0.0.1:")
        assert aws.outputs["Stack"]["Topic"] == "arn:aws:sns:us-east-1:123456789012:alerts"
        client(aws, "s3").put_object(Bucket="data", Key="raw/a.csv", Body=b"a,b\n")

        assert (work_dir / "buckets" / "data" / "raw" / "a.csv").read_bytes() == b"a,b\n"


def test_an_upload_starts_an_execution_by_rule_queue_and_pipe(tmp_path: Path, work_dir: Path) -> None:
    with EmbeddedAws(write_assembly(tmp_path / "cdk.out", {"Stack": BATCHES}), work_dir) as aws:
        machine, states = aws.outputs["Stack"]["Machine"], client(aws, "stepfunctions")

        client(aws, "s3").put_object(Bucket="data", Key="raw/a.csv", Body=b"a,b\n")

        wait_until(lambda: bool(states.list_executions(stateMachineArn=machine)["executions"]), "the execution")
        (execution,) = states.list_executions(stateMachineArn=machine)["executions"]
        started_with = states.describe_execution(executionArn=execution["executionArn"])["input"]
        assert '"raw/a.csv"' in started_with


def test_after_close_no_thread_is_left_and_the_port_is_free(assembly: Path, work_dir: Path) -> None:
    before = set(threading.enumerate())
    aws = EmbeddedAws(assembly, work_dir)
    aws.start()
    client(aws, "s3").list_buckets()
    endpoint = aws.endpoint_url

    aws.close()
    aws.close()

    assert set(threading.enumerate()) - before == set()
    assert not endpoint_answers(endpoint)
    assert owner(work_dir) is None


def test_close_ends_running_executions_and_nobody_is_told(tmp_path: Path, work_dir: Path) -> None:
    tell = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Parameters": {"TopicArn": "${Topic}", "Message": "an execution was aborted"},
        "End": True,
    }
    resources = {
        "Role": ROLE,
        "Topic": ("AWS::SNS::Topic", {"Subscription": [{"Protocol": "email", "Endpoint": "a@example.com"}]}),
        "Waits": ("AWS::StepFunctions::StateMachine", {"RoleArn": ROLE_ARN, "Definition": WAITS}),
        "Notifier": (
            "AWS::StepFunctions::StateMachine",
            {
                "RoleArn": ROLE_ARN,
                "Definition": {"StartAt": "Tell", "States": {"Tell": tell}},
                "DefinitionSubstitutions": {"Topic": {"Ref": "Topic"}},
            },
        ),
        "Rule": (
            "AWS::Events::Rule",
            {
                "EventPattern": {"source": ["aws.states"], "detail": {"status": ["ABORTED"]}},
                "Targets": [{"Id": "Notifier", "Arn": {"Ref": "Notifier"}, "RoleArn": ROLE_ARN}],
            },
        ),
    }
    outputs = {"Machine": {"Value": {"Ref": "Waits"}}}
    write_assembly(tmp_path / "cdk.out", {"Stack": template(resources, Outputs=outputs)})
    before = set(threading.enumerate())
    emails = work_dir / "emails"
    with EmbeddedAws(tmp_path / "cdk.out", work_dir) as aws:
        machine, states = aws.outputs["Stack"]["Machine"], client(aws, "stepfunctions")
        states.stop_execution(executionArn=states.start_execution(stateMachineArn=machine)["executionArn"])
        wait_until((emails / "0001.txt").exists, "the e-mail about an execution that somebody else stopped")
        for _ in range(3):
            states.start_execution(stateMachineArn=machine)

    assert set(threading.enumerate()) - before == set()
    assert sorted(path.name for path in emails.iterdir()) == ["0001.txt", "emails.jsonl"]


def test_a_start_finds_nothing_of_the_one_before(assembly: Path, work_dir: Path) -> None:
    with EmbeddedAws(assembly, work_dir) as aws:
        client(aws, "s3").put_object(Bucket="data", Key="raw/a.csv", Body=b"a,b\n")
        client(aws, "sqs").create_queue(QueueName="made-by-hand")

    with EmbeddedAws(assembly, work_dir) as aws:
        assert "Contents" not in client(aws, "s3").list_objects_v2(Bucket="data")
        assert "QueueUrls" not in client(aws, "sqs").list_queues()
        assert not (work_dir / "buckets" / "data" / "raw").exists()


def test_what_was_made_is_kept_after_close(assembly: Path, work_dir: Path) -> None:
    with EmbeddedAws(assembly, work_dir) as aws:
        client(aws, "s3").put_object(Bucket="data", Key="raw/a.csv", Body=b"a,b\n")

    assert (work_dir / "buckets" / "data" / "raw" / "a.csv").read_bytes() == b"a,b\n"


def test_a_second_one_in_the_same_process_is_refused(assembly: Path, work_dir: Path, tmp_path: Path) -> None:
    with EmbeddedAws(assembly, work_dir) as aws:
        with pytest.raises(AlreadyRunningError, match=aws.endpoint_url):
            EmbeddedAws(assembly, tmp_path / "other").start()

        assert endpoint_answers(aws.endpoint_url)


def test_a_failed_deployment_leaves_nothing_behind(tmp_path: Path, work_dir: Path) -> None:
    broken = write_assembly(tmp_path / "cdk.out", {"Stack": template({"Cluster": ("AWS::EKS::Cluster", {})})})
    before = set(threading.enumerate())

    with pytest.raises(UnknownResourceTypeError):
        EmbeddedAws(broken, work_dir).start()

    assert set(threading.enumerate()) - before == set()
    assert owner(work_dir) is None


def test_a_missing_assembly_is_an_error_before_anything_starts(tmp_path: Path, work_dir: Path) -> None:
    with pytest.raises(DeploymentError, match="synthesize the application first"):
        EmbeddedAws(tmp_path / "nothing", work_dir).start()

    assert not work_dir.exists()


def test_a_port_in_use_is_an_error_that_names_it(assembly: Path, work_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(PortInUseError, match=f"Port {port} of 127.0.0.1"):
            EmbeddedAws(assembly, work_dir, port=port).start()

    assert owner(work_dir) is None


def test_a_pipe_that_cannot_be_run_is_an_error_that_names_it(tmp_path: Path, work_dir: Path) -> None:
    pipe = {
        "Name": "stream",
        "RoleArn": ROLE_ARN,
        "Source": "arn:aws:kinesis:us-east-1:123456789012:stream/plays",
        "Target": "arn:aws:states:us-east-1:123456789012:stateMachine:batch",
    }
    write_assembly(tmp_path / "cdk.out", {"Stack": template({"Role": ROLE, "Pipe": ("AWS::Pipes::Pipe", pipe)})})

    with pytest.raises(DeploymentError, match="Stack Stack: pipe stream cannot be run"):
        EmbeddedAws(tmp_path / "cdk.out", work_dir).start()


def test_a_folder_with_other_peoples_files_is_left_alone(assembly: Path, tmp_path: Path) -> None:
    mine = tmp_path / "project" / "logs" / "mine.log"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious", encoding="utf-8")

    with pytest.raises(ForeignWorkDirError, match="logs"):
        EmbeddedAws(assembly, tmp_path / "project").start()

    assert mine.read_text(encoding="utf-8") == "precious"


def test_a_client_process_reaches_the_embedded_aws_and_nothing_else(assembly: Path, work_dir: Path) -> None:
    script = "import boto3; print([bucket['Name'] for bucket in boto3.client('s3').list_buckets()['Buckets']])"
    with EmbeddedAws(assembly, work_dir) as aws:
        # A proxy that answers nobody: a request that took it would fail.
        hostile = {"HTTP_PROXY": "http://127.0.0.1:1", "AWS_SESSION_TOKEN": "of the cloud"}
        environment = {**os.environ, **hostile, **aws.environment()}
        seen = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert seen == "['data']\n"


def test_requests_are_logged_to_a_file_and_not_to_the_terminal(
    assembly: Path, work_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with EmbeddedAws(assembly, work_dir) as aws:
        client(aws, "dynamodb").list_tables()

    assert "DynamoDB_20120810.ListTables 200" in (work_dir / "logs" / "requests.log").read_text(encoding="utf-8")
    assert capfd.readouterr() == ("", "")


def test_what_the_embedded_aws_warns_of_is_in_a_file_and_not_on_the_terminal(
    tmp_path: Path, work_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with EmbeddedAws(write_assembly(tmp_path / "cdk.out", {"Stack": BATCHES}), work_dir) as aws:
        queue = client(aws, "sqs").get_queue_url(QueueName="uploads")["QueueUrl"]
        client(aws, "sqs").send_message(QueueUrl=queue, MessageBody="no event of S3")
        log = work_dir / "logs" / "server.log"

        wait_until(lambda: "pipe batches leaves a message in the queue" in log.read_text(encoding="utf-8"), "the log")

    assert capfd.readouterr() == ("", "")


def variables_after(script: Path, shell: str = "bash") -> tuple[dict[str, str], str]:
    """The variables about AWS of a shell that has sourced a file, and what that printed as an error."""
    hostile = {"AWS_PROFILE": "prod", "AWS_SESSION_TOKEN": "of prod", "AWS_ENDPOINT_URL_S3": "https://s3.example.com"}
    hostile |= {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    done = subprocess.run(
        [shell, "-c", f". '{script}'; env"], env={**os.environ, **hostile}, capture_output=True, text=True, check=True
    )
    lines = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in lines if name.startswith("AWS_")}, done.stderr


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_shell_that_sources_the_environment_uses_the_embedded_aws_and_no_other(
    assembly: Path, work_dir: Path, shell: str
) -> None:
    with EmbeddedAws(assembly, work_dir) as aws:
        found, printed = variables_after(work_dir / "env.sh", shell)
        expected = {name: value for name, value in aws.environment().items() if name.startswith("AWS_") and value}
        assert (found, printed) == (expected, "")
    assert not (work_dir / "env.sh").exists()


def test_secrets_are_in_files_that_nobody_else_can_read_and_differ_from_start_to_start(
    assembly: Path, work_dir: Path
) -> None:
    seen = set()
    for _ in range(2):
        with EmbeddedAws(assembly, work_dir) as aws:
            secret = aws.environment()["AWS_SECRET_ACCESS_KEY"]
            seen |= {secret, aws.environment()["AWS_ACCESS_KEY_ID"], aws.emails_url.rpartition("/")[2]}
            client(aws, "s3").list_buckets()
            holding = [path for path in work_dir.rglob("*") if path.is_file() and secret in path.read_text("utf-8")]
            assert sorted(path.name for path in holding) == ["env.sh", "server.json"]
            assert [path.stat().st_mode & 0o777 for path in holding] == [0o600, 0o600]
            folders = [path for path in work_dir.iterdir() if path.is_dir()]
            assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert len(seen) == 6


def test_the_environment_of_one_that_was_killed_says_so_and_leads_to_no_other_aws(
    assembly: Path, work_dir: Path
) -> None:
    process = start_in_foreground(assembly, work_dir)
    process.kill()
    process.communicate(timeout=DEADLINE_SECONDS)

    found, printed = variables_after(work_dir / "env.sh")

    assert f"(process {process.pid}) has ended" in printed
    assert found["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert found["AWS_CONFIG_FILE"] == found["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert not {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"} & found.keys()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_foreground_in_order(assembly: Path, work_dir: Path, number: signal.Signals) -> None:
    process = start_in_foreground(assembly, work_dir)
    state = read_state(work_dir)
    assert state is not None

    process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 0, output
    assert f"answers at {state.endpoint_url}" in output
    assert "Stack.Bucket = data" in output
    assert "Traceback" not in output
    assert owner(work_dir) is None
    assert not endpoint_answers(state.endpoint_url)


def test_up_detached_returns_when_it_answers_and_down_stops_it(assembly: Path, work_dir: Path) -> None:
    up = run("up", "--detach", "--assembly", assembly, "--work-dir", work_dir, "--port", "0")
    assert up.returncode == 0, up.stderr
    state = read_state(work_dir)
    assert state is not None
    assert f"answers at {state.endpoint_url}" in up.stdout
    assert endpoint_answers(state.endpoint_url)

    down = run("down", "--work-dir", work_dir)

    assert down.returncode == 0, down.stderr
    assert "has stopped" in down.stdout
    assert has_ended(state.pid)
    assert not endpoint_answers(state.endpoint_url)


def test_up_detached_says_why_it_failed_and_where_the_log_is(tmp_path: Path, work_dir: Path) -> None:
    broken = write_assembly(tmp_path / "cdk.out", {"Stack": template({"Cluster": ("AWS::EKS::Cluster", {})})})

    up = run("up", "--detach", "--assembly", broken, "--work-dir", work_dir, "--port", "0")

    assert up.returncode == 1
    assert "Stack/Cluster (AWS::EKS::Cluster)" in up.stderr
    assert str(work_dir / "server.log") in up.stderr
    assert "Traceback" not in up.stderr
    assert owner(work_dir) is None


def test_a_second_up_in_the_same_folder_is_refused_and_the_first_lives_on(assembly: Path, work_dir: Path) -> None:
    process = start_in_foreground(assembly, work_dir)
    state = read_state(work_dir)
    assert state is not None

    second = run("up", "--detach", "--assembly", assembly, "--work-dir", work_dir, "--port", "0")

    assert second.returncode == 1
    assert f"(process {process.pid}) already runs" in second.stderr
    with pytest.raises(WorkDirInUseError, match=f"process {process.pid}"):
        EmbeddedAws(assembly, work_dir).start()
    assert endpoint_answers(state.endpoint_url)
    process.terminate()
    process.communicate(timeout=DEADLINE_SECONDS)


def test_after_a_kill_a_new_start_works_in_the_same_folder(assembly: Path, work_dir: Path) -> None:
    process = start_in_foreground(assembly, work_dir)
    (work_dir / "buckets" / "data" / "left-over.csv").write_text("a", encoding="utf-8")
    process.kill()
    process.communicate(timeout=DEADLINE_SECONDS)
    assert (work_dir / "server.pid").read_text(encoding="utf-8") == str(process.pid)
    assert read_state(work_dir) is None

    with EmbeddedAws(assembly, work_dir) as aws:
        assert "Contents" not in client(aws, "s3").list_objects_v2(Bucket="data")


def test_a_kill_in_the_middle_of_a_job_leaves_no_process_behind(tmp_path: Path, work_dir: Path) -> None:
    pid_file = tmp_path / "pid"
    script = "import os, pathlib, sys, time; pathlib.Path(sys.argv[2]).write_text(str(os.getpid())); time.sleep(600)\n"
    location = {"Fn::Sub": "s3://cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/job.py"}
    job = {
        "Name": "sleeps",
        "Role": ROLE_ARN,
        "Command": {"Name": "pythonshell", "ScriptLocation": location},
        "DefaultArguments": {"--pid_file": str(pid_file)},
    }
    write_assembly(
        tmp_path / "cdk.out",
        {"Stack": template({"Role": ROLE, "Job": ("AWS::Glue::Job", job)})},
        files={"job.py": {"path": "job.py", "packaging": "file"}},
    )
    (tmp_path / "cdk.out" / "job.py").write_text(script, encoding="utf-8")
    process = start_in_foreground(tmp_path / "cdk.out", work_dir)
    state = read_state(work_dir)
    assert state is not None
    glue = operators_client(state.environment, "glue")
    glue.start_job_run(JobName="sleeps")
    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text(encoding="utf-8")), "the job")
    job_pid = int(pid_file.read_text(encoding="utf-8"))

    process.kill()
    process.communicate(timeout=DEADLINE_SECONDS)

    wait_until(lambda: has_ended(job_pid), "the end of the job's process")


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_down_where_nothing_runs_says_so(work_dir: Path) -> None:
    down = run("down", "--work-dir", work_dir)

    assert down.returncode == 0
    assert "No embedded AWS runs" in down.stdout


def test_the_service_of_a_host_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listed() -> list[str]:
        raise AssertionError("moto's folders were listed again")

    with serving(tmp_path) as aws:
        assert aws.keys() == []
        monkeypatch.setattr(backends, "list_of_moto_modules", listed)
        assert aws.keys() == []
