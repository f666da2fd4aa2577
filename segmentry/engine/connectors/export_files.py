"""Frames into files part by part: memory is bounded by a part, however many rows there are.

Parquet has values as the snapshot has them. Text says them as destinations are told them everywhere: exact numbers as numbers, days and
times in ISO 8601; what JSON has no number for (NaN, infinity) is missing. A list stays a list in NDJSON where its items are plain;
whatever else holds several values is JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import polars as pl
import pyarrow.parquet as pq
from polars.datatypes import DataTypeClass

COMPRESSION, LEVEL = "zstd", 3


@dataclass(frozen=True)
class Written:
    """How many rows a file has, and its columns with their types."""

    rows: int
    columns: pl.Schema


def write_parts(stream: BinaryIO, parts: Iterator[pl.DataFrame], format: str) -> Written:
    """Writes frames with the same columns one after another, in a format of `FilesSettings`; those after the first get its types."""
    first = _fitting(next(parts), format)
    frames = _alike(first, parts, format)
    return Written(_WRITERS[format](stream, frames), first.schema)


def type_name(dtype: pl.DataType) -> str:
    """What a manifest calls a column's type."""
    if isinstance(dtype, pl.List):
        return f"list of {type_name(_instance(dtype.inner))}"
    if isinstance(dtype, pl.Struct):
        return "structure"
    return next((name for name, fits in _NAMES.items() if fits(dtype)), "text")


def _alike(first: pl.DataFrame, parts: Iterator[pl.DataFrame], format: str) -> Iterator[pl.DataFrame]:
    yield first
    for part in parts:
        yield _fitting(part, format).cast(first.schema, strict=False)


def _parquet(stream: BinaryIO, frames: Iterator[pl.DataFrame]) -> int:
    first = next(frames)
    table = first.to_arrow()
    rows = first.height
    with pq.ParquetWriter(stream, table.schema, compression=COMPRESSION, compression_level=LEVEL) as writer:
        if first.height:
            writer.write_table(table)
        for frame in frames:
            writer.write_table(frame.to_arrow().cast(table.schema))
            rows += frame.height
    return rows


def _csv(stream: BinaryIO, frames: Iterator[pl.DataFrame]) -> int:
    rows = 0
    for number, frame in enumerate(frames):
        frame.write_csv(stream, include_header=number == 0)
        rows += frame.height
    return rows


def _ndjson(stream: BinaryIO, frames: Iterator[pl.DataFrame]) -> int:
    rows = 0
    for frame in frames:
        frame.write_ndjson(stream)
        rows += frame.height
    return rows


_WRITERS: Mapping[str, Callable[[BinaryIO, Iterator[pl.DataFrame]], int]] = {"parquet": _parquet, "csv": _csv, "ndjson": _ndjson}

_NAMES: Mapping[str, Callable[[pl.DataType], bool]] = {
    "boolean": lambda dtype: dtype == pl.Boolean(),
    "integer": lambda dtype: dtype.is_integer(),
    "number": lambda dtype: dtype.is_float() or dtype.is_decimal(),
    "date": lambda dtype: dtype == pl.Date(),
    "time": lambda dtype: isinstance(dtype, pl.Datetime),
    "bytes": lambda dtype: dtype == pl.Binary(),
}


# ---------------------------------------------------------------- values


def _fitting(frame: pl.DataFrame, format: str) -> pl.DataFrame:
    """The frame with values that the format has words for."""
    return frame.select(_value(name, dtype, format) for name, dtype in frame.schema.items())


def _value(name: str, dtype: pl.DataType, format: str) -> pl.Expr:
    value = pl.col(name)
    if isinstance(dtype, pl.Null | pl.Categorical | pl.Enum):
        return value.cast(pl.String())
    if format == "parquet" or _is_plain(dtype):
        return value
    if dtype.is_decimal():
        return value.cast(pl.Float64())
    if dtype.is_float():
        return pl.when(value.is_finite()).then(value).alias(name)
    if dtype.is_temporal():
        return value.dt.to_string("iso:strict")
    if dtype == pl.Binary():
        return value.bin.encode("base64")
    if format == "ndjson" and isinstance(dtype, pl.List) and _is_plain(_instance(dtype.inner)):
        return value
    if dtype.is_nested():  # as JSON: the encoder takes structures, so it is put in one, and taken out of its text
        text = pl.struct(value.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.head(-1)
        return pl.when(value.is_not_null()).then(text).alias(name)
    return value.cast(pl.String())


def _is_plain(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or dtype == pl.Boolean() or dtype == pl.String()


def _instance(dtype: pl.DataType | DataTypeClass) -> pl.DataType:
    """A type within another one, which polars may have as a class."""
    return dtype() if isinstance(dtype, DataTypeClass) else dtype
