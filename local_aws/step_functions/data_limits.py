"""How much data the states of an execution may pass on, which moto limits in a part of the places only.

256 KiB, as UTF-8, for an execution's input, a task's arguments and result, a state's output, a variable and all
variables of one `Assign`; 10 MiB for all variables together.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html, workflow-variables.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moto.core.exceptions import AWSError
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService

from local_aws.patching import JsonValue, MotoObject, replace
from local_aws.step_functions.jsonata_evaluation import json_text

DATA_BYTES: Final = 262_144
VARIABLES_BYTES: Final = 10 * 1024 * 1024


class InputTooLongError(AWSError):
    """StartExecution was given a longer input than it takes."""

    TYPE = "ValidationException"
    STATUS = 400


def size_of(value: JsonValue) -> int:
    """Return the bytes of a value as JSON without spaces."""
    return len(json_text(value).encode())


def check_input(text: str) -> None:
    """Compare the input of a new execution with what StartExecution takes.

    Raises:
        InputTooLongError: It is longer.
    """
    if len(text.encode()) > DATA_BYTES:
        raise InputTooLongError(
            "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less "
            f"than or equal to {DATA_BYTES}"
        )


def check(env: MotoObject, what: str, value: JsonValue) -> None:
    """Compare data that a state is about to pass on with what it may pass on.

    Args:
        env: The environment of the state.
        what: What the data is, for the message.
        value: The data.

    Raises:
        FailureEventException: It is larger; the state fails with `States.DataLimitExceeded`.
    """
    _check_bytes(env, what, size_of(value), DATA_BYTES)


def check_variables(env: MotoObject, assigned: Mapping[str, JsonValue]) -> None:
    """Compare what a state is about to assign, and all variables with it, with what an execution may keep.

    Raises:
        FailureEventException: It is larger; the state fails with `States.DataLimitExceeded`.
    """
    check(env, "what it assigns", dict(assigned))
    store = env.variable_store
    kept = {**store._outer_scope, **store._inner_scope, **assigned}
    _check_bytes(env, "all variables with what it assigns", size_of(kept), VARIABLES_BYTES)


def _check_bytes(env: MotoObject, what: str, found: int, most: int) -> None:
    if found <= most:
        return
    name = StatesErrorName(typ=StatesErrorNameType.StatesStatesDataLimitExceeded)
    cause = (
        f"The state/task '{env.next_state_name}' exceeds the maximum number of bytes service limit: {what} has {found} "
        f"bytes of at most {most}."
    )
    details: MotoObject = {"taskFailedEventDetails": {"error": name.error_name, "cause": cause}}
    raise FailureEventException(
        FailureEvent(env=env, error_name=name, event_type=HistoryEventType.TaskFailed, event_details=details)
    )


def install() -> None:
    """Make moto's interpreter limit data in all these places."""
    for module in (state, state_task_service):  # moto refuses 256 KiB, counts spaces, and no quotes around a text
        replace(module, "is_within_size_quota", lambda value: size_of(value) <= DATA_BYTES)

    def before_task(self: MotoObject, env: MotoObject, raw_parameters: JsonValue, **named: Any) -> None:  # noqa: ANN401
        check(env, "its arguments", raw_parameters)
        prepare_task(self, env=env, raw_parameters=raw_parameters, **named)

    def run_map(self: MotoObject, env: MotoObject) -> None:
        evaluate_map(self, env)
        check(env, "its result", env.stack[-1])

    prepare_task = replace(StateTaskService, "_before_eval_execution", before_task)
    evaluate_map = replace(StateMap, "_eval_execution", run_map)
