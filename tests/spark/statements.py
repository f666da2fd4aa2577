"""A world of the oracle as Parquet files, its rules as one statement, and that statement asked of Spark or DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from segmentry.engine.frames import EventFrame, FrameSnapshot, snapshot_of
from segmentry.engine.schemas import schema_of
from segmentry.engine.whole import render_whole
from segmentry.errors import DialectError
from segmentry.rules.builder import parse_builder
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition
from segmentry.rules.parse import parse_text
from segmentry.rules.references import references
from tests.oracle.agreement import Batch
from tests.oracle.datasets import Dataset, arrow_table


@dataclass(frozen=True)
class World:
    """A dataset's files, and what its rules mean on them."""

    data: Dataset
    sources: FrameSnapshot
    clock: Clock
    conditions: dict[str, Condition]

    def statement(self, dialect: str, wanted: list[str] | None = None) -> str:
        return render_whole(self.conditions, self.sources.snapshot, self.clock, dialect=dialect, wanted=wanted)

    def refused(self, dialect: str) -> dict[str, set[str]]:
        """The rules that the dialect can't say, by themselves or for a rule they refer to, and the codes of why."""
        found: dict[str, set[str]] = {}
        for name in self.conditions:
            try:
                render_whole(self._needed(name), self.sources.snapshot, self.clock, dialect=dialect)
            except DialectError as problem:
                found[name] = {diagnostic.code for diagnostic in problem.diagnostics}
        return found

    def _needed(self, name: str) -> dict[str, Condition]:
        needed: dict[str, Condition] = {}
        waiting = {name}
        while waiting:
            current = waiting.pop()
            needed[current] = self.conditions[current]
            waiting |= references(needed[current]) - needed.keys()
        return needed


def world(one: Batch, folder: Path) -> World:
    """The batch's data written to a folder, its rules checked and grounded."""
    data = one.data
    folder.mkdir(exist_ok=True)
    pq.write_table(data.arrow(), folder / "contacts.parquet")
    frames = []
    for number, table in enumerate(data.tables, 1):
        path = folder / f"events_{number}.parquet"
        pq.write_table(arrow_table(table.columns, table.rows), path)
        frames.append(EventFrame(path, table.contact, table.at, table.name, table.event, data.scale))
    sources = snapshot_of(folder / "contacts.parquet", data.key.name, frames)
    schema = schema_of(sources.snapshot, one.texts.keys(), frames=sources.frames)
    clock = Clock(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=data.clock.as_of), data.clock.zone, data.clock.week_start)
    conditions = {}
    for name, written in one.texts.items():
        syntax = parse_text(written) if isinstance(written, str) else parse_builder(written)
        conditions[name] = ground(check(syntax, schema, source=written if isinstance(written, str) else None)[0], clock)
    return World(data, sources, clock, conditions)


def as_spark_takes_it(table: pa.Table) -> pa.Table:
    """UUIDs as text and nanoseconds cut to microseconds, as a view must have them for a statement."""
    for number, column in enumerate(table.schema):
        if isinstance(column.type, pa.UuidType):
            texts = [None if value is None else str(value) for value in table.column(number).to_pylist()]
            table = table.set_column(number, column.name, pa.array(texts, pa.string()))
        elif pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            nanos = table.column(number).cast(pa.int64()).to_pylist()
            micros = [None if value is None else value // 1000 for value in nanos]
            table = table.set_column(number, column.name, pa.array(micros, pa.int64()).cast(pa.timestamp("us")))
    return table
