"""Guards: how much change is too much to go out unseen. Figures in, reasons to hold out; nothing here reads anything.

A percent is of the accepted membership at the start of the span, and where that was empty it counts as passed. Enters and
leaves are counted gross. Where a guard has a percent and a count, both must be passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from segmentry.engine.config import parse_length, parse_percent
from segmentry.engine.config_activation import SegmentGuard, SequenceGuard, SnapshotGuard, SuppressGuard

SPAN = timedelta(hours=24)
"""What segment guards look back over, beside the one run."""

GAP_INTERVALS = 3
"""A gap is no surprise before so many of the schedule's intervals have passed without a run."""


class HoldKind(StrEnum):
    """What a hold stops."""

    SOURCE = "source"
    """A whole run."""
    SEGMENT = "segment"
    """A segment's membership, or that of one that refers to it."""
    SUPPRESS = "suppress"
    """All delivery."""
    SEQUENCE = "sequence"
    """A sequence's enrollments."""


@dataclass(frozen=True)
class Trip:
    """A guard that was passed: what it holds, why in words, and the figures as plain values. `name` is '' for a whole run.

    `because` is the held segment through which this one is held too.
    """

    kind: HoldKind
    name: str
    reasons: tuple[str, ...]
    figures: Mapping[str, object] = field(default_factory=dict)
    because: str | None = None
    rests_on: tuple[str, ...] = ()
    """The segments whose rules decide what is held."""
    suppressed_by: tuple[str, ...] = ()
    """The segments whose rules decide who of them is suppressed."""

    @property
    def title(self) -> str:
        """What is held, as people say it."""
        return {
            HoldKind.SOURCE: "the run",
            HoldKind.SEGMENT: f"segment `{self.name}`",
            HoldKind.SUPPRESS: "all delivery",
            HoldKind.SEQUENCE: f"sequence `{self.name}`",
        }[self.kind]


def told(trip: Trip) -> str:
    """A hold in words: what is held, and why."""
    return f"{trip.title} is held: {'; '.join(trip.reasons)}"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who came and went over a span: `size` at its start, `entered` and `exited` gross."""

    size: int
    entered: int
    exited: int


def segment_trip(name: str, guard: SegmentGuard, run: Traffic, day: Traffic) -> Trip | None:
    """Whether a segment is held: by this run alone, or by the last 24 hours with it."""
    reasons = []
    for what, share, counts in (
        ("enter", guard.enters, [(run.entered, run.size, "in this run"), (day.entered, day.size, "within 24 hours")]),
        ("leave", guard.leaves, [(run.exited, run.size, "in this run"), (day.exited, day.size, "within 24 hours")]),
    ):
        for count, size, when in counts:
            if passed(count, size, share, guard.contacts):
                reasons.append(f"{count:,} would {what} {when}, {of(count, size)}; the guard is at {share} and {guard.contacts:,} contacts")
                break
    figures = {"size": run.size, "entered": run.entered, "exited": run.exited}
    return Trip(HoldKind.SEGMENT, name, tuple(reasons), figures) if reasons else None


def split_trip(name: str, guard: SegmentGuard, run: Traffic, regrouped: int) -> Trip | None:
    """Whether a segment is held because so many of it would be in another group: `leaves` is what may leave theirs."""
    if not passed(regrouped, run.size, guard.leaves, guard.contacts):
        return None
    reason = (
        f"{regrouped:,} would be in another group of its split, {of(regrouped, run.size)};"
        f" the guard is at {guard.leaves} and {guard.contacts:,} contacts"
    )
    return Trip(HoldKind.SEGMENT, name, (reason,), {"size": run.size, "entered": run.entered, "exited": run.exited, "regrouped": regrouped})


def suppress_trip(guard: SuppressGuard, run: Traffic) -> Trip | None:
    """Whether all delivery is held: so many who were suppressed would be suppressed no more."""
    if not passed(run.exited, run.size, guard.leaves, guard.contacts):
        return None
    reason = (
        f"{run.exited:,} would be suppressed no more, {of(run.exited, run.size)};"
        f" the guard is at {guard.leaves} and {guard.contacts:,} contacts"
    )
    return Trip(HoldKind.SUPPRESS, "", (reason,), {"size": run.size, "entered": run.entered, "exited": run.exited})


def sequence_trip(name: str, guard: SequenceGuard, new: int, before: int) -> Trip | None:
    """Whether a sequence's enrollments are held: `new` of this run, with those `before` it within the guard's span."""
    if not new or new + before <= guard.contacts:
        return None
    with_earlier = f" with {before:,} before within {guard.per}" if before else ""
    reason = f"{new:,} would be enrolled{with_earlier}; the guard is at {guard.contacts:,} per {guard.per}"
    return Trip(HoldKind.SEQUENCE, name, (reason,), {"new": new, "before": before})


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old things are at a run: its `as_of`, the snapshot's own time, the accepted run's `as_of`, and the schedule's interval."""

    as_of: datetime
    snapshot: datetime | None
    accepted: datetime | None
    every: timedelta | None


def source_trip(guard: SnapshotGuard, gap: str, rows: int, former_rows: int | None, age: Freshness | None) -> Trip | None:
    """Whether the whole run is held: the snapshot shrank, is old, or the accepted run is.

    `age` None: nothing is sent from here, so age is no matter.
    """
    reasons = []
    figures: dict[str, object] = {"contacts": rows, "contacts_before": former_rows}
    if former_rows and passed(former_rows - rows, former_rows, guard.shrinks):
        lost = former_rows - rows
        reasons.append(
            f"the snapshot has {rows:,} contacts, and the accepted run had {former_rows:,}: {lost:,} fewer, {of(lost, former_rows)};"
            f" the guard is at {guard.shrinks}. A file may be half written, or missing"
        )
    if age is not None:
        reasons += _too_old(guard, gap, age)
    return Trip(HoldKind.SOURCE, "", tuple(reasons), figures) if reasons else None


def _too_old(guard: SnapshotGuard, gap: str, age: Freshness) -> Sequence[str]:
    reasons = []
    if age.snapshot is not None and age.as_of - age.snapshot > parse_length(guard.older_than):
        reasons.append(
            f"the snapshot is of {age.snapshot:%Y-%m-%d %H:%M} UTC, {spoken(age.as_of - age.snapshot)} before the run;"
            f" the guard is at {guard.older_than}. Whatever writes it may have stopped"
        )
    limit = max(parse_length(gap), GAP_INTERVALS * (age.every or timedelta()))
    if age.accepted is not None and age.as_of - age.accepted > limit:
        reasons.append(
            f"the accepted run is of {age.accepted:%Y-%m-%d %H:%M} UTC, {spoken(age.as_of - age.accepted)} before this one;"
            f" the guard is at {spoken(limit)}. Runs may have stopped, or an old state was restored (then `segmentry recover`)"
        )
    return reasons


def passed(count: int, size: int, percent: str, contacts: int = 0) -> bool:
    """Whether a count is beyond both limits; of an empty membership any percent is passed."""
    return count > contacts and (size == 0 or count > parse_percent(percent) * size)


def of(count: int, size: int) -> str:
    """`42.0% of 1,234`; in words where there was nobody."""
    return f"{100 * count / size:.1f}% of {size:,}" if size else "and nobody was in before"


def spoken(length: timedelta) -> str:
    """`3 days`, `72 hours`, `25 minutes`: a length as people say it, rounded down."""
    minutes = int(length.total_seconds() // 60)
    if minutes >= 4 * 24 * 60:
        return f"{minutes // (24 * 60)} days"
    return f"{minutes // 60} hours" if minutes >= 120 else f"{minutes} minutes"
