"""A sum of floats keeps the places that its source says (`scale:`), in whole statements too: a large value fits only fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.oracle.agreement import Batch
from tests.oracle.datasets import Column, Dataset, Table
from tests.oracle.evaluator import Moment
from tests.spark.statements import world
from tests.spark.test_agreement import ask

RULES = {"some": "sum(order.amount) > 0", "two": "sum(order.amount) = 2", "large": "sum(order.amount) > 5"}
SPENT = ((1, 0.4), (1, 0.4), (2, 1.5), (3, 1e38), (4, 0.0000004))
"""Contact and amount of every order; 1e38 is just below 10^38."""

MEANT: dict[int, dict[str, list[bool]]] = {
    0: {"some": [False, True, True, False], "two": [False, True, False, False], "large": [False, False, True, False]},
    6: {"some": [True, True, False, False], "two": [False, False, False, False], "large": [False, False, False, False]},
    9: {"some": [True, True, False, True], "two": [False, False, False, False], "large": [False, False, False, False]},
}
"""By the places kept: whom of the contacts 1 to 4 a rule is true for. A sum with a value that does not fit is missing."""


def spent(places: int) -> Batch:
    key, at, amount = Column("id", "int64"), Column("at", "timestamp"), Column("amount", "double")
    rows = tuple({"customer": contact, "at": 0, "amount": value} for contact, value in SPENT)
    orders = Table("customer", "at", (Column("customer", "int64"), at, amount), rows, event="order")
    contacts = tuple({"id": contact} for contact in range(1, 5))
    data = Dataset(Moment(10**15, "UTC"), key, (key,), contacts, (orders,), None, places)
    return Batch(f"{places} places", data, {}, RULES, {})


@pytest.mark.parametrize("places", MEANT)
def test_duckdb_keeps_the_places_of_the_source(places: int, tmp_path: Path):
    found = duckdb.sql(world(spent(places), tmp_path).statement("duckdb")).pl().sort("id")
    assert {name: found[name].to_list() for name in RULES} == MEANT[places]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("places", MEANT)
def test_spark_keeps_the_places_of_the_source(spark: Any, places: int, tmp_path: Path):
    one = spent(places)
    assert ask(spark, one, world(one, tmp_path).statement("spark"), tmp_path) == MEANT[places]
