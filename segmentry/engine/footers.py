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
