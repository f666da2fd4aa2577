"""What a condition needs to come out otherwise, in words: `lifetime_value: 320.5, needs > 500`."""

from __future__ import annotations

from collections.abc import Sequence

from segmentry.engine.outline import Outline, operands
from segmentry.engine.possible import COUNTED
from segmentry.engine.render import cell
from segmentry.rules import nodes as n
from segmentry.rules.facts import oriented

OPPOSITE = {"=": "other than", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
LONG = 60
"""Characters of a condition beyond which its words are not repeated."""


def is_fixed(condition: n.Condition) -> bool:
    """Whether no change of a contact's data turns a condition over: the same for everybody, or drawn from the key."""
    match condition:
        case n.Not():
            return is_fixed(condition.item)
        case n.Always() | n.Sample():
            return True
        case n.Compare() | n.In() | n.InWindow() | n.IsSet() | n.Truth() | n.TextTest() | n.HasElements():
            return not operands(condition)
        case n.And() | n.Or():
            return all(is_fixed(item) for item in condition.items)
    return False


def need(line: Outline, grounded: n.Condition, holds: bool, readings: Sequence[tuple[str, object]]) -> str:
    """What would turn a condition over. `readings` are what decides it, in words, with the contact's values."""
    told = ", ".join(f"{words}: {'missing' if value is None else cell(value)}" for words, value in readings)
    wanted = _wanted(line, grounded, not holds)
    return f"{told}, needs {wanted}" if told else f"needs {wanted}"


def _wanted(line: Outline, grounded: n.Condition, holds: bool) -> str:
    """What the condition needs to hold, or not to."""
    whole = holds
    while isinstance(grounded, n.Not):
        grounded, holds = grounded.item, not holds
    match grounded:
        case n.Did():
            return "1 such event or more" if holds else "no such event"
        case n.Listed():
            return f"to be {'' if holds else 'no longer '}on {grounded.list}"
        case n.IsSet():
            return "a value" if holds else "to be missing"
        case n.Truth():
            return "true" if holds else "false, or to be missing"
        case n.Compare():
            op, left, right = oriented(grounded)
            if isinstance(right, n.Constant):
                return _beside(op, left, right, holds)
    words = " ".join(line.text.split())
    words = words if len(words) <= LONG else "this condition"
    return f"{words} {'to hold' if whole else 'not to hold'}"


def _beside(op: str, left: n.Value, right: n.Constant, holds: bool) -> str:
    said = f"'{right.value}'" if isinstance(right.value, str) else cell(right.value)
    if holds:
        return f"{op} {said}"
    never_missing = isinstance(left, n.Aggregate) and left.function in COUNTED
    return f"{OPPOSITE[op]} {said}{'' if never_missing else ', or to be missing'}"
