"""Explaining one contact: its rows alone are evaluated, by the plan that a run would make, now and at the instants to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from segmentry.engine.contact_past import is_in_calendar
from segmentry.engine.explanation import Explanation, Line, Reading, Turn
from segmentry.engine.foretelling import Flip, Tree, foretell, is_leaf
from segmentry.engine.keys import typed_key
from segmentry.engine.loading import Segment
from segmentry.engine.moment import Answer, Moment
from segmentry.engine.needs import is_fixed, need
from segmentry.engine.outline import Outline, Shape, operands, outline, standings, thresholds
from segmentry.engine.possible import contradiction
from segmentry.engine.render import cell, second
from segmentry.engine.splitting import split_of
from segmentry.engine.turning import bare, smallest_turning
from segmentry.rules import nodes
from segmentry.rules.nodes import Condition, Value
from segmentry.rules.recursion import deep_recursion


def explain(
    moment: Moment, name: str, written: object, was_accepted: Callable[[int | str], bool | None] = lambda _key: None
) -> Explanation:
    """Why the contact with this key is in a segment or not, at that moment, and what would change it.

    Only the contact's own rows are evaluated, by the plan that a run would make. `was_accepted` is asked what the
    accepted run says of it. Raises NotFound for an unknown segment or contact.
    """
    outlined = _segment(moment, name, set())
    contacts = moment.contacts
    key = typed_key(written, contacts.relation.columns[contacts.key])
    lines = {f"line:{number}": line for number, (_, line) in enumerate(outlined.lines())}
    conditions = {number: moment.grounded(line.condition) for number, line in lines.items()}
    values = [moment.value(value) for line in lines.values() if _is_condition(line) for value in operands(line.condition)]
    values += [moment.value(value) for line in lines.values() if _is_condition(line) for value in standings(line.condition)]
    values += [value for number, line in lines.items() if _is_condition(line) for value in thresholds(conditions[number])]
    answer = moment.answer(conditions, dict.fromkeys(value for value in values if not isinstance(value, nodes.Constant)), only=key)
    holds = {id(line): bool(answer.holds[number][0]) for number, line in lines.items()}
    now = {line.condition: holds[id(line)] for line in lines.values() if is_leaf(line)}
    reader = _Reader(moment, answer, holds, foretell(moment, key, outlined, now))
    with deep_recursion():
        top = reader.line(outlined)
        turn = _turn(moment, outlined, now, reader)
    found = Explanation(name, answer.keys[0], moment.clock.as_of, top.holds, was_accepted(key), top, turn)
    return _grouped(found, moment.segment(name))


def _grouped(found: Explanation, segment: Segment) -> Explanation:
    """With the contact's group, where the segment is divided."""
    split = split_of(segment.name, segment.config)
    if split is None or segment.config.split is None:
        return found
    shares = {name: one.share for name, one in segment.config.split.groups.items()}
    return replace(found, split=shares, group=split.group(str(found.contact)))


def _turn(moment: Moment, tree: Outline, now: Mapping[Condition, bool], reader: _Reader) -> Turn:
    formula = Tree(tree)
    plain: dict[Condition, bool] = {}
    for leaf, holds in now.items():
        condition, as_it_is = bare(leaf)
        plain[condition] = holds is as_it_is
    fixed = frozenset(leaf for leaf in plain if is_fixed(leaf))
    found = smallest_turning(formula, plain, fixed, contradiction({leaf: moment.grounded(leaf) for leaf in plain}))
    if found.leaves is None:
        return Turn(None, found.fewest)
    first = {bare(line.condition)[0]: line for line in reversed(formula.lines) if is_leaf(line)}
    return Turn(tuple(reader.line(first[leaf]) for leaf in plain if leaf in found.leaves), found.fewest)


@dataclass(frozen=True)
class _Reader:
    """Makes the lines of an explanation from what evaluations found."""

    moment: Moment
    answer: Answer
    holds: Mapping[int, bool]
    flips: Mapping[int, Flip]

    def line(self, outline: Outline) -> Line:
        parts = tuple(self.line(part) for part in outline.parts)
        told = Line(outline.shape, outline.text, self.holds[id(outline)], parts=parts, flip=self.flips[id(outline)])
        if not is_leaf(outline):
            return told
        grounded = self.moment.grounded(outline.condition)
        if not _is_condition(outline):
            return replace(told, need="" if is_fixed(outline.condition) else need(outline, grounded, told.holds, ()))
        compared = tuple(self.value(value) for value in thresholds(grounded))
        if isinstance(_positive(grounded), nodes.Did):
            count = self.value(self.moment.value(operands(outline.condition)[0]))
            told = replace(told, note=f"{count:,} such event{'' if count == 1 else 's'}", thresholds=compared)
            return replace(told, need=f"{' '.join(outline.text.split())}: {need(outline, grounded, told.holds, ())}")
        if isinstance(_positive(grounded), nodes.Sequence):
            told = replace(told, note=self.steps(outline), thresholds=compared)
            return replace(told, need=need(outline, grounded, told.holds, ()))
        note = _clock_note(outline.condition, compared)
        if found := standings(outline.condition):
            note = _place_note(*(self.value(self.moment.value(value)) for value in found))
        readings = tuple(Reading(outline.said(value), self.value(self.moment.value(value))) for value in operands(outline.condition))
        told = replace(told, readings=readings, thresholds=compared, note=note)
        if is_fixed(outline.condition):
            return told
        shown = [(reading.expression, reading.shown) for reading in readings]
        return replace(told, need=need(outline, grounded, told.holds, shown))

    def steps(self, outline: Outline) -> str:
        """How many events each step of a sequence could be by itself."""
        counts = [(self.value(self.moment.value(value)), outline.said(value)) for value in operands(outline.condition)]
        return "; ".join(f"{count:,} × {words}" for count, words in counts)

    def value(self, grounded: Value) -> Any:
        """A value of the contact's, or a constant; of what lies outside the calendar, that it does."""
        if isinstance(grounded, nodes.Constant):
            return grounded.value
        series = self.answer.value(grounded)
        if series.dtype.is_temporal() and not is_in_calendar(series):
            return "outside the years 1 to 9999"
        found = series.to_list()[0]
        # the engine's instants are UTC without saying so
        return found.replace(tzinfo=UTC) if isinstance(found, datetime) and found.tzinfo is None else found


def _is_condition(line: Outline) -> bool:
    """Whether a line is a condition of the contact's values, not a list or everybody."""
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
