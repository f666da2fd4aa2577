"""The rows of a source as a polars LazyFrame, read by DuckDB just as a run reads them: same files, same types, same order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import duckdb
import polars as pl
from polars.io.plugins import register_io_source

from segmentry.engine.backends.failures import told
from segmentry.engine.columns import key_kind
from segmentry.engine.reader import connect
from segmentry.engine.scanning import reader
from segmentry.engine.snapshot import PinnedFile, Relation
from segmentry.engine.textfiles import identifier, literal, scan_text

AS_TEXT = re.compile(r"\b(INTERVAL|UNION|BIT|VARIANT|GEOMETRY|BIGNUM|TIME WITH TIME ZONE)\b")
"""Stored types that polars has no like of; such columns are read as text."""

FEW = 1_000
"""So many keys can be written into a query."""

BATCH_ROWS = 122_880
"""Rows per batch: one row group of DuckDB's."""


def scan(relation: Relation) -> str:
    """The relation as SQL to select from."""
    function, options = reader(relation)
    return scan_text(function, [file.path for file in relation.files], options)


def rows(relation: Relation) -> pl.LazyFrame:
    """All columns of all rows, in the files' order; only the columns and rows that are asked for are read."""
    schema = cache(partial(_schema, relation))  # asked for at every step that is put upon the frame
    return register_io_source(_Reading(relation), schema=schema, is_pure=True, explain_name="SEGMENTRY")


def rows_of(relation: Relation, key: str, keys: pl.Series) -> pl.LazyFrame:
    """The rows whose key is one of `keys`, in the files' order."""
    found = rows(relation)
    wanted = pl.LazyFrame({key: keys.cast(found.collect_schema()[key])})
    return found.join(wanted, on=key, how="semi", maintain_order="left")


def rows_with(relation: Relation, key: str, keys: pl.Series) -> pl.DataFrame:
    """The rows with these keys, in the keys' order. A few keys are asked for in SQL, so that files are not read whole for them."""
    if len(keys) > FEW:
        return rows_of(relation, key, keys).collect()
    wanted = ", ".join(literal(one) if isinstance(one, str) else str(one) for one in keys)
    among = f"{identifier(key)} in ({wanted})" if wanted else "false"
    with connect() as connection, told(file.path for file in relation.files):
        query = f"select {_selected(relation, None)} from {scan(relation)} where {among}"
        found = pl.DataFrame(connection.sql(query).to_arrow_table())
    return pl.DataFrame({key: keys.cast(found.schema[key])}).join(found, on=key, how="left", maintain_order="left").select(found.columns)


def rows_among(relation: Relation, key: str, keys: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of the rows whose key is one of `keys`, in no order: DuckDB joins, so that only these rows become a frame."""
    wanted, column = _selected(relation, columns), identifier(key)
    with connect() as connection, told(file.path for file in relation.files):
        source = scan(relation)
        if key_kind(relation.columns[key].stored) == "integer":
            none = connection.sql(f"select {column} as key from {source} limit 0").to_arrow_table()
            keys = keys.cast(pl.DataFrame(none).schema["key"])
        else:  # a UUID is text to polars, and an ENUM's values are
            keys, column = keys.cast(pl.String()), f"{column}::varchar"
        connection.register("wanted", pl.DataFrame({"key": keys}).to_arrow())
        return pl.DataFrame(connection.sql(f"select {wanted} from {source} where {column} in (select key from wanted)").to_arrow_table())


def unchanged(files: tuple[PinnedFile, ...]) -> bool:
    """Whether the files are there with the size and time that they were pinned with."""
    for file in files:
        try:
            status = Path(file.path).stat()
        except OSError:
            return False
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified):
            return False
    return True


class _Reading:
    """What polars calls for the rows of a scan."""

    def __init__(self, relation: Relation) -> None:
        self.relation = relation

    def __call__(self, columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, size: int | None) -> Iterator[pl.DataFrame]:
        chosen = _selected(self.relation, columns)
        # A limit in SQL only where no filter of polars comes after it
        end = f" limit {limit}" if limit is not None and predicate is None else ""
        with connect() as connection, told(file.path for file in self.relation.files):
            if columns == []:
                yield from self._bare(connection, limit)
                return
            reader = connection.sql(f"select {chosen} from {scan(self.relation)}{end}").to_arrow_reader(size or BATCH_ROWS)
            left = limit
            for batch in reader:
                frame = pl.DataFrame(batch)
                if predicate is not None:
                    frame = frame.filter(predicate)
                if left is not None:
                    frame = frame.head(left)
                    left -= frame.height
                yield frame
                if left == 0:
                    return

    def _bare(self, connection: duckdb.DuckDBPyConnection, limit: int | None) -> Iterator[pl.DataFrame]:
        """No columns, but as many rows as there are."""
        found = connection.execute(f"select count(*) from {scan(self.relation)}").fetchone()
        count = int(found[0]) if found else 0
        yield pl.DataFrame(height=count if limit is None else min(count, limit))


def _schema(relation: Relation) -> pl.Schema:
    with connect() as connection:
        reader = connection.sql(f"select {_selected(relation, None)} from {scan(relation)} limit 0").to_arrow_reader(1)
        return pl.DataFrame(reader.read_all()).schema


def _selected(relation: Relation, columns: Sequence[str] | None) -> str:
    """The columns of a select: these, or all."""
    chosen = []
    for name in relation.columns if columns is None else columns:
        cast = "::varchar" if AS_TEXT.search(relation.columns[name].stored) else ""
        chosen.append(f"{identifier(name)}{cast} as {identifier(name)}")
    return ", ".join(chosen)
