"""A rule as the tree of its conditions, each with the words it was written in: what `preview` and `explain` walk over.

The tree has the rule's own shape: and, or, not, at least, references to segments, and below them the leaves, each of
which is one condition of a contact. A negated leaf (`not in`, `not did(x)`) is one line, as written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from segmentry.engine.gathered import separated
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


SHAPES: Mapping[type[Condition], Shape] = {
    nodes.And: Shape.ALL,
    nodes.Or: Shape.ANY,
    nodes.AtLeast: Shape.AT_LEAST,
    nodes.Member: Shape.SEGMENT,
    nodes.Listed: Shape.LIST,
    nodes.Always: Shape.EVERYBODY,
}


@dataclass(frozen=True, slots=True)
class Outline:
    """One line of a rule: its shape, its words, the condition it stands for, and what is below it."""

    shape: Shape
    text: str
    condition: Condition
    parts: tuple[Outline, ...] = ()
    rule: str = ""
    """The whole rule's text, which the places in `condition` are in."""

    def said(self, node: nodes.Node) -> str:
        """The words of something within this line."""
        return " ".join((self.rule[node.place.start : node.place.end] or self.text).split())

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


def outline(condition: Condition, rule: str, *, within_not: bool = False) -> Outline:
    """The outline of a checked condition whose places are offsets into `rule`, which is canonical text.

    `within_not`: the `not` before it is its parent's.
    """
    words = _closed(rule[condition.place.start : condition.place.end], rule[condition.place.end :]) or rule
    if isinstance(condition, nodes.Not) and not within_not:
        words = _with_not(words, rule[: condition.place.start])
    shape = SHAPES.get(type(condition), Shape.CONDITION)
    parts: tuple[Condition, ...] = ()
    if isinstance(condition, nodes.Not) and isinstance(condition.item, nodes.COMBINATIONS) and not _is_one(condition.item):
        shape, parts = Shape.NOT, (condition.item,)
    elif _is_one(condition):
        shape = Shape.CONDITION
    elif isinstance(condition, (nodes.And, nodes.Or, nodes.AtLeast)):
        parts = condition.items
    return Outline(shape, words, condition, tuple(outline(part, rule, within_not=shape is Shape.NOT) for part in parts), rule)


def _closed(words: str, after: str) -> str:
    """The words with the brackets that end them: the place of `x in (1, 2)` ends with the last literal."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", words)
    missing = bare.count("(") - bare.count(")")
    return words + ")" * missing if missing > 0 and after.startswith(")" * missing) else words


def _with_not(words: str, before: str) -> str:
    """The words with the `not` that stands before them: a negation's place is that of what it negates."""
    if before.endswith("not "):
        return f"not {words}"
    return f"not ({words})" if before.endswith("not (") else words


def _is_one(condition: Condition) -> bool:
    """Whether a combination was written as one condition: `between` is two comparisons, both with its own place."""
    return isinstance(condition, (nodes.And, nodes.Or)) and all(item.place == condition.place for item in condition.items)


def operands(condition: Condition) -> list[Value]:
    """The values that decide a leaf, as far as contacts differ in them; for `did` and a sequence's steps, how many such events."""
    if isinstance(condition, nodes.Not):
        return operands(condition.item)
    if isinstance(condition, (nodes.And, nodes.Or)):
        return list(dict.fromkeys(value for item in condition.items for value in operands(item)))
    if isinstance(condition, nodes.Did):
        return [nodes.Aggregate(COUNT, "count", condition.events)]
    if isinstance(condition, nodes.Foremost):
        return [value for value in (condition.population.by, condition.population.per) if value is not None]
    if isinstance(condition, nodes.Sequence):
        return [_step_count(condition, step) for step in condition.steps]
    return [_told_of(value, condition) for value in _values(condition) if _varies(value)]


def _told_of(value: Value, condition: Condition) -> Value:
    """Of `any(list, ...)`, which is a comparison of how many, the list tells more than the number."""
    return value.value if isinstance(value, nodes.HowMany) and value.place == condition.place else value


def standings(condition: Condition) -> list[Value]:
    """Of a leaf that is about a place among contacts: the contact's place, and how many are in that order."""
    if isinstance(condition, nodes.Not):
        return standings(condition.item)
    if not isinstance(condition, nodes.Foremost):
        return []
    return [nodes.Ranked(COUNT, condition.population, told) for told in (nodes.Standing.PLACE, nodes.Standing.SIZE)]


def _step_count(sequence: nodes.Sequence, step: nodes.Step) -> Value:
    """How many events a step could be, whatever the steps beside it are. A bound of its own stands for the sequence's."""
    own, alone = step.events, separated(step.events.where)[0]
    last, since, until = own.last or sequence.last, own.since or sequence.since, own.until or sequence.until
    events = replace(own, where=alone, last=last, since=since, until=until, during=own.during or sequence.during)
    return nodes.Aggregate(COUNT, "count", events, place=step.place)


def thresholds(grounded: Condition) -> list[Value]:
    """What a grounded leaf compares with that is the same for all contacts: literals, and what the clock came to."""
    found: list[Value] = []
    pending: list[Condition] = [grounded]
    while pending:
        condition = pending.pop()
        found += [value for value in _values(condition) if not _varies(value)]
        pending += reversed([child for child in nodes.children(condition) if isinstance(child, Condition)])
    return list(dict.fromkeys(found))


def _values(condition: Condition) -> Iterator[Value]:
    for spec in fields(condition):
        found = getattr(condition, spec.name)
        for item in found if isinstance(found, tuple) else (found,):
            if isinstance(item, Value):
                yield item


def _varies(value: Value) -> bool:
    """Whether contacts differ in it."""
    return any(isinstance(node, (nodes.Field, nodes.Former, nodes.Aggregate)) for node in nodes.walk(value))
