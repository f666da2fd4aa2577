"""The one transaction that makes a run so. Before it nothing has happened; after it everything has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, union, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.state import ledger, reading
from segmentry.engine.state.activated import ActivationDraft, FileRef, apply
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.files import Staging
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.records import SegmentFigures, Status
from segmentry.engine.state.schema import CONTACTS, EVENT_FILES, FILES, HOLDS, LEDGER, RUN_SEGMENTS, RUNS, SEGMENTS

REPLACED_KINDS = ("digests", "events")
"""Files that only the next run reads: gone as soon as no accepted membership needs them."""


@dataclass(frozen=True, slots=True)
class ContactsDraft:
    """A new order of contacts. `lineage` None begins one."""

    lineage: int | None
    key: str
    kind: str
    size: int
    gone: int
    key_files: tuple[FileRef, ...]
    present_file: FileRef


@dataclass(frozen=True, slots=True)
class EventFileDraft:
    """Whose events an event file held, as `EventFileRecord`."""

    source: str
    path: str
    size: int
    modified: int
    digest: str
    columns: tuple[str, ...]
    engine: str
    file: FileRef
    part: int


@dataclass(frozen=True, slots=True)
class RunDraft:
    """A run about to be committed.

    `held` are segments whose computation is not accepted with it; `decided` those that somebody approved or took as a
    baseline. `copied` is the run that a decision stands on: what was accepted with that is accepted with this one.
    """

    id: int
    status: Status
    as_of: datetime
    started: datetime
    committed: datetime
    contacts: int | ContactsDraft
    members: tuple[tuple[tuple[FileRef, tuple[str, ...]], ...], ...]
    changes_file: FileRef
    digests_file: FileRef | None
    event_files: Sequence[EventFileDraft]
    snapshot: Mapping[str, Any]
    definitions: Mapping[str, Any]
    report: Mapping[str, Any]
    segments: Mapping[str, SegmentFigures]
    held: frozenset[str] = frozenset()
    decided: frozenset[str] = frozenset()
    copied: int | None = None
    decision: Mapping[str, Any] | None = None
    activation: ActivationDraft = field(default_factory=ActivationDraft)


def commit(catalog: Catalog, lease: Lease, staging: Staging, draft: RunDraft) -> None:
    """Makes the run, and what it accepts, so. Raises LeaseLost, and nothing has happened then."""
    with catalog.writing() as connection:
        lease.check(connection)
        staging.publish()
        ids = _list_files(connection, staging)

        def resolve(ref: FileRef) -> int:
            return ref if isinstance(ref, int) else ids[ref]

        contacts = draft.contacts if isinstance(draft.contacts, int) else _insert_contacts(connection, draft.contacts, ids)
        connection.execute(
            insert(RUNS).values(
                id=draft.id,
                status=str(draft.status),
                as_of=draft.as_of.isoformat(timespec="microseconds"),
                started=draft.started.isoformat(timespec="microseconds"),
                committed=draft.committed.isoformat(timespec="microseconds"),
                lease=lease.number,
                contacts=contacts,
                members=dumps([[[resolve(ref), list(columns)] for ref, columns in chunk] for chunk in draft.members]),
                complete=True,
                changes_file=resolve(draft.changes_file),
                digests_file=None if draft.digests_file is None else resolve(draft.digests_file),
                snapshot=dumps(draft.snapshot),
                definitions=dumps(draft.definitions),
                report=dumps(draft.report),
                erased=0,
                decision=None if draft.decision is None else dumps(draft.decision),
                skipped_file=None if draft.activation.skipped_file is None else resolve(draft.activation.skipped_file),
            )
        )
        _insert_figures(connection, draft)
        unlisted: list[str] = []
        apply(connection, draft.id, draft.as_of, draft.committed, draft.activation, resolve)
        if draft.status is Status.ACCEPTED:
            _accept(connection, draft)
        _insert_event_files(connection, draft, ids)
        if draft.status is Status.ACCEPTED:
            unlisted = unlist_replaced(connection)
        listed = reading.listed_paths(connection)
    ledger.finish_names(staging.root, listed, before=lease.number)
    remove_files(staging.root, unlisted)


def next_run(catalog: Catalog) -> int:
    """The id of the run that the lease's holder will commit next."""
    with catalog.reading() as connection:
        runs = connection.execute(select(func.coalesce(func.max(RUNS.c.id), 0))).scalar_one()
        ledgers = connection.execute(select(func.coalesce(func.max(LEDGER.c.run), 0))).scalar_one()  # recovered ones may be of later runs
        return max(int(runs), int(ledgers)) + 1


def list_file(connection: Connection, path: str, kind: str, size: int) -> int:
    """Lists a bulk file; its id."""
    number = int(connection.execute(select(func.coalesce(func.max(FILES.c.id), 0))).scalar_one()) + 1
    connection.execute(insert(FILES).values(id=number, path=path, kind=kind, bytes=size))
    return number


def unlist_replaced(connection: Connection) -> list[str]:
    """Unlists digests that no accepted membership needs any more; the paths to remove once that is committed."""
    needed = union(
        select(SEGMENTS.c.accepted_run).where(SEGMENTS.c.retired_run.is_(None)),
        select(HOLDS.c.run).where(HOLDS.c.status == "open"),
        select(func.max(RUNS.c.id)),
    )
    connection.execute(delete(EVENT_FILES).where(EVENT_FILES.c.run.not_in(needed)))
    connection.execute(update(RUNS).where(RUNS.c.digests_file.is_not(None), RUNS.c.id.not_in(needed)).values(digests_file=None))
    used = union(select(RUNS.c.digests_file).where(RUNS.c.digests_file.is_not(None)), select(EVENT_FILES.c.file))
    stale = FILES.c.kind.in_(REPLACED_KINDS) & FILES.c.id.not_in(used)
    paths = [str(row.path) for row in connection.execute(select(FILES.c.path).where(stale))]
    connection.execute(delete(FILES).where(stale))
    return paths


def remove_files(root: Path, paths: Sequence[str]) -> None:
    """Removes files that are no longer listed; one that can't be removed now goes with the next run's leftovers."""
    for path in paths:
        with suppress(OSError):
            (root / path).unlink()
        with suppress(OSError):
            (root / path).parent.rmdir()


def _list_files(connection: Connection, staging: Staging) -> dict[str, int]:
    return {file.path: list_file(connection, file.path, file.kind, file.bytes) for file in staging.files}


def _insert_contacts(connection: Connection, draft: ContactsDraft, ids: Mapping[str, int]) -> int:
    number = next_contacts(connection)
    connection.execute(
        insert(CONTACTS).values(
            id=number,
            lineage=number if draft.lineage is None else draft.lineage,
            key=draft.key,
            key_kind=draft.kind,
            size=draft.size,
            gone=draft.gone,
            key_files=dumps([ref if isinstance(ref, int) else ids[ref] for ref in draft.key_files]),
            present_file=draft.present_file if isinstance(draft.present_file, int) else ids[draft.present_file],
        )
    )
    return number


def next_contacts(connection: Connection) -> int:
    """The id of the next order of contacts."""
    return int(connection.execute(select(func.coalesce(func.max(CONTACTS.c.id), 0))).scalar_one()) + 1


def _insert_figures(connection: Connection, draft: RunDraft) -> None:
    rows = [
        {"run": draft.id, "segment": name, "size": f.size, "entered": f.entered, "exited": f.exited, "first": f.first}
        for name, f in sorted(draft.segments.items())
    ]
    if rows:
        connection.execute(insert(RUN_SEGMENTS), rows)


def _accept(connection: Connection, draft: RunDraft) -> None:
    """Every segment of the run is accepted with it, but for those that are held; those it doesn't have are retired."""
    known = {str(row.name): row for row in connection.execute(select(SEGMENTS))}
    if draft.copied is not None:
        connection.execute(update(SEGMENTS).where(SEGMENTS.c.accepted_run == draft.copied).values(accepted_run=draft.id))
    accepted = draft.decided if draft.copied is not None else draft.segments.keys() - draft.held
    for name in sorted(accepted):
        if name in known:
            connection.execute(update(SEGMENTS).where(SEGMENTS.c.name == name).values(accepted_run=draft.id, retired_run=None))
        else:
            connection.execute(insert(SEGMENTS).values(name=name, accepted_run=draft.id, first_run=draft.id, retired_run=None))
    connection.execute(update(SEGMENTS).where(SEGMENTS.c.name.in_(sorted(draft.decided))).values(decided=draft.id))
    gone = [name for name, row in sorted(known.items()) if name not in draft.segments and row.retired_run is None]
    if gone:
        connection.execute(update(SEGMENTS).where(SEGMENTS.c.name.in_(gone)).values(retired_run=draft.id))


def _insert_event_files(connection: Connection, draft: RunDraft, ids: Mapping[str, int]) -> None:
    rows = [
        {
            "run": draft.id,
            "source": f.source,
            "path": f.path,
            "size": f.size,
            "modified": f.modified,
            "digest": f.digest,
            "columns": dumps(list(f.columns)),
            "engine": f.engine,
            "file": f.file if isinstance(f.file, int) else ids[f.file],
            "part": f.part,
        }
        for f in draft.event_files
    ]
    if rows:
        connection.execute(insert(EVENT_FILES), rows)
