"""`sync detach`: a sync that the files don't say any more is forgotten; first, if somebody says so, whom it added is taken out."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from segmentry.engine.connectors.registry import open_destination, sync_traits_of
from segmentry.engine.connectors.syncing import Target
from segmentry.engine.delivering import LOOK_SECONDS, Open
from segmentry.engine.identity import change_id
from segmentry.engine.people import CONTACT
from segmentry.engine.state import reading, same_target, sync_said, synced
from segmentry.engine.state.lease import Lease, hold
from segmentry.engine.state.outbox import stamp
from segmentry.engine.state.synced import DETACHED, MEMBER, OUT, REJECTED, REMOVE, SKIPPED, SyncDraft, SyncRecord, apply_syncs
from segmentry.engine.sync_ground import named_record, records_of, require_telling
from segmentry.engine.sync_plans import leaving, syncs_of
from segmentry.engine.sync_reaching import reached
from segmentry.engine.sync_rows import closed, known_only
from segmentry.engine.sync_sending import Syncing, SyncSender
from segmentry.engine.sync_words import sync_name
from segmentry.engine.telling import Circle
from segmentry.errors import DecisionError

if TYPE_CHECKING:
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.state import State


LEAVING = '{"address":null,"fields":{}}'
"""The payload of a removal where the destination knows who it is by what it called them."""


@dataclass(frozen=True)
class Detached:
    """A sync that is forgotten, or would be. `members`: whom it added and who are acknowledged there.

    `removed` were taken out, `left` were not there any more, or are not ours to take out; `waiting` are still to be taken out, for
    reasons that `messages` say: then nothing is forgotten.
    """

    segment: str
    destination: str
    target: str
    members: int
    removed: int = 0
    left: int = 0
    waiting: int = 0
    messages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the sync is called."""
        return sync_name(self.segment, self.destination, self.target)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        names = ("segment", "destination", "target", "members", "removed", "left", "waiting")
        return {**{name: getattr(self, name) for name in names}, "messages": list(self.messages)}


@dataclass(frozen=True)
class Telling:
    """How members are taken out: see `delivering.deliver`."""

    environ: Mapping[str, str]
    clock: Callable[[], datetime]
    open: Open = open_destination
    sleep: Callable[[float], object] | None = None
    draw: Callable[[], float] = random.random


def detaching(workspace: LoadedWorkspace, state: State, wanted: tuple[str, str, str | None]) -> Detached:
    """What `detach` would be about; nothing is written. `wanted`: segment, destination, target (None: the only one).

    Raises NotFound, and DecisionError for a sync that the files still say.
    """
    record = _unsaid(workspace, state, wanted)
    with state.catalog.reading() as connection:
        return Detached(*record.key, sync_said.there(connection, record.id))


def detach(
    workspace: LoadedWorkspace, state: State, wanted: tuple[str, str, str | None], telling: Telling, *, remove: bool, wait: float = 0.0
) -> Detached:
    """Forgets a sync. `remove`: takes out whom it added first, by their membership as it is read there.

    Who left its target is known for good. As `detaching`; also LeaseHeld, and DestinationError where nobody could be taken out.
    """
    record = _unsaid(workspace, state, wanted)
    environment = workspace.environment
    purpose = f"delivery:{record.destination}"
    with hold(state.catalog, state.workspace, environment, purpose=purpose, wait=wait, clock=state.clock) as sending:
        if not remove:
            return _forgotten(workspace, state, wanted, wait)
        require_telling(workspace, state)
        with reached(workspace, state, record.destination, telling.environ, open=telling.open, clock=telling.clock) as destination:
            with state.lease(wait) as lease:
                record = _unsaid(workspace, state, wanted)
                members, staying = _open_removals(workspace, state, lease, record, telling.clock(), readable=destination.readable)
            settings = _syncing(workspace, state, record, telling)
            sender = SyncSender(state.catalog, sending, destination, settings)
            _run(sender, settings.stopping)
    stay = [f"{staying:,} stay: they are members by another segment's sync to it"] if staying else []
    found = Detached(*record.key, members, sender.counts["synced"], sender.counts["left"], messages=(*stay, *sender.messages))
    with state.catalog.reading() as connection:
        waiting = max(sync_said.there(connection, record.id), sync_said.removals(connection, record.id))
    if waiting:
        return replace(found, waiting=waiting)
    _forgotten(workspace, state, wanted, wait)
    return found


def _unsaid(workspace: LoadedWorkspace, state: State, wanted: tuple[str, str, str | None]) -> SyncRecord:
    """The sync that is meant, which the files must not say any more."""
    segment, destination, target = wanted
    said = {sync.key for sync in syncs_of(workspace)}
    known = [one for one in records_of(state).values() if one.status != DETACHED or one.answer is not None]
    mine = [one for one in known if (one.segment, one.destination) == (segment, destination)]
    unsaid = [one for one in known if one.key not in said]
    if target is None and mine and not any(one in unsaid for one in mine):
        target = mine[0].target
    record = named_record(known if target is not None else unsaid, segment, destination, target)
    if record.key in said:
        raise DecisionError(
            f"segments/{segment}.yml still says {sync_name(*record.key)}: take it out of `sync:` there, and detach it then;"
            f" `segmentry pause {destination}` stops it meanwhile"
        )
    _require_no_former_name(workspace, record)
    return record


def _require_no_former_name(workspace: LoadedWorkspace, record: SyncRecord) -> None:
    """What only has another name by now goes on under it with the next run."""
    for name, former in (
        *((name, one.config.renamed_from) for name, one in workspace.segments.items()),
        *((name, one.renamed_from) for name, one in workspace.config.destinations.items()),
    ):
        if {record.segment, record.destination} & set(former):
            raise DecisionError(
                f"{sync_name(*record.key)} is `{name}` by now, and goes on under that name with the next run: recompute first"
            )


def _forgotten(workspace: LoadedWorkspace, state: State, wanted: tuple[str, str, str | None], wait: float) -> Detached:
    """Forgets it, in one transaction."""
    with state.lease(wait) as lease:
        record = _unsaid(workspace, state, wanted)
        with state.catalog.writing() as connection:
            lease.check(connection)
            found = Detached(*record.key, sync_said.there(connection, record.id))
            sync_said.forget_sync(connection, record.id)
    return found


def _open_removals(
    workspace: LoadedWorkspace, state: State, lease: Lease, record: SyncRecord, now: datetime, *, readable: bool
) -> tuple[int, int]:
    """Has everybody whom the sync added taken out from now on, and nobody else told of it: how many go, and stay.

    Where there are members (`readable`), not who is one by another sync to the target that goes on: by this one it is out from now on.
    """
    kind, opened = _kind(state), stamp(now)
    with state.catalog.writing() as connection:
        lease.check(connection)
        sync_said.free(connection, record.id)
        rows = synced.rows_of(connection, record.id)
        ours = rows.filter((pl.col("state") == MEMBER) | pl.col("maybe"))
        kept = same_target.kept_by_others(connection, record.id, ours) if readable else ours[CONTACT].head(0)
        staying, going = (rows.filter(pl.col(CONTACT).is_in(kept.implode()) == stays) for stays in (True, False))
        draft = _removing(workspace, record, going, kind, opened)
        apply_syncs(connection, [replace(draft, written=pl.concat([draft.written, known_only(staying)]))], now)
        sync_said.hasten(connection, record.id, now)
    return going.filter(pl.col("state") == MEMBER).height, staying.filter(pl.col("state") == MEMBER).height


def _removing(workspace: LoadedWorkspace, record: SyncRecord, rows: pl.DataFrame, kind: str, opened: str) -> SyncDraft:
    """The sync as it is once everybody whom it added is to be taken out, and nothing else is open."""
    perhaps = pl.col("state").is_in([OUT, REJECTED, SKIPPED]) & pl.col("maybe")  # whoever was perhaps added is perhaps there
    ours = (pl.col("state") == MEMBER) | perhaps
    going = rows.filter(ours, pl.col("action").fill_null("") != REMOVE)
    parts = (workspace.environment, *record.key, kind)
    ids = [change_id(workspace.config.id, (*parts, contact, REMOVE, opened)) for contact in going[CONTACT]]
    # who may have got another address is there under what was told, and whose change was never asked for is not
    told = going.select(pl.when(pl.col("maybe") | pl.col("remote_id").is_null()).then("payload")).to_series()
    removals = closed(going).with_columns(
        pl.lit(REMOVE).alias("action"),
        pl.Series("change", ids, pl.String()),
        pl.Series("payload", [LEAVING if text is None else leaving(text) for text in told], pl.String()),
        pl.lit(opened).alias("opened"),
        pl.lit(opened).alias("due"),
    )
    others = closed(rows.filter(~ours, pl.col("action").is_not_null()))
    draft = SyncDraft(record.id, *record.key, mode=record.mode, status=DETACHED, answer=record.answer, figures=record.figures)
    return replace(draft, written=pl.concat([removals, others]))


def _run(sender: SyncSender, stopping: threading.Event) -> None:
    """Until nothing is due. After Ctrl-C it waits for the requests under way, records them, and raises KeyboardInterrupt."""
    with ThreadPoolExecutor(1, thread_name_prefix="segmentry-detach") as pool:
        running = pool.submit(sender.run)
        try:
            while not running.done():
                wait_for([running], timeout=LOOK_SECONDS)
        except BaseException:
            stopping.set()
            raise
    running.result()


def _syncing(workspace: LoadedWorkspace, state: State, record: SyncRecord, telling: Telling) -> Syncing:
    """What the sender must know."""
    config, stopping = workspace.config, threading.Event()
    circle = Circle(config.id, workspace.environment, _kind(state))
    kind, _, name = record.target.partition(":")
    target = Target(kind, name) if name else Target()
    traits = sync_traits_of(config.destinations[record.destination].settings)
    syncs = {record.id: (record.segment, target)}
    return Syncing(
        record.destination, config.id, circle, syncs, traits, telling.clock, telling.sleep or stopping.wait, telling.draw, stopping
    )


def _kind(state: State) -> str:
    """What contacts' keys are by the accepted run."""
    accepted = state.accepted()
    if accepted is None:
        return "text"
    with state.catalog.reading() as connection:
        return reading.contacts_record(connection, accepted.contacts).kind
