"""Events near the edges of a sequence: a step too late, at the instant of the one before, missing, or undone by what must not be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from segmentry.engine.counterexample import shown
from segmentry.rules import nodes as n
from segmentry.rules.rebuilding import rebuilt
from segmentry.verifying.days import Zone
from segmentry.verifying.evaluator import length
from segmentry.verifying.people import EventRow

HOUR = 3_600_000_000
"""Microseconds between two steps of which nothing says how far they may be apart."""


@dataclass(frozen=True)
class Rows:
    """An event that may be a step, others that just are not, and the window's ends (microseconds; `first` None is open).

    `in_days`: whether its table has days for instants.
    """

    good: EventRow
    missed: Sequence[EventRow]
    final: int
    first: int | None
    in_days: bool


Find = Callable[[n.Events, Collection[str]], Rows | None]
"""Events for a step, with these properties too; None where none are found."""


class Journeys:
    """What may have happened to a contact near the edges of a sequence. Which of it is the sequence, others find out."""

    def __init__(self, sequence: n.Sequence, find: Find, zone: Zone) -> None:
        self.sequence = sequence
        self.zone = zone
        self.found = self._found(find)
        self.there = [place for place, step in enumerate(sequence.steps) if not step.negated]

    def _found(self, find: Find) -> list[Rows]:
        """Events for all steps, in order; none where some step has none."""
        formers = [node for node in n.walk(self.sequence) if isinstance(node, n.Former)]
        found: list[Rows] = []
        for place, step in enumerate(self.sequence.steps):
            rows = find(_answered(step.events, [one.good for one in found]), {one.name for one in formers if one.step == place})
            if rows is None:
                return []
            found.append(rows)
        return found

    def rows(self) -> Iterator[tuple[EventRow, ...]]:
        """The events of one contact after another, nearest to the edges first."""
        if not self.found:
            return
        base = self._at_the_end()
        yield self._journey(base)
        for place in range(1, len(base)):
            yield self._journey([at - 1 if before < place else at for before, at in enumerate(base)])
        yield from (self._journey(base, without=place) for place in range(len(base)))
        for place, missed in ((place, row) for place, step in enumerate(self.there) for row in self.found[step].missed):
            yield self._journey(base, instead={place: missed})
        yield from self._undone(base)
        for place in range(1, len(base)):
            yield self._journey([base[place - 1] if other == place else at for other, at in enumerate(base)])
        first = self.found[self.there[0]].first
        if first is not None:
            yield from (self._journey([at - base[0] + first - early for at in base]) for early in (0, 1))

    def _at_the_end(self) -> list[int]:
        """The instants of the steps that are there: as far apart as they may be, the last as late as it may be."""
        steps = [self.sequence.steps[place] for place in self.there]
        gaps = [length(step.within) for step in steps[1:]]
        whole = length(self.sequence.within)
        free = [place for place, gap in enumerate(gaps) if gap is None]
        left = None if whole is None else max(whole - sum(gap or 0 for gap in gaps), len(free))
        for place in free:
            gaps[place] = HOUR if left is None else left - (len(free) - 1) if place == free[0] else 1
        last = min(self.found[place].final for place in self.there) - self._room()
        instants = [last]
        for gap in reversed(gaps):
            instants.insert(0, instants[0] - (gap or HOUR))
        return instants

    def _room(self) -> int:
        """How much time there must be after the last step that is there, for what must not follow it."""
        after = self.sequence.steps[self.there[-1] + 1 :]
        return max(((length(step.within) or HOUR) + 1 for step in after), default=0)

    def _undone(self, base: Sequence[int]) -> Iterator[tuple[EventRow, ...]]:
        """With an event that must not be: just before and at the next step, and as late after the last as still counts, and later."""
        for place, step in enumerate(self.sequence.steps):
            if not step.negated:
                continue
            following = sum(1 for there in self.there if there < place)
            if following < len(base):
                instants = [base[following] - 1, base[following]]
            else:
                bound = length(step.within)
                end = base[-1] + bound if bound is not None else base[0] + (length(self.sequence.within) or HOUR)
                instants = [end, end + 1]
            yield from (self._journey(base, more=[replace(self.found[place].good, at=at)]) for at in instants)

    def _journey(
        self,
        instants: Sequence[int],
        without: int | None = None,
        instead: dict[int, EventRow] | None = None,
        more: Sequence[EventRow] = (),
    ) -> tuple[EventRow, ...]:
        rows = {place: self.found[step].good for place, step in enumerate(self.there)} | (instead or {})
        made = [replace(rows[place], at=at) for place, at in enumerate(instants) if place != without]
        return tuple(self._on_its_day(row) for row in (*made, *more))

    def _on_its_day(self, row: EventRow) -> EventRow:
        """The event at the beginning of its day, where its table has days."""
        in_days = any(one.in_days for one in self.found if one.good.table == row.table)
        assert row.at is not None
        return replace(row, at=self.zone.first_instant(self.zone.local(row.at)[0])) if in_days else row


def _answered(events: n.Events, before: Sequence[EventRow]) -> n.Events:
    """A step's events, with the properties of former steps as these events have them."""

    def instead(node: n.Node) -> n.Node | None:
        if not isinstance(node, n.Former):
            return None
        found = shown(before[node.step].fields.get(node.name), node.type)
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            found = Decimal(str(found))
        return n.Constant(node.type, found) if isinstance(found, (str, bool, Decimal, date)) else None

    answered = rebuilt(events, instead)
    assert isinstance(answered, n.Events)
    return answered
