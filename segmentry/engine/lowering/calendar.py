"""Calendar parts, in a timezone whose offsets are written into the query as instants: no engine does zone arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeVar

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, held_as
from segmentry.rules.types import DATE, TIMESTAMP, Kind, Type
from segmentry.rules.zones import day_offsets, transitions

if TYPE_CHECKING:
    from segmentry.engine.lowering.values import Lowering

MICROS = 1_000_000
PARTS = ("year", "month", "day", "weekday", "hour")


class Calendar:
    """The calendar of one timezone, in one engine's words."""

    def __init__(self, ops: Operations, zone: str) -> None:
        self.ops = ops
        self.zone = zone

    def call(self, lowering: Lowering, function: str, args: Sequence[Sql], type: Type) -> Sql:
        """A calendar function of a date or instant."""
        if function == "instant":
            return self.first_instant(lowering, args[0])
        day = self.local(lowering, args[0])
        if function == "date":
            return self._date(day)
        if function == "next_anniversary":
            return self._anniversary(lowering, day, args[1])
        if function in PARTS:
            return day.made(self.ops(function, day.expr), type, held_as(type))
        raise TypeError(f"no function `{function}`")

    def local(self, lowering: Lowering, value: Sql) -> Sql:
        """An instant as local time; a date as it is."""
        steps = _within(value, transitions(self.zone))
        if value.type.kind is Kind.DATE or (len(steps) == 1 and steps[0][1] == 0):
            return value
        value = lowering.named(value)
        offset = _stepwise(value.expr, [(self._instant(start), seconds) for start, seconds in steps])
        return lowering.named(value.made(self.ops("moved", value.expr.copy(), offset)))

    def first_instant(self, lowering: Lowering, value: Sql) -> Sql:
        """A date's first instant, UTC; an instant as it is."""
        if value.type.kind is Kind.TIMESTAMP:
            return value
        steps = _within(value, day_offsets(self.zone))
        if len(steps) == 1 and steps[0][1] == 0:
            return value.made(self.ops("midnight", value.expr), TIMESTAMP, "TIMESTAMP")
        value = lowering.named(value)
        offset = _stepwise(value.expr, [(self._day(start), -seconds) for start, seconds in steps])
        midnight = self.ops("midnight", value.expr.copy())
        return value.made(self.ops("moved", midnight, offset), TIMESTAMP, "TIMESTAMP")

    def _date(self, value: Sql) -> Sql:
        return value if value.type.kind is Kind.DATE else value.made(self.ops("date", value.expr), DATE, "DATE")

    def _anniversary(self, lowering: Lowering, value: Sql, today: Sql) -> Sql:
        day = lowering.named(self._date(value))
        assert isinstance(today.constant, date)
        year = today.constant.year
        made = self.ops("next_anniversary", day.expr, sql.integer(year), sql.integer(year + 1), today.expr)
        return day.made(made, DATE, "DATE")

    def _instant(self, value: datetime) -> sql.Expr:
        naive = value.replace(tzinfo=None)
        return self.ops("cast", sql.text(naive.isoformat(sep=" ")), "TIMESTAMP")

    def _day(self, value: date) -> sql.Expr:
        return self.ops("cast", sql.text(value.isoformat()), "DATE")


Step = TypeVar("Step", date, datetime)


def _within(value: Sql, steps: Sequence[tuple[Step, int]]) -> Sequence[tuple[Step, int]]:
    """The steps that some value of the column is at or after, without those that all values are past."""
    if value.span is None:
        return steps
    low, high = value.span
    reached = [step for step in steps if _naive(step[0]) <= high]
    past = sum(1 for step in reached if _naive(step[0]) <= low)
    return reached[max(past - 1, 0) :] or steps[:1]


def _naive(start: date) -> datetime:
    return start.replace(tzinfo=None) if isinstance(start, datetime) else datetime.combine(start, time.min)


def _stepwise(value: sql.Expr, steps: list[tuple[sql.Expr, int]]) -> sql.Expr:
    """The seconds of the last step at or before the value, as microseconds; a balanced tree, so nine tests tell one of 400 steps."""
    if len(steps) == 1:
        return sql.integer(steps[0][1] * MICROS)
    middle = len(steps) // 2
    before = exp.LT(this=value.copy(), expression=steps[middle][0])
    return sql.when(before, _stepwise(value, steps[:middle]), _stepwise(value, steps[middle:]))


def midnight_bounds(first: datetime | None, final: datetime | None) -> tuple[date | None, date | None]:
    """Days within which every date lies whose first instant, in any timezone, is within the bounds."""
    day = timedelta(days=1)
    low = first.date() - day if first and first.date() > date.min + day else None
    high = final.date() + day if final and final.date() < date.max - day else None
    return low, high
