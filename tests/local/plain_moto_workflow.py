"""What plain moto does in the parts that the embedded AWS replaces, printed as JSON; run in a process of its own.

The patches hold for a whole process, so that a test process that has installed them cannot look behind them.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import boto3
import jsonata  # type: ignore[import-untyped]
import requests  # type: ignore[import-untyped]
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.server import ThreadedMotoServer
from moto.stepfunctions.parser.asl.jsonata import jsonata as moto_jsonata

ROLE: Final = "arn:aws:iam::123456789012:role/r"
SDK: Final = "arn:aws:states:::aws-sdk:"
QUEUE: Final = "arn:aws:sqs:us-east-1:123456789012:q"
_numbers: Final = itertools.count()
_endpoint: Final[dict[str, str]] = {}


def client(service: str) -> Any:  # noqa: ANN401
    make_client: Any = boto3.session.Session().client
    return make_client(
        service,
        endpoint_url=_endpoint["url"],
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )


def machine(states: dict[str, Any], **more: object) -> str:
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **more}
    answer = client("stepfunctions").create_state_machine(
        name=f"m{next(_numbers)}", definition=json.dumps(definition), roleArn=ROLE
    )
    return str(answer["stateMachineArn"])


def start(states: dict[str, Any], **more: object) -> str:
    answer = client("stepfunctions").start_execution(
        stateMachineArn=machine(states, **more), name=f"e{next(_numbers)}", input="{}"
    )
    return str(answer["executionArn"])


def describe(arn: str) -> dict[str, Any]:
    found: dict[str, Any] = client("stepfunctions").describe_execution(executionArn=arn)
    return found


def run(states: dict[str, Any], **more: object) -> dict[str, Any]:
    arn = start(states, **more)
    deadline = time.monotonic() + 20
    while (found := describe(arn))["status"] == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def passing(output: str) -> dict[str, Any]:
    return {"P": {"Type": "Pass", "Output": output, "End": True}}


def task(resource: str, arguments: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"T": {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True, **more}}


def received() -> list[str]:
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
    return [message["Body"] for message in sqs.receive_message(QueueUrl=url).get("Messages", [])]


def interpreter_is_on() -> bool:
    return "outputDetails" in describe(start({"S": {"Type": "Succeed"}}))


def expression_is_evaluated() -> str:
    return str(run(passing("{% 1 %}"))["status"])


def hash_of_abc() -> str:
    return str(run(passing("{% $hash('abc', 'SHA-256') %}"))["output"])


def text_output() -> str:
    return str(run(passing("text"))["output"])


def variable_with_quotes() -> str:
    states = {"A": {"Type": "Pass", "Assign": {"x": 'say "no"'}, "Next": "P"}, **passing("{% $x %}")}
    return str(run(states).get("output"))


def output_sees_assigned() -> str:
    states = {
        "A": {"Type": "Pass", "Assign": {"x": 1}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"x": 2}, "Output": "{% $x %}", "End": True},
    }
    return str(run(states)["output"])


def failed_expression() -> str:
    return str(run(passing("{% $sum('a') %}"))["error"])


def get_object() -> str:
    return str(run(task(SDK + "s3:getObject", {"Bucket": "data", "Key": "k"}))["status"])


def missing_object() -> str:
    return str(run(task(SDK + "s3:getObject", {"Bucket": "data", "Key": "no"}))["error"])


def stored_body() -> str:
    run(task(SDK + "s3:putObject", {"Bucket": "data", "Key": "text", "Body": "text"}))
    return str(client("s3").get_object(Bucket="data", Key="text")["Body"].read().decode())


def described_by_sdk() -> str:
    arn = start({"S": {"Type": "Succeed"}})
    return str(run(task(SDK + "sfn:describeExecution", {"ExecutionArn": arn}))["status"])


def encoded_copy_source() -> str:
    arguments = {"Bucket": "data", "Key": "copy", "CopySource": "data/a%20b"}
    return str(run(task(SDK + "s3:copyObject", arguments))["status"])


def execution_started_by_a_task() -> str:
    arguments = {"StateMachineArn": machine(passing("x")), "Input": ["x"]}
    return str(run(task("arn:aws:states:::states:startExecution", arguments))["status"])


def glue_sync() -> str:
    client("glue").create_job(Name="job", Role="r", Command={"Name": "glueetl", "ScriptLocation": "s3://data/k"})
    return str(run(task("arn:aws:states:::glue:startJobRun.sync", {"JobName": "job"})).get("cause"))


def query_error_is_retried_as_task_failed() -> bool:
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    arn = run(task(SDK + "s3:listBuckets", {"Prefix": "{% $missing %}"}, Retry=retry))["executionArn"]
    events = client("stepfunctions").get_execution_history(executionArn=arn)["events"]
    return [event["type"] for event in events].count("EvaluationFailed") > 2


def error_of_a_map_is_lost() -> bool:
    late = task(SDK + "s3:listBuckets", {"Prefix": "{% $missing %}"})
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "T", "States": late}
    each = {"Type": "Map", "Items": [1], "ItemProcessor": processor, "End": True}
    return "Custom Error Names MUST NOT begin" in run({"M": each})["cause"]


def name_of_an_unnamed_execution() -> str:
    arn = client("stepfunctions").start_execution(stateMachineArn=machine(passing("x")))["executionArn"]
    return str(arn).rsplit(":", 1)[1]


def stop_in_a_retry_interval() -> list[str | None]:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 30, "MaxAttempts": 1}]
    arn = start(task(SDK + "s3:getObject", {"Bucket": "data", "Key": "no"}, Retry=retry))
    history = client("stepfunctions").get_execution_history
    while "TaskFailed" not in [event["type"] for event in history(executionArn=arn)["events"]]:
        time.sleep(0.05)
    client("stepfunctions").stop_execution(executionArn=arn, cause="C")
    found = describe(arn)
    return [found["status"], found.get("cause")]


def redrive() -> str:
    arn = run({"No": {"Type": "Fail"}})["executionArn"]
    answer = requests.post(
        _endpoint["url"],
        data=json.dumps({"executionArn": arn}),
        headers={
            "X-Amz-Target": "AWSStepFunctions.RedriveExecution",
            "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/states/aws4_request",
        },
        timeout=10,
    )
    return str(answer.reason)


def stop_date_of_a_timeout() -> bool:
    return "stopDate" in run({"W": {"Type": "Wait", "Seconds": 15, "End": True}}, TimeoutSeconds=1)


def size_of_a_history_page_of_one() -> int:
    arn = run(passing("x"))["executionArn"]
    return len(client("stepfunctions").get_execution_history(executionArn=arn, maxResults=1)["events"])


def status_change_events() -> int:
    events = client("events")
    events.put_rule(Name="changes", EventPattern=json.dumps({"source": ["aws.states"]}))
    events.put_targets(Rule="changes", Targets=[{"Id": "t", "Arn": QUEUE}])
    run(passing("x"))
    return len(received())


def executions_started_by_a_rule() -> int:
    events = client("events")
    target = machine(passing("x"))
    events.put_rule(Name="start", EventPattern=json.dumps({"source": ["shop"]}))
    events.put_targets(Rule="start", Targets=[{"Id": "t", "Arn": target}])
    requests.post(
        _endpoint["url"],
        data=json.dumps({"Entries": [{"Source": "shop", "DetailType": "d", "Detail": "{}"}]}),
        headers={
            "X-Amz-Target": "AWSEvents.PutEvents",
            "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/events/aws4_request",
        },
        timeout=10,
    )
    return len(client("stepfunctions").list_executions(stateMachineArn=target)["executions"])


def events_from_a_disabled_rule() -> int:
    events = client("events")
    events.put_rule(Name="off", EventPattern=json.dumps({"source": ["off"]}), State="DISABLED")
    events.put_targets(Rule="off", Targets=[{"Id": "t", "Arn": QUEUE}])
    events.put_events(Entries=[{"Source": "off", "DetailType": "d", "Detail": "{}"}])
    return len(received())


def table_copies_of_a_transaction() -> int:
    copies = []
    deep_copy = copy.deepcopy

    def counted(value: object, *more: Any) -> object:  # noqa: ANN401
        copies.append(isinstance(value, Table))
        return deep_copy(value, *more)

    copy.deepcopy = counted  # type: ignore[assignment]
    client("dynamodb").transact_write_items(TransactItems=[{"Put": {"TableName": "rows", "Item": {"pk": {"S": "a"}}}}])
    copy.deepcopy = deep_copy
    return sum(copies)


def left_by_a_failed_update() -> list[str]:
    dynamodb = client("dynamodb")
    dynamodb.put_item(TableName="rows", Item={"pk": {"S": "half"}, "word": {"S": "w"}})
    try:
        dynamodb.update_item(
            TableName="rows",
            Key={"pk": {"S": "half"}},
            UpdateExpression="SET n = :n ADD word :n",
            ExpressionAttributeValues={":n": {"N": "1"}},
        )
    except ClientError:
        return sorted(dynamodb.get_item(TableName="rows", Key={"pk": {"S": "half"}}).get("Item", {}))
    return ["no error"]


def values_given_to_three_adds() -> list[str]:
    update = DynamoDBBackend.update_item
    all_have_added = threading.Barrier(3, timeout=30)

    def answering_together(self: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        item = update(self, *arguments, **named)
        all_have_added.wait()
        return item

    DynamoDBBackend.update_item = answering_together  # type: ignore[method-assign]
    given: list[str] = []

    def add() -> None:
        answer = client("dynamodb").update_item(
            TableName="rows",
            Key={"pk": {"S": "sum"}},
            UpdateExpression="ADD n :n",
            ExpressionAttributeValues={":n": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )
        given.append(answer["Attributes"]["n"]["N"])

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(given)


def _switch_on_interpreter() -> None:
    config = {"stepfunctions": {"execute_state_machine": True}}
    requests.post(f"{_endpoint['url']}/moto-api/config", json=config, timeout=10)


def _switch_on_jsonata() -> None:
    moto_jsonata._eval_jsonata = lambda expression: jsonata.Jsonata(expression).evaluate(None)


PROBES: Final[tuple[Callable[[], Any], ...]] = (
    interpreter_is_on,
    _switch_on_interpreter,
    expression_is_evaluated,
    _switch_on_jsonata,
    hash_of_abc,
    text_output,
    variable_with_quotes,
    output_sees_assigned,
    failed_expression,
    get_object,
    missing_object,
    stored_body,
    described_by_sdk,
    encoded_copy_source,
    execution_started_by_a_task,
    glue_sync,
    query_error_is_retried_as_task_failed,
    error_of_a_map_is_lost,
    name_of_an_unnamed_execution,
    stop_in_a_retry_interval,
    redrive,
    stop_date_of_a_timeout,
    size_of_a_history_page_of_one,
    status_change_events,
    executions_started_by_a_rule,
    events_from_a_disabled_rule,
    table_copies_of_a_transaction,
    left_by_a_failed_update,
    values_given_to_three_adds,
)


def main() -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["MOTO_PORT"] = str(port)
    _endpoint["url"] = f"http://{host}:{port}"
    client("s3").create_bucket(Bucket="data")
    for key in ("k", "a b"):
        client("s3").put_object(Bucket="data", Key=key, Body=b"x")
    client("sqs").create_queue(QueueName="q")
    client("dynamodb").create_table(
        TableName="rows",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    print(json.dumps({probe.__name__: probe() for probe in PROBES}), flush=True)
    os._exit(0)  # threads of moto still wait


if __name__ == "__main__":
    main()
