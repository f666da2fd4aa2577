"""From snapshots to what the checker is told of the data, and what changed in it between two runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import duckdb

from segmentry.engine.columns import ELEMENT, INTEGERS, element_type, key_kind, language_type, shown, struct_fields
from segmentry.engine.reader import connect
from segmentry.engine.scanning import reader
from segmentry.engine.snapshot import EventSource, PinnedFile, Relation, Snapshot
from segmentry.engine.textfiles import identifier, scan_text
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.schema import EventTable, Schema
from segmentry.rules.types import TEXT

NAMES_ROWS = 50_000_000
"""Event names are looked up in tables of at most so many rows; larger ones answer "not looked", and no rule is warned of."""

NAMES = 10_000
"""A name column with more names than this is no name column anybody mistypes into; "not looked" too."""


def schema_of(
    snapshot: Snapshot,
    segments: Collection[str] = (),
    *,
    frames: Mapping[str, object] | None = None,
    look: bool = True,
    history: bool = True,
) -> Schema:
    """The schema that rules over this snapshot are checked against.

    `segments` are the names that `member` may name. `look` asks event tables with a name column which names they have;
    `frames` are the Arrow-speaking frames of relations that have no files. `history`: whether there can be accepted runs.
    """
    contacts = snapshot.contacts
    key = contacts.relation.columns[contacts.key]
    return Schema(
        fields={column.name: column.type for column in contacts.relation.columns.values() if column.type is not None},
        events=tuple(_event_table(source, frames or {}, look) for source in snapshot.events),
        segments=frozenset(segments),
        key=contacts.key,
        key_type=key.type or TEXT,
        unusable={column.name: column.stored for column in contacts.relation.columns.values() if column.type is None},
        regex_error=regex_error,
        history=history,
    )


def _event_table(source: EventSource, frames: Mapping[str, object], look: bool) -> EventTable:
    return EventTable(
        label=source.event or _place(source.relation),
        fields={column.name: column.type for column in source.relation.columns.values() if column.type is not None},
        event=source.event,
        names=_names_seen(source, frames) if look and source.name is not None else None,
        scale=source.scale,
    )


def _place(relation: Relation) -> str:
    """What to call a table without a name of its own: its file, or the folder of its files."""
    if not relation.files:
        return relation.frame or "events"
    paths = [file.path for file in relation.files]
    return Path(paths[0] if len(paths) == 1 else os.path.commonpath(paths)).name


def _names_seen(source: EventSource, frames: Mapping[str, object]) -> frozenset[str] | None:
    relation = source.relation
    if source.name is None or sum(file.rows or 0 for file in relation.files) > NAMES_ROWS:
        return None
    if relation.frame is not None:
        frame = frames.get(relation.frame)
        return None if frame is None else _distinct(identifier(relation.frame), source.name, {relation.frame: frame})
    function, options = reader(relation)
    return _distinct_cached(scan_text(function, [file.path for file in relation.files], options), source.name, relation.files)


@lru_cache(maxsize=32)
def _distinct_cached(scan: str, column: str, files: tuple[PinnedFile, ...]) -> frozenset[str] | None:
    """As `_distinct`; `files` only tells the same paths with other contents apart."""
    del files
    return _distinct(scan, column, {})


def _distinct(scan: str, column: str, frames: Mapping[str, object]) -> frozenset[str] | None:
    """The distinct values of a text column, or None if there are too many or they can't be read (a run will say why)."""
    with connect() as connection:
        for name, frame in frames.items():
            connection.register(name, frame)
        try:
            query = f"select distinct {identifier(column)} as name from {scan} where {identifier(column)} is not null limit {NAMES + 1}"
            rows = connection.execute(query).fetchall()
        except duckdb.Error:
            return None
    return frozenset(str(name) for (name,) in rows) if len(rows) <= NAMES else None


@lru_cache(maxsize=1)
def _regex_connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"enable_external_access": "false", "threads": "1", "memory_limit": "256MB"})
    connection.execute("set lock_configuration = true")
    return connection


@lru_cache(maxsize=4096)
def regex_error(pattern: str) -> str | None:
    """None for a pattern that RE2, as DuckDB has it, takes; else its complaint."""
    try:
        _regex_connection().cursor().execute("select regexp_matches('', ?)", [pattern]).fetchall()
    except duckdb.Error as error:
        return str(error).splitlines()[0].removeprefix("Invalid Input Error: ")
    return None


# ---------------------------------------------------------------- two snapshots


def schema_changes(
    former: Snapshot, now: Snapshot, used: Mapping[tuple[str, ...], Collection[str]] | None = None
) -> tuple[Diagnostic, ...]:
    """What changed in the sources' columns, and in the fields of structs, since `former`: columns gone, types changed.

    `used` maps (source, column) to the names of the rules that read it, and (source, column, field...) to those of the rules
    that read that part of it; source is `contacts`, or an event table's name as `source_name` gives it. A change of the key's
    kind, and of what a rule reads, is an error; others are warnings. Widening (INTEGER to BIGINT) is none, nor is what is new.
    """
    rules = used or {}
    problems: list[Diagnostic] = []
    before = {"contacts": former.contacts.relation} | {source_name(source): source.relation for source in former.events}
    after = {"contacts": now.contacts.relation} | {source_name(source): source.relation for source in now.events}
    for name in before.keys() & after.keys():
        for column in before[name].columns.values():
            current = after[name].columns.get(column.name)
            for way, then, stored in _changes((column.name,), column.stored, None if current is None else current.stored):
                readers = {rule for read, names in rules.items() if read[: len(way) + 1] == (name, *way) for rule in names}
                problems.append(_change(name, ".".join(way), then, stored, readers))
    kinds = [key_kind(s.contacts.relation.columns[s.contacts.key].stored) for s in (former, now)]
    if kinds[0] != kinds[1]:
        message = f"the contacts' key was {kinds[0]} in the accepted run and is {kinds[1]} now"
        problems.append(Diagnostic("S403", message, help="every contact would be a new one; write the key as it was, or begin a new state"))
    return tuple(sorted(problems, key=lambda problem: (problem.severity, problem.message)))


def source_name(source: EventSource) -> str:
    """What an event table is called between two snapshots: its event, or its columns' roles."""
    return source.event or f"{source.name} by {source.contact}"


def _changes(way: tuple[str, ...], former: str, now: str | None) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
    """What is gone or of another type in a stored type: the way to it, and its types; None where it is gone."""
    before, after = element_type(former), None if now is None else element_type(now)
    fields = struct_fields(former), {} if now is None else struct_fields(now)
    if all(fields):
        for name, part in fields[0].items():
            yield from _changes((*way, name), part, fields[1].get(name))
    elif before is not None and after is not None and struct_fields(before) and struct_fields(after):
        yield from _changes((*way, ELEMENT), before, after)
    elif now is None or not _means_the_same(former, now):
        yield way, former, now


def _means_the_same(former: str, now: str) -> bool:
    same = former == now or {former, now} <= INTEGERS
    return same or ((type := language_type(former)) is not None and type == language_type(now))


def _change(source: str, name: str, former: str, now: str | None, readers: Collection[str]) -> Diagnostic:
    notes = (f"read by {', '.join(sorted(readers))}",) if readers else ()
    severity = Severity.ERROR if readers else Severity.WARNING
    if now is None:
        return Diagnostic("S402", f"{source}: the column `{name}` is gone since the accepted run", severity, notes=notes)
    message = f"{source}: `{name}` was {shown(former)} in the accepted run and is {shown(now)} now"
    return Diagnostic("S403", message, severity, notes=notes)
