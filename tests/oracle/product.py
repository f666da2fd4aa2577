"""Asks the product under test: the same rules over the same data, by its public names only."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tests.oracle.datasets import PER_SECOND, Dataset, arrow_table

FORMS = ("arrow", "chunked", "polars")


def frame(table: pa.Table, form: str, folder: Path | None = None) -> Any:
    """The table as it is, in chunks of seven rows, as a polars frame or as a Parquet file. Polars has no UUIDs and no `+05:30`."""
    match form:
        case "chunked":
            return pa.Table.from_batches(table.to_batches(max_chunksize=7), table.schema)
        case "polars" if not any(pa.types.is_date64(t) or isinstance(t, pa.UuidType) or "+05:30" in str(t) for t in table.schema.types):
            return pl.from_arrow(table)
        case "parquet":
            assert folder is not None
            path = folder / f"{len(list(folder.iterdir()))}.parquet"
            pq.write_table(table, path, row_group_size=16)
            return path
    return table


FARTHEST = (2**63 - 1, -(2**63), 2**63 - 2, -(2**63) + 1, -(2**62), 2**62)
YEARS_1_TO_10000 = (-62135596801, -62135596800, 253402300799, 253402300800)
FARTHEST_DAYS = (2**31 - 1, -(2**31), 2**31 - 2, -(2**31) + 1, -719163, 2932897)


def with_extremes(table: pa.Table, draw: random.Random) -> pa.Table:
    """The table with half its instants and dates replaced by the farthest; seconds and milliseconds stay within microseconds' range."""
    columns = []
    for field in table.schema:
        column = table[field.name].combine_chunks()
        if pa.types.is_timestamp(field.type):
            unit = field.type.unit
            far = [y * PER_SECOND[unit] for y in YEARS_1_TO_10000 if unit != "ns"] + (list(FARTHEST) if unit in ("us", "ns") else [])
            column = replaced(column, pa.int64(), far, draw)
        elif pa.types.is_date32(field.type):
            column = replaced(column, pa.int32(), list(FARTHEST_DAYS), draw)
        columns.append(column)
    return pa.table(columns, schema=table.schema)


def replaced(column: pa.Array, integers: pa.DataType, far: list[int], draw: random.Random) -> pa.Array:
    values = [draw.choice(far) if draw.random() < 0.5 else value for value in column.view(integers).to_pylist()]
    return pa.array(values, integers).view(column.type)


def ask(
    data: Dataset,
    rules: Mapping[str, Any],
    form: str = "arrow",
    folder: Path | None = None,
    change: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> dict[str, list[bool]]:
    """Per rule one answer per contact, in row order. `rules` are texts or builder mappings; `change` alters the tables handed over."""
    import segmentry

    made = []
    for table in data.tables:
        rows = frame(change(arrow_table(table.columns, table.rows)), form, folder)
        named = {"name": table.name} if table.name else {}
        made.append(segmentry.Events(rows, contact=table.contact, at=table.at, scale=data.scale, **named))
    events: Any = None
    if made and all(table.event for table in data.tables):
        events = {str(table.event): one for table, one in zip(data.tables, made, strict=True)}
    elif made:
        events = made if len(made) > 1 else made[0]
    contacts = frame(change(data.arrow()), form, folder)
    clock = {"as_of": data.as_of, "timezone": data.clock.zone, "week_start": data.clock.week_start}
    found = segmentry.evaluate(dict(rules), contacts=contacts, key=data.key.name, events=events, **clock)
    answers = found.to_polars()
    assert answers.columns == [data.key.name, *rules]
    assert answers.height == len(data.rows)
    return {name: answers[name].to_list() for name in rules}
