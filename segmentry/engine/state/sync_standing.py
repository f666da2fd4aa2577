"""How syncs stand: of each how many are there, are being told of, left, or were refused, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from segmentry.engine.state import sync_outbox, synced
from segmentry.engine.state.synced import AWAY, BASELINE, DETACHED, MEMBER, REJECTED, SKIPPED, UNCONFIRMED, SyncRecord

REASONS = 3
"""Of why contacts are not there as they should be, so many reasons are told, the most frequent ones."""

STATES: Mapping[str, str] = {"there": MEMBER, "left": AWAY, "rejected": REJECTED, "skipped": SKIPPED, "let_be": BASELINE}
"""What people call the contacts of a sync, and their state."""


@dataclass(frozen=True)
class SyncStanding:
    """One sync. `counts` by what `STATES` call them, and `open`: to be told of; `waiting`: who is in, of one that is unconfirmed."""

    record: SyncRecord
    counts: Mapping[str, int]
    reasons: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        one = self.record
        what = {"segment": one.segment, "destination": one.destination, "target": one.target, "mode": one.mode, "status": one.status}
        return {**what, **self.counts, "reasons": dict(self.reasons)}


def standings(connection: Connection) -> list[SyncStanding]:
    """Every sync that goes on, or waits for a word; by segment, destination and target."""
    states, opened = synced.state_counts(connection), synced.open_counts(connection)
    found = []
    for record in sorted(synced.syncs(connection), key=lambda one: one.key):
        if record.status != DETACHED:
            by_state = states.get(record.id, {})
            counts = {name: by_state.get(state, 0) for name, state in STATES.items()}
            counts["open"] = sum(opened.get(record.id, {}).values())
            counts["waiting"] = int(record.figures.get("members", 0)) if record.status == UNCONFIRMED else 0
            found.append(SyncStanding(record, counts, dict(sync_outbox.refusals(connection, [record.id], REASONS))))
    return found
