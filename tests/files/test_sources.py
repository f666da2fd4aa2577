"""From paths to a pinned snapshot: which files, which columns, which types; and what is noticed of a change."""

import json
import os
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine.scanning import reader
from segmentry.engine.snapshot import Format
from segmentry.engine.sources import (
    connect,
    pin,
    regex_error,
    schema_changes,
    schema_of,
    snapshot_from_json,
    snapshot_to_json,
    verify_unchanged,
)
from segmentry.engine.textfiles import scan_text
from segmentry.errors import SourceChanged, SourceError
from segmentry.rules.diagnostics import Severity
from segmentry.rules.types import BOOLEAN, DATE, FLOAT32, FLOAT64, TEXT, TIMESTAMP, exact, list_of, struct_of

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
STAMPS = pa.array([1, 2], pa.timestamp("us"))


def names(relation) -> list[str]:
    return [os.path.basename(file.path) for file in relation.files]  # noqa: PTH119


def read(relation) -> list[tuple]:
    function, options = reader(relation)
    with connect() as connection:
        found = connection.sql(f"select * from {scan_text(function, [f.path for f in relation.files], options)}").to_arrow_table()
    return [tuple(row.values()) for row in found.to_pylist()]


def codes(error) -> list[str]:
    return [problem.code for problem in error.value.diagnostics]


# ---------------------------------------------------------------- types


TYPES = {
    "text": (pa.array(["a", "b"]), TEXT),
    "large_text": (pa.array(["a", "b"], pa.large_string()), TEXT),
    "dictionary": (pa.array(["a", "b"]).dictionary_encode(), TEXT),
    "uuid": (pa.array([b"0" * 16, b"1" * 16], pa.uuid()), TEXT),
    "int8": (pa.array([1, 2], pa.int8()), exact(3)),
    "uint16": (pa.array([1, 2], pa.uint16()), exact(5)),
    "int32": (pa.array([1, 2], pa.int32()), exact(10)),
    "int64": (pa.array([1, 2], pa.int64()), exact(19)),
    "uint64": (pa.array([1, 2**64 - 1], pa.uint64()), exact(20)),
    "half": (pa.array([1.0, 2.0], pa.float16()), FLOAT32),
    "float": (pa.array([1, 2], pa.float32()), FLOAT32),
    "double": (pa.array([1, 2], pa.float64()), FLOAT64),
    "decimal": (pa.array([Decimal("1.5"), None], pa.decimal128(12, 2)), exact(12, 2)),
    "decimal38": (pa.array([Decimal("1.5"), None], pa.decimal128(38, 4)), exact(38, 4)),
    "decimal256": (pa.array([Decimal("1.5"), None], pa.decimal256(50, 2)), None),
    "boolean": (pa.array([True, None]), BOOLEAN),
    "seconds": (pa.array([1, 2], pa.timestamp("s")), TIMESTAMP),
    "millis": (pa.array([1, 2], pa.timestamp("ms")), TIMESTAMP),
    "nanos": (pa.array([1, 2], pa.timestamp("ns")), TIMESTAMP),
    "zoned": (pa.array([1, 2], pa.timestamp("us", "Europe/London")), TIMESTAMP),
    "zoned_nanos": (pa.array([1, 2], pa.timestamp("ns", "UTC")), TIMESTAMP),
    "date32": (pa.array([1, 2], pa.date32()), DATE),
    "date64": (pa.array([0, 86_400_000], pa.date64()), DATE),
    "texts": (pa.array([["a"], []]), list_of(TEXT)),
    "numbers": (pa.array([[1], []], pa.large_list(pa.int64())), list_of(exact(19))),
    "pairs": (pa.array([[1, 2], [3, 4]], pa.list_(pa.float64(), 2)), list_of(FLOAT64)),
    "structs": (pa.array([{"a": 1}, None]), struct_of({"a": exact(19)})),
    "struct_list": (pa.array([[{"a": 1}], []]), list_of(struct_of({"a": exact(19)}))),
    "structs_of_times": (pa.array([{"a": time(1), "b": timedelta(1)}, None]), None),
    "dates": (pa.array([[1], []], pa.list_(pa.date32())), None),
    "map": (pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())), None),
    "time": (pa.array([1, 2], pa.time64("us")), None),
    "duration": (pa.array([1, 2], pa.duration("us")), None),
    "bytes": (pa.array([b"a", b"b"]), None),
    "json": (pa.array(["1", "2"], pa.json_()), None),
    "nothing": (pa.nulls(2), None),
}


def test_stored_types_become_the_languages(put, config, tmp_path):
    put("data/contacts.parquet", id=[1, 2], **{name: array for name, (array, _) in TYPES.items()})
    snapshot = pin(config(), NOON, tmp_path)
    columns = snapshot.contacts.relation.columns
    assert {name: columns[name].type for name in TYPES} == {name: kind for name, (_, kind) in TYPES.items()}
    schema = schema_of(snapshot, ["vip"])
    assert set(schema.unusable) == {name for name, (_, kind) in TYPES.items() if kind is None}
    assert set(schema.fields) == {"id"} | {name for name, (_, kind) in TYPES.items() if kind is not None}
    assert (schema.key, schema.key_type, schema.segments) == ("id", exact(19), frozenset({"vip"}))
    assert schema.unusable["decimal256"] == "DECIMAL(50,2)"


@pytest.mark.parametrize(
    "array", [pa.array([1, 2], pa.int8()), pa.array([1, 2], pa.uint64()), pa.array(["a", "b"]), TYPES["uuid"][0], TYPES["dictionary"][0]]
)
def test_keys_are_integers_text_or_uuids(put, config, tmp_path, array):
    put("data/contacts.parquet", id=array)
    assert pin(config(), NOON, tmp_path).contacts.key == "id"


@pytest.mark.parametrize("name", ["double", "boolean", "date32", "decimal", "bytes", "texts", "zoned"])
def test_other_types_are_no_keys(put, config, tmp_path, name):
    put("data/contacts.parquet", id=TYPES[name][0])
    with pytest.raises(SourceError) as error:
        pin(config(), NOON, tmp_path)
    assert codes(error) == ["S302"]


def test_names_match_without_case_and_are_kept_exactly(put, config, tmp_path):
    put("data/contacts.parquet", ID=[1], Email=["a"])
    contacts = pin(config(contacts={"email": "EMAIL"}), NOON, tmp_path).contacts
    assert (contacts.key, contacts.email) == ("ID", "Email")


# ---------------------------------------------------------------- which files


def test_globs_give_files_in_the_order_of_their_paths(put, config, tmp_path):
    for name in ("b", "a", "_part", ".hidden", "c"):
        put(f"data/{name}.parquet", id=[ord(name[0])])
    (tmp_path / "data/_SUCCESS").touch()
    relation = pin(config("data/*"), NOON, tmp_path).contacts.relation
    assert names(relation) == ["a.parquet", "b.parquet", "c.parquet"]
    assert [row[0] for row in read(relation)] == [97, 98, 99]
    assert [file.rows for file in relation.files] == [1, 1, 1]


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "a?b.parquet", "it's.parquet", "käse 😀.parquet", "${HOME}.parquet"])
def test_strange_file_names_are_files(put, config, tmp_path, name):
    put(f"data/{name}", id=[1])
    relation = pin(config(f"data/{name}"), NOON, tmp_path).contacts.relation
    assert names(relation) == [name]
    assert read(relation) == [(1,)]


def test_absolute_paths_and_paths_outside_are_taken(put, config, tmp_path):
    path = put("elsewhere/c.parquet", id=[1])
    (tmp_path / "ws").mkdir()
    assert names(pin(config(str(path)), NOON, tmp_path / "ws").contacts.relation) == ["c.parquet"]
    assert names(pin(config("../elsewhere/*.parquet"), NOON, tmp_path / "ws").contacts.relation) == ["c.parquet"]


@pytest.mark.parametrize("path", ["data/a", "data/a/*/*/*.parquet", "data/a/**/*.parquet"])
def test_hive_folders_become_columns(put, config, tmp_path, path):
    put("data/a/day=2026-01-31/region=UK%20south/x.parquet", id=[1])
    put("data/a/day=2026-02-01/region=07/x.parquet", id=[2])
    relation = pin(config(path), NOON, tmp_path).contacts.relation
    assert relation.hive
    assert {name: column.stored for name, column in relation.columns.items()} == {"id": "BIGINT", "day": "DATE", "region": "VARCHAR"}
    with connect() as connection:
        function, options = reader(relation)
        found = connection.execute(
            f"select id, day, region from {scan_text(function, [f.path for f in relation.files], options)}"
        ).fetchall()
    assert found == [(1, date(2026, 1, 31), "UK south"), (2, date(2026, 2, 1), "07")]


def test_hive_columns_may_be_declared(put, config, tmp_path):
    put("data/month=07/x.parquet", id=[1])
    told = pin(config("data", contacts={"fields": {"month": "text"}}), NOON, tmp_path).contacts.relation
    assert [row[1] for row in read(told)] == ["07"]
    assert [row[1] for row in read(pin(config("data"), NOON, tmp_path).contacts.relation)] == [7]


def test_the_newest_date_at_or_before_as_of_is_read(put, config, tmp_path):
    for day in ("2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02", "2026-02-31", "latest"):
        put(f"data/{day}.parquet", id=[1])
    assert names(pin(config("data/{date}.parquet"), NOON, tmp_path).contacts.relation) == ["2026-02-01.parquet"]
    assert names(pin(config("data/{date}.parquet"), datetime(2026, 1, 31, tzinfo=UTC), tmp_path).contacts.relation) == [
        "2026-01-31.parquet"
    ]


def test_a_date_begins_with_its_first_instant_in_the_timezone(put, config, tmp_path):
    for day in ("2026-01-31", "2026-02-01"):
        put(f"data/{day}.parquet", id=[1])
    in_auckland, in_honolulu = (
        config("data/{date}.parquet", timezone="Pacific/Auckland"),
        config("data/{date}.parquet", timezone="Pacific/Honolulu"),
    )
    as_of = datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert names(pin(in_auckland, as_of, tmp_path).contacts.relation) == ["2026-02-01.parquet"]
    assert names(pin(in_honolulu, datetime(2026, 2, 1, 9, 59, tzinfo=UTC), tmp_path).contacts.relation) == ["2026-01-31.parquet"]
    assert names(pin(in_honolulu, datetime(2026, 2, 1, 10, tzinfo=UTC), tmp_path).contacts.relation) == ["2026-02-01.parquet"]


def test_hours_and_folders_of_a_date_template(put, config, tmp_path):
    for hour in ("2026-02-01T11", "2026-02-01T12", "2026-02-01T13"):
        put(f"data/{hour}/contacts-{hour}-a.parquet", id=[1])
        put(f"data/{hour}/contacts-{hour}-b.parquet", id=[2])
    found = pin(config("data/{date}/contacts-{date}-*.parquet"), NOON, tmp_path).contacts.relation
    assert names(found) == ["contacts-2026-02-01T12-a.parquet", "contacts-2026-02-01T12-b.parquet"]


def test_a_snapshot_without_its_marker_does_not_exist_yet(put, config, tmp_path):
    for day in ("2026-01-30", "2026-01-31", "2026-02-01"):
        put(f"data/{day}.parquet", id=[1])
    (tmp_path / "data/2026-01-30._SUCCESS").touch()
    ready = config("data/{date}.parquet", contacts={"ready": "data/{date}._SUCCESS"})
    assert names(pin(ready, NOON, tmp_path).contacts.relation) == ["2026-01-30.parquet"]
    (tmp_path / "data/2026-01-31._SUCCESS").touch()
    assert names(pin(ready, NOON, tmp_path).contacts.relation) == ["2026-01-31.parquet"]


# ---------------------------------------------------------------- files that differ


def test_files_are_matched_by_column_name(put, config, tmp_path):
    put(
        "data/a.parquet",
        id=pa.array([1], pa.int32()),
        price=pa.array([Decimal("1.50")], pa.decimal128(6, 2)),
        seen=pa.array([1], pa.timestamp("ms")),
    )
    put("data/b.parquet", seen=pa.array([2], pa.timestamp("ns", "UTC")), id=pa.array([2], pa.int64()), city=["x"])
    put("data/c.parquet", id=pa.array([3], pa.int16()), price=pa.array([Decimal("2.123")], pa.decimal128(20, 3)), city=pa.nulls(1))
    relation = pin(config("data/*.parquet"), NOON, tmp_path).contacts.relation
    kinds = {name: column.type for name, column in relation.columns.items()}
    assert kinds == {"id": exact(19), "price": exact(20, 3), "seen": TIMESTAMP, "city": TEXT}
    with connect() as connection:
        function, options = reader(relation)
        described = connection.execute(
            f"describe select * from {scan_text(function, [f.path for f in relation.files], options)}"
        ).fetchall()
    assert {name: kind for name, kind, *_ in described} == {column.name: column.stored for column in relation.columns.values()}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array(["a"]), pa.array([1])),
        (pa.array([1]), pa.array([1.5])),
        (pa.array([1], pa.date32()), pa.array([1], pa.timestamp("us"))),
        (pa.array([1], pa.int64()), pa.array([1], pa.uint64())),
        (pa.array([["a"]]), pa.array([[1]])),
        (pa.array([True]), pa.array(["true"])),
        (pa.array([{"a": 1}]), pa.array([{"b": 1}])),
    ],
)
def test_types_that_mean_other_things_are_refused(put, config, tmp_path, first, second):
    put("data/a.parquet", id=[1], x=first)
    put("data/b.parquet", id=[2], x=second)
    with pytest.raises(SourceError, match=r"a\.parquet and .* in b\.parquet|signed") as error:
        pin(config("data/*.parquet"), NOON, tmp_path)
    assert codes(error) == ["S203"]


# ---------------------------------------------------------------- CSV and NDJSON


def test_csv_types_are_read_off_all_values(config, tmp_path):
    (tmp_path / "c.csv").write_text(
        "\ufeffid,postcode,joined,seen,zoned,score,member,note,big,mixed,empty\r\n"
        '1,00123,2026-01-31,2026-01-31 09:00,2026-01-31T09:00:00Z,1.5,true,"a, ""b""",12345678901234567890,1,\r\n'
        '2,SW1,2026-02-28,2026-01-31T09:00:01.5,2026-01-31 09:00:00+02:00,2,False,,1,x,""\r\n',
        newline="",
    )
    relation = pin(config("c.csv"), NOON, tmp_path).contacts.relation
    assert (relation.format, relation.files[0].rows) == (Format.CSV, None)
    assert relation.declared == {
        "id": "BIGINT", "postcode": "VARCHAR", "joined": "DATE", "seen": "TIMESTAMP", "zoned": "TIMESTAMP WITH TIME ZONE",
        "score": "DOUBLE", "member": "BOOLEAN", "note": "VARCHAR", "big": "VARCHAR", "mixed": "VARCHAR", "empty": "VARCHAR",
    }  # fmt: skip
    assert {name: column.stored for name, column in relation.columns.items()} == relation.declared
    (first, second) = read(relation)
    assert first[:4] == (1, "00123", date(2026, 1, 31), datetime.fromisoformat("2026-01-31T09:00"))
    assert first[5:] == (1.5, True, 'a, "b"', "12345678901234567890", "1", None)
    assert second[3] == datetime.fromisoformat("2026-01-31T09:00:01.5")


def test_csv_types_may_be_declared(config, tmp_path):
    (tmp_path / "c.csv").write_text("id,postcode,price,joined,tags\n1,123,1.5,,[a]\n")
    fields = {"postcode": "text", "price": "decimal(12, 2)", "joined": "date", "tags": "list of text", "id": "text"}
    relation = pin(config("c.csv", contacts={"fields": fields}), NOON, tmp_path).contacts.relation
    assert relation.declared == {"id": "VARCHAR", "postcode": "VARCHAR", "price": "DECIMAL(12,2)", "joined": "DATE", "tags": "VARCHAR[]"}
    assert read(relation) == [("1", "123", Decimal("1.50"), None, ["a"])]


def test_a_type_holds_for_every_file(config, tmp_path):
    (tmp_path / "a.csv").write_text("id,x\n1,5\n")
    (tmp_path / "b.csv").write_text("id,x\n2,six\n")
    relation = pin(config("*.csv"), NOON, tmp_path).contacts.relation
    assert read(relation) == [(1, "5"), (2, "six")]


def test_a_late_value_decides_too(config, tmp_path):
    (tmp_path / "c.csv").write_text("id,x\n" + "".join(f"{n},{n}\n" for n in range(30_000)) + "30000,end\n")
    assert pin(config("c.csv"), NOON, tmp_path).contacts.relation.declared["x"] == "VARCHAR"


def test_ndjson_types(config, tmp_path):
    lines = [
        {
            "id": 1,
            "postcode": "00123",
            "joined": "2026-01-31",
            "seen": "2026-01-31T09:00:00Z",
            "score": 1,
            "tags": ["a"],
            "extra": {"a": 1},
            "odd": 1,
        },
        {"id": 2, "score": 1.5, "member": True, "sizes": [1, 2], "odd": "x", "key": "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"},
    ]
    (tmp_path / "c.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    relation = pin(config("c.ndjson", contacts={"fields": {"joined": "text"}}), NOON, tmp_path).contacts.relation
    assert relation.declared == {
        "id": "BIGINT", "postcode": "VARCHAR", "joined": "VARCHAR", "seen": "TIMESTAMP WITH TIME ZONE", "score": "DOUBLE",
        "tags": "VARCHAR[]", "extra": 'STRUCT("a" BIGINT)', "odd": "JSON", "member": "BOOLEAN", "sizes": "BIGINT[]", "key": "VARCHAR",
    }  # fmt: skip
    assert {name for name, column in relation.columns.items() if column.type is None} == {"odd"}
    assert len(read(relation)) == 2


def test_ndjson_objects(config, tmp_path):
    """Field by field, those that a line lacks missing; what has no one type is in no rule's reach."""
    lines = [
        {"id": 1, "home": {"city": "Paris", "since": "2026-01-31", "geo": {"lat": 1.5}, 'odd "name"': 7, "mixed": [[1]], "none": None}},
        {"id": 2, "home": {"city": "Rome", "geo": {}}, "items": [{"sku": "a"}, {"price": 3}], "any": {"a": 1}},
        {"id": 3, "home": None, "items": [], "any": "text", "empty": {}},
    ]
    (tmp_path / "c.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    relation = pin(config("c.ndjson"), NOON, tmp_path).contacts.relation
    types = {name: column.type for name, column in relation.columns.items()}
    number = exact(19)
    assert types["home"] == struct_of({"city": TEXT, "since": TEXT, "geo": struct_of({"lat": FLOAT64}), 'odd "name"': number})
    assert types["items"] == list_of(struct_of({"sku": TEXT, "price": number}))
    assert {name for name, type in types.items() if type is None} == {"any", "empty"}
    names = list(relation.declared)
    first, second, third = (dict(zip(names, row, strict=True)) for row in sorted(read(relation)))
    assert (first["home"]["city"], first["home"]["geo"], first["home"]['odd "name"']) == ("Paris", {"lat": 1.5}, 7)
    assert second["items"] == [{"sku": "a", "price": None}, {"sku": None, "price": 3}]
    assert (third["home"], third["items"]) == (None, [])


# ---------------------------------------------------------------- events


EVENTS = [
    {"path": "data/events.parquet", "contact": "who", "at": "at", "name": "event"},
    {"path": "data/orders.parquet", "contact": "who", "at": "day", "event": "order_placed", "scale": 2},
]


@pytest.fixture
def shop(put, config, tmp_path):
    put("data/contacts.parquet", id=[1, 2], email=["a", "b"])
    put(
        "data/events.parquet", who=pa.array([1, 1, 9], pa.int32()), at=pa.array([1, 2, 3], pa.timestamp("us")), event=["seen", "form", None]
    )
    put("data/orders.parquet", who=[1, 2], day=pa.array([1, 2], pa.date32()), amount=[1.5, 2.5])
    return pin(config(events=EVENTS), NOON, tmp_path)


def test_event_tables(shop):
    seen, orders = schema_of(shop).events
    assert (seen.event, seen.names, seen.label, set(seen.fields)) == (None, {"seen", "form"}, "events.parquet", {"who", "at", "event"})
    assert (orders.event, orders.names, orders.label, orders.scale) == ("order_placed", None, "order_placed", 2)
    assert schema_of(shop, look=False).events[0].names is None


def test_an_events_key_may_be_of_another_width_but_not_of_another_kind(put, config, tmp_path, shop):
    assert shop.events[0].relation.columns["who"].stored == "INTEGER"
    put("data/orders.parquet", who=["1"], day=pa.array([1], pa.date32()))
    with pytest.raises(SourceError) as error:
        pin(config(events=EVENTS), NOON, tmp_path)
    assert codes(error) == ["S304"]


def test_patterns_are_checked_by_re2():
    assert regex_error("^(?i)a.*b$") is None
    assert "missing )" in regex_error("(")
    assert regex_error("(?=x)") is not None
    assert regex_error("(a{1000}){1000}") is not None


def test_the_connection_for_patterns_reads_no_file(put):
    from segmentry.engine.schemas import _regex_connection

    path = put("data/contacts.parquet", id=[1])
    with pytest.raises(duckdb.Error, match=r"disabled|locked"):
        _regex_connection().cursor().execute("select * from read_parquet(?)", [str(path)])


# ---------------------------------------------------------------- pinned


def test_a_snapshot_comes_back_from_json_the_same(shop, put, config, tmp_path):
    assert snapshot_from_json(json.loads(json.dumps(snapshot_to_json(shop)))) == shop
    put("hive/day=2026-01-01/a.parquet", id=[1], wide=pa.array([Decimal(1)], pa.decimal256(40, 0)), s=pa.array([{"a": 1}]))
    other = pin(config("hive"), NOON, tmp_path)
    assert snapshot_from_json(json.loads(json.dumps(snapshot_to_json(other)))) == other


def test_unchanged_files_are_unchanged(shop):
    verify_unchanged(shop)


@pytest.mark.parametrize("change", ["rewritten", "touched", "gone", "cut off", "other values, same size and time"])
def test_a_changed_file_is_noticed(shop, put, tmp_path, change):
    path = tmp_path / "data/orders.parquet"
    before = path.stat()
    if change == "rewritten":
        put("data/orders.parquet", who=[1], day=pa.array([1], pa.date32()), amount=[1.5])
    elif change == "touched":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    elif change == "gone":
        path.unlink()
    elif change == "cut off":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        put("data/orders.parquet", who=[1, 2], day=pa.array([1, 2], pa.date32()), amount=[1.5, 2.25])
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SourceChanged, match=r"a source changed while it was read: .*orders\.parquet") as error:
        verify_unchanged(shop)
    assert codes(error) == ["S401"]


def test_a_text_file_with_other_content_is_noticed(config, tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("id\n1\n")
    snapshot = pin(config("c.csv"), NOON, tmp_path)
    before = path.stat()
    path.write_text("id\n2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SourceChanged, match="another content"):
        verify_unchanged(snapshot)


def test_the_digest_is_of_the_footer(put, config, tmp_path):
    path = put("data/contacts.parquet", id=[1, 2])
    first = pin(config(), NOON, tmp_path).contacts.relation.files[0]
    os.utime(path)
    second = pin(config(), NOON, tmp_path).contacts.relation.files[0]
    assert first.digest == second.digest
    assert (first.size, first.rows, second.modified > first.modified) == (path.stat().st_size, 2, True)


def test_changes_of_the_schema(shop, put, config, tmp_path):
    put("data/contacts.parquet", id=pa.array([1], pa.int32()), email=[1], extra=["x"])
    put("data/orders.parquet", who=[1, 2], day=pa.array([1, 2], pa.date32()))
    now = pin(config(events=EVENTS), NOON, tmp_path)
    assert schema_changes(shop, shop) == ()
    changes = schema_changes(shop, now, {("order_placed", "amount"): {"vip", "buyers"}})
    assert [(c.code, c.severity, c.notes) for c in changes] == [
        ("S402", Severity.ERROR, ("read by buyers, vip",)),
        ("S403", Severity.WARNING, ()),
    ]
    assert "`amount` is gone" in changes[0].message
    assert changes[1].message == "contacts: `email` was text in the accepted run and is integer (BIGINT) now"


def test_structs_of_several_files_have_all_their_fields(put, config, tmp_path):
    put("data/a.parquet", id=[1, 2], home=pa.array([{"City": "Paris", "geo": {"lat": 1.5}}, None]), items=pa.array([[{"sku": "A"}], []]))
    put(
        "data/b.parquet",
        id=[3],
        home=pa.array([{"geo": {"lon": 2.5, "lat": 3.5}, "zip": 5, "city": "Lyon"}]),
        items=pa.array([[{"price": 5, "sku": "B"}]]),
    )
    relation = pin(config("data/*.parquet"), NOON, tmp_path).contacts.relation
    geo = struct_of({"lat": FLOAT64, "lon": FLOAT64})
    assert relation.columns["home"].type == struct_of({"City": TEXT, "geo": geo, "zip": exact(19)})
    assert relation.columns["items"].type == list_of(struct_of({"sku": TEXT, "price": exact(19)}))
    assert read(relation)[2][1:] == ({"City": "Lyon", "geo": {"lat": 3.5, "lon": 2.5}, "zip": 5}, [{"sku": "B", "price": 5}])


def test_a_field_of_a_struct_that_means_other_things_is_named(put, config, tmp_path):
    put("data/a.parquet", id=[1], home=pa.array([{"city": "Paris", "geo": {"lat": 1.5}}]), items=pa.array([[{"sku": "A", "n": 1}]]))
    put("data/b.parquet", id=[2], home=pa.array([{"city": 5, "geo": {"lat": "x"}}]), items=pa.array([[{"sku": 1, "n": 1}]]))
    with pytest.raises(SourceError) as error:
        pin(config("data/*.parquet"), NOON, tmp_path)
    assert [problem.message.split(" in a")[0] for problem in error.value.diagnostics] == [
        "`home.city` is text",
        "`home.geo.lat` is number (DOUBLE)",
        "`items.element.sku` is text",
    ]


def test_what_is_read_as_something_else_within_structs_is_in_no_rules_reach(put, config, tmp_path):
    wide = pa.array([[{"a": 1, "b": Decimal(1)}]], pa.list_(pa.struct([("a", pa.int64()), ("b", pa.decimal256(50, 2))])))
    length = pa.array([{"a": 1, "b": 5}], pa.struct([("a", pa.int64()), ("b", pa.duration("s"))]))
    alike = pa.array(
        [{"c": {"a": 1, "A": 5}, "d": "x"}], pa.struct([("c", pa.struct([("a", pa.int64()), ("A", pa.int64())])), ("d", pa.string())])
    )
    put("data/contacts.parquet", id=[1], wide=wide, length=length, alike=alike)
    snapshot = pin(config(), NOON, tmp_path)
    found = {name: column.type for name, column in snapshot.contacts.relation.columns.items() if name != "id"}
    assert found == {"wide": list_of(struct_of({"a": exact(19)})), "length": struct_of({"a": exact(19)}), "alike": struct_of({"d": TEXT})}
    assert snapshot_from_json(snapshot_to_json(snapshot)) == snapshot


def test_changes_within_structs(put, config, tmp_path):
    items = pa.array([[{"sku": "A", "price": 5}]])
    put("data/contacts.parquet", id=[1], home=pa.array([{"city": "Paris", "zip": 1, "geo": {"lat": 1.5}}]), items=items, plain=["x"])
    before = pin(config(), NOON, tmp_path)
    items = pa.array([[{"sku": 5, "weight": 1.5}]])
    put("data/contacts.parquet", id=[1], home=pa.array([{"zip": "1", "new": 5}]), items=items, plain=pa.array([{"x": 1}]))
    now = pin(config(), NOON, tmp_path)
    used = {
        ("contacts", "home", "geo", "lat"): ["near"],
        ("contacts", "items", "element", "sku"): ["buyers"],
        ("contacts", "home", "new"): ["x"],
    }
    assert schema_changes(now, now, used) == ()
    found = [(c.code, c.severity.value, c.message.split("`")[1], c.notes) for c in schema_changes(before, now, used)]
    assert sorted(found) == [
        ("S402", "error", "home.geo", ("read by near",)),
        ("S402", "warning", "home.city", ()),
        ("S402", "warning", "items.element.price", ()),
        ("S403", "error", "items.element.sku", ("read by buyers",)),
        ("S403", "warning", "home.zip", ()),
        ("S403", "warning", "plain", ()),
    ]


def test_another_kind_of_key_is_refused(shop, put, config, tmp_path):
    put("data/contacts.parquet", id=["1"], email=["a"])
    now = pin(config(), NOON, tmp_path)
    errors = [change for change in schema_changes(shop, now) if change.severity is Severity.ERROR]
    assert [error.message for error in errors] == ["the contacts' key was integer in the accepted run and is text now"]


@contextmanager
def as_nobody():
    """Without root's right to read every file; a plain user stays who they are."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read(put, config, tmp_path):
    path = put("data/contacts.parquet", id=[1])
    pin(config(), NOON, tmp_path)  # everything is imported now: nobody may not read a package either
    path.chmod(0)
    for folder in (path.parent, *path.parent.parents):
        if folder.is_relative_to(tmp_path.parent.parent):
            folder.chmod(0o755)
    with pytest.raises(SourceError) as error, as_nobody():
        pin(config(), NOON, tmp_path)
    assert codes(error) == ["S103"]


def test_a_file_that_may_not_be_read_told_by_the_system(put, config, tmp_path, monkeypatch):
    path = put("data/contacts.parquet", id=[1])

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(SourceError) as error:
        pin(config(), NOON, tmp_path)
    assert codes(error) == ["S103"]


@pytest.mark.parametrize("path", ["a\0b.parquet", "x" * 5000 + ".parquet", "[", "data/[a-.parquet", "**", "{date}{date}", "./"])
def test_strange_paths_end_in_diagnostics(config, tmp_path, path):
    with pytest.raises(SourceError):
        pin(config(path), NOON, tmp_path)


def test_a_damaged_footer_with_a_whole_frame_is_named(config, tmp_path):
    (tmp_path / "c.parquet").write_bytes(b"PAR1" + b"\x00" * 40 + (40).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(SourceError, match=r"c\.parquet is a damaged Parquet file"):
        pin(config("c.parquet"), NOON, tmp_path)


def test_many_files_are_pinned_fast_enough(config, tmp_path):
    table = pa.table({"id": [1], "x": ["a"]})
    for n in range(300):
        pq.write_table(table, tmp_path / f"{n:03}.parquet")
    relation = pin(config("*.parquet"), NOON, tmp_path).contacts.relation
    assert len(relation.files) == 300
