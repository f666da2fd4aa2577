"""Sets of the values that one expression may have, for proofs: unions of intervals, kept as the places where they begin and end.

A cut is a place between values: `(x, 0)` just before `x`, `(x, 1)` just after it. Where values are whole (numbers on a grid, days,
microseconds) only `(n, 0)` is used, so that nothing lies between two neighbours. A missing value is in no such set.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Cut = tuple[Any, int]


@dataclass(frozen=True, slots=True)
class Values:
    """A set of values: whether it holds the lowest ones, and every cut at which that changes, rising."""

    starts: bool
    cuts: tuple[Cut, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.starts and not self.cuts

    @property
    def ends(self) -> bool:
        """Whether it holds the highest values."""
        return self.starts is not (len(self.cuts) % 2 == 1)

    def complement(self) -> Values:
        """Every other value."""
        return Values(not self.starts, self.cuts)

    def has(self, cut: Cut) -> bool:
        """Whether what comes right after a cut is in the set."""
        return self.starts is not (bisect_right(self.cuts, cut) % 2 == 1)

    def points(self) -> list[Any] | None:
        """The values, if they are single ones of a kind that is not whole; None otherwise."""
        if self.starts or self.ends:
            return None
        pairs = list(zip(self.cuts[::2], self.cuts[1::2], strict=True))
        return [low[0] for low, _ in pairs] if all(high == (low[0], 1) for low, high in pairs) else None


EVERY = Values(starts=True)
NONE = Values(starts=False)


def both(first: Values, second: Values) -> Values:
    """What is in both."""
    if first is EVERY or second.is_empty:
        return second
    if second is EVERY or first.is_empty:
        return first
    ones, twos = first.cuts, second.cuts
    if second.starts and len(twos) == 2:
        return _without(first, *twos)
    in_one, in_two = first.starts, second.starts
    starts = inside = in_one and in_two
    cuts: list[Cut] = []
    one = two = 0
    while one < len(ones) or two < len(twos):
        ahead = two == len(twos) or (one < len(ones) and ones[one] <= twos[two])
        cut = ones[one] if ahead else twos[two]
        if one < len(ones) and ones[one] == cut:
            in_one, one = not in_one, one + 1
        if two < len(twos) and twos[two] == cut:
            in_two, two = not in_two, two + 1
        if (in_one and in_two) is not inside:
            inside = not inside
            cuts.append(cut)
    return Values(starts, tuple(cuts))


def _without(values: Values, low: Cut, high: Cut) -> Values:
    """The values but those between two cuts: what a chain of `!=` asks for again and again, done without a walk over all cuts."""
    before, after = bisect_left(values.cuts, low), bisect_right(values.cuts, high)
    edges = ((low,) if values.starts is not (before % 2 == 1) else ()) + ((high,) if values.starts is not (after % 2 == 1) else ())
    return Values(values.starts, values.cuts[:before] + edges + values.cuts[after:])


def either(first: Values, second: Values) -> Values:
    """What is in one of them."""
    return both(first.complement(), second.complement()).complement()


def spans(pairs: Iterable[tuple[Cut, Cut]]) -> Values:
    """All that lies between the cuts of a pair; a pair that holds nothing is passed over."""
    cuts: list[Cut] = []
    for low, high in sorted(pair for pair in pairs if pair[0] < pair[1]):
        if cuts and low <= cuts[-1]:
            cuts[-1] = max(cuts[-1], high)
        else:
            cuts += (low, high)
    return Values(starts=False, cuts=tuple(cuts))


def from_to(low: int, high: int | None = None) -> Values:
    """Whole values from `low` to `high`, both included; no `high` is no upper end."""
    return Values(False, ((low, 0),) if high is None else ((low, 0), (high + 1, 0)))
