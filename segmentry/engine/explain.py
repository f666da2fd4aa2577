"""Why a contact is in a segment or not: the rule's tree with the contact's own values. Text, JSON and HTML are renderings of it."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from segmentry.engine.keys import typed_key
from segmentry.engine.moment import Answer, Moment
from segmentry.engine.outline import Outline, Shape, operands, outline, standings, thresholds
from segmentry.engine.render import cell, second
from segmentry.rules import nodes
from segmentry.rules.nodes import Condition, Value

HOLDS, FAILS = "✓", "✗"
LONG = 30
"""Characters of an expression beyond which it is not said again beside its value."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that decided a condition, and what it was read from; None is missing."""

    expression: str
    value: object


@dataclass(frozen=True, slots=True)
class Line:
    """One condition: its words, whether it holds, the contact's values, what they were compared with, and what is below it.

    `readings` are this contact's values; `thresholds` are the same for everybody, clocks resolved. `missing` is true
    where a reading is missing, which makes a comparison false (and its `not` true).
    """

    shape: Shape
    text: str
    holds: bool
    readings: tuple[Reading, ...] = ()
    thresholds: tuple[object, ...] = ()
    note: str = ""
    parts: tuple[Line, ...] = ()

    @property
    def missing(self) -> bool:
        return any(reading.value is None for reading in self.readings)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Line]]:
        """This line and all below it, with depths, in the order written."""
        pending = [(depth, self)]
        while pending:
            level, line = pending.pop()
            yield level, line
            pending.extend((level + 1, part) for part in reversed(line.parts))

    def evidence(self) -> str:
        """The values as a person reads them: `lifetime_value is 320.5`."""
        told = []
        for reading in self.readings:
            name = reading.expression if len(reading.expression) <= LONG else "it"
            told.append(f"{name} is {'missing' if reading.value is None else cell(_plain(reading.value))}")
        return "; ".join([*told, *([self.note] if self.note else [])])

    def to_json(self) -> dict[str, object]:
        """The line and all below it as plain values."""
        return {
            "condition": self.text,
            "shape": str(self.shape),
            "holds": self.holds,
            "missing": self.missing,
            "values": [{"expression": reading.expression, "value": _plain(reading.value)} for reading in self.readings],
            "thresholds": [_plain(value) for value in self.thresholds],
            "note": self.note or None,
            "parts": [part.to_json() for part in self.parts],
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a contact is in a segment at `as_of` (aware, UTC) on the snapshot as it is, and every condition's part in that.

    `accepted` is what the accepted run says, None where there is none; it differs from `member` where the data, the
    rule or the clock has moved on since.
    """

    segment: str
    contact: object
    as_of: datetime
    member: bool
    accepted: bool | None
    tree: Line

    def styled(self) -> list[tuple[str, str]]:
        """The text in pieces of (text, style), styles being `good`, `bad`, `dim`, `bold` or empty."""
        pieces = [
            (f"contact {cell(self.contact)} is {'in' if self.member else 'not in'} {self.segment}", "bold"),
            (f" at {second(self.as_of)}\n", ""),
        ]
        if self.accepted is not None and self.accepted != self.member:
            pieces.append((f"the accepted run says otherwise: it is {'in' if self.accepted else 'not in'}\n", "bad"))
        lines = list(self.tree.walk())
        width = min(max(2 * depth + len(_label(line)) for depth, line in lines), 90)
        for depth, line in lines:
            label = "  " * depth + _label(line)
            evidence = line.evidence()
            pieces.append((f"{HOLDS if line.holds else FAILS} ", "good" if line.holds else "bad"))
            pieces.append((f"{label:<{width}}  " if evidence else label, ""))
            pieces.append((f"{evidence}\n", "dim"))
        return pieces

    def __str__(self) -> str:
        return "".join(text for text, _ in self.styled()).rstrip("\n")

    def to_json(self) -> dict[str, object]:
        """Everything as plain values; dates, times and decimals are as Python has them."""
        return {
            "segment": self.segment,
            "contact": self.contact,
            "as_of": self.as_of,
            "member": self.member,
            "accepted": self.accepted,
            "tree": self.tree.to_json(),
        }

    def to_html(self) -> str:
        """Nested lists, with no style sheet and no script."""
        verdict = "in" if self.member else "not in"
        head = f"contact {html.escape(cell(self.contact))} is {verdict} {html.escape(self.segment)}"
        return f"<p><b>{head}</b> at {second(self.as_of)}</p>" + "<ul>" + _html(self.tree) + "</ul>"

    def _repr_html_(self) -> str:
        return self.to_html()


def _plain(value: object) -> object:
    """A number that a program can take; everything else as it is."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _label(line: Line) -> str:
    return str(line.shape) if line.shape in (Shape.ALL, Shape.ANY) else cell(" ".join(line.text.split()))


def _html(line: Line) -> str:
    mark, color = (HOLDS, "green") if line.holds else (FAILS, "crimson")
    evidence = line.evidence()
    said = f" <small>{html.escape(evidence)}</small>" if evidence else ""
    below = "<ul>" + "".join(_html(part) for part in line.parts) + "</ul>" if line.parts else ""
    return f'<li><span style="color:{color}">{mark}</span> <code>{html.escape(_label(line))}</code>{said}{below}</li>'


# ---------------------------------------------------------------- making one


def explain(
    moment: Moment, name: str, written: object, was_accepted: Callable[[int | str], bool | None] = lambda _key: None
) -> Explanation:
    """Why the contact with this key is in a segment or not, at that moment.

    Only the contact's own rows are evaluated, by the plan that a run would make. `was_accepted` is asked what the
    accepted run says of it. Raises NotFound for an unknown segment or contact.
    """
    tree = _segment(moment, name, set())
    contacts = moment.contacts
    key = typed_key(written, contacts.relation.columns[contacts.key])
    lines = {f"line:{number}": line for number, (_, line) in enumerate(tree.lines())}
    conditions = {number: moment.grounded(line.condition) for number, line in lines.items()}
    values = [moment.value(value) for line in lines.values() if _is_leaf(line) for value in operands(line.condition)]
    values += [moment.value(value) for line in lines.values() if _is_leaf(line) for value in standings(line.condition)]
    values += [value for number, line in lines.items() if _is_leaf(line) for value in thresholds(conditions[number])]
    answer = moment.answer(conditions, dict.fromkeys(value for value in values if not isinstance(value, nodes.Constant)), only=key)
    reader = _Reader(moment, answer, {id(line): bool(answer.holds[number][0]) for number, line in lines.items()})
    top = reader.line(tree)
    return Explanation(name, answer.keys[0], moment.clock.as_of, top.holds, was_accepted(key), top)


@dataclass(frozen=True)
class _Reader:
    """Makes the lines of an explanation from what an evaluation found."""

    moment: Moment
    answer: Answer
    holds: Mapping[int, bool]

    def line(self, outline: Outline) -> Line:
        parts = tuple(self.line(part) for part in outline.parts)
        told = Line(outline.shape, outline.text, self.holds[id(outline)], parts=parts)
        if not _is_leaf(outline):
            return told
        grounded = self.moment.grounded(outline.condition)
        compared = tuple(self.value(value) for value in thresholds(grounded))
        if isinstance(_positive(grounded), nodes.Did):
            count = self.value(self.moment.value(operands(outline.condition)[0]))
            return replace(told, note=f"{count:,} such event{'' if count == 1 else 's'}", thresholds=compared)
        if isinstance(_positive(grounded), nodes.Sequence):
            return replace(told, note=self.steps(outline), thresholds=compared)
        note = _clock_note(outline.condition, compared)
        if found := standings(outline.condition):
            note = _place_note(*(self.value(self.moment.value(value)) for value in found))
        readings = tuple(Reading(outline.said(value), self.value(self.moment.value(value))) for value in operands(outline.condition))
        return replace(told, readings=readings, thresholds=compared, note=note)

    def steps(self, outline: Outline) -> str:
        """How many events each step of a sequence could be by itself."""
        counts = [(self.value(self.moment.value(value)), outline.said(value)) for value in operands(outline.condition)]
        return "; ".join(f"{count:,} × {words}" for count, words in counts)

    def value(self, grounded: Value) -> Any:
        """A value of the contact's, or a constant."""
        found = grounded.value if isinstance(grounded, nodes.Constant) else self.answer.value(grounded).to_list()[0]
        # the engine's instants are UTC without saying so
        return found.replace(tzinfo=UTC) if isinstance(found, datetime) and found.tzinfo is None else found


def _is_leaf(line: Outline) -> bool:
    return line.shape is Shape.CONDITION


def _positive(condition: Condition) -> Condition:
    return _positive(condition.item) if isinstance(condition, nodes.Not) else condition


def _place_note(place: int | None, size: int | None) -> str:
    """Where a contact stands among those that are put in order."""
    return "not among those that are put in order" if place is None or size is None else f"place {place:,} of {size:,}"


def _clock_note(condition: Condition, compared: tuple[object, ...]) -> str:
    """What the clock's part of a condition came to, where its words alone don't say."""
    reads_clock = any(isinstance(node, (nodes.AsOf, nodes.Day, nodes.InWindow, nodes.During)) for node in _outside_events(condition))
    instants = [second(value) if isinstance(value, datetime) else cell(value) for value in compared if isinstance(value, date)]
    return f"compared with {' and '.join(instants)}" if reads_clock and instants else ""


def _outside_events(condition: Condition) -> Iterator[nodes.Node]:
    pending: list[nodes.Node] = [condition]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(child for child in nodes.children(node) if not isinstance(child, nodes.Events))


def _segment(moment: Moment, name: str, seen: set[str]) -> Outline:
    """A segment's rule and lists as one outline, with the segments it refers to below; each of them once."""
    seen.add(name)
    segment, rule = moment.segment(name), moment.own_rule(name)
    found = _listed("listed in", segment.list) if rule is None else _expanded(moment, outline(rule.condition, rule.text), seen)
    if segment.include is not None:
        added = _listed("included by", segment.include)
        found = Outline(Shape.ANY, "any of", nodes.Or((found.condition, added.condition)), (found, added))
    if segment.exclude is not None:
        kept = _listed("not excluded by", segment.exclude)
        kept = Outline(Shape.LIST, kept.text, nodes.Not(kept.condition))
        found = Outline(Shape.ALL, "all of", nodes.And((found.condition, kept.condition)), (found, kept))
    before = [_behind(moment, other, seen) for other in moment.going_before(name)]
    if before:
        parts = (found, *before)
        found = Outline(Shape.ALL, "all of", nodes.And(tuple(part.condition for part in parts)), parts)
    return found


def _behind(moment: Moment, other: str, seen: set[str]) -> Outline:
    """That a contact is not in a segment that goes before this one in their group."""
    member = nodes.Member(other)
    line = _expanded(moment, Outline(Shape.SEGMENT, f"in {other}", member), seen)
    return Outline(Shape.NOT, f"not in {other}, which goes before it", nodes.Not(member), (line,))


def _listed(words: str, path: str | None) -> Outline:
    assert path is not None
    return Outline(Shape.LIST, f"{words} {path}", nodes.Listed(path))


def _expanded(moment: Moment, line: Outline, seen: set[str]) -> Outline:
    """The outline with every referenced segment's own outline below the reference."""
    if isinstance(line.condition, nodes.Member):
        name = line.condition.segment
        return replace(line, parts=() if name in seen else (_segment(moment, name, seen),))
    return replace(line, parts=tuple(_expanded(moment, part, seen) for part in line.parts))
