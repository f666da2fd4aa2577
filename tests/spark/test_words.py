"""What Spark is told, as golden text: `golden.sql` holds rules and the statement that each comes to.

`REGENERATE=1 pytest tests/spark/test_words.py` writes what is rendered now, for the reviewer to read. Needs no Spark.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine.frames import EventFrame, FrameSnapshot, snapshot_of
from segmentry.engine.schemas import schema_of
from segmentry.engine.whole import render_whole
from segmentry.errors import DialectError, NotFound
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition, Listed
from segmentry.rules.parse import parse_text

GOLDEN = Path(__file__).with_name("golden.sql")
AS_OF = datetime(2026, 6, 15, 12, tzinfo=UTC)

RULES = {
    "text": r"location contains 'İΣ' and email matches '(?i)^a.*\.uk$' and email like '50\%' and trim(location) ends with 'k'",
    "numbers": "value / visits > 0.5 and value * value - 1 >= 10 and -exact < 0 and floor(ratio) % 2 = 1 and round(exact) = 3",
    "time": "seen after '2026-01-31' and hour(seen) = 9 and birthday in the next '7 days' and next_anniversary(birthday) < '2026-07-01'",
    "lists": "tags contains 'x' and length(tags) > 1 and contains_any(codes, 1, 2.5)",
    "sample": "sample('10%', salt => 'exp-7')",
    "place": "distance_km(ratio, ratio, 51.5, -0.12) < 5 and number(location) > 1",
    "steps": "sequence(did(visit), did(order, any(tags, element = visit.coupon)))",
    "events": "sum(order.amount, last => '30 days') > 10 and latest(order.coupon) = 'X' and distinct(order.coupon) > 1 and not did(visit)",
}


@pytest.fixture(scope="module")
def sources() -> FrameSnapshot:
    moment = pa.array([AS_OF], pa.timestamp("us", "UTC"))
    contacts = pa.table(
        {
            "id": [1], "location": ["UK"], "email": ["a@b.uk"], "value": [1], "visits": pa.array([1], pa.uint64()), "ratio": [0.5],
            "exact": pa.array([Decimal(1)], pa.decimal128(38, 10)), "seen": moment, "birthday": pa.array([AS_OF.date()]),
            "tags": [["x"]], "codes": [[1]],
        }
    )  # fmt: skip
    events = pa.table({"contact_id": [1], "at": moment, "event": ["order"], "amount": [1.5], "coupon": ["X"], "tags": [["X"]]})
    return snapshot_of(contacts, "id", [EventFrame(events, "contact_id", "at", "event")])


def conditions(sources: FrameSnapshot, rules: dict[str, str], clock: Clock) -> dict[str, Condition]:
    schema = schema_of(sources.snapshot, rules.keys(), frames=sources.frames)
    return {name: ground(check(parse_text(rule), schema)[0], clock) for name, rule in rules.items()}


def statement(sources: FrameSnapshot, rules: dict[str, str], **options) -> str:
    clock = Clock(AS_OF, "Asia/Kolkata")
    return render_whole(conditions(sources, rules, clock), sources.snapshot, clock, dialect="spark", **options)


def test_what_spark_is_told(sources: FrameSnapshot):
    said = "\n\n".join(f"-- {rule}\n{statement(sources, {name: rule})}" for name, rule in RULES.items()) + "\n"
    if os.environ.get("REGENERATE"):
        GOLDEN.write_text(said, encoding="utf-8")
    assert said == GOLDEN.read_text(encoding="utf-8")


def test_nothing_that_raises_and_no_word_of_duckdb(sources: FrameSnapshot):
    said = statement(sources, RULES).upper()
    for word in ("TRY(", "HUGEINT", "INT128", "VARCHAR", "//", "ISFINITE", "READ_PARQUET", "ARG_MAX", "::", "EPOCH"):
        assert word not in said, word
    assert not re.search(r"`[^`]*\.[^`]*` ->", said), "Spark reads a dot in a lambda's parameter as a field"


def test_every_operation_of_duckdb_has_its_words():
    from segmentry.engine.lowering import duckdb, spark

    assert duckdb.TABLE.keys() == spark.TABLE.keys()


def test_a_file_is_read_from_its_path_where_spark_reads_it(tmp_path: Path):
    def read_from(table: pa.Table) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pq.write_table(table, path)
        found = snapshot_of(path, "id", [])
        clock = Clock(AS_OF)
        return render_whole(conditions(found, {"all": "true"}, clock), found.snapshot, clock, dialect="spark")

    assert "FROM `parquet`.`" in read_from(pa.table({"id": [1]}))
    for unread in (pa.array([UUID(int=1).bytes], pa.uuid()), pa.array([1], pa.timestamp("ns"))):
        text = read_from(pa.table({"id": [1], "odd": unread}))
        assert "FROM `segmentry_contacts`" in text
        assert "-- reads segmentry_contacts: the rows of 1 files" in text
    assert "--   id STRING (lower case, with hyphens)" in read_from(pa.table({"id": pa.array([UUID(int=1).bytes], pa.uuid())}))


def test_tables_may_be_named(sources: FrameSnapshot):
    said = statement(sources, {"all": "did(order)"}, tables={"contacts": "lake.crm.people", "events_1": "odd`name"})
    assert "FROM `lake`.`crm`.`people`" in said
    assert "FROM `odd``name`" in said
    with pytest.raises(NotFound, match="there are contacts, events_1"):
        statement(sources, {"all": "true"}, tables={"event": "x"})


def test_lists_are_written_in(sources: FrameSnapshot):
    said = render_whole({"picked": Listed("l.csv")}, sources.snapshot, Clock(AS_OF), dialect="spark", lists={"l.csv": pl.Series([3, 4, 4])})
    assert "(3),\n" in said
    assert said.count("(4)") == 1


def test_everything_that_cannot_be_said_is_told_at_once(sources: FrameSnapshot):
    rules = {"a": r"location = 'x' or email matches '(?i)\pL' or not email matches '\p{Greek}'", "b": "value * value % exact > 1"}
    with pytest.raises(DialectError) as refused:
        statement(sources, rules)
    problems = refused.value.diagnostics
    assert [problem.code for problem in problems] == ["X102", "X102", "X103"]
    assert ["segment `a`" in problems[0].message, "segment `b`" in problems[2].message] == [True, True]
    assert all(problem.place is not None for problem in problems)
