"""The destinations of a workspace as its files and its state have them: nothing is opened, and no secret is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from segmentry.engine.connectors.syncing import Target
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.state import State, noticed, outbox, sync_outbox
from segmentry.engine.state.holds import pauses
from segmentry.engine.whose import UNKNOWN

DESTINATIONS = pl.Schema(
    {
        "destination": pl.String(),
        "type": pl.String(),
        "where": pl.String(),
        "account": pl.String(),
        "sequences": pl.List(pl.String()),
        "syncs": pl.List(pl.String()),
        "due": pl.Int64(),
        "later": pl.Int64(),
        "paused": pl.String(),
        "stopped": pl.String(),
    }
)


def destinations(loaded: LoadedWorkspace, state: State | None, now: datetime) -> pl.DataFrame:
    """A row per destination: its account, pinned or said; what uses it; how much is due, or will be; whether it is paused, or stopped.

    Columns as `DESTINATIONS`. Before the first run only what the files say is known.
    """
    rows = []
    for name, config in loaded.config.destinations.items():
        account = config.account
        known: tuple[int | None, int | None, str | None, str | None] = (None, None, None, None)
        if state is not None:
            with state.catalog.reading() as connection:
                enrollments, changes = (table.waiting(connection, name, now) for table in (outbox, sync_outbox))
                stop = noticed.stops(connection).get(name)
                account = outbox.pins(connection).get(name, UNKNOWN).account or account
                closed = outbox.closed(connection, name)
            known = (enrollments[0] + changes[0], enrollments[1] + changes[1], closed, stop[0] if stop else None)
        rows.append((name, config.type, where(config.settings), account, _sequences(loaded, state, name), _syncs(loaded, name), *known))
    return pl.DataFrame(rows, schema=DESTINATIONS, orient="row")


def where(settings: Mapping[str, Any]) -> str | None:
    """Where a destination is, as it is written: a folder's path, or the host of a web address, whose other parts may be secret."""
    if isinstance(settings.get("path"), str):
        return str(settings["path"])
    written = settings.get("url")
    if not isinstance(written, str):
        return None
    scheme, separator, rest = written.rpartition("://")
    host, *more = re.split(r"[/?#]", rest, maxsplit=1)
    if "@" in rest:  # a user's name and password are before it
        return f"{scheme}{separator}…"
    return f"{scheme}{separator}{host}" + ("/…" if more and more[0] else "")


def _sequences(loaded: LoadedWorkspace, state: State | None, name: str) -> list[str]:
    """The sequences of a destination, those that are paused by themselves marked."""
    paused: Mapping[str, str | None] = {}
    if state is not None:
        with state.catalog.reading() as connection:
            paused = pauses(connection)
    mine = {key: one for key, one in loaded.config.sequences.items() if one.destination == name}
    return [f"{key} (paused)" if one.paused or key in paused else key for key, one in mine.items()]


def _syncs(loaded: LoadedWorkspace, name: str) -> list[str]:
    """The segments that are kept in step with a destination, each with what of it; of exports what is written."""
    found = []
    for segment in loaded.segments.values():
        for entry in segment.config.sync:
            if entry.destination == name:
                target = Target.of({} if entry.what is not None else entry.words)
                told = ", ".join(entry.what) if entry.what is not None else str(target) if target.kind else ""
                found.append(f"{segment.name} ({told})" if told else segment.name)
    return found
