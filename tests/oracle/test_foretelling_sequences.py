"""A sequence's next flip, held to the oracle at every instant at which there may be one: all of them lie on a grid of hours."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from segmentry.engine.explain import explain
from tests.cli.test_any_rule import laid_out
from tests.oracle import language as lang
from tests.oracle import zones
from tests.oracle.agreement import Batch
from tests.oracle.evaluator import Moment, answers
from tests.oracle.language import Sequence, Window
from tests.oracle.printer import text_of
from tests.oracle.test_sequences import AS_OF, HOUR, LENGTHS, sequence, world

AT = lang.Field("at", lang.TIMESTAMP)
GRID = sorted(AS_OF + hours * HOUR + by for hours in range(25) for by in (-1, 0, 1, 2) if hours or by > 0)
"""Events are on hours, or a microsecond before; nothing reaches further back than eight hours; a clock passes a value, and leaves it."""


def moving(draw: random.Random, *, asks: bool) -> lang.Condition:
    """A sequence over windows, now and then with conditions on its rows that go by the clock."""
    one = sequence(draw, asks=asks)
    steps = list(one.steps)
    for place, step in enumerate(steps):
        if draw.random() < 0.15:
            ago = lang.Ago(draw.choice(LENGTHS))
            former = [other for other in range(place) if not steps[other].negated]
            asked = lang.Former(former[0], f"s{former[0]}", "at", lang.TIMESTAMP) if former and asks and draw.random() < 0.5 else AT
            steps[place] = replace(step, filters=(*step.filters, lang.Compare(draw.choice(["<", ">=", "<="]), asked, ago)))
    window = draw.choice([Window(), Window(last=draw.choice(LENGTHS)), Window(until=lang.Ago(draw.choice(LENGTHS)))])
    window = draw.choice([window, window, replace(window, since=lang.Ago(LENGTHS[-1]))])  # no later than any `until`
    made = Sequence(tuple(steps), one.within, window)
    return lang.Not(made) if draw.random() < 0.2 else made


def told(seed: str, folder: Path, rules: int, contacts: int, *, asks: bool) -> Counter[str]:
    """Which kinds of flips `explain` says there are, each where the oracle's answer turns over first."""
    draw = random.Random(seed)
    data = world(draw, most=8)
    made: dict[str, lang.Condition] = {f"r{i}": moving(draw, asks=asks) for i in range(rules)}
    one = Batch(seed, data, made, {name: text_of(rule) for name, rule in made.items()}, answers(made, data.contacts(), data.clock))
    moment = laid_out(one, folder).moment(zones.moment(AS_OF))
    later = {at: answers(made, data.contacts(), Moment(at, "UTC")) for at in GRID}
    kinds: Counter[str] = Counter()
    for name in made:
        for number in draw.sample(range(len(data.rows)), contacts):
            now = one.expected[name][number]
            flips = [at for at in GRID if later[at][name][number] is not now]
            said = explain(moment, name, data.rows[number]["id"])
            expected = zones.moment(flips[0]) if flips else None
            assert (said.member, said.flip.at) == (now, expected), f"{seed}: {one.texts[name]}\n{said}\n{data.contacts()[number]}"
            kinds[str(said.flip.kind)] += 1
    assert not kinds["unknown"], kinds
    return kinds


def test_a_sequence_turns_over_where_it_says(seed: int, tmp_path: Path) -> None:
    assert told(f"{seed}:sequence", tmp_path, 2, 3, asks=True)


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_sequences_turn_over_where_they_say(seed: int, tmp_path: Path, part: int) -> None:
    kinds: Counter[str] = Counter()
    for number in range(6):
        (folder := tmp_path / str(number)).mkdir()
        kinds += told(f"{seed}:{part}:{number}", folder, 8, 12, asks=number % 2 == 0)
    assert kinds["at"] > 20, kinds
