"""Conditions on the elements of a list, as functions that an engine applies to each of them.

What an expression needs twice is a column of an earlier stage elsewhere; here it is a field of a record. The list of
elements becomes a list of records that hold the element and what was computed of it, stage by stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, made_of
from segmentry.engine.lowering.stored import read_element
from segmentry.rules.nodes import HowMany

if TYPE_CHECKING:
    from segmentry.engine.lowering.values import Lowering


def how_many(lowering: Lowering, node: HowMany) -> Sql:
    """How many elements a condition holds for."""
    ops, of = lowering.ops, lowering.value(node.value)
    row = sql.internal(f"{lowering.prefix}_element")
    inner = lowering.of_elements(read_element(ops, of, sql.column(row)))
    holds = inner.condition(node.where).expr
    elements, known = of.expr, {row}
    for number, stage in enumerate(inner.stages):
        # at first the element itself is what the engine hands over, then a record that has it
        record = row if number else None
        fields = {name: sql.column(name) for name in sorted(known)} | stage
        made = ops("record", {name: _within(ops, value, known, record) for name, value in fields.items()})
        elements = ops("each element", elements, row, made)
        row = sql.internal(f"{lowering.prefix}_record{number}")
        known |= stage.keys()
    chosen = ops("elements where", elements, row, _within(ops, holds, known, row if inner.stages else None))
    return made_of((of,), ops("list length", chosen), node.type, "BIGINT")


def _within(ops: Operations, expr: sql.Expr, known: set[str], record: str | None) -> sql.Expr:
    """The expression with the names that are fields of a record read from it."""
    if record is None:
        return expr

    def read(part: sql.Expr) -> sql.Expr:
        if isinstance(part, exp.Column) and not part.table and part.name in known:
            return ops("field of", sql.column(record), part.name)
        return part

    return expr.copy().transform(read)
