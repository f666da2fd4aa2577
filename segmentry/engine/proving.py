"""Holding the engine against a second reading of the rules, on the data as it is: which contacts, which segments, what came out."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import polars as pl

from segmentry.engine.counterexample import Case, counterexample
from segmentry.engine.misgrouped import GroupCase, Grouped, grouped
from segmentry.engine.moment import Answer, Moment
from segmentry.engine.pinned import verify_unchanged
from segmentry.engine.population_orders import orders_of
from segmentry.engine.render import second
from segmentry.engine.second_reading import read_by_engine, sources_of
from segmentry.rules.nodes import Condition, Listed, Remembered, walk
from segmentry.rules.recursion import deep_recursion
from segmentry.verifying.cells import UnreadColumn
from segmentry.verifying.days import Undecided, Zone
from segmentry.verifying.evaluator import Reading, World
from segmentry.verifying.memories import Log, Turn
from segmentry.verifying.people import Key, people
from segmentry.verifying.reach import first_unread, unread, wanted

EACH_SIDE = 10
"""Members, and others, of every segment that are looked at beside the sample."""

MOST_CASES = 5
"""Segments whose disagreement is brought down to a smallest case; the others are only named."""


class Finding(StrEnum):
    """What came out for a segment."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNVERIFIED = "not verified"


@dataclass(frozen=True, slots=True)
class Proof:
    """One segment: what came out, for how many contacts, and why not for all.

    `members` is how many the engine has in all, `checked` how many contacts were answered twice, `differing` the keys of
    those answered differently, `undecided` how many the second reading left open, `reason` why it did. `misgrouped` are the
    keys of those that are in another group of the segment's split by the second reading; None where the segment is not divided.
    """

    segment: str
    finding: Finding
    members: int
    checked: int = 0
    differing: tuple[Key, ...] = ()
    undecided: int = 0
    reason: str | None = None
    misgrouped: tuple[Key, ...] | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "segment": self.segment,
            "finding": str(self.finding),
            "members": self.members,
            "checked": self.checked,
            "differing": list(self.differing),
            "undecided": self.undecided,
            "reason": self.reason,
            "misgrouped": None if self.misgrouped is None else list(self.misgrouped),
        }


@dataclass(frozen=True)
class Verification:
    """Every segment's proof at `as_of` (aware, UTC), over `contacts` of `total` contacts, drawn by `seed`.

    `by_engine` are files that both readings were given by the engine, text files that is.
    """

    as_of: datetime
    seed: int
    contacts: int
    total: int
    proofs: tuple[Proof, ...]
    cases: tuple[Case | GroupCase, ...] = ()
    by_engine: tuple[str, ...] = field(default=())

    @property
    def agrees(self) -> bool:
        """Whether no answer differs."""
        return not any(proof.finding is Finding.DISAGREES for proof in self.proofs)

    def headline(self) -> str:
        """What came out, in a line."""
        counts = [f"{sum(proof.finding is kind for proof in self.proofs)} {kind}" for kind in Finding]
        said = ", ".join(count for count in counts if not count.startswith("0 ")) or "no segments"
        return f"{self.contacts:,} of {self.total:,} contacts at {second(self.as_of)}, seed {self.seed}: {said}"

    def table(self) -> pl.DataFrame:
        """A row per segment: `segment`, `members`, `checked`, `finding`."""
        rows = [(proof.segment, proof.members, proof.checked, _said(proof)) for proof in self.proofs]
        return pl.DataFrame(
            rows, schema={"segment": pl.String, "members": pl.Int64, "checked": pl.Int64, "finding": pl.String}, orient="row"
        )

    def to_json(self) -> dict[str, object]:
        """Everything as plain values."""
        return {
            "as_of": self.as_of,
            "seed": self.seed,
            "contacts": self.contacts,
            "total": self.total,
            "agrees": self.agrees,
            "segments": [proof.to_json() for proof in self.proofs],
            "cases": [case.to_json() for case in self.cases],
            "read_by_engine": list(self.by_engine),
        }


def _said(proof: Proof) -> str:
    if proof.finding is Finding.DISAGREES:
        members = f"for {len(proof.differing):,}" if proof.differing else ""
        groups = f"about the group of {len(proof.misgrouped):,}" if proof.misgrouped else ""
        return f"DISAGREES {' and '.join(filter(None, (members, groups)))}"
    left = f"{proof.undecided:,} left open: " if proof.undecided and proof.finding is Finding.AGREES else ""
    between = ": " if proof.finding is Finding.UNVERIFIED else "; "
    said = f"{proof.finding}{between}{left}{proof.reason}" if proof.reason else str(proof.finding)
    return said if proof.misgrouped is None else f"{said}; groups agree"


def verify(moment: Moment, names: Sequence[str], sample: int, seed: int | None = None) -> Verification:
    """Answers `sample` contacts, and some on each side of every segment, a second time. Nothing is stored.

    Raises what an evaluation raises; SourceChanged where a file changed meanwhile, which would look like a disagreement.
    """
    seed = int(moment.clock.as_of.timestamp()) if seed is None else seed
    asked = {name: moment.whole(name) for name in names}
    conditions = moment.with_references(asked)
    answer = moment.answer(asked)
    keys = _drawn(answer, names, sample, random.Random(seed))  # noqa: S311 - a sample, no secret
    reasons = {name: _reason(moment, conditions, name) for name in names}
    readable = {name: conditions[name] for name in conditions if unread(conditions, name) is None}
    world = _world(moment, conditions, readable, answer.keys.gather(keys))
    groups = {name: found for name in names if (found := grouped(moment, name, answer.keys.gather(keys))) is not None}
    proofs = tuple(_with_groups(proof, groups.get(proof.segment)) for proof in _proofs(moment, answer, keys, world, reasons))
    verify_unchanged(moment.snapshot)
    cases = _cases(moment, proofs, world, groups)
    return Verification(moment.clock.as_of, seed, len(keys), len(answer.keys), proofs, cases, tuple(read_by_engine(moment.snapshot)))


def _reason(moment: Moment, conditions: Mapping[str, Condition], name: str) -> str | None:
    """Why a segment is not answered a second time, in the words of its rule; None if it is."""
    found = first_unread(conditions, name)
    if found is None:
        return None
    rule = moment.own_rule(found.segment)
    words = "" if rule is None else " ".join(rule.text[found.node.place.start : found.node.place.end].split())
    within = "" if found.segment == name else f", in `{found.segment}`"
    return f"{found.why}{f': {words}' if words else ''}{within}"


def _drawn(answer: Answer, names: Sequence[str], sample: int, draw: random.Random) -> list[int]:
    """The rows of the contacts that are looked at."""
    total = len(answer.keys)
    rows = set(draw.sample(range(total), min(sample, total)))
    for name in names:
        inside = answer.holds[name]
        for side in (inside, ~inside):
            there = side.arg_true().to_list()
            rows.update(draw.sample(there, min(EACH_SIDE, len(there))))
    return sorted(rows)


def _world(moment: Moment, conditions: Mapping[str, Condition], readable: Mapping[str, Condition], keys: pl.Series) -> World:
    named = {node.list for condition in readable.values() for node in walk(condition) if isinstance(node, Listed)}
    lists = {path: frozenset(keys.to_list()) for path, keys in moment.lists(named).items()}
    orders = orders_of(moment, readable.values())
    logs = _logs(
        moment, {node.segment for condition in readable.values() for node in walk(condition) if isinstance(node, Remembered)}, keys
    )
    return World(conditions, sources_of(moment.snapshot).events, lists, Zone(moment.clock.zone), orders, logs)


def _logs(moment: Moment, segments: Collection[str], keys: pl.Series) -> dict[str, Log]:
    """What accepted runs say of these segments, for contacts with these keys."""
    found = {}
    for segment, told in moment.turns(segments, keys).items():
        turns: dict[Key, list[Turn]] = {}
        for contact, at, entered, first in told.changes.iter_rows():
            turns.setdefault(contact, []).append(Turn(at, entered, first))
        found[segment] = Log(told.computed, turns, frozenset(told.merged.to_list()))
    return found


def _proofs(moment: Moment, answer: Answer, rows: list[int], world: World, reasons: Mapping[str, str | None]) -> tuple[Proof, ...]:
    keys: list[Key] = answer.keys.gather(rows).to_list()
    readable = {name: world.conditions[name] for name in world.conditions if unread(world.conditions, name) is None}
    try:
        folk = people(sources_of(moment.snapshot), keys, wanted(readable), world.zone) if readable else {}
    except UnreadColumn as problem:
        reasons = {name: reason or f"the contacts can't be read: {problem}" for name, reason in reasons.items()}
        folk = {}
    found = []
    with deep_recursion():
        readings = {key: Reading(world, person) for key, person in folk.items()}
        for name, reason in reasons.items():
            members = int(answer.holds[name].sum())
            if reason is not None:
                found.append(Proof(name, Finding.UNVERIFIED, members, reason=reason))
                continue
            engine = dict(zip(keys, answer.holds[name].gather(rows).to_list(), strict=True))
            found.append(_proof(name, members, engine, readings))
    return tuple(found)


def _proof(name: str, members: int, engine: Mapping[Key, bool], readings: Mapping[Key, Reading]) -> Proof:
    differing: list[Key] = []
    undecided, reason = 0, None
    for key, held in engine.items():
        if key not in readings:  # a contact that only one of the two readings finds
            differing.append(key)
            continue
        try:
            if readings[key].member(name) is not held:
                differing.append(key)
        except Undecided as problem:
            undecided += 1
            reason = reason or str(problem)
    checked = len(engine) - undecided
    finding = Finding.DISAGREES if differing else Finding.AGREES if checked else Finding.UNVERIFIED
    return Proof(name, finding, members, checked, tuple(differing), undecided, reason)


def _with_groups(proof: Proof, groups: Grouped | None) -> Proof:
    """A proof of who is in, with what came out about the groups: a contact in a wrong one gets the wrong letter."""
    if groups is None:
        return proof
    finding = Finding.DISAGREES if groups.differing else proof.finding
    return replace(proof, finding=finding, misgrouped=groups.differing)


def _cases(moment: Moment, proofs: Sequence[Proof], world: World, groups: Mapping[str, Grouped]) -> tuple[Case | GroupCase, ...]:
    found: list[Case | GroupCase] = []
    for proof in [proof for proof in proofs if proof.finding is Finding.DISAGREES][:MOST_CASES]:
        if proof.differing:
            found.append(counterexample(moment, world, proof.segment, proof.differing[0]))
        if proof.misgrouped:
            found.append(groups[proof.segment].case(proof.segment, proof.misgrouped[0], moment.clock.as_of))
    return tuple(found)
