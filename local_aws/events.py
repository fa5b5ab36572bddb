"""EventBridge rules that start executions and invoke functions, with dead letters, which moto's rules do not.

A target with a role is reached with that role; without one, the policy of the queue, topic or function must let
EventBridge in. What is not allowed is a dead letter, and counts among the rule's failed invocations.

moto delivers to queues and log groups, raises for a state machine or a function, ignores a target's `DeadLetterConfig`,
and delivers for disabled rules too, and every event for rules that have a schedule in place of a pattern. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
"""

from __future__ import annotations

import copy
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from jsonpath_ng.parser import parse as parse_json_path
from moto.core.exceptions import JsonRESTError, ServiceException
from moto.events.models import Rule
from moto.events.utils import EventTemplateParser
from moto.sqs.models import sqs_backends
from moto.stepfunctions.responses import get_backend
from moto.utilities.arns import parse_arn

from local_aws import lambda_functions
from local_aws.iam import enforcement
from local_aws.iam.enforcement import AccessDeniedError
from local_aws.patching import JsonValue, MotoObject, replace
from local_aws.service_metrics import count

_LOG: Final = logging.getLogger(__name__)

_SERVICE: Final = "events.amazonaws.com"


def install() -> None:
    """Make moto's rules deliver to state machines and functions, and failed deliveries go to the dead letter queue."""
    global _moto_send_to_targets
    if Rule.send_to_targets is not _send_to_targets:
        _moto_send_to_targets = replace(Rule, "send_to_targets", _send_to_targets)


def _send_to_targets(self: MotoObject, original_event: dict[str, Any], transform_input: bool = True) -> None:
    # A rule without a pattern has a schedule; for moto, it matches every event.
    if self.event_pattern.get_pattern() and self.event_pattern.matches_event(original_event):
        deliver(self, original_event, transform_input=transform_input)


_moto_send_to_targets: Callable[..., None]


def deliver(rule: MotoObject, event: dict[str, Any], *, transform_input: bool = True) -> None:
    """Deliver an event to the targets of a rule, unless that is disabled.

    Args:
        rule: moto's rule.
        event: The event as moto holds it.
        transform_input: Whether moto's own targets get what their input transformer makes of it.
    """
    if rule.state == "DISABLED":
        return
    for target in rule.targets:
        try:
            _require_permission(rule, target)
            if start := _STARTERS.get(parse_arn(target["Arn"]).service):
                start(target, event)
            else:
                for_one_target = copy.copy(rule)
                for_one_target.targets = [target]
                _moto_send_to_targets(for_one_target, event, transform_input=transform_input)
        except AccessDeniedError as error:
            _dead_letter(rule, target, event, code="NO_PERMISSIONS", message=str(error))
        except (JsonRESTError, ServiceException) as error:
            code = error.error_type if isinstance(error, JsonRESTError) else str(error.code or type(error).__name__)
            _dead_letter(rule, target, event, code=code, message=error.message or code)


_ACTIONS: Final[Mapping[str, str]] = {
    "lambda": "lambda:InvokeFunction",
    "sns": "sns:Publish",
    "sqs": "sqs:SendMessage",
    "states": "states:StartExecution",
}
"""Service of a target to what EventBridge does there; log groups and others take everything here."""


def _require_permission(rule: MotoObject, target: dict[str, Any]) -> None:
    """Ask whether a rule may reach a target.

    Raises:
        AccessDeniedError: It may not.
    """
    action = _ACTIONS.get(parse_arn(target["Arn"]).service)
    if action is None:
        return
    role_arn = target.get("RoleArn")
    if role_arn is None:
        enforcement.require_service(_SERVICE, action, target["Arn"], source_arn=rule.arn)
    else:
        enforcement.require_role(role_arn, action, target["Arn"], service=_SERVICE, source_arn=rule.arn)


def start_execution(target: dict[str, Any], event: dict[str, Any]) -> None:
    """Start the execution that a target names, with the event as its input.

    Args:
        target: Target of a rule, with the ARN of a state machine.
        event: The event as moto holds it.

    Raises:
        JsonRESTError: The state machine does not exist, or does not take the input.
    """
    arn = parse_arn(target["Arn"])
    get_backend(arn.account, arn.region).start_execution(
        target["Arn"], f"{event['id']}_{uuid.uuid4()}"[:80], json.dumps(target_input(target, event))
    )


def invoke_function(target: dict[str, Any], event: dict[str, Any]) -> None:
    """Invoke the function that a target names, with the event, and without waiting for it.

    Args:
        target: Target of a rule, with the ARN of a function.
        event: The event as moto holds it.

    Raises:
        JsonRESTError: The function does not exist.
    """
    function = lambda_functions.find_function(target["Arn"])
    lambda_functions.active().invoke_later(function, json.dumps(target_input(target, event)))


_STARTERS: Final[Mapping[str, Callable[[dict[str, Any], dict[str, Any]], None]]] = {
    "lambda": invoke_function,
    "states": start_execution,
}
"""Service of a target to what delivers there, for those that moto does not know."""


def target_input(target: dict[str, Any], event: dict[str, Any]) -> JsonValue:
    """Return what a target gets: its constant, a part of the event, a transformed or the whole event.

    Args:
        target: Target of a rule: at most one of `Input`, `InputPath` and `InputTransformer`.
        event: The event as moto holds it: its time may be a number, and it carries a time of ingestion.
    """
    if "Input" in target:
        return json.loads(target["Input"])
    whole = {name: value for name, value in event.items() if name != "ingestion-time"}
    if isinstance(event["time"], (int, float)):
        whole["time"] = datetime.fromtimestamp(event["time"], tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if transformer := target.get("InputTransformer"):
        return EventTemplateParser.parse(
            input_template=transformer["InputTemplate"],
            input_paths_map=transformer.get("InputPathsMap", {}),
            event={**whole, "ingestion-time": whole["time"]},  # type: ignore[typeddict-item]
        )
    if path := target.get("InputPath"):
        found = parse_json_path(path).find(whole)
        return found[0].value if found else {}
    return whole


def _dead_letter(rule: MotoObject, target: dict[str, Any], event: dict[str, Any], *, code: str, message: str) -> None:
    """Send an event that could not be delivered to the target's dead letter queue; without one it is dropped."""
    _count(rule, "FailedInvocations")
    queue = target.get("DeadLetterConfig", {}).get("Arn")
    if queue is None:
        _LOG.warning("rule %s dropped an event for %s: %s: %s", rule.name, target["Arn"], code, message)
        return
    try:
        enforcement.require_service(_SERVICE, "sqs:SendMessage", queue, source_arn=rule.arn)
    except AccessDeniedError as error:
        _LOG.warning("rule %s lost an event for %s: %s: %s", rule.name, target["Arn"], code, error)
        _count(rule, "InvocationsFailedToBeSentToDlq")
        return
    attributes = {
        "RULE_ARN": rule.arn,
        "TARGET_ARN": target["Arn"],
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message,
        "RETRY_ATTEMPTS": "0",
    }
    arn = parse_arn(queue)
    sqs_backends[arn.account][arn.region].send_message(
        queue_name=arn.resource_id,
        message_body=json.dumps(target_input({}, event)),
        message_attributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )


def _count(rule: MotoObject, metric: str) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html."""
    arn = parse_arn(rule.arn)
    count("AWS/Events", metric, {"RuleName": rule.name}, account=arn.account, region=arn.region)
