"""However a rule is mangled, `evaluate` ends in a membership or in a RuleError, never in anything else."""

from __future__ import annotations

import random

import pytest

from segmentry import RuleError
from tests.oracle.agreement import batch
from tests.oracle.product import ask
from tests.rules.test_text_mutations import mutated

RULES = 50


def mangle(seed: str, draws: random.Random) -> int:
    """Mangles a batch of rules over one dataset; how many of them are still rules."""
    given = batch(seed, RULES)
    understood = 0
    for text in given.texts.values():
        if not isinstance(text, str):
            continue
        rule = mutated(text, draws)
        try:
            answers = ask(given.data, {"rule": rule})
        except RuleError:
            continue
        assert len(answers["rule"]) == len(given.data.contacts()), rule
        assert set(answers["rule"]) <= {True, False}, rule
        understood += 1
    return understood


def test_mangled_rules(seed: int, draws: random.Random) -> None:
    assert sum(mangle(f"mangled:{seed}:{number}", draws) for number in range(2)) > 0


@pytest.mark.full
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_mangled_rules(part: int, seed: int) -> None:
    draws = random.Random(f"{seed}:{part}")
    assert sum(mangle(f"mangled:{seed}:{part}:{number}", draws) for number in range(24)) > 0
