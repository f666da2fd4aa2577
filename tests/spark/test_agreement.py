"""Spark answers the rendered statements as the row-by-row oracle does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.oracle.agreement import Batch, batch, differs
from tests.oracle.datasets import arrow_table
from tests.spark.statements import as_spark_takes_it, world

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore")]

BATCHES = 40
PER_BATCH = 52  # 40 x 52 = 2,080 pairs, of which a few can't be said in Spark


def ask(spark: Any, one: Batch, statement: str, folder: Path) -> dict[str, list[bool]]:
    """One answer per contact, in row order, of each segment. Sources that Spark can't read from their files become views."""
    tables = {"contacts": one.data.arrow()}
    tables |= {f"events_{number}": arrow_table(table.columns, table.rows) for number, table in enumerate(one.data.tables, 1)}
    for name, table in tables.items():
        path = folder / f"view_of_{name}.parquet"
        pq.write_table(as_spark_takes_it(table), path)
        spark.read.parquet(str(path)).createOrReplaceTempView(f"segmentry_{name}")
    found = pl.from_arrow(spark.sql(statement).toArrow())
    assert isinstance(found, pl.DataFrame)
    place = {str(key): row for row, key in enumerate(found[one.data.key.name].to_list())}
    order = [place[str(row[one.data.key.name])] for row in one.data.rows]
    return {name: found[name].gather(order).to_list() for name in found.columns[1:]}


@pytest.mark.parametrize("number", range(BATCHES))
def test_spark_agrees_with_the_oracle(spark: Any, seed: int, number: int, tmp_path: Path):
    one = batch(f"{seed}:spark:{number}", PER_BATCH)
    asked = world(one, tmp_path)
    refused = asked.refused("spark")
    assert set().union(*refused.values()) <= {"X102", "X103", "X110"}
    assert len(refused) <= 5
    said = {name: condition for name, condition in asked.conditions.items() if name not in refused}
    got = ask(spark, one, replace(asked, conditions=said).statement("spark"), tmp_path)
    wrong = {name: one.texts[name] for name in said if differs(one.expected[name], got[name]) is not None}
    assert not wrong, f"seed {seed}, batch {number}"
