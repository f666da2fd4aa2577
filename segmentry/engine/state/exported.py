"""What was exported of segments to destinations that take whole files, and what is to be: a row of `syncs` for each, and no contacts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from sqlalchemy import Connection, select

from segmentry.engine.state import reading
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.records import RunRecord
from segmentry.engine.state.schema import SYNCS
from segmentry.engine.state.synced import ACTIVE, DETACHED, EXPORTED, SyncDraft, SyncRecord, apply_syncs, syncs
from segmentry.errors import StateError

MODE = "add"
"""Files are only ever added."""

RUN = "exported"
"""The figure that says up to which run everything was written."""

Key = tuple[str, str]
"""Segment and destination."""


def exports(connection: Connection) -> dict[Key, SyncRecord]:
    """What was ever exported, by segment and destination."""
    return {(one.segment, one.destination): one for one in syncs(connection, exports=True)}


def exported_run(record: SyncRecord | None) -> int:
    """The newest run of which everything was written; 0 before the first."""
    return 0 if record is None else int(record.figures.get(RUN, 0))


def note_exported(connection: Connection, lease: Lease, key: Key, run: int, now: datetime) -> None:
    """Notes that everything up to a run was written. Raises LeaseLost."""
    lease.check(connection)
    record = exports(connection).get(key)
    if record is None or record.status != ACTIVE or exported_run(record) < run:
        segment, destination = key
        figures = {RUN: max(run, exported_run(record))}
        draft = SyncDraft(None if record is None else record.id, segment, destination, EXPORTED, MODE, ACTIVE, None, figures)
        apply_syncs(connection, [draft], now)


def detach_exports(connection: Connection, said: Sequence[Key], now: datetime) -> int:
    """Ends exports that the files don't say any more; how many. One that is said again goes on where it ended."""
    gone = [one for key, one in exports(connection).items() if key not in said and one.status == ACTIVE]
    drafts = [SyncDraft(one.id, *one.key, mode=one.mode, status=DETACHED, answer=None, figures=one.figures) for one in gone]
    apply_syncs(connection, drafts, now)
    return len(drafts)


def has_stray_exports(connection: Connection, said: Sequence[Key]) -> bool:
    """Whether there is an export that the files don't say any more."""
    rows = connection.execute(select(SYNCS.c.segment, SYNCS.c.destination).where(SYNCS.c.target == EXPORTED, SYNCS.c.status == ACTIVE))
    return any((row.segment, row.destination) not in said for row in rows)


def runs_to_export(connection: Connection, names: Sequence[str], after: int) -> list[tuple[int, str]]:
    """The accepted runs after one in which a segment changed, oldest first, each with what the segment was called in it."""
    return sorted((run, name) for name in names for run, _ in reading.runs_that_changed(connection, name) if run > after)


def stored_changes(folder: Path, connection: Connection, record: RunRecord, segment: str, size: int) -> Iterator[pl.DataFrame]:
    """A segment's changes of a run as they are stored, at most `size` rows at a time; at least one frame. Raises StateError.

    The file is opened before this returns: what moves or goes afterwards is read to its end all the same.
    """
    (path,) = reading.paths(connection, [record.changes_file]).values()
    try:
        file = pq.ParquetFile(folder / path)
    except FileNotFoundError as error:
        raise StateError(f"the changes of run {record.id} have just been rewritten: try again") from error
    return _parts(file, segment, size)


def _parts(file: pq.ParquetFile, segment: str, size: int) -> Iterator[pl.DataFrame]:
    with file:
        empty = pl.from_arrow(file.schema_arrow.empty_table())
        assert isinstance(empty, pl.DataFrame)
        found = False
        for batch in file.iter_batches(size):
            frame = pl.DataFrame(batch).filter(pl.col("segment") == segment)
            if frame.height:
                found = True
                yield frame
        if not found:
            yield empty
