"""Conditions on the elements of a list, as functions that an engine applies to each of them; and how rows keep structs.

What an expression needs twice is a column of an earlier stage elsewhere; here it is a field of a record. The list of
elements becomes a list of records that hold the element and what was computed of it, stage by stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, held_as, made_of
from segmentry.engine.lowering.stored import read_element
from segmentry.rules.nodes import HowMany
from segmentry.rules.types import Kind, Type

if TYPE_CHECKING:
    from segmentry.engine.lowering.values import Lowering


def how_many(lowering: Lowering, node: HowMany) -> Sql:
    """How many elements a condition holds for."""
    ops, of = lowering.ops, lowering.value(node.value)
    row, inner = _of_elements(lowering, of)
    holds = inner.condition(node.where).expr
    chosen = _applied("elements where", of, row, inner, holds)
    return made_of((of,), ops("list length", chosen), node.type, "BIGINT")


def kept(lowering: Lowering, value: Sql, type: Type) -> Sql:
    """The value as rows of several tables keep values of its type. A struct that is missing has missing fields, so it is kept as those."""
    if type.kind is Kind.STRUCT:
        fields = {name: kept(lowering, lowering.part(value, name, part), part) for name, part in type.fields}
        record = {name: part.expr for name, part in fields.items()}
        return made_of([value, *fields.values()], lowering.ops("record", record), type, held_as(type))
    if type.element is None or type.element.kind is not Kind.STRUCT or value.held == held_as(type):
        return lowering.numbers.held(value, type)
    row, inner = _of_elements(lowering, value)
    made = kept(inner, inner.element(), type.element)
    return made_of((value,), _applied("each element", value, row, inner, made.expr), type, held_as(type))


def _of_elements(lowering: Lowering, of: Sql) -> tuple[str, Lowering]:
    """The name of an element, and a lowering of what is asked of it."""
    row = sql.internal(f"{lowering.prefix}_element")
    return row, lowering.of_elements(read_element(lowering.ops, of, sql.column(row)))


def _applied(operation: str, of: Sql, row: str, inner: Lowering, asked: sql.Expr) -> sql.Expr:
    """An operation on a list, with what `inner` made of an element."""
    ops, elements, known = inner.ops, of.expr, {row}
    for number, stage in enumerate(inner.stages):
        # at first the element itself is what the engine hands over, then a record that has it
        record = row if number else None
        fields = {name: sql.column(name) for name in sorted(known)} | stage
        made = ops("record", {name: _within(ops, value, known, record) for name, value in fields.items()})
        elements = ops("each element", elements, row, made)
        row = sql.internal(f"{inner.prefix}_record{number}")
        known |= stage.keys()
    return ops(operation, elements, row, _within(ops, asked, known, row if inner.stages else None))


def _within(ops: Operations, expr: sql.Expr, known: set[str], record: str | None) -> sql.Expr:
    """The expression with the names that are fields of a record read from it."""
    if record is None:
        return expr

    def read(part: sql.Expr) -> sql.Expr:
        if isinstance(part, exp.Column) and not part.table and part.name in known:
            return ops("field of", sql.column(record), part.name)
        return part

    return expr.copy().transform(read)
