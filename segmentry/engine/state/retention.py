"""Retention: memberships past their time go, changes never, and nothing goes that a later run or comparison needs.

What a guard held goes with the memberships, once its hold has ended; why somebody was not enrolled stays, as changes do.
Addresses and mapped fields in the outbox have a time of their own, counted from the delivery's end.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, and_, delete, select, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.state import outbox, reading
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.holds import holds
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.naming import followed_back, renames_since
from segmentry.engine.state.records import ChunkFiles, RunRecord, SegmentRecord
from segmentry.engine.state.schema import CONTACTS, FILES, HOLDS, RUNS


@dataclass(frozen=True, slots=True)
class Removed:
    """What retention has unlisted: how many runs lost memberships, and the files to remove now that this is committed.

    `addresses`: how many deliveries lost their address and fields.
    """

    runs: int
    paths: tuple[str, ...]
    bytes: int
    addresses: int = 0


def unlist_old(catalog: Catalog, lease: Lease, before: datetime, addresses: datetime | None = None) -> Removed:
    """Unlists the memberships of runs committed before an instant, and what was held and ended before it, in one transaction.

    `addresses`: those of deliveries that ended before this instant go too.
    """
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
        _let_go_of_ended_holds(connection, before)
        cleared = 0 if addresses is None else outbox.clear_payloads(connection, addresses)
        return replace(_unlist_unused(connection, len(old)), addresses=cleared)


def _let_go_of_ended_holds(connection: Connection, before: datetime) -> None:
    """Holds that ended before an instant show no more who would have come and gone."""
    ended = and_(HOLDS.c.status != "open", HOLDS.c.ended < before.isoformat(timespec="microseconds"))
    connection.execute(update(HOLDS).where(ended).values(changes_file=None))


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
    """Unlists files of memberships and held changes that nothing names any more, and orders that no run with memberships goes by."""
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
    for hold in connection.execute(select(HOLDS.c.changes_file).where(HOLDS.c.changes_file.is_not(None))):
        used.add(hold.changes_file)
    kinds = ("members", "keys", "present", "held")
    stale = [row for row in connection.execute(select(FILES).where(FILES.c.kind.in_(kinds))) if row.id not in used]
    connection.execute(delete(FILES).where(FILES.c.id.in_([row.id for row in stale])))
    return Removed(runs, tuple(row.path for row in stale), sum(row.bytes for row in stale))
