"""What segments are to each other whatever the data: the same, one inside the other, without anybody in common; and why.

None of it is a mistake, so it is told to those who ask. All of it is as of one instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, permutations

from segmentry.rules import nodes as n
from segmentry.rules.certainties import MOST_REASONS, Part, Said, Search, listed, pieces, topics_of, worded
from segmentry.rules.ground import Clock, ground
from segmentry.rules.proofs import Prover
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.references import all_references

MOST_STEPS = 3_000_000
"""Of all proofs together; pairs that are left then are not looked at."""
PAIR_STEPS = 600
"""Of one question about two segments."""
REASON_STEPS = 20_000
"""Of looking for the reasons of one answer."""


class Kind(StrEnum):
    """What one segment is, or is to another."""

    NOBODY = "is empty"
    EVERYBODY = "is everybody"
    SAME = "is the same as"
    INSIDE = "is inside"
    EXCLUDES = "excludes"


@dataclass(frozen=True, slots=True)
class Stated:
    """A segment as it is written: its whole condition before grounding, and the words of every part of it."""

    condition: n.Condition
    said: Said


@dataclass(frozen=True, slots=True)
class Relation:
    """`segment` `kind` `other` (None where it is about nobody else), and why, where that can be said in a few words."""

    segment: str
    kind: Kind
    other: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """The same as plain values."""
        return {"segment": self.segment, "relation": str(self.kind), "other": self.other, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Relations:
    """Everything that was proven, by segments' names. Not `complete`: the effort was spent before the last pair."""

    found: tuple[Relation, ...]
    complete: bool = True

    def to_json(self) -> dict[str, object]:
        """The same as plain values."""
        return {"found": [relation.to_json() for relation in self.found], "complete": self.complete}


def relations(segments: Mapping[str, Stated], clock: Clock) -> Relations:
    """What can be proven of some segments, which are all that they refer to, at one instant. Never raises for checked conditions."""
    with deep_recursion():
        return _Pairs(segments, clock).all()


class _Pairs:
    def __init__(self, segments: Mapping[str, Stated], clock: Clock) -> None:
        self.segments, self.clock = segments, clock
        self.meant = {name: ground(one.condition, clock) for name, one in segments.items()}
        self.prover = Prover(self.meant)
        self.certain: dict[str, Kind] = {}
        own = {name: frozenset(topics_of(one.condition)) for name, one in segments.items()}
        further = all_references({name: one.condition for name, one in segments.items()})
        self.topics = {name: own[name].union({f"segment {name}"}, *self._of(further[name], own)) for name in segments}

    def _of(self, names: Iterable[str], own: Mapping[str, frozenset[str]]) -> list[frozenset[str]]:
        """The topics of segments that are referred to, and they themselves."""
        return [own.get(name, frozenset()) | {f"segment {name}"} for name in names]

    def all(self) -> Relations:
        found = [relation for name in sorted(self.segments) if (relation := self.alone(name)) is not None]
        self.certain = {relation.segment: relation.kind for relation in found}
        names = [name for name in sorted(self.segments) if name not in self.certain]
        for one, other in combinations(names, 2):
            if self.prover.spent > MOST_STEPS:
                return Relations(tuple(found), complete=False)
            if not self.topics[one].isdisjoint(self.topics[other]):
                found += self.pair(one, other)
        return Relations(tuple(sorted(found, key=lambda relation: (relation.segment, str(relation.kind), relation.other or ""))))

    def alone(self, name: str) -> Relation | None:
        """A segment that nobody, or everybody, is in."""
        for kind, positive in ((Kind.NOBODY, True), (Kind.EVERYBODY, False)):
            if self.refuted((name, positive)):
                plain = isinstance(self.segments[name].condition, n.Always)
                return Relation(name, kind, None, None if plain else self.exclusion((name, positive)))
        return None

    def pair(self, one: str, other: str) -> list[Relation]:
        if self.refuted((one, True), (other, True)):
            return [Relation(one, Kind.EXCLUDES, other, self.exclusion((one, True), (other, True)))]
        inside, around = self.refuted((one, True), (other, False)), self.refuted((other, True), (one, False))
        if inside and around:
            return [Relation(one, Kind.SAME, other)]
        if inside:
            return [Relation(one, Kind.INSIDE, other, self.inclusion(one, other))]
        return [Relation(other, Kind.INSIDE, one, self.inclusion(other, one))] if around else []

    def refuted(self, *wanted: tuple[str, bool]) -> bool:
        """Whether nobody is in, or (False) out of, all of these."""
        asked = [self.meant[name] for name, positive in wanted if positive]
        return self.prover.never(*asked, besides=[self.meant[name] for name, positive in wanted if not positive], steps=PAIR_STEPS)

    # ------------------------------------------------------------ why

    def search(self) -> Search:
        return Search(self.prover, lambda node: ground(node, self.clock), most=self.prover.spent + REASON_STEPS)

    def exclusion(self, *wanted: tuple[str, bool]) -> str | None:
        """The parts that can't hold together."""
        for (name, _), (other, _) in permutations(wanted, 2):
            if self.refers(name, other, positive=False):
                return f"`{name}` asks for `not member('{other}')`"
        parts = [(part, name) for name, positive in wanted for part in pieces(Part(self.segments[name].condition, positive))]
        why = self.search().reasons([part for part, _ in parts]).parts
        if not 1 < len(why) <= MOST_REASONS:
            return None
        owners = [next(name for part, name in parts if part is reason or part == reason) for reason in why]
        words = [worded(reason, self.segments[name].said) for reason, name in zip(why, owners, strict=True)]
        return f"{listed(words)} {'exclude each other' if len(words) == 2 else 'can never hold together'}"

    def inclusion(self, inner: str, outer: str) -> str | None:
        """What of the inner one makes sure of each part of the outer one."""
        if self.refers(inner, outer, positive=True):
            return f"it asks for `member('{outer}')`"
        asked = pieces(Part(self.segments[inner].condition))
        told: list[str] = []
        for part in pieces(Part(self.segments[outer].condition)):
            why = self.search().reasons([*asked, part.opposite], part.opposite).parts
            if not 0 < len(why) <= MOST_REASONS:
                return None
            if why != (part,):
                told.append(f"{self.words(part, outer)} follows from {self.words_of(why, inner)}")
        if not told:
            return f"it asks for all that `{outer}` asks for, and more"
        return "; ".join(told) if len(told) <= MOST_REASONS else None

    def refers(self, name: str, other: str, *, positive: bool) -> bool:
        """Whether a segment asks for who is in, or out of, another."""
        return Part(n.Member(other), positive) in pieces(Part(self.segments[name].condition))

    def words(self, part: Part, name: str) -> str:
        return worded(part, self.segments[name].said)

    def words_of(self, parts: Sequence[Part], name: str) -> str:
        return listed([self.words(part, name) for part in parts])
