"""The conditions of policy statements.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from local_aws.iam.patterns import matches, matches_arn


class UnsupportedPolicyError(Exception):
    """A policy holds something that is not evaluated here; to pass it over could open or close too much."""


def _equals_ignoring_case(wanted: str, given: str) -> bool:
    return wanted.lower() == given.lower()


def _is_in_network(wanted: str, given: str) -> bool:
    return ipaddress.ip_address(given) in ipaddress.ip_network(wanted)


_COMPARISONS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda wanted, given: wanted == given,
    "StringEqualsIgnoreCase": _equals_ignoring_case,
    "StringLike": matches,
    "ArnEquals": matches_arn,  # the documentation says that both behave alike
    "ArnLike": matches_arn,
    "Bool": _equals_ignoring_case,
    "NumericEquals": lambda wanted, given: float(wanted) == float(given),
    "NumericLessThan": lambda wanted, given: float(given) < float(wanted),
    "NumericLessThanEquals": lambda wanted, given: float(given) <= float(wanted),
    "NumericGreaterThan": lambda wanted, given: float(given) > float(wanted),
    "NumericGreaterThanEquals": lambda wanted, given: float(given) >= float(wanted),
    "IpAddress": _is_in_network,
}
"""Operator to whether a value of the policy and one of the request go together."""

_NEGATIONS: Final[Mapping[str, str]] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "NotIpAddress": "IpAddress",
}

_IF_EXISTS: Final = "IfExists"
_FOR_ALL: Final = "ForAllValues"
_FOR_ANY: Final = "ForAnyValue"


@dataclass(frozen=True)
class Condition:
    """One operator with one key.

    Attributes:
        operator: As the policy writes it, such as `StringLikeIfExists`.
        key: The condition key, in lower case: keys are the same in any case.
        values: What the policy names; one of them must do.
    """

    operator: str
    key: str
    values: tuple[str, ...]

    @classmethod
    def read(cls, operator: str, key: str, values: Any) -> Self:  # noqa: ANN401 - a value or a list of values
        """Read one.

        Raises:
            UnsupportedPolicyError: The operator is not evaluated here, or a value holds a policy variable.
        """
        condition = cls(operator, key.lower(), tuple(_text(value) for value in as_list(values)))
        base = condition._base
        if base not in _COMPARISONS and base not in _NEGATIONS and base != "Null":
            raise UnsupportedPolicyError(f"the condition operator {operator} is not evaluated here")
        if any("${" in value for value in condition.values):
            raise UnsupportedPolicyError(f"the policy variable in {list(condition.values)} is not evaluated here")
        return condition

    @property
    def _base(self) -> str:
        return self.operator.rpartition(":")[2].removesuffix(_IF_EXISTS)

    def holds(self, context: Mapping[str, Sequence[str]]) -> bool:
        """Whether it holds for a request.

        Args:
            context: Condition key in lower case to its values; a key that the request has not is left out.
        """
        given = context.get(self.key)
        if self._base == "Null":
            return (given is None) == (self.values[0].lower() == "true")
        if given is None:
            return self._holds_without_the_key()
        quantity = all if self._needs_all else any
        return quantity(self._suits(value) for value in given)

    @property
    def _needs_all(self) -> bool:
        # Of several values in a request without a qualifier, a negated operator must hold for each.
        quantifier = self.operator.partition(":")[0]
        return quantifier == _FOR_ALL or (quantifier != _FOR_ANY and self._base in _NEGATIONS)

    def _holds_without_the_key(self) -> bool:
        if self.operator.startswith(_FOR_ANY):
            return False
        return self.operator.endswith(_IF_EXISTS) or self.operator.startswith(_FOR_ALL) or self._base in _NEGATIONS

    def _suits(self, given: str) -> bool:
        compare = _COMPARISONS[_NEGATIONS.get(self._base, self._base)]
        found = any(compare(wanted, given) for wanted in self.values)
        return found != (self._base in _NEGATIONS)


def read_conditions(element: Mapping[str, Mapping[str, Any]]) -> tuple[Condition, ...]:
    """Read the element `Condition` of a statement.

    Raises:
        UnsupportedPolicyError: It holds something that is not evaluated here.
    """
    return tuple(
        Condition.read(operator, key, values) for operator, keys in element.items() for key, values in keys.items()
    )


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 - IAM allows one value in place of a list everywhere
    """What a policy may write as one value or as a list of values, as a list."""
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
