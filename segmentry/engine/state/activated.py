"""What a run makes so beside memberships: ledger rows, deliveries, attachments, holds, names, facts. Applied inside its commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.state import ledger
from segmentry.engine.state.frames import ROWS_AT_ONCE, insert_frame
from segmentry.engine.state.schema import (
    ALIASES,
    ATTACHMENTS,
    DELIVERIES,
    DESTINATIONS,
    ENROLLMENTS,
    FACTS,
    HOLDS,
    LEDGER,
    PAUSES,
    RENAMES,
    SEGMENTS,
)
from segmentry.engine.state.synced import SEVERAL, SyncDraft, apply_syncs, rename_syncs

FORMERS = "formers"
"""In a payload: the addresses that the contact had between its enrollment and now."""

FileRef = int | str
"""A bulk file: by its id if an earlier run wrote it, by its path if it is staged for this one."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """An open row that a run turns into something else. `payload`: its new payload as JSON text; None leaves it as it is."""

    id: str
    outcome: str
    reason: str | None
    payload: str | None = None
    address_hash: str | None = None
    pending_since: str | None = None


@dataclass(frozen=True, slots=True)
class HoldDraft:
    """A hold that a run opens. `since`: when the first of a row of holds on this opened (None: now)."""

    kind: str
    name: str
    detail: Mapping[str, Any]
    since: str | None = None
    changes_file: FileRef | None = None


@dataclass(frozen=True, slots=True)
class Routes:
    """Where each sequence goes, and every destination there is."""

    sequences: Mapping[str, str]
    destinations: frozenset[str]


@dataclass(frozen=True)
class ActivationDraft:
    """What a run's commit makes so, as plain rows; see the tables in `schema`.

    `ended` are holds that end with this run, and how. `stops` are rows under way that must not go any more, and why.
    """

    skipped_file: FileRef | None = None
    ledger_file: FileRef | None = None
    ledger_rows: int = 0
    baselines: Sequence[tuple[str, str]] = ()
    enrollments: pl.DataFrame | None = None
    deliveries: pl.DataFrame | None = None
    settled: Sequence[Settlement] = ()
    stops: Mapping[str, str] = field(default_factory=dict)
    attached: Sequence[tuple[str, str]] = ()
    detached: Sequence[tuple[str, str]] = ()
    opened: Sequence[HoldDraft] = ()
    ended: Mapping[int, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    renames: Sequence[tuple[str, str, str]] = ()
    """(kind, former name, name)."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """None removes a fact."""
    routes: Routes | None = None
    """Where what waits from before has to go; None: as before."""
    syncs: Sequence[SyncDraft] = ()
    told: Mapping[str, str] = field(default_factory=dict)
    """Payloads by id, for rows of which nobody was told yet."""
    unagreed: Sequence[str] = ()
    """Open rows of contacts who don't agree any more to be told."""


def apply(
    connection: Connection, run: int, as_of: datetime, now: datetime, draft: ActivationDraft, resolve: Callable[[FileRef], int]
) -> None:
    """Makes it so, within the run's own transaction."""
    _rename(connection, run, draft)
    _merge(connection, run, draft)
    if draft.ledger_file is not None:
        values = {
            "run": run,
            "file": resolve(draft.ledger_file),
            "rows": draft.ledger_rows,
            "baselines": dumps([list(p) for p in draft.baselines]),
        }
        connection.execute(insert(LEDGER).values(values))
    insert_frame(connection, ENROLLMENTS, draft.enrollments)
    insert_frame(connection, DELIVERIES, draft.deliveries)
    settle(connection, draft.settled, now)
    for identity in draft.unagreed:
        _disagree(connection, identity)
    _tell_anew(connection, draft.told)
    for identity, reason in draft.stops.items():
        connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == identity).values(stop=reason))
    if draft.routes is not None:
        _route(connection, draft.routes, now)
    _attach(connection, run, as_of, draft)
    _hold(connection, run, now, draft, resolve)
    apply_syncs(connection, draft.syncs, now)
    for name, value in draft.facts.items():
        set_fact(connection, name, value)


def settle(connection: Connection, settled: Sequence[Settlement], now: datetime) -> None:
    """Gives rows their new outcome; what has ended is no longer due."""
    stamp = now.isoformat(timespec="microseconds")
    outcomes = [
        {
            "key": one.id,
            "outcome": one.outcome,
            "reason": one.reason,
            "changed": stamp,
            "hash": one.address_hash,
            "since": one.pending_since,
        }
        for one in settled
    ]
    if not outcomes:
        return
    table = ENROLLMENTS.c
    connection.execute(
        update(ENROLLMENTS)
        .where(table.id == bindparam("key"))
        .values(
            outcome=bindparam("outcome"),
            reason=bindparam("reason"),
            changed=bindparam("changed"),
            address_hash=func.coalesce(bindparam("hash"), table.address_hash),
            pending_since=func.coalesce(bindparam("since"), table.pending_since),
        ),
        outcomes,
    )
    payloads = [{"key": one.id, "payload": one.payload} for one in settled if one.payload is not None]
    if payloads:
        connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == bindparam("key")).values(payload=bindparam("payload")), payloads)
    ended = [
        {"key": one.id, "ended": stamp}
        for one in settled
        if one.outcome not in ("pending", "held", "waiting", "paused", "sending", "unknown")
    ]
    if ended:
        connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == bindparam("key")).values(ended=bindparam("ended")), ended)


def _disagree(connection: Connection, identity: str) -> None:
    """Takes it out of an open row that the contact has agreed. One under way goes in a batch no more, and so not before it is read anew."""
    row = DELIVERIES.c.id == identity
    payload = connection.execute(select(DELIVERIES.c.payload).where(row)).scalar()
    if payload is not None:
        told = {name: value for name, value in json.loads(payload).items() if name != "consents"}
        connection.execute(update(DELIVERIES).where(row).values(payload=dumps(told), batch=None))


def _tell_anew(connection: Connection, payloads: Mapping[str, str]) -> None:
    """Gives rows of which nobody was told yet what is so now; what was asked once is asked again with the same words.

    An address that is another by now is kept beside it: who left under that one is told nothing under this.
    """
    table = DELIVERIES.c
    untold = (table.attempts == 0) & table.lease.is_(None) & table.ended.is_(None)
    ids = list(payloads)
    for start in range(0, len(ids), SEVERAL):
        mine = untold & table.id.in_(ids[start : start + SEVERAL])
        before = connection.execute(select(table.id, table.payload).where(mine, table.payload.is_not(None)))
        told = [(row.id, _with_formers(payloads[row.id], row.payload), row.payload) for row in before]
        rows = [{"key": id, "told": payload} for id, payload, former in told if payload != former]
        if rows:
            connection.execute(update(DELIVERIES).where(untold, table.id == bindparam("key")).values(payload=bindparam("told")), rows)


def _with_formers(payload: str, before: str) -> str:
    """What is told of a contact now, with the addresses that it had until now."""
    former, now = json.loads(before), json.loads(payload)
    formers = [one for one in dict.fromkeys([*former.get(FORMERS, ()), former["address"]]) if one not in (None, now["address"])]
    return dumps({**now, FORMERS: formers}) if formers else payload


def end_holds(connection: Connection, ended: Mapping[int, str], now: datetime, run: int | None = None) -> None:
    """Ends holds, each with how it ended, and with a run if it was one that ended it."""
    for number, status in ended.items():
        values = {"status": status, "ended": now.isoformat(timespec="microseconds"), "ended_run": run}
        connection.execute(update(HOLDS).where(HOLDS.c.id == number).values(values))


def fact(connection: Connection, name: str) -> Any:
    """A fact of this state; None if it is not known."""
    found = connection.execute(select(FACTS.c.value).where(FACTS.c.name == name)).scalar()
    return None if found is None else json.loads(found)


def set_fact(connection: Connection, name: str, value: Any) -> None:
    """Notes a fact; None removes it."""
    connection.execute(delete(FACTS).where(FACTS.c.name == name))
    if value is not None:
        connection.execute(insert(FACTS).values(name=name, value=dumps(value)))


def _rename(connection: Connection, run: int, draft: ActivationDraft) -> None:
    for kind, former, name in draft.renames:
        rename(connection, run, kind, former, name)


def rename(connection: Connection, run: int, kind: str, former: str, name: str) -> None:
    """A segment, sequence or destination has another name since a run: whatever has the former one gets it."""
    connection.execute(delete(RENAMES).where(RENAMES.c.kind == kind, RENAMES.c.former == former))
    connection.execute(insert(RENAMES).values(kind=kind, former=former, name=name, run=run))
    if kind == "segment":
        connection.execute(update(SEGMENTS).where(SEGMENTS.c.name == former).values(name=name))
    rename_syncs(connection, kind, former, name)
    if kind in ("segment", "sequence"):
        for table in (ATTACHMENTS, ENROLLMENTS):
            column = table.c[kind]
            connection.execute(update(table).where(column == former).values({kind: name}))
    if kind != "destination":
        held = (HOLDS.c.kind == kind) & (HOLDS.c.name == former)
        connection.execute(update(HOLDS).where(held).values(name=name))
    else:
        connection.execute(update(DELIVERIES).where(DELIVERIES.c.destination == former).values(destination=name))
        connection.execute(update(DESTINATIONS).where(DESTINATIONS.c.name == former).values(name=name))
    if connection.execute(select(PAUSES.c.name).where(PAUSES.c.name == name)).first() is None:
        connection.execute(update(PAUSES).where(PAUSES.c.name == former).values(name=name))
    else:  # somebody paused it by its new name too, before this run said that it has one
        connection.execute(delete(PAUSES).where(PAUSES.c.name == former))


def _merge(connection: Connection, run: int, draft: ActivationDraft) -> None:
    known = ledger.aliases(connection)
    for over in known.keys() - ledger.merged_with(known, draft.aliases).keys():
        connection.execute(delete(ALIASES).where(ALIASES.c.old == over))
    for old, new in draft.aliases.items():
        connection.execute(delete(ALIASES).where(ALIASES.c.old == old))
        connection.execute(insert(ALIASES).values(old=old, new=new, run=run))
        connection.execute(update(ENROLLMENTS).where(ENROLLMENTS.c.person == old).values(person=new))


def _route(connection: Connection, routes: Routes, now: datetime) -> None:
    """Lets what waits go where its sequence goes now.

    What may have arrived at the former destination becomes `unknown`: another one knows no ids of it. So does what is under way
    to a destination that is gone, to which nobody sends any more. What somebody said to try again (no attempts since) goes.
    """
    rows, open_rows = DELIVERIES.c, ENROLLMENTS.c
    for sequence, destination in sorted(routes.sequences.items()):
        elsewhere = (open_rows.sequence == sequence) & (rows.destination != destination)
        query = select(rows.id).join(ENROLLMENTS, open_rows.id == rows.id).where(elsewhere)
        arrived = rows.maybe & (rows.attempts > 0)
        _doubt(connection, query.where(open_rows.outcome == "pending", arrived), now)
        waits = query.where(open_rows.outcome.in_(("pending", "held", "paused", "waiting")))
        values = {"destination": destination, "attempts": 0, "due": now.isoformat(timespec="microseconds"), "error": None}
        connection.execute(update(DELIVERIES).where(rows.id.in_(waits)).values(values))
    lost = select(rows.id).join(ENROLLMENTS, open_rows.id == rows.id)
    _doubt(connection, lost.where(open_rows.outcome == "sending", rows.destination.not_in(sorted(routes.destinations))), now)


def _doubt(connection: Connection, ids: Select[Any], now: datetime) -> None:
    reason = "its destination is not the sequence's any more; it may have arrived there"
    found = [str(id) for id in connection.execute(ids).scalars()]
    for start in range(0, len(found), ROWS_AT_ONCE):
        part = found[start : start + ROWS_AT_ONCE]
        connection.execute(update(DELIVERIES).where(DELIVERIES.c.id.in_(part)).values(lease=None, maybe=True, error=reason))
        values = {"outcome": "unknown", "reason": reason, "changed": now.isoformat(timespec="microseconds")}
        connection.execute(update(ENROLLMENTS).where(ENROLLMENTS.c.id.in_(part)).values(values))


def _attach(connection: Connection, run: int, as_of: datetime, draft: ActivationDraft) -> None:
    for segment, sequence in (*draft.detached, *draft.attached):
        connection.execute(delete(ATTACHMENTS).where(ATTACHMENTS.c.segment == segment, ATTACHMENTS.c.sequence == sequence))
    rows = [
        {"segment": segment, "sequence": sequence, "run": run, "as_of": as_of.isoformat(timespec="microseconds")}
        for segment, sequence in draft.attached
    ]
    if rows:
        connection.execute(insert(ATTACHMENTS), rows)


def _hold(connection: Connection, run: int, now: datetime, draft: ActivationDraft, resolve: Callable[[FileRef], int]) -> None:
    stamp = now.isoformat(timespec="microseconds")
    end_holds(connection, draft.ended, now, run)
    number = int(connection.execute(select(func.coalesce(func.max(HOLDS.c.id), 0))).scalar_one())
    for one in draft.opened:
        number += 1
        connection.execute(
            insert(HOLDS).values(
                id=number,
                run=run,
                kind=one.kind,
                name=one.name,
                status="open",
                since=one.since or stamp,
                opened=stamp,
                detail=dumps(one.detail),
                changes_file=None if one.changes_file is None else resolve(one.changes_file),
            )
        )
