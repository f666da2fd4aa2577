"""Instants as people give them: `as_of` of the library and of the command line."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(given: datetime | str) -> datetime:
    """An aware UTC datetime from a datetime or ISO text; without a zone it is UTC. ValueError for what is no instant."""
    value = datetime.fromisoformat(given.strip()) if isinstance(given, str) else given
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (AttributeError, OverflowError):  # a date or a number; a time outside the years 1 to 9999 in UTC
        raise ValueError(f"{value} is no instant") from None
