"""`sync confirm`: what becomes of those who are in a segment when it is first kept in step with something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from segmentry.engine.config_activation import SyncConfig
from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.connectors.syncing import Outlook, Target
from segmentry.engine.delivering import Open
from segmentry.engine.standing_run import Newest
from segmentry.engine.state.synced import ADD, BASELINE
from segmentry.engine.sync_ground import Ground, ground_of, named_sync, records_of, require_as_computed, require_recovered
from segmentry.engine.sync_plans import SKIP, Sync
from segmentry.engine.sync_reaching import outlook, reached
from segmentry.engine.sync_words import sync_name
from segmentry.errors import DecisionError, DestinationError

if TYPE_CHECKING:
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.state import State
    from segmentry.engine.state.synced import SyncDraft

OUTSIDE = "what starts there for whoever is put in is an enrollment outside Segmentry's ledger, which can't see to it that it happens once"
IN_MIRROR = f"{OUTSIDE}: in `mirror`, whoever leaves the segment and comes back is put in again"
MIRROR = "mirror"

LEFT_OUT = {
    "shared": "share an address with another member",
    "no_address": "have no address",
    "left": "left there before",
    "suppressed": "are suppressed",
}
"""Members who are not added, by the figure that counts them."""


@dataclass(frozen=True)
class Proposal:
    """What a confirmation would do, or did. `figures` of the sync as a run counts them, `added` would be told of, `baseline` let be.

    `outlook` is the target as it is there now; where that could not be read, `unread` says why. `before`: the answer that was given
    already, and is not changed.
    """

    segment: str
    destination: str
    target: str
    mode: str
    answer: str
    run: int
    figures: Mapping[str, Any] = field(default_factory=dict)
    added: int = 0
    baseline: int = 0
    outlook: Outlook | None = None
    unread: str | None = None
    before: str | None = None

    @property
    def name(self) -> str:
        """What the sync is called."""
        return sync_name(self.segment, self.destination, self.target)

    @property
    def warnings(self) -> list[str]:
        """What somebody should know before the answer is yes."""
        found = [] if self.outlook is None else list(self.outlook.warnings)
        if self.outlook is not None and self.outlook.starts:
            found.append(IN_MIRROR if self.mode == MIRROR else OUTSIDE)
        return [*found, *([self.unread] if self.unread else [])]

    def lines(self) -> list[str]:
        """What it would do, in words."""
        if self.before is not None:
            return [f"{self.name}: confirmed already, with --{self.before}; nothing is changed"]
        members = int(self.figures.get("members", 0))
        said = [f"{self.name} ({self.mode}): {members:,} members by run {self.run}"]
        if self.answer == SKIP:
            said.append(f"{self.baseline:,} are let be; only who comes in from now on is added")
        else:
            others = [f"{count:,} {why}" for name, why in LEFT_OUT.items() if (count := int(self.figures.get(name, 0)))]
            said.append(f"{self.added:,} are added" + (f"; {', '.join(others)}" if others else ""))
        if self.outlook is not None:
            size = "" if self.outlook.members is None else f", with {self.outlook.members:,} in it now"
            said.append(f"there it is `{self.outlook.title}`{size}")
        return said

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        seen = self.outlook
        return {
            "segment": self.segment,
            "destination": self.destination,
            "target": self.target,
            "mode": self.mode,
            "answer": self.before or self.answer,
            "run": self.run,
            "members": self.figures.get("members"),
            "added": self.added,
            "baseline": self.baseline,
            **{name: self.figures.get(name) for name in LEFT_OUT},
            "there": None if seen is None else {"title": seen.title, "members": seen.members},
            "warnings": self.warnings,
            "confirmed_before": self.before is not None,
        }


def propose(
    workspace: LoadedWorkspace,
    state: State,
    wanted: tuple[str, str, str | None],
    answer: str,
    now: datetime,
    newest: Newest,
    environ: Mapping[str, str],
    *,
    open: Open = open_destination,
) -> Proposal:
    """What a confirmation would do; nothing is written. `wanted`: segment, destination, target (None: the only one).

    Raises NotFound, and DecisionError where a run must be made first. A destination that can't be read is said, and not raised.
    """
    sync = named_sync(workspace, *wanted)
    ground = ground_of(workspace, state, now, newest)
    found, _ = _decided(ground, sync, answer)
    if found.before is not None:
        return found
    try:
        with reached(workspace, state, sync.config.destination, environ, open=open) as destination:
            return replace(found, outlook=outlook(destination, sync.config.destination, target_of(sync.config)))
    except DestinationError as error:
        return replace(found, unread=str(error))


def confirm(
    workspace: LoadedWorkspace,
    state: State,
    wanted: tuple[str, str, str | None],
    answer: str,
    now: datetime,
    newest: Newest,
    *,
    run: int | None = None,
    wait: float = 0.0,
) -> Proposal:
    """Notes the answer, once, for that exact target, and makes it so: what it comes to is due at once. As `propose`, and LeaseHeld.

    `run`: the accepted run that it was asked by; where another is accepted by now, what was shown is not what would be done.
    """
    sync = named_sync(workspace, *wanted)
    with state.lease(wait) as lease:
        ground = ground_of(workspace, state, now, newest)
        if run is not None and ground.record.id != run:
            raise DecisionError(f"run {ground.record.id} was accepted meanwhile: look at what it comes to now, and confirm that")
        found, draft = _decided(ground, sync, answer)
        if draft is not None:
            ground.commit(lease, [draft])
    return found


def _decided(ground: Ground, sync: Sync, answer: str) -> tuple[Proposal, SyncDraft | None]:
    """What an answer comes to; no draft where one was given before."""
    record = records_of(ground.state).get(sync.key)
    found = Proposal(*sync.key, mode=sync.config.mode, answer=answer, run=ground.record.id)
    if record is not None and record.answer is not None:
        return replace(found, figures=record.figures, before=record.answer), None
    require_recovered(ground)
    require_as_computed(ground, sync)
    draft = ground.plan(sync, answer, starts=True)
    added, baseline = draft.written.filter(pl.col("action") == ADD).height, draft.written.filter(pl.col("state") == BASELINE).height
    return replace(found, figures=draft.figures, added=added, baseline=baseline), draft


def target_of(config: SyncConfig) -> Target:
    """What of its destination a sync is about."""
    return Target.of({} if "what" in config.words else config.words)
