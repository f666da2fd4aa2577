"""What people's words, and what was read back, make of syncs' rows; a run does the rest, by `synced.apply_syncs`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, Select, and_, case, delete, func, or_, select, update

from segmentry.engine.state.outbox import stamp
from segmentry.engine.state.schema import LEFT, SYNC_BATCHES, SYNCED, SYNCS
from segmentry.engine.state.synced import ACTIVE, AWAY, BASELINE, DETACHED, MEMBER, OPEN, OUT, REMOVE, nothing_open, same_target

SEVERAL = 5_000
"""Values named in one statement; SQLite takes 32,766."""

DUE = pl.Schema({"sync": pl.Int64(), "action": pl.String(), "due": pl.Int64(), "later": pl.Int64()})
REMOTE = pl.Schema(
    {"segment": pl.String(), "destination": pl.String(), "target": pl.String(), "remote_id": pl.String(), "told": pl.Boolean()}
)

_S = SYNCED.c
_NOTHING_OPEN: dict[str, Any] = {**dict.fromkeys(OPEN), "attempts": 0, "lease": None}


# ---------------------------------------------------------------- looking


def due_by_action(connection: Connection, now: datetime) -> pl.DataFrame:
    """Of every sync that goes on how many open rows are due, and how many are not yet, by action: as `DUE`."""
    ready = func.sum(case((_S.due <= stamp(now), 1), else_=0))
    going = select(SYNCS.c.id).where(SYNCS.c.status == ACTIVE)
    query = select(_S.sync, _S.action, func.count(), ready).where(_S.action.is_not(None), _S.sync.in_(going)).group_by(_S.sync, _S.action)
    rows = [(sync, action, int(ready or 0), int(rows) - int(ready or 0)) for sync, action, rows, ready in connection.execute(query)]
    return pl.DataFrame(rows, schema=DUE, orient="row").sort("sync", "action")


def hashes_of(connection: Connection, contacts: Sequence[str]) -> list[str]:
    """The address hashes that were acknowledged of contacts; of who is out, not that of another contact by now."""
    query = select(_S.address_hash, _S.contact, _S.state).where(_S.address_hash.is_not(None))
    own = {(str(hash), state) for part in _parts(contacts) for hash, _, state in connection.execute(query.where(_S.contact.in_(part)))}
    certain, meant = {hash for hash, state in own if state != OUT}, set(contacts)
    once = sorted({hash for hash, _ in own} - certain)
    others = {
        str(hash)
        for part in _parts(once)
        for hash, contact, state in connection.execute(query.where(_S.address_hash.in_(part)))
        if contact not in meant and state != OUT
    }
    return sorted(certain | set(once) - others)


def contacts_known(connection: Connection, sync: int, contacts: Sequence[str]) -> set[str]:
    """Those of some contacts that have a row of a sync."""
    query = select(_S.contact).where(_S.sync == sync)
    return {str(one) for part in _parts(contacts) for one in connection.execute(query.where(_S.contact.in_(part))).scalars()}


def there(connection: Connection, sync: int) -> int:
    """How many contacts a sync added who are acknowledged as members."""
    return int(connection.execute(select(func.count()).where(_S.sync == sync, _S.state == MEMBER)).scalar_one())


def remote_ids(connection: Connection, contacts: Collection[str]) -> pl.DataFrame:
    """What destinations call contacts, or called them: as `REMOTE`. `told`: whether one was told of them, or may have been."""
    names = _S.remote_id, _S.former_ids, _S.address_hash
    columns = SYNCS.c.segment, SYNCS.c.destination, SYNCS.c.target, *names, _S.state, _S.lease, _S.attempts, _S.batch
    query = select(*columns).join(SYNCS, SYNCS.c.id == _S.sync).order_by(SYNCS.c.destination, SYNCS.c.target, SYNCS.c.segment)
    rows = [
        (row.segment, row.destination, row.target, name, _was_told(row))
        for part in _parts(list(contacts))
        for row in connection.execute(query.where(_S.contact.in_(part)))
        for name in (row.remote_id, *(row.former_ids or "").splitlines())
    ]
    return pl.DataFrame(rows, schema=REMOTE, orient="row")


def _was_told(row: Any) -> bool:
    """Whether a destination knows of a contact by this sync, or may: it was asked once, or is being asked."""
    if row.state == BASELINE:
        return row.remote_id is not None
    asked = row.lease is not None or row.batch is not None or row.attempts > 0
    return row.state != OUT or asked or row.remote_id is not None or row.address_hash is not None


# ---------------------------------------------------------------- changing


def readd(connection: Connection, contacts: Sequence[str], hashes: Sequence[str], syncs: Sequence[int], now: datetime) -> list[int]:
    """Lets contacts who left what syncs are in step with come back to it, and whoever else was kept out for having one of these addresses.

    Of each sync, how many; also of the other syncs that are in step with the same, where it itself knows of nobody.
    """
    for sync in syncs:
        _not_there(connection, contacts, sync, now)
    found = [_let_back(connection, contacts, hashes, [sync], now) for sync in syncs]
    gone = [_forget_left(connection, hashes, sync) for sync in syncs]
    beside = [_let_back(connection, contacts, hashes, same_target(sync), now) for sync in syncs]
    return [max(counts) for counts in zip(found, gone, beside, strict=True)]


def _not_there(connection: Connection, contacts: Sequence[str], sync: int, now: datetime) -> None:
    """Those of these contacts who left a sync's target are members by no other sync to it, of which no run has said so yet."""
    same = list(connection.execute(same_target(sync)).scalars())
    for part in _parts(contacts):
        mine = and_(_S.contact.in_(part), _S.sync.in_(same))
        left = list(connection.execute(select(_S.contact).where(mine, _S.state == AWAY)).scalars())
        stale = and_(_S.contact.in_(left), _S.sync.in_(same), _S.state == MEMBER, _S.lease.is_(None))
        connection.execute(update(SYNCED).where(stale).values({**nothing_open(now), "state": OUT, "fingerprint": None}))


def _forget_left(connection: Connection, hashes: Sequence[str], sync: int) -> int:
    """Nobody left a sync's target under these addresses any more: how many had."""
    same, had = LEFT.c.sync.in_(same_target(sync)), 0
    for part in _parts(hashes):
        mine = and_(LEFT.c.address_hash.in_(part), same)  # noted by each sync to it that heard so
        had += int(connection.execute(select(func.count(LEFT.c.address_hash.distinct())).where(mine)).scalar_one())
        connection.execute(delete(LEFT).where(mine))
    return had


def _let_back(
    connection: Connection, contacts: Sequence[str], hashes: Sequence[str], syncs: Sequence[int] | Select[Any], now: datetime
) -> int:
    """In the rows of some syncs these contacts, and whoever has these addresses, have not left: how many had."""
    found = 0
    for column, values in ((_S.contact, contacts), (_S.address_hash, hashes)):
        for part in _parts(values):
            mine = and_(column.in_(part), _S.sync.in_(syncs), _S.lease.is_(None))
            known: dict[str, Any] = {
                "left_before": None,
                "reason": None,
                "refused": None,
                "changed": stamp(now),
                "revision": _S.revision + 1,
            }
            found += connection.execute(update(SYNCED).where(mine, _S.state == AWAY).values(state=OUT, wanted_hash=None, **known)).rowcount
            found += connection.execute(update(SYNCED).where(mine, _S.left_before.is_(True)).values(known)).rowcount
    for part in _parts(hashes):
        seen = and_(_S.sync.in_(syncs), _S.state == AWAY, _S.lease.is_(None), _S.wanted_hash.in_(part))
        found += connection.execute(update(SYNCED).where(seen).values(wanted_hash=None, revision=_S.revision + 1)).rowcount
    return found


def hasten(connection: Connection, sync: int, now: datetime) -> None:
    """What of a sync waits to be tried again is due now."""
    mine = and_(_S.sync == sync, _S.action.is_not(None), _S.lease.is_(None))
    connection.execute(update(SYNCED).where(mine).values(due=stamp(now), revision=_S.revision + 1))


def close_open(connection: Connection, syncs: Sequence[int]) -> int:
    """Ends everything that is open, or under way, of some syncs: how many rows. No sender may be at work."""
    mine = and_(_S.sync.in_(list(syncs)), _S.action.is_not(None))
    closed = connection.execute(update(SYNCED).where(mine).values({**_NOTHING_OPEN, "revision": _S.revision + 1})).rowcount
    connection.execute(delete(SYNC_BATCHES).where(SYNC_BATCHES.c.sync.in_(list(syncs))))
    return closed


def free(connection: Connection, sync: int) -> None:
    """Lets rows that an earlier sender left under way be as they were before. No sender may be at work."""
    connection.execute(update(SYNCED).where(_S.sync == sync, _S.lease.is_not(None)).values(lease=None, revision=_S.revision + 1))


def forget_sync(connection: Connection, sync: int) -> int:
    """Forgets whom a sync keeps in step, and what was said of its start: how many rows. Who left its target is known for good.

    What the destination calls those of whom it was told stays, without more: they are there still, and somebody may have to erase them.
    """
    mine = and_(_S.sync == sync, _S.state != AWAY)
    nameless = and_(_S.remote_id.is_(None), _S.address_hash.is_(None))
    told = or_(_S.remote_id.is_not(None), and_(_S.state != BASELINE, or_(_S.state != OUT, ~nameless, _S.maybe, _S.attempts > 0)))
    count = int(connection.execute(select(func.count()).where(mine)).scalar_one())
    connection.execute(delete(SYNCED).where(mine, ~told))
    close_open(connection, [sync])
    bare = {"state": OUT, "attempts": case((nameless, 1), else_=0), "maybe": False}
    empty: dict[str, Any] = dict.fromkeys((*OPEN, "fingerprint", "reason", "refused", "lease"))
    connection.execute(update(SYNCED).where(mine).values(**empty, **bare, revision=_S.revision + 1))
    connection.execute(update(SYNCS).where(SYNCS.c.id == sync).values(status=DETACHED, answer=None, figures="{}"))
    return count


def removals(connection: Connection, sync: int) -> int:
    """How many contacts of a sync are still to be taken out."""
    return int(connection.execute(select(func.count()).where(_S.sync == sync, _S.action == REMOVE)).scalar_one())


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    unique = list(dict.fromkeys(values))
    for start in range(0, len(unique), SEVERAL):
        yield unique[start : start + SEVERAL]
