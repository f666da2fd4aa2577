"""Arrow-speaking frames and Parquet paths as sources: what `evaluate` is given, as a snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segmentry.engine.arrow_types import as_written
from segmentry.engine.columns import key_kind, language_type, shown
from segmentry.engine.pinned import FileProblem, pin_parquet
from segmentry.engine.reader import connect
from segmentry.engine.snapshot import Column, ContactSource, EventSource, Format, Relation, Snapshot
from segmentry.engine.textfiles import literal
from segmentry.errors import SourceError
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.suggest import nearest
from segmentry.rules.types import Kind

TIMES = (Kind.TIMESTAMP, Kind.DATE)

SCALES = range(19)
"""Places that sums of floats may keep, as in segmentry.yml."""


@dataclass(frozen=True, slots=True)
class EventFrame:
    """An event table as it was given: its frame or path, its columns' roles, and its one event's name where it has one."""

    data: object
    contact: str
    at: str
    name: str | None = None
    event: str | None = None
    scale: int = 6


@dataclass
class FrameSnapshot:
    """A snapshot over frames, and the frames by the names that its relations have."""

    snapshot: Snapshot
    frames: Mapping[str, pa.Table]


def snapshot_of(contacts: object, key: str, events: list[EventFrame]) -> FrameSnapshot:
    """The sources as a snapshot. SourceError with every problem."""
    reader = _Reader()
    with connect() as connection:
        relation = reader.relation(connection, contacts, "contacts")
        tables = [reader.relation(connection, event.data, f"events{number}") for number, event in enumerate(events)]
    if relation is not None:
        reader.check_key(relation, key)
        for event, table in zip(events, tables, strict=True):
            if table is not None:
                reader.check_events(event, table, relation.columns.get(key))
    if reader.problems or relation is None:
        raise SourceError(reader.problems)
    sources = tuple(
        EventSource(table, event.contact, event.at, event.name, event.event, event.scale)
        for event, table in zip(events, tables, strict=True)
        if table is not None
    )
    return FrameSnapshot(Snapshot(ContactSource(relation, key), sources), reader.frames)


@dataclass
class _Reader:
    frames: dict[str, pa.Table] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)

    def relation(self, connection: duckdb.DuckDBPyConnection, data: object, label: str) -> Relation | None:
        """The frame or file with its columns' types; None, and a problem, for what can't be read."""
        if isinstance(data, str | Path):
            return self._file(connection, Path(data))
        table = arrow_table(data)
        twice = _same_names(table.column_names)
        if twice:
            self.problems.append(Diagnostic("S206", f"{label}: the columns `{twice[0]}` and `{twice[1]}` differ only in case"))
            return None
        schema = table.schema
        table, stored = _stored_types(connection, table)
        self.frames[f"$frame.{label}"] = table
        return Relation(_columns(stored, schema), frame=f"$frame.{label}")

    def _file(self, connection: duckdb.DuckDBPyConnection, path: Path) -> Relation | None:
        try:
            pinned, metadata = pin_parquet(path.absolute())
        except FileProblem as problem:
            self.problems.append(Diagnostic(problem.code, problem.message, help=problem.hint))
            return None
        stored = dict(_described(connection, f"read_parquet({literal(pinned.path)})"))
        return Relation(_columns(stored, metadata.schema.to_arrow_schema()), (pinned,), Format.PARQUET)

    def check_key(self, relation: Relation, key: str) -> None:
        column = self._column(relation, key, "contacts", "key")
        if column is not None and key_kind(column.stored) is None:
            self.problems.append(Diagnostic("S302", f"contacts: `{key}` is {shown(column.stored)}; a key is an integer, text or a UUID"))

    def check_events(self, event: EventFrame, table: Relation, key: Column | None) -> None:
        label = event.event or "events"
        if type(event.scale) is not int or event.scale not in SCALES:
            message = f"{label}: `scale={event.scale!r}` is no number of places; it is from {SCALES[0]} to {SCALES[-1]}"
            self.problems.append(Diagnostic("W205", message))
        contact = self._column(table, event.contact, label, "contact")
        at = self._column(table, event.at, label, "at")
        name = self._column(table, event.name, label, "name") if event.name is not None else None
        if at is not None and (at.type is None or at.type.kind not in TIMES):
            message = f"{label}: `{at.name}` is {shown(at.stored)}; an event's time is a timestamp or a date"
            self.problems.append(Diagnostic("S303", message))
        if name is not None and (name.type is None or name.type.kind is not Kind.TEXT):
            self.problems.append(Diagnostic("S305", f"{label}: `{name.name}` is {shown(name.stored)}; an event's name is text"))
        if contact is not None and key is not None and key_kind(contact.stored) != key_kind(key.stored):
            message = f"{label}: `{contact.name}` is {shown(contact.stored)}, but the contacts' key `{key.name}` is {shown(key.stored)}"
            self.problems.append(Diagnostic("S304", message, help="they must be of one type to be compared"))

    def _column(self, relation: Relation, name: str, label: str, role: str) -> Column | None:
        column = relation.columns.get(name)
        if column is None:
            close = nearest(name, list(relation.columns))
            hint = f"did you mean `{close}`?" if close else f"its columns are {', '.join(list(relation.columns)[:10])}"
            self.problems.append(Diagnostic("S301", f"{label} has no column `{name}`, which was named as `{role}=`", help=hint))
        return column


def arrow_table(frame: Any) -> pa.Table:
    """Any Arrow-speaking frame as a table, without a copy where that is possible. TypeError for anything else."""
    if isinstance(frame, pa.Table):
        return frame
    if not hasattr(frame, "__arrow_c_stream__") and hasattr(frame, "collect"):
        frame = frame.collect()  # a polars LazyFrame
    if not hasattr(frame, "__arrow_c_stream__"):
        raise TypeError(f"a {type(frame).__name__} is no frame that speaks Arrow, nor a path of a Parquet file")
    return pa.RecordBatchReader.from_stream(frame).read_all()


def _stored_types(connection: duckdb.DuckDBPyConnection, table: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """The columns' types as DuckDB sees them; a column that it can't see becomes text that no rule can use."""
    stored: dict[str, str] = {}
    seen = table
    for name in table.column_names:
        alone = table.select([name])
        try:
            connection.register("probe", alone)
            stored.update(_described(connection, "probe"))
        except duckdb.Error:
            stored[name] = str(table.schema.field(name).type)
            seen = seen.drop_columns([name])
        finally:
            connection.unregister("probe")
    return seen, stored


def _described(connection: duckdb.DuckDBPyConnection, source: str) -> Iterator[tuple[str, str]]:
    for name, stored, *_ in connection.execute(f"describe select * from {source}").fetchall():
        yield name, stored


def _columns(stored: Mapping[str, str], schema: pa.Schema) -> dict[str, Column]:
    kinds = {name: as_written(type, schema.field(name).type) for name, type in stored.items()}
    return {name: Column(name, language_type(type), type) for name, type in kinds.items()}


def _same_names(names: list[str]) -> tuple[str, str] | None:
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            return seen[name.lower()], name
        seen[name.lower()] = name
    return None
