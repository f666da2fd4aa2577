"""When a condition may change though no data does: the instants of one contact at which any part of it can turn over.

Between two such instants nothing of it moves. What is not listed here can't be foretold: a kind of node that this module
does not know is never taken for one that keeps still.

What accepted runs say of a segment moves with the edges of a window over the changes that they found, and with the
segment itself. For how long no further run can say otherwise is not told here but by `hindsight`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from functools import reduce
from itertools import chain
from typing import Protocol

from segmentry.engine.crossings import crossings, date_changes, hour_changes, moved_changes
from segmentry.rules import nodes as n
from segmentry.rules.functions import FUNCTIONS, TimeClass
from segmentry.rules.ground import TICK, Clock
from segmentry.rules.times import SECONDS, days_in_month
from segmentry.rules.types import Kind
from segmentry.rules.zones import LAST_INSTANT, day_start, utc_to_local

DAYS_SEARCHED = 400
"""So many days ahead what depends on the day itself is looked at day by day: more than a year."""

HOURS_SEARCHED = 31
"""So many days ahead what depends on the hour is looked at hour by hour."""

ANNIVERSARIES = 12
"""So many returns of a date are looked at."""

ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "negate"})
BY_DAYS = date_changes, DAYS_SEARCHED
CHANGING = {**dict.fromkeys(("date", "year", "month", "day", "weekday"), BY_DAYS), "hour": (hour_changes, HOURS_SEARCHED)}
"""Of a calendar part: what says when it changes, and how many days ahead that is looked at."""
ENDS = frozenset({"first", "last"})
PICKED = frozenset({"min", "max", "earliest", "latest"})
"""Aggregates whose value is that of one of the events' properties."""

AGGREGATES = ENDS | PICKED | {"count", "distinct", "sum", "avg"}

KNOWN: Mapping[type[n.Node], frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in (
        (n.Field, "type scope name"), (n.Former, "type step name"), (n.Part, "type of name"), (n.Constant, "type value"),
        (n.AsOf, "type shift sign"), (n.Day, "type unit shifts"),
        (n.Call, "type function args"), (n.Aggregate, "type function events property"), (n.Always, "value"), (n.Truth, "value"),
        (n.Events, "event where last since until window prefix during"), (n.Compare, "op left right"), (n.In, "value options"),
        (n.ActivePeriods, "type function events property unit of at_least"), (n.During, "value period"),
        (n.Element, "type"), (n.HowMany, "type value where"),
        (n.TextTest, "op value pattern"), (n.HasElements, "value options need_all"), (n.IsSet, "value"), (n.Listed, "list"),
        (n.InWindow, "value duration ahead"), (n.Did, "events"), (n.Sample, "salt threshold"), (n.And, "items"), (n.Or, "items"),
        (n.Not, "item"), (n.AtLeast, "count items"), (n.Step, "events negated within"),
        (n.Sequence, "steps within last since until during"), (n.Member, "segment"),
        (n.Moved, "segment change last since until during"), (n.Stayed, "segment duration"),
        (n.Foremost, "population count share"), (n.Ranked, "type population standing parts"), (n.Population, "by among per falling"),
    )
}  # fmt: skip
"""The nodes that this module understands, and the fields of each. One of any other kind, or that says more, is opaque."""

PLACES = (n.Foremost, n.Ranked, n.Population)

Moments = Sequence[date | datetime]


@dataclass(frozen=True, slots=True)
class Motion:
    """The instants at which something may change; from `until` on (None: ever) nothing is known of it."""

    instants: frozenset[datetime] = frozenset()
    until: datetime | None = None

    def __or__(self, other: Motion) -> Motion:
        ends = [end for end in (self.until, other.until) if end is not None]
        return Motion(self.instants | other.instants, min(ends, default=None))

    @property
    def still(self) -> bool:
        """Whether it never changes."""
        return not self.instants and self.until is None


STILL = Motion()


class Looked(Protocol):
    """What is known of the contact: days and aware instants. Those out of the calendar may stand anywhere, on their day of the year."""

    def value(self, value: n.Value) -> Moments:
        """What a value of the contact's is, which no clock moves; nothing where it is missing."""

    def instants(self, events: n.Events) -> Sequence[datetime]:
        """When these events are, past and future, whatever their window; all of the event where a clock moves `where`."""

    def properties(self, events: n.Events, value: n.Value) -> Moments:
        """What a value of these events' rows is."""

    def elements(self, of: n.Value, names: tuple[str, ...]) -> Moments:
        """What the elements of a list of the contact's are, which no clock moves; or what they have under these names."""

    def elements_in(self, events: n.Events, of: n.Value, names: tuple[str, ...]) -> Moments:
        """The same of lists that these events' rows have."""

    def changes(self, memory: n.Moved | n.Stayed) -> Changes:
        """When accepted runs may have changed what they say of the contact and that segment."""

    def rule(self, segment: str) -> n.Condition:
        """Who is in a segment, its clocks not resolved."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Instants (aware) of accepted runs, each of which counts from the next microsecond on; from `until` on (None: ever) more may come."""

    instants: Sequence[datetime] = ()
    until: datetime | None = None


def motion(condition: n.Condition, looked: Looked, clock: Clock) -> Motion:
    """When a checked condition (its clocks not resolved) may change after `clock.as_of`."""
    return _Mover(looked, clock).condition(condition)


def is_still(node: n.Node) -> bool:
    """Whether no clock moves it, as far as its own words say: it holds no clock, no event, and nothing that this module does not know."""
    return all(_keeps_still(one) for one in n.walk(node))


def _keeps_still(node: n.Node) -> bool:
    if not _is_known(node):
        return False
    match node:
        case n.Call():
            return _is_plain(node.function)
        case (
            n.Element()
            | n.HowMany()
            | n.Field()
            | n.Former()
            | n.Part()
            | n.Constant()
            | n.And()
            | n.Or()
            | n.Not()
            | n.AtLeast()
            | n.Always()
            | n.Truth()
            | n.Compare()
            | n.In()
        ):
            return True
        case n.TextTest() | n.HasElements() | n.IsSet() | n.Listed() | n.Sample():
            return True
    return False


def _is_known(node: n.Node) -> bool:
    """Whether a node says nothing but what this module understands."""
    known = KNOWN.get(type(node))
    return known is not None and all(
        spec.name in known or not spec.compare or getattr(node, spec.name) in (spec.default, None) for spec in fields(node)
    )


def _is_plain(function: str) -> bool:
    row = FUNCTIONS.get(function)
    return function in ARITHMETIC or (row is not None and row.time is TimeClass.NONE)


def _together(motions: Iterable[Motion]) -> Motion:
    return reduce(Motion.__or__, motions, STILL)


@dataclass(frozen=True)
class _Mover:
    """Walks over one condition; `rows` are the events whose rows names mean, inside an event function, and `steps` all of its sequence.

    `of` is the list whose elements are asked.
    """

    looked: Looked
    clock: Clock
    rows: n.Events | None = None
    steps: tuple[n.Step, ...] = ()
    of: n.Value | None = None
    segments: dict[str, Motion] = field(default_factory=dict)

    @property
    def opaque(self) -> Motion:
        return Motion(until=self.clock.as_of)

    # ------------------------------------------------------------ conditions

    def condition(self, node: n.Condition) -> Motion:
        if not _is_known(node):
            return self.opaque
        match node:
            case n.Always() | n.Listed() | n.Sample():
                return STILL
            case n.And() | n.Or() | n.AtLeast():
                return _together(self.condition(item) for item in node.items)
            case n.Not():
                return self.condition(node.item)
            case n.Foremost():
                return self.place(node.population)
            case n.Did() | n.Sequence() | n.Member() | n.Moved() | n.Stayed():
                return self.of_rows_and_runs(node)
        return self.of_values(node)

    def of_values(self, node: n.Condition) -> Motion:
        match node:
            case n.Truth() | n.IsSet():
                return self.value(node.value)
            case n.Compare():
                return self.beside(node.left, node.right)
            case n.In():
                return _together(self.beside(node.value, option) for option in node.options)
            case n.TextTest():
                return self.value(node.value) | self.value(node.pattern)
            case n.HasElements():
                return _together(map(self.value, (node.value, *node.options)))
            case n.InWindow():
                return self.in_window(node)
            case n.During():
                return self.during(node)
        return self.opaque

    def of_rows_and_runs(self, node: n.Did | n.Sequence | n.Member | n.Moved | n.Stayed) -> Motion:
        match node:
            case n.Did():
                return self.events(node.events)
            case n.Sequence():
                return _together(self.step(node, step) for step in node.steps)
            case n.Member():
                return self.segment(node.segment)
            case n.Moved():
                return self.remembered(node, self.edges(node, self.looked.changes(node).instants) | self.reaching(node))
            case n.Stayed():
                edge = n.AsOf(shift=node.duration, sign=-1)
                return self.remembered(node, self.passing([edge], self.looked.changes(node).instants))

    def during(self, node: n.During) -> Motion:
        """A period of today's comes to a value, and leaves it."""
        possible, still = self.possible(node.value), self.value(node.value)
        return still | (self.by_days() if possible is None else self.passing(ends_of(node.period), possible))

    def beside(self, left: n.Value, right: n.Value) -> Motion:
        """A comparison: where one side is the clock, it changes when that passes what the other side may be."""
        for reading, other in ((left, right), (right, left)):
            if isinstance(reading, (n.AsOf, n.Day)):
                possible = self.possible(other)
                if possible is not None:
                    return self.value(other) | self.passing([reading], possible)
        return self.value(left) | self.value(right)

    def in_window(self, node: n.InWindow) -> Motion:
        sign = 1 if node.ahead else -1
        edges: list[n.AsOf | n.Day] = (
            [n.Day(), n.Day(shifts=((sign, node.duration),))]
            if node.value.type.kind is Kind.DATE
            else [n.AsOf(), n.AsOf(shift=node.duration, sign=sign)]
        )
        possible = self.possible(node.value)
        if possible is None:
            return self.value(node.value) | _together(map(self.value, edges))
        return self.value(node.value) | self.passing(edges, possible)

    def passing(self, readings: Iterable[n.AsOf | n.Day], possible: Moments) -> Motion:
        found = (crossings(reading, one, self.clock) for reading in readings for one in possible)
        return Motion(frozenset(chain.from_iterable(found)))

    # ------------------------------------------------------------ events

    def events(self, node: n.Events) -> Motion:
        """Events become visible, and pass the edges of their window."""
        if not _is_known(node):
            return self.opaque
        instants = self.looked.instants(node)
        moving = self.edges(node, instants) | Motion(frozenset(at for at in instants if at > self.clock.as_of))
        if node.where is not None:
            moving |= _Mover(self.looked, self.clock, node, self.steps).condition(node.where)
        return moving

    def step(self, sequence: n.Sequence, step: n.Step) -> Motion:
        """A step's events come and go by their own window, and by the sequence's; lengths between steps go by no clock."""
        if not _is_known(step) or not _is_known(step.events):
            return self.opaque
        inside = replace(self, steps=sequence.steps)
        return inside.events(step.events) | self.edges(sequence, self.looked.instants(step.events))

    def edges(self, node: n.Events | n.Sequence | n.Moved, instants: Sequence[datetime]) -> Motion:
        """The edges of a window pass instants."""
        moving = STILL
        if node.during is not None:
            moving |= self.passing(ends_of(node.during), instants)
        if node.last is not None:
            moving |= self.passing([n.AsOf(shift=node.last, sign=-1)], instants)
        for bound in (node.since, node.until):
            if isinstance(bound, (n.AsOf, n.Day)):
                moving |= self.passing([bound], instants)
            elif bound is not None:
                moving |= self.value(bound)
        return moving

    # ------------------------------------------------------------ other segments

    def segment(self, name: str) -> Motion:
        """Who is in a segment: it is walked over once."""
        if name not in self.segments:
            self.segments[name] = self.condition(self.looked.rule(name))
        return self.segments[name]

    def remembered(self, node: n.Moved | n.Stayed, edges: Motion) -> Motion:
        """What runs have said, and what a run at that instant would say itself."""
        known, now = self.looked.changes(node), self.segment(node.segment)
        # for how long the segment itself is known, part by part, is told by `hindsight`
        seen = {at + TICK for at in known.instants if self.clock.as_of <= at < LAST_INSTANT}
        return edges | Motion(now.instants | seen, known.until)

    def reaching(self, node: n.Moved) -> Motion:
        """A window comes to reach the present, or does so no more: only then what the run itself changes is in it."""
        moving = STILL
        for bound in (node.since, node.until):
            if isinstance(bound, n.Constant):
                possible = self.possible(bound)
                moving |= self.opaque if possible is None else self.passing([n.AsOf()], possible)
            elif isinstance(bound, n.Day):
                moving |= self.by_days()
            elif bound is not None and not isinstance(bound, n.AsOf):  # what is moved by a length stays on its side of the clock
                moving |= self.opaque
        return moving

    # ------------------------------------------------------------ values

    def value(self, node: n.Value) -> Motion:
        """When a value may become another."""
        if not _is_known(node):
            return self.opaque
        match node:
            case n.Field() | n.Former() | n.Constant() | n.Element():
                return STILL
            case n.HowMany():
                return self.value(node.value) | replace(self, of=node.value).condition(node.where)
            case n.Part():
                return self.value(node.of)
            case n.Day():
                return self.by_days()
            case n.ActivePeriods():
                first = n.Day(unit=node.unit, shifts=((-1, n.Duration(node.of - 1, node.unit)),))
                return self.events(node.events) | self.passing([first], self.looked.instants(node.events))
            case n.Aggregate() if node.function in AGGREGATES:
                return self.events(node.events)
            case n.Call():
                return self.call(node)
            case n.Ranked():
                return self.place(node.population)
        return self.opaque

    def place(self, population: n.Population) -> Motion:
        """A place among all contacts: where no clock moves what any of them is ordered by, nobody's changes; else it isn't looked at."""
        return STILL if self.keeps_still(population, set()) else self.opaque

    def keeps_still(self, node: n.Node, seen: set[str]) -> bool:
        """Whether no clock moves it for any contact, also through places and other segments."""
        for one in n.walk(node):
            if isinstance(one, n.Member):
                if one.segment not in seen:
                    seen.add(one.segment)
                    if not self.keeps_still(self.looked.rule(one.segment), seen):
                        return False
            elif not (_is_known(one) if isinstance(one, PLACES) else _keeps_still(one)):
                return False
        return True

    def call(self, node: n.Call) -> Motion:
        if node.function == "next_anniversary":
            dates, inner = self.possible(node.args[0]), self.value(node.args[0])
            return self.opaque if dates is None else inner | self.anniversaries(dates)
        if node.function in CHANGING and isinstance(node.args[0], n.AsOf):
            return self.by_parts(node.function, node.args[0])
        return _together(map(self.value, node.args)) if _is_plain(node.function) else self.opaque

    def by_days(self) -> Motion:
        """Whatever the day decides, looked at day by day."""
        return self.by_parts("date", n.AsOf())

    def by_parts(self, part: str, reading: n.AsOf) -> Motion:
        """A part of a date or time that goes evenly with the clock, looked at step by step."""
        changes, days = CHANGING[part]
        as_of, end = self.clock.as_of, _later(self.clock.as_of, timedelta(days=days))
        try:
            if reading.shift is None:
                return Motion(frozenset(changes(self.clock, as_of, end)), end)
            if reading.shift.unit not in SECONDS:
                return Motion(frozenset(moved_changes(reading.shift, reading.sign, self.clock, as_of, end, hours=part == "hour")), end)
            apart = timedelta(seconds=reading.sign * reading.shift.amount * SECONDS[reading.shift.unit])
            return Motion(frozenset(one - apart for one in changes(self.clock, as_of + apart, end + apart)), end)
        except OverflowError:
            return self.opaque

    def anniversaries(self, dates: Moments) -> Motion:
        """An anniversary is followed by the next one when its day is over; without a date there is none."""
        if not dates:
            return STILL
        found = self.passing([n.Day()], self.returns(dates))
        year = self.clock.today.year + ANNIVERSARIES
        end = LAST_INSTANT if year > date.max.year else day_start(date(year, 1, 1), self.clock.zone)
        return Motion(frozenset(one for one in found.instants if one < end), end)

    def returns(self, dates: Moments) -> list[date]:
        this = self.clock.today.year
        years = range(this, min(this + ANNIVERSARIES + 1, date.max.year) + 1)
        return [returned for one in dates for day in _days(one, self.clock) for year in years for returned in _return_of(day, year)]

    def possible(self, node: n.Value) -> Moments | None:
        """All that a day or instant may ever be, for this contact; None where that can't be listed."""
        if node.type.kind not in (Kind.DATE, Kind.TIMESTAMP) or not _is_known(node):
            return None
        base, names = n.way(node)
        if isinstance(base, n.Element):
            return self.of_elements(names)
        if any(isinstance(one, n.Former) for one in n.walk(node)):
            return self.of_former(node)
        if is_still(node) and not any(isinstance(one, n.Element) for one in n.walk(node)):
            return self.looked.value(node) if self.rows is None else self.looked.properties(self.rows, node)
        match node:
            case n.Aggregate(function=function, property=measured):
                if function in ENDS:
                    return self.looked.instants(node.events)
                if function in PICKED and measured is not None:
                    return self.looked.properties(node.events, measured)
            case n.Call(function="coalesce"):
                parts = [self.possible(argument) for argument in node.args]
                return None if None in parts else [one for part in parts if part is not None for one in part]
            case n.Call(function="date"):
                inner = self.possible(node.args[0])
                return None if inner is None else [day for one in inner for day in _days(one, self.clock)]
            case n.Call(function="next_anniversary"):
                dates = self.possible(node.args[0])
                return None if dates is None else self.returns(dates)
        return None

    def of_elements(self, names: tuple[str, ...]) -> Moments | None:
        """What any element may be, or have under these names; of lists within lists, and of former steps, it isn't listed."""
        if self.of is None or any(isinstance(one, (n.Element, n.Former)) for one in n.walk(self.of)):
            return None
        return self.looked.elements(self.of, names) if self.rows is None else self.looked.elements_in(self.rows, self.of, names)

    def of_former(self, node: n.Value) -> Moments | None:
        """What a former step's property may be: that of any event that the step could be."""
        former = n.way(node)[0]
        return self.looked.properties(self.steps[former.step].events, own(node)) if isinstance(former, n.Former) else None


def own(node: n.Value) -> n.Value:
    """A property of a former step's as that step's events have it."""
    if isinstance(node, n.Part):
        return replace(node, of=own(node.of))
    assert isinstance(node, n.Former)
    return n.Field(node.type, n.Scope.EVENT, node.name)


def ends_of(period: n.Period) -> tuple[n.Day, n.Day]:
    """The first day of a period, and of the one after it."""
    numbers = period.offset, period.offset + 1
    first, after = (n.Day(unit=period.unit, shifts=((1 if one > 0 else -1, n.Duration(abs(one), period.unit)),)) for one in numbers)
    return first, after


def _later(instant: datetime, by: timedelta) -> datetime:
    return min(instant, LAST_INSTANT - by) + by


def _days(one: date | datetime, clock: Clock) -> list[date]:
    """The day, or the local day of an instant with its neighbours: an engine's last offsets may be a day's end apart from ours."""
    if not isinstance(one, datetime):
        return [one]
    middle = utc_to_local(one, clock.zone).date().toordinal()
    return [date.fromordinal(day) for day in (middle - 1, middle, middle + 1) if 1 <= day <= date.max.toordinal()]


def _return_of(day: date, year: int) -> list[date]:
    return [date(year, day.month, min(day.day, days_in_month(year, day.month)))]
