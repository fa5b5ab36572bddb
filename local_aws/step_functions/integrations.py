"""Service integrations: SDK integrations with AWS's own names and shapes, and `.sync` that works.

What AWS does is taken from its documentation and from snapshots of real executions in LocalStack's tests
(tests/aws/services/stepfunctions/v2/services/test_aws_sdk_task_service.snapshot.json).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_glue import (
    StateTaskServiceGlue,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)

from local_aws.patching import JsonValue, MotoObject, replace
from local_aws.step_functions.jsonata_evaluation import json_text, json_value
from local_aws.step_functions.server_clients import client_for

_POLL_SECONDS: Final = 0.25
_GLUE_ENDED_WELL: Final = ("SUCCEEDED", "STOPPED")
_GLUE_ENDED_BADLY: Final = ("FAILED", "TIMEOUT", "ERROR", "EXPIRED")
_SERVICE_NAMES: Final = {"dynamodb": "DynamoDb", "stepfunctions": "Sfn", "states": "Sfn"}
_UNMATCHED_BY_TASK_FAILED: Final = ("States.Timeout", "States.Runtime", "States.DataLimitExceeded")
_UNMATCHED_BY_ALL: Final = ("States.Runtime", "States.DataLimitExceeded")


class TaskInterruptedError(Exception):
    """A task was left because its state timed out or its execution ended."""


def to_request(value: JsonValue, shape: Shape, path: str = "Arguments") -> JsonValue:
    """Turn a task's arguments into the request of an SDK operation.

    Members are matched without regard to the case of their first letter, because the integration writes every name with
    a capital. A blob is sent as the JSON of the value: a text arrives in quotes, as on AWS.

    Args:
        value: Arguments, or a part of them.
        shape: The operation's input shape, or the shape of the part.
        path: Where in the arguments the value stands, for messages.

    Raises:
        ValueError: The operation has no such member.
    """
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        members = {_capital(name): (name, member) for name, member in shape.members.items()}
        unknown = [name for name in value if _capital(name) not in members]
        if unknown:
            raise ValueError(f"The field(s) {', '.join(unknown)} of {path} are not supported by Step Functions")
        named = {_capital(name): member for name, member in value.items()}
        return {
            members[name][0]: to_request(member, members[name][1], f"{path}.{name}") for name, member in named.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [to_request(member, shape.member, f"{path}[]") for member in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {key: to_request(member, shape.value, f"{path}.{key}") for key, member in value.items()}
    if shape.type_name == "blob":
        return json_text(value).encode()
    if isinstance(shape, StringShape) and not isinstance(value, str):
        return json_text(value)
    return value


def to_result(value: JsonValue, shape: Shape | None) -> JsonValue:
    """Turn the response of an SDK operation into the result of a task: JSON, every member with a capital.

    Args:
        value: Response, or a part of it; streams are read to their end.
        shape: The operation's output shape, or the shape of the part.
    """
    if isinstance(value, StreamingBody):
        return value.read().decode()
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        return {
            _capital(name): to_result(member, shape.members[name])
            for name, member in value.items()
            if name in shape.members
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [to_result(member, shape.member) for member in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {key: to_result(member, shape.value) for key, member in value.items()}
    return json_value(value)


def copy_source(encoded: str) -> dict[str, str]:
    """Split S3's `x-amz-copy-source`: botocore would encode a text once more, AWS's integration sends it as it is.

    Args:
        encoded: `<bucket>/<key>`, URL-encoded, with `?versionId=<id>` for another version than the current.
    """
    path, _, version_id = encoded.partition("?versionId=")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    return {"Bucket": bucket, "Key": key} | ({"VersionId": unquote(version_id)} if version_id else {})


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _call_sdk_operation(
    self: MotoObject,
    env: MotoObject,
    resource_runtime_part: MotoObject,
    normalised_parameters: dict[str, Any],
    state_credentials: MotoObject,
) -> None:
    """Replace `StateTaskServiceAwsSdk._eval_service_task`."""
    client = client_for(resource_runtime_part.region, self._get_boto_service_name(), state_credentials)
    operation = _capital(self.resource.api_action)
    model = client.meta.service_model.operation_model(operation)
    request = to_request(normalised_parameters, model.input_shape) if model.input_shape else {}
    if isinstance(request.get("CopySource"), str):
        request["CopySource"] = copy_source(request["CopySource"])
    response = getattr(client, xform_name(operation))(**request)
    env.stack.append(to_result(response, model.output_shape) if model.output_shape else {})


def _sdk_service_name(service_name: str) -> str:
    """Replace `StateTaskServiceAwsSdk._normalise_service_error_name`: `S3.NoSuchKeyException`, not `s3.…`."""
    return _SERVICE_NAMES.get(service_name.lower(), _capital(service_name))


class GlueJobRun:
    """A job run that a `glue:startJobRun.sync` task waits for.

    Args:
        client: Glue client.
        job_name: Name of the job.
        run_id: Id of the run.
    """

    def __init__(self, client: MotoObject, job_name: str, run_id: str) -> None:
        self._client, self._job_name, self._run_id = client, job_name, run_id

    def description(self) -> dict[str, Any]:
        """Return the JobRun as Step Functions passes it on: moments in milliseconds since 1970."""
        run = self._client.get_job_run(JobName=self._job_name, RunId=self._run_id)["JobRun"]
        moments = {name: round(value.timestamp() * 1000) for name, value in run.items() if isinstance(value, datetime)}
        return {**json_value(run), **moments, "JobName": self._job_name}

    def stop(self) -> None:
        """Ask Glue to stop the run."""
        self._client.batch_stop_job_run(JobName=self._job_name, JobRunIds=[self._run_id])


def _glue_sync(
    self: MotoObject,
    env: MotoObject,
    resource_runtime_part: MotoObject,
    normalised_parameters: dict[str, Any],
    state_credentials: MotoObject,
) -> MotoObject:
    """Replace `StateTaskServiceGlue._sync_to_start_job_run`, so that a run is stopped with its task."""
    started = env.stack.pop()
    client = client_for(resource_runtime_part.region, "glue", state_credentials)
    run = GlueJobRun(client, started["JobName"], started["JobRunId"])

    def result_if_ended() -> dict[str, Any] | None:
        if not env.is_running():
            run.stop()
            return None
        description = run.description()
        if description["JobRunState"] in _GLUE_ENDED_WELL:
            return description
        if description["JobRunState"] in _GLUE_ENDED_BADLY:
            task_failed = StatesErrorName(typ=StatesErrorNameType.StatesTaskFailed)
            raise _task_failed(self, env, json_text(description), task_failed)
        return None

    return result_if_ended


def _task_failed(task: MotoObject, env: MotoObject, cause: str, name: ErrorName) -> FailureEventException:
    details: MotoObject = {
        "taskFailedEventDetails": {
            "resource": task._get_sfn_resource(),
            "resourceType": task._get_sfn_resource_type(),
            "error": name.error_name,
            "cause": cause,
        }
    }
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.TaskFailed,
            event_details=details,
        )
    )


def _make_sync_work() -> None:
    """Replace `.sync`, which in moto ends in `'NoneType' object has no attribute 'interrupt_all'`.

    Fixed upstream in https://github.com/localstack/localstack/pull/13706.
    """

    def eval_integration_pattern(
        self: MotoObject, env: MotoObject, *arguments: MotoObject, **named: MotoObject
    ) -> None:
        if self.resource.condition == ResourceCondition.WaitForTaskToken:
            eval_callback_pattern(self, env, *arguments, **named)
            return
        second_form = self.resource.condition == ResourceCondition.Sync2
        build_resolver = self._build_sync2_resolver if second_form else self._build_sync_resolver
        result_if_ended = build_resolver(env, *arguments, **named)
        while env.is_running():
            result = result_if_ended()
            if result is not None:
                env.stack.append(result)
                return
            time.sleep(_POLL_SECONDS)
        result_if_ended()
        raise TaskInterruptedError(f"{self.resource.resource_arn} was left before it ended")

    eval_callback_pattern = replace(StateTaskServiceCallback, "_eval_integration_pattern", eval_integration_pattern)


def _name_errors_without_a_body() -> None:
    """Name errors whose answer says nothing as AWS's SDK for Java does, with which Step Functions makes its calls.

    A call that got no readable answer fails as `<service>.SdkClientException`, and HeadObject of what is not there as
    `S3.NoSuchKeyException` (its ExceptionTranslationInterceptor).
    """

    def from_error(self: MotoObject, env: MotoObject, ex: Exception) -> MotoObject:
        if isinstance(ex, (BotoCoreError, ResponseParserError)):
            name = f"{_sdk_service_name(self.resource.service_name)}.SdkClientException"
            return _task_failed(self, env, str(ex), CustomErrorName(name)).failure_event
        failure = describe(self, env=env, ex=ex)
        if isinstance(ex, ClientError) and (ex.operation_name, ex.response["Error"]["Code"]) == ("HeadObject", "404"):
            cause = failure.event_details["taskFailedEventDetails"]["cause"]
            return _task_failed(self, env, cause, CustomErrorName("S3.NoSuchKeyException")).failure_event
        return failure

    describe = replace(ExecutionState, "_from_error", from_error)


def _matches_error(self: MotoObject, env: MotoObject) -> None:
    """Replace `ErrorEqualsDecl._eval_body`: `States.TaskFailed` matches any error but a timeout.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    name = env.stack.pop().error_name
    listed = {error.error_name for error in self.error_names}
    env.stack.append(
        name in listed
        or ("States.TaskFailed" in listed and name not in _UNMATCHED_BY_TASK_FAILED)
        or ("States.ALL" in listed and name not in _UNMATCHED_BY_ALL)
    )


def install() -> None:
    """Give moto's interpreter these integrations."""
    replace(StateTaskServiceAwsSdk, "_eval_service_task", _call_sdk_operation)
    replace(StateTaskServiceAwsSdk, "_normalise_service_error_name", staticmethod(_sdk_service_name))
    replace(StateTaskServiceGlue, "_sync_to_start_job_run", _glue_sync)
    # moto calls StartExecution with members that begin with a capital, and escapes each letter of its input that is not
    # ASCII, which makes it up to three times as long.
    replace(StateTaskServiceSfn, "_eval_service_task", _call_sdk_operation)
    replace(StateTaskServiceSfn, "_normalise_parameters", StateTaskServiceCallback._normalise_parameters)
    replace(ErrorEqualsDecl, "_eval_body", _matches_error)
    _make_sync_work()
    _name_errors_without_a_body()
