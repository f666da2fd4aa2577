"""What rules say whatever the data: conditions that never or always hold, rules that are the same, values to look up."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from segmentry.rules import nodes as n
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.types import Kind

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
NEVER_MISSING = frozenset({"count", "distinct"})
"""Aggregates that are numbers from 0 up for every contact."""

# ---------------------------------------------------------------- never and always


def certainties(condition: n.Condition, source: str | None = None) -> list[Diagnostic]:
    """Warnings about conditions that certainly hold for nobody or everybody; one for the rule if it is such a one."""
    found: list[tuple[n.Condition, bool]] = []
    whole = _certain(condition, found)
    if isinstance(condition, n.Always):
        return []  # said plainly, so it is meant
    if whole is not None:
        found = [(condition, whole)]
    subject = "this rule" if whole is not None else "this condition"
    return [
        Diagnostic(
            "R902" if always else "R901",
            f"{subject} {'always' if always else 'never'} holds",
            Severity.WARNING,
            place=node.place,
            help="everybody is in" if always and whole else "nobody is in" if whole is False else None,
            rule=source,
        )
        for node, always in found
    ]


def _certain(node: n.Condition, found: list[tuple[n.Condition, bool]]) -> bool | None:
    """Whether a condition always (True) or never (False) holds. Certain conditions that don't look it are added to `found`."""
    match node:
        case n.Always():
            return node.value
        case n.Not():
            inner = _certain(node.item, found)
            return None if inner is None else not inner
        case n.And() | n.Or():
            return _certain_chain(node, found)
        case n.AtLeast():
            parts = [_certain(item, found) for item in node.items]
            if parts.count(True) >= node.count:
                return True
            return False if len(parts) - parts.count(False) < node.count else None
        case n.Did():
            return False if node.events.where is not None and _certain(node.events.where, found) is False else None
    answer = _certain_leaf(node)
    if answer is not None:
        found.append((node, answer))
    return answer


def _certain_chain(node: n.And | n.Or, found: list[tuple[n.Condition, bool]]) -> bool | None:
    decides = isinstance(node, n.Or)  # one such item decides the whole chain
    parts = [_certain(item, found) for item in node.items]
    if decides in parts:
        return decides
    if all(part is not None for part in parts):
        return not decides
    items = set(node.items)
    opposites = any(isinstance(item, n.Not) and item.item in items for item in node.items)
    if opposites or (isinstance(node, n.And) and _excludes_itself(node)):
        found.append((node, decides))
        return decides
    return None


def _certain_leaf(node: n.Condition) -> bool | None:
    if isinstance(node, n.IsSet):
        clock = isinstance(node.value, (n.Constant, n.AsOf, n.Day))
        return True if clock or _is_count(node.value) else None
    if not isinstance(node, n.Compare):
        return None
    op, left, right = oriented(node)
    if not isinstance(right, n.Constant):
        return None
    if isinstance(left, n.Constant):
        return _holds(op, left.value, right.value) if _comparable(left, right) else None
    if _is_count(left) and isinstance(right.value, Decimal):
        if op in (">", ">=") and _holds(op, Decimal(0), right.value):
            return True
        if op in ("<", "<=", "=") and not _holds("<" if op == "<" else "<=", Decimal(0), right.value):
            return False
    return None


def _is_count(value: n.Value) -> bool:
    return isinstance(value, n.Aggregate) and value.function in NEVER_MISSING


def oriented(node: n.Compare) -> tuple[str, n.Value, n.Value]:
    """A comparison with its constant, if it has one, on the right."""
    if isinstance(node.left, n.Constant) and not isinstance(node.right, n.Constant):
        return MIRRORED[node.op], node.right, node.left
    return node.op, node.left, node.right


def _comparable(left: n.Value, right: n.Constant) -> bool:
    """Whether a comparison with this literal is one of plain values: no float, no whole day, no local time."""
    if left.type.kind is not right.type.kind or left.type.is_float:
        return False
    sides = (left.value, right.value) if isinstance(left, n.Constant) else (right.value,)
    return not any(isinstance(side, datetime) and side.tzinfo is None for side in sides)


def _holds(op: str, left: object, right: object) -> bool:
    return bool(OPERATORS[op](left, right))


@dataclass(frozen=True, slots=True)
class _Comparisons:
    """What an `and` asks of one value."""

    equals: list[Any] = field(default_factory=list)
    lower: list[tuple[str, Any]] = field(default_factory=list)
    upper: list[tuple[str, Any]] = field(default_factory=list)

    def add(self, op: str, literal: object) -> None:
        if op == "=":
            self.equals.append(literal)
        else:
            (self.lower if op in (">", ">=") else self.upper).append((op, literal))

    def leave_nothing(self) -> bool:
        """Whether no value passes them all: every pair of them is tried at its tightest."""
        bounds = self.lower + self.upper
        if self.equals:
            first = self.equals[0]
            return any(value != first for value in self.equals) or not all(_holds(op, first, bound) for op, bound in bounds)
        if not self.lower or not self.upper:
            return False
        low, high = max(bound for _, bound in self.lower), min(bound for _, bound in self.upper)
        strict = (">", low) in self.lower or ("<", high) in self.upper
        return bool(low > high or (low == high and strict))


def _excludes_itself(node: n.And) -> bool:
    """Whether the comparisons of an `and` leave no value: `x = 'a' and x = 'b'`, `x > 5 and x < 3`."""
    asked: dict[n.Value, _Comparisons] = defaultdict(_Comparisons)
    for item in node.items:
        for part in item.items if isinstance(item, n.And) else (item,):
            if not isinstance(part, n.Compare):
                continue
            op, left, right = oriented(part)
            if not isinstance(right, n.Constant) or isinstance(left, n.Constant) or not _comparable(left, right):
                continue
            asked[left].add(op, right.value)
    return any(comparisons.leave_nothing() for comparisons in asked.values())


# ---------------------------------------------------------------- the same rule


def canonical(node: n.Condition) -> n.Condition:
    """The same condition in one form: chains flat, sorted and without repetitions, no double `not`, literals on the right."""
    with deep_recursion():
        return _canonical(node)[0]


def _canonical(node: n.Condition) -> tuple[n.Condition, str]:
    """With its text, by which chains are sorted."""
    match node:
        case n.And() | n.Or():
            return _canonical_chain(node)
        case n.AtLeast():
            items = sorted((_canonical(item) for item in node.items), key=_text)
            node = replace(node, items=tuple(item for item, _ in items))
        case n.Not(item=n.Not(item=item)):
            return _canonical(item)
        case n.Not():
            node = n.Not(_canonical(node.item)[0], place=node.place)
        case n.Compare():
            op, left, right = oriented(node)
            node = n.Compare(op, left, right, place=node.place)
        case n.In() | n.HasElements():
            node = replace(node, options=tuple(sorted(set(node.options), key=repr)))
    return node, repr(node)


def _canonical_chain(node: n.And | n.Or) -> tuple[n.Condition, str]:
    kind = type(node)
    by_text: dict[str, n.Condition] = {}
    for item in node.items:
        flat, text = _canonical(item)
        parts = [(part, repr(part)) for part in flat.items] if isinstance(flat, kind) else [(flat, text)]
        for part, part_text in parts:
            by_text.setdefault(part_text, part)
    texts = sorted(by_text)
    if len(texts) == 1:
        return by_text[texts[0]], texts[0]
    made = kind(tuple(by_text[text] for text in texts), place=node.place)
    return made, f"{kind.__name__}({', '.join(texts)})"


def _text(pair: tuple[n.Condition, str]) -> str:
    return pair[1]


def same_rules(conditions: Mapping[str, n.Condition]) -> list[tuple[str, Diagnostic]]:
    """Segments whose rules are the same but for order and brackets: (segment, warning that names the first such one)."""
    first: dict[n.Condition, str] = {}
    warnings = []
    for name in sorted(conditions):
        former = first.setdefault(canonical(conditions[name]), name)
        if former != name:
            message = f"`{name}` has the same rule as `{former}`"
            place = conditions[name].place
            warnings.append((name, Diagnostic("R903", message, Severity.WARNING, place, f"write member('{former}') if that is meant")))
    return warnings


# ---------------------------------------------------------------- values to look up


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """A literal that a rule asks a column for: `events` says among which rows, None among the contacts."""

    field: n.Field
    constant: n.Constant
    events: n.Events | None = None


LOOKED_UP = frozenset({Kind.TEXT, Kind.NUMBER})


def compared_values(condition: n.Condition) -> list[ComparedValue]:
    """Every text or exact number that a column is asked to equal or, for a list, to have; each once, in the rule's order."""
    found: dict[tuple[n.Field, n.Constant, str | None], ComparedValue] = {}
    pending: list[tuple[n.Node, n.Events | None]] = [(condition, None)]
    while pending:
        node, events = pending.pop()
        inside = node if isinstance(node, n.Events) else events
        for column, constant in _asked(node):
            rows = inside if column.scope is n.Scope.EVENT else None
            found.setdefault((column, constant, rows.event if rows else None), ComparedValue(column, constant, rows))
        pending.extend((child, inside) for child in reversed(tuple(n.children(node))))
    return list(found.values())


def _asked(node: n.Node) -> Iterator[tuple[n.Field, n.Constant]]:
    sides: tuple[n.Value, Sequence[n.Value]] | None = None
    if isinstance(node, n.Compare) and node.op == "=":
        _, left, right = oriented(node)
        sides = left, (right,)
    elif isinstance(node, (n.In, n.HasElements)):
        sides = node.value, node.options
    if sides is None or not isinstance(sides[0], n.Field):
        return
    column = sides[0]
    for option in sides[1]:
        if isinstance(option, n.Constant) and option.type.kind in LOOKED_UP and not column.type.is_float:
            yield column, option
