"""Random entries, decided by `Enrolling` and by a plain reading of ACTIVATION 1 that shares no code with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from segmentry.engine.config_activation import AgainAfter, EnrollConfig
from segmentry.engine.enrolling import Circumstances, Enrolling, Pair
from tests.state.conftest import day

INSTANT = pl.Datetime("us", "UTC")
CAUSES = ["data", "time", "source", "list", "rule"]
START = day("2026-01-01")


@dataclass
class Ledger:
    """What earlier runs have left, row by row, and what `Enrolling` asks of it."""

    numbers: list[tuple[str, int, datetime]] = field(default_factory=list)
    """person, number, as_of; of the one sequence."""
    baselines: list[tuple[str, str, datetime]] = field(default_factory=list)
    """segment, person, as_of"""
    hashes: set[tuple[str, str]] = field(default_factory=set)
    """address hash, person"""
    gone: set[str] = field(default_factory=set)

    def numbered(self, sequence: str, persons: Sequence[str]) -> pl.DataFrame:
        del sequence
        found = [
            (person, max(n for p, n, _ in self.numbers if p == person), max(when), min(when))
            for person in dict.fromkeys(persons)
            if (when := [a for p, _, a in self.numbers if p == person])
        ]
        return pl.DataFrame(found, schema={"person": pl.String(), "number": pl.Int32(), "last": INSTANT, "first": INSTANT}, orient="row")

    def baselined(self, segment: str, sequence: str, persons: Sequence[str]) -> pl.DataFrame:
        del sequence
        found = [
            (person, max(when))
            for person in dict.fromkeys(persons)
            if (when := [a for s, p, a in self.baselines if (s, p) == (segment, person)])
        ]
        return pl.DataFrame(found, schema={"person": pl.String(), "since": INSTANT}, orient="row")

    def addresses(self, sequence: str, hashes: Sequence[str]) -> pl.DataFrame:
        del sequence
        rows = [pair for pair in sorted(self.hashes) if pair[0] in hashes]
        return pl.DataFrame(rows, schema={"address_hash": pl.String(), "person": pl.String()}, orient="row")

    def erased(self, persons: Sequence[str]) -> set[str]:
        return self.gone & set(persons)


@dataclass
class World:
    """What holds for the contacts of one history: who is whom, who is suppressed, who has which address."""

    aliases: dict[str, str]
    suppressed: set[str]
    hashes: dict[str, str | None]

    def person(self, key: str) -> str:
        return self.aliases.get(key, key)

    def circumstances(self, as_of: datetime, *, late: bool, baseline_only: bool) -> Circumstances:
        return Circumstances(
            as_of,
            persons=lambda keys: pl.Series([self.person(key) for key in keys], dtype=pl.String()),
            suppressed=lambda keys: pl.Series([key in self.suppressed for key in keys], dtype=pl.Boolean()),
            hashes=lambda keys: pl.Series([self.hashes[key] for key in keys], dtype=pl.String()),
            late="too late" if late else None,
            baseline_only="recovered" if baseline_only else None,
        )


@dataclass
class Plain:
    """The same decisions, one contact after another. `told`: (segment, contact, number, outcome); number None: no row."""

    ledger: Ledger
    world: World
    as_of: datetime
    late: bool
    baseline_only: bool
    told: set[tuple[str, str, int | None, str]] = field(default_factory=set)
    in_run: set[str] = field(default_factory=set)
    taken: set[tuple[str, str]] = field(default_factory=set)

    def segment(self, pair: Pair, entries: list[tuple[str, str]]) -> None:
        before, met, told = set(self.in_run), set[str](), []
        for key, cause in entries:
            told.append((key, *self.decide(pair, key, cause, before, met)))
            met.add(self.world.person(key))
        # Those who become baseline are written first, so that their addresses count for everybody who is enrolled.
        for key, number, outcome in told:
            if outcome == "baseline":
                self.told.add((pair.segment, key, number, outcome))
                self.take(key)
        for key, number, outcome in told:
            if outcome == "enroll":
                became = self.outcome(pair, key)
                self.told.add((pair.segment, key, number, became))
                self.in_run.add(self.world.person(key))
                if became != "duplicate_address":  # whose address is somebody else's takes it from nobody
                    self.take(key)
            elif outcome == "skip":
                self.told.add((pair.segment, key, None, outcome))

    def decide(self, pair: Pair, key: str, cause: str, before: set[str], met: set[str]) -> tuple[int | None, str]:
        person = self.world.person(key)
        if person in self.ledger.gone or person in before or person in met:
            return None, "skip"
        baselined = [when for segment, other, when in self.ledger.baselines if (segment, other) == (pair.segment, person)]
        numbers = [(number, when) for other, number, when in self.ledger.numbers if other == person]
        if self.baseline_only or cause not in pair.policy.on:
            return (None, "skip") if baselined else (0, "baseline")
        again = pair.policy.again
        if again == "never":
            due = not numbers and not baselined
        elif again == "every time":
            due = True
        else:
            latest = max((when for _, when in numbers), default=max(baselined, default=None))
            due = latest is None or self.as_of - latest >= timedelta(days=int(again.after.split()[0]))
        return (max((number for number, _ in numbers), default=0) + 1, "enroll") if due else (None, "skip")

    def outcome(self, pair: Pair, key: str) -> str:
        hashed, person = self.world.hashes[key], self.world.person(key)
        others = {other for value, other in self.ledger.hashes | self.taken if value == hashed} - {person}
        if self.late:
            return "late"
        if key in self.world.suppressed:
            return "suppressed"
        if hashed is not None and others:
            return "duplicate_address"
        if pair.paused is not None:
            return "paused"
        return "waiting" if hashed is None and pair.needs_address else "pending"

    def take(self, key: str) -> None:
        hashed = self.world.hashes[key]
        if hashed is not None:
            self.taken.add((hashed, self.world.person(key)))


KEYS = [str(number) for number in range(1, 7)]
POLICIES = st.builds(
    EnrollConfig,
    sequence=st.just("welcome"),
    again=st.sampled_from(["never", "every time", AgainAfter(after="2 days"), AgainAfter(after="5 days")]),
    on=st.lists(st.sampled_from(CAUSES), min_size=1, unique=True),
)
PAIRS = st.lists(
    st.builds(Pair, st.just(""), st.just("welcome"), POLICIES, st.booleans(), st.sampled_from([None, None, "paused"])),
    min_size=1,
    max_size=2,
)
WORLDS = st.builds(
    World,
    aliases=st.dictionaries(st.sampled_from(["1", "2"]), st.sampled_from(["3", "4"])),
    suppressed=st.sets(st.sampled_from(KEYS), max_size=2),
    hashes=st.fixed_dictionaries({key: st.sampled_from([None, "h1", "h2", "h3", f"own{key}"]) for key in KEYS}),
)
ENTRIES = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(CAUSES)).map(lambda found: sorted(found.items()))
RUNS = st.lists(
    st.tuples(st.integers(1, 4), st.lists(ENTRIES, min_size=2, max_size=2), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5
)


@given(pairs=PAIRS, world=WORLDS, runs=RUNS, gone=st.sets(st.sampled_from(KEYS), max_size=1))
def test_decisions_are_those_of_a_plain_reading(
    pairs: list[Pair], world: World, runs: list[tuple[int, list[list[tuple[str, str]]], int, int]], gone: set[str]
) -> None:
    ledger = Ledger(gone=gone)
    pairs = [Pair(f"s{index}", one.sequence, one.policy, one.needs_address, one.paused) for index, one in enumerate(pairs)]
    as_of = START
    for days, entered, late, recovered in runs:
        as_of += timedelta(days=days)
        plain = Plain(ledger, world, as_of, late == 0, recovered == 0)
        enrolling = Enrolling(ledger, world.circumstances(as_of, late=late == 0, baseline_only=recovered == 0))
        for pair, entries in zip(pairs, entered, strict=False):
            plain.segment(pair, entries)
            enrolling.enroll(pair, pl.DataFrame(entries, schema=["contact", "cause"], orient="row"))
        rows = [row for frame in enrolling.rows for row in frame.select("segment", "contact", "number", "outcome").rows()]
        skipped = [row for frame in enrolling.skipped for row in frame.select("segment", "contact", "reason").rows()]
        assert all(reason for _, _, reason in skipped), "whoever has no row has a stated reason for none"
        assert {*rows, *((segment, key, None, "skip") for segment, key, _ in skipped)} == plain.told
        assert len(rows) + len(skipped) == sum(len(entries) for _, entries in zip(pairs, entered, strict=False))
        remember(ledger, world, plain, as_of)


def remember(ledger: Ledger, world: World, plain: Plain, as_of: datetime) -> None:
    """The run's rows, for the next one; a (person, number) is there once at most."""
    for segment, key, number, _ in plain.told:
        if number == 0:
            ledger.baselines.append((segment, world.person(key), as_of))
        elif number is not None:
            assert (world.person(key), number) not in [row[:2] for row in ledger.numbers]
            ledger.numbers.append((world.person(key), number, as_of))
    ledger.hashes |= plain.taken
