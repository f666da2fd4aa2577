"""What somebody was told of: read and written in the catalog, so that two who ask at once tell it once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from segmentry.engine.state.schema import DELIVERIES, DESTINATIONS, ENROLLMENTS, NOTICES


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
    """The destinations that stopped, and have sent nothing since, as far as rows wait for them; by name."""
    rows = connection.execute(
        select(DESTINATIONS.c.name, DESTINATIONS.c.stopped, DESTINATIONS.c.stopped_at, func.count())
        .join(DELIVERIES, DELIVERIES.c.destination == DESTINATIONS.c.name)
        .join(ENROLLMENTS, ENROLLMENTS.c.id == DELIVERIES.c.id)
        .where(DESTINATIONS.c.stopped.is_not(None), ENROLLMENTS.c.outcome.in_(("pending", "sending")))
        .group_by(DESTINATIONS.c.name, DESTINATIONS.c.stopped, DESTINATIONS.c.stopped_at)
        .order_by(DESTINATIONS.c.name)
    )
    return [Stop(name, reason, datetime.fromisoformat(at), unsent) for name, reason, at, unsent in rows]


def answered(connection: Connection, since: datetime) -> dict[str, tuple[int, int, datetime | None]]:
    """For each destination how many rows were sent and how many rejected since an instant, and when the first was rejected."""
    changed = ENROLLMENTS.c.changed > since.isoformat(timespec="microseconds")
    sent = {name: count for name, count, _ in connection.execute(_counted("sent").where(changed))}
    rejected = {name: (count, first) for name, count, first in connection.execute(_counted("rejected").where(changed))}
    return {
        name: (sent.get(name, 0), count, None if first is None else datetime.fromisoformat(first))
        for name in sent.keys() | rejected.keys()
        for count, first in [rejected.get(name, (0, None))]
    }


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
