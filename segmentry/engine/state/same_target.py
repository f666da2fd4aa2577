"""Several syncs to one list or tag: who is a member by one of them is not put in by another, and who goes by one is in by none.

Whoever somebody takes off there by hand is a member for Segmentry until that is read. So who is one by any sync to the target comes to
another as a member too: it is told of there, and stays off where it was taken off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.state.ledger import survivors
from segmentry.engine.state.schema import SYNCED, SYNCS
from segmentry.engine.state.synced import (
    ACTIVE,
    ADD,
    ANEW,
    LOOKED,
    MEMBER,
    OUT,
    REMOVE,
    SHARED_NAME,
    UPDATE,
    marked,
    nothing_open,
    same_target,
    taken_for_member,
)

SEVERAL = 5_000
"""Values named in one statement; SQLite takes 32,766."""

_S = SYNCED.c
_ADDED = ("sync", "contact", "state", "remote_id", "wanted_hash", "payload", "maybe", "former_ids")
_ROW = [_S[name] for name in ("sync", "contact", "action", "remote_id", "remote_status", "address_hash", "former_ids", "changed")]


def sharing(connection: Connection, sync: int) -> list[int]:
    """The ids of the syncs with a sync's target, its own first."""
    return [sync, *(number for number in connection.execute(same_target(sync)).scalars() if number != sync)]


def is_taken(numbers: Sequence[int]) -> ColumnElement[bool]:
    """Whether a contact of a sync that is out is to come by an address that a member has there who is to get another one, and did not yet.

    `numbers`: the contact's sync, and other syncs to its target. Where the service refused that to a member by the same sync, it is the
    member's still: who was taken off by it would be put back.
    """
    there = SYNCED.alias()
    other = there.c
    moving = and_(other.action == UPDATE, other.wanted_hash != other.address_hash)
    refused = and_(other.sync == _S.sync, other.action.is_(None), other.refused.is_not(None))
    named = other.remote_id.is_not(None)  # a receiver of events has contacts, not persons with addresses
    holds = and_(other.state == MEMBER, other.contact != _S.contact, named, or_(moving, refused))
    mine = and_(other.sync.in_(numbers), other.address_hash == _S.wanted_hash)
    # without the hint SQLite goes through all of the syncs' rows once somebody ran `analyze`
    found = select(other.sync).where(mine, holds).with_hint(there, "INDEXED BY ix_synced_hash", "sqlite")
    return and_(_S.state != MEMBER, ~_S.maybe, found.exists())


def is_going(numbers: Sequence[int]) -> ColumnElement[bool]:
    """Whether a contact is being taken out by one of some syncs: another that takes it out too would find it gone, as if by hand."""
    other = SYNCED.alias().c
    return exists().where(other.sync.in_(numbers), other.remote_id == _S.remote_id, other.action == REMOVE, other.lease.is_not(None))


def join(connection: Connection, numbers: Sequence[int], rows: Iterable[Any], stamp: str) -> bool:
    """Of additions of one sync (`OpenRow`), those of who is a member by any sync to the target are changes from now on; whether any is.

    A member by the address, else by the key, else by the name that the destination has for the contact. Who comes back by somebody's
    word, or is known to be another person there than whose address it was, is one only by the key. Not who may have been taken out by us;
    nor who may have been added, but under the very address that it is a member with itself; nor who gets another address while somebody
    else is there by the former one: that one is the member.
    """
    there = _found(connection, numbers, [row for row in rows if row.state != MEMBER])
    taken = {found.contact for row, found in there if found.contact != row.contact and found.address_hash == row.wanted_hash}
    first = _giving_up(connection, numbers, taken) if taken else []
    joined = _join(connection, numbers, _found(connection, numbers, first), stamp) if first else set()
    return bool(joined | _join(connection, numbers, [(row, found) for row, found in there if found.contact not in joined], stamp))


def _join(connection: Connection, numbers: Sequence[int], there: Sequence[tuple[Any, Any]], stamp: str) -> set[str]:
    """Has those of some additions that are of the members beside them be told as those: whose."""
    unsure, holders = _called(connection, numbers, {found.remote_id for _, found in there})
    persons = cache(partial(survivors, connection))
    joined = set()
    for row, found in there:
        moved, presumed = found.address_hash != row.wanted_hash, _is_anothers(persons, row.contact, {found.contact})
        if found.remote_id in unsure or (moved and _is_anothers(persons, row.contact, holders[found.remote_id])):
            continue
        if row.maybe and (moved or presumed):
            continue
        values = _as_member(row, found)
        if presumed:
            values["state"] = row.state  # until it is heard that whoever is called so has the address
        mine = and_(_S.sync == row.sync, _S.contact == row.contact, _S.lease.is_(None))
        connection.execute(update(SYNCED).where(mine).values(**values, changed=stamp, revision=_S.revision + 1))
        joined.add(row.contact)
    return joined


def look_anew(connection: Connection, which: ColumnElement[bool]) -> None:
    """Who was taken for a member by the address, and of whom nothing was heard, is to be added as before: it may be no member meanwhile."""
    unknown: dict[str, Any] = dict.fromkeys(("remote_id", "remote_status", "address_hash", "batch"))
    mine = and_(which, taken_for_member(), _S.lease.is_(None))
    # who may have been added is taken for nobody: a change alone was told, which puts nobody in
    connection.execute(update(SYNCED).where(mine).values(action=ADD, **unknown, maybe=False, revision=_S.revision + 1))


def out_of_target(connection: Connection, sync: int, name: str, now: datetime) -> None:
    """Whom a sync took out, by the destination's name, is a member by no other to the target: else it would never be put in again."""
    mine = and_(_S.remote_id == name, _S.state == MEMBER, _S.lease.is_(None))
    for number in sharing(connection, sync)[1:]:
        values = {**nothing_open(now), "state": OUT, "fingerprint": None, "maybe": False, "perhaps_out": None}
        connection.execute(update(SYNCED).where(mine, _S.sync == number).values(values))


def beyond_doubt(connection: Connection, sync: int, names: Iterable[str | None]) -> None:
    """Of whom a sync put in, by the destination's names, it is no question any more whether a removal before that was done."""
    doubt = and_(_S.perhaps_out.is_(True), or_(_S.action.is_(None), _S.action == UPDATE), _S.lease.is_(None))
    numbers = sharing(connection, sync)[1:]
    for part in _parts(names) if numbers else ():
        mine = and_(_S.remote_id.in_(part), _S.sync.in_(numbers), doubt)
        connection.execute(update(SYNCED).where(mine).values(perhaps_out=None, revision=_S.revision + 1))


def kept_by_others(connection: Connection, sync: int, rows: pl.DataFrame) -> pl.Series:
    """Of a sync's rows the contacts who are members by another sync to its target that goes on, by the name there or by the address."""
    query = select(SYNCS.c.id).where(SYNCS.c.id.in_(sharing(connection, sync)[1:]), SYNCS.c.status == ACTIVE)
    going = list(connection.execute(query).scalars())
    if not going:
        return rows["contact"].head(0)
    kept = pl.lit(value=False)
    for column, values in ((_S.remote_id, ["remote_id"]), (_S.address_hash, ["address_hash", "wanted_hash"])):
        asked = [value for name in values for value in rows[name].drop_nulls()]
        member = and_(_S.sync.in_(going), _S.state == MEMBER)
        found = [one for part in _parts(asked) for one in connection.execute(select(column).where(column.in_(part), member)).scalars()]
        kept |= pl.any_horizontal(pl.col(name).is_in(found) for name in values).fill_null(value=False)
    return rows.filter(kept)["contact"]


def staying(connection: Connection, numbers: Iterable[int], names: Iterable[str | None]) -> frozenset[str]:
    """Those of some names at the destination by which somebody is a member by one of some syncs, and goes by none of them."""
    among = set(numbers)
    found = _named(connection, _settled(), _S.remote_id, names) if among else []
    return frozenset(row.remote_id for row in found if row.sync in among and row.action != REMOVE)


def _found(connection: Connection, numbers: Sequence[int], rows: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Each of these additions, and the row by which it is a member; who is none is left out."""
    members = _members(connection, numbers, rows) if rows else []
    address, contact, name = ({getattr(row, name): row for row in members} for name in ("address_hash", "contact", "remote_id"))

    def of(row: Any) -> Any:
        itself = contact.get(row.contact)
        if marked(row.payload, ANEW, LOOKED):  # when somebody said so it was a member nowhere
            return itself
        return address.get(row.wanted_hash) or itself or name.get(row.remote_id)

    return [(row, found) for row in rows if (found := of(row)) is not None]


def _giving_up(connection: Connection, numbers: Sequence[int], contacts: Iterable[str]) -> list[Any]:
    """The open additions of these contacts, members with an address that somebody else has now, under another address."""
    query = select(*(_S[name] for name in _ADDED)).where(_S.sync.in_(numbers), _S.action == ADD, _S.state != MEMBER, _S.lease.is_(None))
    found = [row for part in _parts(contacts) for row in connection.execute(query.where(_S.contact.in_(part)))]
    return [row for row in found if row.wanted_hash is not None and not marked(row.payload, ANEW, LOOKED)]


def _members(connection: Connection, numbers: Sequence[int], rows: Sequence[Any]) -> list[Any]:
    """The rows by which any of these contacts may be members by some syncs, beyond doubt; what was heard last comes last.

    Also who is to go by one of them, and did not yet: whether it was there still is not known before.
    """
    known = and_(_settled(), _S.lease.is_(None), _S.remote_id.is_not(None), _S.address_hash.is_not(None))
    among, stays = _S.sync.in_(numbers), or_(_S.action.is_(None), _S.action == REMOVE, _S.wanted_hash == _S.address_hash)
    found = [
        *_named(connection, and_(known, among), _S.contact, [row.contact for row in rows]),
        *_named(connection, and_(known, among, stays), _S.address_hash, [row.wanted_hash for row in rows]),
        # the syncs are no part of it: SQLite would rather go through all of their rows than look the names up
        *(row for row in _named(connection, known, _S.remote_id, [row.remote_id for row in rows]) if row.sync in numbers),
    ]
    return sorted(found, key=lambda row: row.changed)


def _called(connection: Connection, numbers: Sequence[int], names: Iterable[str]) -> tuple[set[str], dict[str, set[str]]]:
    """Of names at the destination those of who may have been taken out by one of some syncs; and the members that are called so."""
    found = [
        row
        for part in _parts(names)
        for row in connection.execute(select(_S.sync, _S.contact, _S.remote_id, _S.state, _S.perhaps_out).where(_S.remote_id.in_(part)))
        if row.sync in numbers
    ]
    holders: dict[str, set[str]] = {}
    for row in found:
        if row.state == MEMBER:
            holders.setdefault(row.remote_id, set()).add(row.contact)
    return {row.remote_id for row in found if row.perhaps_out}, holders


def _settled() -> ColumnElement[bool]:
    """Whether somebody is a member, and no removal of ours may have been done."""
    return and_(_S.state == MEMBER, or_(_S.action.is_(None), _S.action != ADD), _S.perhaps_out.is_not(True))


def _is_anothers(persons: Callable[[], Mapping[str, str]], contact: str, holders: Collection[str]) -> bool:
    """Whether a name that some contacts have at the destination is also that of another person than a contact."""
    if set(holders) <= {contact}:
        return False
    found = persons()
    return any(found.get(one, one) != found.get(contact, contact) for one in holders)


def _as_member(row: Any, found: Any) -> dict[str, Any]:
    """What of a row that was to be added is so of a member by another, who is to be told of.

    What the contact was there itself stays known, as of whoever takes a membership over: who left as that one has left.
    """
    own = {*(row.former_ids or row.remote_id or "").splitlines()}
    own |= set((found.former_ids or "").splitlines()) if found.contact == row.contact else set()
    return {
        **dict.fromkeys(("fingerprint", "reason", "refused", "batch", "perhaps_out")),
        **{name: getattr(found, name) for name in ("remote_id", "remote_status", "address_hash")},
        "payload": _of_member(row.payload, same=row.remote_id == found.remote_id),
        "former_ids": "\n".join(sorted(own - {found.remote_id})) or None,
        "state": MEMBER,
        "action": UPDATE,
        "attempts": 0,
    }


def _of_member(payload: str, *, same: bool) -> str:
    """A payload without what was said of who was to be added; of whether its name is another's too only where it has the same."""
    marks = (ANEW, LOOKED) if same else (ANEW, LOOKED, SHARED_NAME)
    if not marked(payload, *marks):
        return payload
    told = json.loads(payload)
    return dumps({name: told[name] for name in told if name not in marks})


def _named(connection: Connection, known: ColumnElement[bool], column: ColumnElement[Any], values: Iterable[str | None]) -> list[Any]:
    return [row for part in _parts(values) for row in connection.execute(select(*_ROW).where(known, column.in_(part)))]


def _parts(values: Iterable[str | None]) -> Iterator[Sequence[str]]:
    unique = list(dict.fromkeys(value for value in values if value is not None))
    for start in range(0, len(unique), SEVERAL):
        yield unique[start : start + SEVERAL]
