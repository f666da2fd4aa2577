"""A pinned relation as something to select from, in DuckDB's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.scanning import Option, reader
from segmentry.engine.snapshot import Format, PinnedFile, Relation

FILE_INDEX = "file_index"
"""DuckDB's own column: which of the files a row is from, from 0 in the order given."""


def scan(relation: Relation) -> sql.Expr:
    """The relation's rows."""
    if relation.frame is not None:
        return sql.table(relation.frame)
    return _read(relation, relation.files, reader(relation)[1])


def reading_frame(query: exp.Select, relation: Relation, frame: str) -> exp.Select:
    """The query with a frame in place of the relation's files."""
    files, query = scan(relation), query.copy()
    for node in list(query.find_all(type(files))):
        if node == files:
            node.replace(sql.table(frame))
    return query


def scan_files(relation: Relation, files: Sequence[PinnedFile], number: str) -> sql.Expr:
    """The rows of some of a relation's files: all the relation's columns, and in a column of that name which of the files it is, from 0."""
    options = reader(relation)[1]
    which: sql.Expr = exp.Column(this=exp.Identifier(this=FILE_INDEX))
    if any(name.lower() == FILE_INDEX for name in relation.columns):  # a column of the data hides the engine's own; paths are slower
        options = {**options, "filename": number}
        which = sql.infix(exp.Sub, sql.call("list_position", _paths(files), sql.column(number)), sql.integer(1))
    own = [sql.identifier(number)] if "filename" in options else None
    every = exp.Select(expressions=[exp.Star(except_=own), sql.named(which, number)])
    every.set("from_", exp.From(this=_read(relation, files, options)))
    if relation.format is not Format.PARQUET:  # a text file's columns are declared
        return sql.subquery(every, "f")
    columns = {c.name: sql.cast(sql.null(), c.stored) for c in relation.columns.values() if c.type is not None}
    nothing = exp.Select(expressions=[sql.named(value, name) for name, value in columns.items()]).where(sql.boolean(False))
    return sql.subquery(exp.Union(this=every, expression=nothing, distinct=False, by_name=True), "f")


def _read(relation: Relation, files: Sequence[PinnedFile], options: Mapping[str, Option]) -> sql.Expr:
    named = [exp.EQ(this=exp.Var(this=name), expression=_option(value)) for name, value in options.items()]
    return sql.call(reader(relation)[0], _paths(files), *named)


def _paths(files: Sequence[PinnedFile]) -> sql.Expr:
    return exp.Array(expressions=[sql.text(f.path) for f in files])


def _option(value: Option) -> sql.Expr:
    if isinstance(value, bool):
        return sql.boolean(value)
    if isinstance(value, Mapping):
        return exp.Struct(expressions=[exp.PropertyEQ(this=sql.text(k), expression=sql.text(v)) for k, v in value.items()])
    return sql.text(value)
