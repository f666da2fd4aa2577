"""Counts of the ledger and the outbox, as monitoring and forecasts ask for them."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import Connection, case, func, select

from segmentry.engine.state import outbox, sync_outbox
from segmentry.engine.state.frames import read_frame
from segmentry.engine.state.outbox import stamp
from segmentry.engine.state.schema import DELIVERIES, ENROLLMENTS, HOLDS, SYNCED, SYNCS
from segmentry.engine.state.synced import ACTIVE

CHANGES = pl.Schema({"sync": pl.Int64(), "destination": pl.String(), "contact": pl.String(), "action": pl.String()})

FAILED = ("rejected", "unknown")
"""Outcomes of a delivery that somebody should look at."""


def by_outcome(connection: Connection) -> dict[tuple[str, str], int]:
    """How many enrollments each (sequence, outcome) has, baselines left out."""
    columns = ENROLLMENTS.c.sequence, ENROLLMENTS.c.outcome
    rows = connection.execute(select(*columns, func.count()).group_by(*columns).order_by(*columns))
    return {(sequence, outcome): count for sequence, outcome, count in rows}


def failed(connection: Connection) -> dict[tuple[str, str], int]:
    """How many deliveries each (destination, outcome) has that failed."""
    columns = DELIVERIES.c.destination, ENROLLMENTS.c.outcome
    joined = select(*columns, func.count()).join(ENROLLMENTS, ENROLLMENTS.c.id == DELIVERIES.c.id)
    rows = connection.execute(joined.where(ENROLLMENTS.c.outcome.in_(FAILED)).group_by(*columns).order_by(*columns))
    return {(destination, outcome): count for destination, outcome, count in rows}


def pending(connection: Connection, now: datetime) -> dict[str, tuple[int, int]]:
    """Of each destination how many deliveries are unsent, and how many of those are due."""
    due = func.sum(case((DELIVERIES.c.due <= stamp(now), 1), else_=0))
    joined = select(DELIVERIES.c.destination, func.count(), due).join(ENROLLMENTS, ENROLLMENTS.c.id == DELIVERIES.c.id)
    unsent = DELIVERIES.c.ended.is_(None), ENROLLMENTS.c.outcome.in_(("pending", "sending"))
    rows = connection.execute(joined.where(*unsent).group_by(DELIVERIES.c.destination).order_by(DELIVERIES.c.destination))
    return {destination: (count, int(ready or 0)) for destination, count, ready in rows}


def anything_due(connection: Connection, now: datetime) -> bool:
    """Whether any enrollment, or change of a sync, is due to be sent."""
    if any(due for _, due in pending(connection, now).values()):
        return True
    return any(sync_outbox.waiting(connection, name, now)[0] for name in sync_outbox.open_rows(connection))


def held(connection: Connection) -> dict[str, int]:
    """How many holds are open, by kind."""
    rows = connection.execute(select(HOLDS.c.kind, func.count()).where(HOLDS.c.status == "open").group_by(HOLDS.c.kind))
    return {kind: int(count) for kind, count in rows}


def unsent(connection: Connection) -> dict[str, int]:
    """How much each destination is still to be told: enrollments that are pending or under way, and open changes of its syncs."""
    enrollments, changes = outbox.unsent(connection), sync_outbox.open_rows(connection)
    counts = {name: enrollments.get(name, 0) + changes.get(name, 0) for name in sorted(enrollments.keys() | changes.keys())}
    return {name: count for name, count in counts.items() if count}


def unsent_by_sequence(connection: Connection) -> dict[tuple[str, str], int]:
    """How many enrollments each (destination, sequence) has that are pending or under way."""
    columns = DELIVERIES.c.destination, ENROLLMENTS.c.sequence
    joined = select(*columns, func.count()).join(ENROLLMENTS, ENROLLMENTS.c.id == DELIVERIES.c.id)
    open_ones = DELIVERIES.c.ended.is_(None), ENROLLMENTS.c.outcome.in_(("pending", "sending"))
    rows = connection.execute(joined.where(*open_ones).group_by(*columns).order_by(*columns))
    return {(destination, sequence): count for destination, sequence, count in rows}


def open_changes(connection: Connection) -> pl.DataFrame:
    """Every open change of syncs that go on, as `CHANGES`."""
    columns = SYNCED.c.sync, SYNCS.c.destination, SYNCED.c.contact, SYNCED.c.action
    query = select(*columns).join(SYNCS, SYNCS.c.id == SYNCED.c.sync).where(SYNCED.c.action.is_not(None), SYNCS.c.status == ACTIVE)
    return read_frame(connection, query, CHANGES)
