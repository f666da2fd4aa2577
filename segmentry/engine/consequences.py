"""What follows from a run's answers: what guards hold of them, who is enrolled, which deliveries end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl

from segmentry.engine.activation import Activation, Standing, activate, delivers
from segmentry.engine.aliases import Aliases
from segmentry.engine.background import NOTHING, RECOVERED, Renamed, background, former_names
from segmentry.engine.diagnosis import Evidence
from segmentry.engine.former import FormerRun
from segmentry.engine.guards import Freshness, HoldKind, Trip, source_trip, told
from segmentry.engine.holding import Figures, Held, hold, transitions
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.membership import Memberships
from segmentry.engine.paths import dated
from segmentry.engine.people import Snapshot as PeopleSnapshot
from segmentry.engine.positions import Placement
from segmentry.engine.prepared import Prepared, columns_used
from segmentry.engine.reading_rows import rows_of_snapshot
from segmentry.engine.scheduling import schedule_of
from segmentry.engine.splitting import Split, regrouped, splits_that_stand
from segmentry.engine.state import State, ledger
from segmentry.engine.state.activated import ActivationDraft, FileRef, Routes, fact
from segmentry.engine.state.files import Staging
from segmentry.engine.state.holds import holds
from segmentry.engine.state.records import CONSENT_COLUMN, SUPPRESS_COLUMN, HoldRecord
from segmentry.engine.state.synced import DETACHED, SyncDraft
from segmentry.rules.nodes import Always, Condition
from segmentry.rules.references import references

TOLD_FURTHER = 3
"""Of a run that is held as a whole, so many further holds are told of one by one."""

FAILURE = "failure"
"""The fact of a state that tells of the last run if it failed."""


@dataclass(frozen=True)
class Answered:
    """A run's answers: the computed memberships, the changes against the accepted ones, the segments without one."""

    number: int
    as_of: datetime
    now: datetime
    prepared: Prepared
    placement: Placement
    memberships: Memberships
    changes: pl.DataFrame
    firsts: frozenset[str]
    former: FormerRun | None


def beside(prepared: Prepared, former: FormerRun | None) -> dict[str, Condition]:
    """What is computed beside the segments: who is never sent anything, and who has agreed to be in a destination.

    Where the workspace suppresses nobody any more, there is a condition that holds for nobody, so that the guard sees it.
    """
    found: dict[str, Condition] = {CONSENT_COLUMN + name: condition for name, condition in prepared.consents.items()}
    if prepared.suppress is not None:
        return {**found, SUPPRESS_COLUMN: prepared.suppress}
    return {**found, SUPPRESS_COLUMN: Always(value=False)} if former is not None and SUPPRESS_COLUMN in former.columns else found


@dataclass(frozen=True)
class Consequences:
    """What follows; each part is found when somebody asks for it."""

    workspace: LoadedWorkspace
    state: State
    answered: Answered

    # ------------------------------------------------------------ what is held

    @cached_property
    def held(self) -> Held:
        """What guards hold. A run that is held as a whole holds no segment by itself; what else would be held is among its reasons."""
        source, parts = self._source(), self._parts()
        if source is None:
            return parts
        further = [told(trip) for trip in parts.trips if trip.because is None]
        if len(further) > TOLD_FURTHER:
            further = [*further[:TOLD_FURTHER], f"{len(further) - TOLD_FURTHER:,} more segments would be held"]
        return Held(replace(source, reasons=(*source.reasons, *further)))

    def _parts(self) -> Held:
        """The segments, and the suppression, that guards hold."""
        answered = self.answered
        if answered.former is None:
            return Held()
        conditions = answered.prepared.rules.whole()
        figures = Figures(answered.changes, answered.firsts, self.former_sizes, self._suppressed, self.regrouped)
        return hold(
            self.workspace, self.state, figures, conditions, answered.prepared.suppress, answered.as_of, self._evidence(), self._names
        )

    @property
    def held_columns(self) -> frozenset[str]:
        """The columns whose computed values are kept beside the accepted ones."""
        return frozenset(self.held.segments) | (frozenset([SUPPRESS_COLUMN]) if self.held.suppress_kept else frozenset())

    @cached_property
    def accepted_changes(self) -> pl.DataFrame:
        """The changes that the run accepts."""
        return self.answered.changes.filter(~pl.col("segment").is_in(sorted(self.held.segments)))

    @cached_property
    def held_changes(self) -> pl.DataFrame:
        """The changes that are held."""
        return self.answered.changes.filter(pl.col("segment").is_in(sorted(self.held.segments)))

    @property
    def firsts(self) -> tuple[str, ...]:
        """The segments whose first membership the run accepts."""
        return tuple(sorted(self.answered.firsts - self.held.segments.keys()))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The size of every accepted membership."""
        counts = self.answered.memberships.counts()
        return {
            name: int(self.member(name).sum()) if name in self.held.segments else counts[name]
            for name in self.answered.prepared.rules.conditions
            if name not in self.held.segments or self._goes_on(name)
        }

    def _goes_on(self, name: str) -> bool:
        """Whether a held segment has an accepted membership that goes on: not if it is new, or was gone for a while."""
        return self.answered.former is not None and name in self.answered.former.columns

    def member(self, name: str) -> pl.Series:
        """A segment's accepted membership over the present positions."""
        if name in self.held.segments:
            assert self.answered.former is not None
            return self.answered.former.bitmap(name, self.answered.placement)
        return self.answered.memberships.column(name)

    # ------------------------------------------------------------ what is activated

    @cached_property
    def activation(self) -> Activation | None:
        """Who is enrolled and which deliveries end; None where the whole run is held."""
        if self.held.source is not None:
            return None
        answered = self.answered
        contacts = answered.prepared.snapshot.contacts
        standing = Standing(
            run=answered.number,
            as_of=answered.as_of,
            now=answered.now,
            kind=answered.placement.kind,
            keys=answered.placement.alignment.keys,
            present=answered.placement.alignment.present,
            member=self.member,
            segments=frozenset(self.sizes),
            suppressed=self._effective,
            entered=self.accepted_changes.filter(change="entered").select("segment", "contact", "cause"),
            snapshot=PeopleSnapshot(contacts.key, contacts.email, partial(rows_of_snapshot, contacts)),
            consents=self._consents(),
            splits=splits_that_stand(self.workspace, self.splits),
        )
        with background(self.state, self._aliases, self.renamed) as known:
            return activate(self.workspace, standing, known)

    @cached_property
    def splits(self) -> dict[str, Split]:
        """How segments are divided by what the run accepts: a segment that is held as it was before."""
        former, held = self.answered.former, self.held.segments.keys()
        now = {name: split for name, split in self.answered.prepared.rules.definitions.splits.items() if name not in held}
        return now | {name: split for name, split in ({} if former is None else former.splits).items() if name in held}

    @cached_property
    def regrouped(self) -> dict[str, int]:
        """How many who are and were members are in another group of a segment by how the files divide it now, where there are such."""
        former, counts = self.answered.former, dict[str, int]()
        for name, split in self.answered.prepared.rules.definitions.splits.items():
            then = None if former is None else former.splits.get(name)
            if former is None or then is None or then == split or name not in former.columns:
                continue
            members = former.bitmap(name, self.answered.placement) & self.answered.memberships.column(name)
            counts[name] = regrouped(self.answered.placement.alignment.keys.filter(members), then, split)
        return {name: count for name, count in counts.items() if count}

    @cached_property
    def renamed(self) -> Renamed:
        """What has a new name since the accepted run."""
        former = self.answered.former
        return NOTHING if former is None else renamed_in(self.workspace, self.state, former.renames)

    def draft(self, staging: Staging) -> ActivationDraft:
        """What the commit makes so; files are staged."""
        file: FileRef | None = None
        if self.held.segments:
            file = staging.write(f"runs/{self.answered.number}/held.parquet", "held", self.held_changes)
        opened, ended = transitions(self.held, self.holds, file)
        more = ActivationDraft(opened=opened, ended=ended, facts={FAILURE: None})
        if self.activation is None:
            return more
        return self.activation.draft(
            staging, replace(more, aliases=self._aliases, renames=self.renamed.drafts(), routes=routes(self.workspace))
        )

    def report(self) -> dict[str, Any]:
        """What follows, as plain values: new ledger rows by sequence and outcome, rows that ended, syncs, what is held."""
        activation = self.activation
        held = [*self.held.trips, *(activation.trips if activation is not None else ())]
        ends = Counter(one.outcome for one in (activation.settled if activation is not None else ()))
        return {
            "enrollments": {} if activation is None else activation.outcomes(),
            "not_enrolled": 0 if activation is None else activation.skipped.height,
            "settled": dict(sorted(ends.items())),
            **({"regrouped": self.regrouped} if self.regrouped else {}),
            "syncs": [_sync_report(draft) for draft in (() if activation is None else activation.syncs)],
            "held": [{"kind": str(trip.kind), "name": trip.name, "reasons": list(trip.reasons)} for trip in held],
        }

    @cached_property
    def holds(self) -> list[HoldRecord]:
        """The holds that are open before this run, by the names that segments have now."""
        renames = {} if self.answered.former is None else self.answered.former.renames
        with self.state.catalog.reading() as connection:
            found = holds(connection)
        return [replace(one, name=renames.get(one.name, one.name)) if one.kind == HoldKind.SEGMENT else one for one in found]

    # ------------------------------------------------------------ within

    @cached_property
    def former_sizes(self) -> Mapping[str, int]:
        """The sizes of the accepted memberships before this run, by present names."""
        former = self.answered.former
        if former is None:
            return {}
        sizes = {former.renames.get(name, name): one.size for name, one in former.record.segments.items()}
        returned = former.returned(self.answered.prepared.rules.conditions)
        return sizes | {name: len(former.last_members(name)) for name in returned}

    @property
    def _names(self) -> dict[str, list[str]]:
        """The names that segments had before, those of before this run among them."""
        with self.state.catalog.reading() as connection:
            return former_names(ledger.former_names(connection, "segment"), self.renamed.segments)

    @cached_property
    def _suppressed(self) -> tuple[pl.Series, pl.Series] | None:
        """Who was suppressed by the accepted rule, and who is by the computed one."""
        answered = self.answered
        if SUPPRESS_COLUMN not in answered.memberships.names or answered.former is None:
            return None
        if SUPPRESS_COLUMN not in answered.former.columns:
            return None
        forgotten = answered.placement.alignment.keys.is_null()
        return answered.former.bitmap(SUPPRESS_COLUMN, answered.placement) & ~forgotten, answered.memberships.column(SUPPRESS_COLUMN)

    @cached_property
    def _effective(self) -> pl.Series | None:
        """Who is sent nothing: by the computed rule, and while that is held by the accepted one too."""
        if SUPPRESS_COLUMN not in self.answered.memberships.names:
            return None
        now = self.answered.memberships.column(SUPPRESS_COLUMN)
        return self._suppressed[0] | now if self.held.suppress_kept and self._suppressed is not None else now

    def _consents(self) -> dict[str, pl.Series]:
        """Who has agreed, by destination; where that rests on a held segment, only who had agreed before too."""
        answered, found = self.answered, {}
        for name, condition in answered.prepared.consents.items():
            column = CONSENT_COLUMN + name
            agreed = answered.memberships.column(column)
            if references(condition) & self.held.segments.keys():
                known = answered.former is not None and column in answered.former.columns
                agreed = agreed & answered.former.bitmap(column, answered.placement) if known and answered.former else agreed & ~agreed
            found[name] = agreed
        return found

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return new_aliases(self.state, self.answered.prepared.aliases)

    def _source(self) -> Trip | None:
        """Whether the whole run is held, and for which reasons."""
        answered = self.answered
        with self.state.catalog.reading() as connection:
            recovered = bool(fact(connection, RECOVERED))
        trip = None if answered.former is None else self._snapshot_trip(answered.former, recovered=recovered)
        unknown = self.state.unknown_ledgers()
        if not unknown:
            return trip
        names = ", ".join(unknown[:3])
        reason = (
            f"the ledger has files that the catalog does not know ({names}): an older catalog was restored; `segmentry recover` reads them"
        )
        return Trip(HoldKind.SOURCE, "", (*(trip.reasons if trip else ()), reason), trip.figures if trip else {})

    def _snapshot_trip(self, former: FormerRun, *, recovered: bool) -> Trip | None:
        """Whether the snapshot or the accepted run is what holds it."""
        answered, guards = self.answered, self.workspace.config.guards
        age = None
        if delivers(self.workspace) and not recovered:
            schedule = schedule_of(self.workspace.config)
            interval = None if schedule is None else schedule.interval(former.record.as_of)
            age = Freshness(answered.as_of, self._snapshot_time(), former.record.as_of, interval)
        before = int(former.order.present.sum())
        rows = int(answered.placement.alignment.present.sum())
        return source_trip(guards.snapshot, guards.gap, rows, before, age)

    def _snapshot_time(self) -> datetime | None:
        """The instant that the snapshot is of: its `{date}`, else when the newest of its files was written."""
        files = self.answered.prepared.snapshot.contacts.relation.files
        config = self.workspace.config
        root: Path = self.workspace.root.absolute()
        instants = [dated(config.contacts.path, file.path, root, config.timezone) for file in files]
        found = [instant for instant in instants if instant is not None]
        if found:
            return max(found)
        return datetime.fromtimestamp(max(file.modified for file in files) / 1e9, UTC) if files else None

    def _evidence(self) -> Evidence:
        """Where to look for the cause of a large change."""
        answered = self.answered
        used = columns_used(answered.prepared.rules.conditions, answered.prepared.snapshot)
        columns: dict[str, list[str]] = {}
        for (source, column), segments in used.items():
            for name in segments if source == "contacts" else ():
                columns.setdefault(name, []).append(column)
        former = answered.former
        then = None if former is None else former.snapshot.contacts
        before = None if former is None else int(former.order.present.sum())
        return Evidence(columns, answered.prepared.snapshot.contacts, then, int(answered.placement.alignment.present.sum()), before)


def _sync_report(draft: SyncDraft) -> dict[str, Any]:
    """What a run makes of a sync, as plain values; the figures of one that is detached are of a run before."""
    what = {"segment": draft.segment, "destination": draft.destination, "target": draft.target, "mode": draft.mode, "status": draft.status}
    return what if draft.status == DETACHED else {**what, **draft.figures}


def new_aliases(state: State, aliases: Aliases | None) -> dict[str, str]:
    """Merged keys, as text, that the state does not know of yet, and the surviving key of each."""
    if aliases is None:
        return {}
    with state.catalog.reading() as connection:
        known = ledger.aliases(connection)
    pairs = aliases.mapping.select(pl.col("old", "new").cast(pl.String()))
    return {old: new for old, new in pairs.iter_rows() if known.get(old) != new}


def routes(workspace: LoadedWorkspace) -> Routes:
    """Where every sequence goes by the files."""
    config = workspace.config
    return Routes({name: one.destination for name, one in config.sequences.items()}, frozenset(config.destinations))


def renamed_in(workspace: LoadedWorkspace, state: State, segments: Mapping[str, str]) -> Renamed:
    """What the files say has a new name, and the state knows by a former one. `segments`: former names and what they are now."""
    config = workspace.config
    with state.catalog.reading() as connection:
        sequences = ledger.known_names(connection, "sequence")
        destinations = ledger.known_names(connection, "destination")
    return Renamed(
        {name: former for former, name in segments.items()},
        _renamed({name: one.renamed_from for name, one in config.sequences.items()}, sequences),
        _renamed({name: one.renamed_from for name, one in config.destinations.items()}, destinations),
    )


def _renamed(said: Mapping[str, list[str]], known: set[str]) -> dict[str, str]:
    """The names that are new to the state, and the former one that it knows."""
    found = {}
    for name, former in said.items():
        old = next((other for other in former if other in known and other not in said), None)
        if name not in known and old is not None:
            found[name] = old
    return found
