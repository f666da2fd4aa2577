"""DuckDB, closed to everything but the files of one run. Queries come as sqlglot trees; results leave as Polars frames."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import polars as pl
import pyarrow as pa
from sqlglot import exp

from segmentry.engine.backends.failures import told
from segmentry.engine.lowering import sql

SETTINGS: dict[str, str | int | bool] = {
    "TimeZone": "UTC",
    "preserve_insertion_order": True,
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # the plan says which side of a join is built; swapping them would lose the contacts' order. And Parquet's statistics
    # leave NaN out, from which DuckDB concludes that there is none: `isnan(x)` would be false for a NaN
    "disabled_optimizers": "join_order,build_side_probe_side,statistics_propagation",
    "max_expression_depth": 20_000,
}

FRAME = "FRAME"
"""What a name stands for that is neither a table nor a view."""

BATCH_ROWS = 1 << 18
"""Rows that are handed over at once: few enough that a table's columns, and the copies that are made of some, take little."""

UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}


class DuckDB:
    """A connection for one run, to an engine of its own. It reads `paths` and registered frames, writes to its temp folder, and no more.

    `memory` is DuckDB's notation (`4GiB`), `threads` a number; None is DuckDB's default. Of the memory, `beside` bytes are for what
    the caller holds itself, but half of it at most. It spills into a folder of its own that goes away with the connection, within
    `temp` where that is given.
    """

    def __init__(
        self,
        paths: Iterable[str],
        *,
        frames: Mapping[str, object] | None = None,
        memory: str | None = None,
        beside: int = 0,
        threads: int | None = None,
        temp: Path | None = None,
    ) -> None:
        if temp is not None:
            temp.mkdir(parents=True, exist_ok=True)
        # of its own also within `temp`: two engines that spill into one folder would write into each other's files
        own_temp = tempfile.TemporaryDirectory(prefix="segmentry-", dir=temp)
        self._begin(duckdb.connect(":memory:"), tuple(paths), own_temp.cleanup)
        try:
            self._lock_down(self._paths, memory, beside, threads, own_temp.name)
            for name, frame in (frames or {}).items():
                self.register(name, frame)
        except BaseException:
            self.close()
            raise

    def _begin(self, connection: duckdb.DuckDBPyConnection, paths: tuple[str, ...], after: Callable[[], None] | None) -> None:
        self.queries = self._beside = 0
        self._connection, self._paths, self._after = connection, paths, after
        self._made: dict[str, str] = {}

    def sibling(self, frames: Mapping[str, object] | None = None) -> Self:
        """Another connection to the same engine: its files, memory, threads and temp folder; tables, views and frames are its own.

        An engine takes some 25 ms to start, and each has a memory limit for itself. It has to be closed before this one.
        """
        made = object.__new__(type(self))
        made._begin(self._connection.cursor(), self._paths, None)
        made._beside = self._beside
        for name, frame in (frames or {}).items():
            made.register(name, frame)
        return made

    def _lock_down(self, paths: Iterable[str], memory: str | None, beside: int, threads: int | None, temp: str) -> None:
        settings: dict[str, str | int | bool] = {"temp_directory": temp, **SETTINGS}
        if memory is not None:
            settings["memory_limit"] = memory
        if threads is not None:
            settings["threads"] = threads
        for name, value in settings.items():
            self._set(name, value)
        if memory is not None:
            whole = self.memory()
            self._beside = min(beside, whole // 2)
            self._set("memory_limit", f"{(whole - self._beside) // 2**10}KiB")
        allowed = exp.Array(expressions=[sql.text(path) for path in sorted(set(paths))])
        self._connection.execute(f"set allowed_paths = {sql.render(allowed)}")
        self._connection.execute(f"set allowed_directories = {sql.render(exp.Array(expressions=[sql.text(temp)]))}")
        self._set("enable_external_access", False)
        self._set("lock_configuration", True)

    def _set(self, name: str, value: str | int | bool) -> None:
        literal: exp.Expr = sql.boolean(value) if isinstance(value, bool) else sql.text(str(value))
        self._connection.execute(f"set global {name} = {sql.render(literal)}")  # for siblings too

    def create(self, table: str, query: exp.Query) -> None:
        """A temporary table of the query's rows, in their order; one of that name is replaced."""
        self.queries += 1
        self._make("TABLE", table, query)

    def view(self, name: str, query: exp.Query) -> None:
        """A temporary view: the query under a name."""
        self._make("VIEW", name, query)

    def _make(self, kind: str, name: str, query: exp.Query) -> None:
        self._drop(name)  # `or replace` does not put a view in a table's place
        self._made[name] = kind
        with told(self._paths):
            self._connection.execute(sql.render(sql.temporary(kind, name, query)))

    def _drop(self, name: str) -> None:
        former = self._made.pop(name, None)
        if former == FRAME:
            self._connection.unregister(name)
        elif former is not None:
            self._connection.execute(sql.render(exp.Drop(tables=[sql.table(name)], kind=former)))

    def fetch(self, query: exp.Query) -> pl.DataFrame:
        """The query's rows as a frame."""
        self.queries += 1
        # through `sql`, not `execute`: the latter copies the result once more
        with told(self._paths):
            frame: pl.DataFrame = self._connection.sql(sql.render(query)).pl()
        return frame

    def batches(self, query: exp.Query) -> Iterator[pa.RecordBatch]:
        """The query's rows, batch by batch, while it runs."""
        self.queries += 1
        with told(self._paths):
            yield from self._connection.sql(sql.render(query)).to_arrow_reader(BATCH_ROWS)

    def replace(self, name: str, frame: object) -> None:
        """Makes a frame readable under a name, in place of what had it."""
        self._drop(name)
        self._made[name] = FRAME
        self._connection.register(name, frame)

    def memory(self) -> int:
        """The bytes that this connection and its caller may use together."""
        number, unit = str(self._connection.sql("select current_setting('memory_limit')").fetchall()[0][0]).split()
        return int(float(number) * UNITS[unit]) + self._beside

    def register(self, name: str, frame: object) -> None:
        """Makes an Arrow-speaking frame readable under a name."""
        self._connection.register(name, frame)

    def unregister(self, name: str) -> None:
        self._connection.unregister(name)

    def close(self) -> None:
        self._connection.close()
        if self._after is not None:
            self._after()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
