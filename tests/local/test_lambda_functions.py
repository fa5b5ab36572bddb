"""Functions are invoked through the API and answer as on AWS."""

from __future__ import annotations

import base64
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local_aws.lambda_functions import MAX_ENVIRONMENTS, LambdaFunctions
from tests.local.functions import Lambda, running_functions, zip_of
from tests.local.workflow_server import WorkflowServer, wait_for, workflow_server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def functions(server: WorkflowServer, tmp_path: Path) -> Iterator[LambdaFunctions]:
    with running_functions(server, tmp_path) as running:
        yield running


@pytest.fixture
def aws(server: WorkflowServer, functions: LambdaFunctions, tmp_path: Path) -> Lambda:
    return Lambda(server, tmp_path)


def test_a_function_answers_with_what_its_handler_returns(aws: Lambda) -> None:
    aws.create("def handler(event, context): return {'got': event, 'é': None}")

    answer = aws.invoke({"a": [1, "ü"]})

    assert (answer.status, answer.error) == (200, None)
    assert answer.payload == {"got": {"a": [1, "ü"]}, "é": None}


def test_an_environment_is_used_again_and_keeps_what_the_module_holds(aws: Lambda) -> None:
    aws.create("""
        import os
        seen = []
        def handler(event, context):
            seen.append(event)
            return [os.getpid(), seen]
    """)

    (first, _), (second, seen) = aws.invoke(1).payload, aws.invoke(2).payload

    assert first == second
    assert seen == [1, 2]


def test_events_at_the_same_time_get_environments_of_their_own_up_to_a_limit(aws: Lambda) -> None:
    aws.create("""
        import os, time
        def handler(event, context):
            time.sleep(0.3)
            return os.getpid()
    """)
    count = MAX_ENVIRONMENTS + 2

    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(aws.invoke, range(count)))

    assert 1 < len({answer.payload for answer in answers}) <= MAX_ENVIRONMENTS


def test_a_function_sees_its_variables_the_runtime_s_and_nothing_of_this_process(
    aws: Lambda, server: WorkflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_LAPTOP", "1")
    monkeypatch.setenv("AWS_PROFILE", "production")
    aws.create(
        """
        import os
        def handler(event, context): return dict(os.environ)
        """,
        Environment={"Variables": {"TABLE": "kpis"}},
        MemorySize=512,
    )

    seen = aws.invoke().payload

    assert seen["TABLE"] == "kpis"
    assert seen["AWS_ENDPOINT_URL"] == server.endpoint_url
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "answers"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert seen.keys() & {"SECRET_OF_THE_LAPTOP", "AWS_PROFILE", "PYTHONPATH"} == set()


def test_a_function_can_import_boto3_and_use_the_embedded_aws(aws: Lambda, server: WorkflowServer) -> None:
    server.client("dynamodb").create_table(
        TableName="kpis",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    aws.create("""
        import boto3
        def handler(event, context): return boto3.client("dynamodb").list_tables()["TableNames"]
    """)

    assert aws.invoke().payload == ["kpis"]


@pytest.mark.parametrize("module", ["pandas", "local_aws", "lambda_child", "moto"])
def test_a_function_can_import_nothing_that_its_zip_and_the_runtime_lack(aws: Lambda, module: str) -> None:
    aws.create(f"import {module}\ndef handler(event, context): return 1")

    answer = aws.invoke()

    assert answer.error == "Unhandled"
    assert answer.payload["errorType"] == "Runtime.ImportModuleError"
    assert answer.payload["errorMessage"] == f"Unable to import module 'answers': No module named '{module}'"


def test_a_handler_in_a_package_is_found(aws: Lambda) -> None:
    code = zip_of({"api/__init__.py": "", "api/store.py": "N = 7", "api/handler.py": "from api.store import N"})
    aws.create("", handler="api.handler.N")
    aws.client.update_function_code(FunctionName="answers", ZipFile=code)

    assert aws.invoke().payload["errorMessage"] == "'int' object is not callable"


def test_the_context_tells_what_the_handler_may_ask(aws: Lambda) -> None:
    arn = aws.create(
        """
        def handler(event, context):
            return {
                "arn": context.invoked_function_arn, "name": context.function_name, "left":
                context.get_remaining_time_in_millis(), "memory": context.memory_limit_in_mb, "id":
                context.aws_request_id,
            }
        """,
        Timeout=20,
    )

    seen, other = aws.invoke().payload, aws.invoke().payload

    assert (seen["arn"], seen["name"], seen["memory"]) == (arn, "answers", "128")
    assert 10_000 < seen["left"] <= 20_000
    assert seen["id"] != other["id"]


def test_an_exception_is_answered_with_its_type_message_and_frames(aws: Lambda) -> None:
    aws.create("""
        def fail(): raise KeyError("no day")
        def handler(event, context): fail()
    """)

    answer = aws.invoke()

    assert (answer.status, answer.error) == (200, "Unhandled")
    assert answer.payload["errorType"] == "KeyError"
    assert answer.payload["errorMessage"] == "'no day'"
    assert [frame.split(", in ")[1].split()[0] for frame in answer.payload["stackTrace"]] == ["handler", "fail"]
    assert answer.payload["requestId"]


def test_after_an_exception_the_environment_goes_on(aws: Lambda) -> None:
    aws.create("""
        import os
        def handler(event, context):
            if event: raise ValueError(os.getpid())
            return os.getpid()
    """)

    assert aws.invoke(1).payload["errorMessage"] == str(aws.invoke(0).payload)


@pytest.mark.parametrize(
    ("source", "handler", "error_type", "message"),
    [
        ("handler = 1 +", "answers.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'answers'"),
        ("x = 1", "answers.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'answers'"),
        ("x = 1", "handler", "Runtime.MalformedHandlerName", "Bad handler 'handler'"),
        ("1 / 0", "answers.handler", "ZeroDivisionError", "division by zero"),
        ("import os; os._exit(3)", "answers.handler", "Runtime.ExitError", "exit status 3"),
        (
            "def handler(event, context): return {1, 2}",
            "answers.handler",
            "Runtime.MarshalError",
            "Unable to marshal response",
        ),
        (
            "import sys\ndef handler(event, context): sys.exit(4)",
            "answers.handler",
            "Runtime.ExitError",
            "Error: Runtime exited with error: exit status 4",
        ),
        (
            "import os, signal\ndef handler(event, context): os.kill(os.getpid(), signal.SIGKILL)",
            "answers.handler",
            "Runtime.ExitError",
            "Error: Runtime exited with error: signal: killed",
        ),
        (
            "def handler(event, context): return 'x' * 7_000_000",
            "answers.handler",
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded",
        ),
    ],
)
def test_what_goes_wrong_outside_of_the_handler_is_an_error_of_the_function_too(
    aws: Lambda, source: str, handler: str, error_type: str, message: str
) -> None:
    aws.create(source, handler=handler)

    for _ in range(2):
        answer = aws.invoke()
        assert answer.error == "Unhandled"
        assert answer.payload["errorType"] == error_type
        assert message in answer.payload["errorMessage"]


def test_a_timeout_ends_the_environment_and_all_that_it_has_started(aws: Lambda, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    aws.create(
        f"""
        import pathlib, subprocess, time
        def handler(event, context):
            if not event: return "fresh"
            sleeper = subprocess.Popen(["sleep", "600"])
            pathlib.Path({str(pid_file)!r}).write_text(str(sleeper.pid))
            time.sleep(600)
        """,
        Timeout=2,
    )

    answer = aws.invoke(1)

    assert answer.payload["errorType"] == "Sandbox.Timedout"
    assert answer.payload["errorMessage"].endswith("Error: Task timed out after 2.00 seconds")
    wait_for(lambda: has_ended(int(pid_file.read_text())), "the end of the sleeper")
    assert aws.invoke(0).payload == "fresh"


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_a_function_writes_is_in_its_log_and_at_the_end_of_the_answer(aws: Lambda) -> None:
    aws.create("""
        import logging
        print("imported")
        def handler(event, context):
            print("event", event)
            logging.warning("odd")
            if event == 2: raise ValueError("two")
    """)

    aws.invoke(1)
    answer = aws.invoke(2)

    (log,) = aws.logs()
    assert log.startswith("imported\nevent 1\nodd\nevent 2\nodd\n[ERROR] ValueError: two\n")
    tail = base64.b64decode(answer.log).decode()
    assert tail.startswith("event 2\nodd\n")


def test_much_output_blocks_nobody(aws: Lambda) -> None:
    aws.create("def handler(event, context): print('x' * 5_000_000); return len(event)")

    assert aws.invoke("y" * 3_000_000).payload == 3_000_000
    assert len(aws.logs()[0]) == 5_000_001


def test_an_asynchronous_event_is_accepted_at_once_and_worked_on_later(aws: Lambda, tmp_path: Path) -> None:
    aws.create(
        f"import pathlib\ndef handler(event, context): pathlib.Path({str(tmp_path / 'done')!r}).write_text(event)"
    )

    answer = aws.invoke("later", kind="Event")

    assert (answer.status, answer.payload) == (202, None)
    wait_for((tmp_path / "done").exists, "the work of the function")


def test_changed_code_or_variables_take_a_new_environment(aws: Lambda) -> None:
    aws.create(
        "import os\ndef handler(event, context): return [1, os.environ['X']]", Environment={"Variables": {"X": "a"}}
    )
    assert aws.invoke().payload == [1, "a"]

    aws.client.update_function_configuration(FunctionName="answers", Environment={"Variables": {"X": "b"}})
    assert aws.invoke().payload == [1, "b"]

    code = zip_of({"answers.py": "import os\ndef handler(event, context): return [2, os.environ['X']]"})
    aws.client.update_function_code(FunctionName="answers", ZipFile=code)
    assert aws.invoke().payload == [2, "b"]


def test_an_event_that_is_no_json_or_too_large_is_refused(aws: Lambda) -> None:
    aws.create("def handler(event, context): return 1")

    for payload, code in (
        (b"{", "InvalidRequestContentException"),
        (b'"' + b"x" * 7_000_000 + b'"', "RequestTooLargeException"),
    ):
        with pytest.raises(ClientError) as raised:
            aws.client.invoke(FunctionName="answers", Payload=payload)
        assert raised.value.response["Error"]["Code"] == code


def test_close_ends_every_environment_in_the_middle_of_its_work(
    aws: Lambda, functions: LambdaFunctions, tmp_path: Path
) -> None:
    aws.create(f"""
        import os, pathlib, time
        def handler(event, context):
            pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
            time.sleep(600)
    """)
    aws.invoke(kind="Event")
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the handler")

    functions.close()

    assert has_ended(int((tmp_path / "pid").read_text()))


def test_environments_end_when_this_process_is_gone_even_by_a_kill(tmp_path: Path) -> None:
    """The parent holds the only other end of the socket: here a child that is killed, with a function of its own."""
    context = multiprocessing.get_context("spawn")
    parent = context.Process(target=_run_and_wait, args=(tmp_path,))
    parent.start()
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the handler")

    os.kill(parent.pid or 0, signal.SIGKILL)
    parent.join()

    wait_for(lambda: has_ended(int((tmp_path / "pid").read_text())), "the end of the environment")


def _run_and_wait(tmp_path: Path) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        workflow_server(tmp_path, patch) as server,
        running_functions(server, tmp_path),
    ):
        aws = Lambda(server, tmp_path)
        aws.create(f"""
            import os, pathlib, time
            def handler(event, context):
                pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
                time.sleep(600)
        """)
        aws.invoke()
