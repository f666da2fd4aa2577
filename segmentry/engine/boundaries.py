"""Tests for a rule's edges: of each condition a contact that is just in by it, and one that is just out.

Values near what a condition compares with are tried, with the rest of the rule held so that this condition alone decides. The
second reading of rules looks for them, since it answers a made-up contact at once; what is found is asked of the engine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice, product
from typing import Any

from segmentry.engine.boundary_sequences import Journeys, Rows
from segmentry.engine.boundary_writing import Edge, Sketch, Writing
from segmentry.engine.config_tests import SegmentTestConfig
from segmentry.engine.fixtures import Misfit, table_of
from segmentry.engine.moment import Moment
from segmentry.engine.outline import Outline, outline
from segmentry.engine.populations import populations_in
from segmentry.engine.second_reading import sources_of
from segmentry.engine.segment_tests import run_tests
from segmentry.engine.yaml import parse_document
from segmentry.rules import nodes as n
from segmentry.rules.ground import Clock, ground
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.types import Kind, Type
from segmentry.rules.zones import FIRST_INSTANT
from segmentry.verifying.days import Undecided, Zone, day_number, micros
from segmentry.verifying.evaluator import Reading, World
from segmentry.verifying.memories import Log
from segmentry.verifying.orders import Order
from segmentry.verifying.people import EventRow, EventSource, Person, Sources
from segmentry.verifying.reach import unread

RULE = "the rule"
"""What the rule is called beside the segments that it refers to; no segment has such a name."""

MOST_TRIED = 400
"""Combinations of values that are tried for one condition, and of the others' sides around it."""

MOST_EVENTS = 100
"""A condition that needs more events than this has no test made."""

COUNTED = frozenset({"count", "distinct"})
"""Aggregates that are a matter of how many events there are."""

MOST_SHOWN, MOST_OF_SEQUENCE = 3, 10
"""Contacts on the other side of one edge: too old, not quite so, one too few. Of a sequence there are more edges, and on either side."""


@dataclass(frozen=True)
class Boundaries:
    """A segment's edges as YAML for its file, and the conditions for which none was found."""

    segment: str
    text: str
    without: tuple[str, ...]


def boundaries(moment: Moment, name: str) -> Boundaries:
    """The edges of a segment's rule at that moment, each held to the engine. Raises NotFound and what a broken rule raises."""
    asked = moment.own_rule(name)
    if asked is None:
        return Boundaries(name, "", ("a static list has no conditions",))
    conditions = _alone(moment, ground(asked.condition, moment.clock))
    reason = unread(conditions, RULE)
    if reason is not None:
        return Boundaries(name, "", (reason,))
    lines = outline(asked.condition, asked.text).leaves()
    with deep_recursion():
        search = _Search(moment, conditions, [moment.grounded(line.condition) for line in lines])
        edges = [search.edge(line, leaf) for line, leaf in zip(lines, search.leaves, strict=True)]
    moving = ground(asked.condition, moment.clock) != ground(asked.condition, Clock(_later(moment.clock), moment.clock.zone))
    writing = Writing(search.sources, search.zone, moment.clock.as_of if moving else None)
    made = [writing.lines(edge) for edge in edges]
    wrong = _refuted(moment, name, [line for tests in made for line in tests])
    kept: list[str] = []
    without: list[str] = []
    number = 0
    for edge, tests in zip(edges, made, strict=True):
        own = range(number + 1, number + len(tests) + 1)
        number += len(tests)
        if tests and wrong.isdisjoint(own):
            kept += tests
        else:
            without.append(edge.condition)
    return Boundaries(name, "".join(["tests:\n", *kept]) if kept else "", tuple(without))


def _alone(moment: Moment, condition: n.Condition) -> dict[str, n.Condition]:
    """The rule without the segments it refers to: a test says of those whether the contact is in."""
    named = sorted({node.segment for node in n.walk(condition) if isinstance(node, n.Member)})
    return {RULE: condition, **{other: n.Always(False) for other in named if other in moment.loaded.names}}


def _later(clock: Clock) -> datetime:
    return clock.as_of - timedelta(days=400, hours=1)


def _refuted(moment: Moment, name: str, lines: Sequence[str]) -> set[int]:
    """Which of these tests, counted from 1, the engine does not agree with."""
    if not lines:
        return set()
    document, problems = parse_document("".join(["tests:\n", *lines]), f"segments/{name}.yml")
    assert document is not None, problems
    segment = moment.segment(name)
    tests = [SegmentTestConfig.model_validate(test) for test in document.value["tests"]]
    tested = replace(segment, document=document, config=segment.config.model_copy(update={"tests": tests}))
    loaded = replace(moment.loaded, segments={**moment.loaded.segments, name: tested})
    return {result.number for result in run_tests(replace(moment, loaded=loaded), [name]).failed}


# ---------------------------------------------------------------- looking for them


class _Search:
    """Looks for contacts at a rule's edges."""

    def __init__(self, moment: Moment, conditions: Mapping[str, n.Condition], leaves: Sequence[n.Condition]) -> None:
        self.moment = moment
        self.rule = conditions[RULE]
        self.leaves = leaves
        self.sources: Sources = sources_of(moment.snapshot)
        self.zone = Zone(moment.clock.zone)
        # a test's contact has been in nothing, by whatever runs there were, and is the only one
        logs = {node.segment: Log(FIRST_INSTANT) for node in n.walk(self.rule) if isinstance(node, n.Remembered)}
        orders = {population: Order(population.falling) for population in populations_in(self.rule)}
        self.world = World(conditions, self.sources.events, {}, self.zone, orders, logs)
        self._sides: dict[n.Condition, tuple[list[Sketch], list[Sketch]]] = {}

    def holds(self, condition: n.Condition, sketch: Sketch) -> bool | None:
        """Whether it holds for the contact; None where that is not decided."""
        known = {name: sketch.member.get(name, False) for name in self.world.conditions}
        person = Person("made up", sketch.fields, list(sketch.events))
        try:
            return Reading(self.world, person, known=known).holds(condition)
        except Undecided:
            return None

    def edge(self, line: Outline, leaf: n.Condition) -> Edge:
        """A contact on either side of one condition, which alone decides whether the rule holds."""
        words = " ".join(line.text.split())
        inside, outside = self.sides(leaf)
        in_order = any(isinstance(node, n.Sequence) for node in n.walk(leaf))
        most = MOST_OF_SEQUENCE if in_order else MOST_SHOWN
        others = [self.sides(other) for other in self.leaves if other != leaf]
        for base in islice(self._bases(others), MOST_TRIED):
            for first in inside[:4]:
                one = base.beside(first)
                answer = self.holds(self.rule, one)
                others_side = [base.beside(second) for second in outside[: most + 1]]
                flipped = [other for other in others_side if answer is not None and self.holds(self.rule, other) is (not answer)]
                if flipped:
                    shown_side = flipped[: most if one.events else 1]
                    same = [base.beside(other) for other in inside[:most]] if in_order else []
                    own_side = [one, *(other for other in same if other != one and self.holds(self.rule, other) is answer)]
                    return Edge(words, own_side, shown_side) if answer else Edge(words, shown_side, own_side)
        return Edge(words)

    def _bases(self, others: Sequence[tuple[list[Sketch], list[Sketch]]]) -> Iterator[Sketch]:
        """The other conditions held to one side each: first all that they hold, then every choice of sides."""
        choices = [[side[0] for side in sides if side] for sides in others]
        for chosen in product(*(options for options in choices if options)):
            base = Sketch()
            for sketch in chosen:
                base = base.beside(sketch)
            yield base

    def sides(self, leaf: n.Condition) -> tuple[list[Sketch], list[Sketch]]:
        """Contacts for whom a condition holds, and contacts for whom it does not, nearest to its edge first."""
        if leaf not in self._sides:
            inside: list[Sketch] = []
            outside: list[Sketch] = []
            for sketch in islice(self.tries(leaf), MOST_TRIED):
                answer = self.holds(leaf, sketch)
                if answer is not None:
                    (inside if answer else outside).append(sketch)
            self._sides[leaf] = inside, outside
        return self._sides[leaf]

    # ------------------------------------------------------------ what is tried

    def tries(self, leaf: n.Condition) -> Iterator[Sketch]:
        """Contacts near a condition's edge."""
        members = [node.segment for node in n.walk(leaf) if isinstance(node, n.Member)]
        if members:
            yield from (Sketch(member=dict.fromkeys(members, inside)) for inside in (True, False))
            return
        if (sequence := next((node for node in n.walk(leaf) if isinstance(node, n.Sequence)), None)) is not None:
            yield from (Sketch(events=rows) for rows in Journeys(sequence, self.of_step, self.zone).rows())
            return
        events = list(dict.fromkeys(node for node in n.walk(leaf) if isinstance(node, n.Events)))
        names = list(dict.fromkeys(node.name for node in n.walk(leaf) if isinstance(node, n.Field) and node.scope is n.Scope.CONTACT))
        values = [self.near(self.sources.contacts.columns[name], _constants(leaf)) for name in names]
        happened = [self.happened(leaf, one) for one in events]
        for cells in product(*values):
            for rows in product(*happened):
                yield Sketch(dict(zip(names, cells, strict=True)), tuple(row for chosen in rows for row in chosen))

    def near(self, type: Type, constants: Sequence[Any]) -> list[Any]:
        """Values of a column at and beside what it is compared with; a missing one at the end."""
        found: list[Any] = []
        match type.kind:
            case Kind.NUMBER:
                step = Fraction(1, 10**type.scale) if type.is_exact else Fraction(1, 100)
                for constant in constants:
                    if isinstance(constant, Decimal):
                        grid = math.floor(Fraction(constant) / step) * step
                        found += [Fraction(constant), grid, grid + step, grid - step]
                found = [one for one in found or [Fraction(1), Fraction(0)] if type.is_float or (one / step).denominator == 1]
                found = [float(one) if type.is_float else one for one in found]
            case Kind.TEXT:
                texts = [_bare(constant) for constant in constants if isinstance(constant, str)]
                found = [near for text in texts for near in (text, text[:-1], f"{text}x", text[1:]) if near] or ["x", " "]
            case Kind.BOOLEAN:
                found = [True, False]
            case Kind.DATE:
                days = [day_number(one) for one in constants if isinstance(one, date) and not isinstance(one, datetime)]
                found = [day + shift for day in days or [day_number(self.moment.clock.today)] for shift in (0, 1, -1)]
            case Kind.TIMESTAMP:
                instants = [micros(one) for one in constants if isinstance(one, datetime)] or [micros(self.moment.clock.as_of)]
                found = [instant + shift for instant in instants for shift in (0, 1, -1)]
            case Kind.LIST if type.element is not None:
                elements = self.near(type.element, constants)[:-1]
                found = [(one,) for one in elements] + [tuple(elements), ()]
        return [*dict.fromkeys(found), None]

    def happened(self, leaf: n.Condition, events: n.Events) -> list[list[EventRow]]:
        """What may have happened to a contact, near the edge of a condition over these events."""
        aggregate = next((node for node in n.walk(leaf) if isinstance(node, n.Aggregate) and node.events == events), None)
        prop = None if aggregate is None else aggregate.property
        good, missed = self.rows(events, prop, _constants(leaf, beside=events))
        if not good:
            return [[]]
        if aggregate is not None and aggregate.function not in COUNTED:
            return [*([row] for row in good), *([row] for row in missed[:2]), []]
        spread = aggregate is not None and aggregate.function == "distinct"
        found: list[list[EventRow]] = []
        for number in _counts(_constants(leaf, beside=events)):
            rows = [good[index % len(good)] if spread else good[0] for index in range(number)]
            found.append(rows if spread else [*rows[:-1], good[-1]])
            found += [[*rows[:-1], row] for row in missed[:2]]
        return [*found, []]

    def of_step(self, events: n.Events, asked: Collection[str]) -> Rows | None:
        """Events that may be a step, whose properties `asked` later ones ask, and such as are not, just so; None where none are found."""
        good, missed = self.rows(events, None, (), asked)
        if not good:
            return None
        source = self.sources.events[good[0].table]
        inside, before = self.times(events, source)
        others = [row for row in missed if row.at not in before]
        return Rows(good[0], others[:1], inside[0], inside[-1] if before else None, source.rows.columns[source.at].kind is Kind.DATE)

    def rows(
        self, events: n.Events, measured_by: n.Value | None, constants: Sequence[Any], asked: Collection[str] = ()
    ) -> tuple[list[EventRow], list[EventRow]]:
        """Events that are chosen, the first at the window's end and the last at its beginning; and such as are not, just so.

        They have the properties in `asked` too.
        """
        prop = None if measured_by is None else n.way(measured_by)[0]
        assert prop is None or isinstance(prop, n.Field)
        inner = (
            []
            if events.where is None
            else [node for node in n.walk(events.where) if isinstance(node, n.Field) and node.scope is n.Scope.EVENT]
        )
        names = list(dict.fromkeys([*(node.name for node in inner), *asked]))
        table = self.table(events.event, {*names, *([prop.name] if prop else [])})
        if table is None:
            return [], []
        index, event = table
        source = self.sources.events[index]
        known = source.rows.columns
        cells = [self.near(known[name], _constants(events.where) if events.where else []) for name in names]
        measured = [] if prop is None or prop.name in names else self.near(known[prop.name], constants)
        made: list[dict[str, Any]] = []
        for combination in islice(product(*cells, measured or [None]), MOST_TRIED):
            fields = dict(zip(names, combination[:-1], strict=True))
            made.append({**fields, **({prop.name: combination[-1]} if measured and prop else {})})
        inside, before = self.times(events, source)
        good = [EventRow(index, event, inside[0], fields) for fields in made]
        chosen = [row for row in good if self.chosen(events, row)]
        others = [row for row in good if not self.chosen(events, row)]
        if not chosen:
            return [], []
        early = [replace(chosen[0], at=at) for at in before]
        return [*chosen, *(replace(chosen[0], at=at) for at in inside[1:])], [*early, *others]

    def chosen(self, events: n.Events, row: EventRow) -> bool:
        return self.holds(n.Did(events), Sketch(events=(row,))) is True

    def times(self, events: n.Events, source: EventSource) -> tuple[list[int], list[int]]:
        """Instants within the window, its end first and its beginning last, and just outside it; whole days where events have those."""
        window = events.window
        assert window is not None
        assert window.final is not None
        final, first = micros(window.final), None if window.first is None else micros(window.first)
        if source.rows.columns[source.at].kind is not Kind.DATE:
            return [final, *([] if first is None else [first])], [] if first is None else [first - 1]
        last = self.zone.local(final)[0]
        days = [last] if first is None else [last, self.zone.local(first)[0] + 1, self.zone.local(first)[0]]
        found = [self.zone.first_instant(day) for day in days]
        within = [at for at in found if at <= final and (first is None or at >= first)]
        return within or [final], [] if first is None else [self.zone.first_instant(self.zone.local(first)[0] - 1)]

    def table(self, event: str | None, properties: Iterable[str]) -> tuple[int, str] | None:
        """An event table for such events, and the event's name."""
        names = list(properties)
        for number, source in enumerate(self.moment.snapshot.events):
            seen = self.moment.schema.events[number].names
            name = event or source.event or (min(seen) if seen else None)
            if name is None:
                continue
            try:
                return table_of(name, names, self.moment.snapshot.events), name
            except Misfit:
                continue
        return None


def _constants(node: n.Node, beside: n.Events | None = None) -> list[Any]:
    """What is compared with, in the order written; `beside`: not what stands within these events."""
    found: list[Any] = []
    pending: list[n.Node] = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, n.Constant):
            found.append(current.value)
        pending.extend(reversed([child for child in n.children(current) if child != beside]))
    return found


def _counts(constants: Sequence[Any]) -> list[int]:
    """How many events are tried: as many as are asked for, and one more and one less."""
    asked = [int(one) + more for one in constants if isinstance(one, Decimal) and abs(one) < MOST_EVENTS for more in (0, 1, -1)]
    return [number for number in dict.fromkeys([*asked, 1]) if 0 < number <= MOST_EVENTS]


def _bare(text: str) -> str:
    """A text without what patterns put around and between its letters."""
    return re.sub(r"\(\?\w+\)|[\\^$%]", "", text) or text
