"""A run: the lease, the pinned snapshot, every rule checked and evaluated, what changed and why, and one commit.

Before the commit nothing has happened; after it everything has. A process killed at any instant leaves one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from segmentry.engine import digests as digesting
from segmentry.engine.columns import key_kind
from segmentry.engine.comparing import Answers, Question, explained, first_question, question
from segmentry.engine.diff import changes_frame, first_entries
from segmentry.engine.evaluation import Counters, Evaluation
from segmentry.engine.former import FormerRun
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.membership import Memberships
from segmentry.engine.otherwise import Scenario
from segmentry.engine.plan import Plan, make_plan
from segmentry.engine.positions import Placement, aligned, carried, first_placement, place
from segmentry.engine.prepared import Prepared, columns_used, prepare
from segmentry.engine.report import Progress, Stopwatch, figures, segment_report, unseen, versions
from segmentry.engine.snapshot import Snapshot
from segmentry.engine.sources import files_of, schema_changes, snapshot_to_json, verify_unchanged
from segmentry.engine.state import RunRecord, State, Status
from segmentry.engine.state.commit import EventFileDraft, FileRef, RunDraft
from segmentry.engine.state.files import Staging
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.records import LIST_COLUMN
from segmentry.engine.state.state import wall_clock
from segmentry.engine.storing import Stored, changes_of, returned_moves, store_contacts, store_members
from segmentry.errors import ClockError, NoState, SourceChanged, SourceError
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import Condition

Clocked = Callable[[], datetime]


@dataclass(frozen=True)
class Recomputed:
    """A run that has been computed: committed (`record.id` is in the state), or only shown (`committed` False)."""

    record: RunRecord
    changes: Callable[[], pl.DataFrame]
    warnings: tuple[Diagnostic, ...]
    plan: Plan
    committed: bool


@dataclass(frozen=True)
class Settings:
    """What one run was asked for, beside the workspace."""

    as_of: datetime
    now: datetime
    watch: Stopwatch


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes: the state, and for a dry run a folder that goes with it."""

    state: State
    lease: Lease | None
    throwaway: Path | None

    def staging(self) -> Staging:
        """A new, empty place to write to."""
        staging = self.state.staging(self.lease) if self.lease is not None else Staging(self.throwaway or self.state.folder, 0)
        staging.remove()
        return staging


@dataclass(frozen=True)
class Kept:
    """What a run keeps for the next one to be compared with: row digests (a former file's id where they still hold), events' digests."""

    reads: digesting.Reads
    rows: pl.Series | int | None
    events: digesting.EventDigests


@dataclass(frozen=True)
class _Computed:
    """A run ready to be committed, and what its report tells of."""

    draft: RunDraft
    plan: Plan
    counters: Counters
    placement: Placement
    stored_changes: pl.DataFrame
    firsts: tuple[str, ...]
    changes: Callable[[], pl.DataFrame]


def recompute(
    workspace: LoadedWorkspace,
    *,
    as_of: datetime | None = None,
    now: datetime | None = None,
    full: bool = True,
    first_run: bool = False,
    wait: float = 0.0,
    dry_run: bool = False,
    progress: Progress = unseen,
    clock: Clocked = wall_clock,
) -> Recomputed:
    """Computes every segment at `as_of` (aware; None is `now`) and commits the result, whole or not at all.

    `now` is what the clock reads (None: asked of `clock`, which also tells leases their time). `full` asks for every
    contact; this version always computes all. `wait` is how many seconds to wait for another run. A dry run stores
    nothing and takes no lease. Raises every kind of SegmentryError; then nothing was committed.
    """
    del full
    workspace.require()
    _refuse_future(as_of, now or clock())
    with ExitStack() as stack:
        throwaway = Path(stack.enter_context(TemporaryDirectory(prefix="segmentry-"))) if dry_run else None
        state = _open(workspace, throwaway, first_run=first_run, clock=clock)
        stack.callback(state.close)
        lease = None if dry_run else stack.enter_context(state.lease(wait))
        accepted = state.accepted()
        now = (now or clock()).astimezone(UTC)  # after a wait, so that it is not before the run that was waited for
        if accepted is not None and now < accepted.started:
            raise ClockError(
                f"the clock reads {_shown(now)}, and the accepted run {accepted.id} began later, at {_shown(accepted.started)}:"
                " set the clock right"
            )
        settings = Settings((as_of or now).astimezone(UTC), now, Stopwatch(progress))
        place = Place(state, lease, throwaway)
        former = None if accepted is None else FormerRun(state, accepted)
        try:
            return _Run(workspace, settings, place, former).compute()
        except SourceChanged:
            return _Run(workspace, settings, place, former).compute()


def _open(workspace: LoadedWorkspace, throwaway: Path | None, *, first_run: bool, clock: Clocked) -> State:
    """The workspace's state. A dry first run gets one that goes with it, so that it leaves nothing."""
    identity = (workspace.config.id, workspace.environment)
    try:
        return State.open(workspace.state, *identity, create=first_run and throwaway is None, clock=clock)
    except NoState:
        if throwaway is None or not first_run:
            raise
        return State.open(throwaway, *identity, create=True, clock=clock)


def _refuse_future(as_of: datetime | None, now: datetime) -> None:
    if as_of is not None and as_of > now:
        raise ClockError(f"as_of {_shown(as_of)} is later than the clock, which reads {_shown(now)}")


def _shown(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass
class _Run:
    """One attempt at a run."""

    workspace: LoadedWorkspace
    settings: Settings
    place: Place
    former: FormerRun | None
    staging: Staging = field(init=False)
    number: int = field(init=False)
    historical: bool = field(init=False)

    def __post_init__(self) -> None:
        self.staging = self.place.staging()
        self.number = self.place.state.next_run()
        self.historical = self.former is not None and self.settings.as_of <= self.former.record.as_of

    def compute(self) -> Recomputed:
        """Everything, up to and with the commit. Raises SourceChanged if a file changed under the reader: try once more."""
        snapshot: list[Snapshot] = []
        try:
            return self._compute(snapshot)
        except Exception:
            if self.place.lease is not None:  # whoever lost the lease has lost its files too, and would fail in any way
                with self.place.state.catalog.reading() as connection:
                    self.place.lease.check(connection)
            for pinned in snapshot:  # a file that changed under the reader explains whatever else went wrong
                verify_unchanged(pinned)
            raise
        finally:
            self.staging.remove()

    def _compute(self, pinned: list[Snapshot]) -> Recomputed:
        watch = self.settings.watch
        with watch.stage("check"):
            prepared = prepare(self.workspace, self.settings.as_of)
            pinned.append(prepared.snapshot)
            warnings = prepared.warnings + self._schema_changes(prepared)
        with self._evaluation(prepared.snapshot, prepared.clock) as evaluation:
            computed = self._computed(prepared, evaluation)
        verify_unchanged(prepared.snapshot)
        draft = replace(computed.draft, report=self._report(prepared, computed))
        if self.place.lease is None:
            return Recomputed(_record(draft), computed.changes, warnings, computed.plan, committed=False)
        with watch.stage("commit"):
            record = self.place.state.commit(self.place.lease, self.staging, draft)
        return Recomputed(record, lambda: self.place.state.changes(self.number), warnings, computed.plan, committed=True)

    def _evaluation(self, snapshot: Snapshot, clock: Clock) -> Evaluation:
        engine = self.workspace.config.engine
        temp = self.workspace.temp or self.staging.folder / "spill"
        return Evaluation(snapshot, clock=clock, memory=engine.memory, threads=engine.threads, temp=temp)

    def _schema_changes(self, prepared: Prepared) -> tuple[Diagnostic, ...]:
        """What changed in the sources' columns since the accepted run; raises SourceError where a rule written for them reads one."""
        if self.former is None:
            return ()
        then = self.former.definitions.segments
        unchanged = {
            name: rule for name, rule in prepared.rules.conditions.items() if then.get(name) == prepared.rules.definitions.segments[name]
        }
        found = schema_changes(self.former.snapshot, prepared.snapshot, columns_used(unchanged, prepared.snapshot))
        if any(problem.severity is Severity.ERROR for problem in found):
            raise SourceError(found)
        return found

    def _computed(self, prepared: Prepared, evaluation: Evaluation) -> _Computed:
        watch, compared = self.settings.watch, None if self.historical else self.former
        with watch.stage("evaluate"):
            asked = self._question(prepared, compared)
            plan = make_plan(asked.conditions, prepared.snapshot, prepared.clock)
            evaluation.prepare(plan)
            placement = self._placed(prepared, evaluation.keys())
            evaluation.align(placement.alignment)
            answers = self._answered(asked, evaluation.memberships(plan, asked.lists), placement)
        with watch.stage("digest"):
            kept = None if self.historical else self._digested(prepared, evaluation, plan, placement)
        with watch.stage("compare"):
            names = [*prepared.rules.conditions, *(LIST_COLUMN + path for path in prepared.lists)]
            stored = store_members(self.place.state, self.staging, self.number, answers.memberships, names, self.former, placement)
            changes, firsts = self._changes(prepared, evaluation, answers, stored, kept, placement)
        with watch.stage("write"):
            return self._written(prepared, evaluation, answers, plan, stored, kept, changes, firsts, placement)

    def _question(self, prepared: Prepared, compared: FormerRun | None) -> Question:
        if compared is None:
            return first_question(prepared.rules, prepared.lists)
        return question(self.workspace, prepared.rules, prepared.lists, compared, prepared.schema, prepared.clock)

    def _placed(self, prepared: Prepared, keys: pl.Series) -> Placement:
        contacts = prepared.snapshot.contacts
        kind = key_kind(contacts.relation.columns[contacts.key].stored) or "text"
        if self.former is None:
            return first_placement(keys, kind)
        order = self.former.order
        return place(order.keys, order.present, order.record.kind, keys, kind)

    def _answered(self, asked: Question, memberships: Memberships, placement: Placement) -> Answers:
        """The plan's answers, and those of former definitions that need an evaluation of their own."""
        if asked.apart is None:
            return Answers(asked, memberships, {})
        apart = asked.apart
        plan = make_plan(apart.conditions, apart.snapshot, apart.clock)
        try:
            with self._evaluation(apart.snapshot, apart.clock) as evaluation:
                evaluation.prepare(plan)
                evaluation.align(aligned(placement.alignment.keys, evaluation.keys()))
                found = evaluation.memberships(plan, apart.lists)
        except SourceError:
            everybody = frozenset(asked.by_definitions.columns)
            return Answers(replace(asked, can_not_run=everybody, by_definitions=Scenario(), by_both=Scenario()), memberships, {})
        return Answers(asked, memberships, {name: found.column(name).head(placement.alignment.size) for name in found.names})

    def _digested(self, prepared: Prepared, evaluation: Evaluation, plan: Plan, placement: Placement) -> Kept:
        """The digests that the next run is compared by; those of files that did not change are the former run's."""
        snapshot, former = prepared.snapshot, self.former
        own = make_plan(prepared.rules.whole(), snapshot, prepared.clock) if former is not None else plan
        reads = digesting.reads_of(snapshot, own.columns_read())
        files, before = (former.event_files, carried(former.order.present, placement)) if former is not None else ((), None)
        new = pl.Series(dtype=pl.UInt32()) if before is None else (placement.alignment.present & ~before).arg_true()
        events = digesting.digest_events(evaluation, snapshot, reads, files, new)
        if not reads.contacts:
            return Kept(reads, None, events)
        if former is not None and self._same_rows(snapshot, reads, placement) and former.record.digests_file is not None:
            return Kept(reads, former.record.digests_file, events)
        return Kept(reads, evaluation.contact_digests(reads.contacts), events)

    def _same_rows(self, snapshot: Snapshot, reads: digesting.Reads, placement: Placement) -> bool:
        former = self.former
        return (
            former is not None
            and digesting.same_files(former.snapshot.contacts, snapshot.contacts)
            and (former.reads.contacts, former.reads.engine) == (reads.contacts, reads.engine)
            and placement.former_positions is None
            and placement.alignment.size == placement.former_size
        )

    def _changes(
        self, prepared: Prepared, evaluation: Evaluation, answers: Answers, stored: Stored, kept: Kept | None, placement: Placement
    ) -> tuple[pl.DataFrame, tuple[str, ...]]:
        """Who changed and why since the former run, and the segments that are computed for the first time."""
        keys = placement.alignment.keys
        nothing = changes_frame([], keys.dtype)
        if self.historical:
            return nothing, ()
        if self.former is None or kept is None:
            return nothing, tuple(sorted(prepared.rules.conditions))
        former = self.former
        firsts = tuple(sorted(name for name in prepared.rules.conditions if name not in former.segments))
        returned = former.returned(prepared.rules.conditions)
        gone: dict[str, pl.Series] = {}
        moved = [stored.moves]
        for name in returned:
            frame, gone[name] = returned_moves(former, name, answers.memberships.column(name), placement)
            moved.append(frame)
        moves = pl.concat(moved)
        if keys.has_nulls():
            moves = moves.filter(keys.gather(moves["position"]).is_not_null())

        def differs(positions: pl.Series) -> pl.Series:
            return self._differs(prepared, evaluation, former, kept, placement, positions)

        def ask(conditions: Mapping[str, Condition], lists: Mapping[str, pl.Series]) -> Memberships:
            return evaluation.memberships(make_plan(conditions, prepared.snapshot, prepared.clock), lists)

        decided = explained(moves, answers, former, placement, returned, differs, ask)
        return changes_of(decided, keys, gone), firsts

    def _differs(
        self, prepared: Prepared, evaluation: Evaluation, former: FormerRun, kept: Kept, placement: Placement, positions: pl.Series
    ) -> pl.Series:
        """Whether these contacts' rows, or their events, differ from the former run's."""
        snapshot = prepared.snapshot
        rows = digesting.contacts_differ(
            former.snapshot.contacts,
            former.reads,
            self.place.state.digests(former.record.id),
            snapshot.contacts,
            evaluation,
            placement,
        )
        events = digesting.events_differ(self.place.state, snapshot, kept.events, kept.reads, former.reads, evaluation, placement)
        found = pl.repeat(False, len(positions), dtype=pl.Boolean(), eager=True)
        for differing in (rows, events):
            found = found | (differing.gather(positions) if isinstance(differing, pl.Series) else differing)
        return found

    def _written(
        self,
        prepared: Prepared,
        evaluation: Evaluation,
        answers: Answers,
        plan: Plan,
        stored: Stored,
        kept: Kept | None,
        changes: pl.DataFrame,
        firsts: tuple[str, ...],
        placement: Placement,
    ) -> _Computed:
        """Writes what is left to write, and says what the commit will make so."""
        state, key = self.place.state, prepared.snapshot.contacts.key
        sizes = {name: size for name, size in answers.memberships.counts().items() if name in prepared.rules.conditions}
        order, contacts = store_contacts(state, self.staging, placement, key, self.former, accepted=not self.historical)
        digests_file, event_files = self._write_digests(kept, order, placement)
        draft = RunDraft(
            id=self.number,
            status=Status.HISTORICAL if self.historical else Status.ACCEPTED,
            as_of=self.settings.as_of,
            started=self.settings.now,
            committed=self.settings.now,
            contacts=contacts,
            members=stored.chunks,
            changes_file=self.staging.write(f"runs/{self.number}/changes.parquet", "changes", changes),
            digests_file=digests_file,
            event_files=event_files,
            snapshot=snapshot_to_json(prepared.snapshot),
            definitions={
                "definitions": prepared.rules.definitions.to_json(),
                "reads": (kept.reads if kept is not None else digesting.Reads((), {})).to_json(),
                "versions": versions(),
            },
            report={},
            segments=figures(sizes, changes, firsts),
        )
        all_changes = _all_changes(changes, answers.memberships, placement, firsts)
        return _Computed(draft, plan, evaluation.counters, placement, changes, firsts, all_changes)

    def _write_digests(self, kept: Kept | None, order: int, placement: Placement) -> tuple[FileRef | None, list[EventFileDraft]]:
        if kept is None:
            return None, []
        rows: FileRef | None
        if isinstance(kept.rows, pl.Series):
            frame = pl.DataFrame({"digest": kept.rows})
            rows = self.staging.write(f"contacts/{order}/digests-{self.number}.parquet", "digests", frame)
        else:
            rows = kept.rows
        events = digesting.keep_event_digests(self.place.state, self.staging, self.number, kept.events, kept.reads, placement)
        return rows, events

    def _report(self, prepared: Prepared, computed: _Computed) -> dict[str, Any]:
        """The run's report, as plain JSON values."""
        draft, counters, placement = computed.draft, computed.counters, computed.placement
        sizes = {name: figures.size for name, figures in draft.segments.items()}
        tables = prepared.snapshot.events
        return {
            "contacts": {
                "rows": int(placement.alignment.present.sum()),
                "positions": placement.alignment.size,
                "gone": placement.gone,
                "new": max(0, placement.alignment.size - placement.former_size) if placement.former_positions is None else None,
            },
            "files": len(files_of(prepared.snapshot)),
            "rows_read": counters.rows,
            "bytes_read": counters.bytes,
            "queries": counters.queries,
            "seconds": {**self.settings.watch.seconds, "engine": {name: round(value, 4) for name, value in counters.seconds.items()}},
            "segments": segment_report(sizes, computed.stored_changes, {name: sizes[name] for name in computed.firsts}),
            "events": [
                {
                    "source": source.event or source.name,
                    "unknown_contacts": counters.unknown_events.get(index, 0),
                    "without_time": counters.timeless_events.get(index, 0),
                }
                for index, source in enumerate(tables)
            ],
            "lists": {name: {"unknown_keys": unknown} for name, unknown in sorted(counters.unknown_keys.items()) if name in prepared.lists},
        }


def _all_changes(
    changes: pl.DataFrame, memberships: Memberships, placement: Placement, firsts: tuple[str, ...]
) -> Callable[[], pl.DataFrame]:
    """The changes with the entries of segments computed for the first time, made when somebody asks."""

    def made() -> pl.DataFrame:
        columns = pl.DataFrame([memberships.column(name) for name in firsts])
        entries = first_entries(placement.alignment.keys, columns) if firsts else []
        return changes_frame([*entries, changes], placement.alignment.keys.dtype)

    return made


def _record(draft: RunDraft) -> RunRecord:
    """A run that is not committed, as it would be told of."""
    return RunRecord(
        id=draft.id,
        status=draft.status,
        as_of=draft.as_of,
        started=draft.started,
        committed=draft.committed,
        contacts=0,
        members=(),
        complete=False,
        changes_file=0,
        digests_file=None,
        report=draft.report,
        erased=0,
        segments=draft.segments,
        detail={"snapshot": draft.snapshot, "definitions": draft.definitions}.__getitem__,
    )
