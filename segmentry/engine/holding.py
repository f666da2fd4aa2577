"""Which of a run's results are held: guards asked with the run's figures, and a hold spread to whatever refers to a held segment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from segmentry.engine.definitions import reaching
from segmentry.engine.diagnosis import Evidence, likely_cause
from segmentry.engine.guards import SPAN, HoldKind, Traffic, Trip, segment_trip, split_trip, suppress_trip
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.state import State
from segmentry.engine.state.activated import HoldDraft
from segmentry.engine.state.holds import Earlier, earlier
from segmentry.engine.state.records import HoldRecord
from segmentry.rules.nodes import Condition
from segmentry.rules.references import all_references, references

SUPERSEDED, ENDED = "superseded", "ended"


@dataclass(frozen=True)
class Held:
    """What a run holds. `source`: the whole of it. `segments`: by name, those that are held by themselves or through another.

    `suppress`: why all delivery is held; `suppress_kept`: the accepted suppression goes on beside the computed one, because it
    or a segment it refers to is held.
    """

    source: Trip | None = None
    segments: Mapping[str, Trip] = field(default_factory=dict)
    suppress: Trip | None = None
    suppress_kept: bool = False

    @property
    def trips(self) -> list[Trip]:
        """Every hold, the run's own first."""
        return [*filter(None, (self.source, self.suppress)), *(self.segments[name] for name in sorted(self.segments))]


@dataclass(frozen=True)
class Figures:
    """What guards are asked with.

    `changes`: the computed changes against the accepted memberships; `firsts`: segments without one. `sizes`: accepted sizes.
    `suppressed`: who was, and is computed to be, suppressed, over the same positions (None: nobody's business yet).
    """

    changes: pl.DataFrame
    firsts: frozenset[str]
    sizes: Mapping[str, int]
    suppressed: tuple[pl.Series, pl.Series] | None
    regrouped: Mapping[str, int] = field(default_factory=dict)
    """How many members are in another group than before, as how their segment is divided was edited."""


def hold(
    workspace: LoadedWorkspace,
    state: State,
    figures: Figures,
    conditions: Mapping[str, Condition],
    suppress: Condition | None,
    as_of: datetime,
    evidence: Evidence,
    names: Mapping[str, Sequence[str]],
) -> Held:
    """Asks the segment guards and the suppression's. `names`: those that segments had before."""
    guards = workspace.config.guards
    counts = _counts(figures.changes)
    moved = sorted((counts.keys() | figures.regrouped.keys()) - figures.firsts)
    with state.catalog.reading() as connection:
        before = earlier(connection, {one: name for name in moved for one in (name, *names.get(name, ()))}, as_of - SPAN)
    tripped: dict[str, Trip] = {}
    for name in moved:
        entered, exited = counts.get(name, (0, 0))
        override = workspace.segments[name].config.guards
        guard = guards.segment if override is None else override.over(guards.segment)
        run = Traffic(figures.sizes.get(name, 0), entered, exited)
        trip = segment_trip(name, guard, run, _day(run, before.get(name, ())))
        if trip is not None:
            why = likely_cause(name, figures.changes.filter(segment=name), evidence)
            trip = replace(trip, reasons=(*trip.reasons, f"likely cause: {why}"))
        split = split_trip(name, guard, run, figures.regrouped.get(name, 0))
        if split is not None:
            trip = split if trip is None else replace(trip, reasons=(*trip.reasons, *split.reasons))
        if trip is not None:
            tripped[name] = trip
    deep = all_references(conditions)
    named = frozenset() if suppress is None else references(suppress)
    unsent_by = tuple(sorted(named.union(*(deep[name] for name in named))))
    spread = _spread(tripped, conditions)
    held = {name: replace(trip, rests_on=tuple(sorted({name} | deep[name])), suppressed_by=unsent_by) for name, trip in spread.items()}
    unsent = _suppress(workspace, figures) or _new_on_held(figures, named & held.keys())
    if unsent is not None:
        unsent = replace(unsent, rests_on=unsent_by)
    return Held(None, held, unsent, unsent is not None or bool(named & held.keys()))


def _spread(tripped: Mapping[str, Trip], conditions: Mapping[str, Condition]) -> dict[str, Trip]:
    """The held segments, and all that refer to them by however many steps."""
    held = dict(tripped)
    for name in sorted(reaching(tripped, conditions) - tripped.keys()):
        if name in conditions:
            through = min(other for other in tripped if name in reaching([other], conditions))
            reason = f"it refers to `{through}`, which is held"
            held[name] = Trip(HoldKind.SEGMENT, name, (reason,), {}, because=through)
    return held


def _counts(changes: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Entered and exited, by segment."""
    entered = pl.col("change") == "entered"
    counted = changes.group_by("segment").agg(entered.sum().alias("entered"), (~entered).sum().alias("exited"))
    return {segment: (entered, exited) for segment, entered, exited in counted.iter_rows()}


def _day(run: Traffic, before: Sequence[Earlier]) -> Traffic:
    """The run with what the last 24 hours brought before it."""
    if not before:
        return run
    since = [one for one in before if not one.base]
    return Traffic(before[0].size, run.entered + sum(one.entered for one in since), run.exited + sum(one.exited for one in since))


def _suppress(workspace: LoadedWorkspace, figures: Figures) -> Trip | None:
    if figures.suppressed is None:
        return None
    was, now = figures.suppressed
    left = int((was & ~now).sum())
    return suppress_trip(workspace.config.guards.suppress, Traffic(int(was.sum()), int((now & ~was).sum()), left))


def _new_on_held(figures: Figures, named: Collection[str]) -> Trip | None:
    """A suppression that no run has accepted yet has no accepted set that could go on while a segment it refers to is held."""
    if figures.suppressed is not None or not named:
        return None
    reason = f"`suppress` is new, and it refers to `{min(named)}`, which is held"
    return Trip(HoldKind.SUPPRESS, "", (reason,), because=min(named))


def transitions(held: Held, before: Sequence[HoldRecord], changes_file: int | str | None) -> tuple[list[HoldDraft], dict[int, str]]:
    """The holds that a run opens, and the open ones that end with it. A sequence's hold is neither: only a person ends it.

    A hold on the same thing again replaces the older one, and has been so since that one was.
    """
    known = {(hold.kind, hold.name): hold for hold in before if hold.kind != HoldKind.SEQUENCE}
    opened = []
    replaced = set()
    for trip in held.trips:
        former = known.get((str(trip.kind), trip.name))
        replaced |= {former.id} if former is not None else set()
        detail = {
            "reasons": list(trip.reasons),
            "figures": dict(trip.figures),
            "because": trip.because,
            "rests_on": list(trip.rests_on),
            "suppressed_by": list(trip.suppressed_by),
        }
        since = None if former is None else former.since.isoformat(timespec="microseconds")
        opened.append(HoldDraft(str(trip.kind), trip.name, detail, since, changes_file if trip.kind is HoldKind.SEGMENT else None))
    if held.source is not None:  # a run that is held as a whole decides nothing about segments
        return opened, {hold.id: SUPERSEDED for hold in known.values() if hold.id in replaced}
    return opened, {hold.id: SUPERSEDED if hold.id in replaced else ENDED for hold in known.values()}
