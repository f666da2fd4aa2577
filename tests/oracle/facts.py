"""Sentences of the rule language's specification, each with an example worked out by hand.

An example is a rule, in the oracle's tree and as text, over contacts numbered from 1; `members` are those it holds for.
Both the oracle and the product must give them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from tests.oracle import language as lang
from tests.oracle import zones
from tests.oracle.datasets import Column, Dataset, Table
from tests.oracle.evaluator import Moment
from tests.oracle.language import DATE, FLOAT64, INTEGER, TEXT, TIMESTAMP

NAN, INF = float("nan"), float("inf")


def utc(text: str) -> int:
    """Microseconds of an ISO instant in UTC."""
    return zones.micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


@dataclass(frozen=True)
class Fact:
    sentence: str
    data: Dataset
    condition: lang.Condition
    text: str
    members: set[int]


FACTS: list[Fact] = []
X, Y = Column("x", "string"), Column("y", "string")


def world(
    columns: tuple[Column, ...],
    rows: list[tuple[Any, ...]],
    as_of: str = "2024-06-15T12:00:00",
    zone: str = "UTC",
    week_start: str = "monday",
    tables: tuple[Table, ...] = (),
) -> Dataset:
    key = Column("id", "int64")
    made = tuple({"id": i} | dict(zip((c.name for c in columns), row, strict=True)) for i, row in enumerate(rows, 1))
    moment = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    return Dataset(Moment(zones.micros(moment), zone, week_start), key, (key, *columns), made, tables, moment)


def fact(sentence: str, values: list[Any], kind: str, condition: lang.Condition, text: str, members: set[int], **where: Any) -> None:
    """About one field `x`; for timestamps `kind` is `timestamp`, or `timestamp ns`, and values are integers of that unit."""
    name, _, unit = kind.partition(" ")
    column = Column("x", name, unit or "us")
    FACTS.append(Fact(sentence, world((column,), [(v,) for v in values], **where), condition, text, members))


def pair(
    sentence: str,
    kinds: tuple[str, str],
    rows: list[tuple[Any, Any]],
    condition: lang.Condition,
    text: str,
    members: set[int],
    **where: Any,
) -> None:
    """About two fields, `x` and `y`."""
    columns = (Column("x", kinds[0]), Column("y", kinds[1]))
    FACTS.append(Fact(sentence, world(columns, list(rows), **where), condition, text, members))


def happening(
    sentence: str,
    kind: str,
    events: list[tuple[int, str, int | date | None, Any]],
    condition: lang.Condition,
    text: str,
    members: set[int],
    contacts: int = 2,
    at: str = "timestamp",
    **where: Any,
) -> None:
    """About events of (contact, name, time, property `p`), for so many contacts."""
    columns = (Column("contact_id", "int64"), Column("at", at), Column("event", "string"), Column("p", kind))
    rows = tuple({"contact_id": c, "event": e, "at": t, "p": p} for c, e, t, p in events)
    table = Table("contact_id", "at", columns, rows, name="event")
    FACTS.append(Fact(sentence, world((X,), [("a",)] * contacts, tables=(table,), **where), condition, text, members))


def x(type_: lang.Type) -> lang.Field:
    return lang.Field("x", type_)


def y(type_: lang.Type) -> lang.Field:
    return lang.Field("y", type_)


def n(digits: str) -> lang.Value:
    return lang.Negative(lang.Number(digits[1:])) if digits.startswith("-") else lang.Number(digits)


def t(text: str) -> lang.Text:
    return lang.Text(text)


def day(text: str) -> lang.Day:
    return lang.Day(date.fromisoformat(text))


def instant(text: str, at: str) -> lang.Instant:
    return lang.Instant(text, utc(at))


def eq(left: lang.Value, right: lang.Value) -> lang.Compare:
    return lang.Compare("=", left, right)


def cmp(left: lang.Value, operator: str, right: lang.Value) -> lang.Compare:
    return lang.Compare(operator, left, right)


def call(name: str, type_: lang.Type, *arguments: lang.Value) -> lang.Call:
    return lang.Call(name, arguments, type_)


def agg(
    function: str,
    property_type: lang.Type | None = None,
    *filters: lang.Condition,
    event: str | None = "buy",
    prop: str = "p",
    **window: Any,
) -> lang.Aggregate:
    return lang.Aggregate(function, event, prop if property_type else None, filters, lang.Window(**window), property_type)


def did(*filters: lang.Condition, event: str | None = "buy", **window: Any) -> lang.Did:
    return lang.Did(event, filters, lang.Window(**window))


TX, IX, FX, SX, MX = x(TEXT), x(INTEGER), x(FLOAT64), x(lang.FLOAT32), x(TIMESTAMP)
DX, D2, D10 = x(DATE), x(lang.exact(2)), x(lang.exact(10))
LX = x(lang.Type("list", element=TEXT))
P = lang.Field("p", TEXT)
NY = {"zone": "America/New_York"}
