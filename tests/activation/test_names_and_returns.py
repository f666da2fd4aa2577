"""Names that are used again, sequences that are attached again, addresses that are claimed again: nobody twice, nobody lost."""

from __future__ import annotations

import polars as pl
import pytest
from sqlalchemy import select

from segmentry.engine.state.schema import ENROLLMENTS
from segmentry.errors import StateError
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


def _ids(shop: Enrolling) -> dict[str, str]:
    with shop.state.catalog.reading() as connection:
        return {row.contact: row.id for row in connection.execute(select(ENROLLMENTS))}
