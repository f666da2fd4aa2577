"""What an evaluation did, counted."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Counters:
    """What an evaluation did. `rows` and `bytes` are those of the sources' columns that were read (compressed, from Parquet footers).

    `unknown_events` and `timeless_events` count, per event table, the events of no known contact and those without a
    time, among the rows that rules read; `unknown_keys`, per static list, the keys that are no contacts. `in_arrays` has
    the event tables whose aggregates were kept in arrays; `by_row` is how many conditions were asked of the contacts' rows
    as they were read.
    """

    queries: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    unknown_events: dict[int, int] = field(default_factory=dict)
    timeless_events: dict[int, int] = field(default_factory=dict)
    unknown_keys: dict[str, int] = field(default_factory=dict)
    in_arrays: set[int] = field(default_factory=set)
    by_row: int = 0
