"""What Parquet footers tell about the cost of a read."""

from __future__ import annotations

from functools import lru_cache

import pyarrow.parquet as pq

from segmentry.engine.snapshot import PinnedFile


@lru_cache(maxsize=4096)
def bytes_of(file: PinnedFile, columns: frozenset[str]) -> int:
    """The compressed bytes of those columns in a file; for a text format, all of it."""
    if file.rows is None:
        return file.size
    metadata = pq.read_metadata(file.path)
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            if column.path_in_schema.partition(".")[0] in columns:
                total += column.total_compressed_size
    return total


@lru_cache(maxsize=4096)
def nulls_of(file: PinnedFile, column: str) -> int | None:
    """How many rows of a file lack that column's value; None where its footer doesn't tell."""
    if file.rows is None:
        return None
    metadata = pq.read_metadata(file.path)
    if column not in metadata.schema.names:
        return None
    total = 0
    for group in range(metadata.num_row_groups):
        found = _column(metadata.row_group(group), column)
        if found is None or not found.is_stats_set or not found.statistics.has_null_count:
            return None
        total += found.statistics.null_count
    return total


def _column(group: pq.RowGroupMetaData, name: str) -> pq.ColumnChunkMetaData | None:
    return next((c for c in (group.column(n) for n in range(group.num_columns)) if c.path_in_schema == name), None)
