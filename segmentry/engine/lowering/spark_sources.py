"""Where a Spark statement finds its data: a Parquet file by its path, or a table or view of an agreed name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from segmentry.engine.columns import struct_fields
from segmentry.engine.lowering.spark_types import spark_type
from segmentry.engine.snapshot import EventSource, Format, Relation, Snapshot
from segmentry.errors import NotFound

TableNames = Mapping[str, str]
"""Names of Spark tables, by what they stand for: `contacts`, and `events_1`, `events_2`, ... in the order of `segmentry.yml`."""

NOT_READ = frozenset({"UUID", "TIMESTAMP_NS", "TIMESTAMPTZ_NS"})
"""Stored types that make Spark refuse a Parquet file, whether or not the column is read."""

AS_STORED = {
    "UUID": "lower case, with hyphens",
    "TIMESTAMP_NS": "UTC, cut to microseconds",
    "TIMESTAMPTZ_NS": "UTC, cut to microseconds",
}
"""What to write beside a column that the view has to convert."""


WILD = frozenset("*?[]{}\\^")
"""Characters that Spark takes for a pattern in a path."""


def read_from_path(relation: Relation) -> bool:
    """Whether Spark reads a relation's one file as it is."""
    readable = not any(NOT_READ & set(_types_within(column.stored)) for column in relation.columns.values())
    if len(relation.files) != 1 or relation.format is not Format.PARQUET or relation.hive or not readable:
        return False
    return not set(relation.files[0].path) & WILD


def _types_within(stored: str) -> Iterator[str]:
    """A type, and those of its elements and fields."""
    while stored.endswith("]"):
        stored = stored[: stored.rindex("[")]
    yield stored
    for part in struct_fields(stored).values():
        yield from _types_within(part)


class SparkSources:
    """A snapshot whose sources are Spark's. NotFound for a table named for a source that there is not."""

    def __init__(self, snapshot: Snapshot, tables: TableNames) -> None:
        self.given = snapshot
        self.names = {"contacts": snapshot.contacts.relation}
        self.names |= {f"events_{number}": source.relation for number, source in enumerate(snapshot.events, 1)}
        for name in tables:
            if name not in self.names:
                raise NotFound(f"there is no source `{name}` to name a table for; there are {', '.join(self.names)}")
        self.tables = tables
        contacts = replace(snapshot.contacts, relation=self._relation("contacts"))
        events = tuple(self._event_source(number, source) for number, source in enumerate(snapshot.events, 1))
        self.snapshot = Snapshot(contacts, events)

    def _event_source(self, number: int, source: EventSource) -> EventSource:
        return replace(source, relation=self._relation(f"events_{number}"))

    def _relation(self, name: str) -> Relation:
        relation = self.names[name]
        if name not in self.tables and read_from_path(relation):
            return relation
        # what is known of the pinned files need not hold for a table, so no file goes with it
        return Relation(relation.columns, frame=self.tables.get(name, f"segmentry_{name}"))

    def expected(self, read: Mapping[str | int, Iterable[str]]) -> Iterator[str]:
        """Lines that say, of each table or view that the statement reads, what it must have."""
        contacts = self.snapshot.contacts
        yield from self._lines("contacts", contacts.relation, {contacts.key, *read["contacts"]})
        for number, source in enumerate(self.snapshot.events):
            if number in read:
                yield from self._lines(f"events_{number + 1}", source.relation, set(read[number]))

    def _lines(self, name: str, relation: Relation, columns: set[str]) -> Iterator[str]:
        if relation.frame is None:
            return
        files = self.names[name].files
        of = f"the rows of {len(files)} files, {_line(files[0].path)}{' ...' if len(files) > 1 else ''}" if files else "the rows of a frame"
        yield f"reads {_line(relation.frame)}: {of}, with"
        for column in sorted(columns):
            stored = relation.columns[column].stored
            notes = [
                f"{'' if part == stored else f'{part}: '}{AS_STORED[part]}"
                for part in dict.fromkeys(_types_within(stored))
                if part in AS_STORED
            ]
            yield f"  {_line(column)} {_line(spark_type(stored))}" + (f" ({'; '.join(notes)})" if notes else "")


def _line(text: str) -> str:
    """Text that stays within a comment's line."""
    return "".join(character if character.isprintable() else "?" for character in text)
