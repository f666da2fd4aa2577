"""No proof contradicts the oracle: whatever is proven of random rules is so for every contact of random data with values at their edges."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import pytest

from segmentry.engine.frames import EventFrame, snapshot_of
from segmentry.engine.schemas import schema_of
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition
from segmentry.rules.parse import parse_text
from segmentry.rules.proofs import Prover
from tests.oracle import language as lang
from tests.oracle import zones
from tests.oracle.datasets import Dataset, arrow_table, draw_dataset
from tests.oracle.evaluator import answers
from tests.oracle.printer import text_of
from tests.oracle.related import draw_related

Answers = list[bool | None]


def checked(data: Dataset, rules: dict[str, lang.Condition]) -> dict[str, Condition]:
    """What the rules mean on the data, before a clock."""
    events = [
        EventFrame(arrow_table(table.columns, table.rows), table.contact, table.at, table.name, table.event, data.scale)
        for table in data.tables
    ]
    sources = snapshot_of(data.arrow(), data.key.name, events)
    schema = schema_of(sources.snapshot, rules.keys(), frames=sources.frames)
    return {name: check(parse_text(text_of(rule)), schema)[0] for name, rule in rules.items()}


def proven(conditions: dict[str, Condition]) -> Iterator[tuple[str, str, str]]:
    """Everything that is proven of rules and of pairs of them: (claim, one, other)."""
    prover = Prover(conditions)
    for name, condition in conditions.items():
        if prover.never(condition):
            yield "never", name, name
        if prover.always(condition):
            yield "always", name, name
    for one, other in combinations(conditions, 2):
        if prover.never(conditions[one], conditions[other]):
            yield "exclusive", one, other
        if prover.implies(conditions[one], conditions[other]):
            yield "inside", one, other
        if prover.implies(conditions[other], conditions[one]):
            yield "inside", other, one


def contradicted(claim: str, one: Answers, other: Answers) -> int | None:
    """The first contact of whom a claim is not true."""
    wrong = {
        "never": lambda a, _: a is True,
        "always": lambda a, _: a is False,
        "exclusive": lambda a, b: a is True and b is True,
        "inside": lambda a, b: a is True and b is False,
    }[claim]
    return next((row for row, (a, b) in enumerate(zip(one, other, strict=True)) if wrong(a, b)), None)


def contradictions(seed: str, rules: int, claims: Counter[str]) -> list[str]:
    """Proofs that are not true of the data drawn; what was proven is counted in `claims`."""
    draw = random.Random(seed)
    data = draw_dataset(draw, contacts=60, events=150)
    drawn = draw_related(draw, data, rules)
    clock = Clock(zones.moment(data.clock.as_of), data.clock.zone)
    timeless = checked(data, drawn)
    expected = answers(drawn, data.contacts(), data.clock)
    found = []
    for when, conditions in (("ever", timeless), ("now", {name: ground(one, clock) for name, one in timeless.items()})):
        for claim, one, other in proven(conditions):
            claims[f"{claim} {when}"] += 1
            row = contradicted(claim, expected[one], expected[other])
            if row is not None:
                case = f"\n  {one}: {text_of(drawn[one])}\n  {other}: {text_of(drawn[other])}"
                found.append(f"seed {seed}, {when}: {claim} is not true of {data.rows[row]}{case}")
    return found


@pytest.mark.parametrize("number", range(3))
def test_no_proof_is_contradicted_by_the_oracle(seed: int, number: int):
    claims: Counter[str] = Counter()
    found = contradictions(f"{seed}:proofs:{number}", 30, claims)
    assert not found, "\n".join(found[:5])
    assert claims.total() > 5


@pytest.mark.full
@pytest.mark.parametrize("part", range(8))
def test_no_proof_of_thousands_is_contradicted_by_the_oracle(seed: int, part: int):
    claims: Counter[str] = Counter()
    for number in range(25):
        found = contradictions(f"{seed}:proofs:full:{part}:{number}", 60, claims)
        assert not found, "\n".join(found[:5])
    assert min(claims[f"{claim} {when}"] for claim in ("never", "always", "exclusive", "inside") for when in ("ever", "now")) > 5
