"""Whom one activation of the model enrolls, pair after pair, and why it enrolls others not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.histories.records import Enrollment, Standing
from tests.histories.world import Key, Policy

if TYPE_CHECKING:
    from tests.histories.model import Model

LATE = timedelta(hours=48)


@dataclass
class Entering:
    """The entries of one activation, pair after pair."""

    model: Model
    at: Standing
    switched: bool
    new: list[Enrollment] = field(default_factory=list)
    through: dict[str, set[Key]] = field(default_factory=dict)

    def all(self) -> list[Enrollment]:
        model, at = self.model, self.at
        model.skipped = {}
        late = at.now - at.as_of > LATE and not at.by_hand
        pairs = [
            (at.files.sequences[policy.sequence].name, segment.name, name, policy)
            for name, segment in at.files.segments.items()
            for policy in segment.enroll
            if name in at.members
        ]
        attached = set() if self.switched else set(model.attached)
        fresh = {(name, policy.sequence) for *_, name, policy in pairs if not (policy.backfill and late)} - attached
        for name, _, segment, policy in pairs:
            if (segment, policy.sequence) in fresh | attached:
                model.first_names.setdefault(policy.sequence, name)
        for _, _, name, policy in sorted(pairs, key=lambda pair: pair[:2]):
            if (name, policy.sequence) in fresh:
                self.attach(name, policy)
            elif (name, policy.sequence) in attached:
                entries = [(key, why) for segment, key, why in at.entered if segment == name]
                only = "recovered" if model.recovered else "taken" if at.baseline else None
                self.enter(name, policy, entries, late=late, only=only)
        model.attached = (model.attached & {(name, policy.sequence) for *_, name, policy in pairs}) | fresh
        return self.new

    def attach(self, segment: str, policy: Policy) -> None:
        model, at = self.model, self.at
        members, done = sorted(at.members[segment]), set()
        if policy.backfill and not model.recovered and not at.baseline:
            before = len(self.new)
            policy = replace(policy, on=frozenset({"backfill"}))
            through = {row.person for row in model.rows.values() if (row.segment, row.sequence) == (segment, policy.sequence)}
            entries = [(key, "backfill") for key in members if model.person(key) not in through]
            self.enter(segment, policy, entries, late=False, only=None)
            done = {row.contact for row in self.new[before:]}
        known = {key for one, sequence, key in model.baselines if (one, sequence) == (segment, policy.sequence)}
        for key in {*members, *model.ever.get(segment, set())} - done - known:
            self.baseline(segment, policy.sequence, key)

    def baseline(self, segment: str, sequence: str, key: Key) -> None:
        found = self.at.files.rows.get(key) if key in self.at.rows else None
        self.model.baselines[segment, sequence, key] = (self.at.as_of, None if found is None else found.address)

    def enter(self, segment: str, policy: Policy, entries: list[tuple[Key, str]], *, late: bool, only: str | None) -> None:
        model, at, sequence = self.model, self.at, policy.sequence
        seen: set[Key] = set()
        going: list[tuple[Key, str]] = []
        for key, why in entries:
            person = model.person(key)
            reason = self.reason(segment, policy, person, why, twice=person in seen, only=only)
            seen.add(person)
            if reason == "baseline":
                self.baseline(segment, sequence, key)
            elif reason is not None:
                model.skipped[segment, sequence, key] = reason
            else:
                going.append((key, why))
        enrolled: list[Enrollment] = []
        for key, why in going:
            person = model.person(key)
            number = max((row.number for row in self.mine(sequence, person)), default=0) + 1
            address = None if (found := at.files.rows.get(key)) is None else found.address
            identity = model.id_of(sequence, key, number)
            row = Enrollment(identity, sequence, segment, key, person, number, why, at.as_of, at.number, "", address)
            row.outcome = self.outcome(row, late=late, before=enrolled)
            enrolled.append(row)
        self.new += enrolled
        self.through.setdefault(sequence, set()).update(row.person for row in enrolled)

    def mine(self, sequence: str, person: Key) -> list[Enrollment]:
        return [row for row in self.model.rows.values() if row.sequence == sequence and row.person == person]

    def reason(self, segment: str, policy: Policy, person: Key, why: str, *, twice: bool, only: str | None) -> str | None:
        """Why an entry enrolls nobody, in a word; None if it does."""
        model, at = self.model, self.at
        times = [
            as_of
            for (one, sequence, key), (as_of, _) in model.baselines.items()
            if (one, sequence) == (segment, policy.sequence) and model.person(key) == person
        ]
        since = max(times, default=None)
        before = max((row.as_of for row in self.mine(policy.sequence, person)), default=None)
        if person in model.erased:
            return "forgotten"
        if person in self.through.get(policy.sequence, set()):
            return "in this run"
        if twice:
            return "twice"
        if only is not None or why not in policy.on:
            return "baseline" if since is None else (only or "cause")
        latest = before if before is not None else since
        if policy.again == "every time" or latest is None:
            return None
        if isinstance(policy.again, int) and at.as_of - latest >= timedelta(days=policy.again):
            return None
        return "enrolled" if before is not None else "in the baseline"

    def outcome(self, row: Enrollment, *, late: bool, before: list[Enrollment]) -> str:
        model, at = self.model, self.at
        sequence = at.files.sequences[row.sequence]
        if late:
            return "late"
        if row.contact in at.suppressed:
            return "suppressed"
        if row.address and model.has_address(row.sequence, row.address, (*self.new, *before), at.number) - {row.person}:
            return "duplicate_address"
        if at.held_out(row.segment, row.sequence, row.contact):
            return "holdout"
        if sequence.paused or model.pauses & {"*", row.sequence, sequence.destination}:
            return "paused"
        return "waiting" if row.address is None and sequence.destination in NEEDS_ADDRESS else "pending"


NEEDS_ADDRESS = frozenset({"letters", "klaviyo", "mailchimp"})
"""The destinations that need addresses."""
