"""The run before: what is accepted, and what it was made from.

That is one run for most segments. While a guard holds a segment, its accepted membership is of an older run: later runs
carry the bitmap along, and all else that it is compared by is read off that older one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from segmentry.engine.definitions import Definitions
from segmentry.engine.digests import Reads
from segmentry.engine.pinned import snapshot_from_json
from segmentry.engine.positions import Placement, carried
from segmentry.engine.renaming import renamed, renamed_definitions
from segmentry.engine.snapshot import Snapshot
from segmentry.engine.splitting import Split, splits_from_json
from segmentry.engine.state import Order, RunRecord, SegmentRecord, State
from segmentry.engine.state.naming import followed, renames_since
from segmentry.engine.state.records import LIST_COLUMN, EventFileRecord
from segmentry.engine.state.state import held_columns

HELD_COLUMN = "held:"
"""Before a segment's name: its computed membership in a run that held it; the accepted one, if there is any, has the bare name."""


@dataclass
class FormerRun:
    """An accepted run, read as far as somebody asks. `renames`: what its segments are called now, where not as they were then."""

    state: State
    record: RunRecord
    renames: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def order(self) -> Order:
        return self.state.order(self.record.id)

    @cached_property
    def definitions(self) -> Definitions:
        return renamed_definitions(Definitions.from_json(self.record.definitions["definitions"]), self.renames)

    @cached_property
    def splits(self) -> dict[str, Split]:
        """How each segment is divided by what is accepted with it, by today's names."""
        return renamed(splits_from_json(self.record.definitions.get("splits", {})), self.renames)

    @cached_property
    def reads(self) -> Reads:
        return Reads.from_json(self.record.definitions["reads"])

    @cached_property
    def snapshot(self) -> Snapshot:
        return snapshot_from_json(self.record.snapshot)

    @cached_property
    def segments(self) -> dict[str, SegmentRecord]:
        """Every segment that was ever accepted, by today's names."""
        return {name: replace(record, name=name) for name, record in renamed(self.state.segments(), self.renames).items()}

    @cached_property
    def event_files(self) -> list[EventFileRecord]:
        return self.state.event_files(self.record.id)

    @cached_property
    def columns(self) -> set[str]:
        """The columns that can be read of it: its segments' and its lists'."""
        return set(self._stored)

    @cached_property
    def _stored(self) -> dict[str, str]:
        """What each column is called in its files."""
        columns = held_columns(self.record)
        held = {HELD_COLUMN + old: HELD_COLUMN + new for old, new in self.renames.items()}
        return renamed({column: column for column in columns}, {**self.renames, **held})

    def stored(self, column: str) -> str:
        """What one of its columns is called in its files."""
        return self._stored[column]

    def returned(self, names: Iterable[str]) -> list[str]:
        """Those of the segments that were accepted once, and had no file with this run."""
        return sorted(name for name in names if name in self.segments and self.segments[name].retired_run is not None)

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Some of its columns over its own positions."""
        found = self.state.columns([self._stored[column] for column in columns], self.record.id)
        return found.rename(dict(zip(found.columns, columns, strict=True)))

    def bitmap(self, column: str, placement: Placement) -> pl.Series:
        """One of its columns over the positions of a later order."""
        return carried(self.read([column])[column], placement)

    def members(self, segment: str) -> pl.Series:
        """The keys of its contacts that were accepted as a segment's members."""
        return self.order.keys.filter(self.read([segment])[segment]).drop_nulls()

    def list_keys(self, path: str) -> pl.Series:
        """The contacts of the former snapshot that were in a static list."""
        return self.order.keys.filter(self.state.columns([LIST_COLUMN + path], self.record.id)[LIST_COLUMN + path]).drop_nulls()

    def last_members(self, segment: str) -> pl.Series:
        """The keys of a returned segment's last accepted membership."""
        run = self.segments[segment].accepted_run
        there = former_run(self.state, self.state.run(run), self.renames)
        return self.state.members(there.stored(segment), run)

    @cached_property
    def settled(self) -> bool:
        """Whether every membership that it has is its own; while one is carried along, no position may go."""
        runs = {record.accepted_run for record in self.segments.values() if record.retired_run is None}
        return len(runs) <= 1 and not any(column.startswith(HELD_COLUMN) for column in self.columns)


@dataclass(frozen=True)
class Group:
    """Segments, and the run that they are compared with: the one whose computation of them is accepted."""

    former: FormerRun
    names: frozenset[str]


def former_run(state: State, record: RunRecord, renames: Mapping[str, str]) -> FormerRun:
    """A run as it is read by a later one, with which segments change their names as `renames` says."""
    with state.catalog.reading() as connection:
        steps = renames_since(connection, record.id)
    return FormerRun(state, record, followed(steps, renames))


def groups_of(newest: FormerRun, names: Iterable[str]) -> tuple[Group, ...]:
    """The segments by the run that they are compared with. The first group has those too that no run has accepted yet, or none any more."""
    everybody = frozenset(names)
    by_run: dict[int, set[str]] = {}
    for name in sorted(everybody & newest.columns):
        record = newest.segments.get(name)
        if record is not None and record.retired_run is None:
            by_run.setdefault(record.accepted_run, set()).add(name)
    own = newest.record.id
    first = own if own in by_run or not by_run else max(by_run, key=lambda run: (len(by_run[run]), run))
    others = sorted(by_run.keys() - {first}, reverse=True)
    by_run[first] = set(everybody.difference(*(by_run[run] for run in others)))

    def former(run: int) -> FormerRun:
        return newest if run == own else former_run(newest.state, newest.state.run(run), newest.renames)

    return tuple(Group(former(run), frozenset(by_run[run])) for run in (first, *others))
