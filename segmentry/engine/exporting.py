"""Exports: after runs, files of what they changed in a segment and of who is in it, for destinations that take `what`.

    changes    a file a run in which somebody came or went: `contact`, `change`, `cause`, `via`, `as_of`, and the mapped fields of those who
               entered, as the newest snapshot has them
    members    a file of the newest run: `contact`, and the mapped fields

Nobody who is suppressed by now is in a file but as somebody who exited. An address is a mapped field like others. A run that changed
nobody has no file of changes. Only what is accepted is exported, and of a segment that a guard holds nothing until that ends.

Up to which run everything was written is noted in the catalog after the files are there. A crash in between writes files again that
are there already, under the same names. Memory is bounded by the keys and `PART` rows.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING

import polars as pl

from segmentry.engine.connectors.destination import DestinationStopped
from segmentry.engine.connectors.exports import Export, ExportDestination
from segmentry.engine.guards import HoldKind
from segmentry.engine.moment import Moment
from segmentry.engine.pinned import snapshot_from_json
from segmentry.engine.reading_rows import rows_in_passing
from segmentry.engine.rows import unchanged
from segmentry.engine.splitting import among, splits_that_stand
from segmentry.engine.standing_run import accepted_splits, suppressed_of
from segmentry.engine.state import outbox
from segmentry.engine.state.exported import (
    Key,
    detach_exports,
    exported_run,
    exports,
    has_stray_exports,
    note_exported,
    runs_to_export,
    stored_changes,
)
from segmentry.engine.state.holds import holds
from segmentry.engine.state.state import held_columns

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from segmentry.engine.config import SyncConfig
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.snapshot import ContactSource
    from segmentry.engine.state import RunRecord, State
    from segmentry.engine.state.lease import Lease

PART = 1 << 19
"""Rows that are in memory together. A part's fields are read with one pass over the snapshot."""

CHANGES, MEMBERS = "changes", "members"
BEFORE_FIELD = "fields."
"""Before the names of mapped fields, as in the files of enrollments."""


@dataclass(frozen=True)
class Work:
    """What is to be written of one segment at one destination: of which runs the changes (under which name), of which the members."""

    key: Key
    config: SyncConfig
    newest: int
    changes: Sequence[tuple[int, str]]
    members: bool
    held: bool = False

    @property
    def files(self) -> int:
        return len(self.changes) + self.members


def exports_of(workspace: LoadedWorkspace) -> dict[Key, SyncConfig]:
    """Every export that the files say, by segment and destination."""
    return {
        (name, entry.destination): entry
        for name, segment in sorted(workspace.segments.items())
        for entry in segment.config.sync
        if entry.what is not None and entry.destination in workspace.config.destinations
    }


def work_of(state: State, workspace: LoadedWorkspace) -> list[Work]:
    """What is to be exported by now, by segment and destination. Exports that the files say no more end here."""
    said = exports_of(workspace)
    with state.catalog.reading() as connection:
        stray = has_stray_exports(connection, list(said))
    if stray:
        with state.catalog.writing() as connection:
            detach_exports(connection, list(said), state.clock())
    accepted = state.accepted() if said else None
    if accepted is None:
        return []
    former = {name: state.names(name) for name, _ in said}
    with state.catalog.reading() as connection:
        known, held = exports(connection), _held(connection)
        found = [
            _work(connection, key, config, exported_run(known.get(key)), accepted, former[key[0]], held=key[0] in held)
            for key, config in said.items()
            if key[0] in accepted.segments
        ]
    return [work for work in found if work.files]


def _work(
    connection: Connection, key: Key, config: SyncConfig, after: int, accepted: RunRecord, names: Sequence[str], *, held: bool
) -> Work:
    what = config.what or []
    runs = [found for found in runs_to_export(connection, names, after) if found[0] <= accepted.id] if CHANGES in what else []
    return Work(key, config, accepted.id, runs, MEMBERS in what and after < accepted.id, held)


def _held(connection: Connection) -> set[str]:
    """The segments that a guard holds."""
    return {hold.name for hold in holds(connection) if hold.kind == HoldKind.SEGMENT}


class StoppedError(Exception):
    """Raised through a destination: nothing more must be written. Its text says why."""


@dataclass
class Exporter:
    """Writes what is to be exported to one destination, under its lease. `counts` and `messages` say what came of it.

    `newest`: the run whose members are written, and whose snapshot has the fields.
    """

    state: State
    workspace: LoadedWorkspace
    lease: Lease
    name: str
    destination: ExportDestination
    newest: int
    clock: Callable[[], datetime]
    stopping: threading.Event
    counts: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    halted: str | None = None
    failed: bool = False

    def run(self, works: Sequence[Work]) -> None:
        """Until everything is written, or something stops it. Raises LeaseLost, StateError and SourceError."""
        for work in works:
            if self.halted is not None:
                break
            if work.held:
                self.messages.append(f"`{work.key[0]}` is held by its guard: nothing new of it is exported")
                continue
            try:
                self._export(work)
            except StoppedError as stop:
                self._halt(str(stop))
            except DestinationStopped as stop:
                self._halt(f"it stopped: {stop}")
                self.failed = True
                with self.state.catalog.writing() as connection:
                    outbox.note_stop(connection, self.name, str(stop), self.clock())

    def _halt(self, reason: str) -> None:
        self.halted = reason
        self.messages.append(reason)

    def _export(self, work: Work) -> None:
        """The files of one segment, those of older runs first; each run is noted once its files are there."""
        for number, name in work.changes:
            record = self.state.run(number)
            if record.segments[name].first and name not in held_columns(record):
                self.messages.append(f"`{work.key[0]}` as first computed, in run {number}, is not exported: retention has removed it")
            else:
                self._put(work, CHANGES, record, partial(self._changes, work, record, name))
            if number < work.newest:
                self._note(work.key, number)
        if work.members:
            self._put(work, MEMBERS, self._newest, partial(self._members, work))
        self._note(work.key, work.newest)

    def _put(self, work: Work, what: str, record: RunRecord, parts: Callable[[], Iterator[pl.DataFrame]]) -> None:
        config, (segment, _) = self.workspace.config, work.key
        made = Export(config.id, self.workspace.environment, segment, what, record.id, record.as_of, record.committed, parts)
        self.destination.export(made, partial(self._look, segment))
        self.counts["exported"] += 1

    def _look(self, segment: str) -> None:
        """The last look before a file: whether it may still be written."""
        if self.stopping.is_set():
            raise StoppedError("it was ended")
        with self.state.catalog.reading() as connection:
            self.lease.check(connection)
            closed, held = outbox.closed(connection, self.name), _held(connection)
        if closed is not None:
            raise StoppedError(closed)
        if segment in held:
            raise StoppedError(f"`{segment}` is held by its guard")

    def _note(self, key: Key, run: int) -> None:
        with self.state.catalog.writing() as connection:
            note_exported(connection, self.lease, key, run, self.clock())

    # ------------------------------------------------------------ rows

    @cached_property
    def _newest(self) -> RunRecord:
        return self.state.run(self.newest)

    @cached_property
    def _unsent(self) -> tuple[pl.Series, pl.Series]:
        """All keys of the newest run, and who of them is suppressed."""
        keys = self.state.order(self._newest.id).keys
        found = suppressed_of(self.state, self._newest, approved=False)
        return keys, pl.repeat(False, len(keys), dtype=pl.Boolean(), eager=True) if found is None else found

    @cached_property
    def _source(self) -> ContactSource:
        """The contacts as the newest run read them; where its files are gone or changed, the newest snapshot."""
        source = snapshot_from_json(self._newest.snapshot).contacts
        return source if unchanged(source.relation.files) else Moment.at(self.workspace, self.clock()).snapshot.contacts

    def _members(self, work: Work) -> Iterator[pl.DataFrame]:
        """Who is in, in the contacts' lasting order."""
        keys, suppressed = self._unsent
        there = self.state.columns([work.key[0]], self._newest.id)[work.key[0]] & keys.is_not_null() & ~suppressed
        for part in _slices(keys.filter(self._of_groups(work, self._newest, there, keys))):
            yield self._with_fields(part.to_frame("contact"), part, work.config.fields)

    def _changes(self, work: Work, record: RunRecord, name: str) -> Iterator[pl.DataFrame]:
        """Who came and went in a run, by contact."""
        keys, suppressed = self._unsent
        unsent = keys.filter(suppressed).drop_nulls()
        for part in self._moves(record, name):
            sent = part.filter((pl.col("change") != "entered") | ~pl.col("contact").is_in(unsent.cast(part["contact"].dtype).implode()))
            if work.config.split is not None:
                everybody = pl.repeat(True, sent.height, dtype=pl.Boolean(), eager=True)
                sent = sent.filter(self._of_groups(work, record, everybody, sent["contact"]))
            told = sent.select("contact", "change", "cause", "via", pl.lit(record.as_of, pl.Datetime("us", "UTC")).alias("as_of"))
            entered = told.filter(pl.col("change") == "entered")["contact"]
            yield self._with_fields(told, entered, work.config.fields)

    def _of_groups(self, work: Work, record: RunRecord, members: pl.Series, keys: pl.Series) -> pl.Series:
        """Of the members, a bitmap over the keys, those in the groups that the export has, as a run divided the segment."""
        if work.config.split is None:
            return members
        splits = splits_that_stand(self.workspace, accepted_splits(record))
        return among(members, keys, splits.get(work.key[0]), work.config.split)

    def _moves(self, record: RunRecord, name: str) -> Iterator[pl.DataFrame]:
        """A run's changes of a segment in parts; of one that was first computed in it, every member entered."""
        if not record.segments[name].first:
            with self.state.catalog.reading() as connection:
                return stored_changes(self.state.folder, connection, record, name, PART)
        members = self.state.members(name, record.id).sort()
        constant = {"change": pl.lit("entered"), "cause": pl.lit("rule"), "via": pl.lit(None, pl.String())}
        return (part.to_frame("contact").with_columns(**constant) for part in _slices(members))

    def _with_fields(self, frame: pl.DataFrame, contacts: pl.Series, fields: Mapping[str, str]) -> pl.DataFrame:
        """The frame with the mapped fields of some of its contacts."""
        if not fields:
            return frame
        key = self._source.key
        rows = rows_in_passing(self._source, contacts, list(dict.fromkeys(fields.values())))
        told = rows.select(  # by the columns themselves: some names are patterns to `pl.col`
            rows[key].cast(frame["contact"].dtype, strict=False).alias("contact"),
            *(rows[column].alias(BEFORE_FIELD + name) for name, column in fields.items()),
        )
        return frame.join(told, on="contact", how="left", maintain_order="left")


def _slices(keys: pl.Series) -> Iterator[pl.Series]:
    """The keys in parts; one without any where there are none."""
    for start in range(0, max(len(keys), 1), PART):
        yield keys.slice(start, PART).alias("contact")
