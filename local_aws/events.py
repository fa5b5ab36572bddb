"""EventBridge rules that start Step Functions executions, with dead letters, which moto's rules do not.

moto delivers to queues and log groups, raises for a state machine, ignores a target's `DeadLetterConfig`, and delivers
for disabled rules too. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
"""

from __future__ import annotations

import copy
import json
import logging
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from jsonpath_ng.parser import parse as parse_json_path
from moto.core.exceptions import JsonRESTError, ServiceException
from moto.events.models import Rule
from moto.events.utils import EventTemplateParser
from moto.sqs.models import sqs_backends
from moto.stepfunctions.responses import get_backend
from moto.utilities.arns import parse_arn

from local_aws.patching import JsonValue, MotoObject, replace

_LOG: Final = logging.getLogger(__name__)
_installed: Final[list[bool]] = []


def install() -> None:
    """Make moto's rules deliver to state machines, and failed deliveries of any target go to its dead letter queue."""
    if _installed:
        return
    _installed.append(True)

    def send_to_targets(self: MotoObject, original_event: dict[str, Any], transform_input: bool = True) -> None:
        if self.state == "DISABLED" or not self.event_pattern.matches_event(original_event):
            return
        for target in self.targets:
            try:
                _deliver(self, target, original_event, transform_input)
            except (JsonRESTError, ServiceException) as error:
                _dead_letter(self, target, original_event, error)

    def _deliver(rule: MotoObject, target: dict[str, Any], event: dict[str, Any], transform_input: bool) -> None:
        if parse_arn(target["Arn"]).service == "states":
            start_execution(target, event)
            return
        for_one_target = copy.copy(rule)
        for_one_target.targets = [target]
        send(for_one_target, event, transform_input=transform_input)

    send = replace(Rule, "send_to_targets", send_to_targets)


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


def _dead_letter(
    rule: MotoObject, target: dict[str, Any], event: dict[str, Any], error: JsonRESTError | ServiceException
) -> None:
    """Send an event that could not be delivered to the target's dead letter queue; without one it is dropped."""
    queue = target.get("DeadLetterConfig", {}).get("Arn")
    code = error.error_type if isinstance(error, JsonRESTError) else str(error.code or type(error).__name__)
    if queue is None:
        _LOG.warning("rule %s dropped an event for %s: %s: %s", rule.name, target["Arn"], code, error.message)
        return
    attributes = {
        "RULE_ARN": rule.arn,
        "TARGET_ARN": target["Arn"],
        "ERROR_CODE": code,
        "ERROR_MESSAGE": error.message or code,
        "RETRY_ATTEMPTS": "0",
    }
    arn = parse_arn(queue)
    sqs_backends[arn.account][arn.region].send_message(
        queue_name=arn.resource_id,
        message_body=json.dumps(target_input({}, event)),
        message_attributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )
