"""CloudFormation's intrinsic functions, evaluated over a template's JSON.

What is not known here is an error that names it: a template must never be deployed with a value that was guessed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any
"""A value of a template: whatever JSON can hold. Its shape is known only where it is used."""

PSEUDO_PARAMETERS: Final = frozenset(
    {
        "AWS::AccountId",
        "AWS::NoValue",
        "AWS::NotificationARNs",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    }
)

_SUB_PLACEHOLDER: Final = re.compile(r"\$\{([^!{}][^{}]*)\}")
_SUB_LITERAL: Final = re.compile(r"\$\{!([^{}]*)\}")
_DYNAMIC_REFERENCE: Final = re.compile(r"\{\{resolve:[^}]*\}\}")
_NO_VALUE: Final = object()


class DeploymentError(Exception):
    """The cloud assembly could not be deployed; the message names the stack, the resource and what to do."""


class UnknownIntrinsicError(DeploymentError):
    """The template uses an intrinsic function that this module does not evaluate."""


class UnresolvedReferenceError(DeploymentError):
    """A reference names nothing that exists in the template, among the exports or in the mappings."""


@dataclass
class Scope:
    """Everything an expression of one stack may refer to.

    Attributes:
        stack_name: Name used in error messages and for `AWS::StackName`.
        pseudo_parameters: `AWS::…` name to value, without `AWS::NoValue`.
        parameters: Template parameter to value.
        mappings: The template's `Mappings` section.
        conditions: The template's `Conditions` section, not yet evaluated.
        exports: Export name to value, of the stacks deployed before this one.
        refs: Logical id to what `Ref` yields, of the resources created so far.
        attributes: Logical id to attribute name to what `Fn::GetAtt` yields, of the resources created so far.
    """

    stack_name: str
    pseudo_parameters: Mapping[str, Json]
    parameters: Mapping[str, Json] = field(default_factory=dict)
    mappings: Mapping[str, Json] = field(default_factory=dict)
    conditions: Mapping[str, Json] = field(default_factory=dict)
    exports: Mapping[str, Json] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Mapping[str, Json]] = field(default_factory=dict)


def resolve(value: Json, scope: Scope) -> Json:
    """Evaluate every intrinsic function in a template value.

    Args:
        value: Json JSON value of a template.
        scope: What the expressions may refer to.

    Returns:
        The same shape with plain values; a key or list element whose value is `AWS::NoValue` is left out, and a value
        that is `AWS::NoValue` as a whole is None.

    Raises:
        UnknownIntrinsicError: The value uses a function or a dynamic reference that is not evaluated here.
        UnresolvedReferenceError: A reference names nothing that exists.
    """
    resolved = _resolve(value, scope)
    return None if resolved is _NO_VALUE else resolved


def holds(condition_name: str, scope: Scope) -> bool:
    """Evaluate a condition of the template by its name.

    Raises:
        UnresolvedReferenceError: The template has no such condition.
    """
    if condition_name not in scope.conditions:
        raise UnresolvedReferenceError(f"Stack {scope.stack_name} has no condition {condition_name!r}.")
    return _is_true(_resolve(scope.conditions[condition_name], scope), scope)


def references(value: Json, scope: Scope) -> Iterator[str]:
    """Yield the names that `Ref`, `Fn::GetAtt` and `Fn::Sub` use, of resources and parameters alike.

    Only the branch of an `Fn::If` that is taken counts, as in CloudFormation.
    """
    if isinstance(value, dict):
        name, argument = next(iter(value.items())) if len(value) == 1 else ("", None)
        if name in _REFERENCES:
            yield from _REFERENCES[name](argument, scope)
        else:
            yield from references(list(value.values()), scope)
    elif isinstance(value, list):
        for item in value:
            yield from references(item, scope)


def _ref_references(name: Json, scope: Scope) -> Iterator[str]:
    yield str(name)


def _get_att_references(target: Json, scope: Scope) -> Iterator[str]:
    yield _attribute_path(target, scope)[0]


def _if_references(argument: Json, scope: Scope) -> Iterator[str]:
    yield from references(_taken_branch(argument, scope), scope)


def _sub_references(argument: Json, scope: Scope) -> Iterator[str]:
    text, variables = _sub_arguments(argument, scope)
    yield from references(variables, scope)
    for name in _SUB_PLACEHOLDER.findall(text):
        if name not in variables:
            yield name.split(".")[0]


def _resolve(value: Json, scope: Scope) -> Json:
    if isinstance(value, dict):
        return _resolve_mapping(value, scope)
    if isinstance(value, list):
        return [item for item in (_resolve(item, scope) for item in value) if item is not _NO_VALUE]
    if isinstance(value, str) and (dynamic := _DYNAMIC_REFERENCE.search(value)):
        raise UnknownIntrinsicError(
            f"Stack {scope.stack_name} uses the dynamic reference {dynamic.group()}, which local_aws does not resolve."
        )
    return value


def _resolve_mapping(value: dict[str, Json], scope: Scope) -> Json:
    if len(value) == 1:
        name, argument = next(iter(value.items()))
        if name in _FUNCTIONS:
            return _FUNCTIONS[name](argument, scope)
        if name.startswith("Fn::"):
            known = ", ".join(sorted(_FUNCTIONS))
            raise UnknownIntrinsicError(
                f"Stack {scope.stack_name} uses {name}, which local_aws/intrinsics.py does not evaluate "
                f"(it knows {known})."
            )
    resolved = {key: _resolve(item, scope) for key, item in value.items()}
    return {key: item for key, item in resolved.items() if item is not _NO_VALUE}


def _ref(name: Json, scope: Scope) -> Json:
    if name == "AWS::NoValue":
        return _NO_VALUE
    for source in (scope.pseudo_parameters, scope.parameters, scope.refs):
        if name in source:
            return source[name]
    raise UnresolvedReferenceError(
        f"Stack {scope.stack_name}: Ref to {name!r}, which is neither a parameter nor a resource created before."
    )


def _attribute_path(target: Json, scope: Scope) -> tuple[str, str]:
    match target:
        case str() if "." in target:
            logical_id, _, attribute = target.partition(".")
            return logical_id, attribute
        case [str(logical_id), attribute]:
            return logical_id, str(_resolve(attribute, scope))
    raise UnresolvedReferenceError(
        f"Stack {scope.stack_name}: Fn::GetAtt needs a resource and an attribute, not {target!r}."
    )


def _get_att(target: Json, scope: Scope) -> Json:
    logical_id, attribute = _attribute_path(target, scope)
    attributes = scope.attributes.get(logical_id)
    if attributes is None:
        raise UnresolvedReferenceError(
            f"Stack {scope.stack_name}: Fn::GetAtt of {logical_id!r}, which is no resource created before."
        )
    if attribute not in attributes:
        known = ", ".join(sorted(attributes)) or "none"
        raise UnresolvedReferenceError(
            f"Stack {scope.stack_name}: Fn::GetAtt {logical_id}.{attribute}: local_aws knows of it only {known}. "
            "Add the attribute where local_aws/resources creates the resource."
        )
    return attributes[attribute]


def _sub_arguments(argument: Json, scope: Scope) -> tuple[str, dict[str, Json]]:
    match argument:
        case str():
            return argument, {}
        case [str(text), dict(variables)]:
            return text, variables
    raise UnresolvedReferenceError(
        f"Stack {scope.stack_name}: Fn::Sub needs a text or [text, variables], not {argument!r}."
    )


def _sub(argument: Json, scope: Scope) -> str:
    text, variables = _sub_arguments(argument, scope)
    values = _resolve(variables, scope)

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in values:
            return _text(values[name])
        return _text(_get_att(name, scope) if "." in name else _ref(name, scope))

    return _SUB_LITERAL.sub(r"${\1}", _SUB_PLACEHOLDER.sub(replace, text))


def _join(argument: Json, scope: Scope) -> str:
    delimiter, items = _arguments("Fn::Join", argument, 2, scope)
    return str(delimiter).join(_text(item) for item in _list("Fn::Join", items, scope))


def _select(argument: Json, scope: Scope) -> Json:
    index, items = _arguments("Fn::Select", argument, 2, scope)
    items = _list("Fn::Select", items, scope)
    if not 0 <= int(index) < len(items):
        raise UnresolvedReferenceError(
            f"Stack {scope.stack_name}: Fn::Select wants element {index} of a list of {len(items)}: {items!r}."
        )
    return items[int(index)]


def _split(argument: Json, scope: Scope) -> list[str]:
    delimiter, text = _arguments("Fn::Split", argument, 2, scope)
    return _text(text).split(str(delimiter))


def _if(argument: Json, scope: Scope) -> Json:
    return _resolve(_taken_branch(argument, scope), scope)


def _taken_branch(argument: Json, scope: Scope) -> Json:
    match argument:
        case [str(condition), then, otherwise]:
            return then if holds(condition, scope) else otherwise
    raise UnresolvedReferenceError(f"Stack {scope.stack_name}: Fn::If needs [condition, then, else], not {argument!r}.")


def _find_in_map(argument: Json, scope: Scope) -> Json:
    map_name, top, second = _arguments("Fn::FindInMap", argument, 3, scope)
    try:
        return scope.mappings[map_name][top][second]
    except KeyError:
        raise UnresolvedReferenceError(
            f"Stack {scope.stack_name}: Fn::FindInMap finds no {map_name}.{top}.{second} in the template's Mappings."
        ) from None


def _import_value(argument: Json, scope: Scope) -> Json:
    name = _resolve(argument, scope)
    if name not in scope.exports:
        known = ", ".join(sorted(scope.exports)) or "none"
        raise UnresolvedReferenceError(
            f"Stack {scope.stack_name}: Fn::ImportValue {name!r} is no export of a stack deployed before ({known})."
        )
    return scope.exports[name]


def _equals(argument: Json, scope: Scope) -> bool:
    left, right = _arguments("Fn::Equals", argument, 2, scope)
    return _text(left) == _text(right)


def _not(argument: Json, scope: Scope) -> bool:
    (operand,) = _arguments("Fn::Not", argument, 1, scope)
    return not _is_true(operand, scope)


def _and(argument: Json, scope: Scope) -> bool:
    return all(_is_true(item, scope) for item in _list("Fn::And", _resolve(argument, scope), scope))


def _or(argument: Json, scope: Scope) -> bool:
    return any(_is_true(item, scope) for item in _list("Fn::Or", _resolve(argument, scope), scope))


def _is_true(value: Json, scope: Scope) -> bool:
    match value:
        case bool():
            return value
        case {"Condition": str(name)}:
            return holds(name, scope)
    raise UnresolvedReferenceError(f"Stack {scope.stack_name}: {value!r} is not a condition.")


def _base64(argument: Json, scope: Scope) -> str:
    return base64.b64encode(_text(_resolve(argument, scope)).encode()).decode()


def _to_json_string(argument: Json, scope: Scope) -> str:
    return json.dumps(_resolve(argument, scope), separators=(",", ":"))


def _length(argument: Json, scope: Scope) -> int:
    return len(_list("Fn::Length", _resolve(argument, scope), scope))


def _arguments(function: str, argument: Json, count: int, scope: Scope) -> Sequence[Json]:
    if not isinstance(argument, list) or len(argument) != count:
        raise UnresolvedReferenceError(
            f"Stack {scope.stack_name}: {function} needs a list of {count} values, not {argument!r}."
        )
    return [_resolve(item, scope) for item in argument]


def _list(function: str, value: Json, scope: Scope) -> list[Json]:
    if not isinstance(value, list):
        raise UnresolvedReferenceError(f"Stack {scope.stack_name}: {function} needs a list, not {value!r}.")
    return value


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


_FUNCTIONS: Final[Mapping[str, Callable[[Json, Scope], Json]]] = {
    "Ref": _ref,
    "Fn::And": _and,
    "Fn::Base64": _base64,
    "Fn::Equals": _equals,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAtt": _get_att,
    "Fn::If": _if,
    "Fn::ImportValue": _import_value,
    "Fn::Join": _join,
    "Fn::Length": _length,
    "Fn::Not": _not,
    "Fn::Or": _or,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::Sub": _sub,
    "Fn::ToJsonString": _to_json_string,
}

_REFERENCES: Final[Mapping[str, Callable[[Json, Scope], Iterator[str]]]] = {
    "Ref": _ref_references,
    "Fn::GetAtt": _get_att_references,
    "Fn::If": _if_references,
    "Fn::Sub": _sub_references,
}
