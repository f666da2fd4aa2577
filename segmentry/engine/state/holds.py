"""What guards hold, and what people paused: read from the catalog."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from segmentry.engine.state.records import HoldRecord
from segmentry.engine.state.schema import HOLDS, PAUSES

EVERYTHING = "*"
"""The name under which everything is paused."""


def holds(connection: Connection, *, status: str | None = "open", run: int | None = None) -> list[HoldRecord]:
    """Holds by id, the oldest first: the open ones, those of another status (None: of any), those of one run."""
    query = select(HOLDS).order_by(HOLDS.c.id)
    if status is not None:
        query = query.where(HOLDS.c.status == status)
    if run is not None:
        query = query.where(HOLDS.c.run == run)
    return [
        HoldRecord(
            row.id,
            row.run,
            row.kind,
            row.name,
            row.status,
            datetime.fromisoformat(row.since),
            datetime.fromisoformat(row.opened),
            None if row.ended is None else datetime.fromisoformat(row.ended),
            row.ended_run,
            json.loads(row.detail),
            row.changes_file,
        )
        for row in connection.execute(query)
    ]


def pauses(connection: Connection) -> dict[str, str | None]:
    """What is paused, by name, and why if it was not a person who paused it."""
    return {str(row.name): row.reason for row in connection.execute(select(PAUSES).order_by(PAUSES.c.name))}


def pause(connection: Connection, name: str, now: datetime, reason: str | None = None) -> bool:
    """Pauses a destination, a sequence or everything; False if it was paused already."""
    known = connection.execute(select(PAUSES.c.name).where(PAUSES.c.name == name)).first()
    if known is None:
        connection.execute(insert(PAUSES).values(name=name, since=now.isoformat(timespec="microseconds"), reason=reason))
    return known is None


def resume(connection: Connection, name: str) -> bool:
    """Ends a pause; False if there was none."""
    return connection.execute(delete(PAUSES).where(PAUSES.c.name == name)).rowcount > 0
