"""JSONata as Step Functions evaluates it, in place of the evaluator that moto left out.

moto writes every variable into the text of the expression, unescaped, and calls a Java bridge that it does not ship.
Here the values are bound, so that no character in them can change the expression.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from jsonata import Jsonata  # type: ignore[import-untyped]
from jsonata.functions import Functions  # type: ignore[import-untyped]
from jsonata.jexception import JException  # type: ignore[import-untyped]
from jsonata.utils import Utils  # type: ignore[import-untyped]
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.eval.variable_store import VariableStore

from local_aws.patching import JsonValue, MotoObject, replace

_HASHES: Final = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


class QueryEvaluationError(Exception):
    """The expression failed or gave nothing; Step Functions calls it `States.QueryEvaluationError`."""


def timestamp_text(moment: datetime) -> str:
    """Write a moment as AWS's SDK integrations do: `2024-06-25T17:43:13Z`, with milliseconds only if there are any."""
    utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    milliseconds = utc.microsecond // 1000
    return utc.strftime("%Y-%m-%dT%H:%M:%S") + (f".{milliseconds:03d}Z" if milliseconds else "Z")


def json_value(value: JsonValue) -> JsonValue:
    """Copy a value, turning everything that JSON does not know into what AWS puts in its place.

    Raises:
        TypeError: There is no such thing in JSON.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): json_value(member) for key, member in value.items()}
        case list() | tuple():
            return [json_value(member) for member in value]
        case datetime():
            return timestamp_text(value)
        case date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            return value.decode()
    raise TypeError(f"a value of type {type(value).__name__} cannot be passed between states")


def json_text(value: JsonValue) -> str:
    """Write a value as JSON without spaces and without escaping what need not be, as AWS does."""
    return json.dumps(json_value(value), separators=(",", ":"), ensure_ascii=False)


def evaluate(expression: str, bindings: Mapping[str, Any]) -> JsonValue:
    """Evaluate a JSONata expression.

    Args:
        expression: The text between `{%` and `%}`.
        bindings: Values by variable name without `$`; JSON values.

    Raises:
        QueryEvaluationError: The expression failed, or gave nothing or a function.
    """
    try:
        compiled = Jsonata(expression)
        compiled.set_output_convert_nulls(False)  # tells null from nothing
        frame = compiled.create_frame()
        for name, function in _FUNCTIONS.items():
            frame.bind(name, Jsonata.JLambda(function))
        for name, value in bindings.items():
            frame.bind(name, _with_nulls(value))
        result = compiled.evaluate(None, frame)
    except JException as error:
        raise QueryEvaluationError(f"The JSONata expression '{expression}' threw an error: {error}") from error
    if result is None:
        raise QueryEvaluationError(f"The JSONata expression '{expression}' returned nothing (undefined).")
    if isinstance(result, Jsonata.JFunctionCallable):
        raise QueryEvaluationError(f"The JSONata expression '{expression}' returned an unsupported result type.")
    return json_value(Utils.convert_nulls(_plain(result)))


def _with_nulls(value: JsonValue) -> JsonValue:
    """Copy a JSON value, null written as the library's own null: to it, None is «nothing»."""
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, Mapping):
        return {key: _with_nulls(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_nulls(member) for member in value]
    return value


def _plain(value: JsonValue) -> JsonValue:
    """Copy a result, so that turning its nulls back changes no bound variable."""
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)  # JSON of JavaScript writes 3, not 3.0
    return value


def _parse(text: str) -> JsonValue:
    try:
        return _with_nulls(json.loads(text))
    except (ValueError, TypeError) as error:
        raise QueryEvaluationError(f"$parse: not a JSON text: {error}") from error


def _hash(data: JsonValue, algorithm: str) -> str:
    if not isinstance(data, str) or algorithm not in _HASHES:
        raise QueryEvaluationError(
            f"$hash takes a text and one of {', '.join(_HASHES)}, not {data!r} and {algorithm!r}"
        )
    return hashlib.new(_HASHES[algorithm], data.encode(), usedforsecurity=False).hexdigest()


def _string(value: JsonValue = None, prettify: bool = False) -> JsonValue:
    """Write a value as the reference implementation does; the library escapes every letter that is not ASCII."""
    if not isinstance(value, (Mapping, list)):
        return Functions.string(value, prettify)
    members = Utils.convert_nulls(_plain(value))
    return json.dumps(members, indent=2, ensure_ascii=False) if prettify else json_text(members)


def _partition(array: list[Any], size: int) -> list[list[Any]]:
    return [array[start : start + size] for start in range(0, len(array), size)]


def _range(first: int, last: int, step: int) -> list[int]:
    return list(range(first, last + int(math.copysign(1, step)), step))


def _random(seed: float | None = None) -> float:
    return random.Random(seed).random()


def _no_eval(*_: JsonValue) -> JsonValue:
    raise QueryEvaluationError("$eval is not supported by Step Functions: use $parse")


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "parse": _parse,
    "hash": _hash,
    "string": _string,
    "uuid": lambda: str(uuid.uuid4()),
    "partition": _partition,
    "range": _range,
    "random": _random,
    "eval": _no_eval,
}


def _evaluate_in_state(self: MotoObject, env: MotoObject) -> None:
    """Replace `StringJSONata._eval_body`."""
    scope = {**env.variable_store._outer_scope, **env.variable_store._inner_scope}
    # Only those that the expression may name: copying large ones for each expression takes longer than evaluating it.
    variables = {name: value for name, value in scope.items() if f"${name}" in self.expression}
    states = {name: value for name, value in env.states._states_data.items() if value is not None or name == "input"}
    try:
        result = evaluate(self.expression, {**json_value(variables), "states": json_value(states)})
    except QueryEvaluationError as error:
        name = StatesErrorName(typ=StatesErrorNameType.StatesQueryEvaluationError)
        details: MotoObject = {
            "evaluationFailedEventDetails": {
                "error": name.error_name,
                "cause": str(error),
                "state": env.next_state_name,
            }
        }
        raise FailureEventException(
            FailureEvent(
                env=env,
                error_name=name,
                event_type=HistoryEventType.EvaluationFailed,
                event_details=details,
            )
        ) from error
    env.stack.append(result)


def _assigned_variables(self: MotoObject) -> dict[str, str]:
    """Replace `VariableStore.get_assigned_variables`, which writes text without escaping it."""
    return {name: json_text(self.get(name)) for name in self._declaration_tracing}


def install() -> None:
    """Give moto's interpreter this evaluator."""
    replace(StringJSONata, "_eval_body", _evaluate_in_state)
    replace(VariableStore, "get_assigned_variables", _assigned_variables)
