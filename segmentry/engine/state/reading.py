"""Reads records out of the catalog and rows out of bulk files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection, Row, select

from segmentry.engine.state import files
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.records import (
    ChunkFiles,
    ContactsRecord,
    EventFileRecord,
    RunRecord,
    SegmentFigures,
    SegmentRecord,
    Status,
)
from segmentry.engine.state.schema import CONTACTS, EVENT_FILES, FILES, RUN_SEGMENTS, RUNS, SEGMENTS
from segmentry.errors import NotFound

LARGE = ("snapshot", "definitions")
"""Columns of a run that are read only when somebody asks: the files of a year of runs are too many to read by the way."""


def run_records(catalog: Catalog, connection: Connection, ids: Sequence[int] | None = None) -> list[RunRecord]:
    """Committed runs by id, all of them or some."""
    runs = select(*(column for column in RUNS.c if column.name not in LARGE)).order_by(RUNS.c.id)
    figures = select(RUN_SEGMENTS).order_by(RUN_SEGMENTS.c.segment)
    if ids is not None:
        runs, figures = runs.where(RUNS.c.id.in_(ids)), figures.where(RUN_SEGMENTS.c.run.in_(ids))
    by_run: dict[int, dict[str, SegmentFigures]] = {}
    for row in connection.execute(figures):
        by_run.setdefault(row.run, {})[row.segment] = SegmentFigures(row.size, row.entered, row.exited, row.first)
    return [_run(catalog, row, by_run.get(row.id, {})) for row in connection.execute(runs)]


def run_record(catalog: Catalog, connection: Connection, number: int) -> RunRecord:
    """One committed run; raises NotFound."""
    found = run_records(catalog, connection, [number])
    if not found:
        raise NotFound(f"there is no run {number}")
    return found[0]


def accepted_run(catalog: Catalog, connection: Connection) -> RunRecord | None:
    """The newest accepted run."""
    number = connection.execute(select(RUNS.c.id).where(RUNS.c.status == str(Status.ACCEPTED)).order_by(RUNS.c.id.desc()).limit(1)).scalar()
    return None if number is None else run_record(catalog, connection, number)


def runs_that_changed(connection: Connection, segment: str) -> list[tuple[int, datetime]]:
    """The accepted runs in which a segment changed, oldest first, and their `as_of`."""
    changed = (RUN_SEGMENTS.c.segment == segment) & (RUN_SEGMENTS.c.entered + RUN_SEGMENTS.c.exited > 0)
    joined = select(RUNS.c.id, RUNS.c.as_of).join(RUN_SEGMENTS, RUN_SEGMENTS.c.run == RUNS.c.id)
    rows = connection.execute(joined.where(changed, RUNS.c.status == str(Status.ACCEPTED)).order_by(RUNS.c.id))
    return [(row.id, datetime.fromisoformat(row.as_of)) for row in rows]


def runs_that_moved(
    connection: Connection, names: Sequence[str], first: datetime | None, final: datetime | None
) -> list[tuple[int, datetime, str, bool, str]]:
    """The changes of a segment, by any of these names, in the accepted runs of a time (both ends in), oldest first.

    Each is a run, its `as_of`, the name of then, whether it was the first computation, and the path of the run's changes.
    """
    wanted = (RUN_SEGMENTS.c.segment.in_(names)) & (RUN_SEGMENTS.c.entered + RUN_SEGMENTS.c.exited > 0)
    joined = select(RUNS.c.id, RUNS.c.as_of, RUN_SEGMENTS.c.segment, RUN_SEGMENTS.c.first, FILES.c.path)
    joined = joined.join(RUN_SEGMENTS, RUN_SEGMENTS.c.run == RUNS.c.id).join(FILES, FILES.c.id == RUNS.c.changes_file)
    for bound, within in ((first, RUNS.c.as_of.__ge__), (final, RUNS.c.as_of.__le__)):
        if bound is not None:
            wanted &= within(bound.isoformat(timespec="microseconds"))
    rows = connection.execute(joined.where(wanted, RUNS.c.status == str(Status.ACCEPTED)).order_by(RUNS.c.id))
    return [(row.id, datetime.fromisoformat(row.as_of), row.segment, row.first, row.path) for row in rows]


def segment_records(connection: Connection) -> dict[str, SegmentRecord]:
    """Every segment that was ever accepted."""
    rows = connection.execute(select(SEGMENTS).order_by(SEGMENTS.c.name))
    return {row.name: SegmentRecord(row.name, row.accepted_run, row.first_run, row.retired_run, row.decided) for row in rows}


def contacts_record(connection: Connection, number: int) -> ContactsRecord:
    """One order of contacts."""
    row = connection.execute(select(CONTACTS).where(CONTACTS.c.id == number)).one()
    return ContactsRecord(
        row.id, row.lineage, row.key, row.key_kind, row.size, row.gone, tuple(json.loads(row.key_files)), row.present_file
    )


def event_file_records(connection: Connection, run: int) -> list[EventFileRecord]:
    """The event files of a run that later ones may be compared with."""
    rows = connection.execute(select(EVENT_FILES).where(EVENT_FILES.c.run == run).order_by(EVENT_FILES.c.source, EVENT_FILES.c.path))
    return [
        EventFileRecord(r.source, r.path, r.size, r.modified, r.digest, tuple(json.loads(r.columns)), r.engine, r.file, r.part)
        for r in rows
    ]


def paths(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """The paths of listed files."""
    wanted = sorted(set(ids))
    return {row.id: row.path for row in connection.execute(select(FILES.c.id, FILES.c.path).where(FILES.c.id.in_(wanted)))}


def listed_paths(connection: Connection) -> set[str]:
    """The paths of all listed files."""
    return set(connection.execute(select(FILES.c.path)).scalars())


def order_keys(root: Path, connection: Connection, record: ContactsRecord) -> pl.Series:
    """Every position's key; null where the contact was erased."""
    where = paths(connection, record.key_files)
    return files.read(root, [where[number] for number in record.key_files])[record.key]


def order_present(root: Path, connection: Connection, record: ContactsRecord) -> pl.Series:
    """Which positions the snapshot had."""
    where = paths(connection, [record.present_file])
    return files.read(root, where.values())["present"]


def chunk_columns(root: Path, chunk: ChunkFiles, where: Mapping[int, str], names: Sequence[str]) -> pl.DataFrame:
    """Some columns of one chunk of a run, which must have them."""
    wanted = set(names)
    frames = []
    for number, columns in chunk:
        chosen = [name for name in columns if name in wanted]
        if chosen:
            frames.append(files.read(root, [where[number]], chosen))
    return pl.concat(frames, how="horizontal").select(names) if frames else pl.DataFrame()


def _run(catalog: Catalog, row: Row[tuple[object, ...]], segments: Mapping[str, SegmentFigures]) -> RunRecord:
    members = tuple(tuple((number, tuple(columns)) for number, columns in chunk) for chunk in json.loads(row.members))
    return RunRecord(
        id=row.id,
        status=Status(row.status),
        as_of=datetime.fromisoformat(row.as_of),
        started=datetime.fromisoformat(row.started),
        committed=datetime.fromisoformat(row.committed),
        contacts=row.contacts,
        members=members,
        complete=row.complete,
        changes_file=row.changes_file,
        digests_file=row.digests_file,
        report=json.loads(row.report),
        erased=row.erased,
        segments=segments,
        skipped_file=row.skipped_file,
        decision=None if row.decision is None else json.loads(row.decision),
        detail=partial(_detail, catalog, row.id),
    )


def _detail(catalog: Catalog, run: int, column: str) -> Any:
    with catalog.reading() as connection:
        return json.loads(connection.execute(select(RUNS.c[column]).where(RUNS.c.id == run)).scalar_one())
