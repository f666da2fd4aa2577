"""The contacts' rows of a run that is past: from its own files while they are there, else from the newest snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
from polars.selectors import by_name

from segmentry.engine.rows import rows_among, rows_of, unchanged
from segmentry.engine.snapshot import ContactSource


def rows_of_snapshot(source: ContactSource, keys: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """The rows of some contacts, in no order: the key and these columns, one that the snapshot does not have any more missing for all."""
    wanted, known = list(dict.fromkeys([source.key, *columns])), source.relation.columns
    found = rows_among(source.relation, source.key, keys, [name for name in wanted if name in known])
    return found.with_columns(pl.lit(None).alias(name) for name in wanted if name not in known)


def rows_in_passing(source: ContactSource, keys: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """The same, as a stream: slower, but of a snapshot of any size only these rows are in memory."""
    found = rows_of(source.relation, source.key, keys)
    known = found.collect_schema().names()
    wanted = dict.fromkeys([source.key, *columns])
    there = by_name([name for name in wanted if name in known])  # a name may look like a pattern, which a plain select reads as one
    missing = (pl.lit(None).alias(name) for name in wanted if name not in known)
    return found.select(there).with_columns(missing).collect(engine="streaming")


def rows_or_newest(source: ContactSource, newest: Callable[[], ContactSource], keys: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """As `rows_of_snapshot`; where the files are gone or changed, as the newest snapshot has them, by the same names."""
    if unchanged(source.relation.files):
        return rows_of_snapshot(source, keys, columns)
    return rows_of_snapshot(newest(), keys, columns)
