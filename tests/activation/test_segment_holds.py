"""ACTIVATION 3, a segment guard: what it holds, what goes on, and how a hold ends by itself."""

from __future__ import annotations

import pytest

from segmentry.engine.state import Status
from tests.activation.conftest import Enrolling, Shelf

TIGHT = "{snapshot: {shrinks: 100%}, segment: {contacts: 1, enters: 50%, leaves: 50%}}"


def spending(shop: Enrolling, *spends: int) -> None:
    """Contacts 1, 2, 3, ... spend so much."""
    shop.people({"id": list(range(1, len(spends) + 1)), "spend": list(spends)})


def begin_vip(shop: Enrolling) -> None:
    shop.guards = TIGHT
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, 50, 50, 5, 5)
    shop.run("2026-01-01")


@pytest.fixture
def vip(shelf: Shelf) -> Enrolling:
    """`vip`, spend over 10, enrolls in `welcome`; 1 and 2 of four are in. More than one entrant, of more than a half, is held."""
    return shelf.take(begin_vip)


def computed(shop: Enrolling, segment: str) -> list[int]:
    """Who is in by the computation that is held."""
    column = f"held:{segment}"
    return shop.state.order().keys.filter(shop.state.columns([column])[column]).to_list()


def test_segment_guard_tripped_not_that_one_others_yes(vip: Enrolling) -> None:
    vip.segment("low", "spend < 10", enroll="{sequence: hello, on: [data]}", guards="{contacts: 100}")
    vip.sequences = "{welcome: {destination: crm}, hello: {destination: crm}}"
    vip.run("2026-01-01T12:00")
    spending(vip, 5, 50, 50, 50)
    done = vip.run("2026-01-02")
    assert done.record.status is Status.ACCEPTED
    assert vip.statuses() == [(3, "vip", "open")]
    assert vip.state.members("vip").to_list() == [1, 2], "the accepted membership stays as it was"
    assert computed(vip, "vip") == [2, 3, 4], "the computed one is kept beside it"
    assert vip.state.members("low").to_list() == [1], "others commit"
    assert vip.ledger("welcome") == []
    assert vip.ledger("hello") == [("1", 1, "pending")], "and deliver"


def test_what_is_held_is_not_in_history_nor_in_figures(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02")
    assert vip.changes() == []
    assert vip.state.history("vip")["contact"].to_list() == [1, 2]
    figures = vip.state.run().segments["vip"]
    assert (figures.size, figures.entered, figures.exited) == (2, 0, 0)


def test_a_percent_and_a_count_must_both_be_passed(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 5)
    vip.run("2026-01-02")
    assert vip.holds() == [], "one of two, no more than one"
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-04")
    assert vip.holds() == [], "one more, two days later"


def test_what_a_segment_file_says_goes_before_the_workspace(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="welcome", guards="{contacts: 2}")
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02")
    assert vip.holds() == []
    assert vip.ledger() == [("3", 1, "pending"), ("4", 1, "pending")]


def test_an_empty_membership_is_passed_by_any_percent(shop: Enrolling) -> None:
    shop.guards = TIGHT
    shop.segment("vip", "spend > 10")
    spending(shop, 5, 5)
    shop.run("2026-01-01")
    spending(shop, 50, 50)
    shop.run("2026-01-02")
    assert shop.statuses() == [(2, "vip", "open")]


def test_a_first_membership_is_never_held(shop: Enrolling) -> None:
    shop.guards = TIGHT
    shop.segment("vip", "spend > 10")
    spending(shop, 50, 50, 50)
    shop.run("2026-01-01")
    shop.segment("also", "spend > 10")
    shop.run("2026-01-02")
    assert shop.holds(None) == []
    assert shop.state.members("also").to_list() == [1, 2, 3]


def test_enters_and_leaves_are_gross_over_24_hours(vip: Enrolling) -> None:
    """One comes and one goes, run after run: the size stays, and after three runs two of two have come."""
    spending(vip, 5, 50, 50, 5)
    vip.run("2026-01-02T00:00")
    assert vip.holds() == []
    spending(vip, 5, 5, 50, 50)
    vip.run("2026-01-02T23:59")
    [hold] = vip.holds()
    assert hold.reasons[:2] == [
        "2 would enter within 24 hours, 100.0% of 2; the guard is at 50% and 1 contacts",
        "2 would leave within 24 hours, 100.0% of 2; the guard is at 50% and 1 contacts",
    ]


@pytest.mark.parametrize(("when", "held"), [("2026-01-02T23:59", True), ("2026-01-03T00:01", False)])
def test_24_hours_are_over_several_runs_and_no_longer(vip: Enrolling, when: str, held: bool) -> None:
    spending(vip, 50, 50, 50, 5)
    vip.run("2026-01-02")
    vip.run("2026-01-02T12:00")
    spending(vip, 50, 50, 50, 50)
    vip.run(when)
    assert bool(vip.holds()) is held


def test_24_hours_reach_back_beyond_a_rename(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 5)
    vip.run("2026-01-02")
    vip.remove("vip")
    vip.segment("best", "spend > 10", enroll="welcome", renamed_from="[vip]")
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02T12:00")
    assert [(hold.name, hold.reasons[0].split(";")[0]) for hold in vip.holds()] == [
        ("best", "2 would enter within 24 hours, 100.0% of 2"),
    ]
    vip.run("2026-01-02T13:00")
    assert [hold.name for hold in vip.holds()] == ["best"], "nor does the run after the rename forget it"


def test_a_segment_renamed_while_it_is_held(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02")
    vip.remove("vip")
    vip.segment("best", "spend > 10", enroll="welcome", renamed_from="[vip]")
    vip.run("2026-01-02T12:00")
    assert vip.statuses() == [(2, "best", "superseded"), (3, "best", "open")]
    first, second = vip.holds(None)
    assert second.since == first.since, "it has been so since that one was"
    assert vip.state.members("best").to_list() == [1, 2]
    vip.approve(3, "best", at="2026-01-02T13:00")
    assert vip.state.members("best").to_list() == [1, 2, 3, 4]
    assert vip.ledger() == [("3", 1, "pending"), ("4", 1, "pending")]


# ---------------------------------------------------------------- those that refer to it


def begin_referring(shop: Enrolling) -> None:
    shop.guards = TIGHT
    shop.segment("vip", "spend > 10")
    shop.segment("asked", "member('vip') and spend > 30", enroll="welcome")
    shop.segment("invited", "member('asked')")
    shop.segment("low", "spend < 10", guards="{contacts: 100}")
    spending(shop, 50, 50, 5, 5)
    shop.run("2026-01-01")


@pytest.fixture
def referring(shelf: Shelf) -> Enrolling:
    """`asked` refers to `vip`, `invited` to `asked`, `low` to neither."""
    return shelf.take(begin_referring)


def test_those_that_refer_to_a_held_segment_are_held_too(referring: Enrolling) -> None:
    spending(referring, 50, 50, 40, 20)
    referring.run("2026-01-02")
    assert sorted(hold.name for hold in referring.holds()) == ["asked", "invited", "vip"]
    assert {hold.name: hold.reasons for hold in referring.holds() if hold.name != "vip"} == {
        "asked": ["it refers to `vip`, which is held"],
        "invited": ["it refers to `vip`, which is held"],
    }
    assert referring.state.members("asked").to_list() == [1, 2]
    assert computed(referring, "asked") == [1, 2, 3]
    assert referring.changes() == [("low", 3, "exited", "data"), ("low", 4, "exited", "data")]
    assert referring.ledger() == [], "their entries enroll nobody"


def test_a_new_segment_that_refers_to_a_held_one_waits_with_it(referring: Enrolling) -> None:
    referring.segment("new", "member('vip')", enroll="welcome")
    spending(referring, 50, 50, 40, 20)
    referring.run("2026-01-02")
    assert "new" in [hold.name for hold in referring.holds()]
    assert "new" not in referring.state.run().segments
    assert referring.baseline("new") == []
    referring.approve(2, at="2026-01-02T01:00")
    assert referring.state.members("new").to_list() == [1, 2, 3, 4]
    assert [row[:2] for row in referring.changes() if row[0] == "new"] == [("new", 1), ("new", 2), ("new", 3), ("new", 4)]
    assert referring.baseline("new") == ["1", "2", "3", "4"], "it is attached when it is accepted"


# ---------------------------------------------------------------- each later run compares with the accepted membership


def test_next_run_still_over(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02")
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "vip", "superseded"), (3, "vip", "open")]
    first, second = vip.holds(None)
    assert (second.since, first.ended_run) == (first.since, 3)
    assert vip.ledger() == []


def test_next_run_within_limits(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02")
    spending(vip, 50, 50, 50, 5)
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "vip", "ended")]
    assert vip.changes() == [("vip", 3, "entered", "data")], "its own diff, with the causes since the accepted run"
    assert vip.ledger() == [("3", 1, "pending")]
    assert "held:vip" not in {column for chunk in vip.state.run().members for _, columns in chunk for column in columns}


def test_next_run_within_limits_because_the_rule_was_mended(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 1", enroll="welcome")
    vip.run("2026-01-02")
    assert vip.statuses() == [(2, "vip", "open")]
    vip.segment("vip", "spend > 10", enroll="welcome")
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "vip", "ended")]
    assert vip.changes() == []
    assert vip.ledger() == []


def test_a_held_segment_that_is_deleted(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02")
    vip.remove("vip")
    vip.segment("other", "spend > 100")
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "vip", "ended")]
    assert vip.state.segments()["vip"].retired_run == 3


def test_open_rows_of_a_held_segment_go_by_the_accepted_membership(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 5)
    vip.run("2026-01-02")
    assert vip.ledger() == [("3", 1, "pending")]
    spending(vip, 5, 5, 5, 5)
    vip.run("2026-01-04")
    assert vip.statuses() == [(3, "vip", "open")]
    assert vip.ledger() == [("3", 1, "pending")], "3 is in still, as far as anybody has accepted"
    vip.approve(3, at="2026-01-04T01:00")
    assert vip.ledger() == [("3", 1, "withdrawn")]


def test_a_sequence_attached_to_a_held_segment_takes_the_accepted_as_baseline(vip: Enrolling) -> None:
    vip.sequences = "{welcome: {destination: crm}, hello: {destination: crm}}"
    vip.segment("vip", "spend > 10", enroll="hello")
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02")
    assert vip.baseline("vip", "hello") == ["1", "2"]
    vip.approve(2, at="2026-01-02T01:00")
    assert vip.ledger("hello") == [("3", 1, "pending"), ("4", 1, "pending")]


def test_historical_while_held(vip: Enrolling) -> None:
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-02")
    done = vip.run("2026-01-01T12:00", now=vip.state.run().started)
    assert done.record.status is Status.HISTORICAL
    assert vip.statuses() == [(2, "vip", "open")]
    assert vip.state.members("vip").to_list() == [1, 2]
    vip.approve(2, at="2026-01-02T01:00")
    assert vip.state.members("vip").to_list() == [1, 2, 3, 4]
