"""What is told of a contact's mapped fields, whatever their type: one odd value of one contact must not stop everybody's run."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import polars as pl
import pytest
from sqlalchemy import update

from segmentry.engine.state.schema import DELIVERIES
from tests.activation.conftest import Enrolling

FAR = 99_999_999
"""Days, seconds: beyond the year 9999, as a typing mistake or infinity is."""

LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def days(*values: int) -> pl.Series:
    return pl.Series(values, dtype=pl.Int32).cast(pl.Date)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (days(FAR), None),
        (days(-FAR), None),
        (pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date), None),
        (pl.Series([date(9999, 12, 31)]), "9999-12-31"),
        (pl.Series([date(1, 1, 1)]), "0001-01-01"),
        (pl.Series([2**63 - 1], dtype=pl.Int64).cast(pl.Datetime("us")), None),
        (pl.Series([2**53], dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")), None),
        (pl.Series([LAST], dtype=pl.Datetime("us", "UTC")), "9999-12-31T23:59:59.999999+00:00"),
        (pl.Series([LAST.replace(tzinfo=None)]), "9999-12-31T23:59:59.999999"),
        (pl.Series([-(2**63) + 1], dtype=pl.Int64).cast(pl.Datetime("ns")), "1677-09-21T00:12:43.145224"),
        (pl.Series([[FAR, 3]], dtype=pl.List(pl.Int32)).cast(pl.List(pl.Date)), [None, "1970-01-04"]),
        (pl.Series([[3, FAR]], dtype=pl.Array(pl.Int32, 2)).cast(pl.Array(pl.Date, 2)), ["1970-01-04", None]),
        (pl.DataFrame({"a": days(FAR), "b": ["x"]}).to_struct(), {"a": None, "b": "x"}),
        (pl.Series([[1.5, float("nan"), float("inf")]]), [1.5, None, None]),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), 2**64 - 1),
    ],
    ids=lambda one: str(one.dtype) if isinstance(one, pl.Series) else str(one),  # such a series can't even be shown
)
def test_a_field_is_told_or_is_missing(shop: Enrolling, value: pl.Series, told: object) -> None:
    shop.sequences = "{welcome: {destination: crm, fields: {v: v}}}"
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people(pl.DataFrame({"id": [1], "spend": [5], "v": value}))
    shop.run("2026-01-01")
    shop.people(pl.DataFrame({"id": [1], "spend": [50], "v": value}))
    shop.run("2026-01-02")
    (row,) = shop.outbox().values()
    assert json.loads(row.payload)["fields"] == {"v": told}


@pytest.mark.parametrize("column", ["*", "^v.*$"])
def test_a_column_whose_name_looks_like_a_pattern_is_that_column(shop: Enrolling, column: str) -> None:
    shop.sequences = f"{{welcome: {{destination: crm, fields: {{it: '{column}'}}}}}}"
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [1, 2], "spend": [50, 5], "value": [8, 8], column: [7, 7]})
    shop.run("2026-01-01")
    shop.people({"id": [1, 2], "spend": [50, 50], "value": [8, 8], column: [7, 7]})
    shop.run("2026-01-02")
    (delivery,) = shop.outbox().values()
    assert '"fields":{"it":7}' in delivery.payload


@pytest.mark.parametrize(("attempts", "told"), [(0, ("new@x.example", 2)), (1, ("old@x.example", 1))])
def test_what_waits_is_told_as_it_is_now_unless_it_was_asked_for_already(shop: Enrolling, attempts: int, told: tuple[str, int]) -> None:
    shop.sequences = "{welcome: {destination: crm, fields: {v: v}}}"
    shop.segment("uk", "c = 'UK'", enroll="welcome")
    shop.people({"id": ["a"], "c": ["FR"], "v": [1], "email": ["old@x.example"]})
    shop.run("2026-01-02")
    shop.people({"id": ["a"], "c": ["UK"], "v": [1], "email": ["old@x.example"]})
    shop.run("2026-01-03")
    with shop.state.catalog.writing() as connection:
        connection.execute(update(DELIVERIES).values(attempts=attempts))
    shop.people({"id": ["a"], "c": ["UK"], "v": [2], "email": ["new@x.example"]})
    shop.run("2026-01-04")
    (row,) = shop.outbox().values()
    said = json.loads(row.payload)
    assert (said["address"], said["fields"]["v"]) == told
