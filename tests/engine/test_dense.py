"""Aggregates in arrays: the same answers as a table of groups gives, in chunks too, and only where they can be exact."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine import dense, membership
from segmentry.engine.backends.duckdb import DuckDB
from segmentry.engine.evaluation import Evaluation
from segmentry.engine.frames import EventFrame
from segmentry.engine.scatter import Places, Scatter
from tests.engine.conftest import World, at

RULES = {
    "did": "did(order, last => '30 days')",
    "did_not": "not did(any_event, amount > 1.5, last => '90 days')",
    "count": "count(login) >= 2",
    "count_any": "count(any_event, last => '60 days') < 2",
    "total": "sum(order.amount) > 1.5",
    "quantities": "sum(order.quantity, last => '120 days') >= 9",
    "negative": "sum(order.balance) < 0 - 1",
    "average": "avg(order.amount, quantity > 1) > 1.1",
    "average_of_integers": "avg(any_event.quantity) < 4",
    "first": "first(login) before ago('60 days')",
    "last": "last(any_event) after ago('20 days')",
    "never": "last(order, quantity > 100) is not set",
    "arithmetic": "sum(order.quantity) * 10000000000000000000 > 50000000000000000000",
}


@pytest.fixture(params=["int64", "string"])
def files(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """Three hundred contacts, of whom some have no events; a thousand events, some of nobody, some without a value or a time.

    Keys are integers, whose positions are told by places, or texts, whose positions are told by a join.
    """
    number = range(1000)
    cents = pa.array([None if n % 13 == 0 else n % 10 * 25 for n in number], pa.int64())
    events = pa.table(
        {
            "contact_id": [None if n % 97 == 0 else n * 7 % 310 for n in number],
            "at": at(*[None if n % 89 == 0 else f"2026-0{1 + n // 3 % 6}-{1 + n % 28:02}" for n in number]),
            "event": [("order", "login", None)[n % 3] for n in number],
            "amount": pa.Array.from_buffers(
                pa.decimal128(12, 2),
                1000,
                [cents.buffers()[0], pa.py_buffer(b"".join((c or 0).to_bytes(16, "little") for c in cents.to_pylist()))],
            ),
            "quantity": pa.array([None if n % 11 == 0 else n % 9 for n in number], pa.int16()),
            "balance": pa.array([n % 7 - 4 for n in number], pa.int32()),
        }
    )
    events = events.set_column(0, "contact_id", events["contact_id"].cast(request.param))
    pq.write_table(pa.table({"id": pa.array(range(300)).cast(request.param)}), tmp_path / "contacts.parquet")
    pq.write_table(events, tmp_path / "events.parquet")
    return World(tmp_path / "contacts.parquet", [EventFrame(tmp_path / "events.parquet", "contact_id", "at", "event")])


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Arrays wherever they can be; the list grows with every batch that is added to some."""
    monkeypatch.setattr(dense, "FEWEST_ROWS", 0)
    monkeypatch.setattr(dense, "FEWEST_CONTACTS", 0)
    monkeypatch.setattr(dense, "ROWS_PER_CONTACT", 0.0)
    added: list[int] = []
    add = Scatter.add

    def noted(self: Scatter, rows: pl.DataFrame, positions: object) -> None:
        added.append(rows.height)
        add(self, rows, positions)

    monkeypatch.setattr(Scatter, "add", noted)
    return added


def answers(world: World, rules: dict[str, str]) -> tuple[dict[str, list[bool]], dict[int, int]]:
    with world.evaluation() as evaluation:
        found = evaluation.memberships(world.plan(rules))
        return {name: found.column(name).to_list() for name in rules}, dict(evaluation.counters.unknown_events)


@pytest.mark.parametrize("chunk", [1 << 20, 64])
def test_arrays_answer_as_groups_do(files: World, always: list[int], chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "CHUNK_ROWS", chunk)
    kept = answers(files, RULES)
    assert always, "nothing was kept in arrays"
    always.clear()
    with monkeypatch.context() as patch:
        patch.setattr(dense, "FEWEST_ROWS", 10_000)
        grouped = answers(files, RULES)
    assert not always
    assert kept == grouped
    split = {name for name, members in kept[0].items() if 0 < sum(members) < 300}
    assert RULES.keys() - split == {"never"}, "every other rule tells contacts apart"


@pytest.mark.parametrize("rule", ["distinct(order.amount) > 1", "max(order.amount) > 2", "latest(order.quantity) = 3"])
def test_what_no_array_holds_is_grouped(files: World, always: list[int], rule: str) -> None:
    answers(files, {"alone": rule, "beside": "did(order)"})
    assert not always


def test_a_sum_that_may_leave_64_bits_is_grouped(tmp_path: Path, always: list[int]) -> None:
    large = 10**15 - 1
    events = pa.table({"contact_id": [0] * 20_000, "at": at(*["2026-01-01"] * 20_000), "amount": pa.array([large] * 20_000, pa.int64())})
    events = events.set_column(2, "amount", events["amount"].cast(pa.decimal128(19, 0)).cast(pa.decimal128(15, 0)))
    pq.write_table(pa.table({"id": [0, 1]}), tmp_path / "contacts.parquet")
    pq.write_table(events, tmp_path / "events.parquet")
    world = World(tmp_path / "contacts.parquet", [EventFrame(tmp_path / "events.parquet", "contact_id", "at", event="order")])
    total = large * 20_000
    rules = {"more": f"sum(order.amount) > {total - 1}", "not_more": f"sum(order.amount) > {total}"}
    found, _ = answers(world, rules)
    assert always
    assert found == {"more": [True, False], "not_more": [False, False]}


def test_few_events_few_contacts_and_little_memory_are_grouped() -> None:
    targets = (dense.Target("a", "sum", "x", "y", "DECIMAL(38,2)", 2), dense.Target("b", "sum", "x", "y", "DECIMAL(38,2)", 2))
    one = dense.Dense(
        None, (*targets, dense.Target("m", "bits", "x", None, "BIGINT", bit=9), dense.Target("c", "count", "x", None, "BIGINT"))
    )
    assert one.bytes_per_contact() == 8 + 1 + 4
    assert one.pays(5_000_000, 1_000_000, 1 << 30)
    assert not one.pays(999_999, 1_000, 1 << 30)
    assert not one.pays(50_000_000, 100_000, 1 << 30)
    assert not one.pays(5_000_000, 50_000_000, 1 << 40)
    assert not one.pays(5_000_000, 1_000_000, 13_000_000)


FEW, WIDE = [5, -3, 7, 2], [5, -(2**63), 2**63 - 1, 2]


@pytest.mark.parametrize(
    ("keys", "kind"),
    [(FEW, pl.Int64), (FEW, pl.Int8), (WIDE, pl.Int64), ([0, 2**63], pl.UInt64), (["5", "7"], pl.String), ([None, 4, 2], pl.Int32)],
)
@pytest.mark.parametrize("memory", [100, 1 << 20])
def test_digests_of_events_in_arrays_are_those_of_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list, kind: type[pl.DataType], memory: int
) -> None:
    known = pl.Series("id", keys, dtype=kind).drop_nulls()
    asked = [*known, *known[1:], None, *([6, 3, -4, 8, 2**62] if kind == pl.Int64 else [])]
    moment, names = datetime(2026, 1, 1), [f"e{n % 3}" for n in range(len(asked))]  # noqa: DTZ001 -- as stored, UTC
    known.to_frame().write_parquet(tmp_path / "contacts.parquet")
    pl.DataFrame({"who": pl.Series(asked, dtype=kind), "at": moment, "event": names}).write_parquet(tmp_path / "events.parquet")
    world = World(tmp_path / "contacts.parquet", [EventFrame(tmp_path / "events.parquet", "who", "at", "event")])
    found = []
    monkeypatch.setattr(DuckDB, "memory", lambda _: memory)
    for arrays in (False, True):
        monkeypatch.setattr(Evaluation, "_in_arrays", lambda *_, arrays=arrays: arrays)
        with world.evaluation() as evaluation:
            [frame] = evaluation.event_digests(0, world.sources.snapshot.events[0].relation.files, ["event"])
            found.append((frame.to_dicts(), frame.schema))
    assert found[0] == found[1]
    assert sum(row["rows"] for row in found[0][0]) == 2 * len(known) - 1


def test_keys_are_found_by_places_where_they_stand_close() -> None:
    keys = pl.Series([5, -3, 7, 2])
    present = pl.Series([True, True, False, True])
    assert Places.of(keys, present, memory=35) is None
    places = Places.of(keys, present, memory=36)
    assert places is not None
    asked = pl.Series([7, 5, None, 2, -3, -4, 6, 2**63 - 1, -(2**63), 0])
    assert places.find(asked).tolist() == [-1, 0, -1, 3, 1, -1, -1, -1, -1, -1]
    assert Places.of(keys.cast(pl.String), present, memory=1 << 20) is None
    assert Places.of(keys, pl.Series([False] * 4), memory=1 << 20) is None


def test_pandas_is_not_loaded_for_it() -> None:
    ask = """
import sys
import duckdb, numpy, polars
from segmentry.engine.dense import Target
from segmentry.engine.scatter import Scatter
targets = [Target("a", "bits", "t", None, "BIGINT"), Target("b", "sum", "t", "v", "HUGEINT"), Target("c", "max", "t", "v", "TIMESTAMP")]
arrays = Scatter(targets, 3)
for batch in duckdb.sql("select true as t, 5::bigint as v").to_arrow_reader():
    arrays.add(polars.DataFrame(batch), numpy.array([2]))
print(arrays.table(0, 3).to_pylist()[2]["b"], "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "False"]
