"""The rows of a few contacts, out of all that a table's files have.

DuckDB would look for them too, but Polars takes about two thirds of the processor time. It is asked only where it reads
every column as the very type that DuckDB does; what its rows mean is left to the plan.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import polars as pl

from segmentry.engine.footers import are_alike, decoded_bytes, has_long_times, rows_of
from segmentry.engine.snapshot import Format, Relation

FEWEST_ROWS = 1_000_000
"""Of fewer rows either reader is quick."""

SHARE_OF_MEMORY = 0.25
"""What is read may take this much of the memory that a run may use: Polars keeps to no limit by itself."""

AT_ONCE = 4
"""So many row groups are decoded at a time."""

COPIES = 2
"""What was found by parts is put together as a whole."""

WIDEST = 16
WIDTHS: dict[type[pl.DataType] | pl.DataType, int] = {
    pl.Boolean: 1, pl.Int8: 1, pl.UInt8: 1, pl.Int16: 2, pl.UInt16: 2, pl.Int32: 4, pl.UInt32: 4, pl.Float32: 4, pl.Date: 4,
    pl.Int64: 8, pl.UInt64: 8, pl.Float64: 8, pl.Datetime: 8,
}  # fmt: skip
"""The bytes of a value in memory; of a text those that say where it is."""

TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "BOOLEAN": pl.Boolean(),
    "TINYINT": pl.Int8(),
    "UTINYINT": pl.UInt8(),
    "SMALLINT": pl.Int16(),
    "USMALLINT": pl.UInt16(),
    "INTEGER": pl.Int32(),
    "UINTEGER": pl.UInt32(),
    "BIGINT": pl.Int64(),
    "UBIGINT": pl.UInt64(),
    "FLOAT": pl.Float32(),
    "DOUBLE": pl.Float64(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us"),
    "TIMESTAMP WITH TIME ZONE": pl.Datetime("us", "UTC"),
}
"""Polars' types that DuckDB takes for these; columns of other types are left to DuckDB."""

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


def few_rows(
    relation: Relation, key: str, columns: Collection[str], keys: pl.Series, contacts: Relation, memory: int
) -> pl.DataFrame | None:
    """The rows whose column `key` is any of the `keys`, in these columns, as they are stored; None where DuckDB shall look for them.

    The keys are some of the `contacts`'; `memory` is how many bytes the run may use.
    """
    wanted = sorted({key, *columns})
    share = len(keys) / max(1, rows_of(contacts))
    types = {name: kind for name in wanted if (kind := _type(relation.columns[name].stored)) is not None}
    if len(types) < len(wanted) or not _is_large(relation) or not _fits(relation, types, share, memory):
        return None
    if not _alike(keys.dtype, types[key]) or has_long_times(relation, wanted):
        return None
    try:
        rows = pl.scan_parquet([file.path for file in relation.files], glob=False, hive_partitioning=False).select(wanted)
        if dict(rows.collect_schema()) != types:
            return None
        among = keys.cast(types[key], strict=False).drop_nulls().implode()  # a key that does not fit is no row's
        return rows.filter(pl.col(key).is_in(among)).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):  # whatever is wrong with a file, DuckDB says it as ever
        return None


def _type(stored: str) -> pl.DataType | None:
    decimal = _DECIMAL.fullmatch(stored)
    return pl.Decimal(int(decimal[1]), int(decimal[2])) if decimal else TYPES.get(stored)


def _alike(one: pl.DataType, other: pl.DataType) -> bool:
    """Whether keys of these types can be told to be equal by Polars: integers, however wide, and texts."""
    return (one.is_integer() and other.is_integer()) or (one == other == pl.String())


def _is_large(relation: Relation) -> bool:
    """Whether these are Parquet files of the same columns, and of many rows."""
    if relation.frame is not None or relation.format is not Format.PARQUET:
        return False
    return rows_of(relation) >= FEWEST_ROWS and are_alike(relation)


def _fits(relation: Relation, types: Mapping[str, pl.DataType], share: float, memory: int) -> bool:
    """Whether the largest row groups can be decoded beside each other, and what is found of them be held, twice where it is put together.

    A row in memory is longer than in a file, where a text is the number of a word, and a decimal as short as it may be.
    """
    width = sum(WIDTHS.get(kind.base_type(), WIDEST) for kind in types.values())
    largest, whole = 0, 0
    for file in relation.files:
        groups = decoded_bytes(file, frozenset(types))
        held = sum(groups) + (file.rows or 0) * width
        largest, whole = max(largest, held * max(groups) // max(1, sum(groups))), whole + held
    return largest * AT_ONCE + share * whole * COPIES <= memory * SHARE_OF_MEMORY
