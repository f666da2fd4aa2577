"""What syncs' destinations acknowledged, and what a run makes of it: the open rows that bring them in step.

A sender may answer rows while a run computes. So a run's writes name the `revision` of each row that they were decided on, and
change nothing where it is another by now: the next run decides on what is so then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, delete, func, insert, null, or_, select, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.state.frames import insert_frame, read_frame
from segmentry.engine.state.schema import LEFT, SYNC_BATCHES, SYNCED, SYNCS

UNCONFIRMED, ACTIVE, DETACHED = "unconfirmed", "active", "detached"
MEMBER, OUT, BASELINE, AWAY, REJECTED, SKIPPED = "member", "out", "baseline", "left", "rejected", "skipped"
ADD, UPDATE, REMOVE = "add", "update", "remove"

EXPORTED = "files"
"""The target of what is exported in whole files."""

MANY = 100_000
"""Contacts that are asked for by name, at most."""

SEVERAL = 5_000
"""Values named in one statement; SQLite takes 32,766."""

_TEXT, _COUNT = pl.String(), pl.Int64()
_KINDS = {
    **dict.fromkeys(("sync", "revision", "attempts", "lease"), _COUNT),
    **dict.fromkeys(("maybe", "perhaps_out", "left_before"), pl.Boolean()),
}
ROWS = pl.Schema({column.name: _KINDS.get(column.name, _TEXT) for column in SYNCED.columns})
"""The rows of a sync as a frame; times are text, as the catalog has them."""

CALLED = pl.Schema({name: ROWS[name] for name in ("contact", "remote_id", "address_hash", "former_ids", "changed")})

LAST_SEEN = pl.Schema({name: ROWS[name] for name in ("contact", "wanted_hash", "remote_id")})
"""Who left, the hash of the address that each was last seen with, where that is another than before, and what the destination calls it."""

NAMESAKES = pl.Schema({name: ROWS[name] for name in ("sync", "contact", "remote_id", "state", "maybe")})

OPEN = ("action", "change", "wanted", "wanted_hash", "payload", "opened", "due", "grace", "batch", "stop")
"""The columns of an open row that are empty without one."""

NAMED = ("former_ids", "left_before")
"""The columns that say who a contact was before it stood for another one's person."""

TOLD = ("wanted_hash", "payload")
"""Those of them that stay with who was perhaps added, or given another address: they find them."""

ANEW = "anew"
"""In a payload: somebody said that the contact comes back, also where the destination has nobody by its name any more."""

COMES_BACK = dumps({ANEW: True})[1:-1]
"""That as text; a field may be called so too, which `marked` tells apart."""

SHARED_NAME = "shared"
"""In a payload: what the destination calls the contact it calls another one too."""

LOOKED = "looked"
"""In a payload: whom the address was known of is another person there by now."""

_S = SYNCED.c


@dataclass(frozen=True)
class SyncRecord:
    """One sync as the catalog has it."""

    id: int
    segment: str
    destination: str
    target: str
    mode: str
    status: str
    answer: str | None
    since: str
    figures: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.segment, self.destination, self.target)


@dataclass(frozen=True)
class SyncDraft:
    """What a run's commit makes of one sync.

    `id` None begins one. `written` are rows to insert or to change, as `ROWS` (of rows that are there with the revision they were
    read with, of new ones with -1), `named` those of which only `NAMED` changes, whatever is open in them, `removed` rows to delete
    (`contact`, `revision`), and `replaced` those in whose place another contact's row goes on. `stops`: contacts whose row, if it is under
    way, must not go any more, and why. `rekeyed`: contacts that go on under another key. `left`: address hashes that stay out.
    """

    id: int | None
    segment: str
    destination: str
    target: str
    mode: str
    status: str
    answer: str | None
    figures: Mapping[str, Any] = field(default_factory=dict)
    written: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ROWS))
    named: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={name: ROWS[name] for name in ("contact", "revision", *NAMED)}))
    removed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"contact": _TEXT, "revision": _COUNT}))
    replaced: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"contact": _TEXT, "revision": _COUNT}))
    stops: Mapping[str, str] = field(default_factory=dict)
    rekeyed: Sequence[tuple[str, str]] = ()
    left: Sequence[str] = ()


def marked(payload: str, *marks: str) -> bool:
    """Whether a payload has one of these marks, and not only a field that is called so."""
    return any(f'"{mark}":true' in payload for mark in marks) and any(json.loads(payload).get(mark) is True for mark in marks)


# ---------------------------------------------------------------- reading


def syncs(connection: Connection, *, exports: bool = False) -> list[SyncRecord]:
    """Every sync there ever was, the oldest first; `exports`: what is exported in whole files instead, of which no contact has a row."""
    return [
        SyncRecord(
            row.id,
            row.segment,
            row.destination,
            row.target,
            row.mode,
            row.status,
            row.answer,
            row.since,
            json.loads(row.figures),
        )
        for row in connection.execute(select(SYNCS).where((SYNCS.c.target == EXPORTED) == exports).order_by(SYNCS.c.id))
    ]


def rows_of(connection: Connection, sync: int) -> pl.DataFrame:
    """Every row of a sync, as `ROWS`. Payloads only of what may have been done and of who was said to come back; others are made anew."""
    payload = case((or_(_S.maybe, _S.payload.like(f"%{COMES_BACK}%")), _S.payload), else_=null())
    columns = [payload.label(name) if name == "payload" else _S[name] for name in ROWS]
    return read_frame(connection, select(*columns).where(_S.sync == sync).order_by(_S.contact), ROWS)


def left_hashes(connection: Connection, numbers: Sequence[int] | Select[Any]) -> pl.Series:
    """The address hashes of those who left there by some syncs."""
    found = connection.execute(select(LEFT.c.address_hash).where(LEFT.c.sync.in_(numbers)).distinct()).scalars()
    return pl.Series("address_hash", list(found), _TEXT)


def away(connection: Connection, numbers: Sequence[int]) -> pl.DataFrame:
    """The contacts who left there by some syncs, under the keys that they had then, as `LAST_SEEN`."""
    query = select(*(_S[name] for name in LAST_SEEN)).where(_S.sync.in_(list(numbers)), _S.state == AWAY)
    return read_frame(connection, query, LAST_SEEN) if numbers else LAST_SEEN.to_frame()


def called(connection: Connection, numbers: Sequence[int], contacts: Sequence[str]) -> pl.DataFrame:
    """What the destination of some syncs calls contacts, and under which address hash, as `CALLED`; what was heard last comes last.

    Also others who have one of their address hashes; and everybody, where the contacts are too many to be asked for.
    """
    known = and_(_S.sync.in_(list(numbers)), _S.remote_id.is_not(None), _S.address_hash.is_not(None))
    query = select(*(_S[name] for name in CALLED)).where(known)

    def named(column: ColumnElement[Any], values: Sequence[str]) -> pl.DataFrame:
        return pl.concat(
            [pl.DataFrame(schema=CALLED), *(read_frame(connection, query.where(column.in_(part)), CALLED) for part in _parts(values))]
        )

    if len(contacts) > MANY:
        return read_frame(connection, query, CALLED).sort("changed", maintain_order=True)
    mine = named(_S.contact, contacts)
    found = pl.concat([mine, named(_S.address_hash, mine["address_hash"].unique().to_list())])
    return found.unique(maintain_order=True).sort("changed", maintain_order=True)


def perhaps_moved(connection: Connection, numbers: Sequence[int], contacts: Sequence[str]) -> dict[tuple[str, str], str]:
    """Of contacts whose address some syncs may have changed at their destination what was told, by contact and the former remote id."""
    told = and_(_S.sync.in_(list(numbers)), _S.maybe, _S.payload.is_not(None), _S.remote_id.is_not(None))
    query = select(_S.contact, _S.remote_id, _S.payload).where(told)
    found = [row for part in _parts(contacts) for row in connection.execute(query.where(_S.contact.in_(part)))]
    return {(str(row.contact), str(row.remote_id)): str(row.payload) for row in found}


def namesakes(connection: Connection, numbers: Sequence[int], names: Sequence[str]) -> pl.DataFrame:
    """Whom the destination of some syncs calls by some names, as `NAMESAKES`; everybody, where the names are too many to be asked for."""
    query = select(*(_S[name] for name in NAMESAKES))
    # the syncs are no part of the query: SQLite would rather go through all of their rows than look the names up
    whole = query.where(_S.remote_id.is_not(None))
    queries = [whole] if len(names) > MANY else [query.where(_S.remote_id.in_(part)) for part in _parts(names)]
    found = pl.concat([pl.DataFrame(schema=NAMESAKES), *(read_frame(connection, one, NAMESAKES) for one in queries)])
    return found.filter(pl.col("sync").is_in(list(numbers)))


def same_target(sync: int) -> Select[Any]:
    """The ids of all syncs with a sync's target, its own among them: of other segments, or of names that are gone."""
    one = SYNCS.alias()
    same = and_(one.c.id == sync, one.c.destination == SYNCS.c.destination, one.c.target == SYNCS.c.target)
    return select(SYNCS.c.id).join(one, same)


def open_counts(connection: Connection) -> dict[int, dict[str, int]]:
    """Of each sync how many rows are open, by action."""
    query = select(_S.sync, _S.action, func.count()).where(_S.action.is_not(None)).group_by(_S.sync, _S.action)
    found: dict[int, dict[str, int]] = {}
    for sync, action, count in connection.execute(query):
        found.setdefault(int(sync), {})[str(action)] = int(count)
    return found


def state_counts(connection: Connection) -> dict[int, dict[str, int]]:
    """Of each sync how many contacts it has, by state."""
    found: dict[int, dict[str, int]] = {}
    for sync, state, count in connection.execute(select(_S.sync, _S.state, func.count()).group_by(_S.sync, _S.state)):
        found.setdefault(int(sync), {})[str(state)] = int(count)
    return found


# ---------------------------------------------------------------- what a commit makes so


def apply_syncs(connection: Connection, drafts: Sequence[SyncDraft], now: datetime) -> None:
    """Makes it so, within the run's own transaction."""
    stamp = now.isoformat(timespec="microseconds")
    for draft in drafts:
        number = _record(connection, draft, stamp)
        taken = _rekey(connection, number, draft)
        _stop(connection, number, draft.stops)
        _delete(connection, number, draft.removed)
        _write(connection, number, draft.written.filter(~pl.col("contact").is_in(taken)), stamp)
        _name(connection, number, draft.named.filter(~pl.col("contact").is_in(taken)))
        note_left(connection, number, draft.left, None, stamp)
        bar(connection, number, draft.left, draft.written.filter(pl.col("state") == AWAY)["contact"].to_list(), now)


def note_left(connection: Connection, sync: int, hashes: Sequence[str], reason: str | None, stamp: str) -> None:
    """Notes addresses that stay out of a sync's target."""
    for part in _parts(hashes):
        known = set(connection.execute(select(LEFT.c.address_hash).where(LEFT.c.sync == sync, LEFT.c.address_hash.in_(part))).scalars())
        fresh = [{"sync": sync, "address_hash": one, "since": stamp, "reason": reason} for one in part if one not in known]
        if fresh:
            connection.execute(insert(LEFT), fresh)


def bar(connection: Connection, sync: int, hashes: Sequence[str], contacts: Sequence[str], now: datetime) -> None:
    """Who waits to be added to the sync's target by any sync does not come in who left it a moment ago, nor whoever has that address."""
    coming = or_(_S.action == ADD, taken_for_member())
    waiting = and_(_S.sync.in_(same_target(sync)), coming, _S.lease.is_(None))
    for column, values in ((_S.wanted_hash, hashes), (_S.contact, contacts)):
        for part in _parts(values):
            connection.execute(update(SYNCED).where(waiting, column.in_(part)).values(nothing_open(now)))


def taken_for_member() -> ColumnElement[bool]:
    """Whether an addition is told as a change, as somebody with the address is a member: whether it is that one is not heard yet."""
    return and_(_S.action == UPDATE, _S.state != MEMBER)


def nothing_open(now: datetime) -> dict[str, Any]:
    """The columns of rows of which nothing is open any more."""
    moved = and_(_S.action == UPDATE, _S.wanted_hash != _S.address_hash)
    # by it, who was perhaps added or given another address is found
    found = and_(_S.maybe, or_(_S.state != MEMBER, moved))
    told = {name: case((found, _S[name]), else_=null()) for name in TOLD}
    stamp = now.isoformat(timespec="microseconds")
    return {**dict.fromkeys(OPEN), **told, "attempts": 0, "revision": _S.revision + 1, "changed": stamp}


def rename_syncs(connection: Connection, kind: str, former: str, name: str) -> None:
    """Takes syncs of a segment, or to a destination, along to its new name."""
    column = {"segment": SYNCS.c.segment, "destination": SYNCS.c.destination}.get(kind)
    if column is not None:
        connection.execute(update(SYNCS).where(column == former).values({column.name: name}))


def _record(connection: Connection, draft: SyncDraft, stamp: str) -> int:
    """The sync's id, with its row as the draft says."""
    values = {
        "mode": draft.mode,
        "status": draft.status,
        "answer": draft.answer,
        "figures": dumps(draft.figures),
    }
    if draft.id is not None:
        connection.execute(update(SYNCS).where(SYNCS.c.id == draft.id).values(values))
        return draft.id
    number = int(connection.execute(select(func.coalesce(func.max(SYNCS.c.id), 0))).scalar_one()) + 1
    who = {"segment": draft.segment, "destination": draft.destination, "target": draft.target}
    connection.execute(insert(SYNCS).values(id=number, since=stamp, **who, **values))
    return number


def _rekey(connection: Connection, sync: int, draft: SyncDraft) -> list[str]:
    """Rows go on under other keys, in the place of those that are replaced. Those of which that can't be are given, old keys and new.

    What was decided of them is not so: a row is there, or one of them is under way by now, or another than was read.
    """
    gives_way = dict(draft.replaced.iter_rows())
    seen = {
        contact: revision for rows in (draft.written, draft.named) for contact, revision in rows.select("contact", "revision").iter_rows()
    }
    taken = []
    for former, contact in draft.rekeyed:
        own, other = (
            connection.execute(select(_S.revision, _S.lease).where(_S.sync == sync, _S.contact == key)).first() for key in (former, contact)
        )
        free = own is not None and own.lease is None and own.revision == seen.get(contact, own.revision)
        if not free or not (other is None or (other.lease is None and other.revision == gives_way.get(contact))):
            taken += [former, contact]
            continue
        connection.execute(delete(SYNCED).where(_S.sync == sync, _S.contact == contact))
        connection.execute(update(SYNCED).where(_S.sync == sync, _S.contact == former).values(contact=contact))
    return taken


def _delete(connection: Connection, sync: int, rows: pl.DataFrame) -> None:
    """Deletes rows that are as they were read, and not under way."""
    mine = and_(_S.sync == sync, _S.contact == bindparam("key"), _S.revision == bindparam("seen"), _S.lease.is_(None))
    for part in _slices(rows):
        connection.execute(delete(SYNCED).where(mine), [{"key": one, "seen": revision} for one, revision in part.iter_rows()])


def _stop(connection: Connection, sync: int, stops: Mapping[str, str]) -> None:
    if stops:
        under_way = and_(_S.sync == sync, _S.contact == bindparam("key"), _S.lease.is_not(None))
        told = [{"key": contact, "why": why} for contact, why in stops.items()]
        connection.execute(update(SYNCED).where(under_way).values(stop=bindparam("why")), told)


def _write(connection: Connection, sync: int, frame: pl.DataFrame, stamp: str) -> None:
    """Inserts new rows, and changes those that are as they were read and not under way."""
    rows = frame.with_columns(sync=pl.lit(sync, _COUNT), changed=pl.lit(stamp))
    insert_frame(connection, SYNCED, rows.filter(pl.col("revision") < 0).with_columns(revision=pl.lit(0, _COUNT)))
    names = [name for name in ROWS if name not in ("sync", "contact", "revision", "lease")]
    mine = and_(_S.sync == sync, _S.contact == bindparam("key"), _S.revision == bindparam("seen"), _S.lease.is_(None))
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    change = update(SYNCED).where(mine).values(revision=_S.revision + 1, **values)
    for part in _slices(rows.filter(pl.col("revision") >= 0)):
        told = part.select(
            pl.col("contact").alias("key"), pl.col("revision").alias("seen"), *(pl.col(name).alias(f"new_{name}") for name in names)
        )
        connection.execute(change, told.to_dicts())


def _name(connection: Connection, sync: int, frame: pl.DataFrame) -> None:
    """Notes who contacts were before, in rows that are as they were read and not under way."""
    mine = and_(_S.sync == sync, _S.contact == bindparam("key"), _S.revision == bindparam("seen"), _S.lease.is_(None))
    change = update(SYNCED).where(mine).values(revision=_S.revision + 1, **{name: bindparam(f"new_{name}") for name in NAMED})
    for part in _slices(frame):
        told = part.select(
            pl.col("contact").alias("key"), pl.col("revision").alias("seen"), *(pl.col(name).alias(f"new_{name}") for name in NAMED)
        )
        connection.execute(change, told.to_dicts())


# ---------------------------------------------------------------- forgetting


def doubt(connection: Connection, rows: Iterable[Any]) -> None:
    """Who was perhaps taken out by a sync (`sync`, `remote_id`: the destination's name) perhaps is no member by others to its target."""
    for row in rows:
        if row.remote_id is None:  # a receiver of events has no names for anybody
            continue
        member = and_(_S.remote_id == row.remote_id, _S.state == MEMBER, _S.lease.is_(None))
        others = and_(_S.sync.in_(same_target(row.sync)), _S.sync != row.sync)
        connection.execute(update(SYNCED).where(member, others).values(perhaps_out=True, revision=_S.revision + 1))


def erase(connection: Connection, contacts: Sequence[str]) -> int:
    """Removes every row of forgotten contacts, and keeps the address hashes of those who left; how many rows went."""
    removed = 0
    for part in _parts(contacts):
        columns = _S.sync, _S.address_hash, _S.wanted_hash, _S.changed, _S.reason
        for row in connection.execute(select(*columns).where(_S.contact.in_(part), _S.state == AWAY)).all():
            hashes = [one for one in (row.address_hash, row.wanted_hash) if one is not None]
            note_left(connection, row.sync, hashes, row.reason, row.changed)
        doubted = select(_S.sync, _S.remote_id).where(_S.contact.in_(part), _S.perhaps_out)
        doubt(connection, connection.execute(doubted).all())
        removed += connection.execute(delete(SYNCED).where(_S.contact.in_(part))).rowcount
    batches = select(_S.batch).where(_S.batch.is_not(None))
    connection.execute(delete(SYNC_BATCHES).where(SYNC_BATCHES.c.id.not_in(batches)))
    return removed


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return iter(frame.iter_slices(10_000)) if frame.height else iter(())


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    unique = list(dict.fromkeys(values))
    for start in range(0, len(unique), SEVERAL):
        yield unique[start : start + SEVERAL]
