"""The run before: what is accepted, and what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from segmentry.engine.definitions import Definitions
from segmentry.engine.digests import Reads
from segmentry.engine.pinned import snapshot_from_json
from segmentry.engine.positions import Placement, carried
from segmentry.engine.snapshot import Snapshot
from segmentry.engine.state import Order, RunRecord, SegmentRecord, State
from segmentry.engine.state.records import LIST_COLUMN, EventFileRecord
from segmentry.engine.state.state import held_columns


@dataclass
class FormerRun:
    """The newest accepted run, read as far as somebody asks."""

    state: State
    record: RunRecord

    @cached_property
    def order(self) -> Order:
        return self.state.order(self.record.id)

    @cached_property
    def definitions(self) -> Definitions:
        return Definitions.from_json(self.record.definitions["definitions"])

    @cached_property
    def reads(self) -> Reads:
        return Reads.from_json(self.record.definitions["reads"])

    @cached_property
    def snapshot(self) -> Snapshot:
        return snapshot_from_json(self.record.snapshot)

    @cached_property
    def segments(self) -> dict[str, SegmentRecord]:
        return self.state.segments()

    @cached_property
    def event_files(self) -> list[EventFileRecord]:
        return self.state.event_files(self.record.id)

    @cached_property
    def columns(self) -> set[str]:
        """The columns that can be read of it: its segments' and its lists'."""
        return held_columns(self.record)

    def returned(self, names: Iterable[str]) -> list[str]:
        """Those of the segments that were accepted once, but not with this run."""
        return sorted(name for name in names if name in self.segments and name not in self.record.segments)

    def bitmap(self, column: str, placement: Placement) -> pl.Series:
        """One of its columns over the positions of a later order."""
        return carried(self.state.columns([column], self.record.id)[column], placement)

    def list_keys(self, path: str) -> pl.Series:
        """The contacts of the former snapshot that were in a static list."""
        return self.order.keys.filter(self.state.columns([LIST_COLUMN + path], self.record.id)[LIST_COLUMN + path]).drop_nulls()

    def last_members(self, segment: str) -> pl.Series:
        """The keys of a returned segment's last accepted membership."""
        return self.state.members(segment, self.segments[segment].accepted_run)
