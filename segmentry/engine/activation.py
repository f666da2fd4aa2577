"""What an accepted membership sets going: who is enrolled, which open rows end, which sequences a guard holds.

A run, and somebody's word on a held one, both come here with a `Standing`; what is decided is plain data (`Activation`),
shown by a forecast and made so by a commit alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from segmentry.engine import settling
from segmentry.engine.config import parse_length
from segmentry.engine.connectors.registry import traits_of
from segmentry.engine.enrolling import DELIVERABLE, ROWS, Circumstances, Enrolling, Outcome, Pair
from segmentry.engine.guards import HoldKind, Trip, sequence_trip, spoken
from segmentry.engine.identity import enrollment_id
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.people import People, Snapshot, addresses_of, locate
from segmentry.engine.splitting import Split
from segmentry.engine.state.activated import ActivationDraft, FileRef, HoldDraft, Settlement
from segmentry.engine.state.files import Staging
from segmentry.engine.state.ledger import COLUMNS, SKIPPED, Attachment, path_of
from segmentry.engine.state.past import LedgerPast
from segmentry.engine.state.records import HoldRecord
from segmentry.engine.state.synced import SyncDraft
from segmentry.engine.sync_elsewhere import Known
from segmentry.engine.sync_plans import plan_syncs, read_for_syncs

AHEAD = 500_000
"""So many contacts' rows are in memory together, at most; of more, they are read for each purpose by itself."""

UNSENT = "the environment delivers now: whatever waited from before is dropped"


@dataclass(frozen=True)
class Standing:
    """An accepted membership, or one about to be: what activation goes by.

    `member` gives a segment's accepted bitmap over the positions of `keys`; `segments` are those that have one. `suppressed`
    is who is never sent anything, over the same positions. `entered` has the accepted entries, segments computed for the first
    time left out: `segment`, `contact` (the key's type), `cause`, sorted. `baseline` are segments whose entries enroll nobody.
    """

    run: int
    as_of: datetime
    now: datetime
    kind: str
    keys: pl.Series
    present: pl.Series
    member: Callable[[str], pl.Series]
    segments: frozenset[str]
    suppressed: pl.Series | None
    entered: pl.DataFrame
    snapshot: Snapshot
    baseline: frozenset[str] = frozenset()
    consents: Mapping[str, pl.Series] = field(default_factory=dict)
    """Of destinations with a `consent` rule, over the same positions, for whom it holds."""
    by_hand: bool = False
    """Somebody approved it: then it is never late."""
    splits: Mapping[str, Split] = field(default_factory=dict)
    """How segments are divided, by segment."""

    def groups(self, segment: str, contacts: pl.Series) -> pl.Series:
        """The group that contacts are in; null where in none, or the segment is not divided."""
        split = self.splits.get(segment)
        return pl.repeat(None, len(contacts), dtype=pl.String(), eager=True) if split is None else split.groups(contacts)

    @cached_property
    def unsent_addresses(self) -> pl.Series:
        """The addresses of those who are suppressed: whoever else has one of them is told of no more than they are."""
        if self.suppressed is None:
            return addresses_of(self.snapshot, self.keys.head(0))
        return addresses_of(self.snapshot, self.keys.filter(self.suppressed & self.present & self.keys.is_not_null()))


@dataclass(frozen=True)
class Background:
    """What the state says when a run begins to activate.

    `attached`: pairs by (segment, sequence). `holds`: open holds. `pauses`: names and reasons. `open_rows`: rows that have
    not ended. `delivered`: whether the environment delivered at the accepted run (None: there was none). `recovered`:
    whether a recovery waits for its run. `syncs`: those there are. `enrolled_within(sequence, since)`: rows that became due since.
    `past_members(segment)`: every key that ever was in. `first_name(sequence)`: the name it was first known by.
    """

    past: LedgerPast
    secret: str
    attached: Mapping[tuple[str, str], Attachment]
    holds: Sequence[HoldRecord]
    pauses: Mapping[str, str | None]
    open_rows: pl.DataFrame
    delivered: bool | None
    recovered: bool
    syncs: Known
    enrolled_within: Callable[[str, datetime], int]
    past_members: Callable[[str], pl.Series]
    first_name: Callable[[str], str]


@dataclass(frozen=True)
class Activation:
    """What is decided. `rows` as `enrolling.ROWS` with `id` (null for baseline); `payloads` (`id`, `payload`) of rows that may be sent."""

    standing: Standing
    rows: pl.DataFrame
    skipped: pl.DataFrame
    payloads: pl.DataFrame
    destinations: Mapping[str, str]
    settled: Sequence[Settlement]
    stops: Mapping[str, str]
    trips: Sequence[Trip]
    attached: Sequence[tuple[str, str]]
    detached: Sequence[tuple[str, str]]
    delivers: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    syncs: Sequence[SyncDraft] = ()
    unagreed: Sequence[str] = ()
    told: Mapping[str, str] = field(default_factory=dict)
    """The payloads that rows which go on have now, by id."""

    def draft(self, staging: Staging, more: ActivationDraft) -> ActivationDraft:
        """What the commit makes so, together with `more`; the ledger's file is staged."""
        standing = self.standing
        numbered = self.rows.filter(pl.col("number") > 0)
        file = staging.write(path_of(standing.run), "ledger", self._ledger()) if self.rows.height else None
        baselines = self.rows.filter(pl.col("number") == 0).select("segment", "sequence").unique().sort("segment", "sequence").rows()
        opened = [
            HoldDraft(str(trip.kind), trip.name, {"reasons": list(trip.reasons), "figures": dict(trip.figures)}) for trip in self.trips
        ]
        if self.skipped.height:
            skipped: FileRef | None = staging.write(f"runs/{standing.run}/skipped.parquet", "skipped", self.skipped)
        else:
            skipped = None
        return replace(
            more,
            skipped_file=skipped,
            ledger_file=file,
            ledger_rows=self.rows.height,
            baselines=baselines,
            enrollments=self._enrollments(numbered),
            deliveries=self._deliveries(numbered),
            settled=self.settled,
            stops=self.stops,
            attached=self.attached,
            detached=self.detached,
            opened=[*more.opened, *opened],
            facts={**more.facts, **self.facts},
            syncs=self.syncs,
            told=self.told,
            unagreed=self.unagreed,
        )

    def outcomes(self) -> dict[str, dict[str, int]]:
        """How many new rows each sequence has, by outcome."""
        counts: dict[str, dict[str, int]] = {}
        for sequence, outcome, rows in self.rows.group_by("sequence", "outcome").len().sort("sequence", "outcome").iter_rows():
            counts.setdefault(sequence, {})[outcome] = rows
        return counts

    def _ledger(self) -> pl.DataFrame:
        rows = self.rows.with_columns(
            run=pl.lit(self.standing.run, pl.Int64()),
            as_of=pl.lit(self.standing.as_of).dt.convert_time_zone("UTC"),
            contact=pl.col("contact").cast(self.standing.keys.dtype),
        )
        return rows.select(*COLUMNS).cast({name: kind for name, kind in COLUMNS.items() if name != "contact"})

    def _enrollments(self, numbered: pl.DataFrame) -> pl.DataFrame:
        stamp, as_of = (when.isoformat(timespec="microseconds") for when in (self.standing.now, self.standing.as_of))
        due = pl.col("outcome") == str(Outcome.PENDING)
        return numbered.with_columns(
            run=pl.lit(self.standing.run),
            as_of=pl.lit(as_of),
            changed=pl.lit(stamp),
            pending_since=pl.when(due).then(pl.lit(stamp)),
        )

    def _deliveries(self, numbered: pl.DataFrame) -> pl.DataFrame:
        stamp = self.standing.now.isoformat(timespec="microseconds")
        told = numbered.select("id", destination=pl.col("sequence").replace_strict(self.destinations, return_dtype=pl.String()))
        told = told.join(self.payloads, on="id", how="inner", maintain_order="left")
        return told.with_columns(attempts=pl.lit(0), due=pl.lit(stamp), maybe=pl.lit(value=False))


def pairs_of(workspace: LoadedWorkspace, pauses: Mapping[str, str | None], segments: frozenset[str]) -> list[Pair]:
    """Every segment with a membership and each sequence that it enrolls in, in the order in which they are decided."""
    config = workspace.config
    found = []
    for name, segment in workspace.segments.items():
        for policy in segment.config.enroll if name in segments else ():
            sequence = config.sequences[policy.sequence]
            destination = config.destinations[sequence.destination]
            paused = _paused(policy.sequence, sequence.destination, sequence.paused, pauses)
            traits = traits_of(destination.settings, sequence.words)
            found.append(Pair(name, policy.sequence, policy, traits.needs_address, paused))
    return sorted(found, key=lambda pair: (pair.sequence, pair.segment))


def _paused(sequence: str, destination: str, by_file: bool, pauses: Mapping[str, str | None]) -> str | None:
    if "*" in pauses:
        return "everything is paused"
    if sequence in pauses or by_file:
        return "the sequence is paused"
    return f"destination {destination} is paused" if destination in pauses else None


def delivers(workspace: LoadedWorkspace) -> bool:
    """Whether the environment sends anything."""
    environment = workspace.config.environments.get(workspace.environment)
    return environment is not None and environment.deliver


def activate(workspace: LoadedWorkspace, standing: Standing, background: Background) -> Activation:
    """Decides. Reads the snapshot's rows of whom it concerns; writes nothing."""
    return _Activating(workspace, standing, background).decide()


@dataclass
class _Activating:
    workspace: LoadedWorkspace
    standing: Standing
    background: Background

    def decide(self) -> Activation:
        background, standing = self.background, self.standing
        sends = delivers(self.workspace)
        switched = sends and background.delivered is False
        pairs = pairs_of(self.workspace, background.pauses, standing.segments)
        attached = {} if switched else dict(background.attached)
        late = self._late()
        fresh = [pair for pair in pairs if (pair.segment, pair.sequence) not in attached and not (pair.policy.backfill and late)]
        known = [pair for pair in pairs if (pair.segment, pair.sequence) in attached]
        concerned, fields = self._concerned(known, fresh), self._fields(*known, *fresh)
        self.standing = self._read_ahead(concerned, fields, switched=switched)
        people = self._people(concerned, fields)
        enrolling = Enrolling(background.past, self._circumstances(people, late))
        for pair in pairs:
            if pair in fresh:
                self._attach(enrolling, pair)
            elif pair in known:
                self._enter(enrolling, pair)
        rows = self._identified(pl.concat([pl.DataFrame(schema=ROWS), *enrolling.rows]))
        settled = settling.settle(self.workspace, standing, background, people, rows, switched=UNSENT if switched else None)
        rows, settled, trips = self._guarded(rows, settled)
        return Activation(
            standing,
            rows,
            pl.concat([pl.DataFrame(schema=SKIPPED), *enrolling.skipped]),
            self._payloads(rows, people),
            {name: sequence.destination for name, sequence in self.workspace.config.sequences.items()},
            settled.rows,
            settled.stops,
            trips,
            [(pair.segment, pair.sequence) for pair in fresh],
            sorted(set(background.attached) - {(pair.segment, pair.sequence) for pair in pairs}),
            sends,
            {"delivers": sends, "recovered": None},
            self._syncs(switched=switched) if sends else (),
            settling.unagreed(self.workspace, standing, background, people),
            settled.told,
        )

    def _syncs(self, *, switched: bool) -> list[SyncDraft]:
        background = self.background
        return plan_syncs(self.workspace, self.standing, background.syncs, anew=switched, baseline=background.recovered)

    def _late(self) -> str | None:
        within = parse_length(self.workspace.config.schedule.activate_within)
        behind = self.standing.now - self.standing.as_of
        return f"the run was {spoken(behind)} behind the clock" if behind > within and not self.standing.by_hand else None

    def _circumstances(self, people: People, late: str | None) -> Circumstances:
        recovered = "the first run after a recovery" if self.background.recovered else None
        return Circumstances(
            self.standing.as_of,
            self.background.past.persons,
            people.suppressed,
            people.hashes,
            late=late,
            baseline_only=recovered,
            groups=self.standing.groups,
        )

    # ------------------------------------------------------------ whom it concerns

    def _concerned(self, known: Sequence[Pair], fresh: Sequence[Pair]) -> pl.Series:
        """The positions of everybody who enters, waits, or becomes baseline."""
        standing, names = self.standing, sorted({pair.segment for pair in known})
        entered = standing.entered.filter(pl.col("segment").is_in(names))["contact"].unique(maintain_order=True)
        wanted = [locate(standing.keys, entered)]
        wanted += [settling.concerned(standing, self.background)]
        for name in sorted({pair.segment for pair in fresh}):
            wanted.append(standing.member(name).arg_true())
            wanted.append(locate(standing.keys, self.background.past_members(name).cast(standing.keys.dtype, strict=False).drop_nulls()))
        return pl.concat([one.cast(pl.UInt32()) for one in wanted]).unique()

    def _fields(self, *pairs: Pair) -> list[str]:
        """The columns that are mapped for the pairs' sequences."""
        return sorted({column for pair in pairs for column in self.workspace.config.sequences[pair.sequence].fields.values()})

    def _read_ahead(self, concerned: pl.Series, fields: Sequence[str], *, switched: bool) -> Standing:
        """The standing, with all rows that are going to be asked for read at once, unless they are very many.

        Those are of whom it concerns, of whom syncs should have, and of the suppressed, by whose addresses the others are judged.
        """
        standing, syncs = self.standing, self.background.syncs
        there, told = read_for_syncs(self.workspace, standing, syncs, anew=switched) if delivers(self.workspace) else ([], set())
        if not len(concerned) and not there:
            return standing
        there += [] if standing.suppressed is None else [standing.suppressed & standing.present]
        rows = pl.concat([concerned, *(one.arg_true() for one in there)]).unique()
        keys = standing.keys.gather(rows).drop_nulls()
        email = standing.snapshot.email
        columns = {*([email] if email else []), *fields, *told}
        return replace(standing, snapshot=standing.snapshot.ahead(keys, columns)) if columns and len(keys) <= AHEAD else standing

    def _people(self, positions: pl.Series, fields: Sequence[str]) -> People:
        """Everybody whom it concerns, with address and mapped fields."""
        standing = self.standing
        people = People.read(standing.keys, positions, standing.suppressed, standing.snapshot, fields, self.background.secret)
        return people.without(standing.unsent_addresses) if people.frame.height else people

    # ------------------------------------------------------------ decisions

    def _enter(self, enrolling: Enrolling, pair: Pair) -> None:
        entries = self.standing.entered.filter(pl.col("segment") == pair.segment).select(pl.col("contact").cast(pl.String()), "cause")
        if pair.segment in self.standing.baseline:
            enrolling.now = replace(enrolling.now, baseline_only="taken as a baseline")
            enrolling.enroll(pair, entries)
            enrolling.now = replace(enrolling.now, baseline_only=None)
        else:
            enrolling.enroll(pair, entries)

    def _attach(self, enrolling: Enrolling, pair: Pair) -> None:
        """The two run together for the first time: members now and ever are baseline, or enrolled where `backfill` says so."""
        members = self.standing.keys.filter(self.standing.member(pair.segment)).drop_nulls().sort().cast(pl.String())
        earlier = self.background.past_members(pair.segment)
        rest = members
        if pair.policy.backfill and enrolling.now.baseline_only is None and pair.segment not in self.standing.baseline:
            before = self.background.past.all_enrolled(pair.segment, pair.sequence)  # attached anew: staying in never repeats
            out = enrolling.now.persons(members).is_in(before.implode()) | members.is_in(before.implode())
            rest = pl.concat([enrolling.backfill(pair, members.filter(~out)), members.filter(out)])
        baseline = pl.concat([rest.alias("contact"), earlier.filter(~earlier.is_in(members.implode())).alias("contact")])
        enrolling.attach(pair, baseline, self.background.past.all_baselined(pair.segment, pair.sequence))

    def _identified(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with their ids."""
        config, standing = self.workspace.config, self.standing
        first = {name: self.background.first_name(name) for name in rows["sequence"].unique().to_list()}
        ids = [
            enrollment_id(config.id, self.workspace.environment, first[sequence], standing.kind, contact, number) if number else None
            for sequence, contact, number in rows.select("sequence", "contact", "number").iter_rows()
        ]
        return rows.with_columns(pl.Series("id", ids, pl.String()))

    def _guarded(self, rows: pl.DataFrame, settled: settling.Settled) -> tuple[pl.DataFrame, settling.Settled, list[Trip]]:
        """Rows of sequences that a guard holds are held; a guard that trips now is told."""
        guard, standing = self.workspace.config.guards.sequence, self.standing
        held = {hold.name for hold in self.background.holds if hold.kind == HoldKind.SEQUENCE}
        trips = []
        due = pl.concat([rows.filter(pl.col("outcome") == str(Outcome.PENDING))["sequence"], settled.arrived])
        for sequence, new in due.value_counts(name="rows").sort("sequence").iter_rows():
            if sequence not in held:
                before = self.background.enrolled_within(sequence, standing.now - parse_length(guard.per))
                trip = sequence_trip(sequence, guard, new, before)
                if trip is not None:
                    trips.append(trip)
                    held.add(sequence)
        stopped = pl.col("sequence").is_in(sorted(held)) & (pl.col("outcome") == str(Outcome.PENDING))
        why = pl.lit("the sequence is held by its guard")
        rows = rows.with_columns(
            outcome=pl.when(stopped).then(pl.lit(str(Outcome.HELD))).otherwise("outcome"),
            reason=pl.when(stopped).then(why).otherwise("reason"),
        )
        return rows, settled.holding(held), trips

    def _payloads(self, rows: pl.DataFrame, people: People) -> pl.DataFrame:
        """What a destination is to be told of each row beside the row itself: address and mapped fields, as JSON text."""
        wanted = rows.filter(pl.col("outcome").is_in([str(outcome) for outcome in DELIVERABLE]))
        found = [pl.DataFrame(schema={"id": pl.String(), "payload": pl.String()})]
        for (sequence,), part in wanted.group_by("sequence", maintain_order=True):
            policy = self.workspace.config.sequences[str(sequence)]
            told = people.payloads(part["contact"], policy.fields, self.standing.consents.get(policy.destination))
            found.append(pl.DataFrame([part["id"], pl.Series("payload", told, pl.String())]))
        return pl.concat(found)
