"""The types of arithmetic: digits of exact results, widths of float ones (docs/rules.md, "Numbers")."""

from __future__ import annotations

from segmentry.rules.types import FLOAT32, FLOAT64, MAX_DIGITS, Kind, Type, exact

OPERATORS = frozenset("+-*/%")
MOST_CHANGES = 100
"""How often a chain may change its operator; each change is one more level for every later pass."""


def result_type(operator: str, left: Type, right: Type) -> Type | None:
    """The type of `left operator right`, both numbers; None where a product has more than 38 places."""
    if operator == "/":
        return FLOAT64
    if left.is_float or right.is_float:
        return wider_float(left, right)
    left_whole, right_whole = left.precision - left.scale, right.precision - right.scale
    if operator == "*":
        scale = left.scale + right.scale
        return exact(left_whole + right_whole + scale, scale) if scale <= MAX_DIGITS else None
    scale = max(left.scale, right.scale)
    whole = min(left_whole, right_whole) if operator == "%" else max(left_whole, right_whole) + 1
    return exact(max(whole + scale, 1), scale)


def wider_float(left: Type, right: Type) -> Type:
    """The float type of two numbers of which one is a float: an exact one takes the other's width."""
    return FLOAT64 if FLOAT64 in (left, right) else FLOAT32


def unified(left: Type, right: Type) -> Type | None:
    """One type for two values of which one will be taken (`coalesce`); None where there is none."""
    if left == right:
        return left
    if left.is_exact and right.is_exact:
        scale = max(left.scale, right.scale)
        return exact(max(left.precision - left.scale, right.precision - right.scale) + scale, scale)
    numbers = left.kind is Kind.NUMBER and right.kind is Kind.NUMBER
    return wider_float(left, right) if numbers else None
