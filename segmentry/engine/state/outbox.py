"""The outbox as its sender sees it: what is due, what is under way, and what became of it.

A row is under way (`sending`) while `lease` is set: the number of the lease of whoever sends it. Whatever is recorded of a row under
way is recorded only while that number is still on it, so a sender that was replaced changes nothing any more.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, func, insert, not_, or_, select, update
from sqlalchemy.exc import DBAPIError

from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.holds import EVERYTHING, pauses
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.schema import DELIVERIES, DESTINATIONS, ENROLLMENTS, HOLDS, LEASE, PAUSES, SYNCED, SYNCS
from segmentry.errors import StateError

PENDING, SENDING, UNKNOWN = "pending", "sending", "unknown"
WITHDRAWN, SUPPRESSED, EXPIRED = "withdrawn", "suppressed", "expired"
SEVERAL = 5_000
"""Values named in one statement; SQLite takes 32,766."""

MAY_HAVE_ARRIVED = "it may have arrived"
_E, _D = ENROLLMENTS.c, DELIVERIES.c


@dataclass(frozen=True, slots=True)
class Due:
    """A row that may go now. Times are as the catalog has them."""

    id: str
    batch: str | None
    sequence: str
    segment: str
    contact: str
    number: int
    as_of: str
    payload: str
    attempts: int
    maybe: bool
    pending_since: str


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of a row under way. `due`: where it is pending again. `counted`: whether that was an attempt. `ended`: for good."""

    id: str
    outcome: str
    reason: str | None = None
    remote_id: str | None = None
    due: datetime | None = None
    maybe: bool = False
    counted: bool = True
    ended: bool = False


def stamp(at: datetime) -> str:
    """An instant as the catalog has it; `at` is UTC."""
    return at.isoformat(timespec="microseconds")


# ---------------------------------------------------------------- what there is


def unsent(connection: Connection) -> dict[str, int]:
    """How many rows each destination has that are pending or under way."""
    rows = connection.execute(
        select(_D.destination, func.count())
        .join(ENROLLMENTS, _E.id == _D.id)
        .where(_D.ended.is_(None), _E.outcome.in_((PENDING, SENDING)))
        .group_by(_D.destination)
    )
    return {str(name): int(count) for name, count in rows}


def waiting(connection: Connection, destination: str, now: datetime) -> tuple[int, int]:
    """How many pending rows of a destination are due, and how many are not due yet."""
    due = func.sum(case((_D.due <= stamp(now), 1), else_=0))
    query = select(func.count(), due).join(ENROLLMENTS, _E.id == _D.id).where(_of(destination), _E.outcome == PENDING)
    rows, ready = connection.execute(query).one()
    return int(ready or 0), int(rows) - int(ready or 0)


def strays(connection: Connection, destination: str, sequences: Collection[str]) -> dict[str, int]:
    """How many pending rows of a destination are of sequences that are none of these, by sequence."""
    query = select(_E.sequence, func.count()).join(DELIVERIES, _E.id == _D.id).where(_of(destination), _E.outcome == PENDING)
    rows = connection.execute(query.group_by(_E.sequence).order_by(_E.sequence))
    return {str(name): int(count) for name, count in rows if name not in sequences}


def is_under_way(connection: Connection, destination: str) -> bool:
    """Whether a sender left rows of a destination under way."""
    query = select(_D.id).join(ENROLLMENTS, _E.id == _D.id).where(_left(destination)).limit(1)
    return connection.execute(query).first() is not None


def closed(connection: Connection, destination: str) -> str | None:
    """Why nothing goes to a destination now, if so: a pause, or the guard of `suppress`."""
    paused = pauses(connection)
    if EVERYTHING in paused:
        return "everything is paused"
    if destination in paused:
        reason = paused[destination]
        return "it is paused" + (f": {reason}" if reason else "")
    held = connection.execute(select(HOLDS.c.id).where(_suppress_held())).first()
    return None if held is None else "the guard of `suppress` holds all delivery"


def upcoming(connection: Connection, destination: str, sequences: Collection[str], now: datetime, limit: int) -> list[str]:
    """The ids of rows that are due, those pending longest first."""
    query = select(_D.id).join(ENROLLMENTS, _E.id == _D.id).where(_ready(destination, sequences, now))
    return [str(one) for one in connection.execute(query.order_by(_E.pending_since, _E.id).limit(limit)).scalars()]


def due_rows(
    connection: Connection,
    destination: str,
    sequences: Collection[str],
    now: datetime,
    *,
    ids: Sequence[str] = (),
    batches: Sequence[str] = (),
) -> list[Due]:
    """Rows that are due, of these ids or these batches, those pending longest first."""
    columns = (_D.id, _D.batch, _E.sequence, _E.segment, _E.contact, _E.number, _E.as_of, _D.payload, _D.attempts, _D.maybe)
    query = select(*columns, _E.pending_since).join(ENROLLMENTS, _E.id == _D.id).where(_ready(destination, sequences, now, named=True))
    found = []
    for column, wanted in ((_D.id, ids), (_D.batch, batches)):
        for part in _parts(wanted):
            found += [Due(*row) for row in connection.execute(query.where(column.in_(part)))]
    return sorted(found, key=lambda row: (row.pending_since, row.id))


# ---------------------------------------------------------------- what the sender writes


def abandoned(connection: Connection, destination: str, now: datetime, *, repeat_safe: bool, but: Collection[str] = ()) -> tuple[int, int]:
    """Settles the rows that an earlier sender left under way. Whoever holds the lease calls it before the first claim.

    They may have arrived: where that does no harm they are due again, in the same batch; else a person decides. `but`: sequences of
    which the opposite of `repeat_safe` is so. Gives how many go again, and how many are for a person.
    """
    query = select(_D.id, _E.sequence).join(ENROLLMENTS, _E.id == _D.id).where(_left(destination))
    left: dict[bool, list[str]] = {True: [], False: []}
    for id, sequence in connection.execute(query):
        left[repeat_safe is not (sequence in but)].append(str(id))
    for safe, ids in left.items():
        outcome, reason = (PENDING, None) if safe else (UNKNOWN, f"its sender ended before the answer came; {MAY_HAVE_ARRIVED}")
        for part in _parts(ids):
            values = {"outcome": outcome, "reason": reason, "changed": stamp(now)}
            connection.execute(update(ENROLLMENTS).where(_E.id.in_(part), _E.outcome == SENDING).values(values))
            connection.execute(update(DELIVERIES).where(_D.id.in_(part)).values(lease=None, maybe=True, error=reason))
    return len(left[True]), len(left[False])


def end_stopped(connection: Connection, destination: str, now: datetime, ids: Sequence[str] | None = None) -> int:
    """Ends pending rows, all or some, that a later run stopped while they were under way; how many."""
    query = select(_D.id, _D.stop, _D.maybe).join(ENROLLMENTS, _E.id == _D.id)
    query = query.where(_of(destination), _E.outcome == PENDING, _D.stop.is_not(None))
    parts = [query] if ids is None else [query.where(_D.id.in_(part)) for part in _parts(ids)]
    rows = [row for part in parts for row in connection.execute(part)]
    finish(connection, [(row.id, _stopped_as(row.stop), arrived(row.stop, maybe=row.maybe)) for row in rows], now)
    return len(rows)


def expire(connection: Connection, destination: str, sequence: str, before: datetime, reason: str, now: datetime) -> int:
    """Ends pending rows of a sequence that have been pending since `before` or longer; how many."""
    old = and_(_E.outcome == PENDING, _E.sequence == sequence, _E.pending_since <= stamp(before))
    query = select(_D.id, _D.maybe).join(ENROLLMENTS, _E.id == _D.id).where(_of(destination), old).limit(SEVERAL)
    ended = 0
    while rows := connection.execute(query).all():
        finish(connection, [(row.id, EXPIRED, arrived(reason, maybe=row.maybe)) for row in rows], now)
        ended += len(rows)
    return ended


def arrived(reason: str, *, maybe: bool) -> str:
    """A reason, with what must not be forgotten of a row that was perhaps sent."""
    return f"{reason}; {MAY_HAVE_ARRIVED}" if maybe else reason


def finish(connection: Connection, rows: Sequence[tuple[str, str, str | None]], now: datetime, *, ends: bool = True) -> None:
    """Gives pending rows (id, outcome, reason) their outcome; `ends` False where they wait for something."""
    if not rows:
        return
    changed = [{"key": id, "outcome": outcome, "reason": reason} for id, outcome, reason in rows]
    values = {"outcome": bindparam("outcome"), "reason": bindparam("reason"), "changed": stamp(now)}
    connection.execute(update(ENROLLMENTS).where(_E.id == bindparam("key"), _E.outcome == PENDING).values(values), changed)
    if ends:
        for part in _parts([id for id, _, _ in rows]):
            connection.execute(update(DELIVERIES).where(_D.id.in_(part)).values(ended=stamp(now)))


def claim(connection: Connection, lease: int, batches: Sequence[tuple[str, Sequence[Due]]], now: datetime) -> None:
    """Marks rows as under way, each in a batch whose id is stored before anybody is told of it."""
    cut = [{"key": row.id, "batch": id} for id, rows in batches for row in rows if row.batch != id]
    if cut:
        connection.execute(update(DELIVERIES).where(_D.id == bindparam("key")).values(batch=bindparam("batch")), cut)
    for part in _parts([row.id for _, rows in batches for row in rows]):
        connection.execute(update(DELIVERIES).where(_D.id.in_(part)).values(lease=lease, attempts=_D.attempts + 1))
        values = {"outcome": SENDING, "reason": None, "changed": stamp(now)}
        connection.execute(update(ENROLLMENTS).where(_E.id.in_(part)).values(values))


def record(connection: Connection, lease: int, destination: str, endings: Sequence[Ending], now: datetime) -> None:
    """Writes down what became of rows under way. Rows that are not this sender's any more, or are gone, stay as they are."""
    if not endings:
        return
    mine = select(_D.id).where(_D.id == bindparam("key"), _D.lease == lease, _D.destination == destination).scalar_subquery()
    outcomes = [{"key": one.id, "outcome": one.outcome, "reason": one.reason} for one in endings]
    connection.execute(
        update(ENROLLMENTS)
        .where(_E.id == mine, _E.outcome == SENDING)
        .values(outcome=bindparam("outcome"), reason=bindparam("reason"), changed=stamp(now)),
        outcomes,
    )
    deliveries = [
        {
            "key": one.id,
            "uncounted": 0 if one.counted else 1,
            "next": None if one.due is None else stamp(one.due),
            "remote": one.remote_id,
            "why": one.reason,
            "may": one.maybe,
            "end": stamp(now) if one.ended else None,
        }
        for one in endings
    ]
    connection.execute(
        update(DELIVERIES)
        .where(_D.id == bindparam("key"), _D.lease == lease, _D.destination == destination)
        .values(
            lease=None,
            attempts=_D.attempts - bindparam("uncounted"),
            due=func.coalesce(bindparam("next"), _D.due),
            remote_id=func.coalesce(bindparam("remote"), _D.remote_id),
            error=bindparam("why"),
            maybe=or_(_D.maybe, bindparam("may")),
            ended=bindparam("end"),
        ),
        deliveries,
    )


def clear_payloads(connection: Connection, before: datetime) -> int:
    """Removes addresses and fields of rows that ended before an instant, those of syncs too; of how many.

    Who may be in a list or tag by a sync that goes on, nobody knows, has not ended: without the address nobody could be taken off it.
    """
    old = and_(_D.ended < stamp(before), _D.payload.is_not(None))
    detached = SYNCED.c.sync.in_(select(SYNCS.c.id).where(SYNCS.c.status == "detached"))
    ended = or_(not_(SYNCED.c.maybe), SYNCED.c.state == "left", detached)
    synced = and_(SYNCED.c.action.is_(None), SYNCED.c.payload.is_not(None), SYNCED.c.changed < stamp(before), ended)
    connection.execute(update(SYNCED).where(synced).values(payload=None, wanted_hash=None))
    return connection.execute(update(DELIVERIES).where(old).values(payload=None)).rowcount


# ---------------------------------------------------------------- destinations


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a destination was first used with: its account, and what of the account it is. None where there is nothing to tell them by."""

    account: str | None = None
    place: str | None = None


def pins(connection: Connection) -> dict[str, Pinned]:
    """What every destination that was ever used was first used with, by name."""
    columns = DESTINATIONS.c.name, DESTINATIONS.c.account, DESTINATIONS.c.place
    return {str(name): Pinned(account, place) for name, account, place in connection.execute(select(*columns))}


def pin(connection: Connection, name: str, found: Pinned, now: datetime) -> None:
    """Notes that a destination is used, and with what, as far as that was not known."""
    known = pins(connection).get(name)
    if known is None:
        values = {"name": name, "account": found.account, "place": found.place, "pinned": stamp(now)}
        connection.execute(insert(DESTINATIONS).values(values))
        return
    merged = Pinned(known.account or found.account, known.place or found.place)
    if merged != known:
        values = {"account": merged.account, "place": merged.place, "pinned": stamp(now)}
        connection.execute(update(DESTINATIONS).where(DESTINATIONS.c.name == name).values(values))


def note_stop(connection: Connection, name: str, reason: str | None, now: datetime) -> None:
    """Notes why deliveries to a destination stopped, and since when; None: they go again."""
    values = {"stopped": reason, "stopped_at": None if reason is None else func.coalesce(DESTINATIONS.c.stopped_at, stamp(now))}
    other = DESTINATIONS.c.stopped.is_not(None) if reason is None else DESTINATIONS.c.name.is_not(None)
    connection.execute(update(DESTINATIONS).where(DESTINATIONS.c.name == name, other).values(values))


# ---------------------------------------------------------------- the look before each request


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen immediately before a request. `rows`: how many of the batch are still under way and not stopped."""

    leased: bool
    closed: bool
    paused: bool
    rows: int


class Watch:
    """Looks at the catalog as it is now, over a connection that is kept: opening one costs ten times the look itself."""

    def __init__(self, catalog: Catalog, lease: Lease, destination: str) -> None:
        with catalog.reading() as connection:
            self._connection = connection.engine.connect()
        self._lock = threading.Lock()
        self._values = {"lease": lease.number, "destination": destination}
        self._query = _look(lease, self._rows())

    def _rows(self) -> Select[Any]:
        """How many rows of the batch are still under way and not stopped."""
        mine = and_(_D.lease == bindparam("lease"), _D.destination == bindparam("destination"), _D.stop.is_(None))
        return select(func.count()).select_from(DELIVERIES).where(_D.batch == bindparam("batch"), mine)

    def look(self, batch: str, sequence: str) -> Sight:
        """One read transaction. Raises StateError."""
        values = {**self._values, "batch": batch, "sequence": sequence}
        try:
            with self._lock, self._connection.begin():
                leased, closed, paused, rows = self._connection.execute(self._query, values).one()
        except DBAPIError as error:
            raise StateError(f"the catalog can't be used: {error.orig}") from error
        return Sight(bool(leased), bool(closed), bool(paused), int(rows))

    def close(self) -> None:
        """Lets go of the connection."""
        with self._lock:
            self._connection.close()


def _look(lease: Lease, rows: Select[Any]) -> Any:
    """Four figures in one statement, so that all are of one moment."""
    place = and_(LEASE.c.workspace == lease.workspace, LEASE.c.environment == lease.environment, LEASE.c.purpose == lease.purpose)
    held = select(func.count()).select_from(LEASE).where(place, LEASE.c.number == bindparam("lease"), LEASE.c.host.is_not(None))
    wide = select(func.count()).select_from(PAUSES).where(PAUSES.c.name.in_((EVERYTHING, bindparam("destination"))))
    guard = select(func.count()).select_from(HOLDS).where(_suppress_held())
    narrow = select(func.count()).select_from(PAUSES).where(PAUSES.c.name == bindparam("sequence"))
    return select(
        held.scalar_subquery(),
        wide.scalar_subquery() + guard.scalar_subquery(),
        narrow.scalar_subquery(),
        rows.scalar_subquery(),
    )


# ---------------------------------------------------------------- conditions


def _of(destination: str) -> ColumnElement[bool]:
    return and_(_D.destination == destination, _D.ended.is_(None))


def _ready(destination: str, sequences: Collection[str], now: datetime, *, named: bool = False) -> ColumnElement[bool]:
    """What may be claimed: exactly this, wherever it is asked. `named`: rows are asked for by their ids or batches.

    SQLite would rather go through every row of a destination or sequence than through the named ones, unless no index fits.
    """
    shown = _unindexed if named else _itself
    place = and_(shown(_D.destination) == destination, shown(_D.ended) == "" if named else _D.ended.is_(None))
    due = and_(shown(_D.due) <= stamp(now), _D.stop.is_(None), _D.payload.is_not(None))
    return and_(place, due, shown(_E.outcome) == PENDING, shown(_E.sequence).in_(sorted(sequences)))


def _unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(column, "")


def _itself(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column


def _left(destination: str) -> ColumnElement[bool]:
    return and_(_of(destination), _E.outcome == SENDING)


def _suppress_held() -> ColumnElement[bool]:
    return and_(HOLDS.c.status == "open", HOLDS.c.kind == "suppress")


def _stopped_as(reason: str) -> str:
    """What a stopped row ends as: the run says by its reason whether it was suppressed."""
    return SUPPRESSED if reason.startswith(SUPPRESSED) else WITHDRAWN


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), SEVERAL):
        yield values[start : start + SEVERAL]
