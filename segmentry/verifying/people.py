"""Contacts with their events, picked by key out of the sources' rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from segmentry.rules.types import Kind, Type
from segmentry.verifying.cells import Unread, UnreadColumn, among, cells
from segmentry.verifying.days import Undecided, Zone, within_calendar

Key = int | str


@dataclass(frozen=True)
class Source:
    """Where rows come from: `columns` are those that rules can use, by exact name.

    `batches(names)` yields the rows in batches that have these columns, but for those that a file lacks.
    """

    columns: Mapping[str, Type]
    batches: Callable[[Sequence[str]], Iterable[pa.RecordBatch]]

    def picked(self, key: str, keys: Sequence[Key], names: Iterable[str]) -> pa.Table:
        """The rows whose `key` is one of `keys`, with that column and these, a column that no file has left out."""
        wanted = list(dict.fromkeys([key, *names]))
        found = []
        for batch in self.batches(wanted):
            mask = among(batch.column(batch.schema.get_field_index(key)), list(keys))  # type: ignore[arg-type]
            if mask.true_count:
                found.append(pa.Table.from_batches([batch.filter(mask)]))
        return pa.concat_tables(found, promote_options="permissive") if found else pa.table({})


@dataclass(frozen=True)
class EventSource:
    """An event table: its rows, which columns are what, and how many places its sums of floats keep."""

    rows: Source
    contact: str
    at: str
    name: str | None = None
    event: str | None = None
    scale: int = 6

    def carries(self, event: str | None) -> bool:
        """Whether such an event can stand in it."""
        return event is None or self.event is None or self.event == event


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event: of which table, its name (None: it has none), its instant, and the fields that were asked for.

    `unread` says why its name or instant can't be told here.
    """

    table: int
    event: str | None
    at: int | None
    fields: Mapping[str, Any]
    unread: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """One contact. `key` is an integer, or text (UUIDs lower case with hyphens)."""

    key: Key
    fields: Mapping[str, Any]
    events: list[EventRow] = field(default_factory=list)


@dataclass(frozen=True)
class Sources:
    """Everything that rules are about."""

    contacts: Source
    key: str
    events: tuple[EventSource, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Which columns rules read: of the contacts, and of each event table."""

    contact: frozenset[str]
    event: frozenset[str]


def people(sources: Sources, keys: Sequence[Key], wanted: Wanted, zone: Zone) -> dict[Key, Person]:
    """The contacts with these keys, by key, with their events. UnreadColumn for keys that can't be read here."""
    rows = sources.contacts.picked(sources.key, keys, sorted(wanted.contact & sources.contacts.columns.keys()))
    columns = _columns(rows, sources.contacts.columns, {sources.key, *wanted.contact})
    found = {}
    for number, key in enumerate(columns[sources.key]):
        found[key] = Person(key, {name: column[number] for name, column in columns.items()})
    for index, source in enumerate(sources.events):
        _add_events(found, source, index, wanted, zone)
    return found


def _add_events(found: dict[Key, Person], source: EventSource, index: int, wanted: Wanted, zone: Zone) -> None:
    known = source.rows.columns
    own = {source.contact, source.at, *([source.name] if source.name else [])}
    rows = source.rows.picked(source.contact, list(found), sorted({*own, *(wanted.event & known.keys())}))
    if not rows.num_rows:
        return
    columns = _columns(rows, known, {*own, *wanted.event})
    for number, key in enumerate(columns[source.contact]):
        fields = {column: values[number] for column, values in columns.items()}
        name, at = source.event if source.name is None else fields[source.name], fields[source.at]
        unread = next((cell.why for cell in (name, at) if isinstance(cell, Unread)), None)
        if unread is None and at is not None:
            try:
                at = zone.first_instant(at) if known[source.at].kind is Kind.DATE else within_calendar(at)
            except Undecided as problem:
                unread = f"an event's time is {problem}"
        if unread is not None:
            name, at = None, None
        found[key].events.append(EventRow(index, name, at, fields, unread))


def _columns(rows: pa.Table, types: Mapping[str, Type], names: Iterable[str]) -> dict[str, list[Any]]:
    """The cells of these columns: missing in one that no file has, unread in one that is not read here."""
    found = {}
    for name in names:
        if name not in types:
            continue
        index = rows.schema.get_field_index(name)
        try:
            found[name] = cells(rows.column(index), types[name]) if index >= 0 else [None] * rows.num_rows
        except UnreadColumn as problem:
            found[name] = [Unread(f"`{name}` is not read here: {problem}")] * rows.num_rows
    return found
