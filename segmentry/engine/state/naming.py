"""Names that segments had: how a run of then is read by the names of now."""

from __future__ import annotations

from sqlalchemy import Connection, select

from segmentry.engine.state.schema import RENAMES

SEGMENT = "segment"
"""The kind of a segment's rename."""


def renames_since(connection: Connection, run: int) -> list[tuple[str, str]]:
    """What segments were called in a run, and then were called: each step after it, in the order they came."""
    later = (RENAMES.c.kind == SEGMENT) & (RENAMES.c.run > run)
    rows = connection.execute(select(RENAMES.c.former, RENAMES.c.name).where(later).order_by(RENAMES.c.run, RENAMES.c.former))
    return [(row.former, row.name) for row in rows]
