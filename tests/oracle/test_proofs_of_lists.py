"""Proofs about the elements of lists, held to the oracle over every short list: none is wrong, and what is plain is proven."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest

from segmentry.rules.proofs import Prover
from tests.oracle import language as lang
from tests.oracle import zones
from tests.oracle.datasets import KINDS, Column, Dataset
from tests.oracle.evaluator import Moment, answers
from tests.oracle.printer import text_of
from tests.oracle.test_proofs import checked, contradicted, proven

TEXTS, NUMBERS = [None, "", "a", "ab", "b"], [None, 1, 2, 3]
KEY = Column("id", "int64")
COLUMNS = (KEY, Column("x", "texts"), Column("n", "integers"))
X, N = lang.Field("x", KINDS["texts"][1]), lang.Field("n", KINDS["integers"][1])


def every_list(values: list) -> list:
    return [None, *(list(chosen) for size in range(3) for chosen in product(values, repeat=size)), list(values)]


def world() -> Dataset:
    """Every list of two texts beside one of numbers, and the other way round."""
    texts, numbers = every_list(TEXTS), every_list(NUMBERS)
    pairs = [(text, numbers[place % len(numbers)]) for place, text in enumerate(texts)]
    pairs += [(texts[(7 * place + 3) % len(texts)], number) for place, number in enumerate(numbers)]
    rows = tuple({"id": number, "x": text, "n": numeric} for number, (text, numeric) in enumerate(pairs, 1))
    return Dataset(Moment(10**15, "UTC"), KEY, COLUMNS, rows, (), zones.moment(10**15))


def of_element(draw: random.Random, of: lang.Field) -> lang.Condition:
    element = lang.Element(of.type.element)
    if of is X:
        text = lang.Text(draw.choice(["a", "ab", "b"]))
        tests: list[lang.Condition] = [
            lang.Compare(draw.choice(["=", "!=", "<", ">="]), element, text),
            lang.Has(draw.choice(["contains", "starts", "ends"]), element, text, negated=draw.random() < 0.3),
            lang.IsSet(element, negated=draw.random() < 0.5),
        ]
    else:
        number = lang.Number(draw.choice(["0", "1", "1.5", "2", "3"]))
        tests = [lang.Compare(draw.choice(["=", "!=", "<", "<=", ">", ">="]), element, number), lang.IsSet(element, negated=True)]
    found = draw.choice(tests)
    return lang.Not(found) if draw.random() < 0.2 else found


def rule(draw: random.Random, depth: int = 1) -> lang.Condition:
    if depth and draw.random() < 0.3:
        parts = (rule(draw, 0), rule(draw, 0))
        return lang.All(parts) if draw.random() < 0.5 else lang.Any_(parts)
    of = draw.choice([X, N])
    conditions = tuple(of_element(draw, of) for _ in range(draw.choice([1, 1, 2])))
    literal = lang.Text(draw.choice(["a", "ab"])) if of is X else lang.Number(draw.choice(["1", "2"]))
    made: list[lang.Condition] = [
        lang.Each(draw.choice(["any", "all", "none"]), of, conditions),
        lang.Each(draw.choice(["any", "all", "none"]), of, conditions),
        lang.Compare(draw.choice(["=", "<", "<=", ">", ">=", "!="]), lang.HowMany(of, conditions), lang.Number(draw.choice("0123"))),
        lang.Compare(draw.choice(["=", "<", ">="]), lang.Call("length", (of,), lang.INTEGER), lang.Number(draw.choice("012"))),
        lang.Has("contains", of, literal),
        lang.IsSet(of, negated=draw.random() < 0.5),
    ]
    found = draw.choice(made)
    return lang.Not(found) if draw.random() < 0.3 else found


def wrong(seed: str, number: int, claims: Counter[str]) -> list[str]:
    draw, data = random.Random(seed), world()
    rules = {f"r{index}": rule(draw) for index in range(number)}
    expected = answers(rules, data.contacts(), data.clock)
    found = []
    for claim, one, other in proven(checked(data, rules)):
        claims[claim] += 1
        row = contradicted(claim, expected[one], expected[other])
        if row is not None:
            found.append(f"{seed}: {claim} is not true of {data.rows[row]}\n  {text_of(rules[one])}\n  {text_of(rules[other])}")
    return found


def test_no_proof_about_elements_is_contradicted(seed: int):
    claims: Counter[str] = Counter()
    found = wrong(f"{seed}:elements", 60, claims)
    assert not found, "\n".join(found[:5])
    assert claims["inside"] > 50
    assert claims["exclusive"] > 50


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_no_proof_about_elements_of_thousands_is_contradicted(seed: int, part: int):
    claims: Counter[str] = Counter()
    for number in range(20):
        found = wrong(f"{seed}:elements:{part}:{number}", 100, claims)
        assert not found, "\n".join(found[:5])
    assert min(claims[claim] for claim in ("never", "inside", "exclusive")) > 10


INSIDE = [
    ("any(x, element = 'a')", "any(x, element in ('a', 'b'))"),
    ("any(x, element = 'a')", "x contains 'a'"),
    ("x contains 'ab'", "any(x, element starts with 'a')"),
    ("any(n, element > 2)", "any(n, element > 1)"),
    ("all(n, element > 2)", "all(n, element > 1)"),
    ("none(n, element > 1)", "none(n, element > 2)"),
    ("how_many(n, element > 2) >= 2", "how_many(n, element > 1) >= 2"),
    ("how_many(n, element > 2) >= 2", "length(n) >= 2"),
    ("any(n, element is set)", "n is set"),
    ("length(n) = 0", "all(n, element > 5)"),
    ("all(n, element > 2)", "not any(n, element is not set)"),
]
EXCLUSIVE = [
    ("any(x, element = 'a')", "none(x, element is set)"),
    ("all(n, element > 2)", "any(n, element < 1)"),
    ("x is not set", "none(x, element = 'a')"),
    ("length(x) = 0", "x contains 'a'"),
    ("how_many(n, element < 3) = 0", "how_many(n, element = 2) >= 1"),
    ("any(n, element > 2, element < 1)", "true"),
]
OPEN = [
    ("any(n, element > 1)", "any(n, element > 2)"),
    ("none(n, element > 2)", "not any(n, element is not set)"),
    ("not any(n, element > 1)", "none(n, element > 2)"),
    ("all(n, element > 2)", "any(n, element > 2)"),
    ("any(n, element > 2) and any(n, element < 1)", "false"),
]
"""A list may be missing, and then none of these holds; an empty one passes `all`; two elements may be two."""


@pytest.mark.parametrize(("one", "other"), INSIDE)
def test_what_is_plain_is_proven(one: str, other: str):
    conditions = parsed(one, other)
    assert Prover().implies(conditions[0], conditions[1])
    assert not Prover().implies(conditions[1], conditions[0]) or one == "any(x, element = 'a')"


@pytest.mark.parametrize(("one", "other"), EXCLUSIVE)
def test_what_excludes_each_other_is_proven(one: str, other: str):
    assert Prover().never(*parsed(one, other))


@pytest.mark.parametrize(("one", "other"), OPEN)
def test_what_a_missing_or_empty_list_makes_untrue_is_not_proven(one: str, other: str):
    if other == "false":
        assert not Prover().never(*parsed(one, "true"))
    else:
        assert not Prover().implies(*parsed(one, other))


def parsed(*texts: str) -> list:
    from segmentry.engine.frames import snapshot_of
    from segmentry.engine.schemas import schema_of
    from segmentry.rules.checker import check
    from segmentry.rules.parse import parse_text

    data = world()
    sources = snapshot_of(data.arrow(), "id", [])
    schema = schema_of(sources.snapshot, [], frames=sources.frames)
    return [check(parse_text(text), schema)[0] for text in texts]
