"""What a run that is past stands for: its memberships, who is suppressed and who has agreed, as activation goes by them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import polars as pl

from segmentry.engine.activation import Standing
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.people import Snapshot
from segmentry.engine.pinned import snapshot_from_json
from segmentry.engine.reading_rows import rows_or_newest
from segmentry.engine.snapshot import ContactSource
from segmentry.engine.splitting import Split, splits_from_json, splits_that_stand
from segmentry.engine.state import RunRecord, State
from segmentry.engine.state.records import CONSENT_COLUMN, HELD_COLUMN, SUPPRESS_COLUMN
from segmentry.engine.state.state import held_columns

Newest = Callable[[], ContactSource]
"""The newest contact snapshot, for rows that a run's own files have no more."""

NOBODY = pl.DataFrame(schema={"segment": pl.String(), "contact": pl.String(), "cause": pl.String()})
"""No entries."""


def standing_of(workspace: LoadedWorkspace, state: State, record: RunRecord, now: datetime, newest: Newest) -> Standing:
    """What a run stands for by what is accepted with it, with nobody who enters."""
    order = state.order(record.id)
    contacts = snapshot_from_json(record.snapshot).contacts
    return Standing(
        run=record.id,
        as_of=record.as_of,
        now=now,
        kind=order.record.kind,
        keys=order.keys,
        present=order.present,
        member=lambda name: state.columns([name], record.id)[name],
        segments=frozenset(record.segments),
        suppressed=suppressed_of(state, record, approved=False),
        entered=NOBODY,
        snapshot=Snapshot(contacts.key, contacts.email, partial(rows_or_newest, contacts, newest)),
        consents=consents_of(workspace, state, record),
        by_hand=True,
        splits=splits_that_stand(workspace, accepted_splits(record)),
    )


def accepted_splits(record: RunRecord) -> dict[str, Split]:
    """How segments are divided by what is accepted with a run."""
    return splits_from_json(record.definitions.get("splits", {}))


def suppressed_of(state: State, record: RunRecord, *, approved: bool) -> pl.Series | None:
    """Who is suppressed: by the computed rule once that is approved, before also by the accepted one."""
    held = held_columns(record)
    columns = [name for name in (SUPPRESS_COLUMN, HELD_COLUMN + SUPPRESS_COLUMN) if name in held]
    if not columns:
        return None
    found = state.columns(columns, record.id)
    return found[columns[-1]] if approved else pl.Series(found.select(pl.any_horizontal(pl.all())).to_series())


def consents_of(workspace: LoadedWorkspace, state: State, record: RunRecord) -> dict[str, pl.Series]:
    """Of every destination that asks for consent who had agreed; of one that the run did not know, nobody had."""
    there = held_columns(record)
    found = {}
    for name in workspace.consents:
        column = CONSENT_COLUMN + name
        nobody = pl.repeat(False, state.order(record.id).record.size, dtype=pl.Boolean(), eager=True)
        found[name] = state.columns([column], record.id)[column] if column in there else nobody
    return found
