"""Whether a contact may be so: conditions on one value are held together, since the value can only be one thing at once.

Of each value one representative is tried for every stretch between the literals that it is compared with. What is compared
with anything else, or by its letters, is taken to be free: two conditions are called contradictory only where they are.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from typing import Any

from segmentry.rules import nodes as n
from segmentry.rules.facts import oriented
from segmentry.rules.ground import TICK
from segmentry.rules.types import COUNT, Kind

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
COUNTED = frozenset({"count", "distinct"})
"""Aggregates that are numbers from 0 up for every contact."""

EXACT = Context(prec=100)
"""Room for the sum or mean of any two numbers of the language."""


def contradiction(grounded: Mapping[n.Condition, n.Condition]) -> Callable[[Mapping[n.Condition, bool]], frozenset[n.Condition] | None]:
    """What tells whether conditions may have certain answers at once; `grounded` has each condition without its clocks.

    It answers None, or conditions that contradict each other.
    """
    groups: dict[n.Value, list[n.Condition]] = defaultdict(list)
    for leaf, plain in grounded.items():
        value = _only_value(plain)
        if value is not None:
            groups[value].append(leaf)
    together = {value: leaves for value, leaves in groups.items() if len(leaves) > 1}
    tried = {value: _representatives(value, [grounded[leaf] for leaf in leaves]) for value, leaves in together.items()}

    def clashing(answers: Mapping[n.Condition, bool]) -> frozenset[n.Condition] | None:
        for value, leaves in together.items():
            if not any(all(_holds(grounded[leaf], one) is answers[leaf] for leaf in leaves) for one in tried[value]):
                return frozenset(leaves)
        return None

    return clashing


def _only_value(condition: n.Condition) -> n.Value | None:
    """The one value that decides a condition beside literals; None where it is not so simple."""
    match condition:
        case n.Not():
            return _only_value(condition.item)
        case n.And() | n.Or():
            values = {_only_value(item) for item in condition.items}
            return values.pop() if len(values) == 1 else None
        case n.Compare():
            _, left, right = oriented(condition)
            alike = isinstance(right, n.Constant) and left.type.kind is right.type.kind
            return left if alike and not isinstance(left, n.Constant) else None
        case n.In():
            return condition.value if all(isinstance(option, n.Constant) for option in condition.options) else None
        case n.IsSet() | n.Truth():
            return condition.value
        case n.Did():
            return n.Aggregate(COUNT, "count", condition.events)
    return None


def _holds(condition: n.Condition, value: Any) -> bool:
    """Whether such a condition holds for a value; None is missing."""
    match condition:
        case n.Not():
            return not _holds(condition.item, value)
        case n.And():
            return all(_holds(item, value) for item in condition.items)
        case n.Or():
            return any(_holds(item, value) for item in condition.items)
        case n.IsSet():
            return value is not None
        case n.Truth():
            return value is True
        case n.Did():
            return bool(value)
        case n.Compare():
            op, _, right = oriented(condition)
            assert isinstance(right, n.Constant)
            return value is not None and bool(OPERATORS[op](value, right.value))
        case n.In():
            return any(isinstance(option, n.Constant) and option.value == value for option in condition.options)
    raise TypeError(condition)


def _representatives(value: n.Value, conditions: Iterable[n.Condition]) -> list[Any]:
    """Values of which one lies in every stretch that the conditions tell apart; None is missing."""
    literals = {node.value for condition in conditions for node in _compared(condition)}
    found: set[Any] = set()
    match value.type.kind:
        case Kind.NUMBER:
            found = _numbers(value, [one for one in literals if isinstance(one, Decimal)])
        case Kind.BOOLEAN:
            found = {True, False}
        case Kind.TEXT:
            texts = {one for one in literals if isinstance(one, str)}
            found = texts | {one + "\0" for one in texts} | {"\0"}
        case Kind.DATE | Kind.TIMESTAMP:
            found = {beside for one in literals if isinstance(one, date) for beside in _times(one)}
    missing = [] if isinstance(value, n.Aggregate) and value.function in COUNTED else [None]
    return [*missing, *(found or {True})]


def _compared(condition: n.Condition) -> Iterable[n.Constant]:
    """The literals that a condition compares its value with, not those within the value."""
    match condition:
        case n.Not():
            yield from _compared(condition.item)
        case n.And() | n.Or():
            for item in condition.items:
                yield from _compared(item)
        case n.Compare():
            right = oriented(condition)[2]
            if isinstance(right, n.Constant):
                yield right
        case n.In():
            yield from (option for option in condition.options if isinstance(option, n.Constant))
        case n.Did():
            yield n.Constant(COUNT, Decimal(0))


def _numbers(value: n.Value, literals: list[Decimal]) -> set[Decimal]:
    found: set[Decimal] = set()
    ordered = sorted(literals)
    if value.type.is_exact:
        step = Decimal(1).scaleb(-value.type.scale, EXACT)
        for one in ordered or [Decimal(0)]:
            whole = one.quantize(step, context=EXACT)
            found |= {EXACT.add(whole, EXACT.multiply(step, Decimal(by))) for by in (-2, -1, 0, 1, 2)}
    else:
        found |= set(ordered) | {EXACT.add(one, Decimal(by)) for one in ordered or [Decimal(0)] for by in (-1, 1)}
        found |= {EXACT.divide(EXACT.add(low, high), Decimal(2)) for low, high in pairwise(ordered)}
    counted = isinstance(value, n.Aggregate) and value.function in COUNTED
    return {one for one in found if one >= 0 or not counted}


def _times(one: date) -> Iterable[date]:
    """A day or instant and its neighbours, where there are any."""
    by = TICK if isinstance(one, datetime) else timedelta(days=1)
    yield one
    for step in (by, -by):
        try:
            yield one + step
        except OverflowError:
            continue
