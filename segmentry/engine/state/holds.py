"""What guards hold, and what people paused: read from the catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from segmentry.engine.state.records import HoldRecord, Status
from segmentry.engine.state.schema import HOLDS, PAUSES, RUN_SEGMENTS, RUNS, SEGMENTS

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


@dataclass(frozen=True, slots=True)
class Earlier:
    """A segment in one accepted run, for guards that look back. `base`: the span begins with this run, and counts it not."""

    size: int
    entered: int
    exited: int
    base: bool


def earlier(connection: Connection, names: Mapping[str, str], since: datetime) -> dict[str, list[Earlier]]:
    """Each segment's accepted runs after an instant (by `as_of`), oldest first, and before them the one at which the span begins.

    `names` has the segments' present names by all that they ever had. The span begins with the newest run not after the
    instant, or the first that had the segment; but if somebody has decided on the segment since, with the run of that decision.
    """
    stamp = since.isoformat(timespec="microseconds")
    accepted = select(RUNS.c.id, RUNS.c.as_of).where(RUNS.c.status == str(Status.ACCEPTED)).order_by(RUNS.c.id)
    runs = [(int(row.id), str(row.as_of)) for row in connection.execute(accepted)]
    first = max((number for number, as_of in runs if as_of <= stamp), default=runs[0][0] if runs else 0)
    table = RUN_SEGMENTS.c
    wanted = select(RUN_SEGMENTS).where(
        table.run >= first, table.segment.in_(names), table.run.in_([number for number, _ in runs if number >= first])
    )
    decided = {names.get(row.name, row.name): row.decided or 0 for row in connection.execute(select(SEGMENTS.c.name, SEGMENTS.c.decided))}
    found: dict[str, list[Earlier]] = {}
    for row in connection.execute(wanted.order_by(table.run)):
        name = names[row.segment]
        if row.run >= decided.get(name, 0):
            before = found.setdefault(name, [])
            before.append(Earlier(row.size, row.entered, row.exited, base=not before))
    return found


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
