"""Places among all contacts: a population put in order a second time, and where in it a contact belongs by its own values."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from segmentry.rules import nodes as n
from segmentry.verifying.days import Undecided
from segmentry.verifying.people import Key

NEAR, CLOSE = 1e-9, 1e-6
"""Two distances nearer than this (as a part, in kilometres) are not told apart: sines differ in their last digits."""

Entry = tuple[Key, Any, Any]
"""A contact of a population: its key, what it is ordered by, and what it is apart by (None where all are together)."""


@dataclass(frozen=True)
class Order:
    """A population's contacts. A contact that is asked about is put in by its own values, whatever is known of it here."""

    falling: bool
    groups: dict[Any, list[tuple[Any, Key]]] = field(default_factory=dict)
    own: dict[Key, tuple[Any, Any]] = field(default_factory=dict)
    unread: str | None = None
    """Why it can't be told here, if it can't."""

    @classmethod
    def of(cls, falling: bool, entries: Iterable[Entry]) -> Order:
        """The order of these contacts."""
        made = cls(falling)
        for key, by, per in entries:
            made.groups.setdefault(per, []).append((by, key))
            made.own[key] = (per, by)
        for group in made.groups.values():
            group.sort()
        return made

    def place(self, key: Key, by: Any, per: Any, *, measured: bool = False) -> tuple[int, int]:
        """The contact's place, 1 being the first, and how many are in its order. Undecided where that can't be told.

        Of equal ones the smaller key is first. `measured`: values as near to each other as two distances may be are not told apart.
        """
        if self.unread is not None:
            raise Undecided(self.unread)
        group = self.groups.get(per, [])
        low, high = bisect_left(group, by, key=_value), bisect_right(group, by, key=_value)
        if measured and any(_near(by, other) for other, whose in group[max(0, low - 1) : high + 1] if whose != key):
            raise Undecided("a distance too near to call")
        smaller_key = bisect_left(group, key, low, high, key=lambda one: one[1]) - low
        ahead = (len(group) - high if self.falling else low) + smaller_key
        size = len(group) + 1
        known_per, known = self.own.get(key, (None, None))
        if key in self.own and known_per == per:  # it is not beside itself
            size -= 1
            ahead -= known > by if self.falling else known < by
        return ahead + 1, size


def _value(one: tuple[Any, Key]) -> Any:
    return one[0]


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=NEAR, abs_tol=CLOSE)


def is_among(node: n.Foremost, place: int, size: int) -> bool:
    """Whether that place is among the first so many, or the first such share, a part of a contact being a whole one."""
    most = Fraction(node.count) if node.count is not None else Fraction(math.ceil((node.share or 0) * size))
    return place <= most


def told(node: n.Ranked, place: int, size: int) -> int:
    """What is told of a place. Parts are dealt out from the first, each with one more as long as there are such left over."""
    answers: dict[n.Standing, Callable[[], int]] = {
        n.Standing.PLACE: lambda: place,
        n.Standing.SIZE: lambda: size,
        n.Standing.PART: lambda: _part(node.parts, place, size),
    }
    return answers[node.standing]()


def _part(parts: int, place: int, size: int) -> int:
    each, more = divmod(size, parts)
    # who stands behind all larger parts is counted from where these end
    ends_of_larger = more * (each + 1)
    return -(-place // (each + 1)) if place <= ends_of_larger else more - (-(place - ends_of_larger) // each)
