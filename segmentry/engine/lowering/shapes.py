"""A lowered value: its SQL, its type in the language, and how the engine holds it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from segmentry.engine.columns import struct_type
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.rules.types import BOOLEAN, Kind, Type

INTEGERS = {
    "TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 38,
    "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20,
}  # fmt: skip
"""Integer types and how many digits their values have at most."""

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression of a query.

    `held` is the engine's type of it, in DuckDB's words (`BIGINT`, `DECIMAL(12,2)`, `FLOAT`, `VARCHAR[]`). `level` is
    the stage of the query whose columns it may read; `depth` how deep its tree is. `finite` is False for a result of
    float arithmetic that may still be infinite or NaN, which means missing.
    """

    expr: sql.Expr
    type: Type
    held: str
    level: int = 0
    depth: int = 1
    finite: bool = True
    constant: object = None
    """The Python value of a literal."""
    span: tuple[datetime, datetime] | None = None
    """Within which a column's instants or dates lie, where that is known (naive UTC)."""

    def made(self, expr: sql.Expr, type: Type | None = None, held: str | None = None) -> Sql:
        """Another expression over the same columns."""
        return Sql(expr, type or self.type, held or self.held, self.level, self.depth + 1, self.finite)


def made_of(parts: tuple[Sql, ...] | list[Sql], expr: sql.Expr, type: Type, held: str, finite: bool = True) -> Sql:
    """An expression over several values."""
    return Sql(expr, type, held, max((p.level for p in parts), default=0), 1 + max((p.depth for p in parts), default=0), finite)


def verdict(parts: tuple[Sql, ...] | list[Sql], expr: sql.Expr) -> Sql:
    """A condition over several values."""
    return made_of(parts, expr, BOOLEAN, "BOOLEAN")


def decimal_of(held: str) -> tuple[int, int] | None:
    """(precision, scale) of a decimal type's name; None for any other."""
    found = _DECIMAL.fullmatch(held)
    return (int(found[1]), int(found[2])) if found else None


def digits_of(value: Sql) -> tuple[int, int]:
    """(digits before the point, digits after it) that an exact value may have."""
    decimal = decimal_of(value.held)
    if decimal is not None:
        return decimal[0] - decimal[1], decimal[1]
    return min(INTEGERS[value.held], value.type.precision or 38), 0


def is_integer(value: Sql) -> bool:
    """Whether it is held as an integer."""
    return value.held in INTEGERS


def held_as(type: Type) -> str:
    """How a computed value of that type is held."""
    match type.kind:
        case Kind.NUMBER if type.width:
            return "FLOAT" if type.width == 32 else "DOUBLE"
        case Kind.NUMBER if type.scale:
            return f"DECIMAL({type.precision},{type.scale})"
        case Kind.NUMBER:
            return "BIGINT" if type.precision <= 18 else "HUGEINT"
        case Kind.LIST:
            assert type.element is not None
            return held_as(type.element) + "[]"
        case Kind.STRUCT:
            return struct_type({name: held_as(part) for name, part in type.fields})
        case Kind.TEXT:
            return "VARCHAR"
        case _:
            return type.kind.value.upper()


def missing(ops: Operations, type: Type, held: str | None = None) -> Sql:
    """A value that is missing for everybody."""
    held = held or held_as(type)
    return Sql(ops("null", held), type, held)


def is_missing(value: Sql) -> bool:
    """Whether it is missing for everybody, as `missing` has it."""
    return isinstance(value.expr, exp.Cast) and isinstance(value.expr.this, exp.Null)
