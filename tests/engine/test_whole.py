"""A whole plan as one statement of DuckDB's: the same members as a run finds."""

from __future__ import annotations

import math
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine.whole import LONGEST_LIST, render_whole
from segmentry.errors import DialectError
from segmentry.rules.nodes import And, Condition, Listed, Not, Or
from tests.engine.conftest import World
from tests.oracle.agreement import batch, differs
from tests.spark.statements import world

RULES = {
    "all": "true",
    "none": "false",
    "text": "location = 'UK' or location contains 'u'",
    "number": "value between 1 and 500 and value != 10",
    "recent": "last(any_event) in the last '30 days'",
    "did": "did(order, amount > 2) and not did(login)",
    "sums": "sum(order.amount) > 3 or count(any_event, last => '7 days') >= 2",
    "first": "first(order) < ago('10 days') and latest(order.amount) is set",
    "sample": "sample('50%', salt => 's')",
    "several": "at_least(2, member('text'), member('number'), member('did'))",
    "outside": "not member('several') and (member('text') or not member('sums'))",
    "top": "top(7, by => value)",
    "bottom": "bottom('33.3%', by => sum(order.amount), among => member('did') or not member('top'), per => location)",
    "parts": "ntile(3, by => value, per => location) = 3 and ntile(4, by => count(any_event)) + ntile(2, by => value) >= 4",
    "ranked": "top(5, by => ntile(4, by => value, among => not member('bottom')) * 2, among => member('bottom') or not member('parts'))",
    "again": "member('outside') or member('outside') and member('several')",
}


def answer(shop: World, text: str) -> pl.DataFrame:
    connection = duckdb.connect()
    for name, frame in shop.sources.frames.items():
        connection.register(name, frame)
    return connection.sql(text).pl()


def test_it_finds_what_a_run_finds(shop: World):
    conditions = shop.conditions(RULES)
    found = answer(shop, render_whole(conditions, shop.sources.snapshot, shop.clock))
    assert found.columns == ["id", *RULES]
    found = found.sort("id")
    with shop.evaluation() as evaluation:
        run = evaluation.memberships(shop.plan(RULES))
        assert evaluation.keys().to_list() == found["id"].to_list()
    assert {name: found[name].to_list() for name in RULES} == {name: run.column(name).to_list() for name in RULES}
    assert 0 < found["several"].sum() < found.height


def test_lists_are_written_into_it(shop: World):
    rule = shop.conditions({"rule": "location = 'UK'"})["rule"]
    conditions: dict[str, Condition] = {
        "picked": Listed("picked.csv"),
        "with": Or((rule, Listed("picked.csv"))),
        "without": And((rule, Not(Listed("never.csv")))),
        "empty": Listed("empty.csv"),
    }
    lists = {"picked.csv": pl.Series([2, 2, 99]), "never.csv": pl.Series([1]), "empty.csv": pl.Series([], dtype=pl.Int64)}
    found = answer(shop, render_whole(conditions, shop.sources.snapshot, shop.clock, lists=lists)).sort("id")
    assert {name: found.filter(found[name])["id"].to_list() for name in conditions} == {
        "picked": [2],
        "with": [1, 2, 6],
        "without": [6],
        "empty": [],
    }


def test_a_list_may_be_too_long_for_a_statement(shop: World):
    lists = {"long.csv": pl.int_range(LONGEST_LIST + 1, eager=True)}
    with pytest.raises(DialectError) as refused:
        render_whole({"long": Listed("long.csv")}, shop.sources.snapshot, shop.clock, lists=lists)
    assert [problem.code for problem in refused.value.diagnostics] == ["X104"]


def test_only_what_is_wanted_becomes_a_column(shop: World):
    conditions = shop.conditions(RULES)
    found = answer(shop, render_whole(conditions, shop.sources.snapshot, shop.clock, wanted=["again"]))
    assert found.columns == ["id", "again"]


def test_chains_of_references_are_written_once(shop: World):
    """Each segment refers to the one before twice; written out, the last would have 2^60 leaves."""
    rules = {"s0": "location = 'UK'"}
    rules |= {f"s{n}": f"at_least(1, member('s{n - 1}'), not member('s{n - 1}'))" for n in range(1, 60)}
    text = render_whole(shop.conditions(rules), shop.sources.snapshot, shop.clock)
    assert len(text) < 100 * sum(map(len, rules.values()))


@pytest.mark.parametrize("width", ["float32", "float64"])
def test_nan_is_missing_whatever_parquet_says_of_it(width: str, tmp_path: Path):
    """The statistics of a Parquet file leave NaN out, and any connection but a run's believes them."""
    ratios = pa.array([1.0, math.nan, -3.0, 7.0, None], width)
    pq.write_table(pa.table({"id": pa.array(range(5)), "ratio": ratios}), tmp_path / "contacts.parquet")
    shop = World(tmp_path / "contacts.parquet", [])
    conditions = shop.conditions({"missing": "ratio is null", "over": "ratio > 0", "not_over": "not ratio > 0"})
    found = answer(shop, render_whole(conditions, shop.sources.snapshot, shop.clock)).sort("id")
    assert {name: found.filter(found[name])["id"].to_list() for name in conditions} == {
        "missing": [1, 4],
        "over": [0, 3],
        "not_over": [1, 2, 4],
    }


@pytest.mark.parametrize("number", range(3))
def test_it_agrees_with_the_oracle(seed: int, number: int, tmp_path: Path):
    one = batch(f"{seed}:whole:{number}", 30)
    rows = duckdb.sql(world(one, tmp_path).statement("duckdb")).pl()
    place = {str(key): row for row, key in enumerate(rows[one.data.key.name].to_list())}
    order = [place[str(row[one.data.key.name])] for row in one.data.rows]
    wrong = {
        name: one.texts[name] for name, answers in one.expected.items() if differs(answers, rows[name].gather(order).to_list()) is not None
    }
    assert not wrong
