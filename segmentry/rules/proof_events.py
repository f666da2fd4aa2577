"""What one choice of a contact's events says of another, for proofs: whatever is among the fewer is among the more.

Sums and averages say nothing of each other: values may be negative.
"""

from __future__ import annotations

from collections.abc import Callable

from segmentry.rules import nodes as n
from segmentry.rules.proof_values import is_understood
from segmentry.rules.times import MONTHS, SECONDS
from segmentry.rules.types import COUNT

Holds = Callable[[n.Condition | None, n.Condition | None], bool]
"""Whether every event row that passes the first filter certainly passes the second (None: no filter)."""

NEED_EVENTS = frozenset({"avg", "min", "max", "first", "last", "earliest", "latest"})
"""Aggregates that are missing without events."""

RISING = frozenset({"count", "distinct", "max", "last"})
"""At most as large over fewer events as over more."""
FALLING = frozenset({"min", "first"})
"""At least as large over fewer events as over more."""


def number_of(events: n.Events) -> n.Aggregate:
    """How many such events a contact has: `did` is that there is one."""
    return n.Aggregate(COUNT, "count", events)


def is_inside(fewer: n.Events, more: n.Events, holds: Holds) -> bool:
    """Whether every event of the one choice is certainly among those of the other."""
    if fewer == more:
        return True
    if not is_understood(fewer) or not is_understood(more):
        return False
    same = more.event is None or fewer.event == more.event
    return same and _window_inside(fewer, more) and (more.where is None or holds(fewer.where, more.where))


def at_most(left: n.Aggregate, right: n.Aggregate, inside: Callable[[n.Events, n.Events], bool]) -> bool:
    """Whether one aggregate is certainly no larger than another, wherever neither is missing."""
    if not is_understood(left) or not is_understood(right) or left == right:
        return False
    pair = left.function, right.function
    if pair == ("distinct", "count"):
        return inside(left.events, right.events)
    if left.type != right.type or left.property != right.property:
        return False
    if pair[0] == pair[1]:
        return (pair[0] in RISING and inside(left.events, right.events)) or (pair[0] in FALLING and inside(right.events, left.events))
    if pair in (("min", "max"), ("first", "last")):
        return inside(left.events, right.events) or inside(right.events, left.events)
    return False


def set_with(left: n.Aggregate, right: n.Aggregate, inside: Callable[[n.Events, n.Events], bool]) -> bool:
    """Whether an aggregate that is not missing makes another one not missing."""
    if not is_understood(left) or not is_understood(right) or left == right:
        return False
    ends, extremes = {"first", "last"}, {"min", "max"}
    if right.function in ends and left.function in NEED_EVENTS:
        return inside(left.events, right.events)
    same = left.property == right.property and {left.function, right.function} <= extremes
    return same and inside(left.events, right.events)


# ---------------------------------------------------------------- windows


def _window_inside(fewer: n.Events, more: n.Events) -> bool:
    """Whether one time lies within another, wherever the clock stands if it is not fixed yet."""
    if fewer.window is not None and more.window is not None:
        one, other = fewer.window, more.window
        begins = other.first is None or (one.first is not None and one.first >= other.first)
        return begins and (other.final is None or (one.final is not None and one.final <= other.final))
    if fewer.window is not None or more.window is not None:
        return False
    last = more.last is None or (fewer.last is not None and is_no_longer(fewer.last, more.last))
    since = more.since is None or fewer.since == more.since
    return last and since and (more.until is None or fewer.until == more.until)


def is_no_longer(one: n.Duration, other: n.Duration) -> bool:
    """Whether a time is at most as long as another wherever it begins; months and days are not weighed against each other."""
    for lengths in (SECONDS, MONTHS):
        if one.unit in lengths and other.unit in lengths:
            return one.amount * lengths[one.unit] <= other.amount * lengths[other.unit]
    return False


def is_empty(events: n.Events) -> bool:
    """Whether a fixed window leaves no instant."""
    window = events.window
    if window is None or not is_understood(events):
        return False
    return window.first is not None and window.final is not None and window.first > window.final
