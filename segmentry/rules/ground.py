"""Grounding: a condition for one instant, timezone and week start. No clock is left in what comes out.

Every zone computation happens here, on constants; what a grounded tree asks of an engine is comparisons of values of
one kind, and the calendar parts and first instants of fields, which the engine computes with `zones.transitions` and
`zones.day_offsets`.

Whole days: a date that comes from no field (a literal, `today()`, `date(now())`) beside an instant means its whole
day, and becomes half-open bounds. A date of a field beside an instant is that date's first instant; beside a constant
instant that too becomes a comparison of dates, because first instants rise with their days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from segmentry.rules import nodes as n
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.times import WEEKDAYS, period_days, shift_day, shift_instant, start_of
from segmentry.rules.types import DATE, TIMESTAMP, Kind
from segmentry.rules.zones import LAST_INSTANT, day_end, day_start, is_zone, local_to_utc, utc_to_local

TICK = timedelta(microseconds=1)
PARTS: dict[str, Callable[[date], int]] = {
    "year": lambda day: day.year,
    "month": lambda day: day.month,
    "day": lambda day: day.day,
    "weekday": lambda day: day.isoweekday(),
    "hour": lambda at: at.hour if isinstance(at, datetime) else 0,
}
"""The calendar parts of a day or local time."""

MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Clock:
    """The one instant of a run (aware; kept as UTC), the workspace's timezone, and the day its weeks begin with.

    ValueError for a naive instant, an unknown zone or weekday.
    """

    as_of: datetime
    zone: str = "UTC"
    week_start: str = "monday"

    def __post_init__(self) -> None:
        if self.as_of.tzinfo is None:
            raise ValueError("as_of needs a timezone")
        if not is_zone(self.zone):
            raise ValueError(f"no time zone is named `{self.zone}`")
        if self.week_start not in WEEKDAYS:
            raise ValueError(f"`{self.week_start}` is no weekday")
        object.__setattr__(self, "as_of", self.as_of.astimezone(UTC))

    @property
    def today(self) -> date:
        """The day in the workspace's timezone."""
        return utc_to_local(self.as_of, self.zone).date()

    def ago(self, duration: n.Duration, sign: int = -1) -> datetime:
        """`as_of` moved; aware UTC."""
        return shift_instant(self.as_of, sign, duration, self.zone)


def ground(condition: n.Condition, clock: Clock) -> n.Condition:
    """The condition without a clock, as `nodes.py` promises it to the engine. Never raises for a checked condition."""
    with deep_recursion():
        return _Grounding(clock).condition(condition)


@dataclass(frozen=True, slots=True)
class _Grounding:
    clock: Clock

    # ------------------------------------------------------------ conditions

    def condition(self, node: n.Condition) -> n.Condition:
        match node:
            case n.And() | n.Or() | n.AtLeast():
                return replace(node, items=tuple([self.condition(item) for item in node.items]))
            case n.Not():
                return replace(node, item=self.condition(node.item))
            case n.Compare():
                return self.compare(node.op, self.value(node.left), self.value(node.right), node)
            case n.In():
                return self.is_in(node)
            case n.InWindow() | n.During():
                return self.in_window(node) if isinstance(node, n.InWindow) else self.during(node)
            case n.Truth() | n.IsSet():
                return replace(node, value=self.value(node.value))
            case n.TextTest():
                return replace(node, value=self.value(node.value), pattern=self.value(node.pattern))
            case n.HasElements():
                return replace(node, value=self.value(node.value), options=self.values(node.options))
            case n.Did() | n.Sequence():
                return self.over_events(node)
            case n.Moved():
                return self.moved(node)
            case n.Stayed():
                return self.stayed(node)
            case n.Foremost():
                return replace(node, population=self.population(node.population))
        return node

    def compare(self, op: str, left: n.Value, right: n.Value, at: n.Node) -> n.Condition:
        """A comparison of two grounded values of any kinds of time."""
        if left.type.kind is right.type.kind:
            return n.Compare(op, left, right, place=at.place)
        if left.type.kind is Kind.DATE:
            return self.compare(MIRRORED[op], right, left, at)
        if isinstance(right, n.Constant) and isinstance(right.value, date):
            return self.whole_day(op, left, right.value, at)
        if isinstance(left, n.Constant) and isinstance(left.value, datetime):
            return self.first_instants(MIRRORED[op], right, left.value, at)
        return n.Compare(op, left, n.Call(TIMESTAMP, "instant", (right,), place=right.place), place=at.place)

    def whole_day(self, op: str, left: n.Value, day: date, at: n.Node) -> n.Condition:
        """An instant beside a day that is the same for every contact."""
        start = self.bound(">=" if op in ("=", ">=") else "<", left, day_start(day, self.clock.zone), at)
        if op in (">=", "<"):
            return start
        last = day == date.max  # no instant is after it
        end = day_end(day, self.clock.zone)
        if op == ">":
            return self.bound(">" if last else ">=", left, end, at)
        before_end = self.bound("<=" if last else "<", left, end, at)
        return before_end if op == "<=" else n.And((start, before_end), place=at.place)

    def first_instants(self, op: str, day: n.Value, instant: datetime, at: n.Node) -> n.Condition:
        """`first instant of day op instant` as comparisons of days. `day` varies; `instant` doesn't."""
        reached = self._first_day(lambda start: start >= instant, instant)
        passed = self._first_day(lambda start: start > instant, instant)
        if op == "=":
            # no day, or (where a whole day was skipped) several, begin at that instant
            return self._from_to(day, reached, passed, at)
        edge = reached if op in ("<", ">=") else passed
        before = op in ("<", "<=")
        if edge is None:  # every day the calendar has begins before
            last = n.Constant(DATE, date.max, place=at.place)
            return n.Compare("<=" if before else ">", day, last, place=at.place)
        return n.Compare("<" if before else ">=", day, n.Constant(DATE, edge, place=at.place), place=at.place)

    def _from_to(self, day: n.Value, first: date | None, end: date | None, at: n.Node) -> n.Condition:
        if first is None or first == end:
            return n.Always(False, place=at.place)
        if end is None or end - first == timedelta(days=1):
            return n.Compare("=", day, n.Constant(DATE, first, place=at.place), place=at.place)
        low = n.Compare(">=", day, n.Constant(DATE, first, place=at.place), place=at.place)
        return n.And((low, n.Compare("<", day, n.Constant(DATE, end, place=at.place), place=at.place)), place=at.place)

    def _first_day(self, holds: Callable[[datetime], bool], near: datetime) -> date | None:
        """The first day whose first instant does it; None if the calendar ends before. It is within days of `near`."""
        local = utc_to_local(near, self.clock.zone).date().toordinal()
        for ordinal in range(max(local - 3, 1), min(local + 4, date.max.toordinal()) + 1):
            if holds(day_start(date.fromordinal(ordinal), self.clock.zone)):
                return date.fromordinal(ordinal)
        return None

    def bound(self, op: str, value: n.Value, instant: datetime, at: n.Node) -> n.Condition:
        return n.Compare(op, value, n.Constant(TIMESTAMP, instant, place=at.place), place=at.place)

    def is_in(self, node: n.In) -> n.Condition:
        """`in`: options of the value's own kind stay together, every other is a comparison of its own."""
        value, options = self.value(node.value), self.values(node.options)
        same = tuple([option for option in options if option.type.kind is value.type.kind])
        if len(same) == len(options):
            return n.In(value, same, place=node.place)
        others = [option for option in options if option.type.kind is not value.type.kind]
        parts: list[n.Condition] = [n.In(value, same, place=node.place)] if same else []
        if value.type.kind is Kind.TIMESTAMP:
            days = [option.value for option in others if isinstance(option, n.Constant) and isinstance(option.value, date)]
            others = [option for option in others if not isinstance(option, n.Constant)]
            parts += [self._between_days(value, first, last, node) for first, last in runs_of_days(days)]
        parts += [self.compare("=", value, option, node) for option in others]
        return parts[0] if len(parts) == 1 else n.Or(tuple(parts), place=node.place)

    def _between_days(self, value: n.Value, first: date, last: date, at: n.Node) -> n.Condition:
        return n.And((self.whole_day(">=", value, first, at), self.whole_day("<=", value, last, at)), place=at.place)

    def in_window(self, node: n.InWindow) -> n.Condition:
        """The half-open windows of `in the last` and `in the next`, on instants and on days."""
        value, sign = self.value(node.value), 1 if node.ahead else -1
        if value.type.kind is Kind.DATE:
            today = n.Constant(DATE, self.clock.today, place=node.place)
            edge = n.Constant(DATE, shift_day(self.clock.today, sign, node.duration), place=node.place)
            low, high = (">=", "<") if node.ahead else (">", "<=")
        else:
            today = n.Constant(TIMESTAMP, self.clock.as_of, place=node.place)
            edge = n.Constant(TIMESTAMP, self.clock.ago(node.duration, sign), place=node.place)
            low, high = ">", "<="
        first, last = (today, edge) if node.ahead else (edge, today)
        bounds = n.Compare(low, value, first, place=node.place), n.Compare(high, value, last, place=node.place)
        return n.And(bounds, place=node.place)

    def during(self, node: n.During) -> n.Condition:
        """The whole days of a calendar period, half-open for instants."""
        value, days = self.value(node.value), self._days(node.period)
        if days is None:
            return n.Always(False, place=node.place)
        if value.type.kind is not Kind.DATE:
            return self._between_days(value, *days, node)
        first, last = (n.Constant(DATE, day, place=node.place) for day in days)
        if days[0] == days[1]:
            return n.Compare("=", value, first, place=node.place)
        bounds = n.Compare(">=", value, first, place=node.place), n.Compare("<=", value, last, place=node.place)
        return n.And(bounds, place=node.place)

    def _days(self, period: n.Period) -> tuple[date, date] | None:
        return period_days(self.clock.today, period, self.clock.week_start)

    # ------------------------------------------------------------ values

    def values(self, values: Iterable[n.Value]) -> tuple[n.Value, ...]:
        return tuple([self.value(value) for value in values])

    def value(self, node: n.Value) -> n.Value:
        match node:
            case n.AsOf():
                instant = self.clock.as_of if node.shift is None else self.clock.ago(node.shift, node.sign)
                return n.Constant(TIMESTAMP, instant, place=node.place)
            case n.Day():
                day = start_of(self.clock.today, node.unit, self.clock.week_start)
                for sign, duration in node.shifts:
                    day = shift_day(day, sign, duration)
                return n.Constant(DATE, day, place=node.place)
            case n.Constant(value=datetime() as moment):
                return replace(node, value=self.utc(moment))
            case n.Call():
                return self.call(replace(node, args=self.values(node.args)))
            case n.ActivePeriods():
                return self.active_periods(node)
            case n.Aggregate():
                return replace(node, events=self.events(node.events))
            case n.Ranked():
                return replace(node, population=self.population(node.population))
            case n.Part():
                return replace(node, of=self.value(node.of))
            case n.HowMany():
                return replace(node, value=self.value(node.value), where=self.condition(node.where))
        return node

    def call(self, node: n.Call) -> n.Value:
        """A call with grounded arguments: what depends on the zone and on no field is computed here."""
        first = node.args[0] if node.args else None
        if isinstance(first, n.Constant):
            local = utc_to_local(first.value, self.clock.zone) if isinstance(first.value, datetime) else first.value
            if node.function == "date" and isinstance(local, datetime):
                return n.Constant(DATE, local.date(), place=node.place)
            if node.function in PARTS and isinstance(local, date):
                return n.Constant(node.type, Decimal(PARTS[node.function](local)), place=node.place)
            if node.function == "instant" and isinstance(first.value, date):
                return n.Constant(TIMESTAMP, day_start(first.value, self.clock.zone), place=node.place)
        if node.function == "next_anniversary" and len(node.args) == 1:
            return replace(node, args=(*node.args, n.Constant(DATE, self.clock.today, place=node.place)))
        return node

    def population(self, node: n.Population) -> n.Population:
        among = None if node.among is None else self.condition(node.among)
        per = None if node.per is None else self.value(node.per)
        return replace(node, by=self.value(node.by), among=among, per=per)

    def utc(self, moment: datetime) -> datetime:
        return local_to_utc(moment, self.clock.zone) if moment.tzinfo is None else moment.astimezone(UTC)

    # ------------------------------------------------------------ events, and what was

    def events(self, node: n.Events) -> n.Events:
        """The events with their window, in place of what it was written as."""
        window = self.window(node)
        where = None if node.where is None else self.condition(node.where)
        return replace(node, where=where, last=None, since=None, until=None, during=None, window=window)

    def window(self, node: n.Events | n.Moved) -> n.Window:
        """`last`, `since`, `until` and `during` together as one window that ends at `as_of` or before."""
        firsts, finals = [], [self.clock.as_of]
        if node.last is not None:
            firsts.append(_next_tick(self.clock.ago(node.last)))
        if node.since is not None:
            firsts.append(self._edge(node.since, day_start))
        if node.until is not None:
            finals.append(self._edge(node.until, _last_tick))
        if node.during is not None:
            first, last = self._days(node.during) or (date.max, date.min)
            firsts.append(day_start(first, self.clock.zone))
            finals.append(_last_tick(last, self.clock.zone))
        return n.Window(max(firsts, default=None), min(finals))

    def moved(self, node: n.Moved) -> n.Condition:
        """What accepted runs changed within the window; and, if that reaches `as_of`, what this one does."""
        as_of, window = self.clock.as_of, self.window(node)
        entered = node.change == n.Memory.ENTERED
        then = n.Remembered(node.segment, n.Memory(node.change), as_of, window, place=node.place)
        if window.final != as_of or (window.first is not None and window.first > as_of):
            return then
        member = n.Member(node.segment, place=node.place)
        was = n.Remembered(node.segment, n.Memory.OUT if entered else n.Memory.IN, as_of, place=node.place)
        now = n.And((member if entered else n.Not(member, place=node.place), was), place=node.place)
        return n.Or((then, now), place=node.place)

    def stayed(self, node: n.Stayed) -> n.Condition:
        """In now, and by accepted runs since so long."""
        window = n.Window(final=self.clock.ago(node.duration))
        then = n.Remembered(node.segment, n.Memory.STAYED, self.clock.as_of, window, place=node.place)
        return n.And((n.Member(node.segment, place=node.place), then), place=node.place)

    def over_events(self, node: n.Did | n.Sequence) -> n.Condition:
        """Events within a window; of a sequence each step's own, within that of the whole."""
        if isinstance(node, n.Did):
            return replace(node, events=self.events(node.events))
        whole = self.events(n.Events(None, last=node.last, since=node.since, until=node.until, during=node.during)).window
        steps = []
        for step in node.steps:
            events = self.events(step.events)
            steps.append(replace(step, events=replace(events, window=_both(events.window, whole))))
        return replace(node, steps=tuple(steps), last=None, since=None, until=None, during=None)

    def active_periods(self, node: n.ActivePeriods) -> n.Value:
        """Calendar periods in the timezone, the one of `as_of` being the last. Those before the calendar begins are none."""
        starts = [start_of(self.clock.today, node.unit, self.clock.week_start)]
        while len(starts) < node.of and (before := day_before(starts[-1])) is not None:
            starts.append(start_of(before, node.unit, self.clock.week_start))
        instants = tuple(day_start(day, self.clock.zone) for day in reversed(starts))
        events = self.events(node.events)
        return replace(node, events=replace(events, window=_both(events.window, n.Window(instants[0], None))), starts=instants)

    def _edge(self, bound: n.Value, of_day: Callable[[date, str], datetime]) -> datetime:
        grounded = self.value(bound)
        assert isinstance(grounded, n.Constant)
        assert isinstance(grounded.value, date)
        return grounded.value if isinstance(grounded.value, datetime) else of_day(grounded.value, self.clock.zone)


def _both(window: n.Window | None, other: n.Window | None) -> n.Window:
    """What is in two windows."""
    windows = [one for one in (window, other) if one is not None]
    firsts, finals = [one.first for one in windows if one.first], [one.final for one in windows if one.final]
    return n.Window(max(firsts, default=None), min(finals, default=None))


def day_before(day: date) -> date | None:
    """The day before; None where the calendar begins."""
    return None if day == date.min else day - timedelta(days=1)


def _next_tick(instant: datetime) -> datetime:
    return instant if instant == LAST_INSTANT else instant + TICK


def _last_tick(day: date, zone: str) -> datetime:
    """The last microsecond of a day."""
    return LAST_INSTANT if day == date.max else day_end(day, zone) - TICK


def runs_of_days(days: Iterable[date]) -> list[tuple[date, date]]:
    """Days as runs without a gap, (first, last) each, in order: neighbouring days need one pair of bounds."""
    runs: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if runs and day.toordinal() - runs[-1][1].toordinal() == 1:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs
