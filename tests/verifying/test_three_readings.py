"""The second reading, the oracle and the engine agree on random rules over random data: three programs, one language."""

from __future__ import annotations

import random
import re

import pytest

from tests.oracle.agreement import batch
from tests.oracle.printer import text_of
from tests.oracle.product import ask, with_extremes
from tests.verifying.second import Second

RULES = 40


def three(seed: str, rules: int = RULES) -> tuple[int, int]:
    """Holds the three to each other over one world; how many answers all three gave, and how many the second should give.

    Only what another engine means by its patterns, like `\\p{Lu}`, has no second reading.
    """
    one = batch(seed, rules)
    texts = {name: text_of(condition) for name, condition in one.rules.items()}
    second, engine = Second.of(one.data, texts).answers(), ask(one.data, texts)
    told = asked = 0
    for name, given in second.items():
        if isinstance(given, str):
            assert re.search("the pattern .* which has no second reading", given), (seed, given)
            continue
        asked += len(one.data.rows)
        for number, answers in enumerate(zip(given, one.expected[name], engine[name], strict=True)):
            if None not in answers:
                assert len(set(answers)) == 1, (seed, texts[name], one.data.rows[number], answers)
                told += 1
    return told, asked


def test_three_readings_agree(seed: int) -> None:
    found = [three(f"{seed}:three:{number}") for number in range(2)]
    assert sum(told for told, _ in found) > 0.95 * sum(asked for _, asked in found)


@pytest.mark.full
@pytest.mark.parametrize("part", range(8))
def test_three_readings_agree_on_ten_thousand_pairs(seed: int, part: int) -> None:
    found = [three(f"{seed}:three:{part}:{number}", 50) for number in range(26)]
    assert sum(told for told, _ in found) > 0.95 * sum(asked for _, asked in found)


def test_no_instant_or_date_ends_the_second_reading(seed: int) -> None:
    """Not the farthest that a file can hold: it answers what the engine answers, or leaves it open."""
    one = batch(f"{seed}:far", RULES)
    texts = {name: text_of(condition) for name, condition in one.rules.items()}
    second = Second.of(one.data, texts, lambda table: with_extremes(table, random.Random(seed))).answers()
    engine = ask(one.data, texts, change=lambda table: with_extremes(table, random.Random(seed)))
    for name, given in second.items():
        for mine, theirs in zip(given, engine[name], strict=True) if not isinstance(given, str) else ():
            assert mine is None or mine is theirs, texts[name]
