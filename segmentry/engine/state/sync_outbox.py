"""The open rows of syncs as their sender sees them: what is due, what is under way, and what was acknowledged.

A row is under way while `lease` is set: the number of the lease of whoever sends it. Everything a sync asks for is repeat-safe, so what a
sender left under way is due again, in the same batch, and with what the batch must not forget.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from segmentry.engine.canonical_json import dumps
from segmentry.engine.connectors.syncing import THERE
from segmentry.engine.state import same_target
from segmentry.engine.state.ledger import survivors
from segmentry.engine.state.outbox import Watch, stamp
from segmentry.engine.state.schema import SYNC_BATCHES, SYNCED, SYNCS
from segmentry.engine.state.synced import ACTIVE, AWAY, MEMBER, OUT, bar, doubt, note_left, nothing_open

ORDER = ("update", "add", "remove")
"""Who changes is told first, so that an address is free for whoever has it now; who goes last."""

EARLIER = "earlier"
"""In notes: what was kept of a sync's other batches, whose end nobody saw."""

SEVERAL = 5_000

LOOK_AHEAD = 2_000
"""Of so many who are to come in it is seen at once whether they are members by another sync: batch by batch each would be a round."""

_S = SYNCED.c


@dataclass(frozen=True, slots=True)
class OpenRow:
    """An open row that may go now. Times are as the catalog has them."""

    sync: int
    contact: str
    state: str
    address_hash: str | None
    remote_id: str | None
    action: str
    change: str
    wanted: str | None
    wanted_hash: str | None
    payload: str
    opened: str
    attempts: int
    batch: str | None
    maybe: bool
    perhaps_out: bool | None
    former_ids: str | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class SyncParcel:
    """Rows of one sync and one action that go together, by contact; `id` was stored with them, and `notes` is what was kept of it.

    `shared`: the contacts of them whose remote id is another contact's too, by whichever sync to the destination. `moving`: those
    whose remote id was perhaps changed there by another row. `kept`: of who goes, those whom another sync to the target has as members.
    """

    id: str
    rows: tuple[OpenRow, ...]
    notes: Mapping[str, Any]
    shared: frozenset[str] = frozenset()
    moving: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SyncEnding:
    """What becomes of a row under way: its columns from now on. `left`: address hashes that stay out of the target.

    `former`: what the destination called the contact before, where its address was changed there. `out`: what it calls whom it took out;
    `put_in`: whom it put in. `anew`: it was another person there than it was taken for, and is told of once more.
    """

    contact: str
    values: Mapping[str, Any]
    left: tuple[str, ...] = ()
    former: str | None = None
    out: str | None = None
    put_in: str | None = None
    anew: bool = False


_COLUMNS = [_S[name] for name in OpenRow.__dataclass_fields__]


# ---------------------------------------------------------------- what there is


def open_rows(connection: Connection) -> dict[str, int]:
    """How many open rows each destination has, of syncs that go on."""
    query = select(SYNCS.c.destination, func.count()).join(SYNCED, _S.sync == SYNCS.c.id)
    rows = connection.execute(query.where(_S.action.is_not(None), SYNCS.c.status == ACTIVE).group_by(SYNCS.c.destination))
    return {str(name): int(count) for name, count in rows}


def waiting(connection: Connection, destination: str, now: datetime) -> tuple[int, int]:
    """How many open rows of a destination are due, and how many are not due yet."""
    due = func.sum(case((_S.due <= stamp(now), 1), else_=0))
    query = select(func.count(), due).join(SYNCS, _S.sync == SYNCS.c.id)
    rows, ready = connection.execute(
        query.where(SYNCS.c.destination == destination, SYNCS.c.status == ACTIVE, _S.action.is_not(None))
    ).one()
    return int(ready or 0), int(rows) - int(ready or 0)


def is_under_way(connection: Connection, destination: str) -> bool:
    """Whether a sender left changes to a destination under way."""
    query = select(_S.contact).join(SYNCS, _S.sync == SYNCS.c.id).where(_asked(), SYNCS.c.destination == destination, _S.lease.is_not(None))
    return connection.execute(query.limit(1)).first() is not None


def syncs_to(connection: Connection, destination: str) -> dict[int, tuple[str, str, str]]:
    """A destination's syncs that go on, by id: (segment, destination, target)."""
    rows = connection.execute(select(SYNCS).where(SYNCS.c.destination == destination, SYNCS.c.status == ACTIVE).order_by(SYNCS.c.id))
    return {int(row.id): (row.segment, row.destination, row.target) for row in rows}


# ---------------------------------------------------------------- what the sender writes


def abandoned(connection: Connection, destination: str, now: datetime) -> int:
    """Lets rows that an earlier sender left under way be due again; how many. Whoever holds the lease calls it before the first claim."""
    mine = _S.sync.in_(select(SYNCS.c.id).where(SYNCS.c.destination == destination))
    found = connection.execute(
        update(SYNCED).where(_asked(), mine, _S.lease.is_not(None)).values(lease=None, revision=_S.revision + 1)
    ).rowcount
    close_stopped(connection, destination, now)
    same_target.look_anew(connection, mine)
    return found


def claim(
    connection: Connection,
    lease: int,
    syncs: Sequence[int],
    limit: int,
    namespace: str,
    now: datetime,
    actions: Sequence[str] = ORDER,
    *,
    noted: bool = False,
    readable: bool = False,
) -> SyncParcel | None:
    """The next rows that go together, marked as under way; None if nothing is due. `noted`: notes say who may have been removed.

    `readable`: the destination has members, and several syncs to one target share them (`same_target`).
    A batch that was asked for before goes again with the same rows. Where some of them are settled, it goes on only if something was
    kept of it (a job that knows the others too); else its rows go in another one. Rows that were asked for in another batch get what
    was kept of the sync's other batches: their jobs may still be under way.
    """
    for action in actions:
        for sync in syncs:
            shared = same_target.sharing(connection, sync) if readable and action != "update" else [sync]
            ready = and_(_ready(sync, now), _S.action == action, *_unhindered(action, shared, syncs, now))
            parcel = _stored(connection, ready, limit, namespace)
            if readable and action == "add" and (parcel is None or not any(parcel.notes.values())):
                coming = _next_rows(connection, ready, limit) if parcel is None else parcel.rows
                if same_target.join(connection, shared, coming, stamp(now)):
                    if "update" not in actions:
                        return None
                    same_target.join(connection, shared, _next_rows(connection, ready, LOOK_AHEAD), stamp(now))
                    return claim(connection, lease, syncs, limit, namespace, now, actions, noted=noted, readable=readable)
            parcel = parcel or _fresh(connection, ready, limit, namespace)
            if parcel is not None:
                others = [number for number in shared[1:] if number in syncs] if action == "remove" else []
                return _taken(connection, lease, _kept(connection, parcel, others), now, perhaps=action != "remove" or not noted)
    return None


def _unhindered(action: str, shared: Sequence[int], syncs: Sequence[int], now: datetime) -> Iterator[ColumnElement[bool]]:
    """Of rows of one action of a sync those that need not wait for another's; `shared`: the sync, and the others to its target."""
    sync = shared[0]
    if action != "update":  # by which address somebody is there is known once the other is answered
        yield or_(_S.remote_id.is_(None), ~_is_moving(sync))
    if action == "add":  # under a new address nobody would be found who is to go under the former one
        yield or_(_S.remote_id.is_(None), ~_is_leaving(sync, syncs, now))
        yield ~same_target.is_taken([number for number in shared if number in syncs])
        yield ~_changes_hands(syncs)
    if action == "remove" and len(shared) > 1:
        yield ~same_target.is_going(shared[1:])


def keep_notes(connection: Connection, batch: str, notes: Mapping[str, Any]) -> None:
    """Keeps what a batch must not forget. Who is to be removed by it and is there now may be removed from now on."""
    connection.execute(update(SYNC_BATCHES).where(SYNC_BATCHES.c.id == batch).values(notes=dumps(dict(notes))))
    for part in _parts(list(notes.get(THERE, ()))):
        removed = and_(_S.batch == batch, _S.action == "remove", _S.change.in_(part))
        connection.execute(update(SYNCED).where(removed).values(maybe=True, perhaps_out=True))
        doubt(connection, connection.execute(select(_S.sync, _S.remote_id).where(removed)).all())


def record(
    connection: Connection, lease: int, sync: int, batch: str, endings: Sequence[SyncEnding], now: datetime, *, readable: bool = False
) -> None:
    """Writes down what became of rows under way. Rows that are not this sender's any more, or are gone, stay as they are.

    `readable`: as for `claim`.
    """
    at = stamp(now)
    mine = and_(_S.sync == sync, _S.contact == bindparam("key"), _S.lease == lease, _S.batch == batch)
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one in endings:
        by_columns.setdefault(tuple(sorted(one.values)), []).append(
            {"key": one.contact, **{f"new_{name}": value for name, value in one.values.items()}}
        )
    for names, told in by_columns.items():
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        connection.execute(update(SYNCED).where(mine).values(changed=at, revision=_S.revision + 1, lease=None, **values), told)
    same_target.look_anew(connection, and_(_S.sync == sync, _S.batch == batch))
    gone = [one for one in endings if one.left]
    bar(connection, sync, sorted({hash for one in gone for hash in one.left}), [one.contact for one in gone], now)
    for one in endings:
        if one.left:
            note_left(connection, sync, one.left, str(one.values.get("reason") or ""), at)
        if one.former is not None:
            _readdress(connection, sync, one)
        if one.out is not None and readable:
            same_target.out_of_target(connection, sync, one.out, now)
    if readable:
        same_target.beyond_doubt(connection, sync, [one.put_in for one in endings])
    if connection.execute(select(_S.contact).where(_S.batch == batch).limit(1)).first() is None:
        connection.execute(delete(SYNC_BATCHES).where(SYNC_BATCHES.c.id == batch))


def _readdress(connection: Connection, sync: int, ending: SyncEnding) -> None:
    """Of a contact whose address was changed at the destination, what its other syncs to it call the contact from now on.

    Where that is another name, nobody has the former one: whoever else was called so, and is not a member, is there by no name any more.
    """
    values = {name: ending.values[name] for name in ("remote_id", "address_hash")}
    syncs = set(connection.execute(_same_destination(sync)).scalars())
    named = select(_S.sync, _S.contact, _S.state, _S.lease).where(_S.remote_id == ending.former)
    known = [row for row in connection.execute(named).all() if row.sync in syncs and (row.sync, row.contact) != (sync, ending.contact)]
    persons = survivors(connection) if any(row.contact != ending.contact for row in known) else {}
    seen = case((_S.state == AWAY, values["address_hash"]), else_=_S.wanted_hash)
    for row in known:
        theirs = update(SYNCED).where(_S.sync == row.sync, _S.contact == row.contact)
        same = persons.get(row.contact, row.contact) == persons.get(ending.contact, ending.contact)  # also under a key that was merged
        if same:
            # what was acknowledged there was so of the former address
            connection.execute(theirs.values(**values, wanted_hash=seen, fingerprint=None, revision=_S.revision + 1))
        elif not same and row.state != MEMBER and row.lease is None and values["remote_id"] != ending.former:
            connection.execute(theirs.values(remote_id=None, revision=_S.revision + 1))
    if values["remote_id"] == ending.former:
        return
    besides = select(_S.sync, _S.contact, _S.former_ids).where(_S.former_ids.is_not(None), _S.lease.is_(None))
    for number, contact, formers in connection.execute(besides).all():
        names = formers.splitlines()
        if number in syncs and ending.former in names:
            called = "\n".join(str(values["remote_id"]) if name == ending.former else name for name in names)
            mine = and_(_S.sync == number, _S.contact == contact)
            connection.execute(update(SYNCED).where(mine).values(former_ids=called, revision=_S.revision + 1))


def _others(sync: int) -> Select[Any]:
    """The ids of a sync's destination's other syncs."""
    return _same_destination(sync).where(SYNCS.c.id != sync)


def _same_destination(sync: int) -> Select[Any]:
    """The ids of all syncs to a sync's destination."""
    one = SYNCS.alias()
    return select(SYNCS.c.id).join(one, and_(one.c.id == sync, one.c.destination == SYNCS.c.destination))


def _is_moving(sync: int) -> ColumnElement[bool]:
    """Whether a contact's address may have been changed by another sync, which knows only when it is answered."""
    other = SYNCED.alias().c
    begun = and_(other.action == "update", other.maybe, other.lease.is_(None), other.wanted_hash != other.address_hash)
    return exists().where(other.sync.in_(_others(sync)), other.contact == _S.contact, begun)


def _is_leaving(sync: int, syncs: Sequence[int], now: datetime) -> ColumnElement[bool]:
    """Whether a contact is to go from another of the syncs now, by the address that it is there with."""
    other = SYNCED.alias().c
    due = and_(other.action == "remove", other.due <= stamp(now), other.stop.is_(None))
    return exists().where(other.sync.in_(syncs), other.sync != sync, other.contact == _S.contact, due)


def _changes_hands(syncs: Sequence[int]) -> ColumnElement[bool]:
    """Whether the address that a contact is to have there, or gives up, is another's who is being added: as whom is known by the answer.

    Else the one would be found under it as a person who has the other's address a moment later.
    """
    there = SYNCED.alias()
    other = there.c
    added = and_(other.sync.in_(syncs), other.action == "add", other.lease.is_not(None))
    moves = and_(other.remote_id.is_not(None), other.wanted_hash != other.address_hash, other.contact != _S.contact)
    given_up = select(other.sync).where(other.address_hash == _S.wanted_hash, moves, added)
    given_up = given_up.with_hint(there, "INDEXED BY ix_synced_hash", "sqlite")
    # asked once for all: there is no index by which it is found for each
    comes = select(other.wanted_hash).where(other.batch > "", added)
    gets_it = and_(_S.remote_id.is_not(None), _S.wanted_hash != _S.address_hash, _S.address_hash.in_(comes))
    return or_(given_up.exists(), gets_it)


def close_stopped(connection: Connection, destination: str, now: datetime) -> int:
    """Ends open rows that a later run stopped while they were under way; how many.

    Who may have been removed and is in the segment again is added by the next run.
    """
    mine = _S.sync.in_(select(SYNCS.c.id).where(SYNCS.c.destination == destination))
    ended = and_(_asked(), mine, _S.stop.is_not(None), _S.lease.is_(None))
    return connection.execute(update(SYNCED).where(ended).values(nothing_open(now))).rowcount


def refusals(connection: Connection, syncs: Sequence[int], limit: int) -> list[tuple[str, int]]:
    """Why rows are not there as they should be, the most frequent reasons first, with how many."""
    why = and_(_S.sync.in_(list(syncs)), _S.state != OUT, _S.reason.is_not(None))
    query = select(_S.reason, func.count()).where(why).group_by(_S.reason).order_by(func.count().desc(), _S.reason).limit(limit)
    return [(str(reason), int(count)) for reason, count in connection.execute(query)]


def _stored(connection: Connection, ready: ColumnElement[bool], limit: int, namespace: str) -> SyncParcel | None:
    """A batch that was asked for before, if it can go as it is. The rows of one that can't are loose again."""
    while True:
        batch = connection.execute(select(_S.batch).where(ready, _S.batch.is_not(None)).limit(1)).scalar()
        if batch is None:
            return None
        rows = [OpenRow(*row) for row in connection.execute(select(*_COLUMNS).where(ready, _S.batch == batch).order_by(_S.contact))]
        kept = connection.execute(select(SYNC_BATCHES.c.notes).where(SYNC_BATCHES.c.id == batch)).scalar()
        notes = json.loads(kept) if kept is not None else {}
        parcel = _parcel(rows, notes, namespace)
        if notes or (parcel.id == batch and len(rows) <= limit):
            return SyncParcel(str(batch), parcel.rows, notes)
        connection.execute(update(SYNCED).where(_S.batch == batch, _S.lease.is_(None)).values(batch=None, revision=_S.revision + 1))
        connection.execute(delete(SYNC_BATCHES).where(SYNC_BATCHES.c.id == batch))


def _fresh(connection: Connection, ready: ColumnElement[bool], limit: int, namespace: str) -> SyncParcel | None:
    """Rows that are in no batch, those due longest first."""
    rows = _next_rows(connection, ready, limit)
    earlier = _earlier(connection, rows[0].sync) if any(row.maybe for row in rows) else []
    if earlier:  # for whose end nobody else is to wait
        return _parcel([row for row in rows if row.maybe], {EARLIER: earlier}, namespace)
    return _parcel(rows, {}, namespace) if rows else None


def _next_rows(connection: Connection, ready: ColumnElement[bool], limit: int) -> list[OpenRow]:
    chosen = select(*_COLUMNS).where(ready, _S.batch.is_(None)).order_by(_S.due, _S.contact).limit(limit)
    return [OpenRow(*row) for row in connection.execute(chosen)]


def _earlier(connection: Connection, sync: int) -> list[Mapping[str, Any]]:
    """What was kept of a sync's batches whose end nobody saw. Those that have no rows any more are gone by it."""
    mine = SYNC_BATCHES.c.sync == sync
    query = select(SYNC_BATCHES.c.notes).where(mine, SYNC_BATCHES.c.notes != dumps({})).order_by(SYNC_BATCHES.c.made, SYNC_BATCHES.c.id)
    found: list[Mapping[str, Any]] = []
    for text in connection.execute(query).scalars():
        notes = json.loads(text)
        found += [*notes.pop(EARLIER, ()), notes]
    used = exists().where(_S.batch == SYNC_BATCHES.c.id)
    connection.execute(delete(SYNC_BATCHES).where(mine, ~used))
    return [one for place, one in enumerate(found) if one and one not in found[:place]]


def _parcel(rows: Sequence[OpenRow], notes: Mapping[str, Any], namespace: str) -> SyncParcel:
    """A batch of one row has its id; else a UUIDv5 (RFC 9562) of its rows' ids, so the same rows are the same batch."""
    ordered = tuple(sorted(rows, key=lambda row: row.contact))
    ids = [row.change for row in ordered]
    return SyncParcel(ids[0] if len(ids) == 1 else str(uuid5(UUID(namespace), dumps(["batch", *sorted(ids)]))), ordered, notes)


def _named(connection: Connection, parcel: SyncParcel) -> SyncParcel:
    """The parcel, with the names by which other syncs know who comes in, also if they heard them since its rows were opened."""
    strange = {row.contact for row in parcel.rows if row.action == "add" and row.remote_id is None}
    sync = parcel.rows[0].sync
    others = list(connection.execute(_others(sync)).scalars()) if strange else []
    known = and_(_S.sync.in_(others), _S.remote_id.is_not(None), _S.address_hash.is_not(None))
    query = select(_S.contact, _S.remote_id, _S.address_hash, _S.former_ids).where(known).order_by(_S.changed)
    parts = _parts(sorted(strange)) if others else ()
    names = {row.contact: row for part in parts for row in connection.execute(query.where(_S.contact.in_(part)))}
    for contact, row in names.items():
        mine = and_(_S.sync == sync, _S.contact == contact)
        connection.execute(update(SYNCED).where(mine).values(_heard(row)))
    found = [replace(row, **_heard(names[row.contact])) if row.contact in names else row for row in parcel.rows]
    return replace(parcel, rows=tuple(found))


def _heard(row: Any) -> dict[str, Any]:
    """What of another sync's row holds for one that knows no name of the contact."""
    former = {} if row.former_ids is None else {"former_ids": row.former_ids}
    return {"remote_id": row.remote_id, "address_hash": row.address_hash, **former}


def _taken(connection: Connection, lease: int, parcel: SyncParcel, now: datetime, *, perhaps: bool) -> SyncParcel:
    parcel = _named(connection, parcel)
    sync = parcel.rows[0].sync
    known = connection.execute(select(SYNC_BATCHES.c.id).where(SYNC_BATCHES.c.id == parcel.id)).first()
    if known is None:
        connection.execute(insert(SYNC_BATCHES).values(id=parcel.id, sync=sync, notes=dumps(dict(parcel.notes)), made=stamp(now)))
    for part in _parts([row.contact for row in parcel.rows]):
        maybe = {"maybe": True} if perhaps else {}
        if perhaps and parcel.rows[0].action == "remove":
            maybe["perhaps_out"] = True
        values = {"lease": lease, "batch": parcel.id, "attempts": _S.attempts + 1, "revision": _S.revision + 1, **maybe}
        connection.execute(update(SYNCED).where(_S.sync == sync, _S.contact.in_(part)).values(values))
    return replace(parcel, shared=_shared(connection, parcel), moving=_perhaps_moved(connection, parcel))


def _kept(connection: Connection, parcel: SyncParcel, others: Sequence[int]) -> SyncParcel:
    """The parcel, with those of it whom one of the other syncs to its target has as members.

    Not whom the same sync has as another contact too: a `mirror`, which has no others, has to take out who is suppressed.
    """
    going = [row for row in parcel.rows if row.state == MEMBER and not row.perhaps_out]
    names = same_target.staying(connection, others, (row.remote_id for row in going))
    return replace(parcel, kept=frozenset(row.contact for row in going if row.remote_id in names))


def _shared(connection: Connection, parcel: SyncParcel) -> frozenset[str]:
    """The contacts of a parcel whom the destination knows as other contacts too: who is a member there, or may be, or is to be."""
    mine = {row.contact: row.remote_id for row in parcel.rows if row.remote_id is not None}
    syncs = set(connection.execute(_same_destination(parcel.rows[0].sync)).scalars())
    # the syncs are no part of the query: SQLite would rather go through all of their rows than look the names up
    query = select(_S.sync, _S.contact, _S.remote_id).where(or_(_S.state == MEMBER, _S.maybe, _S.action.is_not(None)))
    named = (connection.execute(query.where(_S.remote_id.in_(part))) for part in _parts(list(dict.fromkeys(mine.values()))))
    found = [row for rows in named for row in rows if row.sync in syncs]
    if all(mine.get(row.contact) == row.remote_id for row in found) and len({row.remote_id for row in found}) == len(mine):
        return frozenset()  # each is its own name's only one
    persons = survivors(connection)
    names: dict[str, set[str]] = {}
    for row in found:
        names.setdefault(row.remote_id, set()).add(persons.get(row.contact, row.contact))
    return frozenset(contact for contact, name in mine.items() if names.get(name, set()) - {persons.get(contact, contact)})


def _perhaps_moved(connection: Connection, parcel: SyncParcel) -> frozenset[str]:
    """The contacts of a parcel that nobody may be called so any more, as another row may have changed the address there."""
    names = list(dict.fromkeys(row.remote_id for row in parcel.rows if row.remote_id is not None))
    syncs = set(connection.execute(_same_destination(parcel.rows[0].sync)).scalars())
    # what is open and may have been done, or ended so: then what was told is kept, of a member only where that was another address
    moving = or_(_S.wanted_hash != _S.address_hash, and_(_S.action.is_(None), _S.payload.is_not(None), _S.state == MEMBER))
    query = select(_S.sync, _S.contact, _S.remote_id).where(_S.maybe, moving)
    found = [row for part in _parts(names) for row in connection.execute(query.where(_S.remote_id.in_(part))) if row.sync in syncs]
    rows: dict[str, set[tuple[int, str]]] = {}
    for row in found:
        rows.setdefault(row.remote_id, set()).add((row.sync, row.contact))
    return frozenset(row.contact for row in parcel.rows if rows.get(row.remote_id or "", set()) - {(row.sync, row.contact)})


class SyncWatch(Watch):
    """Looks, immediately before each request, whether its rows may still go."""

    def _rows(self) -> Select[Any]:
        mine = and_(_S.batch == bindparam("batch"), _S.lease == bindparam("lease"), _S.stop.is_(None))
        return select(func.count()).select_from(SYNCED).where(mine)


def _asked() -> ColumnElement[bool]:
    """What is in a batch, few of all: the index on batches finds it."""
    return _S.batch > ""


def _ready(sync: int, now: datetime) -> ColumnElement[bool]:
    return and_(_S.sync == sync, _S.due <= stamp(now), _S.lease.is_(None), _S.stop.is_(None), _S.payload.is_not(None))


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), SEVERAL):
        yield values[start : start + SEVERAL]
