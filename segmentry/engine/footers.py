"""What Parquet footers tell about the cost of a read."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import lru_cache

import pyarrow.parquet as pq

from segmentry.engine.snapshot import PinnedFile, Relation


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


def rows_of(relation: Relation) -> int:
    """How many rows the relation's Parquet files have."""
    return sum(file.rows or 0 for file in relation.files)


@lru_cache(maxsize=4096)
def decoded_bytes(file: PinnedFile, columns: frozenset[str]) -> tuple[int, ...]:
    """The bytes of those columns in each row group of a Parquet file, no longer compressed; of a file of no rows as of one group."""
    metadata = pq.read_metadata(file.path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return tuple(_decoded(group, columns) for group in groups) or (0,)


def has_long_times(relation: Relation, columns: Collection[str]) -> bool:
    """Whether one of these columns has times of 96 bits, in the first of its Parquet files."""
    schema = _schema(relation.files[0])
    found = (schema.column(number) for number in range(len(schema)))
    return any(column.physical_type == "INT96" for column in found if column.path.partition(".")[0] in columns)


def _decoded(group: pq.RowGroupMetaData, columns: frozenset[str]) -> int:
    chunks = (group.column(number) for number in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] in columns)


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


Span = tuple[datetime, datetime]
"""The smallest and the largest instant of a column (naive UTC; a date is its midnight)."""


def span_of(relation: Relation, column: str) -> Span | None:
    """Within which every instant or date of a column lies, `NO_SPAN` where there is none; None where the footers don't tell."""
    found = [_span(file, column) for file in relation.files]
    if not found or None in found:
        return None
    spans = [span for span in found if span]
    if not spans:
        return NO_SPAN
    return min(span[0] for span in spans), max(span[1] for span in spans)


def may_have(file: PinnedFile, column: str, first: datetime | None, final: datetime | None, margin: timedelta) -> bool:
    """Whether a file may have a value of that column from `first` to `final` (naive UTC, None is open), give or take the margin."""
    span = _span(file, column)
    if span is None:
        return True
    if not span:
        return False
    low, high = span
    try:
        return (final is None or low - margin <= final) and (first is None or high + margin >= first)
    except OverflowError:
        return True


def are_alike(relation: Relation) -> bool:
    """Whether some of the relation's files, read alone, have the very columns and types that all have together."""
    if relation.hive or not relation.files or any(file.rows is None for file in relation.files):
        return False
    first, *others = relation.files
    return all(_schema(first).equals(_schema(other)) for other in others)


@lru_cache(maxsize=4096)
def _schema(file: PinnedFile) -> pq.ParquetSchema:
    return pq.read_metadata(file.path).schema


@lru_cache(maxsize=4096)
def _span(file: PinnedFile, column: str) -> Span | tuple[()] | None:
    """As `span_of`, of one file; () where it has no such values."""
    if file.rows is None:
        return None
    metadata = pq.read_metadata(file.path)
    low: list[datetime] = []
    for group in range(metadata.num_row_groups):
        found = _column(metadata.row_group(group), column)
        if found is None or not found.is_stats_set:  # a folder's name may tell it, or the file spells it otherwise
            return None
        if found.statistics.has_min_max:
            bounds = [_instant(found.statistics, raw) for raw in (found.statistics.min_raw, found.statistics.max_raw)]
            low.extend(bound for bound in bounds if bound is not None)
            if None in bounds:
                return None
        elif not found.statistics.has_null_count or found.statistics.null_count < found.num_values:
            return None
    return (min(low), max(low)) if low else ()


_TICKS = {"milliseconds": 1_000, "microseconds": 1, "nanoseconds": -1_000}


def _instant(statistics: pq.Statistics, raw: object) -> datetime | None:
    """A bound as an instant; None for what is none, or beyond the calendar."""
    logical = json.loads(statistics.logical_type.to_json())
    if not isinstance(raw, int):
        return None
    try:
        if logical["Type"] == "Date":
            return EPOCH + timedelta(days=raw)
        ticks = _TICKS[logical["timeUnit"]]
        return EPOCH + timedelta(microseconds=raw * ticks if ticks > 0 else raw // -ticks)
    except (KeyError, OverflowError):
        return None


EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- UTC throughout


NO_SPAN: Span = (EPOCH, EPOCH)
"""The span of no instants at all."""


def _column(group: pq.RowGroupMetaData, name: str) -> pq.ColumnChunkMetaData | None:
    return next((c for c in (group.column(n) for n in range(group.num_columns)) if c.path_in_schema == name), None)
