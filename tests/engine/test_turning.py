"""The smallest change of a rule, beside every change there is: random formulas whose conditions stand several times, on all contacts."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import combinations

import pytest

from segmentry.engine.foretelling import Tree, is_leaf
from segmentry.engine.outline import outline
from segmentry.engine.possible import contradiction
from segmentry.engine.turning import bare, smallest_turning
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.schema import EventTable, Schema
from segmentry.rules.types import BOOLEAN, TEXT, TIMESTAMP, exact
from tests.engine.conftest import AS_OF

SCHEMA = Schema(
    fields={**dict.fromkeys("abcdef", BOOLEAN), "n": exact(9), "t": TEXT},
    events=(EventTable("orders", {"at": TIMESTAMP}, event="order"),),
    segments=frozenset(),
)
NUMBERS = ("n > 3", "n > 5", "n = 4", "n < 4", "n between 4 and 6", "n is set", "n in (1, 9)")
TEXTS = ("t = 'x'", "t in ('x', 'y')", "t is not set", "t > 'x'")
COUNTS = ("did(order)", "count(order) >= 2", "count(order) < 4", "count(order) = 1")


def formula(draw: random.Random, leaves: tuple[str, ...], depth: int) -> str:
    if depth == 0 or draw.random() < 0.2:
        return draw.choice(leaves)
    parts = [formula(draw, leaves, depth - 1) for _ in range(draw.randint(2, 3))]
    match draw.randrange(4):
        case 0:
            return f"not ({parts[0]})"
        case 1:
            return f"at_least({draw.randint(1, len(parts))}, {', '.join(parts)})"
    return "(" + draw.choice([" and ", " or "]).join(parts) + ")"


def tree_of(text: str) -> Tree:
    canonical = to_text(parse_text(text))
    return Tree(outline(check(parse_text(canonical), SCHEMA)[0], canonical))


def whole(tree: Tree, answers: Mapping[Condition, bool]) -> bool:
    """What the rule is, where its conditions, each without its `not`, are so."""
    written = {line.condition: bare(line.condition) for line in tree.lines if is_leaf(line)}
    values = tree.values({leaf: [answers[plain] is holds] for leaf, (plain, holds) in written.items()}, 1)
    return bool(values[id(tree.outline)][0])


def leaves_of(tree: Tree) -> list[Condition]:
    return list(dict.fromkeys(bare(line.condition)[0] for line in tree.lines if is_leaf(line)))


def free(_: Mapping[Condition, bool]) -> None:
    return None


def test_no_smaller_set_of_free_conditions_turns_the_whole(seed: int):
    for number in range(250):
        draw = random.Random(f"{seed}:{number}")
        tree = tree_of(formula(draw, tuple("abcdef"), draw.choice([1, 2, 3])))
        leaves = leaves_of(tree)
        now = {leaf: draw.random() < 0.5 for leaf in leaves}
        fixed = frozenset(leaf for leaf in leaves if draw.random() < 0.15)
        was = whole(tree, now)
        fitting = (
            set(turned)
            for size in range(len(leaves) + 1)
            for turned in combinations([leaf for leaf in leaves if leaf not in fixed], size)
            if whole(tree, {leaf: holds is not (leaf in turned) for leaf, holds in now.items()}) is not was
        )
        smallest = next(fitting, None)
        found = smallest_turning(tree, now, fixed, free)
        assert found.fewest
        assert (found.leaves is None) == (smallest is None), tree.outline.text
        if found.leaves is not None and smallest is not None:
            assert len(found.leaves) == len(smallest), tree.outline.text
            assert not found.leaves & fixed
            assert whole(tree, {leaf: holds is not (leaf in found.leaves) for leaf, holds in now.items()}) is not was


def contacts() -> list[dict[str, object]]:
    """Every contact that the conditions can tell apart."""
    texts = (None, "a", "x", "x\0", "y", "z")
    return [{"n": n, "t": t, "orders": orders} for n in (None, *range(11)) for t in texts for orders in range(6)]


HOLDS = {
    "n > 3": lambda c: c["n"] is not None and c["n"] > 3,
    "n > 5": lambda c: c["n"] is not None and c["n"] > 5,
    "n = 4": lambda c: c["n"] == 4,
    "n < 4": lambda c: c["n"] is not None and c["n"] < 4,
    "n between 4 and 6": lambda c: c["n"] in (4, 5, 6),
    "n is set": lambda c: c["n"] is not None,
    "n in (1, 9)": lambda c: c["n"] in (1, 9),
    "t = 'x'": lambda c: c["t"] == "x",
    "t in ('x', 'y')": lambda c: c["t"] in ("x", "y"),
    "t is not set": lambda c: c["t"] is None,
    "t > 'x'": lambda c: c["t"] is not None and c["t"] > "x",
    "did(order)": lambda c: c["orders"] > 0,
    "count(order) >= 2": lambda c: c["orders"] >= 2,
    "count(order) < 4": lambda c: c["orders"] < 4,
    "count(order) = 1": lambda c: c["orders"] == 1,
}


@pytest.mark.parametrize("number", range(3))
def test_what_one_value_can_not_be_at_once_is_no_change(seed: int, number: int):
    """The fewest conditions that differ from those of any contact who is on the other side."""
    everybody = contacts()
    for part in range(20):
        draw = random.Random(f"{seed}:{number}:{part}")
        tree = tree_of(formula(draw, (*NUMBERS, *TEXTS, *COUNTS), draw.choice([1, 2, 2, 3])))
        tests = {}
        for line in tree.lines:
            if is_leaf(line):
                leaf, holds = bare(line.condition)
                written = line.text.removeprefix("not ").replace(" not in ", " in ").replace(" not between ", " between ")
                turned = written != line.text
                written = written[1:-1] if written.startswith("(") else written
                if written not in HOLDS:  # `n is not set`, of which only the opposite is in the table
                    written, turned = (
                        written.replace("is not set", "is set") if "not" in written else written.replace("is set", "is not set"),
                        not turned,
                    )
                tests[leaf] = (HOLDS[written], holds is not turned)

        def answers(contact: dict[str, object], tests: dict = tests) -> tuple[bool, ...]:
            return tuple(bool(test(contact)) is plain for test, plain in tests.values())

        kinds = {answers(contact) for contact in everybody}
        now = dict(zip(tests, draw.choice(sorted(kinds)), strict=True))
        was = whole(tree, now)
        others = [kind for kind in kinds if whole(tree, dict(zip(tests, kind, strict=True))) is not was]
        smallest = min((sum(a is not b for a, b in zip(kind, now.values(), strict=True)) for kind in others), default=None)
        grounded = {leaf: ground(leaf, Clock(AS_OF)) for leaf in tests}
        found = smallest_turning(tree, now, frozenset(), contradiction(grounded))
        assert found.fewest
        assert (None if found.leaves is None else len(found.leaves)) == smallest, tree.outline.text
