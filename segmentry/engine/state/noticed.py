"""What somebody was told of: read and written in the catalog, so that two who ask at once tell it once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, case, delete, func, insert, or_, select, union_all, update

from segmentry.engine.state import counting, outbox
from segmentry.engine.state.schema import DELIVERIES, DESTINATIONS, ENROLLMENTS, NOTICES, PAUSES, SYNCED, SYNCS
from segmentry.engine.state.synced import ACTIVE, MEMBER, OUT, REJECTED


def claim(connection: Connection, what: str, since: datetime, now: datetime, before: datetime) -> tuple[bool, str | None]:
    """Whether it is due to be told, and when it was told last; what is due counts as told from now on.

    Due is what is new, what began anew since, and what was last told at or before `before`.
    """
    row = connection.execute(select(NOTICES).where(NOTICES.c.what == what)).first()
    values = {"since": since.isoformat(timespec="microseconds"), "told": now.isoformat(timespec="microseconds")}
    if row is None:
        connection.execute(insert(NOTICES).values(what=what, **values))
        return True, None
    if row.told > before.isoformat(timespec="microseconds") and values["since"] <= row.told:
        return False, row.told
    connection.execute(update(NOTICES).where(NOTICES.c.what == what).values(values))
    return True, row.told


def unknown(connection: Connection) -> dict[str, tuple[int, datetime]]:
    """How many deliveries of each destination are `unknown`, and since when the first of them is."""
    return {name: (count, datetime.fromisoformat(first)) for name, count, first in connection.execute(_counted("unknown"))}


@dataclass(frozen=True, slots=True)
class Stop:
    """A destination that stopped, with rows that wait."""

    destination: str
    reason: str
    since: datetime
    unsent: int


def stopped(connection: Connection) -> list[Stop]:
    """The destinations that stopped, and have sent nothing since, as far as enrollments or changes of syncs wait for them; by name."""
    unsent = counting.unsent(connection)
    return [Stop(name, reason, at, unsent[name]) for name, (reason, at) in stops(connection).items() if name in unsent]


def stops(connection: Connection) -> dict[str, tuple[str, datetime]]:
    """The destinations that stopped, and have sent nothing since: why, and when; by name."""
    rows = connection.execute(select(DESTINATIONS).where(DESTINATIONS.c.stopped.is_not(None)).order_by(DESTINATIONS.c.name))
    return {row.name: (row.stopped, datetime.fromisoformat(row.stopped_at)) for row in rows}


@dataclass(frozen=True, slots=True)
class Overdue:
    """What one destination was asked long ago and has not done: how much, since when, and what it said last."""

    count: int
    since: datetime
    reason: str | None


def overdue(connection: Connection, before: datetime) -> dict[str, Overdue]:
    """By destination the changes and enrollments that were asked for before an instant, tried, and neither done nor refused since.

    Nothing of what is paused or held. What had to wait for who may be back is asked for from the end of that.
    """
    stamp, row = before.isoformat(timespec="microseconds"), SYNCED.c
    asked = func.coalesce(row.grace, row.opened)
    tried = and_(row.action.is_not(None), row.attempts > 0, asked <= stamp, SYNCS.c.status == ACTIVE)
    changes = select(SYNCS.c.destination, asked.label("since"), row.reason.label("reason")).join(SYNCED, row.sync == SYNCS.c.id)
    sent = select(DELIVERIES.c.destination, ENROLLMENTS.c.pending_since, DELIVERIES.c.error)
    sent = sent.join(ENROLLMENTS, ENROLLMENTS.c.id == DELIVERIES.c.id)
    waiting = and_(ENROLLMENTS.c.outcome.in_(("pending", "sending")), DELIVERIES.c.attempts > 0, ENROLLMENTS.c.pending_since <= stamp)
    going = ENROLLMENTS.c.sequence.not_in(select(PAUSES.c.name))
    both = union_all(changes.where(tried), sent.where(DELIVERIES.c.ended.is_(None), waiting, going)).subquery().c
    query = select(both.destination, func.count(), func.min(both.since), func.max(both.reason)).group_by(both.destination)
    rows = connection.execute(query.order_by(both.destination))
    found = {name: Overdue(count, datetime.fromisoformat(since), reason) for name, count, since, reason in rows}
    return {name: late for name, late in found.items() if outbox.closed(connection, name) is None}


@dataclass(frozen=True, slots=True)
class Answers:
    """What one destination answered within a time: how many rows it took and refused, and since when it refuses.

    `enrollments` and `changes` are those refused, of sequences and of syncs.
    """

    taken: int
    enrollments: int
    changes: int
    since: datetime | None

    @property
    def refused(self) -> int:
        return self.enrollments + self.changes


def answered(connection: Connection, since: datetime) -> dict[str, Answers]:
    """For each destination what it answered since an instant: enrollments that were sent, changes that it acknowledged, and refusals."""
    stamp = since.isoformat(timespec="microseconds")
    changed = ENROLLMENTS.c.changed > stamp
    sent = {name: count for name, count, _ in connection.execute(_counted("sent").where(changed))}
    rejected = {name: (count, first) for name, count, first in connection.execute(_counted("rejected").where(changed))}
    synced = {name: (taken, refused, first) for name, taken, refused, first in connection.execute(_synced(stamp))}
    found = {}
    for name in sent.keys() | rejected.keys() | synced.keys():
        (count, first), (taken, refused, first_refused) = rejected.get(name, (0, None)), synced.get(name, (0, 0, None))
        earliest = min((one for one in (first, first_refused) if one is not None), default=None)
        begun = None if earliest is None else datetime.fromisoformat(earliest)
        found[name] = Answers(sent.get(name, 0) + taken, count, refused, begun)
    return found


def _synced(since: str) -> Select[Any]:
    """Destination, how many changes were acknowledged and how many refused since then, and when the first was refused.

    Of a contact only the last answer is known. One whose row is open waits for an answer still; a member whose new attributes
    were refused is one as before, and its row says what was refused.
    """
    row = SYNCED.c
    refused = or_(row.state == REJECTED, and_(row.state == MEMBER, row.refused.is_not(None)))
    return (
        select(
            SYNCS.c.destination,
            func.sum(case((refused, 0), else_=1)),
            func.sum(case((refused, 1), else_=0)),
            func.min(case((refused, row.changed))),
        )
        .join(SYNCED, row.sync == SYNCS.c.id)
        .where(row.changed > since, row.action.is_(None), row.state.in_((MEMBER, OUT, REJECTED)))
        .group_by(SYNCS.c.destination)
    )


def _counted(outcome: str) -> Select[Any]:
    """Destination, how many rows with this outcome, and since when the first of them has it."""
    return (
        select(DELIVERIES.c.destination, func.count(), func.min(ENROLLMENTS.c.changed))
        .join(ENROLLMENTS, ENROLLMENTS.c.id == DELIVERIES.c.id)
        .where(ENROLLMENTS.c.outcome == outcome)
        .group_by(DELIVERIES.c.destination)
    )


def give_back(connection: Connection, what: str, told: str | None) -> None:
    """Takes a claim back: it could not be told."""
    if told is None:
        connection.execute(delete(NOTICES).where(NOTICES.c.what == what))
    else:
        connection.execute(update(NOTICES).where(NOTICES.c.what == what).values(told=told))


def forget_others(connection: Connection, keys: Collection[str]) -> None:
    """Forgets what has ended: should it begin again, it is new."""
    for what in connection.execute(select(NOTICES.c.what)).scalars().all():
        if str(what).partition(":")[2] not in keys:
            connection.execute(delete(NOTICES).where(NOTICES.c.what == what))
