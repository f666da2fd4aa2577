"""What a grounded condition says of one contact: true or false, one row after the other."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from segmentry.rules import nodes as n
from segmentry.rules.arithmetic import result_type, wider_float
from segmentry.rules.types import Kind, Type
from segmentry.verifying import numbers, texts
from segmentry.verifying.cells import Unread
from segmentry.verifying.days import CALENDAR, DAY, Undecided, Zone, day_number, micros, next_return, weekday, year_month_day
from segmentry.verifying.memories import Log
from segmentry.verifying.orders import CLOSE, NEAR, Order, is_among, told
from segmentry.verifying.patterns import UnreadPattern, like, regular
from segmentry.verifying.people import EventRow, EventSource, Key, Person
from segmentry.verifying.steps import Chosen, Search, Step

FARTHEST = {Kind.TIMESTAMP: CALENDAR * DAY, Kind.DATE: CALENDAR}
"""Instants and days further from 1970 stand for infinity in one program and for a year in another."""

LENGTHS: Mapping[n.Unit, int] = {n.Unit.SECOND: 1, n.Unit.MINUTE: 60, n.Unit.HOUR: 3600, n.Unit.DAY: 86400, n.Unit.WEEK: 604800}
"""Seconds of the units that are exact lengths."""


@dataclass(frozen=True)
class World:
    """What answers depend on beside the contact: segments and lists by name, event tables, timezone, populations, earlier runs."""

    conditions: Mapping[str, n.Condition]
    events: Sequence[EventSource] = ()
    lists: Mapping[str, frozenset[Key]] = field(default_factory=dict)
    zone: Zone = field(default_factory=lambda: Zone("UTC"))
    orders: Mapping[n.Population, Order] = field(default_factory=dict)
    logs: Mapping[str, Log] = field(default_factory=dict)
    """What accepted runs say of segments, by name; of a segment that is missing they say nothing."""


@dataclass(frozen=True)
class Reading:
    """One contact as it is asked about, and inside an event function the event's row. `known` are segments answered already."""

    world: World
    person: Person
    row: EventRow | None = None
    known: dict[str, bool] = field(default_factory=dict)
    element: Any = None
    """What `element` is, inside the conditions on a list's elements."""
    steps: Chosen = field(default_factory=dict)
    """Inside the steps of a sequence, the events that former steps are."""

    # ------------------------------------------------------------ conditions

    def member(self, segment: str) -> bool:
        """Whether the contact is in that segment. Undecided where two correct readings may differ."""
        if segment not in self.known:
            self.known[segment] = self.holds(self.world.conditions[segment])
        return self.known[segment]

    def holds(self, node: n.Condition) -> bool:
        """Whether the condition holds. Undecided where two correct readings may differ."""
        return CONDITIONS[type(node)](self, node)

    def every(self, items: Sequence[n.Condition]) -> bool:
        return all(self.holds(item) for item in items)

    def some(self, items: Sequence[n.Condition]) -> bool:
        return any(self.holds(item) for item in items)

    def compare(self, node: n.Compare) -> bool:
        return self.related(node.op, node.left, node.right)

    def related(self, op: str, left: n.Value, right: n.Value) -> bool:
        """`left op right`; false where a side is missing."""
        first, second = self.value(left), self.value(right)
        if first is None or second is None:
            return False
        if left.type.kind is Kind.NUMBER:
            first, second = together(first, left.type, second, right.type)
            if _measured(left) or _measured(right):
                told_apart(first, second)
        return bool(HOLDS[op](first, second))

    def text_test(self, node: n.TextTest) -> bool:
        text, pattern = self.value(node.value), self.value(node.pattern)
        if text is None or pattern is None:
            return False
        if node.op in ("contains", "starts with", "ends with", "ilike"):
            text, pattern = texts.lower(text), texts.lower(pattern)
        try:
            return TEXT_TESTS[node.op](text, pattern)
        except UnreadPattern as problem:
            raise Undecided(f"the pattern {pattern!r} has {problem}") from None

    def has_elements(self, node: n.HasElements) -> bool:
        found, element = self.value(node.value), node.value.type.element
        if found is None or element is None:
            return False
        has = [self.has_element(found, element, option) for option in node.options]
        return all(has) if node.need_all else any(has)

    def has_element(self, found: Sequence[Any], element: Type, option: n.Value) -> bool:
        wanted = self.value(option)
        if wanted is None:
            return False
        there = [one for one in found if one is not None]
        if element.kind is not Kind.NUMBER:
            return wanted in there
        return any(one == other for one, other in (together(one, element, wanted, option.type) for one in there))

    def did(self, node: n.Did) -> bool:
        return any(True for _ in self.rows(node.events))

    def sequence(self, node: n.Sequence) -> bool:
        former = [inner for inner in n.walk(node) if isinstance(inner, n.Former)]
        steps = [self._step(step) for step in node.steps]
        return Search(steps, length(node.within), frozenset(inner.step for inner in former)).succeeds()

    def _step(self, step: n.Step) -> Step:
        """A step with the rows that may be it: where it asks former ones, those are asked with each way."""
        where = step.events.where
        asks = where is not None and any(isinstance(inner, n.Former) for inner in n.walk(where))

        def fits(row: EventRow, chosen: Chosen) -> bool:
            return where is None or Reading(self.world, self.person, row, steps=chosen).holds(where)

        rows = self.rows(replace(step.events, where=None) if asks else step.events)
        ordered = sorted(((row.at, row) for row in rows if row.at is not None), key=lambda one: one[0])
        return Step(ordered, step.negated, length(step.within), fits if asks else None)

    def sample(self, node: n.Sample) -> bool:
        digits = hashlib.md5(f"{node.salt}:{self.person.key}".encode(), usedforsecurity=False).hexdigest()[:15]
        return node.threshold is None or digits < node.threshold

    # ------------------------------------------------------------ places among all contacts

    def place(self, population: n.Population) -> tuple[int, int] | None:
        """The contact's place, and how many are in the order that it is in; None where it is in none."""
        if population.among is not None and not self.holds(population.among):
            return None
        by, per = self.value(population.by), None if population.per is None else self.value(population.per)
        if by is None or (population.per is not None and per is None):
            return None
        return self.world.orders[population].place(self.person.key, by, per, measured=_measured(population.by))

    def foremost(self, node: n.Foremost) -> bool:
        found = self.place(node.population)
        return found is not None and is_among(node, *found)

    def ranked(self, node: n.Ranked) -> int | None:
        found = self.place(node.population)
        return None if found is None else told(node, *found)

    # ------------------------------------------------------------ events

    def rows(self, events: n.Events) -> list[EventRow]:
        """The contact's chosen events."""
        window = events.window
        assert window is not None
        unread = next((row.unread for row in self.person.events if row.unread), None)
        if unread is not None:
            raise Undecided(unread)
        first = None if window.first is None else micros(window.first)
        final = None if window.final is None else micros(window.final)
        return [
            row
            for row in self.person.events
            if row.at is not None
            and (first is None or row.at >= first)
            and (final is None or row.at <= final)
            and (events.event is None or row.event == events.event)
            and (events.prefix is None or (row.event is not None and row.event.startswith(events.prefix)))
            and (events.where is None or Reading(self.world, self.person, row).holds(events.where))
        ]

    def aggregate(self, node: n.Aggregate) -> Any:
        rows = self.rows(node.events)
        if node.function in ENDS:
            return ENDS[node.function](row.at for row in rows) if rows else None
        if node.function == "count":
            return len(rows)
        values = [(row, found) for row in rows if (found := Reading(self.world, self.person, row).value(self._property(node))) is not None]
        if node.function == "distinct":
            return len({found for _, found in values})
        if node.function in ("min", "max"):
            pick = min if node.function == "min" else max
            return pick((found for _, found in values), default=None)
        if node.function in ("earliest", "latest"):
            end = (min if node.function == "earliest" else max)((row.at for row in rows if row.at is not None), default=None)
            return max((found for row, found in values if row.at == end), default=None)
        total = self._total(node, values)
        if node.function == "sum" or total is None:
            return total
        return numbers.double(total) / len(values) if values else None

    def active_periods(self, node: n.ActivePeriods) -> int:
        """In how many periods there are enough events: each ends where the next begins, the last with the window."""
        starts = [micros(start) for start in node.starts]
        found = Counter(bisect_right(starts, row.at) for row in self.rows(node.events) if row.at is not None)
        return sum(number >= node.at_least for number in found.values())

    @staticmethod
    def _property(node: n.Aggregate) -> n.Value:
        assert node.property is not None
        return node.property

    def _total(self, node: n.Aggregate, values: Sequence[tuple[EventRow, Any]]) -> int | Fraction | None:
        """The exact sum; missing where it, or a value of it, has more than 38 digits."""
        of = self._property(node).type
        total: int | Fraction = 0
        for row, found in values:
            if not of.is_float:
                total += found
                continue
            places = self.world.events[row.table].scale
            whole = numbers.scaled(found, places)
            if whole is None:
                return None
            total += Fraction(whole, 10**places)
        scale = node.type.scale if node.function == "sum" else self._places(node)
        return numbers.fitting(total, scale)

    def _places(self, node: n.Aggregate) -> int:
        """How many places the sum that an average is made of keeps."""
        prop = self._property(node)
        if not prop.type.is_float:
            return prop.type.scale
        column = next(inner.name for inner in n.walk(prop) if isinstance(inner, n.Field))
        carrying = (source for source in self.world.events if source.carries(node.events.event) and column in source.rows.columns)
        return max((source.scale for source in carrying), default=0)

    # ------------------------------------------------------------ values

    def value(self, node: n.Value) -> Any:
        """The value; None where it is missing."""
        return VALUES[type(node)](self, node)

    def field(self, node: n.Field) -> Any:
        fields = self.person.fields if node.scope is n.Scope.CONTACT else self.row.fields if self.row is not None else {}
        return self._stored(fields.get(node.name), node.name, node.type)

    def former(self, node: n.Former) -> Any:
        """A property of the event that a former step of the sequence is."""
        return self._stored(self.steps[node.step].fields.get(node.name), node.name, node.type)

    def part(self, node: n.Part) -> Any:
        """A field of a struct, by its name; tables may differ in its case. Missing where the struct is, or has no such field."""
        whole = self.value(node.of) or {}
        alike = (name for name in whole if name.casefold() == node.name.casefold())
        return self._stored(whole.get(node.name if node.name in whole else next(alike, node.name)), node.name, node.type)

    @staticmethod
    def _stored(found: Any, name: str, type: Type) -> Any:
        """What a cell has, as of the type that it has in all tables."""
        if isinstance(found, Unread):
            raise Undecided(found.why)
        if type.kind in FARTHEST and found is not None and abs(found) > FARTHEST[type.kind]:
            raise Undecided(f"`{name}` is beyond the calendar")
        return numbers.as_number(found, type) if found is not None and type.kind is Kind.NUMBER else found

    def how_many(self, node: n.HowMany) -> int | None:
        """Of a list's elements; missing where the list is."""
        found, of = self.value(node.value), node.value.type.element
        if found is None or of is None:
            return None
        numeric = of.kind is Kind.NUMBER
        elements = [numbers.as_number(one, of) if numeric and one is not None else one for one in found]
        return sum(replace(self, element=one).holds(node.where) for one in elements)

    def call(self, node: n.Call) -> Any:
        args = node.args
        if node.function in ARITHMETIC:
            return self._chain(node)
        if node.function == "coalesce":
            found = next((one for arg in args if (one := self.value(arg)) is not None), None)
            return numbers.as_number(found, node.type) if found is not None and node.type.kind is Kind.NUMBER else found
        values = [self.value(arg) for arg in args]
        if any(one is None for one in values):
            return None
        return SCALARS[node.function](self.world.zone, [arg.type for arg in args], *values)

    def _chain(self, node: n.Call) -> Any:
        """Arithmetic from the left, each step with its own type."""
        made, of = self.value(node.args[0]), node.args[0].type
        for number, arg in enumerate(node.args[1:], 2):
            last = number == len(node.args)
            of_step = node.type if last else result_type(node.function, of, arg.type) or node.type
            other = self.value(arg)
            made = None if made is None or other is None else numbers.stepped(node.function, made, other, of_step)
            of = of_step
        return made


def length(duration: n.Duration | None) -> int | None:
    """An exact length in microseconds."""
    return None if duration is None else duration.amount * LENGTHS[duration.unit] * 1_000_000


def constant(node: n.Constant) -> Any:
    """A literal."""
    found = node.value
    if isinstance(found, datetime):
        return micros(found)
    if isinstance(found, date):
        return day_number(found)
    return Fraction(found) if isinstance(found, Decimal) else found


def together(first: Any, of_first: Type, second: Any, of_second: Type) -> tuple[Any, Any]:
    """Two numbers as they compare: exactly, or as floats of the wider float's width."""
    if not (of_first.is_float or of_second.is_float):
        return first, second
    width = wider_float(of_first, of_second).width
    return numbers.of_width(first, width), numbers.of_width(second, width)


def told_apart(first: float, second: float) -> None:
    """Undecided where two distances are nearer than two correct computations of them may be."""
    if math.isclose(first, second, rel_tol=NEAR, abs_tol=CLOSE):
        raise Undecided("a distance too near to call")


def _measured(node: n.Value) -> bool:
    return any(isinstance(inner, n.Call) and inner.function == "distance_km" for inner in n.walk(node))


# ---------------------------------------------------------------- scalar functions


def _distance(*degrees: float) -> float | None:
    if not all(math.isfinite(one) for one in degrees):
        return None
    lat, lon, lat0, lon0 = map(math.radians, degrees)
    half = math.sin((lat - lat0) / 2) ** 2 + math.cos(lat) * math.cos(lat0) * math.sin((lon - lon0) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(min(1.0, half)))


def _rounded(function: Callable[[Any], int], found: Any) -> Any:
    if not isinstance(found, float):
        return function(found)
    return float(function(found)) if math.isfinite(found) else None


def _unless_infinite(found: Any, made: Any) -> Any:
    return None if isinstance(found, float) and math.isinf(found) else made


def _day(zone: Zone, of: Type, found: int) -> int:
    return found if of.kind is Kind.DATE else zone.local(found)[0]


ENDS: Mapping[str, Callable[..., Any]] = {"first": min, "last": max}
AGGREGATES = frozenset({*ENDS, "count", "distinct", "min", "max", "earliest", "latest", "sum", "avg"})
ARITHMETIC = frozenset("+-*/%")

SCALARS: Mapping[str, Callable[..., Any]] = {
    "negate": lambda _zone, _of, x: _unless_infinite(x, -x),
    "abs": lambda _zone, _of, x: _unless_infinite(x, abs(x)),
    "round": lambda _zone, _of, x: _rounded(numbers.half_away, x),
    "floor": lambda _zone, _of, x: _rounded(math.floor, x),
    "ceil": lambda _zone, _of, x: _rounded(math.ceil, x),
    "number": lambda _zone, _of, text: numbers.number_of_text(text),
    "distance_km": lambda _zone, _of, *degrees: _distance(*(numbers.double(one) for one in degrees)),
    "lower": lambda _zone, _of, text: texts.lower(text),
    "trim": lambda _zone, _of, text: text.strip(" \t\r\n") or None,
    "length": lambda _zone, _of, x: len(x),
    "email_domain": lambda _zone, _of, text: texts.domain(text),
    "date": lambda zone, of, x: _day(zone, of[0], x),
    "year": lambda zone, of, x: year_month_day(_day(zone, of[0], x))[0],
    "month": lambda zone, of, x: year_month_day(_day(zone, of[0], x))[1],
    "day": lambda zone, of, x: year_month_day(_day(zone, of[0], x))[2],
    "weekday": lambda zone, of, x: weekday(_day(zone, of[0], x)),
    "hour": lambda zone, _of, x: zone.local(x)[1] // 3_600_000_000,
    "instant": lambda zone, of, x: x if of[0].kind is Kind.TIMESTAMP else zone.first_instant(x),
    "next_anniversary": lambda zone, of, x, today: next_return(_day(zone, of[0], x), today),
}
"""Functions of values that are all there, by name: called with the timezone, the arguments' types and the arguments."""

# ---------------------------------------------------------------- tables of nodes

HOLDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

TEXT_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "starts with": lambda text, part: text.startswith(part),
    "ends with": lambda text, part: text.endswith(part),
    "matches": lambda text, pattern: regular(pattern).finds(text),
    "like": lambda text, pattern: like(pattern).finds(text),
    "ilike": lambda text, pattern: like(pattern).finds(text),
}

CONDITIONS: Mapping[type[n.Condition], Callable[[Reading, Any], bool]] = {
    n.Always: lambda _, node: node.value,
    n.Truth: lambda read, node: read.value(node.value) is True,
    n.Compare: Reading.compare,
    n.In: lambda read, node: any(read.related("=", node.value, option) for option in node.options),
    n.TextTest: Reading.text_test,
    n.HasElements: Reading.has_elements,
    n.IsSet: lambda read, node: read.value(node.value) is not None,
    n.Did: Reading.did,
    n.Sequence: Reading.sequence,
    n.Foremost: Reading.foremost,
    n.Member: lambda read, node: read.member(node.segment),
    n.Remembered: lambda read, node: read.world.logs.get(node.segment, Log()).says(node, read.person.key),
    n.Listed: lambda read, node: read.person.key in read.world.lists[node.list],
    n.Sample: Reading.sample,
    n.And: lambda read, node: read.every(node.items),
    n.Or: lambda read, node: read.some(node.items),
    n.Not: lambda read, node: not read.holds(node.item),
    n.AtLeast: lambda read, node: sum(read.holds(item) for item in node.items) >= node.count,
}

VALUES: Mapping[type[n.Value], Callable[[Reading, Any], Any]] = {
    n.Field: Reading.field,
    n.Former: Reading.former,
    n.Constant: lambda _, node: constant(node),
    n.Call: Reading.call,
    n.Aggregate: Reading.aggregate,
    n.ActivePeriods: Reading.active_periods,
    n.Element: lambda read, _: read.element,
    n.Part: Reading.part,
    n.HowMany: Reading.how_many,
    n.Ranked: Reading.ranked,
}
