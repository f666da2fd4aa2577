"""Random rules over a dataset: type-correct by construction, with values drawn near the data's, so that answers fall on both sides."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, date, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.oracle import language as lang
from tests.oracle import zones
from tests.oracle.datasets import DATE_DURATIONS, DURATIONS, Dataset, Table, draw_day, draw_instant
from tests.oracle.pools import ADDRESSES, LIKES, PATTERNS, PIECES, WORDS

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
PERCENTS = ("10", "50", "33.3", "0.5", "100", "1", "99.9", "75")
UNITS = ("week", "month", "quarter", "year")
PAST = ("today", "yesterday", *(f"{which} {unit}" for unit in UNITS for which in ("this", "last")))
PERIODS = (*PAST, "tomorrow", *(f"next {unit}" for unit in UNITS))
SALTS = ("exp-7", "x", "ü", "it's", "a:b")


def number(value: Any) -> lang.Value:
    """A literal for a number: at most 38 digits and 12 places, no exponent. A float is written as its shortest text."""
    value = 10**30 if value == math.inf else -(10**30) if value == -math.inf else value
    scaled = round(Fraction(Decimal(repr(value)) if isinstance(value, float) else value) * 10**12)
    digits = str(abs(scaled)).rjust(13, "0")
    whole, places = digits[:-12][:38], digits[-12:].rstrip("0")[: max(0, 38 - len(digits[:-12]))]
    literal = lang.Number(f"{whole}.{places}" if places else whole)
    return lang.Negative(literal) if scaled < 0 else literal


class Rules:
    """Draws conditions over one dataset; `segments` are the rules that `member` may name."""

    def __init__(self, draw: random.Random, data: Dataset, segments: list[str]) -> None:
        self.draw, self.data, self.segments = draw, data, segments
        self.table: list[Table] | None = None
        """The tables whose columns names mean, inside an event function."""
        self.former: list[tuple[int, str, list[Table]]] = []
        """The steps before in a sequence that can be named: their places, names and tables."""
        self.of: Any = None
        """The list whose elements conditions are about."""

    @property
    def outside(self) -> bool:
        """Whether functions about the contact may stand here."""
        return self.table is None and self.of is None

    # --- names

    def fields(self, *kinds: str) -> list[Any]:
        """The fields in scope of these kinds of type, and mostly the element where there is one."""
        columns: list[Any] = self.columns(*kinds)
        columns += [part for struct in self.columns("struct") for part in parts(struct, *kinds)]
        if self.of is None or self.of.type.element is None:
            return columns
        element = lang.Element(self.of.type.element)
        here = [element] if element.type.kind in kinds else parts(element, *kinds)
        return here * (2 * len(columns) // len(here) + 1) + columns if here else columns

    def columns(self, *kinds: str) -> list[lang.Field]:
        outer = [lang.Field(c.name, c.type, outer=self.table is not None) for c in self.data.columns if c.type.kind in kinds]
        if self.table is None:
            return outer
        inner = self.event_columns(self.table, *kinds)
        return inner * 3 + outer[:: max(1, len(outer) // 2)] if inner else outer

    def event_columns(self, tables: list[Table], *kinds: str) -> list[lang.Field]:
        """Columns of the tables that have one sort of type wherever they are; the contact's key is left out."""
        types: dict[str, set[lang.Type]] = {}
        for table in tables:
            for column in table.columns:
                if column.name != table.contact:
                    types.setdefault(column.name, set()).add(column.type)
        keys = {table.contact for table in tables}
        found = []
        for name, seen in types.items():
            kind = next(iter(seen))
            if len(seen) > 1 and all(t.is_number for t in seen):
                kind = lang.FLOAT64 if any(t.kind == "float" for t in seen) else lang.common_number(list(seen))
            if (len(seen) == 1 or kind.is_number) and name not in keys and kind.kind in kinds:
                found.append(lang.Field(name, kind))
        return found

    def samples(self, field: lang.Field) -> list[Any]:
        """The values the field has, or the element, or what is within them."""
        if isinstance(field, lang.Part):
            return [v for whole in self.samples(field.of) if (v := whole[field.name]) is not None]
        if isinstance(field, lang.Element):
            if self.of is None or any(isinstance(n, lang.Element) for n in lang.walk(self.of)):
                return []
            return [e for elements in self.samples(self.of) for e in elements if e is not None]
        found = []
        if self.table is None or field.outer:
            sources = [(self.data.columns, self.data.rows)]
        else:
            sources = [(table.columns, table.rows) for table in self.table]
        for columns, rows in sources:
            for column in columns:
                if column.name == field.name:
                    found += [v for row in rows if (v := column.clean(row[column.name])) is not None]
        return found

    def near(self, node: lang.Value) -> Any:
        """A value near those of the node, if it is a field or stands on one."""
        for aggregate in (n for n in lang.walk(node) if isinstance(n, lang.Aggregate)):
            found = [
                v
                for table in self.data.tables
                for column in table.columns
                if column.name == (aggregate.measured or table.at) and table.event in (None, aggregate.event)
                for row in table.rows
                if (v := column.clean(row[column.name])) is not None
            ]
            if aggregate.inward is not None:
                found = [v for whole in found if (v := whole[aggregate.inward]) is not None]
            same = aggregate is node and (aggregate.property_type or lang.TIMESTAMP).kind == node.type.kind
            return self.draw.choice(found) if found and same else None
        named = [n for n in lang.walk(node) if isinstance(n, lang.Field | lang.Element | lang.Part) and n.type.kind == node.type.kind]
        found = self.samples(self.draw.choice(named)) if named else []
        return self.draw.choice(found) if found else None

    # --- literals

    def number_literal(self, node: lang.Value) -> lang.Value:
        draw, near = self.draw, self.near(node)
        if isinstance(node, lang.Ntile):
            return lang.Number(str(draw.choice([1, 1, node.parts, node.parts, draw.randint(0, node.parts + 1)])))
        if isinstance(node, lang.Aggregate) and node.function in ("count", "distinct"):
            return lang.Number(str(draw.choice([0, 1, 1, 2, 3, 5])))
        if isinstance(node, lang.Call) and node.name in CALENDAR:
            low, high = CALENDAR[node.name]
            return lang.Number(str(draw.randint(low, high)))
        if near is None or draw.random() < 0.2 or (isinstance(near, float) and math.isinf(near)):
            return draw.choice(
                [
                    lang.Number("0"),
                    lang.Number("1"),
                    lang.Number("5"),
                    lang.Number("2.5"),
                    lang.Number("1_000"),
                    number(-1),
                    number(Fraction(1, 10)),
                ]
            )
        return number(
            near + draw.choice([0, 0, 0, 1, -1, Fraction(1, 100)])
            if isinstance(near, int | Fraction)
            else near * draw.choice([1, 1, 1, 1.5])
        )

    def text_literal(self, node: lang.Value) -> lang.Value:
        near = self.near(node)
        if near is None or not self.draw.random() < 0.7:
            return lang.Text(self.draw.choice(WORDS + ADDRESSES))
        if isinstance(node, lang.Call) and node.name != "coalesce":
            near = {"lower": near.lower(), "trim": near.strip(), "email_domain": near.rpartition("@")[2].lower()}.get(
                node.name, near
            ) or "x"
        return lang.Text(near)

    def day_literal(self, node: lang.Value) -> lang.Value:
        near = self.near(node)
        if isinstance(near, int):
            near = zones.to_local(near, self.data.clock.zone).date()
        if isinstance(near, date) and self.draw.random() < 0.6:
            return lang.Day(near + timedelta(days=self.draw.choice([0, 0, 1, -1])))
        return lang.Day(draw_day(self.draw, self.data.clock))

    def instant_literal(self, node: lang.Value) -> lang.Value:
        """Spelled in the workspace's zone, in UTC or with an offset; to the minute, second or microsecond."""
        draw, zone = self.draw, self.data.clock.zone
        near = self.near(node)
        at = near if isinstance(near, int) and draw.random() < 0.6 else draw_instant(draw, self.data.clock)
        style = draw.choice(["local", "local", "utc", "offset"])
        moment = zones.moment(at)
        local = {
            "local": zones.to_local(at, zone),
            "utc": moment.replace(tzinfo=None),
            "offset": moment.astimezone(OFFSET).replace(tzinfo=None),
        }[style]
        if local.year < 1000:
            local = local.replace(year=1970)
        precision = draw.choice(["minutes", "seconds", "microseconds"])
        unit = {"minutes": {"second": 0, "microsecond": 0}, "seconds": {"microsecond": 0}, "microseconds": {}}[precision]
        local = local.replace(**unit)
        text = local.isoformat(draw.choice([" ", "T"]), timespec=precision) + {"local": "", "utc": "Z", "offset": "+02:00"}[style]
        if style == "local":
            return lang.Instant(text, zones.to_utc(local, zone))
        return lang.Instant(text, zones.micros(local.replace(tzinfo=UTC if style == "utc" else OFFSET)))

    def clock_value(self) -> lang.Value:
        draw = self.draw
        match draw.randrange(5):
            case 0:
                return lang.Now()
            case 1 | 2:
                return lang.Ago(draw.choice(DURATIONS), draw.random() < 0.25)
        sign = draw.choice(["", "", "+", "-"])
        return lang.Today(draw.choice(["", "week", "month", "quarter", "year"]), sign, draw.choice(DATE_DURATIONS) if sign else None)

    def literal(self, node: lang.Value) -> lang.Value:
        """A literal to compare the node with."""
        match node.type.kind:
            case "exact" | "float":
                return self.number_literal(node)
            case "text":
                return self.text_literal(node)
            case "boolean":
                return lang.Flag(self.draw.random() < 0.5)
        choices = [self.day_literal, self.day_literal, self.instant_literal, lambda _: self.clock_value()]
        return self.draw.choice(choices)(node)

    # --- values

    def text(self, depth: int = 2) -> lang.Value:
        fields = self.fields("text")
        chance = self.draw.random()
        if depth and chance < 0.35:
            name = self.draw.choice(["lower", "trim", "email_domain", "coalesce"])
            if name == "coalesce":
                items = [self.text(depth - 1) for _ in range(self.draw.randint(1, 2))]
                return lang.Call(name, (*items, self.draw.choice([self.text(0), lang.Text("UK")])), lang.TEXT)
            return lang.Call(name, (self.text(depth - 1),), lang.TEXT)
        if depth and self.outside and chance < 0.45 and (made := self.property_aggregate("text", ["min", "max", "earliest", "latest"])):
            return made
        return self.draw.choice(fields)

    def number(self, depth: int = 2) -> lang.Value:
        draw, chance = self.draw, self.draw.random()
        fields = self.fields("exact", "float")
        if depth == 0 or chance < 0.35:
            return draw.choice(fields)
        if chance < 0.6:
            operator = draw.choice("+-*/%")
            sides = [
                self.number(depth - 1),
                draw.choice([self.number(depth - 1), draw.choice([lang.Number(n) for n in ("0", "1", "2", "3", "0.5", "10", "100")])]),
            ]
            if draw.random() < 0.2:
                sides.reverse()
            made = lang.Arithmetic(operator, *sides)
            return made if made.type.scale <= 30 else draw.choice(fields)
        if chance < 0.68:
            return lang.Call(name := draw.choice(["abs", "round", "floor", "ceil"]), (x := self.number(depth - 1),), rounded(name, x.type))
        if chance < 0.72:
            return lang.Negative(self.number(depth - 1))
        if chance < 0.76:
            return lang.Call("number", (self.text(1),), lang.FLOAT64)
        if chance < 0.8:
            return lang.Call("length", (draw.choice([self.text(1), *self.fields("list")]),), lang.INTEGER)
        if chance < 0.86:
            items = (
                *(self.number(depth - 1) for _ in range(draw.randint(1, 2))),
                draw.choice([lang.Number("0"), lang.Number("2.5"), self.number(0)]),
            )
            return lang.Call("coalesce", items, lang.common_number([i.type for i in items]))
        if chance < 0.94 or not self.outside:
            return self.calendar_part()
        if chance < 0.955:
            return self.ntile()
        return self.number_aggregate() or draw.choice(fields)

    def calendar_part(self) -> lang.Value:
        name = self.draw.choice(sorted(CALENDAR))
        x = self.draw.choice(self.fields("timestamp")) if name == "hour" else self.moment(1)
        return lang.Call(name, (x,), lang.INTEGER)

    def moment(self, depth: int = 1) -> lang.Value:
        """A timestamp or a date."""
        draw, chance = self.draw, self.draw.random()
        fields = self.fields("timestamp", "date")
        if depth and chance < 0.12:
            return lang.Call("date", (draw.choice(self.fields("timestamp", "timestamp", "date")),), lang.DATE)
        if depth and chance < 0.22:
            return lang.Call("next_anniversary", (draw.choice(self.fields("date", "timestamp")),), lang.DATE)
        if depth and chance < 0.3:
            kind = draw.choice(["timestamp", "date"])
            items = [draw.choice(self.fields(kind)) for _ in range(2)]
            return lang.Call("coalesce", tuple(items), items[0].type)
        if depth and self.outside and chance < 0.5 and (made := self.moment_aggregate()):
            return made
        return draw.choice(fields)

    # --- events

    def event(self) -> tuple[str | None, list[Table]] | None:
        """An event (None is any) and the tables that carry it."""
        if not self.data.tables:
            return None
        if self.draw.random() < 0.25:
            return None, list(self.data.tables)
        names = sorted({name for table in self.data.tables for name in table.names()})
        if not names:
            return None
        name = self.draw.choice(names)
        return name, [t for t in self.data.tables if name in t.names()]

    def filters(self, tables: list[Table], most: int = 2) -> tuple[lang.Condition, ...]:
        number = self.draw.choice([0, 0, 1, 1, most])
        self.table, saved = tables, self.table
        try:
            return tuple(self.condition(self.draw.choice([0, 0, 1])) for _ in range(number))
        finally:
            self.table = saved

    def window(self) -> lang.Window:
        draw, window = self.draw, {}
        if draw.random() < 0.4:
            window["last"] = draw.choice(DURATIONS)
        if draw.random() < 0.15:
            window["during"] = draw.choice(PAST)
        bounds = [self.day_literal, self.instant_literal, lambda _: self.clock_value()]
        for bound in ("since", "until"):
            if draw.random() < 0.15:
                window[bound] = draw.choice(bounds)(lang.Now())
        if "since" in window and "until" in window and self.lowest(window["since"]) > self.lowest(window["until"]):
            window["since"], window["until"] = window["until"], window["since"]
        return lang.Window(**window)

    def property_aggregate(self, kind: str, functions: list[str]) -> lang.Aggregate | None:
        found = self.event()
        if found is None:
            return None
        name, tables = found
        kinds = ("exact", "float") if kind == "number" else (kind,)
        fields: list[Any] = [
            f for f in self.event_columns(tables, *kinds) if f.name not in {t.at for t in tables} | {t.name for t in tables}
        ]
        fields += [part for struct in self.event_columns(tables, "struct") for part in parts(struct, *kinds)]
        if not fields:
            return None
        field = self.draw.choice(fields)
        column, inward = (field.of.name, field.name) if isinstance(field, lang.Part) else (field.name, None)
        return lang.Aggregate(
            self.draw.choice(functions), name, column, self.filters(tables), self.window(), field.type, self.data.scale, inward
        )

    def number_aggregate(self) -> lang.Value | None:
        chance = self.draw.random()
        if chance < 0.3:
            found = self.event()
            return found and lang.Aggregate("count", found[0], None, self.filters(found[1]), self.window(), None)
        if chance < 0.4:
            return self.property_aggregate(self.draw.choice(["text", "number", "date", "timestamp", "boolean"]), ["distinct"])
        return self.property_aggregate("number", ["sum", "sum", "avg", "min", "max", "earliest", "latest"])

    def moment_aggregate(self) -> lang.Value | None:
        if self.draw.random() < 0.6:
            found = self.event()
            return found and lang.Aggregate(
                self.draw.choice(["first", "last"]), found[0], None, self.filters(found[1]), self.window(), None
            )
        return self.property_aggregate(self.draw.choice(["timestamp", "date"]), ["min", "max", "earliest", "latest"])

    # --- conditions

    def condition(self, depth: int = 3) -> lang.Condition:
        draw = self.draw
        if depth and draw.random() < 0.45:
            parts = tuple(self.condition(depth - 1) for _ in range(draw.randint(2, 3)))
            match draw.randrange(7):
                case 0 | 1:
                    return lang.All(parts)
                case 2 | 3:
                    return lang.Any_(parts)
                case 4 | 5:
                    return lang.Not(parts[0])
                case _:
                    return lang.AtLeast(draw.randint(1, len(parts)), parts)
        choices = EVERYWHERE if self.outside else INSIDE
        for _ in range(20):
            make = draw.choices([c for c, _ in choices], [w for _, w in choices])[0]
            made = make(self)
            if made is not None:
                return made
        return lang.IsSet(draw.choice(self.fields("text")))

    def compare_numbers(self) -> lang.Condition:
        x = self.number()
        other = self.number(1) if self.draw.random() < 0.25 else self.number_literal(x)
        return self.compare(x, other, COMPARISONS)

    def compare(self, left: lang.Value, right: lang.Value, operators: tuple[str, ...]) -> lang.Condition:
        if self.draw.random() < 0.08:
            left, right = right, left
        return lang.Compare(self.draw.choice(operators), left, right)

    def compare_text(self) -> lang.Condition:
        x = self.text()
        other = self.text(1) if self.draw.random() < 0.15 else self.text_literal(x)
        return self.compare(x, other, ("=", "!=", "=", "!=", *COMPARISONS))

    def compare_moments(self) -> lang.Condition:
        x = self.moment()
        other = self.moment(0) if self.draw.random() < 0.15 else self.literal(x)
        return self.compare(x, other, COMPARISONS)

    def compare_flags(self) -> lang.Condition:
        x: lang.Value = self.draw.choice(self.fields("boolean"))
        if self.draw.random() < 0.15:
            x = lang.Call("coalesce", (x, self.draw.choice([lang.Flag(True), lang.Flag(False), *self.fields("boolean")])), lang.BOOLEAN)
        match self.draw.randrange(4):
            case 0:
                return lang.IsTrue(x)
            case 1:
                return lang.In(x, (lang.Flag(True), lang.Flag(False))[: self.draw.randint(1, 2)], self.draw.random() < 0.3)
        return lang.Compare(
            self.draw.choice(["=", "!="]), x, self.draw.choice([lang.Flag(True), lang.Flag(False), *self.fields("boolean")])
        )

    def between(self) -> lang.Condition | None:
        x = self.draw.choice([self.number, self.moment])()
        ends = [self.literal(x), self.literal(x)]
        if self.draw.random() < 0.15:
            ends[self.draw.randrange(2)] = self.number(0) if x.type.is_number else self.draw.choice(self.fields(x.type.kind))
        elif (order := self.ordered(ends)) is None:
            return None
        else:
            ends = order
        return lang.Between(x, *ends, negated=self.draw.random() < 0.3)

    def ordered(self, ends: list[lang.Value]) -> list[lang.Value] | None:
        """Two literals of one sort, the smaller first; None for two sorts, whose order the checker may see otherwise."""
        if ends[0].type.is_number:
            return sorted(ends, key=literal_number)
        if all(isinstance(e, lang.Day) for e in ends):
            return sorted(ends, key=lambda e: e.day)  # type: ignore[attr-defined]
        if all(isinstance(e, lang.Instant) for e in ends):
            return sorted(ends, key=lambda e: e.micros)  # type: ignore[attr-defined]
        lows = [self.lowest(e) for e in ends]
        return (
            None
            if abs(lows[0] - lows[1]) < 3 * 86400 * 10**6
            else [e for _, e in sorted(zip(lows, ends, strict=True), key=lambda pair: pair[0])]
        )

    def lowest(self, node: lang.Value) -> int:
        from tests.oracle.evaluator import Contact, Scope, value

        found = value(node, Scope(Contact("", {}, ()), self.data.clock))
        return zones.first_instant(found, self.data.clock.zone) if isinstance(found, date) else found

    def one_of(self) -> lang.Condition:
        x = self.draw.choice([self.number, self.text, self.text, self.moment])()
        make: Callable[[lang.Value], lang.Value] = self.literal
        if x.type.kind in ("timestamp", "date"):
            make = self.draw.choice([self.day_literal, self.instant_literal, lambda _: self.clock_value()])
        return lang.In(x, tuple(make(x) for _ in range(self.draw.randint(1, 4))), self.draw.random() < 0.35)

    def has(self) -> lang.Condition:
        draw, x = self.draw, self.text()
        near = self.near(x)
        part: lang.Value = lang.Text(draw.choice(PIECES))
        if near and draw.random() < 0.5:
            start = draw.randrange(len(near))
            part = lang.Text(draw.choice([str.lower, str.upper, str])(near[start : start + draw.randint(1, 4)]))
        elif draw.random() < 0.1:
            part = draw.choice(self.fields("text"))
        return lang.Has(draw.choice(["contains", "starts", "ends"]), x, part, draw.random() < 0.25)

    def list_has(self) -> lang.Condition | None:
        fields = [f for f in self.fields("list") if f.type.element.kind != "struct"]
        if not fields:
            return None
        x = self.draw.choice(fields)
        element = x.type.element
        assert element is not None
        elements = [e for found in self.samples(x) for e in found if e is not None and e not in (math.inf, -math.inf)]

        def item() -> lang.Value:
            if element.is_number:
                return number(self.draw.choice([*elements, 1, 2]))
            if self.draw.random() < 0.1:
                return self.draw.choice(self.fields("text"))
            return lang.Text(self.draw.choice([*elements, "UK"]))

        if self.draw.random() < 0.5:
            part = (
                item()
                if self.draw.random() < 0.9
                else self.draw.choice(self.fields("text") if element.kind == "text" else self.fields("exact", "float"))
            )
            return lang.Has("contains", x, part, self.draw.random() < 0.3)
        return lang.ListHas(x, tuple(item() for _ in range(self.draw.randint(1, 3))), self.draw.random() < 0.5)

    def asked_of_elements(self) -> tuple[lang.Field, tuple[lang.Condition, ...]] | None:
        """A list and conditions on its elements, of which the first is about the element."""
        fields = self.fields("list")
        if not fields:
            return None
        of, saved = self.draw.choice(fields), self.of
        self.of = of
        try:
            element = of.type.element
            if element.kind == "struct":
                return of, tuple(self.condition(self.draw.choice([0, 0, 1])) for _ in range(self.draw.choice([1, 1, 2])))
            makes = (
                [Rules.compare_numbers, Rules.one_of] if element.is_number else [Rules.compare_text, Rules.has, Rules.matches, Rules.like]
            )
            first = self.draw.choice(makes)(self)
            return of, (first, *(self.condition(self.draw.choice([0, 1])) for _ in range(self.draw.choice([0, 0, 1]))))
        finally:
            self.of = saved

    def each(self) -> lang.Condition | None:
        found = self.asked_of_elements()
        return found and lang.Each(self.draw.choice(["any", "all", "none"]), *found)

    def how_many(self) -> lang.Condition | None:
        found = self.asked_of_elements()
        return found and self.compare(lang.HowMany(*found), lang.Number(str(self.draw.choice([0, 1, 1, 2, 3]))), COMPARISONS)

    def matches(self) -> lang.Condition:
        return lang.Matches(self.text(), self.draw.choice(PATTERNS), self.draw.random() < 0.3)

    def like(self) -> lang.Condition:
        return lang.Like(self.text(), self.draw.choice(LIKES), self.draw.random() < 0.5, self.draw.random() < 0.3)

    def is_set(self) -> lang.Condition:
        choices = [
            lambda: self.draw.choice(self.fields("text", "exact", "float", "boolean", "timestamp", "date", "list")),
            self.number,
            self.text,
            self.moment,
        ]
        return lang.IsSet(self.draw.choice(choices)(), self.draw.random() < 0.4)

    def within(self) -> lang.Condition:
        x = self.moment()
        durations = DATE_DURATIONS if x.type == lang.DATE else DURATIONS
        return lang.Within(x, self.draw.choice(durations), self.draw.random() < 0.35, self.draw.random() < 0.3)

    def in_period(self) -> lang.Condition:
        return lang.InPeriod(self.moment(), self.draw.choice(PERIODS), self.draw.random() < 0.3)

    def did(self) -> lang.Condition | None:
        found = self.event()
        return found and lang.Did(found[0], self.filters(found[1]), self.window())

    def sequence(self) -> lang.Condition | None:
        """Two to four steps; later ones may ask former ones."""
        draw, steps, named = self.draw, list[lang.Step](), list[tuple[int, str, list[Table]]]()
        number = draw.choice([2, 2, 3, 3, 4])
        negated = [place > 0 and draw.random() < 0.35 for place in range(number)]
        last = max(place for place in range(number) if not negated[place])
        for place in range(number):
            found = self.event()
            if found is None:
                return None
            event, tables = found
            may_last = place > 0 and (not negated[place] or place > last)
            within = draw.choice(LENGTHS) if may_last and draw.random() < 0.3 else None
            taken = {name for _, name, _ in named}
            own = STEP_NAMES[place] if not negated[place] and ((event or "any_event") in taken or draw.random() < 0.2) else None
            saved, self.former = self.former, list(named)
            try:
                filters = self.filters(tables)
            finally:
                self.former = saved
            if not negated[place]:
                named.append((place, own or event or "any_event", tables))
            window = self.window() if draw.random() < 0.15 else lang.Window()
            steps.append(lang.Step(event, filters, window, negated[place], within, own))
        ends = number - last > 1 and any(step.within is None for step in steps[last + 1 :])
        whole = draw.choice(LENGTHS) if (last > 0 or ends) and draw.random() < 0.5 and (negated.count(False) > 1 or ends) else None
        return lang.Sequence(tuple(steps), whole, self.window() if draw.random() < 0.3 else lang.Window())

    def compare_former(self) -> lang.Condition | None:
        """A property of this row beside one of a former step's."""
        if not self.former or self.table is None:
            return None
        place, called, tables = self.draw.choice(self.former)
        kinds = self.draw.choice([("text",), ("exact", "float"), ("timestamp", "date")])
        own, theirs = list[Any](self.event_columns(self.table, *kinds)), list[Any](self.event_columns(tables, *kinds))
        own += [part for struct in self.event_columns(self.table, "struct") for part in parts(struct, *kinds)]
        theirs += [part for struct in self.event_columns(tables, "struct") for part in parts(struct, *kinds)]
        if not own or not theirs:
            return None
        asked = self.draw.choice(theirs)
        column = asked.of if isinstance(asked, lang.Part) else asked
        former: lang.Value = lang.Former(place, called, column.name, column.type)
        former = lang.Part(former, asked.name, asked.type) if isinstance(asked, lang.Part) else former
        return self.compare(self.draw.choice(own), former, ("=", "=", "!=", *COMPARISONS))

    def active_periods(self) -> lang.Condition | None:
        found, draw = self.event(), self.draw
        if found is None:
            return None
        unit, of = draw.choice([("day", 4), ("week", 3), ("week", 53), ("month", 6), ("quarter", 5), ("year", 12)])
        x = lang.ActivePeriods(found[0], self.filters(found[1]), unit, of, draw.choice([1, 1, 2]))
        return self.compare(x, lang.Number(str(draw.choice([1, 1, 2, 3]))), COMPARISONS)

    def did_by_prefix(self) -> lang.Condition | None:
        names = sorted({name for table in self.data.tables for name in table.names()})
        if not names:
            return None
        name = self.draw.choice(names)
        prefix = name[: self.draw.randint(1, len(name))]
        tables = [t for t in self.data.tables if any(n.startswith(prefix) for n in t.names())]
        return lang.Did(lang.Prefix(prefix), self.filters(tables), self.window())

    def aggregate(self) -> lang.Condition | None:
        x = self.number_aggregate()
        return x and self.compare(x, self.number_literal(x), COMPARISONS)

    def member(self) -> lang.Condition | None:
        return lang.Member(self.draw.choice(self.segments)) if self.segments else None

    def sample(self) -> lang.Condition:
        return lang.Sample(self.draw.choice(PERCENTS), self.draw.choice(SALTS))

    # --- places among all contacts

    def order(self, *, falling: bool) -> lang.Order:
        draw = self.draw
        by = draw.choice([self.number, self.number, self.moment, self.text, lambda depth: self.number_aggregate() or self.number(depth)])(1)
        among = self.condition(draw.choice([0, 0, 1])) if draw.random() < 0.4 else None
        groups = self.fields("text", "text", "boolean", "exact", "float", "date", "timestamp")
        per = (draw.choice([draw.choice(groups), self.text(1), self.calendar_part()])) if draw.random() < 0.3 else None
        return lang.Order(by, among, per, falling)

    def foremost(self) -> lang.Condition:
        number = self.draw.choice(["1", "2", "3", "7", "20", "1000", *(f"{percent}%" for percent in PERCENTS)])
        return lang.Foremost(number, self.order(falling=self.draw.random() < 0.5))

    def ntile(self) -> lang.Value:
        return lang.Ntile(self.draw.choice([2, 3, 4, 5, 5, 10, 100]), self.order(falling=False))

    def standing(self) -> lang.Condition:
        x = self.ntile()
        if self.draw.random() < 0.2:
            return lang.IsSet(x, self.draw.random() < 0.5)
        return self.compare(x, self.number_literal(x), COMPARISONS)

    def distance(self) -> lang.Condition:
        lat, lon = self.data.columns[-2:]
        place = self.draw.choice([("51.5", "0.125"), ("0", "0"), ("90", "180"), ("40.7", "74")])
        here = (lang.Field(lat.name, lat.type, self.table is not None), lang.Field(lon.name, lon.type, self.table is not None))
        there = (
            lang.Number(place[0]),
            lang.Negative(lang.Number(place[1])) if self.draw.random() < 0.5 and place[1] != "0" else lang.Number(place[1]),
        )
        limit = lang.Number(str(self.draw.choice([1, 100, 1000, 5000, 10000, 15000])))
        return lang.Compare(self.draw.choice(["<", "<=", ">", ">="]), lang.Call("distance_km", (*here, *there), lang.FLOAT64), limit)

    def constant(self) -> lang.Condition:
        return lang.Constant(self.draw.random() < 0.5)


LENGTHS = tuple(d for d in DURATIONS if not d.is_calendar)
STEP_NAMES = ("one", "the second", "Three", "4th")


def parts(struct: lang.Value, *kinds: str) -> list[lang.Part]:
    """The fields of a struct of these kinds of type."""
    return [lang.Part(struct, name, type_) for name, type_ in struct.type.fields if type_.kind in kinds]


OFFSET = timezone(timedelta(hours=2))
CALENDAR = {"year": (2010, 2026), "month": (1, 12), "day": (1, 31), "weekday": (1, 7), "hour": (0, 23)}
INSIDE: list[tuple[Callable[[Rules], Any], float]] = [
    (Rules.compare_numbers, 5),
    (Rules.compare_text, 4),
    (Rules.compare_moments, 4),
    (Rules.compare_flags, 2),
    (Rules.between, 2),
    (Rules.one_of, 3),
    (Rules.has, 3),
    (Rules.list_has, 2),
    (Rules.each, 2),
    (Rules.how_many, 1),
    (Rules.matches, 1.5),
    (Rules.like, 1),
    (Rules.is_set, 2),
    (Rules.within, 2),
    (Rules.in_period, 2),
    (Rules.distance, 0.4),
    (Rules.constant, 0.2),
    (Rules.compare_former, 15),
]
"""Inside an event's conditions; a former step can be named only where there is one."""
EVERYWHERE = [
    *INSIDE,
    (Rules.did, 4),
    (Rules.did_by_prefix, 0.7),
    (Rules.aggregate, 6),
    (Rules.sequence, 3),
    (Rules.active_periods, 1),
    (Rules.member, 1),
    (Rules.sample, 0.7),
    (Rules.foremost, 1.2),
    (Rules.standing, 0.8),
]


def rounded(name: str, of: lang.Type) -> lang.Type:
    return of if name == "abs" or of.kind == "float" else lang.INTEGER


def literal_number(node: lang.Value) -> Fraction:
    if isinstance(node, lang.Negative):
        return -literal_number(node.value)
    assert isinstance(node, lang.Number)
    return Fraction(node.digits.replace("_", ""))


def draw_rules(draw: random.Random, data: Dataset, number: int, depth: int = 3) -> dict[str, lang.Condition]:
    """So many rules by name; each may refer to those before it."""
    made: dict[str, lang.Condition] = {}
    for index in range(number):
        made[f"s{index}"] = Rules(draw, data, list(made)).condition(draw.choice([0, 1, 1, 2, depth]))
    return made
