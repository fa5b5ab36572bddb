"""Event buses, rules with their targets, and pipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from local_aws.resources.base import Created, Creator, Properties, Target, json_text
from local_aws.schedules import UnsupportedScheduleError, period_seconds


def create_event_bus(target: Target, properties: Properties) -> Created:
    """Create an event bus."""
    name = properties.required("Name")
    target.client("events").create_event_bus(
        Name=name, Tags=properties.tags(), **properties.present("Description", "KmsKeyIdentifier", "DeadLetterConfig")
    )
    properties.ignore("Policy", "LogConfig", reason="events come from this account only, and nothing is logged")
    return Created(ref=name, attributes={"Arn": target.arn("events", f"event-bus/{name}"), "Name": name})


def create_rule(target: Target, properties: Properties) -> Created:
    """Create a rule and its targets."""
    name = properties.optional("Name") or properties.generated_name(max_length=64)
    bus = properties.optional("EventBusName", "default")
    request = properties.present("Description", "RoleArn", "ScheduleExpression", "State")
    if schedule := properties.optional("ScheduleExpression"):
        try:
            period_seconds(schedule)
        except UnsupportedScheduleError as error:
            raise properties.unsupported("ScheduleExpression", reason=str(error)) from error
    if pattern := properties.optional("EventPattern"):
        request["EventPattern"] = json_text(pattern)
    events = target.client("events")
    arn = events.put_rule(Name=name, EventBusName=bus, Tags=properties.tags(), **request)["RuleArn"]
    if targets := properties.optional("Targets"):
        response = events.put_targets(Rule=name, EventBusName=bus, Targets=targets)
        if response["FailedEntryCount"]:
            raise properties.unsupported("Targets", reason=f"the service refused {response['FailedEntries']}")
    return Created(ref=name, attributes={"Arn": arn})


def create_pipe(target: Target, properties: Properties) -> Created:
    """Create a pipe as the API shows it; `local_aws.pipes` moves its messages."""
    name = properties.optional("Name") or properties.generated_name(max_length=64)
    description = target.client("pipes").create_pipe(
        Name=name,
        Source=properties.required("Source"),
        Target=properties.required("Target"),
        RoleArn=properties.required("RoleArn"),
        Tags=properties.optional("Tags", {}),
        **properties.present(
            "Description",
            "DesiredState",
            "Enrichment",
            "EnrichmentParameters",
            "KmsKeyIdentifier",
            "SourceParameters",
            "TargetParameters",
        ),
    )
    properties.ignore("LogConfiguration", reason="the poller logs to logs/server.log")
    return Created(
        ref=name,
        attributes={
            "Arn": description["Arn"],
            "CurrentState": description["CurrentState"],
            "CreationTime": description["CreationTime"].isoformat(),
        },
    )


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::Events::EventBus": create_event_bus,
    "AWS::Events::Rule": create_rule,
    "AWS::Pipes::Pipe": create_pipe,
}
