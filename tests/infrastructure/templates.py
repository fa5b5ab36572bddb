"""Reading of synthesized templates: by type and property, never by logical id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.settings import Settings

Template = Mapping[str, Any]
Properties = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Deployment:
    """The templates of an environment.

    Attributes:
        environment: dev, staging or prod.
        settings: Its settings.
        outdir: The cloud assembly.
        storage: Template of the storage stack.
        pipeline: Template of the pipeline stack.
        monitoring: Template of the monitoring stack.
        api: Template of the API stack.
    """

    environment: str
    settings: Settings
    outdir: Path
    storage: Template
    pipeline: Template
    monitoring: Template
    api: Template

    @property
    def templates(self) -> dict[str, Template]:
        """All of them, by the last part of the stack's name."""
        return {
            "Storage": self.storage,
            "Pipeline": self.pipeline,
            "Monitoring": self.monitoring,
            "Api": self.api,
        }


def resources(template: Template, resource_type: str) -> list[Mapping[str, Any]]:
    """All resources of a type, with their attributes such as DeletionPolicy."""
    return [resource for resource in template["Resources"].values() if resource["Type"] == resource_type]


def properties(template: Template, resource_type: str, **wanted: object) -> Properties:
    """Properties of the one resource of a type that has the wanted property values."""
    found = [
        resource["Properties"]
        for resource in resources(template, resource_type)
        if all(resource["Properties"].get(name) == value for name, value in wanted.items())
    ]
    assert len(found) == 1, f"{len(found)} resources {resource_type} with {wanted}"
    only: Properties = found[0]
    return only


def logical_id(template: Template, resource_type: str, **wanted: object) -> str:
    """Logical id of the one resource of a type that has the wanted property values."""
    one = properties(template, resource_type, **wanted)
    found: dict[int, str] = {id(resource.get("Properties")): key for key, resource in template["Resources"].items()}
    return found[id(one)]


def text(value: object) -> str:
    """A string or an intrinsic function as text: references in angle brackets, joins joined."""
    match value:
        case str():
            return value
        case {"Ref": reference}:
            return f"<{reference}>"
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Fn::Join": [delimiter, [*parts]]}:
            return str(delimiter).join(map(text, parts))
        case {"Fn::Sub": pattern}:
            return str(pattern)
        case {"Fn::ImportValue": name}:
            return f"<import {name}>"
        case _:
            raise ValueError(f"not known how to write {json.dumps(value)}")


def as_list(value: object) -> list[Any]:
    """What CloudFormation lets one write as one thing or as a list of things, as a list."""
    return value if isinstance(value, list) else [value]


def roles(template: Template) -> dict[str, Properties]:
    """Properties of every role of ours, by its description; the CDK gives its own none."""
    found = [role["Properties"] for role in resources(template, "AWS::IAM::Role")]
    return {role["Description"]: role for role in found if "Description" in role}


def statements(template: Template, description: str) -> Iterator[Mapping[str, Any]]:
    """The policy statements of the role with this description."""
    role_id = logical_id(template, "AWS::IAM::Role", Description=description)
    for policy in resources(template, "AWS::IAM::Policy"):
        if {"Ref": role_id} in policy["Properties"]["Roles"]:
            yield from policy["Properties"]["PolicyDocument"]["Statement"]


def allowed(template: Template, description: str) -> dict[str, set[str]]:
    """What a role may do: resource, as text -> actions."""
    actions: dict[str, set[str]] = {}
    for statement in statements(template, description):
        assert statement["Effect"] == "Allow"
        for resource in as_list(statement["Resource"]):
            actions.setdefault(text(resource), set()).update(as_list(statement["Action"]))
    return actions


def tasks(definition: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every Task of a state machine with its name, those inside of Map states too."""
    for name, state in definition["States"].items():
        if state["Type"] == "Task":
            yield name, state
        if "ItemProcessor" in state:
            yield from tasks(state["ItemProcessor"])
