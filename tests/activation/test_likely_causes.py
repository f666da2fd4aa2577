"""What a segment's guard says of the likely cause, so that whoever is woken by it knows where to look."""

from __future__ import annotations

import polars as pl
import pytest

from tests.activation.conftest import Enrolling, Shelf
from tests.state.conftest import at

EVERYBODY = list(range(1, 11))


def begin_half(shop: Enrolling) -> None:
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 1, enters: 10%, leaves: 10%}}"
    shop.segment("vip", "spend > 10 and joined before ago('10 days')")
    shop.list("by_hand.csv", 6)
    shop.segment("chosen", "spend > 100", include="by_hand.csv")
    snapshot(shop)
    shop.run("2026-01-01")


@pytest.fixture
def half(shelf: Shelf) -> Enrolling:
    """Ten contacts; the first five of them are in `vip`, the sixth in `chosen` by a list."""
    return shelf.take(begin_half)


def snapshot(shop: Enrolling, spend: list[int | None] | None = None, keys: list[int] = EVERYBODY) -> None:
    joined = [at("2025-12-23") if key > 5 else at("2025-01-01") for key in keys]
    rows = {"id": keys, "spend": spend or [50] * len(keys), "joined": joined}
    shop.people(pl.DataFrame(rows, schema_overrides={"spend": pl.Int64()}))


def told(shop: Enrolling, segment: str = "vip") -> list[str]:
    """All that the segment's hold says."""
    return next(hold.reasons for hold in shop.holds() if hold.name == segment)


def test_a_column_went_null(half: Enrolling) -> None:
    snapshot(half, [None] * 9 + [50])
    half.run("2026-01-01T12:00")
    assert told(half) == [
        "5 would leave in this run, 100.0% of 5; the guard is at 10% and 1 contacts",
        "likely cause: column `spend` is missing for 90% of contacts: an upstream column may have gone null",
    ]


def test_half_a_file(half: Enrolling) -> None:
    snapshot(half, keys=[1, 2, 6])
    half.run("2026-01-01T12:00")
    assert told(half) == [
        "3 would leave in this run, 60.0% of 5; the guard is at 10% and 1 contacts",
        (
            "likely cause: contacts came or went with the snapshot: 10 contacts before, 3 now (100% of the changes);"
            " a file may be half, or missing"
        ),
    ]


def test_an_edited_rule(half: Enrolling) -> None:
    half.segment("vip", "spend > 10")
    half.run("2026-01-01T12:00")
    assert told(half) == [
        "5 would enter in this run, 100.0% of 5; the guard is at 10% and 1 contacts",
        "likely cause: a rule was edited (100% of the changes are for the rule)",
    ]


def test_a_static_list(half: Enrolling) -> None:
    half.list("by_hand.csv", 6, 7, 8)
    half.run("2026-01-01T12:00")
    assert told(half, "chosen") == [
        "2 would enter in this run, 200.0% of 1; the guard is at 10% and 1 contacts",
        "likely cause: a static list was edited (100% of the changes are for a list)",
    ]


def test_time(half: Enrolling) -> None:
    half.run("2026-01-03")
    assert told(half) == [
        "5 would enter in this run, 100.0% of 5; the guard is at 10% and 1 contacts",
        "likely cause: time passed, and nothing else changed for 100% of the changes",
    ]


def test_rows_that_changed(half: Enrolling) -> None:
    snapshot(half, [5, 5, 5] + [50] * 7)
    half.run("2026-01-01T12:00")
    assert told(half)[1:] == ["likely cause: rows or events changed (100% of the changes)"]


def test_a_segment_that_it_refers_to(half: Enrolling) -> None:
    half.segment("asked", "member('vip')")
    half.run("2026-01-01T01:00")
    half.segment("vip", "spend > 10", guards="{contacts: 100}")
    half.run("2026-01-01T12:00")
    assert told(half, "asked")[1:] == ["likely cause: a rule was edited (100% of the changes are for the rule, through `vip`)"]


def test_the_former_share_of_a_column_is_told_where_the_former_file_is_there(shop: Enrolling) -> None:
    shop.path = "contacts-{date}.parquet"
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {contacts: 1}}"
    shop.segment("vip", "spend > 10")
    snapshot(shop, [50] * 8 + [None, None])
    (shop.root / "contacts.parquet").rename(shop.root / "contacts-2026-01-01.parquet")
    shop.run("2026-01-01")
    snapshot(shop, [50] * 3 + [None] * 7)
    (shop.root / "contacts.parquet").rename(shop.root / "contacts-2026-01-02.parquet")
    shop.run("2026-01-02")
    assert told(shop)[1:] == [
        ("likely cause: column `spend` is missing for 70% of contacts, and was for 20%: an upstream column may have gone null")
    ]
