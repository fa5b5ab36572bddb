"""DynamoDB's condition and update expressions, as far as our code uses them: anything else is an error.

Grammar: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html and
Expressions.UpdateExpressions.html. Attributes are top-level ones; nested paths are not known.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Final

Item = dict[str, Any]
Names = Mapping[str, str]
Values = Mapping[str, Any]
Condition = Callable[[Item, Names, Values], bool]
Operand = Callable[[Item, Names, Values], Any]
Change = Callable[[Item, Item, Names, Values], str]
"""From the item before, the item to change, names and values to the name of the changed attribute."""

MISSING: Final = object()
_TOKEN: Final = re.compile(r"\s*(<=|>=|<>|[=<>(),]|[#:]?[A-Za-z_0-9]+)")
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED: Final = (Decimal, str)


class ExpressionError(ValueError):
    """An expression is none of those that this emulation knows, or does not fit the item."""


class _Tokens:
    def __init__(self, expression: str) -> None:
        self._tokens = _TOKEN.findall(expression)
        if "".join(self._tokens) != re.sub(r"\s", "", expression):
            raise ExpressionError(f"not understood: {expression!r}")
        self._expression = expression

    def peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def take(self, expected: str | None = None) -> str:
        if not self._tokens or (expected is not None and self._tokens[0].upper() != expected.upper()):
            raise ExpressionError(f"expected {expected or 'more'} at {self._tokens[:3]} in {self._expression!r}")
        return str(self._tokens.pop(0))

    def takes(self, word: str) -> bool:
        is_next = self.peek().upper() == word.upper()
        if is_next:
            self._tokens.pop(0)
        return is_next


@cache
def condition(expression: str) -> Condition:
    """Parses a condition expression."""
    tokens = _Tokens(expression)
    parsed = _either(tokens)
    if tokens.peek():
        raise ExpressionError(f"left over: {tokens.peek()!r} in {expression!r}")
    return parsed


def _either(tokens: _Tokens) -> Condition:
    left = _both(tokens)
    if not tokens.takes("OR"):
        return left
    right = _either(tokens)
    return lambda item, names, values: left(item, names, values) or right(item, names, values)


def _both(tokens: _Tokens) -> Condition:
    left = _one(tokens)
    if not tokens.takes("AND"):
        return left
    right = _both(tokens)
    return lambda item, names, values: left(item, names, values) and right(item, names, values)


def _one(tokens: _Tokens) -> Condition:
    if tokens.takes("NOT"):
        inner = _one(tokens)
        return lambda item, names, values: not inner(item, names, values)
    if tokens.takes("("):
        inner = _either(tokens)
        tokens.take(")")
        return inner
    if tokens.peek() in ("attribute_exists", "attribute_not_exists"):
        is_wanted = tokens.take() == "attribute_exists"
        (argument,) = _arguments(tokens, 1)
        return lambda item, names, values: (argument(item, names, values) is not MISSING) is is_wanted
    if tokens.takes("begins_with"):
        text, start = _arguments(tokens, 2)
        return lambda item, names, values: text(item, names, values).startswith(start(item, names, values))
    return _comparison(tokens)


def _comparison(tokens: _Tokens) -> Condition:
    left = _operand(tokens)
    if tokens.takes("IN"):
        options = _arguments(tokens, None)
        return lambda item, names, values: any(
            left(item, names, values) == option(item, names, values) for option in options
        )
    if tokens.takes("BETWEEN"):
        first = _operand(tokens)
        tokens.take("AND")
        last = _operand(tokens)
        return lambda item, names, values: (
            _sortable(first(item, names, values))
            <= _sortable(left(item, names, values))
            <= _sortable(last(item, names, values))
        )
    sign = tokens.take()
    if sign not in _COMPARISONS:
        raise ExpressionError(f"unknown comparison {sign!r}")
    compare, right = _COMPARISONS[sign], _operand(tokens)

    def holds(item: Item, names: Names, values: Values) -> bool:
        one, other = left(item, names, values), right(item, names, values)
        if one is MISSING or other is MISSING or type(one) is not type(other):
            return False
        if sign != "=" and not isinstance(one, _ORDERED):
            raise ExpressionError(f"{sign} does not order a {type(one).__name__}")
        return compare(_sortable(one), _sortable(other))

    return holds


def _sortable(value: Any) -> Any:  # noqa: ANN401 - any value of an item
    return value.encode() if isinstance(value, str) else value


def _arguments(tokens: _Tokens, count: int | None) -> list[Operand]:
    tokens.take("(")
    arguments = [_operand(tokens)]
    while tokens.takes(","):
        arguments.append(_operand(tokens))
    tokens.take(")")
    if count is not None and len(arguments) != count:
        raise ExpressionError(f"{len(arguments)} arguments and not {count}")
    return arguments


def _operand(tokens: _Tokens) -> Operand:
    token = tokens.take()
    if token.startswith(":"):
        return lambda item, names, values: values[token]
    if token == "if_not_exists":
        present, otherwise = _arguments(tokens, 2)

        def chosen(item: Item, names: Names, values: Values) -> Any:  # noqa: ANN401 - any value of an item
            value = present(item, names, values)
            return otherwise(item, names, values) if value is MISSING else value

        return chosen
    name_of = _name(token)
    return lambda item, names, values: item.get(name_of(names), MISSING)


def _name(token: str) -> Callable[[Names], str]:
    if token.startswith("#"):
        return lambda names: names[token]
    if not re.fullmatch("[A-Za-z_][A-Za-z_0-9]*", token):
        raise ExpressionError(f"not the name of an attribute: {token!r}")
    return lambda names: token


@cache
def update(expression: str) -> tuple[Change, ...]:
    """Parses an update expression."""
    tokens = _Tokens(expression)
    clauses = {"SET": _set, "REMOVE": _remove, "ADD": _add}
    changes: list[Change] = []
    while tokens.peek():
        clause = tokens.take().upper()
        if clause not in clauses:
            raise ExpressionError(f"unknown clause {clause!r} in {expression!r}")
        changes.append(clauses[clause](tokens))
        while tokens.takes(","):
            changes.append(clauses[clause](tokens))
    return tuple(changes)


def _set(tokens: _Tokens) -> Change:
    name_of = _name(tokens.take())
    tokens.take("=")
    operand = _operand(tokens)

    def change(before: Item, after: Item, names: Names, values: Values) -> str:
        value = operand(before, names, values)
        if value is MISSING:
            raise ExpressionError("SET to an attribute that does not exist")
        after[name_of(names)] = value
        return name_of(names)

    return change


def _remove(tokens: _Tokens) -> Change:
    name_of = _name(tokens.take())

    def change(before: Item, after: Item, names: Names, values: Values) -> str:
        after.pop(name_of(names), None)
        return name_of(names)

    return change


def _add(tokens: _Tokens) -> Change:
    name_of, operand = _name(tokens.take()), _operand(tokens)

    def change(before: Item, after: Item, names: Names, values: Values) -> str:
        name, value = name_of(names), operand(before, names, values)
        present = before.get(name, type(value)())
        if isinstance(value, set) and isinstance(present, set):
            after[name] = present | value
        elif isinstance(value, Decimal) and isinstance(present, Decimal):
            after[name] = present + value
        else:
            raise ExpressionError(f"ADD of a {type(value).__name__} to a {type(present).__name__}")
        return name

    return change
