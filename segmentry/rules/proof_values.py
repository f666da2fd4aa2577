"""What a comparison with a literal says of a value, for proofs: the set of values that pass it.

Whatever is not certain on every engine is no set (None), and then nothing follows from the comparison but that it is equal to
itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from segmentry.rules import nodes as n
from segmentry.rules.proof_sets import EVERY, NONE, Cut, Values, from_to, spans
from segmentry.rules.types import Kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNTS = frozenset({"count", "distinct"})
"""Aggregates that are whole numbers from 0 up for every contact, never missing."""

WHOLE_CALLS: dict[str, Values] = {
    "year": EVERY,
    "month": from_to(1, 12),
    "day": from_to(1, 31),
    "weekday": from_to(1, 7),
    "hour": from_to(0, 23),
    "length": from_to(0),
}
"""Functions that give whole numbers, and which."""

UNDERSTOOD: dict[type[n.Node], frozenset[str]] = {
    n.Constant: frozenset({"type", "value"}),
    n.Field: frozenset({"type", "scope", "name"}),
    n.Part: frozenset({"type", "of", "name"}),
    n.AsOf: frozenset({"type", "shift", "sign"}),
    n.Day: frozenset({"type", "unit", "shifts"}),
    n.Call: frozenset({"type", "function", "args"}),
    n.Aggregate: frozenset({"type", "function", "events", "property"}),
    n.Events: frozenset({"event", "where", "last", "since", "until", "window"}),
    n.Element: frozenset({"type"}),
    n.HowMany: frozenset({"type", "value", "where"}),
    n.Always: frozenset({"value"}),
    n.Truth: frozenset({"value"}),
    n.Compare: frozenset({"op", "left", "right"}),
    n.In: frozenset({"value", "options"}),
    n.TextTest: frozenset({"op", "value", "pattern"}),
    n.HasElements: frozenset({"value", "options", "need_all"}),
    n.IsSet: frozenset({"value"}),
    n.InWindow: frozenset({"value", "duration", "ahead"}),
    n.Did: frozenset({"events"}),
    n.Member: frozenset({"segment"}),
    n.Listed: frozenset({"list"}),
    n.Sample: frozenset({"salt", "threshold"}),
    n.And: frozenset({"items"}),
    n.Or: frozenset({"items"}),
    n.Not: frozenset({"item"}),
    n.AtLeast: frozenset({"count", "items"}),
}
"""The nodes that proofs reason about, and what is in each. Of any other node, and of one that says more, only equality is used."""


def is_understood(node: n.Node) -> bool:
    """Whether a node is of a kind that proofs know, and says nothing that they don't know of."""
    kind = type(node)
    more = _unknown.get(kind)
    if more is None:
        known = UNDERSTOOD.get(kind)
        if known is None:
            return False
        more = _unknown[kind] = tuple((spec.name, spec.default) for spec in fields(node) if spec.compare and spec.name not in known)
    return all(default is not MISSING and getattr(node, name) == default for name, default in more)


_unknown: dict[type[n.Node], tuple[tuple[str, object], ...]] = {}
"""Of kinds that were asked for, the fields that proofs don't know, and their defaults."""


# ---------------------------------------------------------------- literals as cuts


def nearest_float(number: Decimal, width: int) -> float | None:
    """The float that an exact number becomes, ties to even, from its exact value; None where it would be infinite."""
    if width == 64:
        found = float(number)
        return None if math.isinf(found) else found
    exact = Fraction(number)
    if not exact:
        return 0.0
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** (max(exponent, -126) - 23)
    rounded = round(exact / step) * step  # of a Fraction: exact, ties to even
    return None if abs(rounded) >= 2**128 else float(rounded)


def is_whole(value: n.Value) -> bool:
    """Whether a number is certainly one of a grid of `type.scale` places."""
    if not value.type.is_exact or not is_understood(value):
        return False
    if isinstance(value, n.Call):
        return value.function in WHOLE_CALLS
    if isinstance(value, n.HowMany):
        return True
    return isinstance(n.way(value)[0], (n.Field, n.Element)) or (isinstance(value, n.Aggregate) and value.function in COUNTS)


def cuts_at(value: n.Value, literal: n.Constant) -> tuple[Cut, Cut] | None:
    """The cuts just before and just after a literal, among the values that `value` may have; None where they are not certain."""
    if value.type.kind is not literal.type.kind or not is_understood(literal):
        return None
    match literal.value:
        case bool():
            return (int(literal.value), 0), (int(literal.value) + 1, 0)
        case Decimal():
            return _cuts_of_number(value, literal.value)
        case str():
            return (literal.value, 0), (literal.value, 1)
        case datetime():
            if literal.value.tzinfo is None:  # which instant that is, the zone says
                return None
            micros = (literal.value - EPOCH) // timedelta(microseconds=1)
            return (micros, 0), (micros + 1, 0)
        case date():
            return (literal.value.toordinal(), 0), (literal.value.toordinal() + 1, 0)
    return None


def _cuts_of_number(value: n.Value, number: Decimal) -> tuple[Cut, Cut] | None:
    if value.type.is_float:
        rounded = nearest_float(number, value.type.width)
        return None if rounded is None else ((rounded, 0), (rounded, 1))
    if not is_whole(value):
        return (number, 0), (number, 1)
    exact = Fraction(number) * 10**value.type.scale
    floor = exact.numerator // exact.denominator
    above = (floor + 1, 0)
    return (above if floor != exact else (floor, 0)), above


def passing(op: str, value: n.Value, literal: n.Constant) -> Values | None:
    """The values for which `value op literal` holds."""
    cuts = cuts_at(value, literal)
    return None if cuts is None else beyond(op, *cuts)


def beyond(op: str, before: Cut, after: Cut) -> Values:
    """The values on one side of what lies between two cuts, or (`=`) that itself."""
    match op:
        case "<":
            return Values(True, (before,))
        case "<=":
            return Values(True, (after,))
        case ">":
            return Values(False, (after,))
        case ">=":
            return Values(False, (before,))
    return spans([(before, after)])


def among(value: n.Value, options: Iterable[n.Value]) -> tuple[Values, list[n.Value]]:
    """The values that equal one of the literals, and the options of which that is not certain."""
    pairs: list[tuple[Cut, Cut]] = []
    others: list[n.Value] = []
    for option in options:
        cuts = cuts_at(value, option) if isinstance(option, n.Constant) else None
        if cuts is None:
            others.append(option)
        else:
            pairs.append(cuts)
    return spans(pairs), others


def literals_hold(op: str, left: n.Constant, right: n.Constant) -> bool | None:
    """Whether a comparison of two literals holds; None where that is not certain."""
    ones, passed = cuts_at(left, left), passing(op, left, right)
    if ones is None or passed is None or left.type.is_float or right.type.is_float:
        return None
    return passed.has(ones[0])


def possible(value: n.Value) -> tuple[bool, Values]:
    """Whether a value may be missing, and the values it may have, before anything is asked of it."""
    if isinstance(value, (n.Constant, n.AsOf, n.Day)):
        return False, EVERY
    if not is_understood(value):
        return True, EVERY
    if value.type.kind is Kind.BOOLEAN:
        return True, from_to(0, 1)
    if isinstance(value, n.Call):
        return True, _of_call(value)
    if isinstance(value, n.HowMany):
        return True, from_to(0)
    if isinstance(value, n.Aggregate):
        if value.function in COUNTS:
            return False, from_to(0)
        if value.function in ("first", "last") and is_understood(value.events):
            return True, _in_window(value.events.window)
    return True, EVERY


def _of_call(call: n.Call) -> Values:
    if call.function == "abs" and call.type.kind is Kind.NUMBER and not call.type.is_float:
        return Values(False, ((Decimal(0), 0),))
    if call.function == "abs":
        return Values(False, ((0.0, 0),))
    return WHOLE_CALLS.get(call.function, EVERY)


def _in_window(window: n.Window | None) -> Values:
    """The instants within a window, as microseconds."""
    if window is None:
        return EVERY
    first, final = (None if edge is None else (edge - EPOCH) // timedelta(microseconds=1) for edge in (window.first, window.final))
    if first is not None and final is not None and first > final:
        return NONE
    low = EVERY if first is None else Values(False, ((first, 0),))
    return low if final is None else Values(low.starts, (*low.cuts, (final + 1, 0)))
