"""A person's word on what guards hold: `approve`, `discard`, `accept --as-baseline`.

An approval is a run of its own that computes nothing: it stands on the run that was held, or on the newest accepted one,
and accepts what was shown then, its history and its enrollments with it. Nothing is evaluated anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from segmentry.engine.activation import Activation, Background, activate
from segmentry.engine.activation_checks import aliases_of
from segmentry.engine.background import NOTHING, Renamed, background
from segmentry.engine.consequences import new_aliases, renamed_in
from segmentry.engine.definitions import Definitions, definition_of, elsewhere_of
from segmentry.engine.enrolling import Outcome
from segmentry.engine.guards import HoldKind, told
from segmentry.engine.holding import SUPERSEDED
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.moment import nearest_hint
from segmentry.engine.own_names import require_own_names
from segmentry.engine.pinned import snapshot_from_json
from segmentry.engine.renaming import renames_of
from segmentry.engine.report import segment_report
from segmentry.engine.splitting import splits_from_json, splits_of, splits_that_stand, splits_to_json
from segmentry.engine.standing_run import Newest, accepted_splits, standing_of, suppressed_of
from segmentry.engine.state import RunRecord, State, Status
from segmentry.engine.state.activated import ActivationDraft, FileRef, Settlement
from segmentry.engine.state.commit import EventFileDraft, RunDraft
from segmentry.engine.state.files import Staging
from segmentry.engine.state.holds import holds
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.records import HELD_COLUMN, SUPPRESS_COLUMN, HoldRecord, SegmentFigures
from segmentry.errors import ClockError, DecisionError, NotFound

APPROVE, BASELINE = "approve", "baseline"
SUPPRESS = "suppress"
"""What the suppression's hold is called where people name it."""


@dataclass(frozen=True)
class Decided:
    """What a decision did. `run` is the run that made it so (None: none was needed); `activation` what it set going."""

    run: RunRecord | None
    holds: tuple[HoldRecord, ...]
    changes: pl.DataFrame | None
    activation: Activation | None
    released: Mapping[str, int]
    """Enrollments of held sequences that are due now, or dropped, by sequence."""

    def summary(self) -> pl.DataFrame:
        """A row per segment that it accepted: `segment`, `size`, `entered`, `exited`."""
        names = [hold.name for hold in self.holds if hold.kind == HoldKind.SEGMENT]
        figures = {} if self.run is None else {name: one for name, one in self.run.segments.items() if name in names or not names}
        rows = [(name, one.size, one.entered, one.exited) for name, one in sorted(figures.items())]
        return pl.DataFrame(
            rows, schema={"segment": pl.String(), "size": pl.Int64(), "entered": pl.Int64(), "exited": pl.Int64()}, orient="row"
        )

    def told(self) -> list[str]:
        """What it did, in words."""
        said = [f"run {self.run.id} accepts what run {self.holds[0].run} held"] if self.run is not None else []
        if self.activation is not None:
            for sequence, outcomes in self.activation.outcomes().items():
                said += [f"{sequence}: " + ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())]
            said += [told(trip) for trip in self.activation.trips]
        said += [f"{sequence}: {count:,} held before" for sequence, count in self.released.items()]
        return said or [f"run {self.holds[0].run}: dropped what it held"]

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "run": None if self.run is None else self.run.id,
            "holds": [{"run": hold.run, "kind": hold.kind, "name": hold.name} for hold in self.holds],
            "segments": self.summary().to_dicts(),
            "enrollments": {} if self.activation is None else self.activation.outcomes(),
            "released": dict(self.released),
        }


def approve(
    workspace: LoadedWorkspace,
    state: State,
    run: int,
    names: Sequence[str],
    now: datetime,
    newest: Newest,
    *,
    wait: float = 0.0,
    baseline: bool = False,
) -> Decided:
    """Accepts what a run holds: all of it, or these segments and sequences. `baseline`: its entries enroll nobody.

    Raises NotFound, DecisionError where the hold is no more or was compared with something else, ClockError and LeaseHeld.
    """
    with state.lease(wait) as lease:
        unknown = state.unknown_ledgers()
        if unknown:
            raise DecisionError(
                f"an older catalog was restored: the ledger has {unknown[0]}, which it does not know; `segmentry recover` first"
            )
        chosen = _chosen(state, run, names)
        _require_clock(state, run, now)
        if baseline:
            chosen = _without_sequences(chosen)
        require_own_names(workspace, state, renames_of(workspace, state.segments()))
        _require_as_compared(workspace, state, chosen)
        _require_references(state, chosen)
        deciding = _Deciding(workspace, state, lease, now, newest, baseline=baseline)
        return deciding.accept(chosen)


def discard(state: State, run: int, names: Sequence[str], now: datetime, *, wait: float = 0.0) -> Decided:
    """Drops what a run holds: nothing of it is in history, ledger or baseline. Held enrollments of a sequence end as `dropped`."""
    with state.lease(wait) as lease:
        chosen = _chosen(state, run, names)
        released = _released(state, chosen, Outcome.DROPPED, "discarded", now)
        state.settle(lease, now, [one for rows in released.values() for one in rows], {hold.id: "discarded" for hold in chosen})
        return Decided(None, tuple(chosen), None, None, {name: len(rows) for name, rows in released.items()})


def held_run_of(state: State, segment: str) -> int:
    """The run whose open hold a segment is under. Raises NotFound."""
    with state.catalog.reading() as connection:
        found = [hold for hold in holds(connection) if hold.kind == HoldKind.SEGMENT and hold.name == segment]
    if not found:
        raise NotFound(f"no guard holds segment `{segment}`")
    return found[-1].run


# ---------------------------------------------------------------- which holds


def _chosen(state: State, run: int, names: Sequence[str]) -> list[HoldRecord]:
    """The open holds of a run, or those of these names; raises for what is held no more, or never was."""
    state.run(run)
    with state.catalog.reading() as connection:
        of_run = holds(connection, status=None, run=run)
        still = holds(connection)
    sequences = [hold for hold in still if hold.kind == HoldKind.SEQUENCE and hold.run <= run]
    known = {hold.id: hold for hold in [*of_run, *(sequences if names else ())]}.values()
    if not known:
        raise NotFound(f"run {run} holds nothing" + (f"; run {still[-1].run} does" if still else ""))
    wanted = [hold for hold in known if not names or hold.name in names or (hold.kind == HoldKind.SUPPRESS and SUPPRESS in names)]
    missing = sorted(set(names) - {hold.name or SUPPRESS for hold in wanted if hold.kind != HoldKind.SOURCE})
    if missing:
        raise NotFound(f"run {run} does not hold `{missing[0]}`" + nearest_hint(missing[0], [hold.name for hold in known if hold.name]))
    over = [hold for hold in wanted if hold.status != "open"]
    if over and (names or len(over) == len(wanted)):
        raise DecisionError("; ".join(_over(hold, still) for hold in over))
    return [hold for hold in wanted if hold.status == "open"]


def _require_clock(state: State, run: int, now: datetime) -> None:
    """What is approved is due from now on, and would expire at once by a clock that is set right later."""
    accepted = state.accepted()
    began = max(record.started for record in (state.run(run), accepted) if record is not None)
    if now < began:
        raise ClockError(f"the clock reads {now:%Y-%m-%d %H:%M} UTC, and the last run began later, at {began:%Y-%m-%d %H:%M}: set it right")


def _without_sequences(chosen: Sequence[HoldRecord]) -> list[HoldRecord]:
    """What can be taken as a baseline: whom a sequence's guard holds is enrolled already."""
    kept = [hold for hold in chosen if hold.kind != HoldKind.SEQUENCE]
    if not kept:
        raise DecisionError(f"`{chosen[0].name}` is a sequence, and only a segment is taken as a baseline: approve it, or discard it")
    return kept


def _over(hold: HoldRecord, still: Sequence[HoldRecord]) -> str:
    """Why a hold can't be decided on any more."""
    what = {HoldKind.SOURCE: "the run", HoldKind.SUPPRESS: "the suppression"}.get(HoldKind(hold.kind), f"`{hold.name}`")
    if hold.status == "superseded":
        newer = [other.run for other in still if (other.kind, other.name) == (hold.kind, hold.name)]
        if not newer:
            return f"run {hold.run}'s hold on {what} is superseded by run {hold.ended_run}, which was accepted"
        return f"run {hold.run}'s hold on {what} is superseded by run {newer[-1]}: decide on that one"
    told = {
        "ended": f"ended with run {hold.ended_run}, which is within the limits",
        "approved": "was approved already",
        "discarded": "was discarded already",
    }
    return f"run {hold.run}'s hold on {what} {told.get(hold.status, 'is over')}"


def _require_as_compared(workspace: LoadedWorkspace, state: State, chosen: Sequence[HoldRecord]) -> None:
    """Raises DecisionError unless the rules, those they refer to and the suppression are what the held run computed."""
    workspace.require()
    accepted = state.accepted()
    for hold in chosen:
        if hold.kind == HoldKind.SEQUENCE:
            continue
        if hold.kind == HoldKind.SOURCE and accepted is not None and accepted.id > hold.run:
            raise DecisionError(
                f"run {hold.run} was compared with what was accepted before run {accepted.id}: recompute, and decide on what that run shows"
            )
        then = Definitions.from_json(state.run(hold.run).definitions["definitions"])
        now = {name: definition_of(segment) for name, segment in workspace.segments.items()}
        rests_on = {*hold.detail["rests_on"], *hold.detail["suppressed_by"]}
        concerned = then.segments.keys() | now.keys() if hold.kind == HoldKind.SOURCE else rests_on
        edited = sorted(name for name in concerned if now.get(name) != then.segments.get(name))
        if edited:
            raise DecisionError(f"`{edited[0]}` was edited since run {hold.run}: recompute, and decide on what that run shows")
        splits = splits_of(workspace)
        divided = sorted(name for name in concerned if splits.get(name) != then.splits.get(name))
        if divided:
            raise DecisionError(f"`split` of `{divided[0]}` was edited since run {hold.run}: recompute, and decide on what that run shows")
        if elsewhere_of(workspace.config) != then.elsewhere:
            raise DecisionError(f"timezone, week or sources were edited since run {hold.run}: recompute, and decide on what that run shows")
        if workspace.config.suppress != then.suppress:
            raise DecisionError(f"`suppress` was edited since run {hold.run}: recompute, and decide on what that run shows")
    if any(hold.kind in (HoldKind.SEGMENT, HoldKind.SUPPRESS) for hold in chosen):
        _require_no_new_names(workspace, state, chosen[0].run)


def _require_no_new_names(workspace: LoadedWorkspace, state: State, run: int) -> None:
    """What stands on an accepted run has its names: by new ones, what is enrolled already would be taken for gone."""
    found = renamed_in(workspace, state, renames_of(workspace, state.segments()))
    former = sorted({*found.segments.values(), *found.sequences.values(), *found.destinations.values()})
    if former:
        raise DecisionError(f"`{former[0]}` was renamed since run {run}: recompute, and decide on what that run shows")


def _require_references(state: State, chosen: Sequence[HoldRecord]) -> None:
    """What rests on a held segment can't be accepted without it, nor after that one was discarded."""
    accepted = {hold.name for hold in chosen if hold.kind == HoldKind.SEGMENT}
    for hold in chosen:
        if hold.kind not in (HoldKind.SEGMENT, HoldKind.SUPPRESS):
            continue
        with state.catalog.reading() as connection:
            beside = {one.name: one.status for one in holds(connection, status=None, run=hold.run) if one.kind == HoldKind.SEGMENT}
        for name in sorted(set(hold.detail["rests_on"]) - {hold.name} - accepted):
            what = f"`{hold.name or SUPPRESS}` refers to `{name}`"
            if beside.get(name) == "open":
                raise DecisionError(f"{what}, which is held too: decide on both")
            if beside.get(name) == "discarded":
                raise DecisionError(f"{what}, which was discarded: recompute, and decide on what that run shows")


# ---------------------------------------------------------------- accepting


@dataclass(frozen=True)
class _Deciding:
    workspace: LoadedWorkspace
    state: State
    lease: Lease
    now: datetime
    newest: Newest
    baseline: bool

    def accept(self, chosen: Sequence[HoldRecord]) -> Decided:
        """One commit for all of it."""
        released = _released(self.state, chosen, Outcome.PENDING, None, self.now)
        ended = {**self._overtaken(chosen), **{hold.id: "approved" for hold in chosen}}
        rows = [one for found in released.values() for one in found]
        counts = {name: len(found) for name, found in released.items()}
        if all(hold.kind == HoldKind.SEQUENCE for hold in chosen):
            self.state.settle(self.lease, self.now, rows, ended)
            return Decided(None, tuple(chosen), None, None, counts)
        staging = self.state.staging(self.lease)
        staging.remove()
        try:
            source = next((hold for hold in chosen if hold.kind == HoldKind.SOURCE), None)
            draft, changes = self._whole(source, staging) if source is not None else self._parts(chosen, staging)
            activation = self._activated(draft, changes, chosen)
            more = ActivationDraft(ended=ended)
            if source is not None:
                more = replace(more, aliases=self._aliases(source), renames=self._renamed.drafts())
            found = activation.draft(staging, more)
            over = {one.id for one in found.settled}
            found = replace(found, settled=[*found.settled, *(one for one in rows if one.id not in over)])
            draft = replace(draft, activation=found)
            record = self.state.commit(self.lease, staging, draft)
        finally:
            staging.remove()
        return Decided(record, tuple(chosen), self.state.changes(record.id), activation, counts)

    def _overtaken(self, chosen: Sequence[HoldRecord]) -> dict[int, str]:
        """A run that is accepted whole leaves nothing of what older ones hold of segments, or of the suppression."""
        if not any(hold.kind == HoldKind.SOURCE for hold in chosen):
            return {}
        with self.state.catalog.reading() as connection:
            return {hold.id: SUPERSEDED for hold in holds(connection) if hold.kind in (HoldKind.SEGMENT, HoldKind.SUPPRESS)}

    def _aliases(self, source: HoldRecord) -> dict[str, str]:
        """The merged keys that come with a run that was held as a whole."""
        return new_aliases(self.state, aliases_of(self.workspace, snapshot_from_json(self.state.run(source.run).snapshot)))

    def _whole(self, hold: HoldRecord, staging: Staging) -> tuple[RunDraft, pl.DataFrame]:
        """A run that a source guard held, accepted as it was computed."""
        record = self.state.run(hold.run)
        draft = self._copy(record, {"what": self._what, "run": hold.run, "names": []})
        changes = self.state.stored_changes(record.id)
        file = staging.write(f"runs/{draft.id}/changes.parquet", "changes", changes)
        decided = frozenset(record.segments)
        return replace(draft, changes_file=file, copied=None, segments=record.segments, decided=decided), changes

    def _parts(self, chosen: Sequence[HoldRecord], staging: Staging) -> tuple[RunDraft, pl.DataFrame]:
        """The newest accepted run, with the computed columns of what is approved in place of the accepted ones."""
        record = self.state.run(None)
        names = sorted(hold.name for hold in chosen if hold.kind == HoldKind.SEGMENT)
        columns = [*names, *([SUPPRESS_COLUMN] if any(hold.kind == HoldKind.SUPPRESS for hold in chosen) else [])]
        draft = self._copy(
            record, {"what": self._what, "run": chosen[0].run, "names": [*names, *(["suppress"] if len(columns) > len(names) else [])]}
        )
        computed = self.state.columns([HELD_COLUMN + name for name in columns], record.id)
        computed = computed.rename({HELD_COLUMN + name: name for name in columns})
        changes = self._held_changes(chosen, names)
        members: list[tuple[tuple[FileRef, tuple[str, ...]], ...]] = []
        start = 0
        for index, chunk in enumerate(record.members):
            gone = {*columns, *(HELD_COLUMN + name for name in columns)}
            kept = tuple((number, left) for number, held in chunk if (left := tuple(name for name in held if name not in gone)))
            height = self.state.chunk_height(chunk)
            path = staging.write(
                f"runs/{draft.id}/members-{index}.parquet", "members", computed.slice(start, height).select(sorted(columns))
            )
            members.append((*kept, (path, tuple(sorted(columns)))))
            start += height
        figures = {name: SegmentFigures(one.size, 0, 0, first=False) for name, one in record.segments.items()}
        counts = {(name, change): rows for name, change, rows in changes.group_by("segment", "change").len().iter_rows()}
        ever = self.state.segments()
        for name in names:
            size = int(computed[name].sum())
            known = name in ever
            entered = counts.get((name, "entered"), 0) if known else size
            figures[name] = SegmentFigures(size, entered, counts.get((name, "exited"), 0), first=not known)
        file = staging.write(f"runs/{draft.id}/changes.parquet", "changes", changes)
        sizes, firsts = {name: one.size for name, one in figures.items()}, {name: one.size for name, one in figures.items() if one.first}
        report = {**record.report, "segments": segment_report(sizes, changes, firsts)}
        decided = frozenset(names)
        draft = replace(draft, definitions=self._with_splits(chosen, record))
        return replace(draft, members=tuple(members), changes_file=file, segments=figures, report=report, decided=decided), changes

    def _with_splits(self, chosen: Sequence[HoldRecord], record: RunRecord) -> Mapping[str, Any]:
        """The accepted run's definitions, with how the approved segments are divided by the run that was held."""
        splits = accepted_splits(record)
        for hold in chosen:
            if hold.kind == HoldKind.SEGMENT:
                splits.pop(hold.name, None)
                then = Definitions.from_json(self.state.run(hold.run).definitions["definitions"]).splits
                splits |= {name: split for name, split in then.items() if name == hold.name}
        return {**record.definitions, "splits": splits_to_json(splits)}

    @cached_property
    def _renamed(self) -> Renamed:
        """New names that come with a run that was held as a whole."""
        return renamed_in(self.workspace, self.state, renames_of(self.workspace, self.state.segments()))

    @property
    def _what(self) -> str:
        return BASELINE if self.baseline else APPROVE

    def _held_changes(self, chosen: Sequence[HoldRecord], names: Collection[str]) -> pl.DataFrame:
        """Exactly the changes that were shown."""
        files = sorted({hold.changes_file for hold in chosen if hold.changes_file is not None})
        if not files:
            return self.state.stored_changes(None).clear()
        frames = [self.state.file(number).filter(pl.col("segment").is_in(sorted(names))) for number in files]
        return pl.concat(frames).sort("segment", "contact")

    def _copy(self, record: RunRecord, decision: Mapping[str, Any]) -> RunDraft:
        """A run that stands on another's files."""
        return RunDraft(
            id=self.state.next_run(),
            status=Status.ACCEPTED,
            as_of=record.as_of,
            started=self.now,
            committed=self.now,
            contacts=record.contacts,
            members=record.members,
            changes_file=record.changes_file,
            digests_file=record.digests_file,
            event_files=[
                EventFileDraft(f.source, f.path, f.size, f.modified, f.digest, f.columns, f.engine, f.file, f.part)
                for f in self.state.event_files(record.id)
            ],
            snapshot=record.snapshot,
            definitions=record.definitions,
            report=record.report,
            segments={},
            copied=record.id,
            decision=decision,
        )

    def _activated(self, draft: RunDraft, changes: pl.DataFrame, chosen: Sequence[HoldRecord]) -> Activation:
        """What the approval sets going, by the held run's own answers."""
        source = next((hold for hold in chosen if hold.kind == HoldKind.SOURCE), None)
        record = self.state.run(source.run if source is not None else None)
        approved = {hold.name for hold in chosen if hold.kind == HoldKind.SEGMENT}
        suppress = any(hold.kind == HoldKind.SUPPRESS for hold in chosen)

        def member(name: str) -> pl.Series:
            column = HELD_COLUMN + name if name in approved else name
            return self.state.columns([column], record.id)[column]

        entered = changes.filter(change="entered").select("segment", "contact", "cause")
        standing = replace(
            standing_of(self.workspace, self.state, record, self.now, self.newest),
            run=draft.id,
            as_of=draft.as_of,
            member=member,
            segments=frozenset(draft.segments),
            suppressed=suppressed_of(self.state, record, approved=suppress or source is not None),
            entered=entered,
            baseline=frozenset(draft.segments) if self.baseline else frozenset(),
            splits=splits_that_stand(self.workspace, splits_from_json(draft.definitions.get("splits", {}))),
        )
        aliases, names = ({}, NOTHING) if source is None else (self._aliases(source), self._renamed)
        with background(self.state, aliases, names) as known:
            return activate(self.workspace, standing, _without(known, chosen))


def _without(known: Background, chosen: Sequence[HoldRecord]) -> Background:
    """The background as it is once these holds have ended."""
    gone = {hold.id for hold in chosen}
    return replace(known, holds=[hold for hold in known.holds if hold.id not in gone])


def _released(
    state: State, chosen: Sequence[HoldRecord], outcome: Outcome, reason: str | None, now: datetime
) -> dict[str, list[Settlement]]:
    """The held rows of the chosen sequences, and what becomes of them."""
    stamp = now.isoformat(timespec="microseconds") if outcome is Outcome.PENDING else None
    return {
        hold.name: [
            Settlement(identity, str(outcome), reason, pending_since=stamp) for identity in state.rows_of(hold.name, str(Outcome.HELD))
        ]
        for hold in chosen
        if hold.kind == HoldKind.SEQUENCE
    }
