"""Who stands how in the audience, asked before anybody is put in: nobody who left is put back.

A few are asked for one by one. For many, whoever unsubscribed, was cleaned or archived is read once, and then what changed of
that before each piece of work: an audience has few of those beside what a first sync brings. That anybody is in it at all is
read of many only where it matters (nobody is put in, or some don't consent, or who was there may have gone), and where it takes
fewer requests than asking for each: as soon as so many were asked for as reading everybody would have taken.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from segmentry.engine.connectors.mailchimp_calls import PAGE, STATUSES, Calls
from segmentry.engine.connectors.mailchimp_line import Waiting
from segmentry.engine.connectors.mailchimp_reasons import AWAY

FEW = 50
"""So many are asked for one by one, and more by other ways."""
AGE = 900.0
"""Seconds after which everything is read anew: who came back by themselves is in no list of those who left."""
COST = 10
"""It is also read anew after no less than so many times as long as reading it took."""
_OVERLAP = timedelta(minutes=2)
"""Clocks are not the same, and what changes is written a little later."""


class Standing(NamedTuple):
    """How somebody stands. `status` is None where nobody is there; `sure`: where not, it may also be that nobody looked."""

    status: str | None
    sure: bool = True


@dataclass
class _Roll:
    """Hashes by status, as 16 bytes each: of those who left, or of everybody."""

    whole: bool
    good_until: float
    since: datetime
    people: dict[bytes, str] = field(default_factory=dict)


class Audience:
    """What was read of an audience so far, for as long as a destination is open. Used from several threads."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self.size = 0
        """How many are in it, as far as that was heard."""
        self._asked_of_many = 0
        self._roll: _Roll | None = None
        self._doubted: set[str] = set()
        self._lock = threading.Lock()

    def standing(
        self, calls: Calls, hashes: Collection[str], exact: Collection[str], named: Collection[str] = ()
    ) -> Mapping[str, Standing]:
        """How each stands; for those that are in `exact`, surely. Those in `named` were there: that they are not is believed of no list."""
        if len(hashes) <= FEW:
            return {hash: self._asked(calls, hash) for hash in hashes}
        with self._lock:
            roll = self._fresh(calls, whole=self._is_worth_reading(len({*exact, *named})))
            known = {hash: roll.people.get(bytes.fromhex(hash)) for hash in hashes}
            doubted = self._doubted.intersection(hashes)
        # that somebody is missing is only believed of a list of everybody, and where it matters
        found = {hash: Standing(status, sure=status is not None) for hash, status in known.items()}
        for hash in {*exact}.difference(named):
            if known[hash] is None:
                found[hash] = Standing(None) if roll.whole else self._asked_alone(calls, hash)
        for hash in {*named, *doubted}:
            if known[hash] is None or hash in doubted:
                found[hash] = self._asked_alone(calls, hash)
        return found

    def _is_worth_reading(self, more: int) -> bool:
        """Whether everybody is read, where so many more are to be asked for."""
        return more > 0 and self._asked_of_many + more > max(FEW, self.size // PAGE)

    def doubt(self, hash: str) -> None:
        """Somebody is perhaps not in the audience under this hash any more, by our doing: it is asked for, whatever a list says."""
        with self._lock:
            self._doubted.add(hash)

    def note(self, hash: str, status: str) -> None:
        """Somebody is in the audience by our doing."""
        with self._lock:
            if self._roll is not None and self._roll.whole:
                self._roll.people[bytes.fromhex(hash)] = status

    def _asked_alone(self, calls: Calls, hash: str) -> Standing:
        """One of many, of whom nothing that was read says enough."""
        with self._lock:
            self._asked_of_many += 1
        return self._asked(calls, hash)

    def _asked(self, calls: Calls, hash: str) -> Standing:
        someone = calls.someone(hash)
        return Standing(None if someone is None else someone.status)

    def _fresh(self, calls: Calls, *, whole: bool) -> _Roll:
        """What is known, with what changed since; all anew where it is old, or not enough."""
        roll, now = self._roll, self._waiting.monotonic()
        if roll is None or now > roll.good_until or (whole and not roll.whole):
            made = _Roll(whole, now, self._waiting.clock())
            self._read(calls, made, STATUSES if whole else tuple(AWAY), None)
            read = self._waiting.monotonic()
            made.good_until = now + max(AGE, COST * (read - now))
            self._roll = made
            if whole:
                self._asked_of_many = 0
            return made
        # only those who left since: whoever we put in meanwhile would be listed too, again and again
        self._read(calls, roll, tuple(AWAY), roll.since - _OVERLAP)
        return roll

    def _read(self, calls: Calls, roll: _Roll, statuses: tuple[str, ...], since: datetime | None) -> None:
        begun: datetime | None = None
        instant = self._waiting.clock()
        for status in statuses:
            for hashes, at in calls.people(status, since):
                begun = begun or at
                roll.people.update((bytes.fromhex(hash), status) for hash in hashes)
        # by the earlier of the two clocks nothing is missed
        roll.since = instant if begun is None else min(instant, begun)
