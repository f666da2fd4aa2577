"""Fields within structs, of contacts and of events: what is read of them, and what a change of their type means."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine.columns import language_type, struct_fields, struct_type
from segmentry.engine.fixtures import Misfit, Row, cell
from segmentry.engine.fixtures import snapshot_of as made_up
from segmentry.engine.frames import EventFrame
from segmentry.engine.snapshot import Column, ContactSource, Relation, Snapshot
from segmentry.errors import RuleError
from segmentry.rules.ground import Clock
from segmentry.rules.types import DATE, FLOAT64, TEXT, exact, list_of, struct_of
from tests.engine.conftest import AS_OF, World, at

PARCEL = pa.struct([("cost", pa.decimal128(9, 2)), ("carrier", pa.string()), ("sent", pa.timestamp("ns", "UTC"))])
SENT = 1_780_000_000_123_456_789


@pytest.fixture
def world() -> World:
    contacts = pa.table({"id": [1, 2, 3], "home": pa.array([{"city": "Paris"}, {"city": ""}, None], pa.struct([("city", pa.string())]))})
    parcels = [
        {"cost": Decimal("1.50"), "carrier": "Paris", "sent": SENT},
        {"cost": Decimal("2.25"), "carrier": "", "sent": None},
        None,
        {"cost": Decimal("9.00"), "carrier": "x", "sent": None},
    ]
    orders = pa.table({"c": [1, 1, 2, 3], "at": at(*["2026-06-01"] * 3, "2026-06-02"), "parcel": pa.array(parcels, PARCEL)})
    other = pa.table({"c": [2], "at": at("2026-06-01")})
    return World(contacts, [EventFrame(orders, "c", "at", event="order"), EventFrame(other, "c", "at", event="visit")])


def test_properties_within_structs(world: World) -> None:
    asked = {
        "sum(order.parcel.cost) = 3.75": [1],
        "max(order.parcel.cost) > 5": [3],
        "latest(order.parcel.carrier) = 'x'": [3],
        "distinct(order.parcel.carrier) = 1": [1, 3],
        "count(order, parcel.carrier = contact.home.city) = 1": [1],
        "count(order, parcel.carrier is not set) = 1": [1, 2],
        "sum(any_event.parcel.cost) = 0": [2],
        "count(any_event, month(parcel.sent) = 5) = 1": [1],
        "max(order.parcel.sent) < '2026-05-28 20:26:40.123457Z'": [1],
        "max(order.parcel.sent) = '2026-05-28 20:26:40.123456Z'": [1],
        "home.city is not set": [2, 3],
    }
    assert dict(zip(asked, world.members(*asked), strict=True)) == asked


def test_what_is_within_a_stored_type() -> None:
    stored = (
        'STRUCT(city VARCHAR, "zip ""code" DECIMAL(9,2), kind ENUM(\'a, b\', \'(\'), geo STRUCT(lat DOUBLE, "at, on" DATE)[], raw BLOB)'
    )
    fields = struct_fields(stored)
    assert fields == {
        "city": "VARCHAR",
        'zip "code': "DECIMAL(9,2)",
        "kind": "ENUM('a, b', '(')",
        "geo": 'STRUCT(lat DOUBLE, "at, on" DATE)[]',
        "raw": "BLOB",
    }
    geo = list_of(struct_of({"lat": FLOAT64, "at, on": DATE}))
    assert language_type(stored) == struct_of({"city": TEXT, 'zip "code': exact(9, 2), "kind": TEXT, "geo": geo})
    assert language_type("STRUCT(raw BLOB)") is None
    assert struct_fields("VARCHAR") == struct_fields("STRUCT(a INTEGER)[]") == {}
    assert struct_fields(struct_type(fields)) == fields


NAMES = ["zip code", "a.b", "select", 'quo"te', "element", "contact", "Ä", "comma, x", "(bracket"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_fields_are_any_text(name: str) -> None:
    inner = pa.struct([(name, pa.string())])
    values = [{name: {name: "x"}}, {name: {name: ""}}, {name: None}, None]
    world = World(pa.table({"id": [1, 2, 3, 4], name: pa.array(values, pa.struct([(name, inner)]))}))
    quoted = '"' + name.replace('"', '""') + '"'
    way = ".".join([quoted] * 3)
    assert world.members(f"{way} = 'x'", f"{way} is not set", f"{way} != 'x'") == [[1], [2, 3, 4], [2, 3, 4]]
    lists = World(pa.table({"id": [1, 2], "items": pa.array([[{name: "x"}, None], [{name: "y"}]], pa.list_(inner))}))
    assert lists.members(f"any(items, element.{quoted} = 'x')", f"how_many(items, element.{quoted} is not set) = 1") == [[1], [1]]


def test_names_within_match_without_case_where_that_is_clear() -> None:
    alike = pa.struct([("City", pa.string()), ("geo", pa.struct([("LAT", pa.float64())]))])
    world = World(
        pa.table(
            {"id": [1, 2], "home": pa.array([{"City": "Paris", "geo": {"LAT": float("nan")}}, {"City": "", "geo": {"LAT": 1.0}}], alike)}
        )
    )
    assert world.members("HOME.city = 'Paris'", "home.GEO.lat is set", "not Home.Geo.Lat < 2") == [[1], [2], [1]]


def test_a_struct_in_a_struct_in_a_list_in_a_struct() -> None:
    line = pa.struct([("sku", pa.string()), ("cost", pa.struct([("net", pa.float64()), ("tags", pa.list_(pa.string()))]))])
    lines = [
        [{"sku": "A", "cost": {"net": 5.0, "tags": ["x"]}}, {"sku": "B", "cost": None}],
        [{"sku": "A", "cost": {"net": float("nan"), "tags": []}}, None],
        [],
        None,
    ]
    orders = pa.struct([("lines", pa.list_(line))])
    world = World(pa.table({"id": [1, 2, 3, 4, 5], "orders": pa.array([*({"lines": one} for one in lines), None], orders)}))
    asked = {
        "any(orders.lines, element.cost.net > 1)": [1],
        "how_many(orders.lines, element.cost.net is not set) = 1": [1],
        "how_many(orders.lines, element.cost.net is not set) = 2": [2],
        "all(orders.lines, element.sku = 'A')": [3],
        "any(orders.lines, any(element.cost.tags, element = 'x'))": [1],
        "none(orders.lines, element.cost.tags contains 'x')": [2, 3],
        "orders.lines is set": [1, 2, 3],
        "length(orders.lines) = 2": [1, 2],
    }
    assert dict(zip(asked, world.members(*asked), strict=True)) == asked


def test_tables_of_one_event_may_have_structs_of_different_fields() -> None:
    small = pa.struct([("cost", pa.int16()), ("only", pa.string()), ("kind", pa.string())])
    large = pa.struct([("kind", pa.int64()), ("Cost", pa.float64()), ("lines", pa.list_(pa.struct([("sku", pa.string())])))])
    one = pa.table({"c": [1, 2], "at": at(*["2026-06-01"] * 2), "parcel": pa.array([{"cost": 5, "only": "x", "kind": "k"}, None], small)})
    other = pa.table(
        {"c": [1, 3], "at": at(*["2026-06-02"] * 2), "parcel": pa.array([{"Cost": 0.5, "kind": 1, "lines": [{"sku": "A"}]}, None], large)}
    )
    world = World(pa.table({"id": [1, 2, 3]}), [EventFrame(one, "c", "at", event="order"), EventFrame(other, "c", "at", event="visit")])
    asked = {
        "count(any_event, parcel.only = 'x') = 1": [1],
        "count(any_event, parcel.only is not set) = 1": [1, 2, 3],
        "count(any_event, any(parcel.lines, element.sku = 'A')) = 1": [1],
        "count(any_event, parcel.lines is not set) = 1": [1, 2, 3],
        "max(visit.parcel.cost) = 0.5": [1],
        "sum(order.parcel.cost) = 5": [1],
    }
    assert dict(zip(asked, world.members(*asked), strict=True)) == asked
    with pytest.raises(RuleError) as error:
        world.members("did(any_event, parcel.kind is set)")
    assert [problem.code for problem in error.value.diagnostics] == ["R308"]


def test_steps_ask_what_is_within_structs_of_former_ones() -> None:
    parcel = pa.struct([("id", pa.string()), ("cost", pa.float64())])
    items = pa.list_(pa.struct([("sku", pa.string()), ("weight", pa.float64()), ("seen", pa.timestamp("ns"))]))
    rows = [
        (1, "2026-06-01", "cart", {"id": "p", "cost": 1.0}, [{"sku": "A", "weight": 1.0, "seen": None}]),
        (
            1,
            "2026-06-02",
            "order",
            {"id": "p", "cost": 2.0},
            [{"sku": "B", "weight": 1.0, "seen": None}, {"sku": "A", "weight": 5.0, "seen": 5}],
        ),
        (2, "2026-06-01", "cart", {"id": "p", "cost": 1.0}, []),
        (2, "2026-06-02", "order", {"id": "q", "cost": None}, [{"sku": "A", "weight": 1.0, "seen": None}]),
        (3, "2026-06-01", "cart", {"id": "", "cost": float("nan")}, None),
        (3, "2026-06-02", "order", None, [None]),
    ]
    who, when, what, parcels, lines = zip(*rows, strict=True)
    table = pa.table({"c": who, "at": at(*when), "event": what, "parcel": pa.array(parcels, parcel), "items": pa.array(lines, items)})
    world = World(pa.table({"id": [1, 2, 3]}), [EventFrame(table, "c", "at", "event")])
    asked = {
        "sequence(did(cart), did(order, parcel.id = cart.parcel.id))": [1],
        "sequence(did(cart), did(order, parcel.id != cart.parcel.id))": [2, 3],
        "sequence(did(cart, as => 'c'), did(order, parcel.cost > c.parcel.cost and parcel.id is set))": [1],
        "sequence(did(cart), did(order, any(items, element.sku = 'A' and element.weight > cart.parcel.cost)))": [1],
        "sequence(did(cart), did(order, how_many(items, element.weight >= cart.parcel.cost) = length(cart.items) + 1))": [
            1,
            2,
        ],
    }
    assert dict(zip(asked, world.members(*asked), strict=True)) == asked


def test_structs_can_be_made_up(tmp_path: Path) -> None:
    stored = "STRUCT(city VARCHAR, code UUID, since DATE, lines STRUCT(price DECIMAL(9,2), codes UUID[])[])"
    columns = {"id": Column("id", exact(19), "BIGINT"), "home": Column("home", language_type(stored), stored)}
    clock, code = Clock(AS_OF, "UTC"), "00000000-0000-0000-0000-00000000000A"
    written = {"City": "Paris", "code": code, "since": {"ago": "3 days"}, "lines": [{"price": 5, "codes": [code, None]}, None]}
    made = cell(written, None, columns["home"], clock)
    real = Snapshot(ContactSource(Relation(columns, frame="x"), "id"), ())
    snapshot = made_up(real, [Row({"id": 1, "home": made}), Row({"id": 2})], [], tmp_path)
    lines = [{"price": Decimal("5.00"), "codes": [code.lower(), None]}, None]
    home = {"city": "Paris", "code": code.lower(), "since": date(2026, 6, 12), "lines": lines}
    rows = pq.read_table(snapshot.contacts.relation.files[0].path).to_pylist()
    assert rows == [{"id": 1, "home": home}, {"id": 2, "home": None}]
    assert snapshot.contacts.relation.columns["home"].type == columns["home"].type
    for wrong in ({"citi": "x"}, "Paris", {"city": 5}, {"city": "x", "City": "x"}, {"lines": {}}):
        with pytest.raises(Misfit):
            cell(wrong, None, columns["home"], clock)
