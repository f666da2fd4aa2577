"""Frames into tables of the catalog and out of them: a hundred thousand rows as Python objects all at once take much memory."""

from __future__ import annotations

import polars as pl
from sqlalchemy import Connection, Select, Table, insert

ROWS_AT_ONCE = 10_000
"""Rows of a frame that are plain rows at one time."""


def insert_frame(connection: Connection, table: Table, frame: pl.DataFrame | None) -> None:
    """Inserts a frame's rows, whose columns are the table's, a part at a time: a hundred thousand as plain rows take much memory.

    The statement is compiled once; SQLAlchemy would look at every value of every row, which takes longer than the insert.
    """
    if frame is None or not frame.height:
        return
    compiled = insert(table).compile(dialect=connection.dialect, column_keys=frame.columns)
    for part in frame.iter_slices(ROWS_AT_ONCE):
        if compiled.positiontup is not None:
            connection.exec_driver_sql(compiled.string, part.select(compiled.positiontup).rows())
        else:
            connection.exec_driver_sql(compiled.string, part.to_dicts())


def read_frame(connection: Connection, query: Select[tuple[object, ...]], schema: pl.Schema) -> pl.DataFrame:
    """What a query finds, its columns in the schema's order."""
    parts = [pl.DataFrame(schema=schema)]
    found = connection.execute(query)
    while rows := found.fetchmany(ROWS_AT_ONCE):
        parts.append(pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row"))
    return pl.concat(parts)
