"""Retention: memberships past their time go, changes never, and nothing goes that a later run or comparison needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.state import reading
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.holds import holds
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.naming import followed_back, renames_since
from segmentry.engine.state.records import ChunkFiles, RunRecord, SegmentRecord
from segmentry.engine.state.schema import CONTACTS, FILES, RUNS


@dataclass(frozen=True, slots=True)
class Removed:
    """What retention has unlisted: how many runs lost memberships, and the files to remove now that this is committed."""

    runs: int
    paths: tuple[str, ...]
    bytes: int


def unlist_old(catalog: Catalog, lease: Lease, before: datetime) -> Removed:
    """Unlists the memberships of runs committed before an instant, in one transaction."""
    with catalog.writing() as connection:
        lease.check(connection)
        segments = reading.segment_records(connection)
        whole = _whole(catalog, connection, segments)
        old = [
            record
            for record in reading.run_records(catalog, connection)
            if record.complete and record.committed < before and record.id not in whole
        ]
        for record in old:
            names = followed_back(renames_since(connection, record.id))
            kept = _reduced(record.members, _needed(record, segments, names))
            connection.execute(update(RUNS).where(RUNS.c.id == record.id).values(complete=False, members=dumps(kept)))
        return _unlist_unused(connection, len(old))


def _whole(catalog: Catalog, connection: Connection, segments: Mapping[str, SegmentRecord]) -> set[int]:
    """The runs that nothing goes of: the newest accepted one, those that living segments are compared with, those of open holds."""
    newest = reading.accepted_run(catalog, connection)
    accepted = {segment.accepted_run for segment in segments.values() if segment.retired_run is None}
    return accepted | {hold.run for hold in holds(connection)} | ({newest.id} if newest is not None else set())


def _needed(record: RunRecord, segments: Mapping[str, SegmentRecord], names: Mapping[str, str]) -> set[str]:
    """The columns of an old run that stay: entries of a first computation are read off them, and a retired segment may come back.

    `names` has what segments were called in that run, where it was something else.
    """
    firsts = {name for name, figures in record.segments.items() if figures.first and record.accepted}
    return firsts | {names.get(name, name) for name, segment in segments.items() if segment.accepted_run == record.id}


def _reduced(members: tuple[ChunkFiles, ...], needed: Collection[str]) -> list[list[list[object]]]:
    chunks = []
    for chunk in members:
        kept = [[number, [name for name in columns if name in needed]] for number, columns in chunk]
        chunks.append([entry for entry in kept if entry[1]])
    return chunks if any(chunks) else []


def _unlist_unused(connection: Connection, runs: int) -> Removed:
    """Unlists membership files that no run names any more, and orders of contacts that no run with memberships goes by."""
    used: set[int] = set()
    orders: set[int] = set()
    for row in connection.execute(select(RUNS.c.contacts, RUNS.c.members, RUNS.c.complete)):
        numbers = {number for chunk in json.loads(row.members) for number, _ in chunk}
        used |= numbers
        if numbers or row.complete:
            orders.add(row.contacts)
    gone = [row.id for row in connection.execute(select(CONTACTS.c.id)) if row.id not in orders]
    connection.execute(delete(CONTACTS).where(CONTACTS.c.id.in_(gone)))
    for order in connection.execute(select(CONTACTS.c.key_files, CONTACTS.c.present_file)):
        used |= {*json.loads(order.key_files), order.present_file}
    kinds = ("members", "keys", "present")
    stale = [row for row in connection.execute(select(FILES).where(FILES.c.kind.in_(kinds))) if row.id not in used]
    connection.execute(delete(FILES).where(FILES.c.id.in_([row.id for row in stale])))
    return Removed(runs, tuple(row.path for row in stale), sum(row.bytes for row in stale))
