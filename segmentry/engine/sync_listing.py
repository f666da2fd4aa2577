"""How syncs stand, and what a delivery would tell now. Reasons are a destination's own, and have no address in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from segmentry.engine.activation import delivers
from segmentry.engine.connectors.destination import Traits
from segmentry.engine.connectors.registry import sync_traits_of, traits_of
from segmentry.engine.moment import nearest_hint
from segmentry.engine.state import counting, outbox, sync_outbox, sync_said, synced
from segmentry.engine.state.synced import ADD, AWAY, BASELINE, DETACHED, MEMBER, OUT, REJECTED, REMOVE, SKIPPED, UNCONFIRMED, UPDATE
from segmentry.engine.sync_plans import syncs_of
from segmentry.engine.sync_words import confirm_command
from segmentry.errors import NotFound

if TYPE_CHECKING:
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.state import State

NEW = "new"
"""The status of a sync that the files say, and no run has seen yet."""

REASONS = 3
"""Of why contacts are not there as they should be, so many reasons are told, the most frequent ones."""

_TEXT, _COUNT = pl.String(), pl.Int64()
STATES = {"members": MEMBER, "out": OUT, "left": AWAY, "rejected": REJECTED, "skipped": SKIPPED, "baseline": BASELINE}
"""What the columns count."""

SYNCS = pl.Schema(
    {
        **dict.fromkeys(("segment", "destination", "target", "mode", "status"), _TEXT),
        **dict.fromkeys(("waiting", *STATES, ADD, UPDATE, REMOVE), _COUNT),
        "reasons": _TEXT,
    }
)
"""`waiting`: members of a sync that waits for a word. `members` are acknowledged there, `out` are not there or not yet, `left` are never
put back, `baseline` were in at its start and are let be. `add`, `update` and `remove` are open. `reasons`: why some are not as they
should be, with how many."""

DUE = pl.Schema(
    {
        **dict.fromkeys(("destination", "what", "target", "status"), _TEXT),
        **dict.fromkeys((ADD, UPDATE, REMOVE, "enroll", "later", "calls"), _COUNT),
        "minutes": pl.Float64(),
    }
)
"""`what`: a segment that is kept in step with `target`, or a sequence. `later`: not due yet."""


def listing(workspace: LoadedWorkspace, state: State | None) -> pl.DataFrame:
    """Every sync that the files say, that goes on, or that left something behind: as `SYNCS`."""
    rows: dict[tuple[str, str, str], tuple[object, ...]] = {}
    nothing = (None,) * len(STATES)
    for sync in syncs_of(workspace):
        rows[sync.key] = (*sync.key, sync.config.mode, NEW, None, *nothing, None, None, None, None)
    if state is not None:
        with state.catalog.reading() as connection:
            states, opened = synced.state_counts(connection), synced.open_counts(connection)
            for record in synced.syncs(connection):
                counts, todo = states.get(record.id, {}), opened.get(record.id, {})
                forgotten = record.status == DETACHED and record.answer is None and not (counts.keys() - {AWAY, OUT})
                if forgotten:
                    continue
                reasons = sync_outbox.refusals(connection, [record.id], REASONS)
                rows[record.key] = (
                    *record.key,
                    record.mode,
                    record.status,
                    record.figures.get("members") if record.status == UNCONFIRMED else None,
                    *(counts.get(name, 0) for name in STATES.values()),
                    *(todo.get(action, 0) for action in (ADD, UPDATE, REMOVE)),
                    ", ".join(f"{reason} ({count:,})" for reason, count in reasons) or None,
                )
    return pl.DataFrame([rows[key] for key in sorted(rows)], schema=SYNCS, orient="row")


@dataclass(frozen=True)
class Due:
    """What a delivery would tell now: `rows` as `DUE`. `messages`: what stands in its way."""

    rows: pl.DataFrame
    messages: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {"due": self.rows.to_dicts(), "messages": list(self.messages)}


def due(workspace: LoadedWorkspace, state: State, now: datetime, destinations: Sequence[str] | None = None) -> Due:
    """What would be told, and how long it takes at the destinations' pace. Sends and writes nothing. Raises NotFound."""
    config = workspace.config
    for name in destinations or ():
        if name not in config.destinations:
            raise NotFound(f"there is no destination `{name}`" + nearest_hint(name, config.destinations))
    names = [name for name in config.destinations if destinations is None or name in destinations]
    with state.catalog.reading() as connection:
        changes = sync_said.due_by_action(connection, now)
        enrollments = counting.unsent_by_sequence(connection)
        records = synced.syncs(connection)
        closed = {name: why for name in names if (why := outbox.closed(connection, name)) is not None}
    rows: list[tuple[object, ...]] = []
    said = {sync.key for sync in syncs_of(workspace)}
    for name in names:
        traits = sync_traits_of(config.destinations[name].settings)
        for record in sorted((one for one in records if one.destination == name), key=lambda one: one.key):
            if record.key in said and record.status != DETACHED:
                found = changes.filter(pl.col("sync") == record.id)
                ready = dict(found.select("action", "due").iter_rows())
                counts = [ready.get(action, 0) for action in (ADD, UPDATE, REMOVE)]
                later = int(found["later"].sum())
                rows.append((name, record.segment, record.target, record.status, *counts, None, later, *_pace(counts, traits)))
        for (destination, sequence), count in enrollments.items():
            if destination == name and sequence in config.sequences:
                own = traits_of(config.destinations[name].settings, config.sequences[sequence].words or None)
                rows.append((name, sequence, None, "sequence", None, None, None, count, None, *_pace([count], own)))
    messages = [f"{name}: {why}" for name, why in closed.items()]
    if not delivers(workspace):
        messages.append(f"environment `{workspace.environment}` sends nothing: it has no `deliver: true`")
    waiting = [one for one in records if one.status == UNCONFIRMED and one.key in said and one.destination in names]
    messages += [f"{one.figures.get('members', 0):,} wait for a word: {confirm_command(*one.key)}" for one in waiting]
    return Due(pl.DataFrame(rows, schema=DUE, orient="row"), tuple(messages))


def _pace(counts: Sequence[int], traits: Traits) -> tuple[int, float]:
    """Requests, and minutes at the destination's pace."""
    return sum(math.ceil(count / traits.batch) for count in counts), round(sum(counts) / traits.per_minute, 2)
