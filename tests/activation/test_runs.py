"""ACTIVATION 4, "Runs and deliveries", as far as runs decide. Each test is a row of the table, in its words."""

from __future__ import annotations

import pytest

from segmentry.engine.state import Status
from segmentry.errors import NoState
from tests.activation.conftest import Enrolling, Shelf
from tests.state.conftest import day


def spending(shop: Enrolling, *spends: int) -> None:
    """Contacts 1, 2, 3, ... spend so much."""
    shop.people({"id": list(range(1, len(spends) + 1)), "spend": list(spends)})


def begin_vip(shop: Enrolling) -> None:
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, 50, 5, 5)
    shop.run("2026-01-01")


@pytest.fixture
def vip(shelf: Shelf) -> Enrolling:
    """`vip`, spend over 10, enrolls in `welcome`; 1 is in."""
    return shelf.take(begin_vip)


def test_as_of_before_the_accepted_run(vip: Enrolling) -> None:
    vip.run("2026-01-03")
    spending(vip, 5, 50, 5)
    done = vip.run("2026-01-02", now=day("2026-01-03"))
    assert done.record.status is Status.HISTORICAL
    assert done.consequences is None
    assert vip.ledger() == []
    assert vip.holds() == []
    assert vip.state.members("vip").to_list() == [1]


@pytest.mark.parametrize(("now", "outcome"), [("2026-01-04", "pending"), ("2026-01-04T00:01", "late")])
def test_as_of_over_48_hours_behind_the_clock(vip: Enrolling, now: str, outcome: str) -> None:
    spending(vip, 50, 50, 5)
    done = vip.run("2026-01-02", now=day(now))
    assert done.record.status is Status.ACCEPTED
    assert vip.changes() == [("vip", 2, "entered", "data")]
    assert vip.ledger() == [("2", 1, outcome)]
    if outcome == "late":
        assert vip.reasons() == {"2": "the run was 48 hours behind the clock"}
        assert vip.outbox() == {}
        vip.run("2026-01-04", now=day("2026-01-04T00:01"))
        assert vip.ledger() == [("2", 1, "late")], "nor is it sent by the next run"


def test_activate_within_says_how_far_behind_is_late(vip: Enrolling) -> None:
    vip.further = {"schedule": "{activate_within: 7 days}"}
    spending(vip, 50, 50, 5)
    vip.run("2026-01-02", now=day("2026-01-09"))
    assert vip.ledger() == [("2", 1, "pending")]


def test_a_late_run_defers_a_backfill(vip: Enrolling) -> None:
    vip.segment("rich", "spend > 10", enroll="{sequence: welcome, backfill: true}")
    vip.run("2026-01-02", now=day("2026-01-05"))
    assert vip.ledger() == []
    assert vip.baseline("rich") == []
    vip.run("2026-01-03T01:00", now=day("2026-01-05"))
    assert vip.ledger() == [("1", 1, "pending")], "it acts at the first run that is in time"


def test_a_late_run_attaches_what_has_no_backfill(vip: Enrolling) -> None:
    vip.segment("rich", "spend > 10", enroll="welcome")
    vip.run("2026-01-02", now=day("2026-01-05"))
    assert vip.baseline("rich") == ["1"]


def test_first_run_with_no_state_unattended(shop: Enrolling) -> None:
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, 50)
    with pytest.raises(NoState, match="--first-run"):
        shop.run("2026-01-01", first_run=False)
    assert not (shop.root / ".segmentry").exists()


def test_environment_with_deliver_false_then_true(vip: Enrolling) -> None:
    vip.deliver = False
    spending(vip, 50, 50, 5)
    vip.run("2026-01-02")
    assert vip.ledger() == [("2", 1, "pending")], "its own ledger goes on, and nothing is sent"
    vip.deliver = True
    spending(vip, 50, 50, 50)
    vip.run("2026-01-03")
    assert vip.ledger() == [("2", 1, "dropped")]
    assert vip.reasons() == {"2": "the environment delivers now: whatever waited from before is dropped"}
    assert vip.baseline("vip") == ["1", "2", "3"], "everything is attached anew"
    assert all(row.ended is not None for row in vip.outbox().values())
    spending(vip, 50, 50, 50, 50)
    vip.run("2026-01-04")
    assert vip.ledger() == [("2", 1, "dropped"), ("4", 1, "pending")]


def test_environment_switched_off_and_on_again(vip: Enrolling) -> None:
    spending(vip, 50, 50, 5)
    vip.run("2026-01-02")
    vip.deliver = False
    vip.run("2026-01-03")
    assert vip.ledger() == [("2", 1, "pending")]
    vip.deliver = True
    vip.run("2026-01-04")
    assert vip.ledger() == [("2", 1, "dropped")]


def test_a_dry_run_writes_nothing(vip: Enrolling) -> None:
    spending(vip, 50, 50, 5)
    done = vip.run("2026-01-02", dry_run=True)
    assert done.consequences is not None
    assert done.consequences.activation is not None
    assert done.consequences.activation.outcomes() == {"welcome": {"pending": 1}}
    assert vip.ledger() == []
    assert [run.id for run in vip.state.runs()] == [1]


def test_a_dry_run_says_what_would_be_held(vip: Enrolling) -> None:
    vip.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 1}}"
    spending(vip, 50, 50, 50)
    done = vip.run("2026-01-02", dry_run=True)
    assert done.consequences is not None
    assert [trip.title for trip in done.consequences.held.trips] == ["segment `vip`"]
    assert vip.holds() == []
