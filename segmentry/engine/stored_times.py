"""Bounds of time in the types that a file has, so that rows outside them are not read any further."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.calendar import midnight_bounds
from segmentry.engine.lowering.operations import Operations

HELD = {"TIMESTAMP": "TIMESTAMP", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE", "DATE": "DATE"}
"""What a bound is written as, by how a column is stored; of other types there are no bounds to write."""


def stored_times(ops: Operations, name: str, stored: str, first: datetime | None, final: datetime | None) -> list[sql.Expr]:
    """What holds for every row whose instant lies within these bounds, and maybe for a few others; nothing where that can't be written."""
    held = HELD.get(stored)
    if held is None:
        return []
    low: object = first
    high: object = final
    if held == "DATE":
        low, high = midnight_bounds(first, final)
    bounds: list[sql.Expr] = []
    if low is not None:
        bounds.append(exp.GTE(this=sql.column(name), expression=_literal(ops, low, held)))
    if high is not None:
        bounds.append(exp.LTE(this=sql.column(name), expression=_literal(ops, high, held)))
    return bounds


def _literal(ops: Operations, bound: object, held: str) -> sql.Expr:
    if isinstance(bound, datetime):
        written = bound.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
        return ops("cast", sql.text(written + ("+00" if held != "TIMESTAMP" else "")), held)
    return ops("cast", sql.text(str(bound)), held)
