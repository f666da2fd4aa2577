"""Whose row and whose events differ between two runs: digests a run keeps for the next one.

A contact's row has one digest, over the columns that rules read. An event file has, per contact, the sum of its rows'
digests: sums add up over files, so a file that is written anew with one row more changes that row's contact only. A file
with the same size, time and footer is not read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import polars as pl

from segmentry.engine.canonical_json import dumps
from segmentry.engine.positions import Placement
from segmentry.engine.snapshot import Column, ContactSource, EventSource, PinnedFile, Snapshot
from segmentry.engine.state.activated import FileRef
from segmentry.engine.state.commit import EventFileDraft
from segmentry.engine.state.files import Staging
from segmentry.engine.state.records import EventFileRecord
from segmentry.engine.state.state import State

DUCKDB = f"duckdb {duckdb.__version__}"
ENGINE = f"{DUCKDB}, 3"
"""Digests of another version of DuckDB, or made in another way than this third one, can't be compared with ours."""


class Digester(Protocol):
    """The part of an evaluation that makes digests, by position."""

    def contact_digests(self, columns: Sequence[str]) -> pl.Series: ...

    def event_digests(
        self, source: int, files: Sequence[PinnedFile], columns: Sequence[str], only: pl.Series | None = None
    ) -> list[pl.DataFrame]: ...


@dataclass(frozen=True, slots=True)
class Reads:
    """The columns that rules read, per source: what digests are made over. `events` goes by `source_keys`."""

    contacts: tuple[str, ...]
    events: Mapping[str, tuple[str, ...]]
    engine: str = ENGINE

    def __le__(self, other: Reads) -> bool:
        """Whether the other has all of these columns, read by the same engine."""
        events = all(set(columns) <= set(other.events.get(key, ())) for key, columns in self.events.items())
        return self.engine == other.engine and set(self.contacts) <= set(other.contacts) and events

    def to_json(self) -> dict[str, Any]:
        return {
            "contacts": list(self.contacts),
            "events": {key: list(columns) for key, columns in self.events.items()},
            "engine": self.engine,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reads:
        return cls(tuple(value["contacts"]), {key: tuple(columns) for key, columns in value["events"].items()}, value["engine"])


def source_keys(snapshot: Snapshot) -> list[str]:
    """What tells each event table from the others, whatever files it has: its columns' roles, and a number where another has the same."""
    roles = [[source.contact, source.at, source.name, source.event] for source in snapshot.events]
    return [dumps([*role, number] if (number := roles[:index].count(role)) else role) for index, role in enumerate(roles)]


def reads_of(snapshot: Snapshot, columns: Mapping[str | int, Iterable[str]]) -> Reads:
    """The columns to digest, from those a plan reads (`contacts`, and event sources by number)."""
    events: dict[str, tuple[str, ...]] = {}
    for index, (key, source) in enumerate(zip(source_keys(snapshot), snapshot.events, strict=True)):
        named = {*columns.get(index, ()), source.at} | ({source.name} if source.name else set())
        events[key] = tuple(sorted(named - {source.contact}))
    return Reads(tuple(sorted(set(columns.get("contacts", ())))), events)


def same_files(former: ContactSource, current: ContactSource) -> bool:
    """Whether two snapshots are the very same files, read alike."""
    return bool(current.relation.files) and former == current


@dataclass(frozen=True, slots=True)
class DigestedFile:
    """An event file digested in this run: `frame` has `position`, `digest`, `rows`. `changed`: it is new or rewritten."""

    source: int
    key: str
    file: PinnedFile
    frame: pl.DataFrame
    changed: bool


@dataclass(frozen=True, slots=True)
class KeptFile:
    """An event file that is as it was. `new`: what it has of contacts that the former snapshot did not have, and its digests lack."""

    record: EventFileRecord
    new: pl.DataFrame | None = None


@dataclass(frozen=True)
class EventDigests:
    """The event files of this run: those kept from the former run, those digested now; and those of the former run that are no more."""

    kept: tuple[KeptFile, ...]
    made: tuple[DigestedFile, ...]
    gone: tuple[EventFileRecord, ...]
    """Rewritten or gone since the former run."""
    new: pl.Series
    """The positions of contacts that the former snapshot did not have."""


@dataclass(frozen=True)
class Kept:
    """What a run keeps for the next one to be compared with: row digests (a former file's id where they still hold), events' digests."""

    reads: Reads
    rows: pl.Series | int | None
    events: EventDigests


def digest_events(
    digester: Digester, snapshot: Snapshot, reads: Reads, then: Snapshot | None, former: Sequence[EventFileRecord], new: pl.Series
) -> EventDigests:
    """Digests every event file that is new, rewritten, or not yet digested over the columns that rules read now, of their types.

    `then` and `former` are the former run's snapshot and files. A digest knows only contacts that were in the snapshot when it was
    made; so the other files are looked through for `new` ones.
    """
    known = {(record.source, record.path): record for record in former}
    before = {} if then is None else dict(zip(source_keys(then), then.events, strict=True))
    kept: list[KeptFile] = []
    made: list[DigestedFile] = []
    for index, (key, source) in enumerate(zip(source_keys(snapshot), snapshot.events, strict=True)):
        columns = reads.events[key]
        same: dict[PinnedFile, EventFileRecord] = {}
        for file in source.relation.files:
            record = known.get((key, file.path))
            if record is not None and (record.size, record.modified, record.digest) == (file.size, file.modified, file.digest):
                same[file] = known.pop((key, file.path))
        alike = key in before and _types(before[key], columns) == _types(source, columns)
        current = {file: record for file, record in same.items() if alike and (record.columns, record.engine) == (columns, reads.engine)}
        others = [file for file in source.relation.files if file not in current]
        if others:
            frames = digester.event_digests(index, others, columns)
            made += [DigestedFile(index, key, file, frame, file not in same) for file, frame in zip(others, frames, strict=True)]
        if current and len(new):
            frames = digester.event_digests(index, list(current), columns, new)
            kept += [KeptFile(record, frame if frame.height else None) for record, frame in zip(current.values(), frames, strict=True)]
        else:
            kept += [KeptFile(record) for record in current.values()]
    return EventDigests(tuple(kept), tuple(made), tuple(known.values()), new)


def _types(source: EventSource, columns: Sequence[str]) -> list[Column | None]:
    """What digests over these columns are made of: the same file means something else where one is read as another type."""
    return [source.relation.columns.get(name) for name in (source.contact, *columns)]


def keep_event_digests(
    state: State, staging: Staging, run: int, digests: EventDigests, reads: Reads, placement: Placement
) -> list[EventFileDraft]:
    """Writes what was digested now as one file; with new contacts, and after a compaction, also what was kept."""
    path = f"runs/{run}/events.parquet"
    frames: list[pl.DataFrame] = []
    drafts: list[EventFileDraft] = []
    for made in digests.made:
        file, key = made.file, made.key
        drafts.append(
            EventFileDraft(key, file.path, file.size, file.modified, file.digest, reads.events[key], reads.engine, path, len(frames))
        )
        frames.append(made.frame)
    for kept in digests.kept:
        record = kept.record
        anew = placement.former_positions is not None or kept.new is not None
        home: tuple[FileRef, int] = (path, len(frames)) if anew else (record.file, record.part)
        drafts.append(
            EventFileDraft(record.source, record.path, record.size, record.modified, record.digest, record.columns, record.engine, *home)
        )
        if anew:
            frame = _moved(state.event_digests(record), placement).filter(~pl.col("position").is_in(digests.new.implode()))
            frames.append(frame if kept.new is None else pl.concat([frame, kept.new]))
    if frames:
        parts = [
            frame.select(pl.lit(number, pl.UInt32()).alias("part"), "position", "digest", "rows").sort("position")
            for number, frame in enumerate(frames)
        ]
        # in their own pieces of memory: a first run digests all files, and whatever sorts or joins them has them twice
        staging.write(path, "events", pl.concat(parts, rechunk=False))
    return drafts


def contacts_differ(
    source: ContactSource, reads: Reads, digests: pl.Series | None, current: ContactSource, digester: Digester, placement: Placement
) -> pl.Series | bool:
    """Whose rows differ from the former run's (`source`, `reads`, `digests`): Boolean per position, or one answer for all.

    Rows compare in the columns that rules read then. Where they can't be compared (another DuckDB, a column gone, digests
    missing), all differ, unless the files are the very same.
    """
    if same_files(source, current) or not reads.contacts:
        return False
    if digests is None or reads.engine != ENGINE or not set(reads.contacts) <= set(current.relation.columns):
        return True
    now = digester.contact_digests(reads.contacts)
    if placement.former_positions is not None:
        kept = placement.former_positions.is_not_null()
        before = pl.repeat(None, len(now), dtype=pl.UInt64(), eager=True)
        before = before.scatter(placement.former_positions.filter(kept), digests.filter(kept))
        return (before != now).fill_null(value=True).alias("differs")
    common = min(len(digests), len(now))
    new = pl.repeat(True, len(now) - common, dtype=pl.Boolean(), eager=True)
    return pl.concat([(digests.head(common) != now.head(common)).alias("differs"), new.alias("differs")])


def events_differ(
    state: State, snapshot: Snapshot, digests: EventDigests, reads: Reads, former: Reads, digester: Digester, placement: Placement
) -> pl.Series | bool:
    """Whose events differ from the former run's: Boolean per position, or one answer for all.

    Per contact, the sums over the files that are rewritten or gone are compared with those over the files that are new or
    rewritten, in the columns that rules read then.
    """
    changed = [made for made in digests.made if made.changed]
    if any(record.engine != ENGINE for record in digests.gone):
        return True
    before = [_moved(state.event_digests(record), placement) for record in digests.gone]
    now = []
    for made in changed:
        columns = former.events.get(made.key)
        if columns is None or columns == reads.events[made.key]:
            now.append(made.frame)
        elif set(columns) <= set(snapshot.events[made.source].relation.columns):
            now += digester.event_digests(made.source, [made.file], columns)
        else:
            return True
    return _differing(before, now, placement.alignment.size)


def events_differ_since(
    state: State,
    snapshot: Snapshot,
    former: Sequence[EventFileRecord],
    reads: Reads,
    now: Kept,
    digester: Digester,
    placement: Placement,
) -> pl.Series | bool:
    """Whose events differ from those of a run before the accepted one, which had the files `former` and rules that read `reads`.

    Files that are as they were cancel out, whatever happened in between; the others are summed up as in `events_differ`.
    """
    left = {(record.source, record.path, record.size, record.modified, record.digest): record for record in former}
    made = {(one.key, one.file): one.frame for one in now.events.made}
    sums: list[pl.DataFrame] = []
    for index, (key, source) in enumerate(zip(source_keys(snapshot), snapshot.events, strict=True)):
        files = [f for f in source.relation.files if left.pop((key, f.path, f.size, f.modified, f.digest), None) is None]
        columns = reads.events.get(key, now.reads.events[key])
        if files and not set(columns) <= set(source.relation.columns):
            return True
        if columns == now.reads.events[key]:
            sums += [made[key, file] for file in files if (key, file) in made]
            files = [file for file in files if (key, file) not in made]
        if files:
            sums += digester.event_digests(index, files, columns)
    if any(record.engine != ENGINE for record in left.values()):
        return True
    return _differing([_moved(state.event_digests(record), placement) for record in left.values()], sums, placement.alignment.size)


def _differing(before: Sequence[pl.DataFrame], now: Sequence[pl.DataFrame], size: int) -> pl.Series:
    """The positions whose sums of digests, or numbers of rows, are not equal."""
    signs = [frame.select("position", "digest", pl.col("rows").cast(pl.Int64())) for frame in now]
    signs += [
        frame.select("position", (pl.lit(0, pl.UInt64()) - pl.col("digest")).alias("digest"), -pl.col("rows").cast(pl.Int64()))
        for frame in before
    ]
    nobody = pl.repeat(False, size, dtype=pl.Boolean(), eager=True).alias("differs")
    if not signs:
        return nobody
    sums = pl.concat(signs).group_by("position").agg(pl.col("digest").sum(), pl.col("rows").sum())
    return nobody.scatter(sums.filter((pl.col("digest") != 0) | (pl.col("rows") != 0))["position"], True)


def _moved(frame: pl.DataFrame, placement: Placement) -> pl.DataFrame:
    """Rows by the former order's positions, by this order's."""
    if placement.former_positions is None:
        return frame
    return frame.with_columns(position=placement.former_positions.gather(frame["position"])).drop_nulls("position")
