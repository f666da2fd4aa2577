"""Instants as people give them: `as_of` of the library and of the command line."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(given: datetime | str) -> datetime:
    """An aware UTC datetime from a datetime or ISO text; without a zone it is UTC. ValueError for text that is no instant."""
    value = datetime.fromisoformat(given.strip()) if isinstance(given, str) else given
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
