"""The life of an execution: start, end, stop, redrive, and what the API says about it."""

from __future__ import annotations

import functools
import threading
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramError, ProgramTimedOut
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from local_aws.patching import JsonValue, MotoObject, replace
from local_aws.step_functions.data_limits import check_input
from local_aws.step_functions.jsonata_evaluation import json_text
from local_aws.step_functions.progress import Progress
from local_aws.step_functions.status_events import redrive_status, send_status_change

_HISTORY_PAGE: Final = 100
_DATA_MEMBERS: Final = ("input", "inputDetails", "output", "outputDetails", "parameters", "assignedVariables")


class ExecutionNotRedrivableError(AWSError):
    """RedriveExecution was asked for an execution that is running or has succeeded."""

    TYPE = "ExecutionNotRedrivable"
    STATUS = 400


@functools.lru_cache(maxsize=64)
def _parsed(definition: str) -> MotoObject:
    """Parse a definition once: components keep no state, and moto's parser takes longer than most executions."""
    return AmazonStateLanguageParser.parse(definition)[0]


def install() -> None:
    """Make moto's executions live and answer as AWS's do."""
    _keep_more_about_executions()
    _name_executions()
    replace(ExecutionWorker, "_get_evaluation_entrypoint", _entrypoint)
    replace(ExecutionWorker, "start", _start_worker)
    replace(BaseExecutionWorkerCommunication, "_reflect_execution_status", _reflect_end)
    replace(Execution, "start", _start)
    replace(StepFunctionResponse, "describe_execution", _describe_execution)
    replace(StepFunctionResponse, "list_executions", _list_executions)
    replace(StepFunctionResponse, "stop_execution", _stop_execution)
    replace(StepFunctionResponse, "get_execution_history", _get_execution_history)
    setattr(StepFunctionResponse, "redrive_execution", _redrive_execution)  # noqa: B010 # moto has none to replace


def _keep_more_about_executions() -> None:
    def init(self: MotoObject, *arguments: MotoObject, **named: MotoObject) -> None:
        initialise(self, *arguments, **named)
        self.progress = Progress()
        self.redrive_count = 0
        self.redrive_date = None
        self.status_lock = threading.RLock()

    initialise = replace(Execution, "__init__", init)


def _name_executions() -> None:
    """Name an execution that was started without a name by a random UUID; moto calls it None."""

    def start(
        self: MotoObject,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str = "{}",
        *arguments: MotoObject,
        **named: MotoObject,
    ) -> MotoObject:
        check_input(execution_input)
        if name:
            self._validate_name(name)
        return start_execution(self, state_machine_arn, name or str(uuid.uuid4()), execution_input, *arguments, **named)

    start_execution = replace(StepFunctionsParserBackend, "start_execution", start)


def _entrypoint(self: MotoObject) -> MotoObject:
    return _parsed(self._evaluation_details.state_machine_details.definition)


def _start(self: MotoObject) -> None:
    """Replace `Execution.start`."""
    self.exec_worker = self._get_start_execution_worker()
    self.exec_status = ExecutionStatus.RUNNING
    send_status_change(self)
    self.exec_worker.start()


def _start_worker(self: MotoObject) -> None:
    """Replace `ExecutionWorker.start`: the environment exists as soon as the execution can be stopped or described."""
    execution = self._execution_communication.execution
    previous = execution.__dict__.get("history")
    self.env = self._get_evaluation_environment()
    self.env.progress = execution.progress
    context = self.env.states.context_object.context_object_data
    context["Execution"]["RedriveCount"] = execution.redrive_count
    if previous is not None:
        self.env.event_manager = previous
        context["Execution"]["RedriveTime"] = execution.redrive_date
    execution.history = self.env.event_manager
    execution.thread = threading.Thread(target=_run, args=(self, execution), daemon=True)
    execution.thread.start()


def _run(worker: MotoObject, execution: MotoObject) -> None:
    program = worker._get_evaluation_entrypoint()
    if execution.redrive_count:
        event_type = HistoryEventType.ExecutionRedriven
        details: dict[str, Any] = {"executionRedrivenEventDetails": {"redriveCount": execution.redrive_count}}
    else:
        event_type = HistoryEventType.ExecutionStarted
        details = {
            "executionStartedEventDetails": {
                "input": execution.execution_input,
                "inputDetails": {"truncated": False},
                "roleArn": execution.role_arn,
            }
        }
    worker.env.event_manager.add_event(
        context=worker.env.event_history_context,
        event_type=event_type,
        event_details=details,
        update_source_event_id=False,
    )
    program.eval(worker.env)
    worker._execution_communication.terminated()


def _reflect_end(self: MotoObject) -> None:
    """Replace `_reflect_execution_status`: note how the program ended, once, and tell the event bus."""
    execution = self.execution
    worker = execution.exec_worker
    state = worker.env.program_state()
    if isinstance(state, ProgramEnded):
        _end(execution, worker, ExecutionStatus.SUCCEEDED, output=worker.env.states.get_input())
    elif isinstance(state, ProgramError):
        failure = state.error or {}
        _end(execution, worker, ExecutionStatus.FAILED, error=failure.get("error"), cause=failure.get("cause"))
    elif isinstance(state, ProgramTimedOut):
        _end(execution, worker, ExecutionStatus.TIMED_OUT)


def _end(
    execution: MotoObject,
    worker: MotoObject,
    status: ExecutionStatus,
    *,
    output: JsonValue = None,
    error: str | None = None,
    cause: str | None = None,
) -> None:
    with execution.status_lock:
        if execution.exec_worker is not worker or execution.exec_status != ExecutionStatus.RUNNING:
            return
        execution.stop_date = datetime.now(tz=UTC)
        execution.output, execution.error, execution.cause = output, error, cause
        execution.exec_status = status
    send_status_change(execution)


def _stop_execution(self: MotoObject) -> ActionResult:
    """Answer StopExecution; the status is ABORTED at once, running tasks end as soon as they notice."""
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    error, cause = self._get_param("error"), self._get_param("cause")
    worker = execution.exec_worker
    worker.env.set_stop(stop_date=datetime.now(tz=UTC), error=error, cause=cause)
    _end(execution, worker, ExecutionStatus.ABORTED, error=error, cause=cause)
    return ActionResult({"stopDate": execution.stop_date})


def _redrive_execution(self: MotoObject) -> ActionResult:
    """Answer RedriveExecution."""
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    reason = redrive_status(execution.status)["redriveStatusReason"]
    if reason is not None:
        raise ExecutionNotRedrivableError(reason)
    execution.thread.join()
    with execution.status_lock:
        execution.progress = execution.progress.resumed()
        execution.redrive_count += 1
        execution.redrive_date = datetime.now(tz=UTC)
        execution.stop_date = execution.error = execution.cause = execution.output = None
        execution.start()
    return ActionResult({"redriveDate": execution.redrive_date})


def _describe_execution(self: MotoObject) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    output = None if execution.output is None else json_text(execution.output)
    answer = {
        **_list_item(execution),
        "input": execution.execution_input,
        "inputDetails": {"included": True},
        "output": output,
        "outputDetails": None if output is None else {"included": True},
        "error": execution.error,
        "cause": execution.cause,
        **redrive_status(execution.status),
    }
    return ActionResult({name: value for name, value in answer.items() if value is not None})


def _list_executions(self: MotoObject) -> ActionResult:
    executions, next_token = self.stepfunction_backend.list_executions(
        self._get_param("stateMachineArn"),
        status_filter=self._get_param("statusFilter"),
        max_results=self._get_int_param("maxResults"),
        next_token=self._get_param("nextToken"),
    )
    return ActionResult({"executions": [_list_item(execution) for execution in executions], "nextToken": next_token})


def _list_item(execution: MotoObject) -> dict[str, Any]:
    item = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": execution.start_date,
        "stopDate": execution.stop_date,
        "redriveCount": execution.redrive_count,
        "redriveDate": execution.redrive_date,
    }
    return {name: value for name, value in item.items() if value is not None}


def _get_execution_history(self: MotoObject) -> ActionResult:
    """Answer GetExecutionHistory; like AWS, at most 100 events at a time unless `maxResults` says otherwise."""
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    events = execution.history.get_event_history()
    if self._get_param("includeExecutionData") is False:
        events = [_without_data(event) for event in events]
    if self._get_param("reverseOrder"):
        events.reverse()
    start = int(self._get_param("nextToken") or 0)
    end = start + (self._get_int_param("maxResults") or _HISTORY_PAGE)
    answer = {"events": events[start:end]}
    return ActionResult(answer if end >= len(events) else {**answer, "nextToken": str(end)})


def _without_data(event: dict[str, Any]) -> dict[str, Any]:
    """Leave inputs, outputs and what else the execution's data is out of an event."""
    return {
        name: {key: value for key, value in member.items() if key not in _DATA_MEMBERS}
        if isinstance(member, dict)
        else member
        for name, member in event.items()
    }
