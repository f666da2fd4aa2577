"""Groups of segments: a contact is in at most one of them, and it is told why it is not in the others."""

from __future__ import annotations

import random

import pytest

from segmentry.engine.checking import check
from segmentry.engine.explain import explain
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.errors import RuleError
from tests.state.conftest import Shop, day


def offers(shop: Shop, **rules: str) -> None:
    """Segments of one group, the first before the second."""
    for rank, (name, rule) in enumerate(rules.items(), 1):
        shop.segment(name, rule, priority=f"{{group: offers, rank: {rank}}}")


def members(shop: Shop, as_of: str) -> dict[str, list[int]]:
    run = shop.run(as_of)
    names = sorted(run.record.segments)
    state = shop.state
    try:
        return {name: state.members(name).sort().to_list() for name in names}
    finally:
        state.close()


def rows(run) -> list[tuple[object, ...]]:
    return run.changes().rows()


def test_a_contact_is_in_the_first_of_its_group(shop: Shop) -> None:
    shop.contacts({"id": [1, 2, 3, 4], "spend": [5, 50, 500, None]})
    offers(shop, gold="spend > 100", silver="spend > 10", tin="spend > 1")
    shop.segment("all_in", "spend > 1")
    shop.segment("asks", "member('tin') or member('gold')")
    found = members(shop, "2026-01-01")
    assert found == {"all_in": [1, 2, 3], "asks": [1, 3], "gold": [3], "silver": [2], "tin": [1]}


def test_include_and_exclude_come_before_priority(shop: Shop) -> None:
    shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 500]})
    shop.list("in.csv", 1)
    shop.list("out.csv", 3)
    shop.segment("gold", "spend > 10", include="in.csv", exclude="out.csv", priority="{group: g, rank: 1}")
    shop.segment("tin", "spend > 1", include="in.csv", priority="{group: g, rank: 7}")
    assert members(shop, "2026-01-01") == {"gold": [1, 2], "tin": [3]}


def test_who_goes_to_a_better_offer_leaves_through_it(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [50, 50]})
    offers(shop, gold="spend > 100", silver="spend > 10")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2], "spend": [500, 50]})
    assert rows(shop.run("2026-01-02")) == [("gold", 1, "entered", "data", None), ("silver", 1, "exited", "data", "gold")]


def test_another_rank_is_another_rule(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [50]})
    offers(shop, gold="spend > 10", silver="spend > 20")
    shop.run("2026-01-01")
    offers(shop, silver="spend > 20", gold="spend > 10")
    assert rows(shop.run("2026-01-02")) == [("gold", 1, "exited", "rule", "silver"), ("silver", 1, "entered", "rule", None)]


def test_a_new_segment_takes_its_members_by_rule_and_a_former_one_that_can_not_run_is_rule(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [50, 500], "old": [1, 1]})
    shop.segment("silver", "spend > 10", priority="{group: offers, rank: 5}")
    shop.run("2026-01-01")
    shop.segment("gold", "spend > 100 and old = 1", priority="{group: offers, rank: 1}")
    assert rows(shop.run("2026-01-02")) == [("gold", 2, "entered", "rule", None), ("silver", 2, "exited", "rule", "gold")]
    shop.contacts({"id": [1, 2], "spend": [50, 500]})
    shop.segment("gold", "spend > 1000", priority="{group: offers, rank: 1}")
    assert rows(shop.run("2026-01-03")) == [("gold", 2, "exited", "rule", None), ("silver", 2, "entered", "rule", "gold")]


def test_it_is_explained(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [500, 50]})
    offers(shop, gold="spend > 100", silver="spend > 10")
    shop.run("2026-01-01")
    moment = Moment.at(load(shop.root).require(), day("2026-01-02"))
    told = explain(moment, "silver", 1)
    assert not told.member
    assert "not in gold, which goes before it" in str(told)
    assert "spend > 100" in str(told)
    assert explain(moment, "silver", 2).member


def test_a_circle_through_a_group_is_told(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [500]})
    offers(shop, gold="not member('silver')", silver="spend > 10")
    with pytest.raises(RuleError, match="gold -> silver -> gold"):
        shop.run("2026-01-01")
    with pytest.raises(RuleError) as told:
        check(load(shop.root), day("2026-01-02"))
    assert told.value.diagnostics[0].notes == ("`silver` refers to `gold` because that goes before it in a group of priority",)


def test_a_renamed_segment_of_a_group_is_missed(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [500, 50]})
    offers(shop, gold="spend > 100", silver="spend > 10")
    shop.run("2026-01-01")
    shop.remove("gold")
    shop.segment("golden", "spend > 100", priority="{group: offers, rank: 1}")
    assert [warning.code for warning in check(load(shop.root), day("2026-01-02")).warnings] == ["W310"]
    shop.segment("golden", "spend > 100", priority="{group: offers, rank: 1}", renamed_from="[gold]")
    assert rows(shop.run("2026-01-02")) == []


def test_nobody_is_in_two_and_nobody_is_lost(shop: Shop) -> None:
    """Of random thresholds and ranks: each contact is in the first of those that it would be in, and in no other."""
    draw = random.Random(7)
    values = [draw.choice([None, *range(20)]) for _ in range(60)]
    shop.contacts({"id": list(range(60)), "x": values, "y": [draw.randrange(3) for _ in values]})
    places = {f"s{n}": (draw.choice("ab"), rank) for n, rank in enumerate(draw.sample(range(1, 50), 8))}
    lows = {name: draw.randrange(20) for name in places}
    for name, (group, rank) in places.items():
        shop.segment(name, f"x >= {lows[name]} or y = 0 and x < 5", priority=f"{{group: {group}, rank: {rank}}}")
        shop.segment(f"own_{name}", f"x >= {lows[name]} or y = 0 and x < 5")
    found = members(shop, "2026-01-01")
    for group in "ab":
        taken: set[int] = set()
        for _, name in sorted((rank, name) for name, (which, rank) in places.items() if which == group):
            own = set(found[f"own_{name}"])
            assert set(found[name]) == own - taken
            taken |= own
