"""What the clock alone may have done to a rule's answer between two instants: the rule as it meant then beside what it means now.

Both are one rule, grounded twice. Where the two are equal, nobody's answer has changed. Where they differ in the time that
event functions look at, it can have changed for those contacts only that have an event in one time and not in the other.
Where they differ in what a contact's own row is compared with, each row can be asked both. Everything else is opaque: its
answer may be another for anybody. What is not known here is opaque too, so that a new kind of node is never taken for one
that keeps still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import reduce

from segmentry.rules import nodes as n
from segmentry.rules.ground import TICK
from segmentry.rules.zones import FIRST_INSTANT, LAST_INSTANT

PLACES = "it asks for a place among all contacts"
RUNS = "it asks what earlier runs found"
OTHERWISE = "the clock is in it in a way that no query of a few events can tell"

ENDS = frozenset({"first", "last"})
"""Aggregates whose value is the instant of one of the events."""

NOT_OF_ROW = (n.Events, n.Population, n.Remembered, n.Member, n.Listed)
"""What a condition on nothing but a contact's own row has none of."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Whose answer may have changed: who has a row among the `events` (each within its window), and who answers both of a pair in `asked`
    differently; all contacts if it is `opaque`, for the reason that says.
    """

    events: tuple[n.Events, ...] = ()
    asked: tuple[tuple[n.Condition, n.Condition], ...] = ()
    opaque: str | None = None

    def __or__(self, other: Passed) -> Passed:
        events = tuple(dict.fromkeys((*self.events, *other.events)))
        return Passed(events, tuple(dict.fromkeys((*self.asked, *other.asked))), self.opaque or other.opaque)

    @property
    def still(self) -> bool:
        """Whether nobody's answer can have changed."""
        return self == STILL


STILL = Passed()


def passed(then: n.Condition, now: n.Condition) -> Passed:
    """Of one rule, grounded at an instant and at a later one, over the same contacts and events. `member` is taken to be as it was."""
    if type(then) is type(now) and isinstance(now, (n.And, n.Or, n.Not, n.AtLeast)):
        before, after = _items(then), _items(now)
        if len(before) == len(after) and getattr(then, "count", 0) == getattr(now, "count", 0):
            return _together(passed(*pair) for pair in zip(before, after, strict=True))
    if isinstance(then, n.Remembered) or isinstance(now, n.Remembered):
        return Passed(opaque=RUNS)
    if then == now:
        return STILL
    if _of_row(then) and _of_row(now):
        return Passed(asked=((then, now),))
    return _within(then, now)


def _items(node: n.Condition) -> tuple[n.Condition, ...]:
    """What a combination is made of."""
    if isinstance(node, n.Not):
        return (node.item,)
    assert isinstance(node, (n.And, n.Or, n.AtLeast))
    return node.items


def _together(parts: Iterable[Passed]) -> Passed:
    return reduce(Passed.__or__, parts, STILL)


def _of_row(condition: n.Condition) -> bool:
    """Whether it is about the contact's own row and nothing else."""
    return not any(isinstance(node, NOT_OF_ROW) for node in n.walk(condition))


# ---------------------------------------------------------------- within a condition on events


def _within(then: n.Node, now: n.Node) -> Passed:
    """Of two nodes of which events are a part."""
    if then == now:
        return STILL
    if type(then) is not type(now):
        return Passed(opaque=OTHERWISE)
    match now:
        case n.Events():
            assert isinstance(then, n.Events)
            return _rows(then, now)
        case n.Population():
            return Passed(opaque=PLACES)
        case n.Remembered():
            return Passed(opaque=RUNS)
        case n.Compare():
            assert isinstance(then, n.Compare)
            at_ends = _beside_clock(then, now)
            if at_ends is not None:
                return at_ends
        case n.ActivePeriods():
            assert isinstance(then, n.ActivePeriods)
            if not _same_periods(then, now):
                return Passed(opaque=OTHERWISE)
            then = replace(then, starts=now.starts)
    return _parts(then, now)


def _parts(then: n.Node, now: n.Node) -> Passed:
    """Of two nodes of a kind, what their parts come to; they must not differ but in these."""
    found = STILL
    for spec in fields(now):
        before, after = getattr(then, spec.name), getattr(now, spec.name)
        if not spec.compare or before == after:
            continue
        pairs = list(_pairs(before, after))
        if not pairs:
            return Passed(opaque=OTHERWISE)
        found |= _together(_within(*pair) for pair in pairs)
    return found


def _pairs(before: object, after: object) -> Iterator[tuple[n.Node, n.Node]]:
    """The nodes of two values of a field, pair by pair; none if there is anything else in them."""
    if isinstance(before, n.Node) and isinstance(after, n.Node):
        yield before, after
    elif isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after):
        nodes = [pair for pair in zip(before, after, strict=True) if all(isinstance(one, n.Node) for one in pair)]
        yield from nodes if len(nodes) == len(before) else ()


def _rows(then: n.Events, now: n.Events) -> Passed:
    """The rows that are chosen at one instant and not at the other."""
    if replace(then, window=None) != replace(now, window=None) or then.window is None or now.window is None:
        return Passed(opaque=OTHERWISE)
    return Passed(tuple(replace(now, window=window) for window in apart(then.window, now.window)))


def _beside_clock(then: n.Compare, now: n.Compare) -> Passed | None:
    """The first or last event's instant beside one that goes with the clock: it may have passed events between where that was and is."""
    for side, other in (("left", "right"), ("right", "left")):
        ends = getattr(then, side), getattr(now, side)
        clocks = _instants(getattr(then, other), getattr(now, other))
        if then.op == now.op and clocks is not None and all(isinstance(end, n.Aggregate) and end.function in ENDS for end in ends):
            between = n.Window(min(clocks), max(clocks))
            return _within(*ends) | Passed((replace(ends[1].events, window=between),))
    return None


def _instants(then: n.Node, now: n.Node) -> tuple[datetime, datetime] | None:
    if not isinstance(then, n.Constant) or not isinstance(now, n.Constant):
        return None
    before, after = then.value, now.value
    return (before, after) if isinstance(before, datetime) and isinstance(after, datetime) else None


def _same_periods(then: n.ActivePeriods, now: n.ActivePeriods) -> bool:
    """Whether the periods of both instants are cut at the same places, as far as both look at them."""
    before, after, window = then.starts, now.starts, then.events.window
    if not before or not after or window is None or window.final is None:
        return before == after
    in_both = [start for start in before if start >= after[0]] == [start for start in after if start <= before[-1]]
    return in_both and all(start > window.final for start in after if start > before[-1])


# ---------------------------------------------------------------- windows


def apart(then: n.Window, now: n.Window) -> list[n.Window]:
    """The instants that are in one of two windows and not in the other."""
    return [*_without(then, now), *_without(now, then)]


def _without(one: n.Window, other: n.Window) -> Iterator[n.Window]:
    if _is_empty(one):
        return
    if _is_empty(other):
        yield one
        return
    if other.first is not None and (one.first or FIRST_INSTANT) < other.first:
        before = other.first - TICK
        yield n.Window(one.first, before if one.final is None else min(one.final, before))
    if other.final is not None and (one.final or LAST_INSTANT) > other.final:
        after = other.final + TICK
        yield n.Window(after if one.first is None else max(one.first, after), one.final)


def _is_empty(window: n.Window) -> bool:
    return window.first is not None and window.final is not None and window.first > window.final
