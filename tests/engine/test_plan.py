"""The plan and its execution: what is shared, what is read, in which order contacts stand, what the connection may not do."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine import membership
from segmentry.engine.backends.duckdb import DuckDB
from segmentry.engine.frames import EventFrame
from segmentry.engine.lowering import sql
from segmentry.engine.membership import Alignment
from segmentry.engine.plan import make_plan
from segmentry.rules.nodes import And, Listed, Not, walk
from segmentry.rules.nodes import Value as ValueNode
from tests.engine.conftest import World, at

POOL = [
    "location = 'UK'", "value > 5", "value in (1, 2)", "did(order, last => '30 days')", "count(order) >= 2", "sum(order.amount) > 3",
    "not did(login)", "lower(location) contains 'u'",
]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> World:
    """Three hundred contacts and a thousand events in Parquet."""
    contacts = pa.table(
        {"id": list(range(300)), "location": ["UK", "US", None] * 100, "value": list(range(300)), "unread": ["x" * 50] * 300}
    )
    events = pa.table(
        {
            "contact_id": [n * 7 % 310 for n in range(1000)],
            "at": at(*[f"2026-0{1 + n % 6}-01" for n in range(1000)]),
            "event": ["order", "login"] * 500,
            "amount": [float(n % 10) for n in range(1000)],
            "unread": ["x" * 50] * 1000,
        }
    )
    pq.write_table(contacts, tmp_path / "contacts.parquet")
    pq.write_table(events, tmp_path / "events.parquet")
    return World(tmp_path / "contacts.parquet", [EventFrame(tmp_path / "events.parquet", "contact_id", "at", "event")])


def run(world: World, rules: dict[str, str]):
    with world.evaluation() as evaluation:
        plan = world.plan(rules)
        evaluation.prepare(plan)
        return evaluation.memberships(plan), evaluation.counters, plan


def test_work_does_not_grow_with_segments_that_share_their_leaves(files: World) -> None:
    few = {f"s{n}": rule for n, rule in enumerate(POOL)}
    many = {f"s{n}": f"({POOL[n % 8]}) and not ({POOL[n // 8 % 8]}) or {POOL[n // 64]}" for n in range(400)}
    _, little, small = run(files, few)
    _, much, large = run(files, many)
    assert (much.queries, much.rows, much.bytes) == (little.queries, little.rows, little.bytes)
    assert len(large.leaf_columns) == len(small.leaf_columns)
    assert len(large.scans) == 1


def test_only_the_columns_and_events_that_rules_read_are_read(files: World) -> None:
    _, counters, plan = run(files, {"a": "location = 'UK'"})
    assert plan.columns_read() == {"contacts": {"location"}}
    assert counters.rows == 300
    _, with_events, plan = run(files, {"a": "location = 'UK' and did(order, amount > 3)"})
    assert plan.columns_read() == {"contacts": {"location"}, 0: {"contact_id", "at", "event", "amount"}}
    assert with_events.rows == 1300
    assert 0 < counters.bytes < with_events.bytes


def test_did_conditions_fold_into_masks(files: World) -> None:
    rules = {f"s{n}": f"did(order, amount >= {n})" for n in range(130)}
    found, counters, plan = run(files, rules)
    assert plan.scans[0].words == 3
    assert counters.queries == run(files, {"one": "did(order)"})[1].queries
    with files.evaluation() as evaluation:
        for name, rule in list(rules.items())[::40]:
            alone = evaluation.memberships(files.plan({"x": rule})).column("x")
            assert alone.to_list() == found.column(name).to_list()


def test_events_of_nobody_and_without_a_time_are_counted(shop: World) -> None:
    _, counters, _ = run(shop, {"a": "did(order)"})
    assert counters.unknown_events == {0: 2}
    assert counters.timeless_events == {0: 1}


@pytest.mark.parametrize(
    ("rules", "nobodys"),
    [(["did(order)"], 1), (["did(order)", "count(login) = 0"], 3), (["did('lo*')"], 3), (["did(order)", "count(any_event) > 1"], 3)],
)
def test_rows_of_events_that_no_rule_names_are_not_read(rules: list[str], nobodys: int) -> None:
    contact, name = [9, 9, 9, 1, 1], ["order", "login", "login", "order", ""]
    events = pa.table({"who": contact, "at": at(*["2026-01-01"] * 5), "event": name})
    world = World(pa.table({"id": [1, 2]}), [EventFrame(events, "who", "at", "event")])
    found, counters, _ = run(world, {f"s{number}": rule for number, rule in enumerate(rules)})
    assert counters.unknown_events == {0: nobodys}
    assert found.column("s0").to_list() == ["order" in rules[0], False]


def test_chunks_do_not_matter(files: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {f"s{n}": rule for n, rule in enumerate(POOL)} | {"m": "member('s0') or at_least(2, value > 5, value > 100, did(order))"}
    whole, _, _ = run(files, rules)
    monkeypatch.setattr(membership, "CHUNK_ROWS", 64)
    chunked, _, _ = run(files, rules)
    assert len(chunked.chunks) == 5
    assert [chunked.column(name).to_list() for name in rules] == [whole.column(name).to_list() for name in rules]
    assert chunked.counts() == whole.counts()


@pytest.mark.parametrize("chunk", [1 << 20, 64])
def test_contacts_stand_in_their_lasting_order(files: World, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "CHUNK_ROWS", chunk)
    rules = {f"s{n}": rule for n, rule in enumerate(POOL)} | {"nobody": "not value >= 0", "not_uk": "location != 'UK'"}
    plain, _, _ = run(files, rules)
    with files.evaluation() as evaluation:
        keys = evaluation.keys()
        # two former contacts are gone, and the snapshot stands the other way round after them
        order = pl.concat([pl.Series("id", [1000]), keys.reverse(), pl.Series("id", [1001])])
        position_of_row = pl.Series([300 - row for row in range(300)], dtype=pl.UInt32)
        evaluation.align(Alignment(order, pl.Series([False, *[True] * 300, False]), position_of_row))
        assert evaluation.keys().equals(keys), "in the snapshot's order as before"
        plan = files.plan(rules)
        aligned = evaluation.memberships(plan)
        for name in rules:
            bitmap = aligned.column(name)
            assert bitmap.to_list() == [False, *plain.column(name).reverse().to_list(), False], name
        digests = evaluation.contact_digests(["location", "value"])
        assert (digests[0], digests[301]) == (0, 0)
        leaves = evaluation.leaves(plan)
        assert leaves["id"].to_list() == keys.reverse().to_list()


def test_lists_are_conditions_too(shop: World) -> None:
    condition = And((Listed("vip.csv"), Not(Listed("never.csv"))))
    plan = make_plan({"a": condition}, shop.sources.snapshot, shop.clock)
    with shop.evaluation() as evaluation:
        lists = {"vip.csv": pl.Series([2, 4, 4, 77]), "never.csv": pl.Series([4, None])}
        assert evaluation.memberships(plan, lists).column("a").to_list() == [False, True, False, False, False, False]
        assert evaluation.counters.unknown_keys == {"vip.csv": 1, "never.csv": 0}


def test_leaves_and_values_explain(shop: World) -> None:
    conditions = shop.conditions({"a": "value + 1 > 500 and not (sum(order.amount) >= 5) and did(order)"})
    values = [node for node in walk(conditions["a"]) if isinstance(node, ValueNode) and type(node).__name__ in ("Call", "Aggregate")]
    plan = make_plan(conditions, shop.sources.snapshot, shop.clock, values=values)
    with shop.evaluation() as evaluation:
        leaves = evaluation.leaves(plan)
        assert leaves[plan.value(values[0])].to_list() == [11, 501, None, 502, 1, 1001]
        assert [float(v) for v in leaves[plan.value(values[1])]] == [1.5, 10, 0, 0, 0.25, 0]
        missing = evaluation.leaves(plan, missing=plan.value_columns)
        assert missing[plan.value(values[0])].to_list() == [False, False, True, False, False, False]
    with shop.evaluation(only=pl.Series([4])) as evaluation:
        assert evaluation.keys().to_list() == [4]
        assert evaluation.leaves(plan)[plan.value(values[0])].to_list() == [502]


def test_digests_tell_rows_apart_and_add_up(files: World) -> None:
    with files.evaluation() as evaluation:
        files_of = files.sources.snapshot.events[0].relation.files
        (found,) = evaluation.event_digests(0, files_of, ["amount", "event"])
        assert found.schema == {"position": pl.UInt32, "digest": pl.UInt64, "rows": pl.UInt32}
        assert found["position"].is_sorted()
        assert int(found["rows"].sum()) == sum(1 for n in range(1000) if n * 7 % 310 < 300)
        first = evaluation.contact_digests(["location"])
        assert first[0] == first[3]
        assert first[0] != first[1]
        assert evaluation.contact_digests(["location", "value"]).n_unique() == 300


def test_a_workspace_without_events_asks_none(files: World) -> None:
    _, counters, plan = run(files, {"a": "value > 5"})
    assert not plan.scans
    assert counters.queries == 3


def test_what_is_shown_is_what_runs(files: World) -> None:
    shown = [sql.render(statement) for _, statement in files.plan({"a": "did(order) and value > 1"}).queries()]
    with duckdb.connect() as connection:
        for statement in shown[:-1]:
            connection.execute(statement)
        frame = connection.sql(shown[-1]).pl()
    found, _, plan = run(files, {"did": "did(order)", "value": "value > 1"})
    assert sorted(map(tuple, frame.select(plan.leaf_columns).to_dict(as_series=False).values())) == sorted(
        tuple(found.column(name).to_list()) for name in ("did", "value")
    )


def test_a_long_chain_and_many_segments_are_no_trouble() -> None:
    world = World(pa.table({"id": [1, 2], "x": [1, None]}))
    chain = "x" + " + 1" * 1500
    rules = {"long": f"{chain} = 1501", "wide": " or ".join(f"x = {n}" for n in range(900)), "deep": "not (" * 48 + "x = 1" + ")" * 48}
    assert world.members(*rules.values()) == [[1], [1], [1]]
    text = "".join(sql.render(statement) for _, statement in world.plan(rules).queries())
    assert len(text) < 100 * sum(map(len, rules.values()))
    chained = {f"s{n}": f"member('s{n - 1}') and x = 1" if n else "true" for n in range(1000)}
    with world.evaluation() as evaluation:
        assert evaluation.memberships(world.plan(chained)).counts()["s999"] == 1


def test_the_connection_is_closed_to_everything_else(tmp_path: Path) -> None:
    for name in ("mine.parquet", "other.parquet"):
        pq.write_table(pa.table({"x": [1]}), tmp_path / name)
    mine, other = str(tmp_path / "mine.parquet"), str(tmp_path / "other.parquet")
    hidden = pa.table({"x": [1]})
    with DuckDB([mine], memory="200MB", threads=1) as database:
        connection = database._connection
        assert connection.execute(f"select x from read_parquet('{mine}')").fetchall() == [(1,)]
        for statement in [
            f"select * from read_parquet('{other}')", f"select * from '{other}'", "select * from hidden", "set threads = 4",
            "set enable_external_access = true", f"attach '{tmp_path}/x.db'", f"copy (select 1) to '{tmp_path}/x.csv'", "install httpfs",
            "load httpfs", "select * from read_text('/etc/hostname')", f"export database '{tmp_path}/out'",
        ]:  # fmt: skip
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
        assert connection.execute("select current_setting('TimeZone')").fetchall() == [("UTC",)]
    assert hidden.num_rows == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.parquet", "other.parquet"]
