"""The second reading of places among all contacts: it agrees with the engine, and finds one that puts contacts in another order."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import polars as pl
import pytest

from segmentry import Workspace
from segmentry.engine import population_orders, populations
from segmentry.rules import nodes as n
from segmentry.rules.types import COUNT
from segmentry.verifying.orders import Order, told
from tests.cli.conftest import Shop, build

AS_OF = "2026-03-01T12:00Z"

RULES = {
    "first": "top(7, by => score)",
    "share": "top('15%', by => score, per => location)",
    "last": "bottom(9, by => spend, among => location = 'UK')",
    "fifth": "ntile(5, by => score) = 2",
    "best_of_best": "top(5, by => spend, among => top(40, by => score))",
    "buyers": "top(3, by => sum(order_placed.amount))",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Many ties: 120 contacts on ten scores, some without one."""
    made = build(tmp_path_factory.mktemp("places"))
    for path in (made.folder / "segments").glob("*.yml"):
        path.unlink()
    draw = random.Random(5)
    people = {
        "contact_id": range(1, 121),
        "email": [f"p{number}@example.com" for number in range(1, 121)],
        "score": [draw.choice([None, *range(10)]) for _ in range(120)],
        "spend": [draw.choice([None, -0.0, 0.0, 0.5, 2.5, float("inf")]) for _ in range(120)],
        "location": [draw.choice(["UK", "US", None]) for _ in range(120)],
    }
    pl.DataFrame(people).write_parquet(made.folder / "data" / "contacts.parquet")
    for name, rule in RULES.items():
        made.write(f"segments/{name}.yml", f'where: "{rule}"\n')
    return made


def verified(shop: Shop, *more: str, code: int = 0) -> dict:
    return json.loads(shop.run("verify", "--as-of", AS_OF, "--format", "json", *more, code=code).stdout)


def test_places_are_verified(shop: Shop) -> None:
    found = {one["segment"]: one for one in verified(shop)["segments"]}
    assert {name: (one["finding"], one["checked"]) for name, one in found.items()} == dict.fromkeys(RULES, ("agrees", 120))
    assert all(one["members"] for one in found.values())


def test_a_sample_is_enough_to_be_put_among_all(shop: Shop) -> None:
    found = verified(shop, "--sample", "1", "--seed", "3")
    assert found["contacts"] < 120
    assert {one["finding"] for one in found["segments"]} == {"agrees"}


def other_order(what: str):
    right = populations.places

    def wrong(keys, candidates, by, per, *, falling):
        if what == "equal ones the other way":
            ranks = keys.rank("ordinal", descending=True).cast(pl.Int64)
            return right(ranks, candidates, by, per, falling=falling)
        if what == "the other end first":
            return right(keys, candidates, by, per, falling=not falling)
        if what == "all together":
            return right(keys, candidates, by, None, falling=falling)
        return right(keys, pl.repeat(value=True, n=len(keys), eager=True), by, per, falling=falling)

    return wrong


@pytest.mark.parametrize(
    ("what", "touched"),
    [
        ("equal ones the other way", {"first", "share", "last", "fifth", "best_of_best"}),
        ("the other end first", set(RULES)),
        ("all together", {"share"}),
        ("whoever is in `among` or not", {"last", "best_of_best"}),
    ],
)
def test_another_order_is_found(shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str, touched: set[str]) -> None:
    from segmentry.engine import evaluation

    monkeypatch.setattr(evaluation, "places", other_order(what))
    found = verified(shop, code=70)
    differing = {one["segment"] for one in found["segments"] if one["differing"]}
    assert differing
    assert differing <= touched
    assert what != "all together" or differing == {"share"}


def test_a_share_that_is_rounded_down_is_found_and_its_places_are_shown(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(populations, "rounded_up", lambda size, share: size * share.numerator // share.denominator)
    [case] = Workspace.open(shop.folder).verify(["share"], as_of=AS_OF).cases
    assert (case.engine, case.second) == (False, True)
    told_of = {one.expression: (one.engine, one.second) for one in case.values}
    assert told_of["its place"][0] == told_of["its place"][1]
    assert told_of["how many are in that order"][0] == told_of["how many are in that order"][1]


def test_of_more_contacts_than_are_put_in_order_no_place_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population_orders, "MOST_RANKED", 100)
    found = {one["segment"]: one for one in verified(shop)["segments"]}
    have_one = pl.read_parquet(shop.folder / "data" / "contacts.parquet")["score"].count()
    assert (found["first"]["undecided"], found["first"]["checked"]) == (have_one, 120 - have_one)
    assert found["first"]["reason"] == "a place among more than 100 contacts has no second reading"


def test_who_is_asked_about_stands_by_its_own_values(seed: int) -> None:
    """Whatever is known of a contact in the order, its place is that of an order in which it stands by the values it is asked with."""
    draw = random.Random(f"{seed}:places")
    for _ in range(300):
        entries = [(key, draw.randint(0, 3), draw.choice(["a", "b"])) for key in range(draw.randint(0, 8))]
        falling, key, by, per = draw.random() < 0.5, draw.randint(0, 9), draw.randint(0, 3), draw.choice(["a", "b"])
        place, size = Order.of(falling, entries).place(key, by, per)
        there = [(one, other) for other, one, group in entries if group == per and other != key] + [(by, key)]
        there.sort(key=lambda one: (-one[0] if falling else one[0], one[1]))
        assert (place, size) == (there.index((by, key)) + 1, len(there))


@pytest.mark.parametrize("parts", range(1, 8))
def test_parts_differ_by_one_at_most_and_the_larger_come_first(parts: int) -> None:
    node = n.Ranked(COUNT, n.Population(n.Constant(COUNT, "x")), n.Standing.PART, parts)
    for size in range(1, 20):
        dealt = [told(node, place, size) for place in range(1, size + 1)]
        assert dealt == sorted(dealt)
        sizes = [dealt.count(part) for part in range(1, parts + 1)]
        assert sum(sizes) == size
        assert max(sizes) - min(sizes) <= 1
        assert all(one >= other for one, other in pairwise(sizes))
