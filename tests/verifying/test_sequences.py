"""The second reading of sequences: the oracle's answers on dense random events, and a broken engine is found."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import polars as pl
import pytest

from segmentry.engine import sequence_joins, sequences
from segmentry.engine.lowering import sql
from segmentry.verifying import steps
from tests.cli.conftest import NOW, Shop, build
from tests.oracle import language as lang
from tests.oracle.evaluator import answers
from tests.oracle.printer import text_of
from tests.oracle.test_sequences import sequence, world
from tests.verifying.second import Second

AS_OF = "2026-03-01T12:00Z"


def disagreements(seed: str, number: int, *, asks: bool) -> list[str]:
    draw = random.Random(seed)
    data = world(draw)
    rules: dict[str, lang.Condition] = {f"r{i}": sequence(draw, asks=asks) for i in range(number)}
    expected = answers(rules, data.contacts(), data.clock)
    found = Second.of(data, {name: text_of(rule) for name, rule in rules.items()}).answers()
    return [f"{seed}: {text_of(rules[name])}\n  {expected[name]}\n  {found[name]}" for name in rules if expected[name] != found[name]]


@pytest.mark.parametrize("asks", [False, True])
def test_sequences_are_those_that_trying_every_way_finds(seed: int, asks: bool) -> None:
    found = [one for number in range(3) for one in disagreements(f"{seed}:second:{asks}:{number}", 20, asks=asks)]
    assert not found, "\n".join(found[:3])


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_many_sequences_are_those_that_trying_every_way_finds(seed: int, part: int) -> None:
    found = [one for number in range(12) for one in disagreements(f"{seed}:second:{part}:{number}", 60, asks=number % 2 == 0)]
    assert not found, "\n".join(found[:3])


STEPS = {
    "then": "sequence(did(cart), did(order))",
    "soon": "sequence(did(cart), did(order, within => '2 days'))",
    "straight": "sequence(did(cart), not did(view), did(order))",
    "left": "sequence(did(cart), not did(order), within => '3 days')",
    "returned": "sequence(did(cart), did(order), not did(view), within => '4 days')",
    "same": "sequence(did(cart), did(order, amount = cart.amount))",
    "unsaid": "sequence(did(cart), not did(order, amount = cart.amount))",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Everything that two days apart, three events and two amounts can make of a cart, a view and an order, for 60 contacts."""
    made = build(tmp_path_factory.mktemp("sequences"))
    for path in (made.folder / "segments").glob("*.yml"):
        path.unlink()
    draw = random.Random(7)
    rows = [
        (contact, NOW - timedelta(days=draw.randint(0, 6)), draw.choice(["cart", "view", "order"]), draw.choice([1.0, 2.0, None]))
        for contact in range(1, 61)
        for _ in range(draw.randint(1, 5))
    ]
    columns = ["contact_id", "occurred_at", "event", "amount"]
    pl.DataFrame(rows, schema=columns, orient="row").write_parquet(made.folder / "data" / "events.parquet")
    people = pl.DataFrame({"contact_id": range(1, 61), "email": [f"p{n}@example.com" for n in range(1, 61)]})
    people.write_parquet(made.folder / "data" / "contacts.parquet")
    for name, rule in STEPS.items():
        made.write(f"segments/{name}.yml", f'where: "{rule}"\n')
    return made


def verified(shop: Shop, code: int = 0) -> dict:
    return json.loads(shop.run("verify", "--as-of", AS_OF, "--format", "json", code=code).stdout)


def test_sequences_are_verified(shop: Shop) -> None:
    found = {one["segment"]: one for one in verified(shop)["segments"]}
    assert {name: (one["finding"], one["checked"]) for name, one in found.items()} == dict.fromkeys(STEPS, ("agrees", 60))
    assert all(0 < one["members"] < 60 for one in found.values())


BROKEN = {
    "steps at one instant count": (
        {"BEFORE": sequences.BEFORE | {"end": "CURRENT ROW", "end_side": None}, "AFTER": sequences.AFTER},
        {"then", "soon", "straight", "returned"},
    ),
    "what comes later is not looked at": ({"AFTER": sequences.AFTER | {"start": sql.integer(2)}}, {"left"}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_frames_that_are_wrong_are_found(shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    constants, touched = BROKEN[what]
    for name, value in constants.items():
        monkeypatch.setattr(sequences, name, value)
    found = verified(shop, code=70)
    differing = {one["segment"] for one in found["segments"] if one["differing"]}
    assert differing
    assert differing <= touched
    case = found["cases"][0]
    assert case["smallest"]
    assert 1 <= len(case["events"]) <= 3


def test_a_length_that_is_wrong_is_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    right = sequences.micros
    monkeypatch.setattr(sequences, "micros", lambda length: right(length) - 1)
    found = verified(shop, code=70)
    assert {one["segment"] for one in found["segments"] if one["differing"]} == {"soon", "left", "returned"}


def test_a_question_that_is_not_asked_is_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes any later event where a step asks a former one."""
    right = sequence_joins.separated
    monkeypatch.setattr(sequence_joins, "separated", lambda where: (right(where)[0], ()))
    found = verified(shop, code=70)
    assert {one["segment"] for one in found["segments"] if one["differing"]} == {"same", "unsaid"}


def test_a_contact_with_too_many_ways_is_left_open(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MOST_TRIED", 0)
    found = {one["segment"]: one for one in verified(shop)["segments"]}
    assert found["then"]["undecided"] > 0
    assert found["then"]["reason"] == "a sequence with too many ways to try"
    assert found["left"]["undecided"] == 0


def test_many_events_are_searched_in_reasonable_time() -> None:
    """A hundred thousand ways of three steps that lead nowhere: each instant is tried once a step, not once a way."""
    from segmentry.verifying.people import EventRow

    rows = [(at, EventRow(0, "a", at, {})) for at in range(300)]
    nothing = steps.Step([])
    search = steps.Search([steps.Step(rows), steps.Step(rows), steps.Step(rows), nothing])
    assert not search.succeeds()
    assert search._tried <= 2 * 300 * 300
