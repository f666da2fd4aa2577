"""What one run reads, pinned: the exact files or frames, their columns, and how each column is read. Plain frozen data.

Made by `engine/sources.py` from the workspace's configuration (or by `engine/evaluate.py` from frames); read by the
plan, the backend and the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from segmentry.rules.nodes import Events
from segmentry.rules.types import Type


class Format(StrEnum):
    """What kind of files a relation has."""

    PARQUET = "parquet"
    CSV = "csv"
    NDJSON = "ndjson"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its exact name, its type in the language (None: no rule can use it), and its type as stored (for messages and casts).

    `stored` is the DuckDB type name that a scan of the source yields, for instance `DECIMAL(12,2)`, `TIMESTAMP_NS`.
    """

    name: str
    type: Type | None
    stored: str


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file as it was when the run began. `digest` is hex: of a Parquet file's footer, of a text file's whole content."""

    path: str
    """Absolute."""
    size: int
    """Bytes."""
    modified: int
    """Nanoseconds since 1970, as the file system tells."""
    rows: int | None
    """None for text formats."""
    digest: str


@dataclass(frozen=True, slots=True)
class Relation:
    """Something to scan: pinned files of one format, or a frame registered with the backend under `frame`.

    `columns` has hive folder columns too. Files are in the order of their paths; rows are in the order of the files.
    """

    columns: Mapping[str, Column]
    files: tuple[PinnedFile, ...] = ()
    format: Format = Format.PARQUET
    hive: bool = False
    frame: str | None = None
    declared: Mapping[str, str] = field(default_factory=dict)
    """For CSV and NDJSON: every column's DuckDB type, declared or sniffed once at pinning, so that each read agrees.
    For Parquet: the type of each hive folder column."""


@dataclass(frozen=True, slots=True)
class ContactSource:
    """The contact snapshot: one row a contact, `key` unique and set."""

    relation: Relation
    key: str
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class EventSource:
    """An event table. Exactly one of `name` (the column with the event's name) and `event` (its one event) is set.

    `at` may be a timestamp (no zone: UTC) or a date (its first instant in the workspace's timezone).
    """

    relation: Relation
    contact: str
    at: str
    name: str | None = None
    event: str | None = None
    scale: int = 6

    def carries(self, asked: Events) -> bool:
        """Whether the table may have such events."""
        if self.name is not None or self.event is None:
            return True
        return self.event.startswith(asked.prefix) if asked.prefix is not None else asked.event in (None, self.event)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything one run reads, beside the rules and lists."""

    contacts: ContactSource
    events: tuple[EventSource, ...] = ()

    def paths(self) -> Iterator[str]:
        """Of all its files."""
        for relation in (self.contacts.relation, *(source.relation for source in self.events)):
            yield from (file.path for file in relation.files)
