"""ACTIVATION 3, a person's word on a held segment: approve, discard, accept as a baseline; what is refused, and with which words."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from segmentry.engine.state import Status
from segmentry.errors import DecisionError, NotFound
from tests.activation.conftest import Enrolling, Shelf
from tests.state.conftest import at, day

TIGHT = "{snapshot: {shrinks: 100%}, segment: {contacts: 1, enters: 50%, leaves: 50%}}"
HELD = [("vip", 1, "exited", "data"), ("vip", 3, "entered", "data"), ("vip", 4, "entered", "data")]


def spending(shop: Enrolling, *spends: int) -> None:
    """Contacts 1, 2, 3, ... spend so much."""
    shop.people({"id": list(range(1, len(spends) + 1)), "spend": list(spends), "joined": [at("2025-12-31T23:00")] * len(spends)})


def begin_held(shop: Enrolling) -> None:
    shop.guards = TIGHT
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.segment("asked", "member('vip')")
    shop.segment("low", "spend < 10", guards="{contacts: 100}")
    spending(shop, 50, 50, 5, 5)
    shop.run("2026-01-01")
    spending(shop, 5, 50, 50, 50)
    shop.run("2026-01-02")


@pytest.fixture
def held(shelf: Shelf) -> Enrolling:
    """`vip`, spend over 10, had 1 and 2; run 2 holds that 1 left, and that 3 and 4 entered. `asked` refers to it; `low` does not."""
    return shelf.take(begin_held)


# ---------------------------------------------------------------- approve


def test_approve_newest_exactly_what_was_shown(held: Enrolling) -> None:
    decided = held.approve(2, at="2026-01-02T06:00")
    record = held.state.accepted()
    assert record is not None
    assert decided.run == record
    assert (record.id, record.status, record.as_of, record.started) == (3, Status.ACCEPTED, day("2026-01-02"), day("2026-01-02T06:00"))
    assert record.decision == {"what": "approve", "run": 2, "names": ["asked", "vip"]}
    assert held.statuses() == [(2, "asked", "approved"), (2, "vip", "approved")]
    assert [row for row in held.changes() if row[0] == "vip"] == HELD
    assert [row[2] for row in held.state.history("vip").rows()] == ["vip"] * 5
    assert held.state.members("vip").to_list() == [2, 3, 4]
    figures = record.segments["vip"]
    assert (figures.size, figures.entered, figures.exited, figures.first) == (3, 2, 1, False)
    assert (record.segments["low"].size, record.segments["low"].entered) == (1, 0), "what was accepted before has not changed"
    assert record.report["segments"]["vip"] == {"size": 3, "entered": {"data": 2}, "exited": {"data": 1}}
    assert held.ledger() == [("3", 1, "pending"), ("4", 1, "pending")]
    assert held.since() == dict.fromkeys("34", day("2026-01-02T06:00")), "it is due from the approval on"
    assert held.baseline("vip") == ["1", "2"]


def test_the_run_after_an_approval_compares_with_it(held: Enrolling) -> None:
    held.approve(2, at="2026-01-02T06:00")
    held.run("2026-01-02T12:00")
    assert held.changes() == [], "and finds nothing new"
    assert held.statuses() == [(2, "asked", "approved"), (2, "vip", "approved")]
    spending(held, 50, 50, 50, 50)
    held.run("2026-01-02T18:00")
    assert held.changes() == [("asked", 1, "entered", "data"), ("low", 1, "exited", "data"), ("vip", 1, "entered", "data")]


def test_after_an_approval_the_24_hours_begin_anew(held: Enrolling) -> None:
    held.approve(2, at="2026-01-02T06:00")
    spending(held, 50, 50, 50, 50)
    held.run("2026-01-02T12:00")
    assert held.holds() == [], "one more of three; with the two that were approved it would be too many of two"
    assert held.state.members("vip").to_list() == [1, 2, 3, 4]


def test_an_approved_entry_of_cause_rule_is_baseline(shop: Enrolling) -> None:
    shop.guards = TIGHT
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, 50, 50, 5, 5)
    shop.run("2026-01-01")
    shop.segment("vip", "spend > 1", enroll="welcome")
    shop.run("2026-01-02")
    shop.approve(2, "vip", at="2026-01-02T01:00")
    assert shop.changes() == [("vip", 3, "entered", "rule"), ("vip", 4, "entered", "rule")]
    assert shop.ledger() == []
    assert shop.baseline("vip") == ["1", "2", "3", "4"]


def test_approve_of_a_segment_that_had_come_back(shop: Enrolling) -> None:
    """It is compared with its last membership, and its entries are told once."""
    shop.guards = TIGHT
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.segment("other", "spend > 100")
    spending(shop, 50, 50, 5, 5)
    shop.run("2026-01-01")
    shop.remove("vip")
    shop.run("2026-01-02")
    shop.segment("vip", "spend > 1", enroll="welcome")
    shop.run("2026-01-03")
    assert shop.statuses() == [(3, "vip", "open")]
    shop.approve(3, at="2026-01-03T01:00")
    assert shop.changes() == [("vip", 3, "entered", "rule"), ("vip", 4, "entered", "rule")]
    assert shop.state.run().segments["vip"].entered == 2
    assert shop.baseline("vip") == ["1", "2", "3", "4"]
    shop.run("2026-01-03T12:00")
    assert shop.changes() == []


def test_an_approval_goes_by_the_rows_of_the_run_that_was_held(held: Enrolling) -> None:
    held.sequences = "{welcome: {destination: crm, fields: {spent: spend}}}"
    held.run("2026-01-02T01:00")
    held.approve(3, at="2026-01-02T06:00")
    payloads = {row.payload for row in held.outbox().values()}
    assert payloads == {f'{{"address":"c{key}@example.com","fields":{{"spent":50}}}}' for key in (3, 4)}


def test_an_approval_takes_the_newest_rows_where_the_old_ones_are_gone(held: Enrolling) -> None:
    spending(held, 5, 50, 5, 5)
    decided = held.approve(2, at="2026-01-02T06:00")
    assert decided.changes is not None
    assert decided.changes.filter(segment="vip").height == 3, "the diff is the one that was shown, whatever the data say by now"
    assert held.ledger() == [("3", 1, "pending"), ("4", 1, "pending")]


def test_approve_days_later_is_not_late(held: Enrolling) -> None:
    held.approve(2, at="2026-01-08")
    assert held.ledger() == [("3", 1, "pending"), ("4", 1, "pending")]


def test_approve_some_of_several(held: Enrolling) -> None:
    held.approve(2, "vip", at="2026-01-02T06:00")
    assert held.statuses() == [(2, "asked", "open"), (2, "vip", "approved")]
    assert held.state.members("vip").to_list() == [2, 3, 4]
    assert held.state.members("asked").to_list() == [1, 2]
    held.approve(2, "asked", at="2026-01-02T07:00")
    assert held.state.members("asked").to_list() == [2, 3, 4]
    assert [row[:2] for row in held.changes()] == [("asked", 1), ("asked", 3), ("asked", 4)]
    held.run("2026-01-02T12:00")
    assert held.changes() == []


def test_approve_one_and_the_next_run_decides_on_the_rest(held: Enrolling) -> None:
    held.approve(2, "vip", at="2026-01-02T06:00")
    held.run("2026-01-02T12:00")
    assert held.statuses()[-1] == (4, "asked", "open"), "it is over its own guard, and compared with what is accepted of it"
    assert "it refers to" not in held.holds()[0].reasons[0]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("before", "names", "words"),
    [
        (lambda shop: shop.run("2026-01-03"), ["vip"], "run 2's hold on `vip` is superseded by run 3: decide on that one"),
        (lambda shop: shop.approve(2, at="2026-01-02T01:00"), ["vip"], "run 2's hold on `vip` was approved already"),
        (lambda shop: shop.discard(2, at="2026-01-02T01:00"), ["vip"], "run 2's hold on `vip` was discarded already"),
        (lambda _: None, ["asked"], "`asked` refers to `vip`, which is held too: decide on both"),
        (
            lambda shop: shop.discard(2, "vip", at="2026-01-02T01:00"),
            ["asked"],
            "`asked` refers to `vip`, which was discarded: recompute, and decide on what that run shows",
        ),
    ],
    ids=["superseded", "approved", "discarded", "rests on a held one", "rests on a discarded one"],
)
def test_approve_is_refused(held: Enrolling, before: Callable[[Enrolling], object], names: list[str], words: str) -> None:
    before(held)
    members, runs = held.state.members("asked").to_list(), len(held.state.runs())
    with pytest.raises(DecisionError, match=f"^{re.escape(words)}$"):
        held.approve(2, *names, at="2026-01-03T01:00")
    assert held.state.members("asked").to_list() == members
    assert len(held.state.runs()) == runs


def test_approve_of_a_hold_that_has_ended_is_refused(held: Enrolling) -> None:
    spending(held, 50, 50, 5, 5)
    held.run("2026-01-03")
    with pytest.raises(DecisionError, match="run 2's hold on `vip` ended with run 3, which is within the limits"):
        held.approve(2, "vip", at="2026-01-03T01:00")


def edit_rule(shop: Enrolling) -> None:
    shop.segment("vip", "spend > 20", enroll="welcome")


def edit_suppress(shop: Enrolling) -> None:
    shop.further = {"suppress": "spend > 40"}


def edit_timezone(shop: Enrolling) -> None:
    shop.zone = "Europe/Berlin"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (edit_rule, "`vip` was edited since run 2: recompute, and decide on what that run shows"),
        (edit_suppress, "`suppress` was edited since run 2: recompute, and decide on what that run shows"),
        (edit_timezone, "timezone, week or sources were edited since run 2: recompute, and decide on what that run shows"),
    ],
)
def test_approve_after_an_edit_is_refused(held: Enrolling, edit: Callable[[Enrolling], None], words: str) -> None:
    edit(held)
    held.write_config()
    with pytest.raises(DecisionError, match=f"^{re.escape(words)}$"):
        held.approve(2, "vip", "asked", at="2026-01-02T06:00")
    assert [status for _, _, status in held.statuses()] == ["open", "open"]


def test_approve_after_an_edit_of_another_segment_is_no_matter(held: Enrolling) -> None:
    held.segment("low", "spend < 9")
    held.approve(2, at="2026-01-02T06:00")
    assert held.state.members("vip").to_list() == [2, 3, 4]


def test_approve_after_an_edit_of_what_suppress_refers_to_is_refused(shop: Enrolling) -> None:
    shop.guards = TIGHT
    shop.further = {"suppress": "\"member('staff')\""}
    shop.segment("staff", "spend = 50")
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, 50, 50, 5, 5)
    shop.run("2026-01-01")
    spending(shop, 50, 50, 20, 20)
    shop.run("2026-01-02")
    shop.segment("staff", "spend > 100")
    with pytest.raises(DecisionError, match="`staff` was edited since run 2"):
        shop.approve(2, "vip", at="2026-01-02T06:00")


@pytest.mark.parametrize(
    ("run", "names", "words"),
    [
        (1, [], "run 1 holds nothing; run 2 does"),
        (2, ["vp"], "run 2 does not hold `vp`"),
        (2, ["low"], "run 2 does not hold `low`"),
        (2, ["suppress"], "run 2 does not hold `suppress`"),
        (9, [], "run 9"),
    ],
)
def test_what_is_not_held_is_not_found(held: Enrolling, run: int, names: list[str], words: str) -> None:
    with pytest.raises(NotFound, match=words):
        held.approve(run, *names, at="2026-01-02T06:00")
    with pytest.raises(NotFound, match=words):
        held.discard(run, *names, at="2026-01-02T06:00")


# ---------------------------------------------------------------- discard, and accept as a baseline


def test_discard_leaves_nothing_and_the_next_run_may_hold_again(held: Enrolling) -> None:
    decided = held.discard(2, at="2026-01-02T06:00")
    assert decided.run is None
    assert held.statuses() == [(2, "asked", "discarded"), (2, "vip", "discarded")]
    assert held.state.members("vip").to_list() == [1, 2]
    assert held.state.history("vip")["contact"].to_list() == [1, 2]
    assert held.ledger() == []
    assert held.baseline("vip") == ["1", "2"]
    held.run("2026-01-03")
    assert held.statuses()[2:] == [(3, "asked", "open"), (3, "vip", "open")]
    held.approve(3, at="2026-01-03T01:00")
    assert [row for row in held.changes() if row[0] == "vip"] == HELD


def test_accept_as_baseline_takes_the_membership_and_enrolls_nobody(held: Enrolling) -> None:
    held.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time}")
    decided = held.approve(2, "vip", at="2026-01-02T06:00", baseline=True)
    assert decided.run is not None
    assert decided.run.decision == {"what": "baseline", "run": 2, "names": ["vip"]}
    assert held.state.members("vip").to_list() == [2, 3, 4]
    assert held.changes() == HELD
    assert held.ledger() == []
    assert held.baseline("vip") == ["1", "2", "3", "4"]
    rows = held.ledger_file(3).select("contact", "outcome", "reason").rows()
    assert rows == [(3, "baseline", "taken as a baseline"), (4, "baseline", "taken as a baseline")]
    spending(held, 5, 50, 50, 50)
    held.run("2026-01-02T12:00")
    assert held.ledger() == []
