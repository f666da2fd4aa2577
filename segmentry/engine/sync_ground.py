"""What a person's word on a sync stands on: the accepted run, as long as the files are still those that it computed.

A word makes at once so what a run would make so: the same decisions, by the accepted memberships, committed under the run's lease.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING

from segmentry.engine.activation import delivers
from segmentry.engine.background import DELIVERS, RECOVERED, known_syncs
from segmentry.engine.config_destinations import consent_texts
from segmentry.engine.consequences import renamed_in
from segmentry.engine.definitions import Definitions, definition_of, elsewhere_of
from segmentry.engine.moment import nearest_hint
from segmentry.engine.renaming import renames_of
from segmentry.engine.splitting import splits_of
from segmentry.engine.standing_run import Newest, standing_of
from segmentry.engine.state import ledger, synced
from segmentry.engine.state.synced import SyncDraft, SyncRecord, apply_syncs
from segmentry.engine.sync_plans import Sync, plan_sync, syncs_of
from segmentry.engine.sync_words import sync_name
from segmentry.errors import ClockError, DecisionError, NotFound
from segmentry.rules.functions import REFERRING
from segmentry.rules.syntax import Call, Syntax, Text

if TYPE_CHECKING:
    from segmentry.engine.activation import Standing
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.state import RunRecord, State
    from segmentry.engine.state.lease import Lease


@dataclass(frozen=True)
class Ground:
    """The accepted run and what it stands for."""

    workspace: LoadedWorkspace
    state: State
    record: RunRecord
    standing: Standing

    @property
    def recovered(self) -> bool:
        """Whether a recovery waits for its run, which takes whoever is new to a sync as baseline."""
        return bool(self.state.fact(RECOVERED))

    def plan(self, sync: Sync, answer: str | None, *, starts: bool, standing: Standing | None = None) -> SyncDraft:
        """What becomes of one sync, by what the state says now."""
        with self.state.catalog.reading() as connection:
            known = known_syncs(connection, self.state.secret(connection), ledger.survivors(connection))
            return plan_sync(self.workspace, standing or self.standing, known, sync, answer, starts=starts, baseline=self.recovered)

    def commit(self, lease: Lease, drafts: Sequence[SyncDraft]) -> None:
        """Makes it so. Raises LeaseLost."""
        with self.state.catalog.writing() as connection:
            lease.check(connection)
            apply_syncs(connection, drafts, self.standing.now)


def ground_of(workspace: LoadedWorkspace, state: State, now: datetime, newest: Newest) -> Ground:
    """What a word stands on. Raises DecisionError where a run must be made first, and ClockError."""
    require_telling(workspace, state)
    record = state.accepted()
    if record is None or state.fact(DELIVERS) is not True:
        since = "there is no run yet" if record is None else "the accepted run did not deliver"
        raise DecisionError(f"{since}: recompute, and decide on what that run shows")
    if now < record.started:
        raise ClockError(f"the clock reads {now:%Y-%m-%d %H:%M} UTC, and the last run began later, at {record.started:%Y-%m-%d %H:%M}")
    return Ground(workspace, state, record, standing_of(workspace, state, record, now, newest))


def require_telling(workspace: LoadedWorkspace, state: State) -> None:
    """Raises DecisionError where nothing may be told, or by other names than the state has."""
    if not delivers(workspace):
        raise DecisionError(f"environment `{workspace.environment}` sends nothing: it has no `deliver: true`")
    unknown = state.unknown_ledgers()
    if unknown:
        raise DecisionError(f"an older catalog was restored, which does not know {unknown[0]}; `segmentry recover` first")
    found = renamed_in(workspace, state, renames_of(workspace, state.segments()))
    former = sorted({*found.segments.values(), *found.destinations.values()})
    if former:
        raise DecisionError(f"`{former[0]}` was renamed since the accepted run: recompute first")


def require_recovered(ground: Ground) -> None:
    """Raises DecisionError between a recovery and its run, by which whoever is new to a sync is let be."""
    if ground.recovered:
        raise DecisionError("the state was recovered, and no run was made since: recompute first")


def require_as_computed(ground: Ground, sync: Sync) -> None:
    """Raises DecisionError unless a sync's segment, what it refers to, the suppression and consents are what the accepted run computed."""
    segment, destination = sync.segment, sync.config.destination
    workspace, run = ground.workspace, ground.record.id
    if segment not in ground.standing.segments:
        raise DecisionError(f"run {run} has no segment `{segment}`: recompute first")
    then = Definitions.from_json(ground.record.definitions["definitions"])
    concerned = _resting(workspace, [segment])
    if workspace.suppress is not None:
        concerned |= _resting(workspace, _named(workspace.suppress))
    edited = [name for name in sorted(concerned) if definition_of(workspace.segments[name]) != then.segments.get(name)]
    if edited:
        raise DecisionError(f"`{edited[0]}` was edited since run {run}: recompute, and decide on what that run shows")
    if sync.config.split is not None and splits_of(workspace).get(segment) != then.splits.get(segment):
        raise DecisionError(f"`split` of `{segment}` was edited since run {run}: recompute, and decide on what that run shows")
    if elsewhere_of(workspace.config) != then.elsewhere:
        raise DecisionError(f"timezone, week or sources were edited since run {run}: recompute, and decide on what that run shows")
    if workspace.config.suppress != then.suppress:
        raise DecisionError(f"`suppress` was edited since run {run}: recompute, and decide on what that run shows")
    if consent_texts(workspace.document).get(destination) != then.consents.get(destination):
        raise DecisionError(f"`consent` of `{destination}` was edited since run {run}: recompute, and decide on what that run shows")


def _resting(workspace: LoadedWorkspace, names: Sequence[str] | set[str]) -> set[str]:
    """Segments and all that they refer to, by however many steps."""
    found: set[str] = set()
    further = set(names)
    while further:
        name = further.pop()
        found.add(name)
        syntax = workspace.segments[name].syntax if name in workspace.segments else None
        further |= (_named(syntax) if syntax is not None else set()) - found
    return found & workspace.segments.keys()


def _named(syntax: Syntax) -> set[str]:
    """The segments that a rule names."""
    if isinstance(syntax, Call) and syntax.name in REFERRING:
        return {arg.value for arg in syntax.args if isinstance(arg, Text)}
    return {name for part in _parts(syntax) for name in _named(part)}


def _parts(syntax: Syntax) -> Iterator[Syntax]:
    for part in fields(syntax):
        value = getattr(syntax, part.name)
        if isinstance(value, Syntax):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Syntax))


# ---------------------------------------------------------------- which sync is meant


def named_sync(workspace: LoadedWorkspace, segment: str, destination: str, target: str | None) -> Sync:
    """The one sync that is meant, of those that the files say. Raises NotFound; DecisionError where several may be meant."""
    if segment not in workspace.segments:
        raise NotFound(f"there is no segment `{segment}`" + nearest_hint(segment, workspace.names))
    if destination not in workspace.config.destinations:
        raise NotFound(f"there is no destination `{destination}`" + nearest_hint(destination, workspace.config.destinations))
    of_segment = [sync for sync in syncs_of(workspace) if sync.segment == segment]
    found = {sync.target: sync for sync in of_segment if sync.config.destination == destination}
    if not found:
        there = ", ".join(sync_name(*sync.key) for sync in of_segment)
        raise NotFound(f"`{segment}` is not kept in step with `{destination}`" + (f"; there is {there}" if there else ""))
    return found[_chosen(segment, destination, target, found)]


def meant_syncs(workspace: LoadedWorkspace, segment: str | None, destination: str | None) -> list[Sync]:
    """The syncs that the files say, all or those of a segment, to a destination. Raises NotFound where there is none."""
    for name, known, what in (
        (segment, workspace.names, "segment"),
        (destination, workspace.config.destinations, "destination"),
    ):
        if name is not None and name not in known:
            raise NotFound(f"there is no {what} `{name}`" + nearest_hint(name, known))
    found = [one for one in syncs_of(workspace) if segment in (None, one.segment) and destination in (None, one.config.destination)]
    if not found:
        raise NotFound("there is no sync" + (f" of `{segment}`" if segment else "") + (f" to `{destination}`" if destination else ""))
    return found


def named_record(records: Sequence[SyncRecord], segment: str, destination: str, target: str | None) -> SyncRecord:
    """The one sync that is meant, of those that the state knows. Raises NotFound; DecisionError where several may be meant."""
    found = {one.target: one for one in records if (one.segment, one.destination) == (segment, destination)}
    if not found:
        known = ", ".join(sync_name(*one.key) for one in records)
        raise NotFound(f"`{segment}` was never kept in step with `{destination}`" + (f"; there is {known}" if known else ""))
    return found[_chosen(segment, destination, target, found)]


def _chosen(segment: str, destination: str, target: str | None, found: Mapping[str, object]) -> str:
    """The target that is meant."""
    if target is None:
        if len(found) > 1:
            choices = " or ".join(f"--target {one}" for one in sorted(found))
            raise DecisionError(f"`{segment}` has several syncs to `{destination}`: say {choices}")
        return next(iter(found))
    if target not in found:
        raise NotFound(f"`{segment}` is not kept in step with `{target}` of `{destination}`" + nearest_hint(target, found))
    return target


def records_of(state: State) -> dict[tuple[str, str, str], SyncRecord]:
    """Every sync that the state knows, by (segment, destination, target)."""
    with state.catalog.reading() as connection:
        return {one.key: one for one in synced.syncs(connection)}
