"""Columns as they are stored, read as the language has them: what is missing is NULL, instants are UTC microseconds."""

from __future__ import annotations

from segmentry.engine.columns import language_type, struct_fields
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, is_missing
from segmentry.engine.snapshot import Column
from segmentry.rules.types import FLOAT32, TEXT, Kind, Type

COARSE_TIMESTAMPS = frozenset({"TIMESTAMP_S", "TIMESTAMP_MS"})
FINE_TIMESTAMPS = frozenset({"TIMESTAMP_NS", "TIMESTAMPTZ_NS"})


def read(ops: Operations, column: Column, expr: sql.Expr) -> Sql:
    """The column's value; `expr` is a plain column reference."""
    type = column.type
    assert type is not None  # a column that no rule can use is read by none
    return Sql(_read(ops, type, column.stored, expr), type, held_when_read(type, column.stored))


def held_when_read(type: Type, stored: str) -> str:
    """How a stored column is held once it is read."""
    match type.kind:
        case Kind.TEXT:
            return "VARCHAR"
        case Kind.TIMESTAMP:
            return "TIMESTAMP"
        case Kind.LIST:
            assert type.element is not None
            return held_when_read(type.element, stored[: stored.rindex("[")]) + "[]"
    return stored


def _read(ops: Operations, type: Type, stored: str, expr: sql.Expr) -> sql.Expr:
    match type.kind:
        case Kind.TEXT if stored == "UUID":
            return ops("text of", expr)
        case Kind.TEXT:
            return ops("not empty", expr if stored == "VARCHAR" else ops("text of", expr))
        case Kind.NUMBER if type.is_float:
            return ops("not nan", expr, "FLOAT" if type == FLOAT32 else "DOUBLE")
        case Kind.TIMESTAMP:
            return _instant(ops, stored, expr)
        case Kind.LIST:
            held = held_when_read(type, stored)
            return expr if held == stored else ops("cast", expr, held)
    return expr


def read_element(ops: Operations, of: Sql, expr: sql.Expr) -> Sql:
    """An element of a list that was read; `expr` is the element as the engine hands it over."""
    assert of.type.element is not None
    held = of.held.removesuffix("[]")
    return Sql(_read(ops, of.type.element, held, expr), of.type.element, held)


def read_part(ops: Operations, of: Sql, name: str) -> Sql | None:
    """A field of a struct that was read, missing where the struct is; None where these rows have no such field."""
    fields = struct_fields(of.held)
    stored = fields.get(name) or next((part for other, part in fields.items() if other.casefold() == name.casefold()), None)
    type = None if stored is None else language_type(stored)
    if stored is None or type is None or is_missing(of):  # a field of NULL has no type in DuckDB, whatever the NULL's is
        return None
    part = ops("field of", of.expr, name)
    return Sql(_read(ops, type, stored, part), type, held_when_read(type, stored), of.level, of.depth + 1)


def _instant(ops: Operations, stored: str, expr: sql.Expr) -> sql.Expr:
    if stored in FINE_TIMESTAMPS:
        return ops("micros of nanos", ops("nanos of", expr))
    if stored in COARSE_TIMESTAMPS:
        return ops("attempt", ops("timestamp of coarse", expr))
    return expr if stored == "TIMESTAMP" else ops("timestamp of", expr)


def read_key(ops: Operations, column: Column, expr: sql.Expr) -> sql.Expr:
    """A contact key, held as it is stored, but for text: an enumeration is text, and the empty text is no key."""
    if column.stored == "VARCHAR":
        return ops("not empty", expr)
    return ops("not empty", ops("text of", expr)) if column.stored.startswith("ENUM") else expr


def key_text(ops: Operations, column: Column, expr: sql.Expr) -> Sql:
    """A key as text, as `sample` reads it: decimal digits, a lower-case hyphenated UUID, or the text itself."""
    is_text = column.stored == "VARCHAR" or column.stored.startswith("ENUM")
    return Sql(expr if is_text else ops("text of", expr), TEXT, "VARCHAR")
