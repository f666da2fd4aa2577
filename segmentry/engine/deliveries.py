"""What people do about deliveries: look at them, settle one by hand, pause and resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from segmentry.engine.state import by_hand, holds, outbox
from segmentry.engine.state.by_hand import BECOMES, Fit, Said
from segmentry.errors import NotFound
from segmentry.rules.suggest import did_you_mean

if TYPE_CHECKING:
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.state import State


def everybody(rows: pl.DataFrame) -> pl.Series:
    """The `fit` of who asks nobody: every row may still be sent."""
    return pl.repeat(True, rows.height, dtype=pl.Boolean(), eager=True)


@dataclass(frozen=True)
class Resumed:
    """What ended with a `resume`. `pauses`: the names that were paused; `released`: rows of the pause that are sent now.

    `still`: what is paused all the same, and where.
    """

    pauses: Sequence[str]
    released: int
    still: Sequence[str] = field(default_factory=list)


def deliveries(
    state: State, *, outcome: str | None = None, destination: str | None = None, sequence: str | None = None, limit: int | None = None
) -> pl.DataFrame:
    """Deliveries, the newest change first; see `by_hand.deliveries`."""
    with state.catalog.reading() as connection:
        return by_hand.deliveries(connection, outcome=outcome, destination=destination, sequence=sequence, limit=limit)


def settle(state: State, action: str, ids: Sequence[str], now: datetime, *, fit: Fit = everybody) -> Said:
    """Retries, drops or marks as sent (`retry`, `drop`, `mark-sent`) deliveries by their ids. Raises NotFound, and changes nothing then."""
    assert action in BECOMES, action
    with state.catalog.writing() as connection:
        return by_hand.say(connection, action, ids, now, fit)


def pause(state: State, workspace: LoadedWorkspace, name: str | None, now: datetime) -> bool:
    """Pauses a destination, a sequence, or everything (None); False if it was already. Works before the next request.

    Raises NotFound for what is neither.
    """
    if name is not None:
        _check(workspace, name)
    with state.catalog.writing() as connection:
        return holds.pause(connection, _key(name), now)


def resume(
    state: State, workspace: LoadedWorkspace, name: str | None, now: datetime, *, send_waiting: bool = False, fit: Fit = everybody
) -> Resumed:
    """Ends a pause. Who came in meanwhile stays unsent, unless `send_waiting`: then rows that are still `fit` are due.

    None ends the pause of everything; what was paused by its own name stays so. Raises NotFound.
    """
    with state.catalog.writing() as connection:
        paused = holds.pauses(connection)
        if name is not None and name not in paused:
            _check(workspace, name)
        ended = holds.resume(connection, _key(name))
        if ended and name is not None:
            outbox.note_stop(connection, name, None, now)
        waiting = by_hand.paused_rows(connection, name, fit) if send_waiting else {}
        released = by_hand.release(connection, [id for ids in waiting.values() for id in ids], now)
        still = [other for other in holds.pauses(connection) if name is None or other in _around(workspace, name)]
    by_file = [
        f"{sequence} (`paused: true` in segmentry.yml)"
        for sequence, one in workspace.config.sequences.items()
        if one.paused and name in (None, sequence, one.destination)
    ]
    return Resumed([_key(name)] if ended else [], released, [*still, *by_file])


def waiting_after_pause(state: State, name: str | None, *, fit: Fit = everybody) -> dict[str, int]:
    """How many rows of each sequence a `resume` with `send_waiting` would send: those that came in during the pause."""
    with state.catalog.reading() as connection:
        return {sequence: len(ids) for sequence, ids in by_hand.paused_rows(connection, name, fit).items()}


def _key(name: str | None) -> str:
    return holds.EVERYTHING if name is None else name


def _around(workspace: LoadedWorkspace, name: str) -> set[str]:
    """The pauses that stop what a name stands for."""
    sequence = workspace.config.sequences.get(name)
    return {holds.EVERYTHING, name} | ({sequence.destination} if sequence is not None else set())


def _check(workspace: LoadedWorkspace, name: str) -> None:
    known = [*workspace.config.destinations, *workspace.config.sequences]
    if name not in known:
        hint = did_you_mean(name, known)
        raise NotFound(f"there is no destination or sequence `{name}`" + (f"; {hint}" if hint else ""))
