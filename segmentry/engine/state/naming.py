"""Names that segments had: how a run of then is read by the names of now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from segmentry.engine.state.schema import RENAMES

SEGMENT = "segment"
"""The kind of a segment's rename."""


def renames_since(connection: Connection, run: int) -> list[tuple[str, str]]:
    """What segments were called in a run, and then were called: each step after it, in the order they came."""
    later = (RENAMES.c.kind == SEGMENT) & (RENAMES.c.run > run)
    rows = connection.execute(select(RENAMES.c.former, RENAMES.c.name).where(later).order_by(RENAMES.c.run, RENAMES.c.former))
    return [(row.former, row.name) for row in rows]


def followed(steps: Iterable[tuple[str, str]], newest: Mapping[str, str] | None = None) -> dict[str, str]:
    """Former names and the last name of each, from renames in the order they came; `newest` are those not yet in the catalog."""
    found: dict[str, str] = {}
    for old, new in [*steps, *(newest or {}).items()]:
        found = {first: new if last == old else last for first, last in found.items()}
        found.setdefault(old, new)
    return found


def followed_back(steps: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Last names, and the name each had before the first of these renames."""
    found: dict[str, str] = {}
    for old, new in followed(steps).items():
        found.setdefault(new, old)
    return found
