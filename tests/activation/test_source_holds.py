"""ACTIVATION 3 and 4, a whole run that is held: by its snapshot, by its age, by a gap, by a ledger that knows more than the catalog."""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime, timedelta

import polars as pl
import pytest

from segmentry.engine.state import Status
from segmentry.errors import DecisionError
from tests.activation.conftest import Enrolling, Shelf
from tests.state.conftest import day


def begin_vip(shop: Enrolling) -> None:
    shop.guards = "{snapshot: {shrinks: 10%}}"
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.segment("all", "spend > 0")
    spending(shop, dict.fromkeys(range(1, 11), 5))
    shop.run("2026-01-01")


@pytest.fixture
def vip(shelf: Shelf) -> Enrolling:
    """Ten contacts, none of them in `vip`; more than one may not go."""
    return shelf.take(begin_vip)


def spending(shop: Enrolling, spend: dict[int, int]) -> None:
    shop.people({"id": list(spend), "spend": list(spend.values())})


def halve(shop: Enrolling) -> None:
    """Half of the snapshot, and one of them would enter."""
    spending(shop, {**dict.fromkeys(range(1, 6), 5), 3: 50})


def written(shop: Enrolling, when: datetime) -> None:
    """The snapshot was written then."""
    os.utime(shop.root / "contacts.parquet", (when.timestamp(), when.timestamp()))


def reason(shop: Enrolling) -> str:
    """Why the run is held, for the one reason that there is."""
    [hold] = shop.holds()
    assert (hold.kind, hold.name) == ("source", "")
    [told] = hold.reasons
    return told


# ---------------------------------------------------------------- source or gap guard


def test_source_guard_nobody_is_enrolled_and_nothing_accepted(vip: Enrolling) -> None:
    halve(vip)
    done = vip.run("2026-01-02")
    assert done.record.status is Status.HELD
    assert reason(vip).startswith("the snapshot has 5 contacts, and the accepted run had 10: 5 fewer, 50.0% of 10; the guard is at 10%")
    accepted = vip.state.accepted()
    assert accepted is not None
    assert accepted.id == 1
    assert vip.state.members("all").to_list() == list(range(1, 11))
    assert vip.ledger() == []
    assert vip.state.history("vip").height == 0


def test_source_guard_next_run_within_limits(vip: Enrolling) -> None:
    halve(vip)
    vip.run("2026-01-02")
    spending(vip, {**dict.fromkeys(range(1, 10), 5), 3: 50})
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "source", "ended")]
    assert vip.changes() == [("all", 10, "exited", "source"), ("vip", 3, "entered", "data")], "compared with the accepted run"
    assert vip.ledger() == [("3", 1, "pending")]


def test_source_guard_next_run_still_over(vip: Enrolling) -> None:
    halve(vip)
    vip.run("2026-01-02")
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "source", "superseded"), (3, "source", "open")]
    with pytest.raises(DecisionError, match="run 2's hold on the run is superseded by run 3: decide on that one"):
        vip.approve(2, at="2026-01-03T01:00")


def test_source_guard_a_run_in_between_is_not_historical(vip: Enrolling) -> None:
    halve(vip)
    vip.run("2026-01-03")
    done = vip.run("2026-01-02", now=day("2026-01-03"))
    assert done.record.status is Status.HELD, "the accepted run is older than both"


def test_open_rows_stay_while_the_run_is_held(vip: Enrolling) -> None:
    spending(vip, {**dict.fromkeys(range(1, 11), 5), 10: 50})
    vip.run("2026-01-02")
    halve(vip)
    vip.run("2026-01-03")
    assert vip.ledger() == [("10", 1, "pending")]


# ---------------------------------------------------------------- approve and discard


def test_approve_accepts_all_with_the_enrollments(vip: Enrolling) -> None:
    halve(vip)
    vip.run("2026-01-02")
    decided = vip.approve(2, at="2026-01-02T06:00")
    assert decided.run is not None
    assert decided.run.decision == {"what": "approve", "run": 2, "names": []}
    assert decided.run.status is Status.ACCEPTED
    assert vip.state.members("all").to_list() == [1, 2, 3, 4, 5]
    assert [row for row in vip.changes() if row[0] == "vip"] == [("vip", 3, "entered", "data")]
    figures = vip.state.run().segments["all"]
    assert (figures.size, figures.exited) == (5, 5)
    assert vip.ledger() == [("3", 1, "pending")]
    vip.run("2026-01-02T12:00")
    assert vip.changes() == [], "the next run compares with it, and finds nothing new"
    assert vip.holds() == []


def test_approve_of_a_whole_run_begins_the_24_hours_anew(vip: Enrolling) -> None:
    vip.guards = "{snapshot: {shrinks: 10%}, segment: {contacts: 1, enters: 10%}}"
    vip.segment("vip", "spend > 10", enroll="welcome")
    spending(vip, {1: 50, 2: 50, 3: 50})
    vip.run("2026-01-02")
    vip.approve(2, at="2026-01-02T06:00")
    spending(vip, {1: 50, 2: 50, 3: 50, 4: 50})
    vip.run("2026-01-02T12:00")
    assert vip.holds() == []


def test_approve_as_baseline_enrolls_nobody(vip: Enrolling) -> None:
    halve(vip)
    vip.run("2026-01-02")
    vip.approve(2, at="2026-01-02T06:00", baseline=True)
    assert vip.ledger() == []
    assert vip.baseline("vip") == ["3"]
    assert vip.state.members("vip").to_list() == [3]


def test_approve_takes_merges_and_renames_with_it(vip: Enrolling) -> None:
    spending(vip, {**dict.fromkeys(range(1, 11), 5), 1: 50})
    vip.run("2026-01-02")
    pl.DataFrame({"old_key": [1], "new_key": [20]}).write_parquet(vip.root / "aliases.parquet")
    vip.remove("vip")
    vip.segment("best", "spend > 10", enroll="welcome", renamed_from="[vip]")
    spending(vip, {20: 50, 2: 5})
    vip.run("2026-01-03")
    assert vip.people_of() == {"1": "1"}
    vip.approve(3, at="2026-01-03T06:00")
    assert [row for row in vip.changes() if row[0] == "best"] == []
    assert vip.people_of() == {"1": "20"}
    assert vip.ledger() == [("1", 1, "pending")], "it goes on under the surviving key"
    assert vip.state.segments()["best"].first_run == 1
    vip.run("2026-01-03T12:00")
    assert vip.changes() == []


def test_approve_of_a_whole_run_ends_older_holds(vip: Enrolling) -> None:
    vip.guards = "{snapshot: {shrinks: 10%}, segment: {contacts: 1, enters: 10%}}"
    spending(vip, {**dict.fromkeys(range(1, 11), 5), 1: 50, 2: 50})
    vip.run("2026-01-02")
    halve(vip)
    vip.run("2026-01-03")
    assert vip.statuses() == [(2, "vip", "open"), (3, "source", "open")]
    vip.approve(3, at="2026-01-03T06:00")
    assert vip.statuses() == [(2, "vip", "superseded"), (3, "source", "approved")]
    with pytest.raises(DecisionError, match=re.escape("run 2's hold on `vip` is superseded by run 4, which was accepted")):
        vip.approve(2, at="2026-01-03T07:00")
    vip.run("2026-01-03T12:00")
    assert vip.changes() == []


def test_approve_of_a_whole_run_after_a_part_of_what_it_was_compared_with_is_refused(vip: Enrolling) -> None:
    vip.guards = "{snapshot: {shrinks: 10%}, segment: {contacts: 1, enters: 10%}}"
    spending(vip, {**dict.fromkeys(range(1, 11), 5), 1: 50, 2: 50})
    vip.run("2026-01-02")
    halve(vip)
    vip.run("2026-01-03")
    vip.approve(2, at="2026-01-03T06:00")
    assert vip.state.members("vip").to_list() == [1, 2]
    words = "run 3 was compared with what was accepted before run 4: recompute, and decide on what that run shows"
    with pytest.raises(DecisionError, match=f"^{words}$"):
        vip.approve(3, at="2026-01-03T07:00")


def test_approve_after_any_rule_was_edited_is_refused(vip: Enrolling) -> None:
    halve(vip)
    vip.run("2026-01-02")
    vip.segment("all", "spend > 1")
    with pytest.raises(DecisionError, match="`all` was edited since run 2"):
        vip.approve(2, at="2026-01-02T06:00")


def test_discard_leaves_nothing(vip: Enrolling) -> None:
    halve(vip)
    vip.run("2026-01-02")
    vip.discard(2, at="2026-01-02T06:00")
    assert vip.statuses() == [(2, "source", "discarded")]
    spending(vip, {**dict.fromkeys(range(1, 11), 5), 3: 50})
    vip.run("2026-01-03")
    assert vip.changes() == [("vip", 3, "entered", "data")]


# ---------------------------------------------------------------- age


@pytest.mark.parametrize(("hours", "held"), [(48, False), (49, True)])
def test_older_than_compares_with_the_newest_files_time(vip: Enrolling, hours: int, held: bool) -> None:
    now = day("2026-01-03")
    written(vip, now - timedelta(hours=hours))
    vip.run(now)
    assert bool(vip.holds()) is held
    if held:
        assert reason(vip).startswith("the snapshot is of 2025-12-31 23:00 UTC, 49 hours before the run; the guard is at 48 hours")


@pytest.mark.parametrize(("as_of", "held"), [("2026-01-04T05:00", False), ("2026-01-04T05:01", True)])
def test_older_than_compares_with_the_date_in_the_path(shop: Enrolling, as_of: str, held: bool) -> None:
    """Its first instant in the workspace's timezone; when the file was written is no matter."""
    shop.zone, shop.path = "America/New_York", "contacts-{date}.parquet"
    shop.segment("vip", "spend > 10")
    shop.people({"id": [1], "spend": [5]})
    shutil.move(shop.root / "contacts.parquet", shop.root / "contacts-2026-01-02.parquet")
    shop.run("2026-01-03")
    shop.run(as_of)
    assert bool(shop.holds()) is held
    if held:
        assert reason(shop).startswith("the snapshot is of 2026-01-02 05:00 UTC, 48 hours before the run")


@pytest.mark.parametrize(
    ("schedule", "as_of", "held"),
    [
        (None, "2026-01-04T00:01", True),
        ("every: 48 hours", "2026-01-07", False),
        ("every: 48 hours", "2026-01-07T00:01", True),
        ("cron: 0 0 * * THU", "2026-01-22", False),
        ("cron: 0 0 * * THU", "2026-01-22T00:01", True),
    ],
)
def test_gap_since_the_accepted_run(vip: Enrolling, schedule: str | None, as_of: str, held: bool) -> None:
    if schedule is not None:
        vip.further = {"schedule": f"{{{schedule}}}"}
    vip.run(as_of)
    assert bool(vip.holds()) is held
    if held:
        assert reason(vip).startswith("the accepted run is of 2026-01-01 00:00 UTC")


def test_where_nothing_is_sent_age_is_no_matter_and_shrinking_is(vip: Enrolling) -> None:
    vip.deliver = False
    written(vip, day("2025-06-01"))
    vip.run("2026-06-01")
    assert vip.holds() == []
    halve(vip)
    vip.run("2026-06-02")
    assert reason(vip).startswith("the snapshot has 5 contacts")


# ---------------------------------------------------------------- restored backup


def test_ledger_files_that_the_catalog_does_not_know_hold_the_run(vip: Enrolling) -> None:
    spending(vip, {**dict.fromkeys(range(1, 11), 5), 1: 50})
    vip.run("2026-01-02")
    enrollments = vip.state.folder / "enrollments"
    shutil.copy(enrollments / "2.parquet", enrollments / "7.parquet")
    spending(vip, {**dict.fromkeys(range(1, 11), 5), 1: 50, 2: 50})
    done = vip.run("2026-01-03")
    assert done.record.status is Status.HELD
    assert reason(vip) == (
        "the ledger has files that the catalog does not know (7.parquet): an older catalog was restored; `segmentry recover` reads them"
    )
    assert vip.ledger() == [("1", 1, "pending")]


def test_ledger_files_hold_the_first_run_of_a_new_catalog_too(vip: Enrolling) -> None:
    """Else a lost catalog would take everybody as new, and a backfill would enroll them all again."""
    spending(vip, {**dict.fromkeys(range(1, 11), 5), 1: 50})
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, backfill: true}")
    vip.run("2026-01-02")
    kept = (vip.state.folder / "enrollments" / "2.parquet").read_bytes()
    shutil.rmtree(vip.state.folder)
    vip.__dict__.pop("state")
    vip.run("2026-01-03", first_run=True)
    assert len(vip.ledger()) == 1
    shutil.rmtree(vip.state.folder)
    vip.__dict__.pop("state")
    enrollments = vip.root / ".segmentry" / "default" / "enrollments"
    enrollments.mkdir(parents=True)
    (enrollments / "2.parquet").write_bytes(kept)
    done = vip.run("2026-01-03", first_run=True)
    assert done.record.status is Status.HELD
    assert vip.ledger() == []


def test_a_run_that_is_held_as_a_whole_says_what_else_would_be(shop: Enrolling) -> None:
    shop.guards = "{snapshot: {shrinks: 10%}, segment: {contacts: 1}, suppress: {contacts: 1}}"
    shop.further["suppress"] = '"spend < 0"'
    shop.segment("vip", "spend > 10")
    shop.people({"id": list(range(10)), "spend": [50] * 4 + [-1] * 6})
    shop.run("2026-01-01")
    shop.people({"id": list(range(4)), "spend": [5] * 4})
    shop.run("2026-01-02")
    (hold,) = shop.holds()
    assert hold.kind == "source"
    assert [reason.split(":")[0] for reason in hold.reasons[1:]] == ["all delivery is held", "segment `vip` is held"]
    assert "6 would be suppressed no more" in hold.reasons[1]
