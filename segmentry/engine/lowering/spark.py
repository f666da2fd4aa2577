"""The operations in Spark's words (4.0 or later, ANSI mode), each with exactly the meaning it has in `duckdb.py`.

Spark raises where DuckDB has `TRY`, and rounds decimals to fit 38 digits where the language wants them missing. So every
operation here is one that cannot raise, and wide exact numbers are computed on the integers that they are without their
point, which Spark computes exactly or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.java_regex import java_pattern
from segmentry.engine.lowering.numbers import HELD_IN_64_BITS, Numbers, literal
from segmentry.engine.lowering.operations import Build, NotExpressible, Operations
from segmentry.engine.lowering.shapes import Sql, digits_of, held_as, made_of
from segmentry.engine.lowering.sql import Expr, call, cast, integer, null, text, when
from segmentry.engine.snapshot import Relation
from segmentry.rules.types import FLOAT64, MAX_DIGITS, Type, exact

TRIMMED = " \t\r\n"
NUMBER = r"^ *[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)? *\z"
DOMAIN = r"@([^@]*)\z"
DIAMETER_KM = str(2 * 6371.0088)
EXACT_BELOW = 2**52
"""From here on every float is an integer."""
HIGH = 2**64
LOWEST = 2**10
"""Floats of 2^62 and more are multiples of it."""
SIGNED_DIGITS = 34
DAY_MICROS = 86_400_000_000

_TRIED: dict[type[exp.Expr], str] = {exp.Add: "try_add", exp.Sub: "try_subtract", exp.Mul: "try_multiply", exp.Mod: "try_mod"}


def _attempt(value: Expr) -> Expr:
    """Arithmetic of integers, NULL where a step has no result. Any other operation is one that never raises."""
    if isinstance(value, exp.Paren):
        return _attempt(value.this)
    if isinstance(value, exp.IntDiv):
        return _quotient(_attempt(value.this), _attempt(value.expression))
    tried = _TRIED.get(type(value))
    return value if tried is None else call(tried, _attempt(value.this), _attempt(value.expression))


def _quotient(x: Expr, y: Expr) -> Expr:
    """The integer quotient, towards zero; `x` is a column, `y` a literal power of ten. Spark's own `div` is of 64 bits."""
    power = y.find(exp.Literal)
    assert power is not None
    assert set(power.name[1:]) <= {"0"}
    multiple = sql.infix(exp.Sub, x, sql.infix(exp.Mod, x.copy(), y))
    return _shifted(multiple, len(power.name) - 1, "HUGEINT")


def _shifted(whole: Expr, places: int, held: str) -> Expr:
    """An integer divided by a power of ten, exactly, through its digits: Spark's division rounds. NULL where it does not fit."""
    return try_cast(call("concat", cast(whole, "VARCHAR"), text(f"E-{places}")), held)


def try_cast(value: Expr, to: str) -> exp.TryCast:
    """A cast that gives NULL where it fails. (Without `safe`, sqlglot writes Spark's plain one.)"""
    return exp.TryCast(this=value, to=cast(value, to).to, safe=True)


def _not_empty(value: Expr) -> Expr:
    return call("nullif", value, text(""))


def _infinity() -> Expr:
    return cast(text("Infinity"), "DOUBLE")


def _is_finite(value: Expr) -> Expr:
    """False for NaN too, which Spark takes for the largest number."""
    return sql.infix(exp.LT, call("abs", value), _infinity())


def _double(value: int) -> Expr:
    return cast(text(str(value)), "DOUBLE")


def _whole_of_float(x: Expr) -> Expr:
    """A float of 2^62 or more, exactly; Spark's cast to a decimal takes its shortest digits. `x` is a column."""
    multiples = cast(try_cast(sql.infix(exp.Div, x, _double(HIGH)), "BIGINT"), "HUGEINT")
    rest = sql.infix(exp.Div, sql.infix(exp.Mod, x.copy(), _double(HIGH)), _double(LOWEST))
    low = cast(try_cast(rest, "BIGINT"), "HUGEINT")
    high = call("try_multiply", multiples, cast(text(str(HIGH)), "DECIMAL(20,0)"))
    return call("try_add", high, call("try_multiply", low, integer(LOWEST)))


def _whole_float(function: str, x: Expr, held: str) -> Expr:
    """`floor` or `ceil` of a float as a float; Spark's give a 64-bit integer. `x` is a column or literal."""
    small = sql.infix(exp.LT, call("abs", x.copy()), _double(EXACT_BELOW))
    return when(small, cast(call(function, x), held), x.copy())


def _lower(x: Expr) -> Expr:
    """Code point by code point: Spark's own makes two of İ, and another letter of a final Σ."""
    return call("lower", call("translate", x, text("İΣ"), text("iσ")))


def _like(x: Expr, pattern: Expr) -> Expr:
    """Spark's `like` escapes by a backslash, so those of the pattern are doubled."""
    if isinstance(pattern, exp.Literal):
        return call("like", x, text(pattern.name.replace("\\", "\\\\")))
    return call("like", x, call("replace", pattern, text("\\"), text("\\\\")))


def _matches(x: Expr, pattern: Expr) -> Expr:
    if not isinstance(pattern, exp.Literal):
        raise NotExpressible("a regular expression that is no literal")
    return call("rlike", x, text(java_pattern(pattern.name)))


def _instant_of_zoned(x: Expr) -> Expr:
    """A timestamp with a zone as UTC without one, whatever the session's timezone. `x` is a column."""
    micros = call("unix_micros", x)
    days = cast(exp.IntDiv(this=micros, expression=integer(DAY_MICROS)), "INTEGER")
    rest = cast(sql.infix(exp.Mod, micros.copy(), integer(DAY_MICROS)), "DECIMAL(18,0)")
    seconds = cast(sql.infix(exp.Mul, rest, cast(text("0.000001"), "DECIMAL(6,6)")), "DECIMAL(18,6)")
    return call("try_add", cast(text("1970-01-01"), "TIMESTAMP"), call("make_dt_interval", days, integer(0), integer(0), seconds))


def _moved(instant: Expr, micros: Expr) -> Expr:
    """Offsets are whole seconds."""
    seconds = cast(sql.infix(exp.IntDiv, micros, integer(1_000_000)), "DECIMAL(18,6)")
    return call("try_add", instant, call("make_dt_interval", integer(0), integer(0), integer(0), seconds))


def _radians(degrees: Expr) -> Expr:
    return call("radians", degrees)


def _distance_km(lat: Expr, lon: Expr, lat0: Expr, lon0: Expr) -> Expr:
    """The haversine formula, over columns or literals."""

    def half_chord(a: Expr, b: Expr) -> Expr:
        angle = sql.infix(exp.Div, _radians(sql.infix(exp.Sub, a.copy(), b.copy())), integer(2))
        return call("pow", call("sin", angle), integer(2))

    across = sql.total([call("cos", _radians(lat.copy())), call("cos", _radians(lat0.copy())), half_chord(lon, lon0)], exp.Mul)
    chord = sql.infix(exp.Add, half_chord(lat, lat0), across)
    angle = call("asin", call("sqrt", call("least", cast(integer(1), "DOUBLE"), chord)))
    finite = sql.all_of(_is_finite(part.copy()) for part in (lat, lon, lat0, lon0))
    return when(finite, sql.infix(exp.Mul, cast(text(DIAMETER_KM), "DOUBLE"), angle))


def _anniversary(day: Expr, today_year: Expr, next_year: Expr, today: Expr) -> Expr:
    """The day's return in today's year, or if that is past, in the next. The arguments are columns or literals."""

    def in_year(year: Expr) -> Expr:
        last = call("date_sub", call("make_date", year.copy(), integer(3), integer(1)), integer(1))
        month, of_month = call("month", day.copy()), call("day", day.copy())
        is_29 = sql.infix(exp.And, exp.EQ(this=month, expression=integer(2)), exp.EQ(this=of_month, expression=integer(29)))
        return when(is_29, last, call("make_date", year.copy(), month.copy(), of_month.copy()))

    this_year = in_year(today_year)
    return when(sql.infix(exp.GTE, this_year, today), this_year.copy(), in_year(next_year))


def _outermost(value: Expr, order: Expr, rows: Expr) -> Expr:
    """The value of the chosen row with the largest `order`; of several the largest value, a missing one being the smallest."""
    rank = call("struct", order, sql.is_set(value.copy()), value.copy())
    return call("max_by", value, when(rows, rank))


def _before(at: Expr) -> Expr:
    """How long before 1970: the largest is the earliest."""
    return sql.infix(exp.Sub, cast(text("1970-01-01"), "TIMESTAMP"), at)


def _lists_joined(*lists: Expr) -> Expr:
    return call("concat", *(call("coalesce", part, call("array")) for part in lists))


def _scan(relation: Relation) -> Expr:
    if relation.frame is not None:
        *path, name = relation.frame.split(".")
        above = [sql.identifier(part) for part in path]
        return exp.Table(this=sql.identifier(name), db=above[-1] if above else None, catalog=above[0] if len(above) > 1 else None)
    return exp.Table(this=sql.identifier(relation.files[0].path), db=sql.identifier("parquet"))


TABLE: dict[str, Build] = {
    "scan": _scan,
    # ------------------------------------------------------------ types and guards
    "attempt": _attempt,
    "is finite": _is_finite,
    "not nan": lambda x, held: call("nullif", x, cast(text("NaN"), held)),
    "not empty": _not_empty,
    "cast": cast,
    "try cast": try_cast,
    # ------------------------------------------------------------ reading stored columns
    "text of": lambda x: cast(x, "VARCHAR"),
    "without point": lambda x: call("replace", x, text("."), text("")),
    "timestamp of": _instant_of_zoned,
    "timestamp of coarse": lambda x: x,
    # a table has them in microseconds already: see `spark_sources.AS_STORED`
    "nanos of": lambda x: x,
    "micros of nanos": lambda x: x,
    "micros of": lambda x: call("unix_micros", x),
    # ------------------------------------------------------------ text
    "lower": _lower,
    "trim": lambda x: _not_empty(call("btrim", x, text(TRIMMED))),
    "length": lambda x: cast(call("char_length", x), "BIGINT"),
    "email_domain": lambda x: _not_empty(call("regexp_extract", x, text(DOMAIN), integer(1))),
    "contains": lambda x, y: call("contains", x, y),
    "starts with": lambda x, y: call("startswith", x, y),
    "ends with": lambda x, y: call("endswith", x, y),
    "matches": _matches,
    "like": _like,
    # ------------------------------------------------------------ lists
    "list length": lambda x: cast(call("array_size", x), "BIGINT"),
    "list contains": lambda x, y: call("array_contains", x, y),
    "elements where": lambda x, element, holds: call("filter", x, sql.function(element, holds)),
    "each element": lambda x, element, value: call("transform", x, sql.function(element, value)),
    "field of": lambda x, name: exp.Dot(this=x, expression=sql.identifier(name)),
    # ------------------------------------------------------------ numbers
    "float of text": lambda x: when(call("rlike", x, text(NUMBER)), try_cast(call("btrim", x.copy()), "DOUBLE")),
    "abs": lambda x: call("abs", x),
    "round": lambda x: call("round", x),
    "floor": lambda x: call("floor", x),
    "ceil": lambda x: call("ceil", x),
    "whole of float": _whole_of_float,
    "quotient": _quotient,
    "remainder": lambda x, y: call("try_mod", x, y),
    "distance_km": _distance_km,
    # ------------------------------------------------------------ time
    "moved": _moved,
    "year": lambda x: cast(call("year", x), "BIGINT"),
    "month": lambda x: cast(call("month", x), "BIGINT"),
    "day": lambda x: cast(call("day", x), "BIGINT"),
    "weekday": lambda x: cast(sql.infix(exp.Add, call("weekday", x), integer(1)), "BIGINT"),
    "hour": lambda x: cast(call("hour", x), "BIGINT"),
    "date": lambda x: try_cast(x, "DATE"),
    "midnight": lambda x: try_cast(x, "TIMESTAMP"),
    "next_anniversary": _anniversary,
    # ------------------------------------------------------------ aggregates
    "count": lambda x: call("count", x),
    "count distinct": lambda x: exp.Count(this=exp.Distinct(expressions=[x])),
    "distinct values": lambda x: call("collect_set", x),
    "sum": lambda x, held: call("sum", cast(x, held)),
    "min": lambda x: call("min", x),
    "max": lambda x: call("max", x),
    "any": lambda x: call("bool_or", x),
    "bits": lambda x: call("bit_or", x),
    "earliest": lambda value, at, rows: _outermost(value, _before(at), rows),
    "latest": _outermost,
    # ------------------------------------------------------------ several tables' aggregates together
    "least": lambda *values: call("least", *values),
    "greatest": lambda *values: call("greatest", *values),
    "lists joined": _lists_joined,
    "distinct elements": lambda x: cast(call("array_size", call("array_distinct", x)), "BIGINT"),
    # ------------------------------------------------------------ rows beside each other
    "record": lambda fields: call("named_struct", *(part for k, v in fields.items() for part in (text(k), v))),
    "records": lambda record, rows: call("collect_list", when(rows, record)),
    "each": lambda records: call("explode", records),
    # ------------------------------------------------------------ keys
    "md5": lambda x: call("md5", cast(x, "BLOB")),
    "first characters": lambda x, n: call("substr", x, integer(1), integer(n)),
    "joined": lambda x, y: call("concat", x, y),
    "null": lambda held: cast(null(), held),
}


class SparkNumbers(Numbers):
    """Arithmetic by Spark's rules for decimals: a result that may need more than 38 digits loses decimal places there.

    Narrow results are Spark's own, said with the type they have; wide ones come from the operands without their points.
    """

    def _divided(self, left: Sql, right: Sql) -> Sql:
        parts = (self.to_float(left, 64), self.settled(self.to_float(right, 64)))
        return made_of(parts, call("try_divide", parts[0].expr, parts[1].expr), FLOAT64, "DOUBLE", finite=False)

    def _product(self, left: Sql, right: Sql, type: Type) -> Sql:
        (whole_1, scale_1), (whole_2, scale_2) = digits_of(left), digits_of(right)
        digits, scale = whole_1 + scale_1 + whole_2 + scale_2, scale_1 + scale_2
        if scale == 0 and digits <= HELD_IN_64_BITS:
            return super()._product(left, right, type)
        if digits < MAX_DIGITS:
            held = f"DECIMAL({digits},{scale})"
            parts = [self._as_decimal(left), self._as_decimal(right)]
            return made_of(parts, self.ops("cast", sql.infix(exp.Mul, parts[0].expr, parts[1].expr), held), type, held)
        return self._wide("try_multiply", [self.unscaled(left), self.unscaled(right)], scale, type)

    def _aligned(self, op: str, left: Sql, right: Sql, type: Type) -> Sql:
        (whole_1, scale_1), (whole_2, scale_2) = digits_of(left), digits_of(right)
        scale, whole = max(scale_1, scale_2), max(whole_1, whole_2)
        if op == "%" or (whole + scale + 1 > MAX_DIGITS and scale_1 != scale_2):
            return super()._aligned(op, left, right, type)
        if whole + scale + 1 > MAX_DIGITS:
            return self._wide(_TRIED[_KINDS[op]], [self.unscaled(left), self.unscaled(right)], scale, type)
        held = held_as(exact(whole + scale + 1, scale))
        narrower = held_as(exact(whole + scale, scale)) if scale else held
        parts = [self.cast(left, narrower), self.cast(right, narrower)]
        return made_of(parts, self.ops("cast", sql.infix(_KINDS[op], parts[0].expr, parts[1].expr), held), type, held)

    def _wide(self, operation: str, wholes: list[Sql], scale: int, type: Type) -> Sql:
        made = call(operation, *(part.expr for part in wholes))
        return self.with_point(made_of(wholes, made, type, "HUGEINT"), scale)

    def _sum_far(self, op: str, left: Sql, right: Sql, type: Type) -> Sql:
        """A sum whose coarser side may need more than 38 digits on the finer scale: the finer side's whole part joins it first."""
        scale_1, scale_2 = digits_of(left)[1], digits_of(right)[1]
        first, second = (self.named(self.unscaled(side)) for side in (left, right))
        coarse, fine = (first, second) if scale_1 < scale_2 else (second, first)
        moved = literal(10 ** abs(scale_1 - scale_2), 0)
        whole, rest = _quotient(fine.expr, moved), sql.infix(exp.Mod, fine.expr.copy(), moved.copy())
        sides, signed = (coarse.expr, whole), _KINDS[op]
        made = sql.infix(signed, *(sides if coarse is first else reversed(sides)))
        rest_kind = signed if fine is second else exp.Add
        made = sql.infix(rest_kind, sql.infix(exp.Mul, made, moved.copy()), rest)
        return self.with_point(made_of((first, second), _attempt(made), type, "HUGEINT"), max(scale_1, scale_2))

    def _remainder_far(self, left: Sql, right: Sql, type: Type) -> Sql:
        if digits_of(right)[1] >= digits_of(left)[1]:
            raise NotExpressible("a remainder by a decimal with so many places that 38 digits don't hold both sides", "X103")
        return super()._remainder_far(left, right, type)

    def total(self, values: Sequence[Sql], scale: int) -> Sql:
        wholes = [self.unscaled(self.cast(value, f"DECIMAL({MAX_DIGITS},{scale})")) for value in values]
        made = _attempt(sql.total([whole.expr for whole in wholes]))
        return self.with_point(made_of(wholes, made, exact(MAX_DIGITS), "HUGEINT"), scale)

    def with_point(self, whole: Sql, places: int) -> Sql:
        held = f"DECIMAL({MAX_DIGITS},{places})"
        if not places:
            return self.cast(whole, held, attempt=True)
        return whole.made(_shifted(whole.expr, places, held), exact(MAX_DIGITS, places), held)

    def _wide_to_float(self, value: Sql, type: Type, held: str) -> Sql:
        # here the cast itself gives the nearest float
        return made_of((value,), self.ops("cast", value.expr, held), type, held)

    def negated(self, value: Sql, type: Type) -> Sql:
        if value.constant is not None or not _loses_digits(value):
            return super().negated(value, type)
        value = self._signed(value)
        negative = call("replace", call("concat", text("-"), self.ops("text of", value.expr)), text("--"), text(""))
        return value.made(self.ops("cast", negative, value.held), type)

    def rounded(self, function: str, value: Sql, type: Type) -> Sql:
        if function == "abs" and _loses_digits(value):
            value = self._signed(value)
            size = call("replace", self.ops("text of", value.expr), text("-"), text(""))
            return value.made(self.ops("cast", size, value.held), type)
        if not value.type.is_float or function not in ("floor", "ceil"):
            return super().rounded(function, value, type)
        column = self.named(value)
        return made_of((column,), _whole_float(function, column.expr, value.held), value.type, value.held, finite=False)


def _loses_digits(value: Sql) -> bool:
    """Whether Spark's `abs` and unary minus may round it: they keep 34 digits. So a sign is put before the digits instead."""
    return value.type.is_exact and sum(digits_of(value)) > SIGNED_DIGITS


_KINDS: dict[str, type[exp.Binary]] = {"+": exp.Add, "-": exp.Sub}

SPARK = Operations("spark", TABLE, SparkNumbers)
