"""ACTIVATION 3 and 4, a sequence guard: it holds enrollments until somebody approves or discards, and nothing else ends it."""

from __future__ import annotations

import pytest

from segmentry.engine.state.holds import pause
from segmentry.errors import DecisionError
from tests.activation.conftest import Enrolling, Shelf
from tests.state.conftest import day

EVERYBODY = range(1, 10)


def begin_vip(shop: Enrolling) -> None:
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 100}, sequence: {contacts: 2}}"
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop)
    shop.run("2026-01-01")


def begin_held(shop: Enrolling) -> None:
    begin_vip(shop)
    spending(shop, 1, 2, 3)
    shop.run("2026-01-02")


@pytest.fixture
def vip(shelf: Shelf) -> Enrolling:
    """Nobody is in `vip`; more than two within 24 hours may not be enrolled in `welcome`."""
    return shelf.take(begin_vip)


@pytest.fixture
def held(shelf: Shelf) -> Enrolling:
    """As `vip`, and run 2 holds the enrollments of 1, 2 and 3."""
    return shelf.take(begin_held)


def spending(shop: Enrolling, *inside: int) -> None:
    """A snapshot in which these spend enough."""
    shop.people({"id": list(EVERYBODY), "spend": [50 if key in inside else 5 for key in EVERYBODY]})


def test_sequence_guard_tripped_held_until_approve(held: Enrolling) -> None:
    assert held.ledger() == [(key, 1, "held") for key in "123"]
    assert held.reasons()["1"] == "the sequence is held by its guard"
    assert held.statuses() == [(2, "welcome", "open")]
    assert held.holds()[0].reasons == ["3 would be enrolled; the guard is at 2 per 24 hours"]
    assert held.state.members("vip").to_list() == [1, 2, 3], "the membership is as usual"
    assert held.since() == dict.fromkeys("123")
    decided = held.approve(2, at="2026-01-05")
    assert decided.run is None, "nothing is accepted that was not accepted before"
    assert decided.released == {"welcome": 3}
    assert held.ledger() == [(key, 1, "pending") for key in "123"]
    assert held.since() == dict.fromkeys("123", day("2026-01-05")), "and `expires` counts from the approval"
    assert held.statuses() == [(2, "welcome", "approved")]


def test_sequence_guard_tripped_then_discarded(held: Enrolling) -> None:
    decided = held.discard(2, "welcome", at="2026-01-02T06:00")
    assert decided.released == {"welcome": 3}
    assert held.ledger() == [(key, 1, "dropped") for key in "123"]
    assert all(row.ended is not None for row in held.outbox().values())
    assert held.statuses() == [(2, "welcome", "discarded")]
    spending(held, 2, 3)
    held.run("2026-01-03")
    spending(held, 1, 2, 3)
    held.run("2026-01-04")
    assert held.skipped() == {"1": "enrolled 2026-01-02"}, "a number is used once it is in the ledger"


def test_entrants_join_while_it_lasts_and_it_never_ends_by_itself(held: Enrolling) -> None:
    spending(held, 1, 2, 3, 4)
    held.run("2026-01-04")
    assert held.statuses() == [(2, "welcome", "open")], "no newer one replaces it"
    assert held.ledger() == [(key, 1, "held") for key in "1234"]
    held.approve(3, "welcome", at="2026-01-04T06:00")
    assert held.ledger() == [(key, 1, "pending") for key in "1234"]


def test_who_leaves_while_it_is_held_is_withdrawn(held: Enrolling) -> None:
    spending(held, 1, 3)
    held.run("2026-01-03")
    assert held.ledger() == [("1", 1, "held"), ("2", 1, "withdrawn"), ("3", 1, "held")]
    held.approve(2, at="2026-01-03T06:00")
    assert held.ledger() == [("1", 1, "pending"), ("2", 1, "withdrawn"), ("3", 1, "pending")]


def test_who_is_suppressed_while_it_is_held_is_not_sent(held: Enrolling) -> None:
    held.further = {"suppress": "id = 2"}
    held.run("2026-01-03")
    held.approve(2, at="2026-01-03T06:00")
    assert held.ledger() == [("1", 1, "pending"), ("2", 1, "suppressed"), ("3", 1, "pending")]


@pytest.mark.parametrize(("when", "outcome"), [("2026-01-02T23:59", "held"), ("2026-01-03T00:01", "pending")])
def test_it_counts_what_was_enrolled_within_24_hours(vip: Enrolling, when: str, outcome: str) -> None:
    spending(vip, 1, 2)
    vip.run("2026-01-02")
    assert vip.ledger() == [("1", 1, "pending"), ("2", 1, "pending")]
    spending(vip, 1, 2, 3)
    vip.run(when)
    assert vip.ledger()[2] == ("3", 1, outcome)
    if outcome == "held":
        assert vip.holds()[0].reasons == ["1 would be enrolled with 2 before within 24 hours; the guard is at 2 per 24 hours"]


def test_it_counts_anew_from_an_approval_on(held: Enrolling) -> None:
    held.approve(2, at="2026-01-02T06:00")
    spending(held, 1, 2, 3, 4, 5)
    held.run("2026-01-02T12:00")
    assert held.ledger()[3:] == [("4", 1, "pending"), ("5", 1, "pending")]
    spending(held, 1, 2, 3, 4, 5, 6)
    held.run("2026-01-02T13:00")
    assert held.ledger()[5:] == [("6", 1, "held")]


def test_another_sequence_goes_on(held: Enrolling) -> None:
    held.sequences = "{welcome: {destination: crm}, hello: {destination: crm}}"
    held.segment("rich", "spend > 10", enroll="hello")
    held.run("2026-01-03")
    spending(held, 1, 2, 3, 4)
    held.run("2026-01-04")
    assert held.ledger("hello") == [("4", 1, "pending")]


def test_an_address_that_comes_while_it_is_held_joins(vip: Enrolling) -> None:
    vip.destinations = "{crm: {type: memory, needs_address: true}}"
    everybody = {"id": [1, 2, 3, 4], "spend": [50, 50, 50, 50]}
    vip.people({**everybody, "email": [None, "b@example.com", "c@example.com", "d@example.com"]})
    vip.run("2026-01-02")
    assert vip.ledger() == [("1", 1, "waiting"), *((key, 1, "held") for key in "234")]
    vip.people({**everybody, "email": ["a@example.com", "b@example.com", "c@example.com", "d@example.com"]})
    vip.run("2026-01-03")
    assert vip.ledger() == [(key, 1, "held") for key in "1234"]


def test_a_sequence_and_a_segment_approved_together(held: Enrolling) -> None:
    """Whoever leaves with what is approved is not sent, though the sequence's rows are released in the same moment."""
    held.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 1}, sequence: {contacts: 2}}"
    spending(held, 3, 4)
    held.run("2026-01-04")
    assert held.statuses() == [(2, "welcome", "open"), (3, "vip", "open")]
    decided = held.approve(3, "vip", "welcome", at="2026-01-04T06:00")
    assert decided.run is not None
    assert held.ledger() == [("1", 1, "withdrawn"), ("2", 1, "withdrawn"), ("3", 1, "pending"), ("4", 1, "pending")]
    assert held.holds() == []


def test_a_sequence_is_no_baseline(held: Enrolling) -> None:
    with pytest.raises(DecisionError, match="`welcome` is a sequence, and only a segment is taken as a baseline"):
        held.approve(2, at="2026-01-02T06:00", baseline=True)
    assert held.ledger() == [(key, 1, "held") for key in "123"]


def test_a_renamed_sequence_stays_held(held: Enrolling) -> None:
    held.sequences = "{hello: {destination: crm, renamed_from: [welcome]}}"
    held.segment("vip", "spend > 10", enroll="hello")
    spending(held, 1, 2, 3, 4)
    held.run("2026-01-03")
    assert held.statuses() == [(2, "hello", "open")]
    assert held.ledger("hello") == [(key, 1, "held") for key in "1234"]


def test_a_renamed_sequence_stays_paused(vip: Enrolling) -> None:
    with vip.state.catalog.writing() as connection:
        pause(connection, "welcome", day("2026-01-01"))
    vip.sequences = "{hello: {destination: crm, renamed_from: [welcome]}}"
    vip.segment("vip", "spend > 10", enroll="hello")
    spending(vip, 1)
    vip.run("2026-01-02")
    assert vip.ledger("hello") == [("1", 1, "paused")]
