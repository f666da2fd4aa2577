"""A rule as the tree of its conditions, each with the words it was written in: what `preview` and `explain` walk over.

The tree has the rule's own shape: and, or, not, at least, references to segments, and below them the leaves, each of
which is one condition of a contact. A negated leaf (`not in`, `not did(x)`) is one line, as written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum

from segmentry.rules import nodes
from segmentry.rules.nodes import Condition, Value
from segmentry.rules.types import COUNT


class Shape(StrEnum):
    """What a line of a rule is."""

    ALL = "all of"
    ANY = "any of"
    NOT = "not"
    AT_LEAST = "at least"
    SEGMENT = "segment"
    EVERYBODY = "everybody"
    LIST = "list"
    CONDITION = "condition"


@dataclass(frozen=True, slots=True)
class Outline:
    """One line of a rule: its shape, its words, the condition it stands for, and what is below it."""

    shape: Shape
    text: str
    condition: Condition
    parts: tuple[Outline, ...] = ()

    def lines(self, depth: int = 0) -> Iterator[tuple[int, Outline]]:
        """This line and all below it, with their depths, in the order written."""
        pending = [(depth, self)]
        while pending:
            level, line = pending.pop()
            yield level, line
            pending.extend((level + 1, part) for part in reversed(line.parts))

    def leaves(self) -> list[Outline]:
        """The lines that have nothing below them, each different condition once."""
        return list({line.condition: line for _, line in self.lines() if not line.parts}.values())


def outline(condition: Condition, rule: str) -> Outline:
    """The outline of a checked condition whose places are offsets into `rule`."""
    words = rule[condition.place.start : condition.place.end] or rule
    match condition:
        case nodes.And(items=items):
            return Outline(Shape.ALL, words, condition, tuple(outline(item, rule) for item in items))
        case nodes.Or(items=items):
            return Outline(Shape.ANY, words, condition, tuple(outline(item, rule) for item in items))
        case nodes.AtLeast(items=items):
            return Outline(Shape.AT_LEAST, words, condition, tuple(outline(item, rule) for item in items))
        case nodes.Not(item=item):
            if isinstance(item, nodes.COMBINATIONS):
                return Outline(Shape.NOT, words, condition, (outline(item, rule),))
            return Outline(Shape.CONDITION, words, condition)
        case nodes.Member():
            return Outline(Shape.SEGMENT, words, condition)
        case nodes.Listed():
            return Outline(Shape.LIST, words, condition)
        case nodes.Always():
            return Outline(Shape.EVERYBODY, words, condition)
        case _:
            return Outline(Shape.CONDITION, words, condition)


def operands(condition: Condition) -> list[Value]:
    """The values that decide a leaf, as far as contacts differ in them; for `did`, how many such events there are."""
    if isinstance(condition, nodes.Not):
        return operands(condition.item)
    if isinstance(condition, nodes.Did):
        return [nodes.Aggregate(COUNT, "count", condition.events)]
    return [value for value in _values(condition) if any(isinstance(node, (nodes.Field, nodes.Aggregate)) for node in nodes.walk(value))]


def thresholds(condition: Condition) -> list[Value]:
    """What a leaf compares with, the same for all contacts: literals, and instants from the clock."""
    if isinstance(condition, nodes.Not):
        return thresholds(condition.item)
    varying = {id(value) for value in operands(condition)}
    return [value for value in _values(condition) if id(value) not in varying]


def _values(condition: Condition) -> Iterator[Value]:
    for spec in fields(condition):
        found = getattr(condition, spec.name)
        for item in found if isinstance(found, tuple) else (found,):
            if isinstance(item, Value):
                yield item
