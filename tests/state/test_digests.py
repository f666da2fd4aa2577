"""What differs between two runs, told by digests: rows as they are widened, and events in whatever files they come."""

from __future__ import annotations

import polars as pl
import pytest

from segmentry.engine import dense
from tests.state import conftest
from tests.state.conftest import Shop, at

DAY = at("2026-01-01")
RECENT = "did(order, last => '3 days')"


def brief(run) -> list[tuple[object, ...]]:
    """contact, change, cause"""
    return [(contact, change, cause) for _, contact, change, cause, _ in run.changes().rows()]


def orders(*contacts: int, **columns: list[object]) -> dict[str, list[object]]:
    return {"contact_id": list(contacts), "at": [DAY] * len(contacts), "event": ["order"] * len(contacts), **columns}


@pytest.fixture(autouse=True, params=["groups", "arrays"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of event files as a table of groups, as they are of small files, and in arrays, as they are of large ones."""
    if request.param == "arrays":
        monkeypatch.setattr(dense, "FEWEST_ROWS", 0)
        monkeypatch.setattr(dense, "FEWEST_CONTACTS", 0)
        monkeypatch.setattr(dense, "ROWS_PER_CONTACT", 0)


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.contacts({"id": [1, 2]})
    return shop


def test_events_that_were_there_before_their_contact_are_not_new_when_their_file_is_written_anew(shop: Shop) -> None:
    shop.event_file("a", orders(1, 3))
    shop.segment("recent", RECENT)
    shop.run("2026-01-02")
    shop.contacts({"id": [1, 2, 3]})
    assert brief(shop.run("2026-01-02T01:00")) == [(3, "entered", "source")]
    shop.event_file("b", orders(3, 1))
    (shop.root / "events" / "a.parquet").unlink()
    assert brief(shop.run("2026-01-20")) == [(1, "exited", "time"), (3, "exited", "time")]


@pytest.mark.parametrize("forgotten", [True, False])
def test_nor_are_those_of_a_contact_that_comes_back(shop: Shop, *, forgotten: bool) -> None:
    shop.event_file("a", orders(1, 2))
    shop.segment("recent", RECENT)
    shop.run("2026-01-02")
    if forgotten:
        shop.state.forget([2], conftest.day("2026-01-02"))
    else:
        shop.contacts({"id": [1]})
        shop.event_file("b", orders(1))
        shop.run("2026-01-02T00:30")
        shop.contacts({"id": [1, 2]})
    assert brief(shop.run("2026-01-02T01:00")) == [(2, "entered", "source")]
    shop.event_file("a", orders(2, 1))
    assert brief(shop.run("2026-01-20")) == [(1, "exited", "time"), (2, "exited", "time")]


def test_files_of_one_table_need_not_have_the_same_columns(shop: Shop) -> None:
    shop.event_file("a", orders(1, 2))
    shop.event_file("b", orders(1, 2, amount=[5, 6]))
    shop.segment("spent", "sum(order.amount, last => '3 days') > 5")
    assert brief(shop.run("2026-01-02")) == [(2, "entered", "rule")]
    for name in "ab":
        (shop.root / "events" / f"{name}.parquet").unlink()
    shop.event_file("c", orders(1, 2, 1, 2, amount=[None, None, 5, 6]))
    assert brief(shop.run("2026-01-20")) == [(2, "exited", "time")]


@pytest.mark.parametrize("second", ["events/a.parquet", "more/*.parquet"])
def test_two_tables_may_have_the_same_columns_and_even_the_same_file(shop: Shop, monkeypatch: pytest.MonkeyPatch, second: str) -> None:
    table = f'  - {{path: "{second}", contact: contact_id, at: at, name: event}}\n'
    monkeypatch.setattr(conftest, "EVENTS", conftest.EVENTS + table)
    (shop.root / "more").mkdir()
    pl.DataFrame(orders(1, weight=[3])).write_parquet(shop.root / "more" / "a.parquet")
    shop.event_file("a", orders(1, 2))
    shop.segment("twice", "count(order, last => '3 days') >= 2")
    shop.segment("heavy", "sum(order.weight) > 2" if "more" in second else "false")
    run = shop.run("2026-01-02")
    assert run.changes().filter(pl.col("segment") == "twice")["contact"].to_list() == ([1] if "more" in second else [1, 2])
    assert set(brief(shop.run("2026-01-20"))) == {(contact, "exited", "time") for contact in ([1] if "more" in second else [1, 2])}


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [(pl.Int16, pl.Int64), (pl.UInt8, pl.Int32)],
    ids=["signed", "unsigned"],
)
def test_an_integer_that_is_stored_wider_is_no_other_number(shop: Shop, narrow: pl.DataType, wide: pl.DataType) -> None:
    first = 7 if narrow == pl.UInt8 else -7
    days = {"id": [1, 2, 3], "joined": [DAY] * 3}
    shop.contacts(pl.DataFrame({**days, "spend": pl.Series([first, 2, 3]).cast(narrow)}))
    shop.event_file("a", pl.DataFrame({**orders(1, 2, 3), "amount": pl.Series([first, 2, 3]).cast(narrow)}))
    shop.segment("recent", "joined in the last '3 days' and spend < 50 and sum(order.amount) < 50")
    shop.run("2026-01-02")
    shop.contacts(pl.DataFrame({**days, "spend": pl.Series([first, 2, 4]).cast(wide)}))
    shop.event_file("a", pl.DataFrame({**orders(1, 2, 3), "amount": pl.Series([first, 2, 3]).cast(wide)}))
    assert brief(shop.run("2026-01-20")) == [(1, "exited", "time"), (2, "exited", "time"), (3, "exited", "data")]


@pytest.mark.parametrize("named", [{}, {"file_index": [7, 7]}, {"File_Index": [7, 7]}, {"filename": ["x", "x"]}], ids=str)
def test_each_file_has_its_own_contacts_events_whatever_its_columns_are_called(shop: Shop, named: dict[str, list[object]]) -> None:
    shop.segment("recent", RECENT)
    for name in ("b", "c", "a"):
        shop.event_file(name, orders(1, 2, **named))
    shop.run("2026-01-02")
    shop.event_file("b", orders(1, 2, **named))  # the same rows
    shop.event_file("a", {**orders(1, 2, **named), "at": [DAY, at("2025-12-31")]})
    assert brief(shop.run("2026-01-20")) == [(1, "exited", "time"), (2, "exited", "data")]
