"""Retention beside holds and the outbox: what was held goes once that has ended, addresses go in their own time, nothing needed goes."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from segmentry.engine.deliveries import settle
from segmentry.engine.state.lease import hold
from segmentry.engine.state.retention import Removed, unlist_old
from tests.activation.conftest import Enrolling
from tests.state.conftest import ID, day

GUARDED = "{snapshot: {shrinks: 100%}, segment: {enters: 10%, contacts: 2}}"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 2 enrolls one; run 3 holds three of `vip`; run 4 holds them again, with one more."""
    shop = Enrolling(tmp_path_factory.mktemp("shop") / "shop", guards=GUARDED)
    shop.root.mkdir()
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.segment("all", "spend > 0")
    for at, spend in (
        ("2026-01-01", [50, 5, 5, 5, 5, 5]),
        ("2026-01-02", [50, 50, 5, 5, 5, 5]),
        ("2026-01-03", [50, 50, 50, 50, 50, 5]),
        ("2026-01-04", [50, 50, 50, 50, 50, 50]),
    ):
        shop.people({"id": [1, 2, 3, 4, 5, 6], "spend": spend})
        shop.run(at)
    return shop.root


@pytest.fixture
def shop(template: Path, tmp_path: Path) -> Enrolling:
    shutil.copytree(template, tmp_path / "shop")
    return Enrolling(tmp_path / "shop", guards=GUARDED)


def held_files(shop: Enrolling) -> list[str]:
    return sorted(path.parent.name for path in (shop.root / ".segmentry/default/runs").glob("*/held.parquet"))


def swept(shop: Enrolling, before: str, addresses: str | None = None) -> Removed:
    state = shop.state
    with hold(state.catalog, ID, "default") as lease:
        return unlist_old(state.catalog, lease, day(before), None if addresses is None else day(addresses))


def test_what_was_held_goes_once_its_hold_has_ended_for_long_enough(shop: Enrolling) -> None:
    assert [(one.run, one.status) for one in shop.holds(None)] == [(3, "superseded"), (4, "open")]
    assert held_files(shop) == ["3", "4"]
    shop.state.gc(timedelta(days=30), day("2026-02-02"))
    assert held_files(shop) == ["3", "4"]
    shop.state.gc(timedelta(days=30), day("2026-02-04"))
    assert held_files(shop) == ["4"]
    assert [one.changes_file is None for one in shop.holds(None)] == [True, False]


def test_an_open_hold_can_be_approved_however_old_it_is(shop: Enrolling) -> None:
    shop.state.gc(timedelta(days=0), day("2026-06-01"))
    assert shop.state.run(4).complete
    decided = shop.approve(4, at="2026-06-01")
    assert decided.changes is not None
    assert decided.changes["contact"].to_list() == [3, 4, 5, 6]
    assert [contact for contact, _, _ in shop.ledger()] == ["2", "3", "4", "5", "6"]


def test_a_segment_that_a_guard_holds_is_still_compared_with_its_accepted_membership(shop: Enrolling) -> None:
    shop.state.gc(timedelta(days=0), day("2026-06-01"))
    shop.people({"id": [1, 2, 3, 4, 5, 6], "spend": [50, 50, 50, 5, 5, 5]})
    shop.further = {"schedule": "{every: 60 days}"}
    run = shop.run("2026-05-30")
    assert [row[:3] for row in shop.changes(run.record.id)] == [("vip", 3, "entered")]
    assert shop.holds() == []


def test_why_nobody_was_enrolled_stays(shop: Enrolling) -> None:
    shop.people({"id": [1, 2, 3, 4, 5, 6], "spend": [50, 5, 5, 5, 5, 5]})
    shop.run("2026-01-05")
    shop.people({"id": [1, 2, 3, 4, 5, 6], "spend": [50, 50, 5, 5, 5, 5]})
    run = shop.run("2026-01-06").record.id
    shop.run("2026-01-07")
    shop.state.gc(timedelta(days=0), day("2026-06-01"))
    assert not shop.state.run(run).complete
    assert shop.skipped(run) == {"2": "enrolled 2026-01-02"}


def test_addresses_go_in_their_own_time_counted_from_the_end(shop: Enrolling) -> None:
    (row,) = shop.outbox().values()
    assert swept(shop, "2026-01-01", addresses="2026-06-01").addresses == 0
    settle(shop.state, "drop", [row.id], day("2026-01-10"))
    assert swept(shop, "2026-06-01").addresses == 0
    assert swept(shop, "2026-01-01", addresses="2026-01-10").addresses == 0
    assert "c2@example.com" in shop.outbox()[row.id].payload
    assert swept(shop, "2026-01-01", addresses="2026-01-10T00:00:01").addresses == 1
    assert shop.outbox()[row.id].payload is None
    assert shop.ledger() == [("2", 1, "dropped")]
