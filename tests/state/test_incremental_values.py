"""What runs of few contacts go by: digests that tell any two values apart, and queries for whom the clock has passed."""

from __future__ import annotations

import random
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.state.conftest import Shop, at
from tests.state.drawn import Drawn


def begun(shop: Shop) -> Drawn:
    (shop.root / "segments").mkdir(exist_ok=True)
    return Drawn(shop, random.Random(0))


def later(drawn: Drawn, hours: float = 1) -> None:
    drawn.now += timedelta(hours=hours)
    drawn.run_both()


STRUCT = pl.Struct({"a": pl.Int64(), "b": pl.Int64()})


VALUES = [  # a rule about `{}`, the column's type, and a value before and after
    ("{} >= 0", pl.Int64(), 0, -1),
    ("{} >= 0", pl.Int8(), 0, -1),
    ("{} >= 0", pl.Decimal(20, 2), "0.00", "-0.01"),
    ("{} is set", pl.List(pl.String()), None, []),
    ("{} contains 0", pl.List(pl.Int64()), [1], [0, 1]),
    ("none({}, element = 'vip')", pl.List(pl.String()), None, []),
    ("length({}) = 0", pl.List(pl.String()), [None], []),
    ("length({}) >= 2", pl.List(pl.Int64()), [0], [0, 0]),
    ("any({}, element.b = 0)", pl.List(STRUCT), [{"a": 0, "b": 1}], [{"a": 0, "b": 0}, {"a": 0, "b": 1}]),
    ("{}.a = 3", STRUCT, {"a": 3, "b": 0}, {"a": 0, "b": 0}),
    ("{} > 0", pl.Float64(), float("nan"), None),
]


def test_a_row_with_another_value(shop: Shop) -> None:
    """Most are values that DuckDB's own `hash` does not tell apart. Each of the contacts has another value in one column."""
    drawn = begun(shop)
    for number, (rule, *_) in enumerate(VALUES):
        shop.segment(f"asked{number}", rule.format(f"c{number}"))

    def people(changed: bool) -> pl.DataFrame:
        contacts = range(len(VALUES) + 2)  # of the last two one has every value as before, and one as after

        def values(number: int, before: Any, after: Any) -> list[Any]:
            return [after if (changed and contact == number) or contact == len(VALUES) else before for contact in contacts]

        columns = {f"c{n}": pl.Series(values(n, *pair), dtype=dtype) for n, (_, dtype, *pair) in enumerate(VALUES)}
        return pl.DataFrame({"id": list(contacts), **columns})

    shop.contacts(people(changed=False))
    drawn.run_both()
    shop.contacts(people(changed=True))
    later(drawn)
    assert drawn.parts[-1]["affected"] == len(VALUES) - 1  # a NaN is missing, as a null is


BOUNDED, UNBOUNDED = (pl.Datetime("us"), pl.Datetime("us", "UTC")), (pl.Datetime("ns"), pl.Datetime("ms"), pl.Date())
"""How times are held: so that a bound can be written for what the file has, and otherwise."""
PASSED = ("{} before ago('{} days')", "{} after ago('{} days')", "{} at most ago('{} days')", "{} at least ago('{} days')")


@pytest.mark.parametrize("held", [BOUNDED, UNBOUNDED])
def test_whose_time_the_clock_has_passed(shop: Shop, held: tuple[Any, ...]) -> None:
    """Whatever times are held as, and on which side the edge itself is. Each rule has contacts of its own, whom no other one finds."""
    drawn, moment, tick = begun(shop), at("2026-01-30"), timedelta(microseconds=1)
    asked = [(dtype, rule) for dtype in held for rule in (*PASSED, "{} in the last '{} days'")]
    columns: dict[str, pl.Series] = {}
    for number, (dtype, rule) in enumerate(asked):
        shop.segment(f"asked{number}", rule.format(f"c{number}", number + 1))
        edge = moment - timedelta(days=number + 1)
        near = pl.Series([edge - 2 * tick, edge - tick, edge, edge + tick, edge + timedelta(days=1)], dtype=pl.Datetime("us"))
        around = pl.repeat(None, len(near), dtype=dtype, eager=True)
        columns[f"c{number}"] = pl.concat([*[around] * number, near.cast(dtype), *[around] * (len(asked) - 1 - number)])
    shop.contacts(pl.DataFrame({"id": list(range(len(columns["c0"]))), **columns}))
    for drawn.now in (moment.replace(tzinfo=UTC) + step for step in (-2 * tick, -tick, 0 * tick, tick, timedelta(days=1))):
        drawn.run_both()
    assert len(drawn.parts) == 4


def test_an_event_with_another_value(shop: Shop) -> None:
    drawn = begun(shop)
    shop.contacts({"id": [1, 2, 3]})
    shop.segment("asked", "did(order, amount < 0)")

    def orders(amount: int) -> None:
        shop.event_file("a", {"contact_id": [1, 2], "at": [at("2026-01-02")] * 2, "event": ["order"] * 2, "amount": [amount, 5]})

    orders(0)
    drawn.run_both()
    orders(-1)
    later(drawn)
    assert drawn.parts


@pytest.mark.parametrize(
    ("before", "after", "amount", "then"),
    [(pl.Decimal(12, 2), pl.Decimal(14, 4), "1.50", "0.0150"), (pl.Int32(), pl.Decimal(12, 2), "150", "1.50")],
)
def test_an_event_with_the_same_digits_of_another_scale(shop: Shop, before: Any, after: Any, amount: str, then: str) -> None:
    """The first file is kept while another one makes the column a decimal of a larger scale, and is written again later."""
    drawn = begun(shop)
    shop.contacts({"id": [1, 2, 3]})

    def orders(name: str, contact: int, amount: str, dtype: Any) -> None:
        rows = {"contact_id": [contact], "at": [at("2026-01-28")], "event": ["order"]}
        shop.event_file(name, pl.DataFrame({**rows, "amount": pl.Series([Decimal(amount)], dtype=pl.Decimal(20, 4)).cast(dtype)}))

    shop.segment("asked", "sum(order.amount) < 1")
    orders("a", 1, amount, before)
    drawn.run_both()
    orders("b", 2, "2", after)
    shop.segment("asked", "sum(order.amount) > 1.0 and sum(order.amount) < 100.0")
    later(drawn)
    later(drawn)
    orders("a", 1, then, after)
    later(drawn)
    assert len(drawn.parts) == 2


def test_keys_narrower_than_those_of_who_is_gone(shop: Shop) -> None:
    drawn = begun(shop)
    rows = {"id": [1, 2, 3, 4, 5_000_000_000], "spend": [1, 2, 3, 4, 5]}
    shop.segment("asked", "did(order, last => '3 days') and spend > 1")
    shop.segment("first", "top(1, by => count(order))")
    frame = pl.DataFrame(rows)

    def orders(*keys: int) -> None:
        shop.event_file("a", {"contact_id": list(keys), "at": [at("2026-01-29")] * len(keys), "event": ["order"] * len(keys)})

    orders(2)
    shop.contacts(frame)
    drawn.run_both()
    shop.contacts(frame.head(4).cast({"id": pl.Int32()}))
    later(drawn)
    orders(2, 3)
    later(drawn)
    shop.contacts(frame.head(4).cast({"id": pl.Int32()}).with_columns(spend=pl.lit(0)))
    later(drawn)
    assert drawn.parts


def test_two_events_of_a_contact_that_are_exchanged(shop: Shop) -> None:
    """DuckDB's `hash` alone lays the last value over the others: then one pair of instants in 2**22, as this one, adds up to the same."""
    drawn = begun(shop)
    shop.contacts({"id": [1, 2, 3]})
    shop.segment("asked", "did(order, since => '2026-01-01 00:20')")

    def happened(first: str, second: str) -> None:
        instants = [at("2026-01-01T00:01:25"), at("2026-01-01T00:35:08")]
        shop.event_file("a", {"contact_id": [1, 1], "at": instants, "event": [first, second]})

    happened("order", "visit")
    drawn.run_both()
    happened("visit", "order")
    later(drawn)
    assert drawn.parts


@pytest.mark.parametrize(
    "rule",
    [
        "sequence(did(visit), did(order, amount = visit.amount), last => '2 days')",
        "sequence(did(visit, until => ago('1 day')), not did(order, amount = visit.amount, since => ago('1 day')))",
        "sequence(did(visit, last => '2 days'), did(order, amount = visit.amount, last => '1 day'))",
    ],
)
def test_a_step_that_asks_a_former_one(shop: Shop, rule: str) -> None:
    """Nothing changes but the clock."""
    drawn = begun(shop)
    shop.contacts({"id": [1, 2, 3]})
    shop.segment("asked", rule)
    shop.segment("other", "did(visit, last => '2 days')")
    instants = [at("2026-01-28T12:00"), at("2026-01-29T20:00")]
    shop.event_file("a", {"contact_id": [1, 1], "at": instants, "event": ["visit", "order"], "amount": [5, 5]})
    drawn.run_both()
    later(drawn)
    later(drawn, 24)
    assert len(drawn.parts) == 2
