"""A pinned relation as something to select from, in DuckDB's words."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.scanning import Option, reader
from segmentry.engine.snapshot import PinnedFile, Relation


def scan(relation: Relation, file: PinnedFile | None = None) -> sql.Expr:
    """The relation's rows, or only those of one of its files."""
    if relation.frame is not None:
        return sql.table(relation.frame)
    function, options = reader(relation)
    files = [file] if file is not None else relation.files
    paths = exp.Array(expressions=[sql.text(f.path) for f in files])
    named = [exp.EQ(this=exp.Var(this=name), expression=_option(value)) for name, value in options.items()]
    return sql.call(function, paths, *named)


def _option(value: Option) -> sql.Expr:
    if isinstance(value, bool):
        return sql.boolean(value)
    if isinstance(value, Mapping):
        return exp.Struct(expressions=[exp.PropertyEQ(this=sql.text(k), expression=sql.text(v)) for k, v in value.items()])
    return sql.text(value)
