"""What the checker is told about the data: fields, events, segments. Plain values, made by the engine or by a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from segmentry.rules.types import TEXT, Type


def no_regex_check(_pattern: str) -> str | None:
    """Accepts every pattern; for callers that have no RE2 at hand."""
    return None


@dataclass(frozen=True, slots=True)
class EventTable:
    """One event table: `event` is its one event's name, or None where a column names it.

    `names` are the event names seen so far in a table with a name column (None: not looked). `fields` are the columns a
    rule may name, by their exact names, the contact, time and name columns included. `scale` is how many places of a
    float property a sum keeps.
    """

    label: str
    fields: Mapping[str, Type]
    event: str | None = None
    names: frozenset[str] | None = None
    scale: int = 6


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of a contact by exact name, the event tables, the other segments, and the engine's RE2.

    `regex_error(pattern)` is None for a pattern that RE2 takes, else its complaint.
    """

    fields: Mapping[str, Type]
    events: tuple[EventTable, ...] = ()
    segments: frozenset[str] = frozenset()
    key: str | None = None
    key_type: Type = TEXT
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Columns that exist but whose type no rule can use, and that type's name."""
    regex_error: Callable[[str], str | None] = no_regex_check
    history: bool = True
    """Whether there are accepted runs, or may be, that rules can ask about."""
