"""Places among all contacts from run to run: who moves whom, why it is said to be, and through which segment."""

from __future__ import annotations

import pytest

from segmentry.engine import membership
from segmentry.engine.explain import explain
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.preview import preview
from tests.state.conftest import Shop, day


def rows(run) -> list[tuple[object, ...]]:
    return run.changes().rows()


def spend(shop: Shop, *amounts: int | None, keys: list[int] | None = None) -> None:
    shop.contacts({"id": keys or list(range(1, len(amounts) + 1)), "spend": list(amounts), "country": ["UK"] * len(amounts)})


def test_who_is_pushed_out_leaves_with_time_and_who_pushes_with_data(shop: Shop) -> None:
    shop.segment("best", "top(2, by => spend)")
    spend(shop, 10, 20, 30)
    assert [row[:4] for row in rows(shop.run("2026-01-01"))] == [("best", 2, "entered", "rule"), ("best", 3, "entered", "rule")]
    spend(shop, 40, 20, 30)
    assert rows(shop.run("2026-01-02")) == [("best", 1, "entered", "data", None), ("best", 2, "exited", "time", None)]


def test_contacts_that_are_gone_hold_no_place(shop: Shop) -> None:
    """Their positions stay, and a count of no events would still be 0."""
    shop.segment("least", "bottom(2, by => spend)")
    shop.segment("half", "ntile(2, by => spend) = 1")
    spend(shop, 10, 20, 30, 40)
    shop.run("2026-01-01")
    spend(shop, 30, 40, keys=[3, 4])
    assert rows(shop.run("2026-01-02")) == [
        ("half", 1, "exited", "source", None),
        ("half", 2, "exited", "source", None),
        ("half", 3, "entered", "time", None),
        ("least", 1, "exited", "source", None),
        ("least", 2, "exited", "source", None),
        ("least", 3, "entered", "time", None),
        ("least", 4, "entered", "time", None),
    ]


def test_an_edited_rule_is_rule_and_the_former_one_is_asked_of_everybody(shop: Shop) -> None:
    shop.segment("best", "top(1, by => spend)")
    spend(shop, 10, 20, 30)
    shop.run("2026-01-01")
    shop.segment("best", "top(2, by => spend)")
    spend(shop, 40, 20, 30)
    assert rows(shop.run("2026-01-02")) == [("best", 1, "entered", "data", None)]
    shop.segment("best", "top('100%', by => spend)")
    assert rows(shop.run("2026-01-03")) == [("best", 2, "entered", "rule", None)]


def test_a_change_of_who_is_among_comes_through_that_segment(shop: Shop) -> None:
    """Who is asked about others' places is asked with everybody's former membership, not with nobody's or everybody's."""
    shop.segment("uk", "country = 'UK'")
    shop.segment("best", "top(1, by => spend, among => member('uk'))")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [99, 20, 30, 40], "country": ["US", "UK", "UK", "US"]})
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [99, 20, 30, 40], "country": ["US", "UK", "US", "UK"]})
    assert rows(shop.run("2026-01-02")) == [
        ("best", 3, "exited", "data", "uk"),
        ("best", 4, "entered", "data", "uk"),
        ("uk", 3, "exited", "data", None),
        ("uk", 4, "entered", "data", None),
    ]


def test_several_segments_together(shop: Shop) -> None:
    shop.segment("a", "country in ('UK', 'both')")
    shop.segment("b", "country in ('US', 'both')")
    shop.segment("best", "top(1, by => spend, among => member('a') or member('b'))")
    shop.contacts({"id": [1, 2, 3], "spend": [10, 20, 30], "country": ["both", "UK", "none"]})
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3], "spend": [10, 20, 30], "country": ["both", "UK", "both"]})
    found = {(segment, key): (cause, via) for segment, key, _, cause, via in rows(shop.run("2026-01-02"))}
    assert (found["best", 3], found["best", 2]) == (("data", "a"), ("time", None))


def test_a_static_list_that_changed_is_list_for_who_it_pushes_out(shop: Shop) -> None:
    spend(shop, 10, 20, 30)
    shop.list("some.csv", 1, 2)
    shop.segment("listed", list="some.csv")
    shop.segment("best", "top(1, by => spend, among => member('listed'))")
    shop.run("2026-01-01")
    shop.list("some.csv", 1, 2, 3)
    found = rows(shop.run("2026-01-02"))
    assert [row for row in found if row[0] == "best"] == [("best", 2, "exited", "list", None), ("best", 3, "entered", "list", "listed")]


@pytest.mark.parametrize("chunk", [2, 1 << 20])
def test_one_contact_is_explained_among_all(shop: Shop, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "CHUNK_ROWS", chunk)
    shop.segment("best", "top(2, by => spend, among => country = 'UK') and ntile(2, by => spend) = 2")
    spend(shop, 10, 20, 30, 25, None)
    run = shop.run("2026-01-01")
    assert [row[1] for row in rows(run)] == [3, 4]
    moment = Moment.at(load(shop.root).require(), day("2026-01-02"))
    for key, member in {1: False, 2: False, 3: True, 4: True, 5: False}.items():
        assert explain(moment, "best", key).member is member
    told = str(explain(moment, "best", 4))
    assert "spend is 25; place 2 of 4" in told
    assert "ntile(2, by => spend) is 2" in told
    assert "not among those that are put in order" in str(explain(moment, "best", 5))
    tried = preview(moment, "top(2, by => spend)", sample=5)
    assert (tried.count, tried.sample["id"].to_list(), tried.conditions["missing"].to_list()) == (2, [3, 4], [1])
