"""Deploys a cloud assembly: uploads its assets and creates the resources of its stacks in the order they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from local_aws.assembly import Assembly, FileAsset, Stack
from local_aws.intrinsics import DeploymentError, Json, Scope, UnresolvedReferenceError, holds, references, resolve
from local_aws.resources import NOT_EMULATED, create
from local_aws.resources.base import Created, Properties, Target

_BOOTSTRAP_VERSION_PREFIX: Final = "/cdk-bootstrap/"
_BOOTSTRAP_VERSION: Final = "30"
"""Any version from 6 on satisfies the check that the CDK writes into templates; nobody bootstraps a laptop."""

_SSM_PARAMETER_TYPE: Final = "AWS::SSM::Parameter::Value<String>"
_TEMPLATE_SECTIONS: Final = frozenset(
    {
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
        "Rules",
    }
)


@dataclass(frozen=True)
class DeployedResource:
    """A resource of a deployed stack.

    Attributes:
        stack_name: Its stack.
        logical_id: Its logical id in the template.
        type: Such as `AWS::Pipes::Pipe`.
        properties: Its properties, with every intrinsic function evaluated.
        created: What `Ref` and `Fn::GetAtt` yield.
    """

    stack_name: str
    logical_id: str
    type: str
    properties: Mapping[str, Any]
    created: Created


@dataclass(frozen=True)
class Deployment:
    """What a deployment made.

    Attributes:
        outputs: Stack name to output name to value.
        resources: Every created resource, in the order of creation.
    """

    outputs: Mapping[str, Mapping[str, str]]
    resources: tuple[DeployedResource, ...]

    def of_type(self, resource_type: str) -> list[DeployedResource]:
        """Return the resources of a type, in the order of creation."""
        return [resource for resource in self.resources if resource.type == resource_type]


def deploy(assembly: Assembly, target: Target) -> Deployment:
    """Deploy a cloud assembly into an empty account.

    Raises:
        DeploymentError: Something in it cannot be deployed; the message names it.
    """
    for stack in assembly.stacks:
        _check_environment(stack, target)
    _upload_assets(assembly.assets, target)
    exports: dict[str, Any] = {}
    outputs: dict[str, dict[str, str]] = {}
    resources: list[DeployedResource] = []
    for stack in assembly.stacks:
        scope = _scope(stack, target, exports)
        resources.extend(_create_resources(stack, scope, target))
        outputs[stack.name] = _resolve_outputs(stack, scope, exports)
    return Deployment(outputs, tuple(resources))


def _check_environment(stack: Stack, target: Target) -> None:
    if stack.account not in (None, target.account) or stack.region not in (None, target.region):
        raise DeploymentError(
            f"Stack {stack.name} was synthesized for aws://{stack.account}/{stack.region}, but this is "
            f"aws://{target.account}/{target.region}. Synthesize it for any account and region, or for this one."
        )
    if unknown := sorted(set(stack.template) - _TEMPLATE_SECTIONS):
        raise DeploymentError(
            f"The template of stack {stack.name} has sections that local_aws does not know: {', '.join(unknown)}."
        )


def _pseudo_parameters(target: Target, stack_name: str) -> dict[str, Any]:
    return {
        "AWS::AccountId": target.account,
        "AWS::NotificationARNs": [],
        "AWS::Partition": target.partition,
        "AWS::Region": target.region,
        "AWS::StackId": target.arn("cloudformation", f"stack/{stack_name}/00000000-0000-0000-0000-000000000000"),
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com",
    }


def _upload_assets(assets: Iterable[FileAsset], target: Target) -> None:
    scope = Scope("the assets", _pseudo_parameters(target, "assets"))
    s3 = target.client("s3")
    buckets: set[str] = set()
    for asset in assets:
        bucket = resolve({"Fn::Sub": asset.bucket}, scope)
        if bucket not in buckets:
            s3.create_bucket(Bucket=bucket)
            buckets.add(bucket)
        s3.put_object(Bucket=bucket, Key=resolve({"Fn::Sub": asset.key}, scope), Body=asset.body())


def _scope(stack: Stack, target: Target, exports: Mapping[str, Any]) -> Scope:
    template = stack.template
    return Scope(
        stack_name=stack.name,
        pseudo_parameters=_pseudo_parameters(target, stack.name),
        parameters={
            name: _parameter_value(name, definition, stack, target)
            for name, definition in template.get("Parameters", {}).items()
        },
        mappings=template.get("Mappings", {}),
        conditions=template.get("Conditions", {}),
        exports=exports,
    )


def _parameter_value(name: str, definition: Mapping[str, Any], stack: Stack, target: Target) -> Json:
    value = stack.parameters.get(name, definition.get("Default"))
    if value is None:
        raise DeploymentError(f"Stack {stack.name}: parameter {name} has no default and the assembly gives no value.")
    kind = definition["Type"]
    if kind == "String":
        return value
    if kind == "Number":
        return float(value) if "." in str(value) else int(value)
    if kind in ("CommaDelimitedList", "List<String>"):
        return [item.strip() for item in value.split(",")]
    if kind == _SSM_PARAMETER_TYPE:
        if value.startswith(_BOOTSTRAP_VERSION_PREFIX):
            return _BOOTSTRAP_VERSION
        return target.client("ssm").get_parameter(Name=value)["Parameter"]["Value"]
    raise DeploymentError(f"Stack {stack.name}: parameter {name} is of type {kind}, which local_aws does not know.")


def _create_resources(stack: Stack, scope: Scope, target: Target) -> list[DeployedResource]:
    wanted = {
        logical_id: resource
        for logical_id, resource in stack.template.get("Resources", {}).items()
        if "Condition" not in resource or holds(resource["Condition"], scope)
    }
    deployed = []
    for logical_id in _creation_order(wanted, scope):
        resource_type = wanted[logical_id]["Type"]
        if resource_type in NOT_EMULATED:
            scope.refs[logical_id] = logical_id
            continue
        values = resolve(wanted[logical_id].get("Properties", {}), scope)
        created = create(target, Properties(stack.name, logical_id, resource_type, values), resource_type)
        scope.refs[logical_id] = created.ref
        scope.attributes[logical_id] = created.attributes
        deployed.append(DeployedResource(stack.name, logical_id, resource_type, values, created))
    return deployed


def _creation_order(resources: Mapping[str, Any], scope: Scope) -> list[str]:
    graph = {logical_id: _dependencies(resource, resources, scope) for logical_id, resource in resources.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise UnresolvedReferenceError(
            f"Stack {scope.stack_name}: resources depend on each other: {circle}."
        ) from error


def _dependencies(resource: Mapping[str, Any], resources: Mapping[str, Any], scope: Scope) -> list[str]:
    explicit = resource.get("DependsOn", [])
    names = [explicit] if isinstance(explicit, str) else list(explicit)
    names.extend(references(resource.get("Properties", {}), scope))
    return [name for name in dict.fromkeys(names) if name in resources]


def _resolve_outputs(stack: Stack, scope: Scope, exports: dict[str, Any]) -> dict[str, str]:
    outputs: dict[str, str] = {}
    for name, output in stack.template.get("Outputs", {}).items():
        if "Condition" in output and not holds(output["Condition"], scope):
            continue
        outputs[name] = str(resolve(output["Value"], scope))
        if "Export" in output:
            exports[resolve(output["Export"]["Name"], scope)] = outputs[name]
    return outputs
