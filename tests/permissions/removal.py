"""What somebody sees when a grant is missing, by whose grant it is."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError
from moto.cloudwatch.models import cloudwatch_backends
from moto.events.models import events_backends
from moto.s3.models import s3_backends

from glue_scripts.forgotten_files import FORGOTTEN_AFTER
from local_aws import events
from local_aws.server import ACCOUNT, REGION
from tests.kpi_api.rows import DAYS
from tests.permissions.conftest import Stacks
from tests.permissions.grants import Deployed, deployed_grants, removed
from tests.workflow.pipeline import File, Pipeline, of_size, wait_for

UPLOADS_RULE: Final = "music-kpi-dev-object-created"
NOTIFIER_RULE: Final = "music-kpi-dev-execution-failed"
HEALTH: Final = "music-kpi-dev-pipeline-health"


def upload_with_tags(pipeline: Pipeline, name: str) -> File:
    """Put a file with a tag into raw/: copies take tags along."""
    file = pipeline.upload(name)
    tags = {"TagSet": [{"Key": "sender", "Value": "shop"}]}
    pipeline.s3.put_object_tagging(Bucket=pipeline.bucket, Key=file.key, VersionId=file.version_id, Tagging=tags)
    return file


ASKED_BY_HEAD: Final = ("s3:GetObjectVersion", "s3:ListBucket")
"""Actions whose lack S3 tells by a status only: the answer to HEAD has no body. The runbook names them."""


def an_email_names_it(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """A batch fails, and the e-mail about it says what is not allowed, or at which look at a file."""
    del stacks
    files = [upload_with_tags(pipeline, name) for name in ("good.csv", "bad.csv", "gone.csv")]
    pipeline.delete(files[2])
    if grant.name.action == "states:StartExecution":
        files = [of_size(file, 15 * 2**30) for file in files]
    with removed(grant):
        ended = pipeline.run(files)
        assert ended["status"] == "FAILED"
        (email,) = pipeline.failure_emails(ended["executionArn"])
    if grant.name.action in ASKED_BY_HEAD:
        assert "State:     FindVersionAgain" in email["message"]
        assert "Status Code: 403" in email["message"]
    else:
        assert f"is not authorized to perform: {grant.name.action}" in email["message"]


def a_recomputation_fails(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """A recomputation fails, and says what is not allowed: the command that waits for it tells it."""
    pipeline.glue.outcomes[pipeline.compute_job] = lambda _: "SUCCEEDED"
    machine = stacks.outputs["RecomputeStateMachineArn"]
    with removed(grant):
        given = {"stateMachineArn": machine, "input": json.dumps({"days": ["2024-06-25"]})}
        ended = pipeline.ended(pipeline.sfn.start_execution(**given)["executionArn"])
    assert ended["status"] == "FAILED"
    assert f"is not authorized to perform: {grant.name.action}" in ended["cause"]


def the_notifier_fails(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """A batch fails after its verdict, and the notifier of it, too: an alarm watches that."""
    files = [pipeline.upload(name) for name in ("good.csv", "bad.csv")]
    pipeline.glue.outcomes[pipeline.compute_job] = lambda _: "FAILED"
    before = set(pipeline.notifications("FAILED"))
    with removed(grant), an_alarm_sees(stacks, "AWS/States", "ExecutionsFailed", pipeline.notifier):
        assert pipeline.run(files)["status"] == "FAILED"
        (failed,) = wait_for(lambda: set(pipeline.notifications("FAILED")) - before, "the failure of the notifier")
    cause = pipeline.sfn.describe_execution(executionArn=failed)["cause"]
    assert f"is not authorized to perform: {grant.name.action}" in cause


def a_failure_is_a_dead_letter(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """A batch fails and no notifier can be started: its event is a dead letter, which an alarm watches."""
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "FAILED"
    with removed(grant):
        ended = pipeline.run([pipeline.upload("good.csv")])
        letter = dead_letter(stacks, "NotifierDeadLetterQueueUrl")
    assert ended["executionArn"] in letter["Body"]
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert (
        f"is not authorized to perform: {grant.name.action}"
        in letter["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    )


def an_upload_is_a_dead_letter(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """The event of an upload is a dead letter."""
    with removed(grant), uploads_are_noticed(stacks):
        file = pipeline.upload("good.csv")
        letter = dead_letter(stacks, "DeadLetterQueueUrl")
    assert file.version_id in letter["Body"]
    assert (
        f"is not authorized to perform: {grant.name.action}"
        in letter["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    )


def a_lost_upload_is_counted(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """The event of an upload reaches neither the queue nor the dead letters: an alarm watches that."""
    to_queue = one_grant("sqs uploads", "sqs:SendMessage")
    with (
        removed(grant),
        removed(to_queue),
        an_alarm_sees(stacks, "AWS/Events", "InvocationsFailedToBeSentToDlq", UPLOADS_RULE),
        uploads_are_noticed(stacks),
    ):
        pipeline.upload("good.csv")


def a_lost_failure_is_counted(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """The event of a failure reaches neither the notifier nor the dead letters: an alarm watches that."""
    pipeline.glue.outcomes[pipeline.validate_job] = lambda _: "FAILED"
    to_notifier = one_grant("Pipeline/FailuresRule", "states:StartExecution")
    with (
        removed(grant),
        removed(to_notifier),
        an_alarm_sees(stacks, "AWS/Events", "InvocationsFailedToBeSentToDlq", NOTIFIER_RULE),
    ):
        assert pipeline.run([pipeline.upload("good.csv")])["status"] == "FAILED"


def the_pipe_fails(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """The pipe fails again and again: an alarm watches that. With the grant back, it goes on."""
    failures = an_alarm_sees(stacks, "AWS/EventBridge/Pipes", "ExecutionFailed", "music-kpi-dev-uploads", times=2)
    with removed(grant), failures, uploads_are_noticed(stacks):
        file = pipeline.upload("good.csv")
    wait_for(lambda: pipeline.status(file) == "ARCHIVED", "the end of the batch")
    wait_for(lambda: not pipeline.running(), "the end of what the pipe has started twice")


def the_api_answers_with_an_error(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """Some request to the API ends in a 5xx."""
    del pipeline
    day = f"v1/days/{DAYS[0]}"
    asked = ["", "assets/page.js", "v1/days", day, f"{day}/genres", f"{day}/genres/pop", "v1/genres/pop/days"]

    def statuses() -> list[int]:
        return [ask_api(stacks, path, "GET") for path in asked] + [ask_api(stacks, "v1/days", "HEAD")]

    assert set(statuses()) == {200}
    fresh_environment(stacks, "music-kpi-dev-kpi-api")
    with removed(grant):
        assert any(status >= 500 for status in statuses())


def nothing_is_measured(stacks: Stacks, pipeline: Pipeline, grant: Deployed) -> None:
    """The function that measures is not invoked, or fails: its metrics stop, which an alarm takes for wrong."""
    del pipeline
    fresh_environment(stacks, HEALTH)
    (oldest,) = stacks.client("cloudwatch").describe_alarms(AlarmNames=["music-kpi-dev-oldest-unpublished"])[
        "MetricAlarms"
    ]
    assert oldest["TreatMissingData"] == "breaching"
    rule = events_backends[ACCOUNT][REGION].event_buses["default"].rules[HEALTH]
    before = measurements(stacks)
    with a_forgotten_file(stacks), removed(grant):
        if grant.name.whose.startswith("lambda"):
            with an_alarm_or_graph_sees(stacks, "AWS/Events", "FailedInvocations", HEALTH):
                events.deliver(rule, {"id": "1", "time": 0.0, "detail": {}})
        else:
            assert f"is not authorized to perform: {grant.name.action}" in failure_of(stacks, HEALTH)
    assert measurements(stacks) == before


Effect = Callable[[Stacks, Pipeline, Deployed], None]


def one_grant(whose: str, action: str) -> Deployed:
    """The one deployed grant of this name."""
    (found,) = [grant for grant in deployed_grants() if (grant.name.whose, grant.name.action) == (whose, action)]
    return found


@contextmanager
def uploads_are_noticed(stacks: Stacks) -> Iterator[None]:
    """Switch the rule on uploads on for a while."""
    stacks.client("events").enable_rule(Name=UPLOADS_RULE)
    try:
        yield
    finally:
        stacks.client("events").disable_rule(Name=UPLOADS_RULE)


def dead_letter(stacks: Stacks, output: str) -> Any:  # noqa: ANN401
    """Take the next dead letter of a queue."""
    sqs = stacks.client("sqs")
    url = stacks.outputs[output]

    def next_letter() -> Any:  # noqa: ANN401
        given = {"MessageAttributeNames": ["All"], "MaxNumberOfMessages": 1}
        return sqs.receive_message(QueueUrl=url, **given).get("Messages")

    (letter,) = wait_for(next_letter, "the dead letter")
    sqs.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])
    return letter


@contextmanager
def an_alarm_sees(stacks: Stacks, namespace: str, metric: str, of: str, *, times: int = 1) -> Iterator[None]:
    """Wait at the end until a metric was counted, and see that an alarm with an action watches it."""
    alarms = stacks.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert any(
        watched["MetricStat"]["Metric"]["MetricName"] == metric
        and of in [dimension["Value"] for dimension in watched["MetricStat"]["Metric"]["Dimensions"]]
        for alarm in alarms
        if alarm["AlarmActions"]
        for watched in alarm.get("Metrics", [])
        if "MetricStat" in watched
    ), f"no alarm watches {metric} of {of}"
    with an_alarm_or_graph_sees(stacks, namespace, metric, of, times=times):
        yield


@contextmanager
def an_alarm_or_graph_sees(stacks: Stacks, namespace: str, metric: str, of: str, *, times: int = 1) -> Iterator[None]:
    """Wait at the end until a metric was counted."""
    before = counted(stacks, namespace, metric, of)
    yield
    wait_for(lambda: counted(stacks, namespace, metric, of) >= before + times, f"{metric} of {of}")


def counted(stacks: Stacks, namespace: str, metric: str, of: str) -> int:
    """How often a metric was put so far."""
    del stacks
    return sum(
        datum.name == metric and datum.namespace == namespace and of in [one.value for one in datum.dimensions]
        for datum in tuple(cloudwatch_backends[ACCOUNT][REGION].metric_data)
    )


def measurements(stacks: Stacks) -> int:
    """How often the function that measures has put its metrics."""
    return counted(stacks, "MusicKpi", "UnpublishedFiles", "dev")


@contextmanager
def a_forgotten_file(stacks: Stacks) -> Iterator[None]:
    """A file in raw/ whose event was lost hours ago: the function looks it up in the ledger."""
    s3, bucket, key = s3_backends[ACCOUNT]["aws"], stacks.outputs["DataBucketName"], "raw/streams/forgotten.csv"
    version = s3.put_object(bucket, key, b"user_id", disable_notification=True)
    version.last_modified -= 2 * FORGOTTEN_AFTER
    try:
        yield
    finally:
        s3.delete_object(bucket, key, version_id=version.version_id)


def fresh_environment(stacks: Stacks, function: str) -> None:
    """Let the next event of a function find a new environment, which assumes the role anew."""
    functions = stacks.client("lambda")
    timeout = functions.get_function_configuration(FunctionName=function)["Timeout"]
    functions.update_function_configuration(FunctionName=function, Timeout=timeout + 1)


def failure_of(stacks: Stacks, function: str) -> str:
    """Invoke a function that fails, and return how."""
    try:
        answer = stacks.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    except ClientError as error:
        return str(error)
    assert answer["FunctionError"] == "Unhandled"
    return str(json.loads(answer["Payload"].read()))


def ask_api(stacks: Stacks, path: str, method: str) -> int:
    """The status of the API's answer."""
    key = stacks.client("apigateway").get_api_key(apiKey=stacks.outputs["ApiKeyId"], includeValue=True)["value"]
    request = urllib.request.Request(stacks.outputs["ApiUrl"] + path, headers={"x-api-key": key}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
