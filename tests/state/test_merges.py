"""Contacts that go on under another's key: a merge is neither entry nor exit."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from segmentry.engine import membership, storing
from tests.state.conftest import Shop, at, day
from tests.state.holding import computed_changes, holding


def brief(run) -> list[tuple[object, ...]]:
    """segment, contact, change, cause, via"""
    return computed_changes(run).rows()


@pytest.fixture(params=[2, pytest.param(1 << 20, marks=pytest.mark.full)], ids=["small chunks", "one chunk"])
def shop(shop: Shop, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shop:
    for module in (membership, storing):
        monkeypatch.setattr(module, "CHUNK_ROWS", request.param)
    shop.contacts({"id": [1, 2, 3, 4, 5, 6], "spend": [5, 50, 500, 7, 8, 9]})
    shop.segment("big", "spend > 10")
    return shop


def merge(shop: Shop, *pairs: tuple[object, object]) -> None:
    """The alias file from now on."""
    (shop.root / "aliases.csv").write_text("old_key,new_key\n" + "".join(f"{old},{new}\n" for old, new in pairs))
    shop.key = "id, aliases: aliases.csv"


def test_a_member_merged_into_somebody_neither_leaves_nor_enters(shop: Shop) -> None:
    shop.run("2026-01-01")
    merge(shop, (2, 6))
    shop.contacts({"id": [1, 3, 4, 5, 6], "spend": [5, 500, 7, 8, 59]})
    assert brief(shop.run("2026-01-02")) == []
    assert shop.state.members("big").to_list() == [3, 6]
    shop.contacts({"id": [1, 3, 4, 5, 6], "spend": [5, 500, 7, 8, 5]})
    assert brief(shop.run("2026-01-03")) == [("big", 6, "exited", "data", None)]
    assert brief(shop.run("2026-01-04")) == []


def test_a_member_goes_on_under_a_key_that_nobody_had(shop: Shop) -> None:
    shop.run("2026-01-01")
    merge(shop, (2, 20))
    shop.contacts({"id": [1, 3, 4, 5, 6, 20, 21], "spend": [5, 500, 7, 8, 9, 50, 60]})
    assert brief(shop.run("2026-01-02")) == [("big", 21, "entered", "source", None)]
    assert shop.state.members("big").to_list() == [3, 20, 21]


def test_several_become_one_and_chains_are_followed(shop: Shop) -> None:
    shop.run("2026-01-01")
    merge(shop, (2, 4), (4, 5), (3, 5), (6, 5))
    shop.contacts({"id": [1, 5], "spend": [5, 60]})
    assert brief(shop.run("2026-01-02")) == []
    assert shop.state.members("big").to_list() == [5]
    assert brief(shop.run("2026-01-03")) == []


def test_a_survivor_that_the_rule_leaves_out_exits_by_data(shop: Shop) -> None:
    shop.run("2026-01-01")
    merge(shop, (2, 6), (1, 5))
    shop.contacts({"id": [3, 4, 5, 6], "spend": [500, 7, 80, 9]})
    assert brief(shop.run("2026-01-02")) == [("big", 5, "entered", "data", None), ("big", 6, "exited", "data", None)]
    assert brief(shop.run("2026-01-03")) == []


def test_a_pair_of_which_both_or_neither_are_there_does_nothing(shop: Shop) -> None:
    shop.run("2026-01-01")
    merge(shop, (2, 6), (3, 77), (4, 1))
    shop.contacts({"id": [1, 2, 4, 5, 6], "spend": [5, 50, 7, 8, 90]})
    assert brief(shop.run("2026-01-02")) == [("big", 3, "exited", "source", None), ("big", 6, "entered", "data", None)]
    shop.contacts({"id": [1, 4, 5, 6], "spend": [5, 7, 8, 90]})
    assert brief(shop.run("2026-01-03")) == []
    assert shop.state.members("big").to_list() == [6]


def test_an_edited_rule_is_still_told_from_the_merge(shop: Shop) -> None:
    shop.run("2026-01-01")
    merge(shop, (1, 4))
    shop.segment("big", "spend > 6")
    shop.contacts({"id": [2, 3, 4, 5, 6], "spend": [50, 500, 7, 8, 9]})
    causes = {row[1]: row[3] for row in brief(shop.run("2026-01-02"))}
    assert causes == {4: "rule", 5: "rule", 6: "rule"}


def test_through_a_segment_that_the_merged_contact_was_in(shop: Shop) -> None:
    shop.segment("not_big", "not member('big')")
    shop.run("2026-01-01")
    merge(shop, (1, 2), (3, 4))
    shop.contacts({"id": [2, 4, 5, 6], "spend": [50, 7, 8, 9]})
    assert brief(shop.run("2026-01-02")) == [
        ("big", 4, "exited", "data", None),
        ("not_big", 2, "exited", "data", None),  # `big` did not change for 2: as it was in, it can't have come through it
    ]


def test_merged_and_compacted_away_in_one_run(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [5, 50, 500, 7]})
    shop.run("2026-01-02")
    merge(shop, (2, 4), (3, 30))
    shop.contacts({"id": [1, 4, 30], "spend": [5, 60, 70]})
    assert brief(shop.run("2026-01-03")) == []
    assert shop.state.order().record.size < 6
    assert shop.state.members("big").to_list() == [4, 30]


def test_a_held_membership_is_handed_on_too(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("big", "spend > 100")
    merge(shop, (2, 6), (1, 20))
    shop.contacts({"id": [3, 4, 5, 6, 20], "spend": [500, 7, 8, 59, 5]})
    with holding("big"):
        assert brief(shop.run("2026-01-02")) == [("big", 6, "exited", "rule", None)]
    assert shop.state.members("big").to_list() == [3, 6]
    with holding("big"):
        assert brief(shop.run("2026-01-03")) == [("big", 6, "exited", "rule", None)]
    shop.segment("big", "spend > 10 or spend < 6")
    assert brief(shop.run("2026-01-04")) == [("big", 20, "entered", "rule", None)]
    assert shop.state.members("big").to_list() == [3, 6, 20]


def test_a_merge_while_held_is_handed_on_in_the_carried_membership(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("big", "spend > 600")
    with holding("big"):
        assert len(brief(shop.run("2026-01-02"))) == 2
    merge(shop, (2, 6))
    shop.contacts({"id": [1, 3, 4, 5, 6], "spend": [5, 500, 7, 8, 59]})
    with holding("big"):
        assert brief(shop.run("2026-01-03")) == [("big", 3, "exited", "rule", None), ("big", 6, "exited", "rule", None)]
    assert shop.state.members("big").to_list() == [3, 6]
    shop.segment("big", "spend > 10")
    assert brief(shop.run("2026-01-04")) == []


def test_a_segment_that_comes_back_has_its_members_under_their_surviving_keys(shop: Shop) -> None:
    shop.segment("all", "spend is set")
    shop.run("2026-01-01")
    shop.remove("big")
    merge(shop, (2, 6))
    shop.contacts({"id": [1, 3, 4, 5, 6], "spend": [5, 500, 7, 8, 59]})
    assert brief(shop.run("2026-01-02")) == []
    shop.segment("big", "spend > 10")
    assert brief(shop.run("2026-01-03")) == []
    assert shop.state.members("big").to_list() == [3, 6]


def test_a_key_that_is_new_by_a_merge_has_its_events_counted(shop: Shop) -> None:
    rows = {"contact_id": [2, 20], "at": [at("2026-01-01"), at("2026-01-04")], "event": ["order", "order"]}
    shop.event_file("a", rows)
    shop.segment("buyers", "did(order, last => '10 days')")
    shop.run("2026-01-02")
    merge(shop, (2, 20))
    shop.contacts({"id": [1, 3, 4, 5, 6, 20], "spend": [5, 500, 7, 8, 9, 50]})
    assert brief(shop.run("2026-01-05")) == []
    assert brief(shop.run("2026-01-20")) == [("buyers", 20, "exited", "time", None)]
    assert shop.state.event_digests(shop.state.event_files()[0]).filter(position=6)["rows"].to_list() == [1]


def test_keys_that_are_text(shop: Shop) -> None:
    shop.contacts({"id": ["ann", "Ann", "bo b", "7"], "spend": [5, 50, 500, 7]})
    shop.run("2026-01-01")
    merge(shop, ("Ann", "ann"), ("bo b", "7"))
    shop.contacts({"id": ["7", "ann"], "spend": [70, 90]})
    assert brief(shop.run("2026-01-02")) == []
    assert sorted(shop.state.members("big")) == ["7", "ann"]


def test_integers_of_another_width(shop: Shop) -> None:
    shop.run("2026-01-01")
    merge(shop, (2, 6), (99999999999, 5))
    shop.contacts(pl.DataFrame({"id": [1, 3, 4, 5, 6], "spend": [5, 500, 7, 8, 59]}, schema_overrides={"id": pl.Int16}))
    assert brief(shop.run("2026-01-02")) == []
    assert shop.state.members("big").to_list() == [3, 6]


def test_unchanged_chunks_stand_although_old_merges_are_still_in_the_file(shop: Shop) -> None:
    shop.run("2026-01-01")
    merge(shop, (2, 6))
    shop.contacts({"id": [1, 3, 4, 5, 6], "spend": [5, 500, 7, 8, 59]})
    shop.run("2026-01-02")
    shop.run("2026-01-03")
    assert shop.state.run(3).members == shop.state.run(2).members
    shop.state.gc(timedelta(0), day("2027-01-01"))
    assert brief(shop.run("2026-01-04")) == []
