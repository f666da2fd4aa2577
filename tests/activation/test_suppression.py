"""ACTIVATION 1 and 3: suppression is guarded as a segment, and fails closed."""

from __future__ import annotations

import pytest

from segmentry.errors import DecisionError, RuleError
from tests.activation.conftest import LOOSE, Enrolling, Shelf

EVERYBODY = range(1, 7)


def begin_vip(shop: Enrolling) -> None:
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 2}, suppress: {contacts: 1, leaves: 10%}}"
    shop.further = {"suppress": "\"status = 'out'\""}
    shop.segment("vip", "spend > 10", enroll="welcome")
    marked(shop, 1, 2, 3)
    shop.run("2026-01-01")


@pytest.fixture
def vip(shelf: Shelf) -> Enrolling:
    """Of six contacts 1, 2 and 3 are suppressed, and nobody is in `vip`. More than one may not be suppressed no more."""
    return shelf.take(begin_vip)


def marked(shop: Enrolling, *out: int, spending: tuple[int, ...] = ()) -> None:
    """A snapshot in which these are out, and those spend enough."""
    shop.people(
        {
            "id": list(EVERYBODY),
            "spend": [50 if key in spending else 5 for key in EVERYBODY],
            "status": ["out" if key in out else "in" for key in EVERYBODY],
        }
    )


def test_the_guard_of_suppress_holds_all_delivery(vip: Enrolling) -> None:
    marked(vip, 3)
    vip.run("2026-01-02")
    [hold] = vip.holds()
    assert (hold.kind, hold.name) == ("suppress", "")
    assert hold.reasons == ["2 would be suppressed no more, 66.7% of 3; the guard is at 10% and 1 contacts"]


def test_one_more_or_less_is_no_matter(vip: Enrolling) -> None:
    marked(vip, 2, 3, 4, 5, 6)
    vip.run("2026-01-02")
    assert vip.holds() == []


def test_while_it_is_held_the_accepted_and_the_computed_are_suppressed(vip: Enrolling) -> None:
    marked(vip, 3, 4, spending=(1, 4))
    vip.run("2026-01-02")
    assert vip.ledger() == [("1", 1, "suppressed"), ("4", 1, "suppressed")], "1 by the accepted rule, 4 by the computed one"
    marked(vip, 3, 4, spending=(1, 2, 4, 5))
    vip.run("2026-01-03")
    assert [hold.run for hold in vip.holds()] == [3], "compared with the accepted set still"
    assert [(key, outcome) for key, _, outcome in vip.ledger() if key in "25"] == [("2", "suppressed"), ("5", "pending")]


def test_approve_takes_the_computed_suppression(vip: Enrolling) -> None:
    marked(vip, 3)
    vip.run("2026-01-02")
    decided = vip.approve(2, "suppress", at="2026-01-02T06:00")
    assert decided.run is not None
    assert decided.run.decision == {"what": "approve", "run": 2, "names": ["suppress"]}
    assert vip.changes() == []
    marked(vip, 3, spending=(1,))
    vip.run("2026-01-02T12:00")
    assert vip.holds() == []
    assert vip.ledger() == [("1", 1, "pending")]


def test_within_limits_the_hold_ends(vip: Enrolling) -> None:
    marked(vip, 3)
    vip.run("2026-01-02")
    marked(vip, 1, 3, spending=(2,))
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "suppress", "ended")]
    assert vip.ledger() == [("2", 1, "pending")]


def test_discard_and_the_next_run_holds_again(vip: Enrolling) -> None:
    marked(vip, 3)
    vip.run("2026-01-02")
    vip.discard(2, "suppress", at="2026-01-02T06:00")
    marked(vip, 3, spending=(1,))
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "suppress", "discarded"), (3, "suppress", "open")]
    assert vip.ledger() == [("1", 1, "suppressed")]


def test_a_suppress_rule_taken_out_of_the_file_counts_as_leaving(vip: Enrolling) -> None:
    vip.further = {}
    marked(vip, 1, 2, 3, spending=(1,))
    vip.run("2026-01-02")
    assert vip.holds()[0].reasons[0].startswith("3 would be suppressed no more, 100.0% of 3")
    assert vip.ledger() == [("1", 1, "suppressed")]
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "suppress", "superseded"), (3, "suppress", "open")], "nor does it count less by being gone for long"


def test_a_suppress_rule_that_can_not_run_refuses_the_run(vip: Enrolling) -> None:
    vip.people({"id": [1, 2], "spend": [50, 50]})
    with pytest.raises(RuleError, match="status"):
        vip.run("2026-01-02")
    accepted = vip.state.accepted()
    assert accepted is not None
    assert accepted.id == 1
    assert vip.ledger() == []


# ---------------------------------------------------------------- a segment that it refers to


def begin_staffed(shop: Enrolling) -> None:
    shop.further = {"suppress": "\"member('staff')\""}
    begin_staff(shop)


def begin_staff(shop: Enrolling) -> None:
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 1}, suppress: {contacts: 100}}"
    shop.segment("staff", "status = 'out'")
    shop.segment("vip", "spend > 10", enroll="welcome", guards="{contacts: 100}")
    marked(shop, 1, 2, 3)
    shop.run("2026-01-01")


@pytest.fixture
def staffed(shelf: Shelf) -> Enrolling:
    """As `vip`, but whoever is in `staff` is suppressed, and it is that segment's guard that is tight."""
    return shelf.take(begin_staffed)


def test_while_a_segment_it_refers_to_is_held_both_are_suppressed(staffed: Enrolling) -> None:
    marked(staffed, 3, 4, spending=(1, 4, 5))
    staffed.run("2026-01-02")
    assert [(hold.kind, hold.name) for hold in staffed.holds()] == [("segment", "staff")], "nothing else is held"
    assert staffed.ledger() == [("1", 1, "suppressed"), ("4", 1, "suppressed"), ("5", 1, "pending")]
    staffed.approve(2, "staff", at="2026-01-02T06:00")
    marked(staffed, 3, 4, spending=(1, 2, 4, 5))
    staffed.run("2026-01-02T12:00")
    assert [(key, outcome) for key, _, outcome in staffed.ledger() if key == "2"] == [("2", "pending")]


def test_a_new_suppression_that_refers_to_a_held_segment_holds_all_delivery(shop: Enrolling) -> None:
    """No accepted set could go on beside the computed one, and that one rests on what nobody has accepted."""
    begin_staff(shop)
    marked(shop, 3, spending=(1, 3))
    shop.further = {"suppress": "\"member('staff')\""}
    shop.run("2026-01-02")
    assert [(hold.name or hold.kind, hold.reasons[0]) for hold in shop.holds()] == [
        ("suppress", "`suppress` is new, and it refers to `staff`, which is held"),
        ("staff", "2 would leave in this run, 66.7% of 3; the guard is at 30% and 1 contacts"),
    ]
    shop.discard(2, "staff", at="2026-01-02T06:00")
    shop.guards = LOOSE
    shop.run("2026-01-03")
    assert shop.holds() == []
    assert shop.ledger() == [("1", 1, "pending"), ("3", 1, "suppressed")]


def test_suppression_can_not_be_approved_without_the_segment_that_it_refers_to(staffed: Enrolling) -> None:
    staffed.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 1}, suppress: {contacts: 1}}"
    marked(staffed, 3)
    staffed.run("2026-01-02")
    assert sorted(hold.kind for hold in staffed.holds()) == ["segment", "suppress"]
    with pytest.raises(DecisionError, match="`suppress` refers to `staff`, which is held too: decide on both"):
        staffed.approve(2, "suppress", at="2026-01-02T06:00")
    staffed.approve(2, at="2026-01-02T06:00")
    assert staffed.holds() == []
