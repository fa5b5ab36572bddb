"""256 KiB: what a state may pass on, in every place where AWS counts, and not a byte less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from local_aws.step_functions.data_limits import DATA_BYTES, size_of
from tests.local.workflow_server import WorkflowServer, workflow_server

BUCKET: Final = "data"
PUT: Final = "arn:aws:states:::aws-sdk:s3:putObject"
GET: Final = "arn:aws:states:::aws-sdk:s3:getObject"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running:
        running.client("s3").create_bucket(Bucket=BUCKET)
        yield running


def text_of(length: int) -> str:
    """A JSONata expression for a text of so many bytes, with a character of two bytes and one that JSON escapes."""
    return f"$pad('é\"', {length - 2}, 'x')"


def outcome(server: WorkflowServer, state: dict[str, Any]) -> str:
    """How an execution of one state ends: SUCCEEDED, or its error."""
    ended = server.run({"StartAt": "S", "States": {"S": state, "T": {"Type": "Succeed", "Output": {}}}})
    return str(ended.get("error", ended["status"]))


QUOTES: Final = len('""')
CASES: Final[dict[str, Any]] = {
    "an output": (QUOTES, lambda text: {"Type": "Pass", "Output": f"{{% {text} %}}", "Next": "T"}),
    "a variable": (
        len('{"x":""}'),
        lambda text: {"Type": "Pass", "Assign": {"x": f"{{% {text} %}}"}, "Output": {}, "Next": "T"},
    ),
    "two variables": (
        len('{"x":"","y":"1234567890"}'),
        lambda text: {"Type": "Pass", "Assign": {"x": f"{{% {text} %}}", "y": "1234567890"}, "Output": {}, "Next": "T"},
    ),
    "arguments": (
        len('{"Bucket":"data","Key":"k","Body":""}'),
        lambda text: {
            "Type": "Task",
            "Resource": PUT,
            "Arguments": {"Bucket": BUCKET, "Key": "k", "Body": f"{{% {text} %}}"},
            "Output": {},
            "Next": "T",
        },
    ),
    "the result of a map": (
        len('[""]'),
        lambda text: {
            "Type": "Map",
            "Items": [1],
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "One",
                "States": {"One": {"Type": "Pass", "Output": f"{{% {text} %}}", "End": True}},
            },
            "Output": {},
            "Next": "T",
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_256_kib_are_passed_on_and_not_a_byte_more(server: WorkflowServer, case: str) -> None:
    around, state = CASES[case]
    # The quote in the text counts twice: JSON escapes it.
    assert outcome(server, state(text_of(DATA_BYTES - around))) == "SUCCEEDED"
    assert outcome(server, state(text_of(DATA_BYTES - around + 1))) == "States.DataLimitExceeded"


def test_a_task_whose_result_is_too_large_fails_and_is_not_retried(server: WorkflowServer) -> None:
    server.client("s3").put_object(Bucket=BUCKET, Key="k", Body=b"x" * DATA_BYTES)
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    state = {"Type": "Task", "Resource": GET, "Arguments": {"Bucket": BUCKET, "Key": "k"}, "Retry": retry, "Next": "T"}
    assert outcome(server, state | {"Output": {}}) == "States.DataLimitExceeded"


def test_all_variables_together_have_at_most_10_mib(server: WorkflowServer) -> None:
    large = "{% " + text_of(DATA_BYTES - 100) + " %}"
    states: dict[str, Any] = {
        f"S{number}": {"Type": "Pass", "Assign": {f"x{number}": large}, "Output": {}, "Next": f"S{number + 1}"}
        for number in range(41)
    }
    states["S41"] = {"Type": "Succeed"}
    ended = server.run({"StartAt": "S0", "States": states})
    assert ended["error"] == "States.DataLimitExceeded"
    assert "all variables" in ended["cause"]


def test_an_execution_starts_with_256_kib_and_not_with_a_byte_more(server: WorkflowServer) -> None:
    arn = server.create_state_machine({"StartAt": "T", "States": {"T": {"Type": "Succeed", "Output": {}}}})
    sfn = server.client("stepfunctions")
    text = '"' + "é" * ((DATA_BYTES - QUOTES) // 2) + '"'
    assert sfn.start_execution(stateMachineArn=arn, input=text)["executionArn"]
    with pytest.raises(ClientError, match="length less than or equal to 262144") as refused:
        sfn.start_execution(stateMachineArn=arn, input=text[:-1] + 'x"')
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_value_counts_as_json_without_spaces() -> None:
    assert size_of({"a": [1, "é"]}) == len('{"a":[1,"é"]}'.encode())
