"""Random contacts and events. Raw rows are the truth; Arrow tables and the oracle's cleaned contacts are both made from them."""

from __future__ import annotations

import math
import random
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa

from tests.oracle import language as lang
from tests.oracle import zones
from tests.oracle.evaluator import Contact, EventRow, Moment
from tests.oracle.pools import ADDRESSES, FLOATS, NUMBERS, SPACES, WORDS

ZONES = (
    "UTC",
    "Europe/London",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Sao_Paulo",
)
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

# Near daylight-saving edges, month ends and leap days; all in the past, all within one minute or hour of something.
MOMENTS = (
    "2024-03-31T01:00:00",  # London springs forward
    "2024-10-27T01:30:00",  # London's hour occurs twice
    "2024-03-10T07:00:00",  # New York
    "2024-11-03T05:30:00",
    "2024-04-06T15:15:00",  # Lord Howe: half an hour back
    "2024-10-05T15:30:00",
    "2011-12-31T10:30:00",  # Apia has just skipped a whole day
    "2018-11-04T03:00:00",  # Sao Paulo: midnight does not exist
    "2018-02-18T02:30:00",  # Sao Paulo: the hour before midnight occurs twice
    "2024-02-29T12:00:00",
    "2024-02-29T23:59:59.999999",
    "2025-03-31T04:30:00",
    "2023-12-31T18:30:00",  # Kolkata's new year
    "2025-01-01T00:00:00",
    "2025-05-31T23:00:00",
    "2025-08-31T00:00:00.000001",
)


def single(number: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


@dataclass(frozen=True)
class Column:
    """`kind` is one of KINDS; timestamps also have a unit and a zone."""

    name: str
    kind: str
    unit: str = "us"
    zone: str | None = None

    @property
    def arrow(self) -> pa.DataType:
        if self.kind == "timestamp":
            return pa.timestamp(self.unit, self.zone)
        return KINDS[self.kind][0]

    @property
    def type(self) -> lang.Type:
        return lang.TIMESTAMP if self.kind == "timestamp" else KINDS[self.kind][1]

    def clean(self, raw: Any) -> Any:
        """What the language sees: None for null, NaN and the empty text, microseconds for timestamps."""
        if raw is None or raw == "" or (isinstance(raw, float) and math.isnan(raw)):
            return None
        match self.type.kind:
            case "struct":
                return {name: Column(name, kind).clean(raw[name]) for name, kind in STRUCT.items()}
            case "list":
                assert self.type.element is not None
                element = Column("", {"text": "string", "struct": "struct"}.get(self.type.element.kind, "double"))
                return tuple(element.clean(e) for e in raw)
            case "timestamp":
                return raw * 10**6 // PER_SECOND[self.unit]
            case "exact":
                return Fraction(raw) if self.type.scale else raw
            case "text" if self.kind == "uuid":
                return str(raw)
        return raw


STRUCT = {"sku": "string", "Unit Price": "decimal12", "weight": "double", "qty": "int16", "due": "date32", "labels": "texts"}
"""The fields of the structs that there are, by the kind of each."""

DICTIONARY = pa.dictionary(pa.int32(), pa.string())
KINDS: dict[str, tuple[pa.DataType, lang.Type]] = {
    "string": (pa.string(), lang.TEXT),
    "large_string": (pa.large_string(), lang.TEXT),
    "dictionary": (DICTIONARY, lang.TEXT),
    "uuid": (pa.uuid(), lang.TEXT),
    "int8": (pa.int8(), lang.INTEGER),
    "int16": (pa.int16(), lang.INTEGER),
    "int32": (pa.int32(), lang.INTEGER),
    "int64": (pa.int64(), lang.INTEGER),
    "uint8": (pa.uint8(), lang.INTEGER),
    "uint32": (pa.uint32(), lang.INTEGER),
    "uint64": (pa.uint64(), lang.INTEGER),
    "decimal12": (pa.decimal128(12, 2), lang.exact(2)),
    "decimal38": (pa.decimal128(38, 10), lang.exact(10)),
    "float": (pa.float32(), lang.FLOAT32),
    "double": (pa.float64(), lang.FLOAT64),
    "bool": (pa.bool_(), lang.BOOLEAN),
    "date32": (pa.date32(), lang.DATE),
    "date64": (pa.date64(), lang.DATE),
    "texts": (pa.list_(pa.string()), lang.Type("list", element=lang.TEXT)),
    "large_texts": (pa.large_list(pa.large_string()), lang.Type("list", element=lang.TEXT)),
    "integers": (pa.list_(pa.int64()), lang.Type("list", element=lang.INTEGER)),
    "doubles": (pa.list_(pa.float64()), lang.Type("list", element=lang.FLOAT64)),
    "singles": (pa.list_(pa.float32()), lang.Type("list", element=lang.FLOAT32)),
}
KINDS["struct"] = (
    pa.struct([(name, KINDS[kind][0]) for name, kind in STRUCT.items()]),
    lang.Type("struct", fields=tuple((name, KINDS[kind][1]) for name, kind in STRUCT.items())),
)
KINDS["structs"] = (pa.list_(KINDS["struct"][0]), lang.Type("list", element=KINDS["struct"][1]))
BITS = {"int8": (-(2**7), 2**7 - 1), "int16": (-(2**15), 2**15 - 1), "int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
BITS |= {"uint8": (0, 2**8 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1)}


@dataclass(frozen=True)
class Table:
    """An event table: of one event, or with the event's name in column `name`."""

    contact: str
    at: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    event: str | None = None
    name: str | None = None

    def names(self) -> set[str]:
        return {self.event} if self.event else {row[self.name] for row in self.rows if row[self.name]}

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Dataset:
    """One world to ask: contacts, events, and the instant and zone in which they are asked about."""

    clock: Moment
    key: Column
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    tables: tuple[Table, ...]
    as_of: Any
    """What is handed to the product for `clock.as_of`: an aware or naive datetime, or text."""

    scale: int = 6
    """Places of a float that sums keep, in every event table."""

    def arrow(self) -> pa.Table:
        return arrow_table(self.columns, self.rows)

    def contacts(self) -> list[Contact]:
        """The oracle's contacts, in row order."""
        events: dict[str, list[EventRow]] = {}
        for table in self.tables:
            for row in table.rows:
                if row[table.contact] is None:
                    continue
                fields = {column.name: column.clean(row[column.name]) for column in table.columns}
                at = fields[table.at]
                if isinstance(at, date):
                    at = zones.first_instant(at, self.clock.zone)
                name = table.event or fields[str(table.name)]
                events.setdefault(str(row[table.contact]), []).append(EventRow(name, at, fields))
        found = []
        for row in self.rows:
            key = str(row[self.key.name])
            fields = {column.name: column.clean(row[column.name]) for column in self.columns}
            order = row[self.key.name] if isinstance(row[self.key.name], int) else key
            found.append(Contact(key, fields, tuple(events.get(key, ())), order))
        return found

    def only(self, contact: int) -> Dataset:
        """The same world with one contact in it."""
        return replace(self, rows=(self.rows[contact],))


def arrow_table(columns: tuple[Column, ...], rows: tuple[dict[str, Any], ...]) -> pa.Table:
    return pa.table({column.name: arrow_array(column, [row[column.name] for row in rows]) for column in columns})


def arrow_array(column: Column, values: list[Any]) -> pa.Array:
    if column.kind == "timestamp":
        return pa.array(values, pa.int64()).cast(column.arrow)
    if column.kind == "uuid":
        return pa.array([None if v is None else v.bytes for v in values], pa.uuid())
    if column.kind == "dictionary":
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, column.arrow)


# --- drawing


def draw_clock(draw: random.Random) -> tuple[Moment, Any]:
    moment = datetime.fromisoformat(draw.choice(MOMENTS))
    offset = draw.choice([timedelta(), timedelta(), timedelta(microseconds=draw.choice([-1, 1])), timedelta(minutes=draw.randint(-90, 90))])
    moment += offset
    zone = draw.choice(ZONES)
    week_start = draw.choice(["monday", "monday", "sunday", "saturday", "thursday"])
    clock = Moment(zones.micros(moment.replace(tzinfo=zones.EPOCH.tzinfo)), zone, week_start)
    given = draw.choice([moment, moment.replace(tzinfo=zones.EPOCH.tzinfo), moment.isoformat() + "Z"])
    return clock, given


DURATIONS = tuple(
    lang.Duration(amount, unit)
    for unit, amounts in {
        "day": (1, 7, 30),
        "week": (1, 2),
        "hour": (1, 12, 36),
        "minute": (90,),
        "second": (30,),
        "month": (1, 3),
        "year": (1,),
    }.items()
    for amount in amounts
)
DATE_DURATIONS = tuple(d for d in DURATIONS if d.unit in ("day", "week", "month", "year"))


def edges(clock: Moment) -> list[int]:
    """The instants at which some rule flips."""
    found = [clock.as_of]
    for duration in DURATIONS:
        found += [zones.shift_instant(clock.as_of, duration, sign, clock.zone) for sign in (-1, 1)]
    for day in days(clock):
        found.append(zones.first_instant(day, clock.zone))
    return found


def days(clock: Moment) -> list[date]:
    today = clock.today
    found = [today, today + timedelta(days=1), today - timedelta(days=1)]
    for duration in DATE_DURATIONS:
        found += [zones.shift_date(today, duration, sign) for sign in (-1, 1)]
    for unit in ("week", "month", "quarter", "year"):
        start = zones.start_of(unit, today, clock.week_start)
        found += [start, start - timedelta(days=1), start + timedelta(days=5), start - timedelta(days=5)]
    return found


def draw_instant(draw: random.Random, clock: Moment) -> int:
    match draw.randrange(10):
        case 0 | 1 | 2 | 3 | 4:
            return draw.choice(edges(clock)) + draw.choice([0, 0, -1, 1, -(10**6), 10**6])
        case 5 | 6 | 7:
            return clock.as_of - draw.randrange(0, 120 * 86400 * 10**6)
        case 8:
            return clock.as_of + draw.randrange(-(10**15), 10**14)
        case _:
            return draw.choice([0, -1, 1, -(10**6), -1234567, -(10**15), 946684800 * 10**6, 10**15])


def draw_day(draw: random.Random, clock: Moment) -> date:
    match draw.randrange(8):
        case 0 | 1 | 2 | 3:
            return draw.choice(days(clock)) + timedelta(days=draw.choice([0, 0, -1, 1]))
        case 4:
            return date(draw.choice([1952, 1980, 1999, 2000, 2020, 2024, 2028]), 2, draw.choice([27, 28, 28])) + timedelta(
                days=draw.choice([0, 1])
            )
        case 5:
            return date(2000, clock.today.month, 1) + timedelta(days=draw.randrange(28))
    return date(1930, 1, 1) + timedelta(days=draw.randrange(36000))


def draw_text(draw: random.Random) -> str:
    match draw.randrange(12):
        case 0:
            return ""
        case 1:
            return draw.choice(SPACES)
        case 2 | 3:
            return draw.choice(NUMBERS)
        case 4 | 5:
            return draw.choice(ADDRESSES)
        case 6:
            return draw.choice(WORDS) + draw.choice(["", "", " ", "x", "İ"]) + draw.choice(WORDS)
    return draw.choice(WORDS)


def draw_integer(draw: random.Random, low: int, high: int) -> int:
    number = draw.choice(
        [
            draw.randint(-3, 12),
            draw.randint(0, 200),
            low,
            high,
            low + 1,
            high - 1,
            draw.randint(low, high),
            2**24 + 1,
            2**53 + 1,
            -(2**53) - 1,
        ]
    )
    return min(max(number, low), high)


def draw_decimal(draw: random.Random, digits: int, scale: int) -> Decimal:
    top = 10**digits - 1
    unscaled = draw.choice(
        [
            draw.randint(-300, 1200),
            draw.randint(0, 20) * 10**scale,
            draw.randint(0, 20) * 10**scale // 2,
            draw.randint(-top, top),
            top,
            -top,
            10**scale // 10,
            0,
        ]
    )
    return Decimal(unscaled).scaleb(-scale) if digits < 28 else Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))


def draw_float(draw: random.Random) -> float:
    return draw.choice(
        [draw.choice(FLOATS), draw.choice(FLOATS), draw.uniform(-10, 200), float(draw.randint(-3, 50)), draw.randint(-300, 1200) / 100]
    )


def draw_value(draw: random.Random, column: Column, clock: Moment) -> Any:
    """A raw value of the column, never null."""
    kind = column.kind
    if kind in BITS:
        return draw_integer(draw, *BITS[kind])
    match kind:
        case "string" | "large_string" | "dictionary":
            return draw_text(draw)
        case "uuid":
            return uuid.UUID(int=draw.choice([0, 1, 2**128 - 1, draw.getrandbits(128)]))
        case "decimal12":
            return draw_decimal(draw, 12, 2)
        case "decimal38":
            return draw_decimal(draw, 38, 10)
        case "float":
            return single(draw_float(draw))
        case "double":
            return draw_float(draw)
        case "bool":
            return draw.random() < 0.5
        case "timestamp":
            instant = draw_instant(draw, clock)
            per = PER_SECOND[column.unit]
            return instant * 1000 + draw.choice([0, 0, 1, 999, 500]) if column.unit == "ns" else instant * per // 10**6
        case "date32" | "date64":
            return draw_day(draw, clock)
        case "texts" | "large_texts":
            return [draw.choice([None, draw_text(draw), draw.choice(WORDS[:8]), draw.choice(WORDS[:8])]) for _ in range(draw.randrange(4))]
        case "integers":
            return [draw.choice([None, draw.randint(-2, 6), draw_integer(draw, *BITS["int64"])]) for _ in range(draw.randrange(4))]
        case "struct":
            return {name: draw_cell(draw, Column(name, kind), clock, []) for name, kind in STRUCT.items()}
        case "structs":
            return [draw_cell(draw, Column("", "struct"), clock, []) for _ in range(draw.randrange(4))]
        case "doubles":
            return [draw.choice([None, float(draw.randint(-2, 6)), draw_float(draw)]) for _ in range(draw.randrange(4))]
        case "singles":
            return [draw.choice([None, float(draw.randint(-2, 6)), single(draw_float(draw))]) for _ in range(draw.randrange(4))]
    raise ValueError(kind)


def draw_cell(draw: random.Random, column: Column, clock: Moment, seen: list[Any]) -> Any:
    """Null, a value that occurred before in the column, or a new one."""
    chance = draw.random()
    if chance < 0.12:
        return None
    if seen and chance < 0.4:
        return draw.choice(seen)
    value = draw_value(draw, column, clock)
    seen.append(value)
    return value


def draw_timestamp_column(draw: random.Random, name: str) -> Column:
    return Column(
        name, "timestamp", draw.choice(["us", "us", "ms", "ns", "s"]), draw.choice([None, None, "UTC", "America/New_York", "+05:30"])
    )


FIELD_NAMES: dict[str, tuple[str, ...]] = {
    "text1": ("location", "Location", "group", "contains", "last", "Home Town"),
    "text2": ("email", "E-Mail", "all", "e.mail"),
    "text3": ("code", "select", "größe", "element"),
    "small": ("visits", "order", "in", "count"),
    "big": ("score", "between", "BigScore"),
    "unsigned": ("points", "end"),
    "money": ("lifetime_value", "lifetime value", "sum"),
    "exact": ("balance", "not set", "current_date"),
    "single": ("ratio", "float"),
    "double": ("weight", "double", "is"),
    "flag": ("subscribed", "true?", "exists"),
    "flag2": ("trial", "any"),
    "time1": ("date_added", "timestamp", "Date-Added"),
    "time2": ("last_seen", "after", "before"),
    "day": ("birthday", "date", "Birth Day"),
    "day2": ("renewal", "today", "values"),
    "texts": ("tags", "array", "list"),
    "numbers": ("codes", "table"),
    "struct": ("home", "struct", "contact"),
    "structs": ("items", "unnest"),
    "lat": ("lat", "left"),
    "lon": ("lon", "right"),
}


def draw_columns(draw: random.Random) -> tuple[Column, ...]:
    kinds: dict[str, Callable[[str], Column]] = {
        "text1": lambda n: Column(n, draw.choice(["string", "large_string", "dictionary"])),
        "text2": lambda n: Column(n, "string"),
        "text3": lambda n: Column(n, draw.choice(["string", "large_string", "uuid"])),
        "small": lambda n: Column(n, draw.choice(["int8", "int16", "int32", "uint8", "uint32"])),
        "big": lambda n: Column(n, "int64"),
        "unsigned": lambda n: Column(n, "uint64"),
        "money": lambda n: Column(n, "decimal12"),
        "exact": lambda n: Column(n, "decimal38"),
        "single": lambda n: Column(n, "float"),
        "double": lambda n: Column(n, "double"),
        "flag": lambda n: Column(n, "bool"),
        "flag2": lambda n: Column(n, "bool"),
        "time1": lambda n: draw_timestamp_column(draw, n),
        "time2": lambda n: draw_timestamp_column(draw, n),
        "day": lambda n: Column(n, draw.choice(["date32", "date32", "date64"])),
        "day2": lambda n: Column(n, "date32"),
        "texts": lambda n: Column(n, draw.choice(["texts", "large_texts"])),
        "numbers": lambda n: Column(n, draw.choice(["integers", "doubles", "singles"])),
        "struct": lambda n: Column(n, "struct"),
        "structs": lambda n: Column(n, "structs"),
        "lat": lambda n: Column(n, "double"),
        "lon": lambda n: Column(n, draw.choice(["double", "float"])),
    }
    names = {part: draw.choice(choices) if draw.random() < 0.5 else choices[0] for part, choices in FIELD_NAMES.items()}
    return tuple(make(names[part]) for part, make in kinds.items())


def draw_keys(draw: random.Random, number: int) -> tuple[Column, list[Any]]:
    match draw.choice(["int64", "int32", "string", "uuid", "large_string"]):
        case "int64":
            return Column("contact_id", "int64"), [*draw.sample(range(-5, 10 * number), number - 1), 2**62 + 1]
        case "int32":
            return Column("ID", "int32"), draw.sample(range(10 * number), number)
        case "uuid":
            return Column("id", "uuid"), [uuid.UUID(int=draw.getrandbits(128)) for _ in range(number)]
        case kind:
            return Column("Key", kind), [f"{draw.choice(['c', 'C', 'ü', ' ', '0'])}{i}" for i in range(number)]


EVENT_NAMES = ("order_placed", "form_submitted", "signup", "Signup", "Order Placed", "invoice.paid", "all", "last", "sum")


AMOUNTS = ("decimal12", "decimal38", "double", "float", "int64")


def draw_event_columns(draw: random.Random) -> tuple[Column, ...]:
    return (
        Column("amount", draw.choice(AMOUNTS)),
        Column("qty", draw.choice(["int32", "int8", "uint64"])),
        Column("coupon", draw.choice(["string", "dictionary"])),
        Column(draw.choice(["Form Id", "form_id"]), "string"),
        Column("gift", "bool"),
        draw_timestamp_column(draw, "due"),
        Column(draw.choice(["day", "ship date"]), "date32"),
        Column("labels", draw.choice(["texts", "doubles"])),
        Column(draw.choice(["parcel", "ship.to"]), "struct"),
        Column("lines", "structs"),
    )


def draw_table(
    draw: random.Random, clock: Moment, key: Column, keys: list[Any], shared: tuple[Column, ...], event: str | None, rows: int
) -> Table:
    """Some of the shared columns, so that tables may lack what others have; times at edges, twins, strangers and nulls."""
    contact = replace(key, name=draw.choice(["contact_id", "customer"]))
    at = draw_timestamp_column(draw, draw.choice(["at", "created_at"])) if draw.random() < 0.8 else Column("at", "date32")
    columns = [contact, at, *(c for c in shared if draw.random() < 0.8)]
    if draw.random() < 0.3:
        columns = [replace(c, kind=draw.choice(AMOUNTS)) if c.name == "amount" else c for c in columns]
    name = None
    if event is None:
        name = draw.choice(["event", "type"])
        columns.append(Column(name, draw.choice(["string", "dictionary"])))
    known = draw.sample(EVENT_NAMES, 4)
    strangers = (
        [draw_value(draw, replace(key, kind="uuid"), clock)] if key.kind == "uuid" else ["nobody"] if key.type == lang.TEXT else [10**9]
    )
    busy = draw.sample(keys, max(1, len(keys) * 3 // 4))
    seen: dict[str, list[Any]] = {column.name: [] for column in columns}
    made: list[dict[str, Any]] = []
    for _ in range(rows):
        row = {column.name: draw_cell(draw, column, clock, seen[column.name]) for column in columns}
        row[contact.name] = draw.choice([*strangers, None]) if draw.random() < 0.06 else draw.choice(busy)
        if name:
            row[name] = draw.choice([*known, *known, *known, None, ""]) if draw.random() < 0.3 else draw.choice(known[:2])
        if made and draw.random() < 0.25:
            twin = draw.choice(made)
            row[contact.name], row[at.name] = twin[contact.name], twin[at.name]
            if name and draw.random() < 0.7:
                row[name] = twin[name]
        made.append(row)
    return Table(contact.name, at.name, tuple(columns), tuple(made), event, name)


def draw_dataset(draw: random.Random, contacts: int = 40, events: int = 100) -> Dataset:
    clock, as_of = draw_clock(draw)
    key, keys = draw_keys(draw, contacts)
    columns = draw_columns(draw)
    seen: dict[str, list[Any]] = {column.name: [] for column in columns}
    rows = []
    for value in keys:
        row = {column.name: draw_cell(draw, column, clock, seen[column.name]) for column in columns}
        lat, lon = columns[-2], columns[-1]
        row[lat.name] = draw.choice([None, draw.uniform(-90, 90), 51.5, 0.0, 90.0, -90.0, math.nan])
        row[lon.name] = draw.choice([None, single(draw.uniform(-180, 180)), single(-0.125), 0.0, 180.0, -180.0])
        rows.append({key.name: value} | row)
    tables: tuple[Table, ...]
    if draw.random() < 0.1:
        tables = ()
    else:
        shared = draw_event_columns(draw)
        singles = draw.sample(EVENT_NAMES, 3) if draw.random() < 0.5 else [None] * draw.choice([1, 2])
        sizes = [events // len(singles)] * len(singles)
        tables = tuple(draw_table(draw, clock, key, keys, shared, event, size) for event, size in zip(singles, sizes, strict=True))
    return Dataset(clock, key, (key, *columns), tuple(rows), tables, as_of, draw.choice([6, 6, 6, 6, 2, 0, 9]))
