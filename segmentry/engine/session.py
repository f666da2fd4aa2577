"""A connection to the engine with what is counted over it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import polars as pl
from sqlglot import exp

from segmentry.engine.backends.duckdb import DuckDB
from segmentry.engine.counters import Counters
from segmentry.engine.footers import bytes_of
from segmentry.engine.lowering import sql
from segmentry.engine.snapshot import PinnedFile, Relation


class Session:
    """Makes tables of queries and fetches them. A context manager; its connection closes with it."""

    def __init__(self, database: DuckDB) -> None:
        self.counters = Counters()
        self._database = database

    def _create(self, table: str, query: exp.Select) -> None:
        self._database.create(table, query)
        self.counters.queries = self._database.queries

    def _fetch(self, query: exp.Select) -> pl.DataFrame:
        found = self._database.fetch(query).rechunk()
        self.counters.queries = self._database.queries
        return found

    def _fetch_in_batches(self, query: exp.Select) -> pl.DataFrame:
        """The same, batch by batch while it runs: conditions are bits from the first, of which the engine would keep bytes."""
        batches = [pl.DataFrame(batch) for batch in self._database.batches(query)]
        self.counters.queries = self._database.queries
        return pl.concat(batches, rechunk=True) if batches else self._fetch(query)

    def _register(self, table: str, frame: pl.DataFrame) -> None:
        """A frame as a table; one of that name is replaced."""
        passed = sql.internal("passed")
        self._database.register(passed, frame)
        self._create(table, exp.Select(expressions=[exp.Star()]).from_(sql.table(passed), copy=False))
        self._database.unregister(passed)

    def _count(self, relation: Relation, columns: Collection[str], file: PinnedFile | None = None) -> None:
        files = [file] if file is not None else relation.files
        self.counters.rows += sum(f.rows or 0 for f in files)
        self.counters.bytes += sum(bytes_of(f, frozenset(columns)) for f in files)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.counters.seconds[stage] = self.counters.seconds.get(stage, 0.0) + time.perf_counter() - start

    def close(self) -> None:
        """Ends the session; its tables are gone."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
