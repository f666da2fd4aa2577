"""Events one after the other, looked for by trying: each way from a first event on, until one holds or none is left."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from segmentry.verifying.days import Undecided
from segmentry.verifying.people import EventRow

MOST_TRIED = 2_000_000
"""How many events are tried as the next step of a way; a contact that needs more is left open."""

Chosen = Mapping[int, EventRow]
"""The events that a way has taken, by the places of their steps."""


@dataclass(frozen=True)
class Step:
    """One step: the contact's events that may be it, in order of time, and how long after the step before it they may be (microseconds).

    `fits` asks what depends on the events that were taken before; None where nothing does.
    """

    rows: Sequence[tuple[int, EventRow]]
    negated: bool = False
    within: int | None = None
    fits: Callable[[EventRow, Chosen], bool] | None = None

    def later(self, than: int, chosen: Chosen) -> Iterator[tuple[int, EventRow]]:
        """The events strictly later than an instant that fit, in order of time."""
        for at, row in self.rows[bisect_right(self.rows, than, key=lambda one: one[0]) :]:
            if self.fits is None or self.fits(row, chosen):
                yield at, row


@dataclass
class Search:
    """Whether some events fit all steps. `within` bounds the time from the first to the last, `asked` are steps that later ones ask."""

    steps: Sequence[Step]
    within: int | None = None
    asked: frozenset[int] = frozenset()
    _failed: set[tuple[object, ...]] = field(default_factory=set)
    _tried: int = 0

    def succeeds(self) -> bool:
        """Whether there is a way. Undecided where there are too many to try."""
        return any(self._goes_on(1, at, at, {0: row}) for at, row in self.steps[0].rows)

    def _goes_on(self, place: int, now: int, begun: int, chosen: Chosen) -> bool:
        """Whether a way that has come to `now` comes through the steps from `place` on."""
        known = tuple(id(chosen[step]) for step in sorted(self.asked & chosen.keys()))
        state = (place, now, None if self.within is None else begun, known)
        if state in self._failed:
            return False
        following = next((number for number in range(place, len(self.steps)) if not self.steps[number].negated), None)
        if following is None:
            found = all(self._nothing_after(step, now, begun, chosen) for step in self.steps[place:])
        else:
            found = self._one_follows(place, following, now, begun, chosen)
        if not found:
            self._failed.add(state)
        return found

    def _one_follows(self, place: int, following: int, now: int, begun: int, chosen: Chosen) -> bool:
        step = self.steps[following]
        ends = [] if step.within is None else [now + step.within]
        ends += [] if self.within is None else [begun + self.within]
        # an event with `not` ends the search, but may itself be at the instant of the step that follows
        for between in self.steps[place:following]:
            ends += [at for at, _ in islice(between.later(now, chosen), 1)]
        end = min(ends, default=None)
        for at, row in step.later(now, chosen):
            if end is not None and at > end:
                return False
            self._tried += 1
            if self._tried > MOST_TRIED:
                raise Undecided("a sequence with too many ways to try")
            if self._goes_on(following + 1, at, begun, {**chosen, following: row}):
                return True
        return False

    def _nothing_after(self, step: Step, now: int, begun: int, chosen: Chosen) -> bool:
        """Whether no event of a last step with `not` undoes a way."""
        end = now + step.within if step.within is not None else None if self.within is None else begun + self.within
        return all(end is not None and at > end for at, _ in islice(step.later(now, chosen), 1))
