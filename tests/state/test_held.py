"""A held segment goes on being compared with the run whose computation of it is accepted, whatever runs lie between."""

from __future__ import annotations

from datetime import timedelta

import pytest

from segmentry.engine import membership, storing
from segmentry.engine.former import HELD_COLUMN
from segmentry.errors import NotFound
from tests.state.conftest import Shop, at, day
from tests.state.holding import computed_changes, holding


def brief(run) -> list[tuple[object, ...]]:
    """segment, contact, cause, via"""
    return [(segment, contact, cause, via) for segment, contact, _, cause, via in computed_changes(run).rows()]


@pytest.fixture(params=[2, pytest.param(1 << 20, marks=pytest.mark.full)], ids=["small chunks", "one chunk"])
def shop(shop: Shop, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shop:
    for module in (membership, storing):
        monkeypatch.setattr(module, "CHUNK_ROWS", request.param)
    shop.contacts({"id": [1, 2, 3, 4, 5], "spend": [5, 50, 500, 7, 1], "country": ["UK", "UK", "US", None, "US"]})
    shop.segment("big", "spend > 10")
    shop.segment("uk", "country = 'UK'")
    return shop


def held_members(shop: Shop, segment: str) -> list[object]:
    """Who was in by the computation that is not accepted."""
    keys = shop.state.order().keys
    return keys.filter(shop.state.columns([HELD_COLUMN + segment])[HELD_COLUMN + segment]).to_list()


def test_the_accepted_membership_stays_and_the_computed_one_is_beside_it(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4, 5], "spend": [50, 5, 500, 7, 1], "country": ["US", "UK", "US", None, "UK"]})
    for day_ in ("02", "03"):
        with holding("big"):
            found = brief(shop.run(f"2026-01-{day_}"))
        assert [row for row in found if row[0] == "big"] == [("big", 1, "data", None), ("big", 2, "data", None)]
        assert shop.state.members("big").to_list() == [2, 3]
        assert held_members(shop, "big") == [1, 3]
        assert shop.state.members("uk").to_list() == [2, 5]
    assert brief(shop.run("2026-01-04")) == [("big", 1, "data", None), ("big", 2, "data", None)]
    assert shop.state.members("big").to_list() == [1, 3]
    assert shop.state.segments()["big"].accepted_run == 4
    with pytest.raises(NotFound):
        held_members(shop, "big")
    assert brief(shop.run("2026-01-05")) == []


def test_an_edited_rule_stays_the_cause(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("big", "spend > 6")
    with holding("big"):
        assert brief(shop.run("2026-01-02")) == [("big", 4, "rule", None)]
    assert shop.state.segments()["big"].accepted_run == 1
    assert brief(shop.run("2026-01-03")) == [("big", 4, "rule", None)]


def test_a_changed_row_stays_data(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4, 5], "spend": [15, 50, 500, 7, 1], "country": ["UK", "UK", "US", None, "US"]})
    with holding("big"):
        assert brief(shop.run("2026-01-02")) == [("big", 1, "data", None)]
    assert brief(shop.run("2026-01-03")) == [("big", 1, "data", None)]


def test_a_new_contact_and_one_that_is_gone_stay_source(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 4, 5, 6], "spend": [5, 50, 7, 1, 60], "country": ["UK", "UK", None, "US", "US"]})
    with holding("big"):
        assert brief(shop.run("2026-01-02")) == [("big", 3, "source", None), ("big", 6, "source", None)]
    with holding("big"):
        assert brief(shop.run("2026-01-03")) == [("big", 3, "source", None), ("big", 6, "source", None)]
    assert brief(shop.run("2026-01-04")) == [("big", 3, "source", None), ("big", 6, "source", None)]
    assert brief(shop.run("2026-01-05")) == []


def test_what_turned_back_meanwhile_has_not_changed(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [15, 50, 500, 7], "country": ["UK", "UK", "US", None]})
    with holding("big"):
        shop.run("2026-01-02")
    shop.contacts({"id": [1, 2, 3, 4, 5], "spend": [5, 50, 500, 7, 1], "country": ["UK", "UK", "US", None, "US"]})
    assert brief(shop.run("2026-01-03")) == []
    assert shop.state.members("big").to_list() == [2, 3]


def test_time_alone_is_time_and_an_edit_meanwhile_is_rule(shop: Shop) -> None:
    shop.contacts({"id": [1, 2, 3], "joined": [at("2026-01-01"), at("2026-01-09"), at("2025-12-01")]})
    shop.segment("big", "joined in the last '5 days'")
    shop.remove("uk")
    shop.run("2026-01-02")
    with holding("big"):
        assert brief(shop.run("2026-01-10")) == [("big", 1, "time", None), ("big", 2, "time", None)]
    shop.segment("big", "joined in the last '60 days'")
    assert brief(shop.run("2026-01-10T12:00")) == [("big", 2, "time", None), ("big", 3, "rule", None)]


def test_a_list_that_was_changed_stays_list(shop: Shop) -> None:
    shop.list("by_hand.csv", 4)
    shop.segment("big", "spend > 10", include="by_hand.csv")
    shop.run("2026-01-01")
    shop.list("by_hand.csv", 4, 1)
    with holding("big"):
        assert brief(shop.run("2026-01-02")) == [("big", 1, "list", None)]
    assert brief(shop.run("2026-01-03")) == [("big", 1, "list", None)]


def test_events_are_compared_with_those_of_the_accepted_run(shop: Shop) -> None:
    rows = {"contact_id": [1, 2], "at": [at("2026-01-01"), at("2026-01-05")], "event": ["order", "order"]}
    shop.event_file("a", rows)
    shop.segment("buyers", "did(order)")
    shop.run("2026-01-02")
    shop.event_file("b", {"contact_id": [3], "at": [at("2026-01-03")], "event": ["order"]})
    expected = [("buyers", 2, "time", None), ("buyers", 3, "data", None)]
    with holding("buyers"):
        assert brief(shop.run("2026-01-06")) == expected
    with holding("buyers"):
        assert brief(shop.run("2026-01-07")) == expected
    shop.event_file("b", {"contact_id": [4], "at": [at("2026-01-03")], "event": ["order"]})
    assert brief(shop.run("2026-01-08")) == [("buyers", 2, "time", None), ("buyers", 4, "data", None)]


def test_events_rewritten_and_back_again_cancel_out(shop: Shop) -> None:
    rows = {"contact_id": [1, 2], "at": [at("2026-01-01"), at("2026-01-05")], "event": ["order", "order"]}
    shop.event_file("a", rows)
    shop.segment("buyers", "did(order)")
    shop.run("2026-01-02")
    shop.event_file("a", {key: [*values, new] for (key, values), new in zip(rows.items(), (2, at("2026-01-05"), "view"), strict=True)})
    with holding("buyers"):
        assert brief(shop.run("2026-01-06")) == [("buyers", 2, "data", None)]
    (shop.root / "events" / "a.parquet").unlink()
    shop.event_file("c", rows)
    assert brief(shop.run("2026-01-07")) == [("buyers", 2, "time", None)]


def test_it_still_came_through_the_segment_that_moved_then(shop: Shop) -> None:
    shop.segment("big_uk", "member('big') and country = 'UK'")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4, 5], "spend": [15, 50, 500, 7, 1], "country": ["UK", "UK", "US", None, "US"]})
    with holding("big_uk"):
        assert brief(shop.run("2026-01-02")) == [("big", 1, "data", None), ("big_uk", 1, "data", "big")]
    assert brief(shop.run("2026-01-03")) == [("big_uk", 1, "data", "big")]


def test_two_segments_held_since_different_runs(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("big", "spend > 6")
    with holding("big"):
        shop.run("2026-01-02")
    shop.contacts({"id": [1, 2, 3, 4, 5], "spend": [5, 50, 500, 7, 70], "country": ["UK", "US", "UK", None, "US"]})
    expected = [("big", 4, "rule", None), ("big", 5, "data", None), ("uk", 2, "data", None), ("uk", 3, "data", None)]
    with holding("big", "uk"):
        assert brief(shop.run("2026-01-03")) == expected
    accepted = {name: record.accepted_run for name, record in shop.state.segments().items()}
    assert accepted == {"big": 1, "uk": 2}
    shop.segment("uk", "country = 'UK' and spend > 0")
    assert brief(shop.run("2026-01-04")) == expected


def test_another_timezone_since_the_accepted_run_is_rule(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "joined": [at("2025-12-31T23:30"), at("2026-01-01T12:00")]})
    shop.segment("big", "joined at least '2026-01-01'")
    shop.segment("uk", "joined is set")
    shop.run("2026-01-02")
    shop.zone = "Europe/Berlin"
    with holding("big"):
        assert brief(shop.run("2026-01-03")) == [("big", 1, "rule", None)]
    assert brief(shop.run("2026-01-04")) == [("big", 1, "rule", None)]


def test_what_is_first_computed_while_held_has_no_accepted_membership(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("new", "member('big')")
    with holding("big", "new"):
        shop.run("2026-01-02")
    assert "new" not in shop.state.segments()
    assert held_members(shop, "new") == [2, 3]
    with pytest.raises(NotFound):
        shop.state.columns(["new"])
    run = shop.run("2026-01-03")
    assert brief(run) == [("new", 2, "rule", None), ("new", 3, "rule", None)]
    assert shop.state.segments()["new"].accepted_run == 3


def test_what_comes_back_while_held_is_still_compared_with_its_last_membership(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.remove("big")
    shop.run("2026-01-02")
    shop.segment("big", "spend > 100")
    with holding("big"):
        assert brief(shop.run("2026-01-03")) == [("big", 2, "rule", None)]
    assert shop.state.segments()["big"].retired_run == 2
    assert brief(shop.run("2026-01-04")) == [("big", 2, "rule", None)]
    assert shop.state.segments()["big"].retired_run is None


def test_files_that_did_not_change_stand_for_held_columns_too(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("big", "spend > 6")
    with holding("big"):
        shop.run("2026-01-02")
    with holding("big"):
        shop.run("2026-01-03")
    assert shop.state.run(3).members == shop.state.run(2).members
    assert not list((shop.root / ".segmentry" / "default" / "runs" / "3").glob("members*"))


def test_no_position_goes_while_a_segment_is_held(shop: Shop) -> None:
    shop.contacts({"id": list(range(1, 9)), "spend": [50] * 8, "country": ["UK"] * 8})
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3], "spend": [50] * 3, "country": ["UK"] * 3})
    expected = [("big", key, "source", None) for key in range(4, 9)]
    for number in (2, 3, 4):
        with holding("big"):
            assert [row for row in brief(shop.run(f"2026-01-0{number}")) if row[0] == "big"] == expected
    assert shop.state.order().record.size == 8
    assert brief(shop.run("2026-01-05")) == expected
    shop.run("2026-01-06")
    assert shop.state.order().record.size == 3
    assert shop.state.members("big").to_list() == [1, 2, 3]


def test_a_segment_held_in_the_very_run_that_compacts_is_matched_by_key(shop: Shop) -> None:
    shop.contacts({"id": list(range(1, 9)), "spend": [5, 50] * 4, "country": ["UK"] * 8})
    shop.run("2026-01-01")
    kept = {"id": [8, 6, 4, 3], "spend": [50] * 4, "country": ["UK"] * 4}
    shop.contacts(kept)
    shop.run("2026-01-02")
    shop.contacts({**kept, "spend": [50, 50, 5, 50]})
    with holding("big"):
        assert brief(shop.run("2026-01-03")) == [("big", 4, "data", None)]
    assert shop.state.order().record.size == 4
    assert brief(shop.run("2026-01-04")) == [("big", 4, "data", None)]


def test_retention_keeps_whole_what_a_held_segment_is_compared_with(shop: Shop) -> None:
    shop.event_file("a", {"contact_id": [1], "at": [at("2026-01-01")], "event": ["order"]})
    shop.segment("buyers", "did(order) or spend > 600")
    shop.run("2026-01-01T01:00")
    shop.contacts({"id": [1, 2, 3, 4, 6], "spend": [5, 50, 700, 7, 1], "country": ["UK", "UK", "US", None, "US"]})
    shop.event_file("a", {"contact_id": [2, 6], "at": [at("2026-01-01")] * 2, "event": ["order"] * 2})
    expected = [("buyers", 1, "data", None), ("buyers", 2, "data", None), ("buyers", 3, "data", None), ("buyers", 6, "source", None)]
    for number in (2, 3, 4):
        with holding("buyers"):
            assert [row for row in brief(shop.run(f"2026-01-0{number}")) if row[0] == "buyers"] == expected
    shop.state.gc(timedelta(0), day("2027-01-01"))
    assert [run.complete for run in shop.state.runs()] == [True, False, False, True]
    assert brief(shop.run("2026-01-05")) == expected
    shop.state.gc(timedelta(0), day("2027-01-01"))
    assert [run.complete for run in shop.state.runs()] == [False] * 4 + [True]


def test_a_dry_run_compares_alike(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("big", "spend > 6")
    with holding("big"):
        shop.run("2026-01-02")
    assert brief(shop.run("2026-01-03", dry_run=True)) == [("big", 4, "rule", None)]


def test_whoever_is_forgotten_is_forgotten_in_what_is_held_too(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("big", "spend > 600")
    with holding("big"):
        assert brief(shop.run("2026-01-02")) == [("big", 2, "rule", None), ("big", 3, "rule", None)]
    shop.state.forget([2], day("2026-01-02"))
    assert shop.state.members("big").to_list() == [3]
    assert brief(shop.run("2026-01-03")) == [("big", 3, "rule", None), ("uk", 2, "source", None)]
