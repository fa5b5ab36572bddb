"""Step Functions as AWS runs it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from moto.core.exceptions import JsonRESTError
from moto.dynamodb.responses import DynamoHandler
from moto.sns.responses import SNSResponse

from local_aws import step_functions
from local_aws.step_functions.data_limits import DATA_BYTES
from local_aws.step_functions.integrations import copy_source
from local_aws.step_functions.jsonata_evaluation import QueryEvaluationError, evaluate
from tests.local.workflow_server import WorkflowServer, wait_for, workflow_server

STATE_MACHINES: Final = Path(__file__).parents[2] / "state_machines"
BUCKET: Final = "data"
PUT: Final = "arn:aws:states:::aws-sdk:s3:putObject"
GET: Final = "arn:aws:states:::aws-sdk:s3:getObject"
GLUE_SYNC: Final = "arn:aws:states:::glue:startJobRun.sync"
RETRY_ONCE: Final = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 5, "MaxAttempts": 1}]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running:
        running.client("s3").create_bucket(Bucket=BUCKET)
        yield running


def state_of_the_run(server: WorkflowServer) -> str:
    """The state of the only Glue run that a test has started."""
    (run,) = server.glue.runs.values()
    return str(run["JobRunState"])


def passing(output: str) -> dict[str, Any]:
    return {"StartAt": "Only", "States": {"Only": {"Type": "Pass", "Output": output, "End": True}}}


def task(resource: str, arguments: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"Type": "Task", "Resource": resource, "Arguments": arguments, "TimeoutSeconds": 20, **more}


def one_task(resource: str, arguments: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"StartAt": "Only", "States": {"Only": task(resource, arguments, End=True, **more)}}


def get_object(key: str, **more: object) -> dict[str, Any]:
    return one_task(GET, {"Bucket": BUCKET, "Key": key}, Output="{% $states.result.Body %}", **more)


def glue_task(**more: object) -> dict[str, Any]:
    return one_task(GLUE_SYNC, {"JobName": "job", "Arguments": {"--day": "{% $states.input.day %}"}}, **more)


def types(server: WorkflowServer, arn: str) -> list[str]:
    return [event["type"] for event in server.history(arn)]


def last_event_is(server: WorkflowServer, arn: str, name: str) -> bool:
    return types(server, arn)[-1] == name


# Expressions


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$hash('abc', 'SHA-256')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("""$parse('{"a": [1, null], "b": {"c": "é"}}')""", {"a": [1, None], "b": {"c": "é"}}),
        ("$partition([1, 2, 3, 4, 5], 2)", [[1, 2], [3, 4], [5]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$encodeUrlComponent('a b/é+.csv')", "a%20b%2F%C3%A9%2B.csv"),
        ("$nothing", None),
        ("$type($nothing)", "null"),
        ("""$quoted & '!'""", 'say "no" \\ {% $x %}\n!'),
        ("$merge([$row, {'b': null}])", {"a": 1, "b": None}),
        ("[$rows[a = 1].a]", [1]),
        ("[$rows[a = 9].a]", []),
        ("[$rows.a]", [1, 2]),
        ("2 / 2", 1),
        ("$string({'a': [1, null, 'é']})", '{"a":[1,null,"é"]}'),
        ("$string(1.5) & $string(true) & $string('x')", "1.5truex"),
    ],
)
def test_an_expression_has_the_value_that_aws_gives_it(expression: str, expected: object) -> None:
    bindings = {
        "nothing": None,
        "quoted": 'say "no" \\ {% $x %}\n',
        "row": {"a": 1, "b": 2},
        "rows": [{"a": 1}, {"a": 2}],
    }
    assert evaluate(expression, bindings) == expected


@pytest.mark.parametrize("expression", ["$missing", "$rows[a = 9]", "$parse('{')", "$eval('1')", "1 +", "$sum"])
def test_an_expression_that_gives_nothing_or_fails_is_an_error(expression: str) -> None:
    with pytest.raises(QueryEvaluationError):
        evaluate(expression, {"rows": [{"a": 1}]})


def test_a_null_inside_a_variable_stays_null_after_the_expression() -> None:
    rows = [{"a": None}]
    assert evaluate("$rows", {"rows": rows}) == [{"a": None}]
    assert rows == [{"a": None}]


def test_a_failed_expression_fails_the_execution_by_its_name(server: WorkflowServer) -> None:
    ended = server.run(passing("{% $states.input.missing %}"))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.QueryEvaluationError")
    assert "EvaluationFailed" in types(server, ended["executionArn"])


def test_assign_and_output_of_a_state_see_the_variables_from_before_it(server: WorkflowServer) -> None:
    states = {
        "First": {"Type": "Pass", "Assign": {"x": 1}, "Next": "Second"},
        "Second": {"Type": "Pass", "Assign": {"x": 2}, "Output": "{% $x %}", "Next": "Third"},
        "Third": {"Type": "Pass", "Output": "{% [$states.input, $x] %}", "End": True},
    }
    assert server.run({"StartAt": "First", "States": states})["output"] == [1, 2]


def test_a_choice_condition_that_is_no_boolean_fails_the_execution(server: WorkflowServer) -> None:
    choice = {"Type": "Choice", "Choices": [{"Condition": "{% 'yes' %}", "Next": "End"}], "Default": "End"}
    ended = server.run({"StartAt": "Choose", "States": {"Choose": choice, "End": {"Type": "Succeed"}}})
    assert ended["status"] == "FAILED"


# SDK integrations


@pytest.mark.parametrize(
    ("body", "stored"),
    [("{% {'a': 'é'} %}", b'{"a":"\xc3\xa9"}'), ("text", b'"text"'), ("{% [1, null] %}", b"[1,null]")],
)
def test_put_object_stores_its_body_as_json(server: WorkflowServer, body: str, stored: bytes) -> None:
    assert server.run(one_task(PUT, {"Bucket": BUCKET, "Key": "k", "Body": body}))["status"] == "SUCCEEDED"
    assert server.client("s3").get_object(Bucket=BUCKET, Key="k")["Body"].read() == stored


def test_get_object_gives_its_body_as_text_and_moments_as_text(server: WorkflowServer) -> None:
    server.client("s3").put_object(Bucket=BUCKET, Key="k", Body="é\n".encode())
    ended = server.run(one_task(GET, {"Bucket": BUCKET, "Key": "k"}))
    assert ended["output"]["Body"] == "é\n"
    assert ended["output"]["LastModified"].endswith("Z")
    assert "ResponseMetadata" not in ended["output"]


def test_members_of_a_result_begin_with_a_capital(server: WorkflowServer) -> None:
    failed = server.run({"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "E", "Cause": "C"}}})
    described = server.run(
        one_task("arn:aws:states:::aws-sdk:sfn:describeExecution", {"ExecutionArn": failed["executionArn"]})
    )["output"]
    assert (described["Status"], described["Error"], described["Cause"]) == ("FAILED", "E", "C")


def test_errors_of_the_sdk_carry_the_names_that_aws_gives_them(server: WorkflowServer) -> None:
    assert server.run(get_object("missing"))["error"] == "S3.NoSuchKeyException"


def test_a_failed_expression_of_a_task_is_retried_like_any_other_failure(server: WorkflowServer) -> None:
    ended = server.run(get_object("{% $states.input.missing %}", Retry=RETRY_ONCE))
    assert ended["error"] == "States.QueryEvaluationError"
    assert types(server, ended["executionArn"]).count("EvaluationFailed") == 2


def test_a_parameter_that_the_operation_lacks_fails_the_task(server: WorkflowServer) -> None:
    ended = server.run(one_task(GET, {"Bucket": BUCKET, "Key": "k", "Colour": "red"}))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
    assert "Colour" in ended["cause"]


def test_copy_source_is_taken_apart_before_the_sdk_encodes_it() -> None:
    assert copy_source("b/a%20b%2Fc%3FversionId%3Dx.csv?versionId=v%2B1") == {
        "Bucket": "b",
        "Key": "a b/c?versionId=x.csv",
        "VersionId": "v+1",
    }


# Glue


def test_a_glue_run_that_succeeds_gives_its_description(server: WorkflowServer) -> None:
    server.glue.outcomes["job"] = lambda _: "SUCCEEDED"
    output = server.run(glue_task(), {"day": "2024-06-25"})["output"]
    assert (output["JobRunState"], output["JobName"]) == ("SUCCEEDED", "job")
    assert output["Arguments"] == {"--day": "2024-06-25"}
    assert isinstance(output["StartedOn"], int)


def test_a_glue_run_that_fails_is_retried_and_then_fails_the_execution_with_the_run_as_cause(
    server: WorkflowServer,
) -> None:
    server.glue.outcomes["job"] = lambda _: "FAILED"
    ended = server.run(glue_task(Retry=RETRY_ONCE), {"day": "d"})
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(ended["cause"])["JobRunState"] == "FAILED"
    assert len(server.glue.runs) == 2


def test_an_error_at_the_start_of_a_glue_run_has_glue_in_its_name(server: WorkflowServer) -> None:
    def refuse(_: dict[str, str]) -> str:
        raise JsonRESTError("ConcurrentRunsExceededException", "too many")

    server.glue.outcomes["job"] = refuse
    assert server.run(glue_task(), {"day": "d"})["error"] == "Glue.ConcurrentRunsExceededException"


def test_a_task_that_exceeds_its_timeout_fails_as_a_timeout_that_task_failed_does_not_retry(
    server: WorkflowServer,
) -> None:
    server.glue.outcomes["job"] = lambda _: "RUNNING"
    ended = server.run(glue_task(TimeoutSeconds=1, Retry=RETRY_ONCE), {"day": "d"})
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")
    assert len(server.glue.runs) == 1
    wait_for(lambda: state_of_the_run(server) == "STOPPED", "the stop of the run")


def test_stopping_an_execution_aborts_it_at_once_and_stops_its_glue_run(server: WorkflowServer) -> None:
    server.glue.outcomes["job"] = lambda _: "RUNNING"
    arn = server.start(glue_task(Retry=RETRY_ONCE), {"day": "d"})
    wait_for(lambda: server.glue.runs, "the run")
    client = server.client("stepfunctions")
    client.stop_execution(executionArn=arn, error="Operator", cause="wrong file")
    described = client.describe_execution(executionArn=arn)
    assert (described["status"], described["error"], described["cause"]) == ("ABORTED", "Operator", "wrong file")
    wait_for(lambda: state_of_the_run(server) == "STOPPED", "the stop of the run")
    wait_for(lambda: types(server, arn)[-1] == "ExecutionAborted", "the last event")
    assert client.describe_execution(executionArn=arn)["status"] == "ABORTED"


def test_an_execution_that_exceeds_its_timeout_is_timed_out(server: WorkflowServer) -> None:
    server.glue.outcomes["job"] = lambda _: "RUNNING"
    ended = server.run({**glue_task(), "TimeoutSeconds": 1}, {"day": "d"})
    assert ended["status"] == "TIMED_OUT"
    assert "error" not in ended
    assert types(server, ended["executionArn"])[-1] == "ExecutionTimedOut"
    wait_for(lambda: state_of_the_run(server) == "STOPPED", "the stop of the run")


def test_stopping_an_execution_ends_its_wait_and_its_retry_interval(
    server: WorkflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_functions.install(wait_scale=1)
    client = server.client("stepfunctions")
    long_wait = {"Type": "Wait", "Seconds": 600, "End": True}
    waiting = server.start({"StartAt": "Wait", "States": {"Wait": long_wait}})
    retrying = server.start(
        get_object("missing", Retry=[{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 600}])
    )
    wait_for(lambda: "TaskFailed" in types(server, retrying), "the failure")
    for arn in (waiting, retrying):
        client.stop_execution(executionArn=arn)
        wait_for(partial(last_event_is, server, arn, "ExecutionAborted"), "the last event")


# Map


def map_over(states: dict[str, Any], start_at: str, **more: object) -> dict[str, Any]:
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": start_at, "States": states}
    state = {"Type": "Map", "Items": "{% $states.input %}", "ItemProcessor": processor, "End": True, **more}
    return {"StartAt": "Each", "States": {"Each": state}}


@pytest.mark.parametrize("items", [[], [1], [1, 2], list(range(25))])
def test_a_map_gives_the_outputs_in_the_order_of_its_items(server: WorkflowServer, items: list[int]) -> None:
    states = {"Double": {"Type": "Pass", "Output": "{% $states.input * 2 %}", "End": True}}
    ended = server.run(map_over(states, "Double", MaxConcurrency=10), items)
    assert ended["output"] == [2 * item for item in items]


def test_a_redrive_runs_only_the_iterations_of_a_map_that_did_not_succeed(server: WorkflowServer) -> None:
    put = task(PUT, {"Bucket": BUCKET, "Key": "{% 'done/' & $k %}", "Body": "{% $k %}"})
    states = {
        "Remember": {"Type": "Pass", "Assign": {"k": "{% $states.input.key %}"}, "Next": "Count"},
        "Count": {**put, "Next": "Read"},
        "Read": task(GET, {"Bucket": BUCKET, "Key": "{% $k %}"}, Output="{% $states.result.Body %}", End=True),
    }
    s3, client = server.client("s3"), server.client("stepfunctions")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="good", Body=b"1")
    arn = server.start(map_over(states, "Remember", MaxConcurrency=1), [{"key": "good"}, {"key": "late"}])
    assert server.ended(arn)["error"] == "S3.NoSuchKeyException"
    s3.put_object(Bucket=BUCKET, Key="late", Body=b"2")
    client.redrive_execution(executionArn=arn)
    ended = server.ended(arn)
    assert (ended["status"], ended["output"]) == ("SUCCEEDED", ["1", "2"])
    written = [version["Key"] for version in s3.list_object_versions(Bucket=BUCKET, Prefix="done/")["Versions"]]
    assert sorted(written) == ["done/good", "done/late"], "a state that had succeeded ran again"


def test_a_failed_iteration_aborts_the_others_and_a_redrive_finishes_them(server: WorkflowServer) -> None:
    failing = threading.Event()
    failing.set()

    def outcome(arguments: dict[str, str]) -> str:
        if arguments["--item"] == "bad" and failing.is_set():
            return "FAILED"
        return "RUNNING" if failing.is_set() else "SUCCEEDED"

    server.glue.outcomes["job"] = outcome
    run = task(GLUE_SYNC, {"JobName": "job", "Arguments": {"--item": "{% $states.input %}"}}, End=True)
    arn = server.start(map_over({"Run": run}, "Run"), ["slow", "bad"])
    assert server.ended(arn)["status"] == "FAILED"
    assert "MapIterationAborted" in types(server, arn)
    assert {run["JobRunState"] for run in server.glue.runs.values()} == {"FAILED", "STOPPED"}
    failing.clear()
    server.client("stepfunctions").redrive_execution(executionArn=arn)
    ended = server.ended(arn)
    assert [run["Arguments"]["--item"] for run in ended["output"]] == ["slow", "bad"]


def test_the_last_event_leads_back_to_the_state_that_failed_and_not_to_one_of_an_aborted_iteration(
    server: WorkflowServer,
) -> None:
    is_busy = threading.Event()
    server.glue.outcomes["job"] = lambda _: "FAILED" if is_busy.is_set() else "RUNNING"
    states = {
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input = 'bad' %}", "Next": "Run"}],
            "Default": "Busy",
        },
        "Run": task(GLUE_SYNC, {"JobName": "job"}, End=True),
        "Busy": task(GET, {"Bucket": BUCKET, "Key": "there"}, Next="Busy"),
    }
    server.client("s3").put_object(Bucket=BUCKET, Key="there", Body=b"1")
    arn = server.start(map_over(states, "Choose"), ["busy", "bad"])
    wait_for(lambda: "TaskSucceeded" in types(server, arn), "the other iteration")
    is_busy.set()
    assert server.ended(arn)["status"] == "FAILED"
    events = {event["id"]: event for event in server.history(arn)}
    event = events[max(events)]
    while "stateEnteredEventDetails" not in event:
        event = events[event["previousEventId"]]
    assert event["stateEnteredEventDetails"]["name"] == "Run"


def test_a_redrive_resumes_a_map_whose_execution_timed_out(server: WorkflowServer) -> None:
    server.glue.outcomes["job"] = lambda arguments: "SUCCEEDED" if arguments["--item"] == "quick" else "RUNNING"
    run = task(GLUE_SYNC, {"JobName": "job", "Arguments": {"--item": "{% $states.input %}"}}, End=True)
    arn = server.start({**map_over({"Run": run}, "Run"), "TimeoutSeconds": 2}, ["quick", "slow"])
    assert server.ended(arn)["status"] == "TIMED_OUT"
    assert types(server, arn).count("MapIterationSucceeded") == 1
    server.glue.outcomes["job"] = lambda _: "SUCCEEDED"
    server.client("stepfunctions").redrive_execution(executionArn=arn)
    ended = server.ended(arn)
    assert [run["Arguments"]["--item"] for run in ended["output"]] == ["quick", "slow"]
    assert [run["Arguments"]["--item"] for run in server.glue.runs.values()].count("quick") == 1


def test_a_map_fails_with_the_error_of_its_iteration_and_can_be_retried_for_it(server: WorkflowServer) -> None:
    outcomes = iter(["FAILED", "SUCCEEDED", "FAILED", "FAILED"])
    server.glue.outcomes["job"] = lambda _: next(outcomes)
    run = task(GLUE_SYNC, {"JobName": "job"}, End=True)
    retried = map_over({"Run": run}, "Run", Retry=RETRY_ONCE)
    assert server.run(retried, [1])["status"] == "SUCCEEDED"
    ended = server.run(retried, [1])
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(ended["cause"])["JobRunState"] == "FAILED"
    server.glue.outcomes["job"] = lambda _: "RUNNING"
    slow = map_over({"Run": {**run, "TimeoutSeconds": 1}}, "Run", Retry=RETRY_ONCE)
    assert server.run(slow, [1])["error"] == "States.Timeout"
    assert len(server.glue.runs) == 5, "a timeout is not retried as a failed task"


# Executions of a machine, started by a task


START: Final = "arn:aws:states:::states:startExecution"


def starting(machine: str, name: str, started_input: object, **more: object) -> dict[str, Any]:
    return one_task(START, {"StateMachineArn": machine, "Name": name, "Input": started_input}, **more)


@pytest.mark.parametrize("started_input", [["é", {"a": None}], {"a": 1}, []])
def test_a_task_starts_an_execution_and_does_not_wait(server: WorkflowServer, started_input: object) -> None:
    waits = {"Wait": {"Type": "Wait", "Seconds": 9999, "End": True}}
    machine = server.create_state_machine({"StartAt": "Wait", "States": waits})
    result = server.run(starting(machine, "child", started_input))["output"]
    child = server.client("stepfunctions").describe_execution(executionArn=result["ExecutionArn"])
    assert (child["name"], child["status"], json.loads(child["input"])) == ("child", "RUNNING", started_input)
    assert server.run(starting(machine, "child", started_input))["output"] == result, "the same name and input"


def test_a_task_that_starts_a_name_again_fails_by_the_name_that_aws_gives_it(server: WorkflowServer) -> None:
    machine = server.create_state_machine(passing("x"))
    first = server.run(starting(machine, "child", [1]))["output"]
    server.ended(first["ExecutionArn"])
    again = server.run(starting(machine, "child", [1]))
    assert (again["status"], again["error"]) == ("FAILED", "StepFunctions.ExecutionAlreadyExistsException")
    assert "Execution Already Exists: " in again["cause"]


def test_letters_that_are_not_ascii_do_not_make_a_started_input_longer(server: WorkflowServer) -> None:
    machine = server.create_state_machine(passing("x"))
    text = "é" * (DATA_BYTES // 2 - 200)
    result = server.run(starting(machine, "child", [text]))["output"]
    assert json.loads(server.ended(result["ExecutionArn"])["input"]) == [text]


# Redrive


def test_a_redrive_resumes_at_the_failed_state_with_its_input_and_variables(server: WorkflowServer) -> None:
    server.glue.outcomes["job"] = lambda _: "SUCCEEDED"
    states = {
        "Run": {**glue_task()["States"]["Only"], "Assign": {"kept": "{% $states.input.day %}"}, "Next": "Read"},
        "Read": task(GET, {"Bucket": BUCKET, "Key": "late"}, Output="{% [$kept, $states.input.JobName] %}", End=True),
    }
    del states["Run"]["End"]
    client = server.client("stepfunctions")
    arn = server.start({"StartAt": "Run", "States": states}, {"day": "d"})
    failed = server.ended(arn)
    assert (failed["redriveCount"], failed["redriveStatus"]) == (0, "REDRIVABLE")
    server.client("s3").put_object(Bucket=BUCKET, Key="late", Body=b"")
    client.redrive_execution(executionArn=arn)
    ended = server.ended(arn)
    assert (ended["status"], ended["output"], ended["redriveCount"]) == ("SUCCEEDED", ["d", "job"], 1)
    assert ended["redriveStatus"] == "NOT_REDRIVABLE"
    assert "error" not in ended
    assert len(server.glue.runs) == 1, "a state that had succeeded ran again"
    names = types(server, arn)
    assert names.count("ExecutionStarted") == names.count("ExecutionFailed") == names.count("ExecutionRedriven") == 1
    ids = [event["id"] for event in server.history(arn)]
    assert ids == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("how", ["timeout", "stop"])
def test_a_redrive_resumes_an_execution_that_timed_out_or_was_aborted(server: WorkflowServer, how: str) -> None:
    server.glue.outcomes["job"] = lambda _: "RUNNING"
    arn = server.start({**glue_task(), "TimeoutSeconds": 1 if how == "timeout" else 60}, {"day": "d"})
    client = server.client("stepfunctions")
    wait_for(lambda: server.glue.runs, "the run")
    if how == "stop":
        client.stop_execution(executionArn=arn)
    assert server.ended(arn)["status"] == {"timeout": "TIMED_OUT", "stop": "ABORTED"}[how]
    server.glue.outcomes["job"] = lambda _: "SUCCEEDED"
    client.redrive_execution(executionArn=arn)
    assert server.ended(arn)["status"] == "SUCCEEDED"
    assert len(server.glue.runs) == 2


def test_a_redrive_of_an_execution_that_ended_in_a_fail_state_fails_there_again(server: WorkflowServer) -> None:
    caught = get_object("missing")["States"]["Only"] | {"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Sorry"}]}
    arn = server.start({"StartAt": "Only", "States": {"Only": caught, "Sorry": {"Type": "Fail", "Error": "Sorry"}}})
    assert server.ended(arn)["error"] == "Sorry"
    server.client("s3").put_object(Bucket=BUCKET, Key="missing", Body=b"now")
    server.client("stepfunctions").redrive_execution(executionArn=arn)
    ended = server.ended(arn)
    assert (ended["status"], ended["error"], ended["redriveCount"]) == ("FAILED", "Sorry", 1)


def test_an_execution_that_succeeded_cannot_be_redriven(server: WorkflowServer) -> None:
    arn = server.run(passing("done"))["executionArn"]
    with pytest.raises(ClientError, match=r"ExecutionNotRedrivable.*SUCCEEDED"):
        server.client("stepfunctions").redrive_execution(executionArn=arn)


# The API


def test_executions_are_listed_with_status_and_dates(server: WorkflowServer) -> None:
    arn = server.create_state_machine({**glue_task(), "TimeoutSeconds": 1})
    server.glue.outcomes["job"] = lambda _: "RUNNING"
    server.ended(server.start(arn, {"day": "d"}))
    (listed,) = server.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]
    assert listed["status"] == "TIMED_OUT"
    assert listed["stopDate"] >= listed["startDate"]
    assert listed["redriveCount"] == 0


def test_an_execution_without_a_name_gets_one(server: WorkflowServer) -> None:
    machine = server.create_state_machine(passing("x"))
    names = {server.ended(server.start(machine))["name"] for _ in range(2)}
    assert len(names) == 2
    assert "None" not in names


def test_a_name_that_was_used_with_another_input_is_refused(server: WorkflowServer) -> None:
    machine = server.create_state_machine(passing("x"))
    server.ended(server.start(machine, 1, name="once"))
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        server.start(machine, 2, name="once")


def test_the_history_comes_in_pages_and_backwards_if_asked(server: WorkflowServer) -> None:
    arn = server.run(passing("x"))["executionArn"]
    client = server.client("stepfunctions")
    page = client.get_execution_history(executionArn=arn, maxResults=1, reverseOrder=True)
    assert [event["type"] for event in page["events"]] == ["ExecutionSucceeded"]
    rest = client.get_execution_history(executionArn=arn, reverseOrder=True, nextToken=page["nextToken"])
    assert [event["id"] for event in rest["events"]] == [3, 2, 1]


def test_the_history_leaves_the_data_out_if_asked(server: WorkflowServer) -> None:
    arn = server.run(passing("x"), {"secret": 1})["executionArn"]
    answer = server.client("stepfunctions").get_execution_history(executionArn=arn, includeExecutionData=False)
    assert answer["events"][1]["stateEnteredEventDetails"] == {"name": "Only"}
    assert "secret" not in str(answer["events"])


@pytest.mark.parametrize(
    ("handler", "action", "state"),
    [
        (SNSResponse, "publish", task("arn:aws:states:::sns:publish", {"TopicArn": "t", "Message": "m"}, End=True)),
        (
            DynamoHandler,
            "update_item",
            task("arn:aws:states:::dynamodb:updateItem", {"TableName": "t", "Key": {"pk": {"S": "a"}}}, End=True),
        ),
    ],
)
def test_a_service_that_crashes_is_tried_again(
    server: WorkflowServer, monkeypatch: pytest.MonkeyPatch, handler: type, action: str, state: dict[str, Any]
) -> None:
    calls = []

    def crash(_: object) -> None:
        calls.append(action)
        raise RuntimeError("the service crashed")

    monkeypatch.setattr(handler, action, crash)
    ended = server.run({"StartAt": "Only", "States": {"Only": {**state, "Retry": RETRY_ONCE}}})
    assert ended["status"] == "FAILED"
    assert len(calls) == 2


def test_retries_and_waits_keep_their_pace_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from local_aws.step_functions import control_flow

    monkeypatch.delenv(step_functions.WAIT_SCALE_VARIABLE, raising=False)
    step_functions.install()
    assert control_flow._wait["scale"] == 1
    monkeypatch.setenv(step_functions.WAIT_SCALE_VARIABLE, "0.5")
    step_functions.install()
    assert control_flow._wait["scale"] == 0.5
    step_functions.install(wait_scale=1)
    with pytest.raises(ValueError, match="-1"):
        step_functions.install(wait_scale=-1)
