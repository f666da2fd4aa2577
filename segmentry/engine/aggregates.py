"""What an event function needs of one event table, and how the tables' parts make its value.

A part is an aggregate over the rows of one table, grouped by contact. A function over an event that several tables may
carry is computed in parts, one or more per table, and put together where the contacts are joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.numbers import Numbers, literal
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, decimal_of, digits_of, held_as, made_of, missing
from segmentry.rules.nodes import Aggregate
from segmentry.rules.types import BOOLEAN, COUNT, FLOAT64, MAX_DIGITS, TIMESTAMP, Type, exact, list_of

SUMMED_SAFELY = 27
"""Values of so many digits can't overflow a 128-bit sum, however many there are."""

MOST_ROWS = 10
"""How many digits the number of one contact's events has at most."""

HALF = 10**19
"""Wider values are summed in two halves."""

FAR = 2**62
"""Scaled floats below this are summed as 64-bit integers; beyond it by their multiples of this and the rest."""


@dataclass(frozen=True, slots=True)
class Part:
    """One aggregate over a table's rows. `places`: it is an integer that stands for so many decimal places."""

    expr: sql.Expr
    type: Type
    held: str
    places: int = 0


class Parts:
    """The aggregates of one table. `scale` is how many places its sums of floats keep; `at` its rows' instant."""

    def __init__(self, ops: Operations, numbers: Numbers, at: Sql, scale: int) -> None:
        self.ops = ops
        self.numbers = numbers
        self.at = at
        self.scale = scale

    def of(self, node: Aggregate, rows: sql.Expr, value: Sql | None, alone: bool) -> dict[str, Part]:
        """The parts of one event function, by role. `value` is its property; `alone`: no other table has that event."""
        function = node.function
        if function == "count":
            return {"count": self._count("count", rows, sql.integer(1))}
        if function in ("first", "last"):
            return {"value": self._pick(_ENDS[function], rows, self.at)}
        assert value is not None
        if function in ("min", "max"):
            return {"value": self._pick(function, rows, value)}
        if function == "distinct":
            if alone:
                return {"count": self._count("count distinct", rows, value.expr)}
            return {"values": Part(self.ops("distinct values", _of(rows, value.expr)), list_of(value.type), value.held + "[]")}
        if function in ("earliest", "latest"):
            found = Part(self.ops(function, value.expr.copy(), self.at.expr.copy(), rows.copy()), value.type, value.held)
            return {"value": found} if alone else {"value": found, "at": self._pick(_ENDS[function], rows, self.at)}
        parts = self._sum(value, rows)
        return parts | {"count": self._count("count", rows, value.expr)} if function == "avg" else parts

    def _count(self, operation: str, rows: sql.Expr, expr: sql.Expr) -> Part:
        return Part(self.ops(operation, _of(rows, expr)), COUNT, "BIGINT")

    def _pick(self, operation: str, rows: sql.Expr, value: Sql) -> Part:
        return Part(self.ops(operation, _of(rows, value.expr)), value.type, value.held)

    def _total(self, rows: sql.Expr, whole: sql.Expr, places: int) -> Part:
        return Part(self.ops("sum", _of(rows, whole), "HUGEINT"), exact(MAX_DIGITS), "HUGEINT", places)

    def _sum(self, value: Sql, rows: sql.Expr) -> dict[str, Part]:
        if value.type.is_float:
            return self._float_sum(value, rows)
        whole, places = digits_of(value)
        if whole + places > SUMMED_SAFELY:
            return self._halves(rows, self.numbers.named(self.numbers.unscaled(value)), places)
        held = f"DECIMAL({MAX_DIGITS},{places})" if decimal_of(value.held) else "HUGEINT"
        return {"sum": Part(self.ops("sum", _of(rows, value.expr), held), exact(whole + places + MOST_ROWS, places), held)}

    def _float_sum(self, value: Sql, rows: sql.Expr) -> dict[str, Part]:
        scaled = self.numbers.named(self.numbers.scaled(value, self.scale))
        size = self.ops("abs", scaled.expr)
        near = sql.infix(exp.LT, size, sql.integer(FAR))
        inside = sql.infix(exp.LTE, size.copy(), self.ops("cast", sql.text(f"1e{MAX_DIGITS}"), "DOUBLE"))
        whole = scaled.made(sql.when(near, self.ops("cast", scaled.expr.copy(), "BIGINT")), exact(19), "BIGINT")
        far_rows = sql.all_of([sql.negation(near.copy()), inside.copy()])
        far = scaled.made(sql.when(far_rows, self.ops("whole of float", scaled.expr.copy())), exact(MAX_DIGITS), "HUGEINT")
        return {
            "sum": self._total(rows, self.numbers.named(whole).expr, self.scale),
            **self._halves(rows, self.numbers.named(far), self.scale),
            "unfit": Part(self.ops("any", _of(rows, sql.negation(inside))), BOOLEAN, "BOOLEAN"),
        }

    def _halves(self, rows: sql.Expr, whole: Sql, places: int) -> dict[str, Part]:
        high = self.ops("quotient", whole.expr.copy(), literal(HALF, 0))
        low = sql.infix(exp.Mod, whole.expr.copy(), literal(HALF, 0))
        return {"high": self._total(rows, high, places), "low": self._total(rows, low, places)}


_ENDS = {"first": "min", "earliest": "min", "last": "max", "latest": "max"}


def _of(rows: sql.Expr, expr: sql.Expr) -> sql.Expr:
    """The expression on the chosen rows, NULL on the others."""
    return sql.when(rows.copy(), expr.copy())


@dataclass(frozen=True, slots=True)
class Joined:
    """A part as a column of the contacts' query."""

    value: Sql
    places: int


Table = Mapping[str, Joined]
"""One table's parts, by role."""


class Assembly:
    """Puts the parts of an event function together, over the columns that hold them."""

    def __init__(self, ops: Operations, numbers: Numbers) -> None:
        self.ops = ops
        self.numbers = numbers

    def value(self, node: Aggregate, tables: Sequence[Table]) -> Sql:
        """The function's value from the parts of every table that has the event."""
        function = node.function
        if function in ("count", "distinct"):
            return self._count(tables)
        if function in ("sum", "avg"):
            total = self._total(node, tables)
            return self._average(total, self._count(tables)) if function == "avg" else total
        if not tables:
            return missing(self.ops, node.type)
        if function in ("earliest", "latest"):
            return self._outermost(node, tables)
        values = self._held_alike([parts["value"].value for parts in tables], node.type)
        if len(values) == 1:
            return values[0]
        pick = "least" if function in ("min", "first") else "greatest"
        return made_of(values, self.ops(pick, *(v.expr for v in values)), node.type, values[0].held)

    def _or_zero(self, part: Sql) -> Sql:
        return part.made(sql.call("coalesce", part.expr, sql.integer(0)))

    def _count(self, tables: Sequence[Table]) -> Sql:
        counts = [self._or_zero(parts["count"].value) for parts in tables if "count" in parts]
        lists = [parts["values"].value for parts in tables if "values" in parts]
        if lists:
            together = self.ops("distinct elements", self.ops("lists joined", *(part.expr for part in lists)))
            counts.append(self._or_zero(made_of(lists, together, COUNT, "BIGINT")))
        if not counts:
            return Sql(sql.integer(0), COUNT, "BIGINT")
        return made_of(counts, sql.total([c.expr for c in counts]), COUNT, "BIGINT")

    def _total(self, node: Aggregate, tables: Sequence[Table]) -> Sql:
        """The exact sum; missing where it does not fit, or a value of it did not."""
        scale = node.type.scale if node.function == "sum" else max((_places(parts) for parts in tables), default=0)
        if not tables:
            held = f"DECIMAL({MAX_DIGITS},{scale})"
            return Sql(self.ops("cast", sql.integer(0), held), exact(MAX_DIGITS, scale), held)
        total = self._narrow_total(tables, scale) if _is_narrow(tables, scale) else self._wide_total(tables, scale)
        unfit = [parts["unfit"].value for parts in tables if "unfit" in parts]
        if not unfit:
            return total
        fit = sql.negation(sql.any_of(sql.call("coalesce", flag.expr, sql.boolean(False)) for flag in unfit))
        return made_of((total, *unfit), sql.when(fit, total.expr), total.type, total.held)

    def _narrow_total(self, tables: Sequence[Table], scale: int) -> Sql:
        """Sums that fit, each and all together."""
        sums = [self._or_zero(parts["sum"].value) for parts in tables]
        if len(sums) == 1:
            return sums[0]
        return self.numbers.total(sums, scale)

    def _wide_total(self, tables: Sequence[Table], scale: int) -> Sql:
        """All tables' sums as integers on one scale, added in halves, so that only the result must fit."""
        highs: list[Sql] = []
        lows: list[Sql] = []
        for parts in tables:
            moved = 10 ** (scale - _places(parts))
            if "high" in parts:
                highs.append(self._times(self._or_zero(parts["high"].value), moved))
                lows.append(self._times(self._or_zero(parts["low"].value), moved))
            if "sum" in parts:
                whole = self.numbers.named(self.numbers.unscaled(self._or_zero(parts["sum"].value)))
                for operation, halves in (("quotient", highs), ("remainder", lows)):
                    half = self.ops(operation, whole.expr.copy(), literal(HALF, 0))
                    halves.append(self._times(whole.made(half, exact(MAX_DIGITS), "HUGEINT"), moved))
        high, low = (self.numbers.named(self._added(halves)) for halves in (highs, lows))
        carried = sql.infix(exp.Add, high.expr, sql.infix(exp.IntDiv, low.expr, literal(HALF, 0)))
        rest = sql.infix(exp.Mod, low.expr.copy(), literal(HALF, 0))
        joined = sql.infix(exp.Add, sql.infix(exp.Mul, carried, literal(HALF, 0)), rest)
        return self.numbers.with_point(made_of((high, low), self.ops("attempt", joined), exact(MAX_DIGITS), "HUGEINT"), scale)

    def _times(self, value: Sql, factor: int) -> Sql:
        if factor == 1:
            return value
        return value.made(self.ops("attempt", sql.infix(exp.Mul, value.expr, literal(factor, 0))))

    def _added(self, values: Sequence[Sql]) -> Sql:
        total = sql.total([value.expr for value in values])
        return made_of(list(values), self.ops("attempt", total) if len(values) > 1 else total, exact(MAX_DIGITS), "HUGEINT")

    def _average(self, total: Sql, count: Sql) -> Sql:
        dividend = self.numbers.to_float(total, 64)
        # no average of nothing
        divisor = self.ops("cast", sql.call("nullif", count.expr, sql.integer(0)), "DOUBLE")
        return made_of((dividend, count), sql.infix(exp.Div, dividend.expr, divisor), FLOAT64, "DOUBLE")

    def _outermost(self, node: Aggregate, tables: Sequence[Table]) -> Sql:
        values = self._held_alike([parts["value"].value for parts in tables], node.type)
        if len(values) == 1:
            return values[0]
        value, at = values[0], tables[0]["at"].value
        order = exp.GT if node.function == "latest" else exp.LT
        for other, parts in zip(values[1:], tables[1:], strict=True):
            value, at = self._outer(order, (value, at), (other, parts["at"].value))
        return value

    def _held_alike(self, values: list[Sql], type: Type) -> list[Sql]:
        """The tables' values, all held as the type that has room for each where their columns differ."""
        if not type.is_exact or len({value.held for value in values}) == 1:
            return values
        return [self.numbers.cast(value, held_as(type)) for value in values]

    def _outer(self, order: type[exp.Binary], first: tuple[Sql, Sql], second: tuple[Sql, Sql]) -> tuple[Sql, Sql]:
        (value_1, at_1), (value_2, at_2) = (tuple(self.numbers.named(part) for part in pair) for pair in (first, second))
        parts = (value_1, at_1, value_2, at_2)
        same = self.ops("greatest", value_1.expr.copy(), value_2.expr.copy())
        second_only = sql.any_of([sql.is_null(at_1.expr), sql.infix(order, at_2.expr, at_1.expr.copy())])
        first_only = sql.any_of([sql.is_null(at_2.expr.copy()), sql.infix(order, at_1.expr.copy(), at_2.expr.copy())])
        value = exp.Case(ifs=[exp.If(this=second_only, true=value_2.expr), exp.If(this=first_only, true=value_1.expr)], default=same)
        pick = "greatest" if order is exp.GT else "least"
        at = made_of((at_1, at_2), self.ops(pick, at_1.expr.copy(), at_2.expr.copy()), TIMESTAMP, "TIMESTAMP")
        return self.numbers.named(made_of(parts, value, value_1.type, value_1.held)), self.numbers.named(at)


def _places(parts: Table) -> int:
    """The decimal places of a table's sum."""
    total = parts["sum"] if "sum" in parts else parts["high"]
    return total.places or total.value.type.scale


def _is_narrow(tables: Sequence[Table], scale: int) -> bool:
    """Whether no sum of these tables, nor that of all of them, can need more than 38 digits."""
    if any("high" in parts for parts in tables):
        return False
    whole = max(parts["sum"].value.type.precision - parts["sum"].value.type.scale for parts in tables)
    return len(tables) == 1 or whole + scale < MAX_DIGITS
