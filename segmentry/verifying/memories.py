"""What earlier runs say of one contact, told a second time: by going through its changes, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from segmentry.rules.nodes import Memory, Remembered
from segmentry.verifying.days import Undecided
from segmentry.verifying.people import Key


@dataclass(frozen=True, slots=True)
class Turn:
    """A contact came into a segment (`entered`) or left it, by the accepted run of `at`; `first`: by the segment's first computation."""

    at: datetime
    entered: bool
    first: bool


@dataclass(frozen=True)
class Log:
    """One segment as accepted runs have it: from when on it is computed (None: it is not), and contacts' turns, oldest first.

    `merged` are contacts that have, or had, other keys: what was known of several can't be told from one contact's turns.
    """

    computed: datetime | None = None
    turns: Mapping[Key, Sequence[Turn]] = field(default_factory=dict)
    merged: frozenset[Key] = frozenset()

    def says(self, asked: Remembered, key: Key) -> bool:
        """Whether the runs before `asked.as_of` say so of a contact. Undecided where the contact had other keys."""
        if self.computed is None or self.computed >= asked.as_of:
            return False
        if key in self.merged:
            raise Undecided("a contact that had other keys")
        turns = [turn for turn in self.turns.get(key, ()) if turn.at < asked.as_of]
        inside = bool(turns) and turns[-1].entered
        match asked.memory:
            case Memory.IN:
                return inside
            case Memory.OUT:
                return not inside
            case Memory.STAYED:
                assert asked.window.final is not None
                return inside and turns[-1].at <= asked.window.final
        entered = asked.memory is Memory.ENTERED
        return any(turn.entered is entered and not (entered and turn.first) and _within(turn.at, asked) for turn in turns)


def _within(at: datetime, asked: Remembered) -> bool:
    first, final = asked.window.first, asked.window.final
    return (first is None or first <= at) and (final is None or at <= final)
