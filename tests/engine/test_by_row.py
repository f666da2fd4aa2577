"""Conditions on contacts alone, asked of the rows while they are read: the same answers and digests, and no table of contacts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine import by_row, dense, membership
from segmentry.engine.backends.duckdb import DuckDB
from segmentry.engine.frames import EventFrame
from segmentry.engine.lowering import sql
from segmentry.engine.membership import Alignment
from segmentry.engine.row_digests import DIGEST
from segmentry.engine.scans import SNAPSHOT
from tests.engine.conftest import World, at

OWN = [
    "location = 'UK'", "value > 5", "value in (1, 2)", "not value >= 0", "lower(location) contains 'u'", "sample('30%', salt => 'x')",
    "true",
]  # fmt: skip
OF_EVENTS = ["did(order, last => '30 days')", "count(order) >= 2", "sum(order.amount) > 3", "not did(login)", "last(order) < '2026-03-01'"]
BOTH = ["sum(order.amount) > value", "did(order) and value > 100"]
BESIDE = ["sequence(did(order), did(login))", "distinct(order.amount) > 2"]
ORDERED = ["top(20, by => value)", "top('10%', by => sum(order.amount)) and location = 'UK'"]
COLUMNS = ["location", "value"]


def contacts(keys: list[int]) -> pa.Table:
    return pa.table({"id": keys, "location": [["UK", "US", None][key % 3] for key in keys], "value": keys})


@pytest.fixture(params=["integers", "texts"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Three hundred contacts in two files, and a thousand events."""
    table, events = contacts(list(range(300))), [n * 7 % 310 for n in range(1000)]
    owner = pa.array(events)
    if request.param == "texts":
        table = table.set_column(0, "id", pa.array([f"c{key:03}" for key in range(300)]))
        owner = pa.array([f"c{key:03}" for key in events])
    pq.write_table(table, tmp_path / "contacts.parquet", row_group_size=64)
    amounts = pa.array([Decimal(n % 10) for n in range(1000)], pa.decimal128(12, 2))
    columns = {
        "who": owner,
        "at": at(*[f"2026-0{1 + n % 6}-01" for n in range(1000)]),
        "event": ["order", "login"] * 500,
        "amount": amounts,
    }
    pq.write_table(pa.table(columns), tmp_path / "events.parquet")
    return World(tmp_path / "contacts.parquet", [EventFrame(tmp_path / "events.parquet", "who", "at", "event")])


def answers(world: World, rules: dict[str, str], alignment: Alignment | None = None) -> tuple[dict[str, list[bool]], list[int], int]:
    """Who is in, the contacts' digests, and how many conditions were asked by row."""
    plan = world.plan(rules)
    with world.evaluation() as evaluation:
        evaluation.prepare_by_row(plan, COLUMNS)
        evaluation.keys()
        if alignment is not None:
            evaluation.align(alignment)
        found = evaluation.memberships(plan)
        return (
            {name: found.column(name).to_list() for name in rules},
            evaluation.contact_digests(COLUMNS).to_list(),
            evaluation.counters.by_row,
        )


def turned(world: World) -> Alignment:
    """Two former contacts are gone, and the snapshot stands the other way round after them."""
    with world.evaluation() as evaluation:
        keys = evaluation.keys()
    first, last = (1000, 1001) if keys.dtype.is_integer() else ("x", "y")
    order = pl.concat([pl.Series("id", [first]), keys.reverse(), pl.Series("id", [last])])
    rows = pl.Series([300 - row for row in range(300)], dtype=pl.UInt32)
    return Alignment(order, pl.Series([False, *[True] * 300, False]), rows)


@pytest.mark.parametrize("chunk", [1 << 20, 64])
@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("further", [[], BOTH, BESIDE, [*BOTH, *BESIDE]])
def test_answers_and_digests_are_those_of_a_table(
    files: World, chunk: int, arrays: bool, is_turned: bool, further: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "CHUNK_ROWS", chunk)
    if arrays:
        for name in ("FEWEST_ROWS", "FEWEST_CONTACTS", "ROWS_PER_CONTACT"):
            monkeypatch.setattr(dense, name, 0)
    rules = {f"s{number}": rule for number, rule in enumerate([*OWN, *OF_EVENTS, *further])} | {"m": "member('s1') and not member('s8')"}
    alignment = turned(files) if is_turned else None
    *before, count = answers(files, rules, alignment)
    assert not count
    monkeypatch.setattr(by_row, "FEWEST_BY_ROW", 0)
    *now, count = answers(files, rules, alignment)
    assert count >= 5
    assert now == before
    assert sum(map(sum, now[0].values())) > 300


@pytest.mark.parametrize("rules", [OWN, OF_EVENTS, [*OWN, *OF_EVENTS], OWN[:1], OF_EVENTS[:1]])
def test_no_table_of_contacts_is_made_where_none_is_needed(files: World, rules: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of keys at most, which events with texts for keys are joined with."""
    for name in ("FEWEST_ROWS", "FEWEST_CONTACTS", "ROWS_PER_CONTACT"):
        monkeypatch.setattr(dense, name, 0)
    monkeypatch.setattr(by_row, "FEWEST_BY_ROW", 0)
    made: list[str] = []
    create = DuckDB.create
    monkeypatch.setattr(DuckDB, "create", lambda self, table, query: (made.append(sql.render(query)), create(self, table, query))[1])
    answers(files, {f"s{number}": rule for number, rule in enumerate(rules)})
    with files.evaluation() as evaluation:
        integers = evaluation.keys().dtype.is_integer()
    made.pop()  # of these keys
    assert not made if integers or (rules[0] in OWN and len(rules) <= len(OWN)) else len(made) == 1
    assert not any("location" in query or '"value"' in query for query in made)


def test_the_contacts_are_read_once(files: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_row, "FEWEST_BY_ROW", 0)
    plan = files.plan({"a": "location = 'UK'", "b": "value > 5"})
    with files.evaluation() as evaluation:
        evaluation.prepare_by_row(plan, COLUMNS)
        evaluation.keys()
        evaluation.memberships(plan)
        evaluation.contact_digests(COLUMNS)
        assert (evaluation.counters.queries, evaluation.counters.rows, evaluation.counters.by_row) == (1, 300, 2)


def test_a_further_question_is_answered_after_that(files: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another plan, other columns, values: of a table, which is made then."""
    monkeypatch.setattr(by_row, "FEWEST_BY_ROW", 0)
    plan, other = files.plan({"a": "location = 'UK'"}), files.plan({"b": "value > 290"})
    with files.evaluation() as evaluation:
        evaluation.prepare_by_row(plan)
        keys = evaluation.keys()
        assert evaluation.memberships(plan).counts() == {"a": 100}
        assert evaluation.memberships(other).counts() == {"b": 9}
        assert evaluation.leaves(plan)[plan.leaf_columns[0]].sum() == 100
        assert evaluation.keys().equals(keys)
        assert len(set(evaluation.contact_digests(["value"]))) == 300


def test_places_among_all_contacts_are_asked_of_a_table(files: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {f"s{number}": rule for number, rule in enumerate([*OWN, *ORDERED])}
    before = answers(files, rules)
    monkeypatch.setattr(by_row, "FEWEST_BY_ROW", 0)
    assert answers(files, rules) == before


def test_what_pays(files: World) -> None:
    relation = files.sources.snapshot.contacts.relation
    assert not by_row.pays(relation, 1, 1 << 40), "so few rows"
    frame = World(contacts([1, 2]), ()).sources.snapshot.contacts.relation
    assert not by_row.pays(frame, 1, 1 << 40)


@pytest.mark.parametrize("memory", [100_000, 10])
def test_bits_that_take_too_much_memory_are_not_kept(files: World, memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_row, "FEWEST_BY_ROW", 0)
    assert by_row.pays(files.sources.snapshot.contacts.relation, 100, memory) == (memory > 10)


def test_the_digest_stands_beside_the_keys() -> None:
    assert not DIGEST.startswith("leaf")
    assert SNAPSHOT.startswith("$")


def test_rows_of_many_row_groups_keep_their_order(tmp_path: Path) -> None:
    """Of so many that it is done by itself. A table made later, for a condition on events too, has the same order as the keys."""
    count = by_row.FEWEST_BY_ROW + 70_000
    keys = pl.Series("id", range(count), dtype=pl.Int64).shuffle(seed=7)
    pl.DataFrame([keys, (keys % 1000).alias("value")]).write_parquet(tmp_path / "contacts.parquet", row_group_size=5_000)
    orders = pl.DataFrame({"who": keys.head(9_000), "at": [datetime(2026, 6, 1, tzinfo=UTC)] * 9_000, "amount": [Decimal(500)] * 9_000})
    orders.write_parquet(tmp_path / "events.parquet")
    world = World(tmp_path / "contacts.parquet", [EventFrame(tmp_path / "events.parquet", "who", "at", event="order")])
    plan = world.plan({"own": "value < 10", "both": "sum(order.amount) > value"})
    with world.evaluation(threads=2) as evaluation:
        evaluation.prepare_by_row(plan, ["value"])
        assert evaluation.keys().equals(keys)
        found = evaluation.memberships(plan)
        assert evaluation.counters.by_row == 1
    assert found.column("own").to_list() == (keys % 1000 < 10).to_list()
    assert found.column("both").to_list() == ((keys % 1000 < 500) & keys.is_in(keys.head(9_000).implode())).to_list()
