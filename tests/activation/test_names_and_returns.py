"""Names that are used again, sequences that are attached again, addresses that are claimed again: nobody twice, nobody lost."""

from __future__ import annotations

import polars as pl
import pytest
from sqlalchemy import select

from segmentry.engine.state.schema import ENROLLMENTS
from segmentry.errors import ClockError, StateError
from tests.activation.conftest import Enrolling

EVERY_TIME = "{sequence: welcome, again: every time}"


def spending(shop: Enrolling, *spends: int, address: str | None = None) -> None:
    frame = pl.DataFrame({"id": range(1, len(spends) + 1), "spend": spends})
    shop.people(frame if address is None else frame.with_columns(email=pl.lit(address)))


# ---------------------------------------------------------------- names


def test_a_sequence_does_not_get_another_ones_former_name(shop: Enrolling) -> None:
    """Its enrollments would have the ids of the other's: no run could be committed any more."""
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, 5, 5)
    shop.run("2026-01-01")
    spending(shop, 50, 5)
    shop.run("2026-01-02")
    shop.sequences = "{hello: {destination: crm, renamed_from: [welcome]}}"
    shop.segment("vip", "spend > 10", enroll="hello")
    shop.run("2026-01-03")
    shop.sequences = "{hello: {destination: crm}, welcome: {destination: crm}}"
    shop.segment("rich", "spend > 20", enroll="welcome")
    with pytest.raises(StateError, match=r"^sequence `welcome` was renamed to `hello`, .*choose another name.*`renamed_from: \[hello\]`"):
        shop.run("2026-01-04")
    shop.sequences = "{hello: {destination: crm}, greeting: {destination: crm}}"
    shop.segment("rich", "spend > 20", enroll="greeting")
    shop.run("2026-01-04")
    spending(shop, 50, 50)
    shop.run("2026-01-05")
    assert shop.ledger("hello") == [("1", 1, "pending"), ("2", 1, "pending")]
    assert shop.ledger("greeting") == [("2", 1, "pending")]


def test_a_segment_does_not_get_another_ones_former_name(shop: Enrolling) -> None:
    """Else whoever is in the new one would count as a former member of the other, and never be enrolled through it."""
    shop.segment("vip", "spend > 10")
    spending(shop, 50)
    shop.run("2026-01-01")
    shop.remove("vip")
    shop.segment("best", "spend > 10", renamed_from="[vip]")
    shop.run("2026-01-02")
    shop.segment("best", "spend > 10")
    shop.segment("vip", "spend > 100")
    with pytest.raises(StateError, match=r"^segment `vip` was renamed to `best`"):
        shop.run("2026-01-03")
    with pytest.raises(StateError, match=r"^segment `vip` was renamed to `best`"):
        shop.run("2026-01-03", dry_run=True)


def test_a_name_may_be_taken_back_and_its_ids_with_it(shop: Enrolling) -> None:
    shop.segment("vip", "spend > 10", enroll=EVERY_TIME)
    spending(shop, 5, 5)
    shop.run("2026-01-01")
    names = [("hello", "welcome"), ("welcome", "hello")]
    for day, (name, former) in enumerate(names, start=2):
        shop.sequences = f"{{{name}: {{destination: crm, renamed_from: [{former}]}}}}"
        shop.segment("vip", "spend > 10", enroll=EVERY_TIME.replace("welcome", name))
        spending(shop, *(50 if contact < day else 5 for contact in (1, 2)))
        shop.run(f"2026-01-0{day}")
    there_and_back = _ids(shop)
    assert shop.ledger("welcome") == [("1", 1, "pending"), ("2", 1, "pending")]

    other = Enrolling(shop.root.parent / "other", guards=shop.guards)
    other.root.mkdir()
    other.segment("vip", "spend > 10", enroll=EVERY_TIME)
    spending(other, 5, 5)
    other.run("2026-01-01")
    spending(other, 50, 50)
    other.run("2026-01-02")
    assert there_and_back == _ids(other)


# ---------------------------------------------------------------- attached again


@pytest.mark.parametrize("again", ["never", "every time", "{after: 1 day}"])
def test_a_backfill_attached_again_enrolls_nobody_again(shop: Enrolling, again: str) -> None:
    enroll = f"{{sequence: welcome, again: {again}, backfill: true}}"
    shop.segment("vip", "spend > 10", enroll=enroll)
    spending(shop, 50, 5)
    shop.run("2026-01-01")
    shop.segment("vip", "spend > 10")
    shop.run("2026-01-03")
    assert shop.ledger() == [("1", 1, "withdrawn")]
    shop.segment("vip", "spend > 10", enroll=enroll)
    spending(shop, 50, 50)
    shop.run("2026-01-05")
    assert shop.ledger() == [("1", 1, "withdrawn"), ("2", 1, "pending")], "staying in never repeats; who came meanwhile is backfilled"


def test_a_switch_to_delivering_and_back_enrolls_nobody_again(shop: Enrolling) -> None:
    shop.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time, backfill: true}")
    spending(shop, 50)
    shop.run("2026-01-01")
    shop.deliver = False
    shop.run("2026-01-02")
    shop.deliver = True
    shop.run("2026-01-03")
    assert shop.ledger() == [("1", 1, "dropped")]


# ---------------------------------------------------------------- one address


def test_whoever_had_an_address_first_keeps_it(shop: Enrolling) -> None:
    """The duplicate, who was never sent anything, does not stand in the way of the one who was."""
    shop.segment("vip", "spend > 10", enroll=EVERY_TIME)
    for day, spends in enumerate([(5, 5), (50, 5), (50, 50), (5, 5), (50, 50)], start=1):
        spending(shop, *spends, address="one@example.com")
        shop.run(f"2026-01-0{day}")
    assert shop.ledger() == [
        ("1", 1, "withdrawn"),
        ("1", 2, "pending"),
        ("2", 1, "duplicate_address"),
        ("2", 2, "duplicate_address"),
    ]


# ---------------------------------------------------------------- merges, clocks


@pytest.mark.parametrize("again", ["never", "every time"])
def test_a_merge_the_other_way_round_leaves_one_person(shop: Enrolling, again: str) -> None:
    """The merge of before is over; else each key would go on under the other, and be the other's duplicate for good."""
    shop.segment("vip", "spend > 10", enroll=f"{{sequence: welcome, again: {again}}}")
    spending(shop, 5, 5, address="one@example.com")
    shop.run("2026-01-01")
    for day, (old, new, spends) in enumerate([(1, 2, (5, 50)), (2, 1, (5, 5)), (2, 1, (50, 5))], start=2):
        pl.DataFrame({"old_key": [old], "new_key": [new]}).write_parquet(shop.root / "aliases.parquet")
        spending(shop, *spends, address="one@example.com")
        shop.run(f"2026-01-0{day}")
    more = [("1", 2, "pending")] if again == "every time" else []
    assert shop.ledger() == [*more, ("2", 1, "withdrawn")]
    assert set(shop.people_of().values()) == {"1"}


def test_an_approval_by_a_clock_that_is_behind_is_refused(shop: Enrolling) -> None:
    """Its enrollments would have expired when the clock is right again."""
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 0, enters: 50%, leaves: 50%}}"
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, 50, 5, 5)
    shop.run("2026-01-01")
    spending(shop, 50, 50, 50)
    shop.run("2026-01-02")
    with pytest.raises(ClockError, match="the clock reads 2025-12-01 00:00 UTC, and the last run began later"):
        shop.approve(2, at="2025-12-01")
    shop.approve(2, at="2026-01-02T01:00")
    assert shop.ledger() == [("2", 1, "pending"), ("3", 1, "pending")]


def _ids(shop: Enrolling) -> dict[str, str]:
    with shop.state.catalog.reading() as connection:
        return {row.contact: row.id for row in connection.execute(select(ENROLLMENTS))}
