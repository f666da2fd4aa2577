"""The operations in DuckDB 2.0's words. Each is as exact as docs/rules.md wants it, or the comment says what completes it."""

from __future__ import annotations

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Build, Operations
from segmentry.engine.lowering.sql import Expr, call, cast, integer, null, text, try_cast, when
from segmentry.engine.relations import scan

TRIMMED = " \t\r\n"
"""What `trim` takes away; DuckDB's own default is the space alone."""

NUMBER = r"^ *[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)? *$"
"""What `number(text)` reads; DuckDB's cast takes more (`1_000`, `inf`, `.5`)."""

FIRST_INSTANT, LAST_INSTANT = -9223372022400000000, 2**63 - 2
"""Microseconds of the first and last instant that a timestamp holds; what lies beyond them in a file is missing."""

EARTH_RADIUS_KM = "6371.0088"


def _attempt(value: Expr) -> Expr:
    """The value, NULL where computing it would raise."""
    return call("TRY", value)


def _not_empty(value: Expr) -> Expr:
    return call("nullif", value, text(""))


def _not_nan_whatever_statistics_say(x: Expr, held: str) -> Expr:
    """NaN as NULL. Parquet's statistics leave NaN out, so DuckDB takes `x = NaN` for false; of `least` it concludes nothing."""
    nan = cast(text("nan"), held)
    return call("nullif", call("least", x, nan), nan.copy())


def _timestamp_of_zoned(zoned: Expr) -> Expr:
    """The instant in UTC. DuckDB's cast asks a calendar row by row (twelve times as slow) and raises beyond its range."""
    micros = call("epoch_us", zoned)
    within = exp.Between(this=micros, low=integer(FIRST_INSTANT), high=integer(LAST_INSTANT))
    return when(within, call("make_timestamp", micros.copy()))


def _micros_of_nanos(nanos: Expr) -> Expr:
    """Nanoseconds cut to microseconds by floor; DuckDB's own cast rounds, its `//` cuts towards zero. `nanos` is a column."""
    cut = sql.infix(exp.IntDiv, nanos, integer(1000))
    before_1970 = when(sql.infix(exp.LT, sql.infix(exp.Mod, nanos.copy(), integer(1000)), integer(0)), integer(1), integer(0))
    return call("make_timestamp", sql.infix(exp.Sub, cut, before_1970))


def _radians(degrees: Expr) -> Expr:
    return call("radians", degrees)


def _distance_km(lat: Expr, lon: Expr, lat0: Expr, lon0: Expr) -> Expr:
    """The haversine formula. The arguments are columns or literals; not finite where one is infinite."""

    def half_chord(a: Expr, b: Expr) -> Expr:
        angle = sql.infix(exp.Div, _radians(sql.infix(exp.Sub, a.copy(), b.copy())), integer(2))
        return call("pow", call("sin", angle), integer(2))

    across = sql.total([call("cos", _radians(lat.copy())), call("cos", _radians(lat0.copy())), half_chord(lon, lon0)], exp.Mul)
    chord = sql.infix(exp.Add, half_chord(lat, lat0), across)
    angle = call("asin", call("sqrt", call("least", cast(integer(1), "DOUBLE"), chord)))
    distance = _attempt(sql.infix(exp.Mul, cast(text(str(2 * float(EARTH_RADIUS_KM))), "DOUBLE"), angle))
    # `least` passes over a NULL, so what is missing is said apart
    return when(sql.all_of(sql.is_set(part.copy()) for part in (lat, lon, lat0, lon0)), distance)


def _moved(instant: Expr, micros: Expr) -> Expr:
    return _attempt(call("make_timestamp", sql.infix(exp.Add, call("epoch_us", instant), micros)))


def _anniversary(day: Expr, today_year: Expr, next_year: Expr, today: Expr) -> Expr:
    """The day's return in today's year, or if that is past, in the next. The arguments are columns or literals."""

    def in_year(year: Expr) -> Expr:
        # the day before 1 March is 28 February in a common year; 29 Feb only comes from a leap year's 29 Feb
        leap = call("make_date", year.copy(), integer(3), integer(1))
        last = sql.infix(exp.Sub, leap, integer(1))
        month, of_month = call("month", day.copy()), call("day", day.copy())
        is_29 = sql.infix(exp.And, exp.EQ(this=month, expression=integer(2)), exp.EQ(this=of_month, expression=integer(29)))
        same = call("make_date", year.copy(), month.copy(), of_month.copy())
        return when(is_29, cast(last, "DATE"), same)

    this_year = in_year(today_year)
    return when(sql.infix(exp.GTE, this_year, today), this_year.copy(), in_year(next_year))


def _outermost(value: Expr, order: Expr, rows: Expr) -> Expr:
    """The value of the chosen row with the largest `order`; of several the largest value, a missing one being the smallest."""
    rank = call("row", order, sql.is_set(value.copy()), value.copy())
    return call("arg_max_null", value, when(rows, rank))


def _lists_joined(*lists: Expr) -> Expr:
    joined = lists[0]
    for other in lists[1:]:
        joined = call("list_concat", joined, other)
    return joined


TABLE: dict[str, Build] = {
    "scan": scan,
    # ------------------------------------------------------------ types and guards
    "attempt": _attempt,
    "is finite": lambda x: call("isfinite", x),
    "not nan": lambda x, held: call("nullif", x, cast(text("nan"), held)),
    "not empty": _not_empty,
    "cast": cast,
    "try cast": try_cast,
    # ------------------------------------------------------------ reading stored columns
    "text of": lambda x: cast(x, "VARCHAR"),
    "without point": lambda x: call("replace", x, text("."), text("")),
    "timestamp of": _timestamp_of_zoned,
    "timestamp of coarse": lambda x: cast(x, "TIMESTAMP"),
    "nanos of": lambda x: call("epoch_ns", cast(x, "TIMESTAMP_NS")),
    "micros of nanos": _micros_of_nanos,
    "micros of": lambda x: call("epoch_us", x),
    # ------------------------------------------------------------ text
    "lower": lambda x: call("lower", x),
    "trim": lambda x: _not_empty(call("trim", x, text(TRIMMED))),
    "length": lambda x: call("length", x),
    "email_domain": lambda x: _not_empty(call("regexp_extract", x, text("@([^@]*)$"), integer(1))),
    "contains": lambda x, y: call("contains", x, y),
    "starts with": lambda x, y: call("starts_with", x, y),
    "ends with": lambda x, y: call("ends_with", x, y),
    "matches": lambda x, y: call("regexp_matches", x, y),
    "like": lambda x, y: exp.Like(this=sql.paren(x), expression=sql.paren(y)),
    # ------------------------------------------------------------ lists
    "list length": lambda x: call("len", x),
    "list contains": lambda x, y: call("list_contains", x, y),
    "elements where": lambda x, element, holds: call("list_filter", x, sql.function(element, holds)),
    "each element": lambda x, element, value: call("list_transform", x, sql.function(element, value)),
    "field of": lambda x, name: call("struct_extract", x, text(name)),
    # ------------------------------------------------------------ numbers
    "float of text": lambda x: when(call("regexp_matches", x, text(NUMBER)), try_cast(call("trim", x.copy()), "DOUBLE")),
    "abs": lambda x: call("abs", x),
    "round": lambda x: call("round", x),
    "floor": lambda x: call("floor", x),
    "ceil": lambda x: call("ceil", x),
    "whole of float": lambda x: cast(x, "HUGEINT"),
    "quotient": lambda x, y: sql.infix(exp.IntDiv, x, y),
    "remainder": lambda x, y: sql.infix(exp.Mod, x, y),
    "distance_km": _distance_km,
    # ------------------------------------------------------------ time
    "moved": _moved,
    "year": lambda x: call("year", x),
    "month": lambda x: call("month", x),
    "day": lambda x: call("day", x),
    "weekday": lambda x: call("isodow", x),
    "hour": lambda x: call("hour", x),
    "date": lambda x: try_cast(x, "DATE"),
    "midnight": lambda x: try_cast(x, "TIMESTAMP"),
    "next_anniversary": _anniversary,
    # ------------------------------------------------------------ aggregates
    "count": lambda x: call("count", x),
    "count distinct": lambda x: exp.Count(this=exp.Distinct(expressions=[x])),
    "distinct values": lambda x: call("list", exp.Distinct(expressions=[x])),
    "sum": lambda x, _held: call("sum", x),
    "min": lambda x: call("min", x),
    "max": lambda x: call("max", x),
    "any": lambda x: call("bool_or", x),
    "bits": lambda x: call("bit_or", x),
    # the first instant's negative would be beyond 64 bits, its complement is not
    "earliest": lambda value, at, rows: _outermost(value, sql.infix(exp.Sub, integer(-1), call("epoch_us", at)), rows),
    "latest": lambda value, at, rows: _outermost(value, call("epoch_us", at), rows),
    # ------------------------------------------------------------ several tables' aggregates together
    "least": lambda *values: call("least", *values),
    "greatest": lambda *values: call("greatest", *values),
    "lists joined": _lists_joined,
    "distinct elements": lambda x: call("len", call("list_distinct", x)),
    # ------------------------------------------------------------ rows beside each other
    "record": lambda fields: exp.Struct(expressions=[exp.PropertyEQ(this=sql.identifier(k), expression=v) for k, v in fields.items()]),
    "records": lambda record, rows: exp.Filter(this=call("list", record), expression=exp.Where(this=rows)),
    "each": lambda records: call("unnest", records),
    # ------------------------------------------------------------ keys
    "md5": lambda x: call("md5", x),
    "first characters": lambda x, n: call("substr", x, integer(1), integer(n)),
    "joined": lambda x, y: exp.DPipe(this=x, expression=sql.paren(y)),
    "null": lambda held: cast(null(), held),
}

DUCKDB = Operations("duckdb", TABLE)

IN_ANY_CONNECTION = Operations("duckdb", TABLE | {"not nan": _not_nan_whatever_statistics_say})
"""The same for statements that others run, whose connections have the optimizer that ours goes without."""
