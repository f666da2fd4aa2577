"""Asks the product under test: the same rules over the same data, by its public names only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tests.oracle.datasets import Dataset, arrow_table

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


def ask(data: Dataset, rules: Mapping[str, Any], form: str = "arrow", folder: Path | None = None) -> dict[str, list[bool]]:
    """Per rule one answer per contact, in row order. `rules` are texts or builder mappings."""
    import segmentry

    made = []
    for table in data.tables:
        rows = frame(arrow_table(table.columns, table.rows), form, folder)
        named = {"name": table.name} if table.name else {}
        made.append(segmentry.Events(rows, contact=table.contact, at=table.at, **named))
    events: Any = None
    if made and all(table.event for table in data.tables):
        events = {str(table.event): one for table, one in zip(data.tables, made, strict=True)}
    elif made:
        events = made if len(made) > 1 else made[0]
    contacts = frame(data.arrow(), form, folder)
    found = segmentry.evaluate(dict(rules), contacts=contacts, key=data.key.name, events=events, as_of=data.as_of, timezone=data.clock.zone)
    answers = found.to_polars()
    assert answers.columns == [data.key.name, *rules]
    assert answers.height == len(data.rows)
    return {name: answers[name].to_list() for name in rules}
