"""A run: the lease, the pinned snapshot, every rule checked and evaluated, what changed and why, and one commit.

Before the commit nothing has happened; after it everything has. A process killed at any instant leaves one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import polars as pl

from segmentry.engine import digests as digesting
from segmentry.engine.changing import Comparison, answered
from segmentry.engine.columns import key_kind
from segmentry.engine.comparing import Answers, Question, first_question
from segmentry.engine.computing import Computed, in_full, in_part
from segmentry.engine.consequences import FAILURE, Answered, Consequences, beside
from segmentry.engine.diff import changes_frame, first_entries
from segmentry.engine.digests import Kept
from segmentry.engine.evaluation import Evaluation, Recall
from segmentry.engine.former import FormerRun, former_run
from segmentry.engine.incremental import why_full
from segmentry.engine.keeping import keep, reads_of_rules
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.membership import Memberships
from segmentry.engine.own_names import require_own_names
from segmentry.engine.plan import Plan
from segmentry.engine.positions import Placement, first_placement, place, with_merges
from segmentry.engine.prepared import Prepared, parts_used, prepare
from segmentry.engine.remembering import Past
from segmentry.engine.renaming import renames_of
from segmentry.engine.report import Progress, Stopwatch, figures, segment_report, unseen, versions
from segmentry.engine.snapshot import Snapshot
from segmentry.engine.sources import files_of, schema_changes, snapshot_to_json, verify_unchanged
from segmentry.engine.splitting import Split, splits_to_json
from segmentry.engine.state import RunRecord, State, Status
from segmentry.engine.state.activated import ActivationDraft, FileRef
from segmentry.engine.state.commit import EventFileDraft, RunDraft
from segmentry.engine.state.files import Staging
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.records import LIST_COLUMN
from segmentry.engine.state.state import wall_clock
from segmentry.engine.storing import Compared, compare_members, store_contacts, store_members
from segmentry.errors import ClockError, LeaseLost, NoState, SegmentryError, SourceChanged, SourceError
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.ground import Clock

Clocked = Callable[[], datetime]


class ChangesOf(Protocol):
    """Gives what a run brought: of all segments, or of one."""

    def __call__(self, *, segment: str | None = None) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Recomputed:
    """A run that has been computed: committed (`record.id` is in the state), or only shown (`committed` False)."""

    record: RunRecord
    changes: ChangesOf
    warnings: tuple[Diagnostic, ...]
    plan: Plan
    committed: bool
    consequences: Consequences | None
    """What guards hold of it and whom it enrolls; None for a historical run."""


@dataclass(frozen=True)
class Settings:
    """What one run was asked for, beside the workspace."""

    as_of: datetime
    now: datetime
    watch: Stopwatch
    full: bool = False


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
class _Result:
    """What a run has found before anything is held or written."""

    prepared: Prepared
    computed: Computed
    memberships: Memberships
    compared: Compared
    kept: Kept | None
    changes: pl.DataFrame
    firsts: tuple[str, ...]

    @property
    def placement(self) -> Placement:
        return self.computed.placement


@dataclass(frozen=True)
class _Drafted:
    """A run ready to be committed, and what its report tells of."""

    draft: RunDraft
    computed: Computed
    stored_changes: pl.DataFrame
    firsts: tuple[str, ...]
    changes: ChangesOf
    consequences: Consequences | None


def recompute(
    workspace: LoadedWorkspace,
    *,
    as_of: datetime | None = None,
    now: datetime | None = None,
    full: bool = False,
    first_run: bool = False,
    wait: float = 0.0,
    dry_run: bool = False,
    progress: Progress = unseen,
    clock: Clocked = wall_clock,
) -> Recomputed:
    """Computes every segment at `as_of` (aware; None is `now`) and commits the result, whole or not at all.

    `now` is what the clock reads (None: asked of `clock`, which also tells leases their time). `full` computes all contacts
    where otherwise those would do that something may have changed; the answer is the same. `wait` is how many seconds to wait
    for another run. A dry run stores nothing and takes no lease. Raises every kind of SegmentryError; then nothing was committed.
    """
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
        settings = Settings((as_of or now).astimezone(UTC), now, Stopwatch(progress), full=full)
        place = Place(state, lease, throwaway)
        renames = renames_of(workspace, state.segments())
        former = None if accepted is None else former_run(state, accepted, renames)
        with noted_failure(place, now):
            require_own_names(workspace, state, renames)
            try:
                return _Run(workspace, settings, place, former).compute()
            except SourceChanged:
                return _Run(workspace, settings, place, former).compute()


@contextmanager
def noted_failure(place: Place, now: datetime) -> Iterator[None]:
    """Notes in the state that a run failed, and why, for whoever asks how things stand; the next run that is committed clears it."""
    try:
        yield
    except SegmentryError as error:
        if place.lease is not None and not isinstance(error, LeaseLost):
            place.state.note(place.lease, FAILURE, {"at": now.isoformat(timespec="seconds"), "message": str(error)})
        raise


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
    recall: Recall | None = None

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
        self.recall = Past(self.former, prepared.aliases).bitmap
        drafted = self._drafted(prepared)
        verify_unchanged(prepared.snapshot)
        draft, plan = replace(drafted.draft, report=self._report(prepared, drafted)), drafted.computed.plan
        if self.place.lease is None:
            return Recomputed(_record(draft), drafted.changes, warnings, plan, committed=False, consequences=drafted.consequences)
        with watch.stage("commit"):
            record = self.place.state.commit(self.place.lease, self.staging, draft)
        changes = partial(self.place.state.changes, self.number)
        return Recomputed(record, changes, warnings, plan, committed=True, consequences=drafted.consequences)

    def _evaluation(self, snapshot: Snapshot, clock: Clock, only: pl.Series | None = None) -> Evaluation:
        engine = self.workspace.config.engine
        temp = self.workspace.temp or self.staging.folder / "spill"
        return Evaluation(snapshot, clock=clock, memory=engine.memory, threads=engine.threads, temp=temp, only=only, recall=self.recall)

    def _schema_changes(self, prepared: Prepared) -> tuple[Diagnostic, ...]:
        """What changed in the sources' columns since the accepted run; raises SourceError where a rule written for them reads one."""
        if self.former is None:
            return ()
        then = self.former.definitions.segments
        unchanged = {
            name: rule for name, rule in prepared.rules.conditions.items() if then.get(name) == prepared.rules.definitions.segments[name]
        }
        found = schema_changes(self.former.snapshot, prepared.snapshot, parts_used(unchanged, prepared.snapshot))
        if any(problem.severity is Severity.ERROR for problem in found):
            raise SourceError(found)
        return found

    def _drafted(self, prepared: Prepared) -> _Drafted:
        """The run up to its commit."""
        watch = self.settings.watch
        with ExitStack() as evaluations:
            result = self._result(prepared, evaluations)
        # the contacts and events in the engine's memory are gone by now: what follows needs room of its own
        if self.historical:
            return self._written(result, None)
        with watch.stage("activate"):
            consequences = self._consequences(result)
        return self._written(result, consequences)

    def _result(self, prepared: Prepared, stack: ExitStack) -> _Result:
        """Who is in what, and what changed; evaluations are open as long as the `stack` is."""
        watch, comparison = self.settings.watch, self._comparison(prepared)
        with watch.stage("evaluate"):
            asked = first_question(prepared.rules, prepared.lists) if comparison is None else comparison.question()
            unsent = beside(prepared, self.former)
            reads = cache(partial(reads_of_rules, prepared))
            computed = self._computed(replace(asked, conditions={**asked.conditions, **unsent}), prepared, reads, stack)
            placement = computed.placement
            answers = answered(asked, computed.memberships, placement, self._evaluation)
        with watch.stage("digest"):
            kept = None if self.historical else computed.kept or self._kept(prepared, computed, reads())
        with watch.stage("compare"):
            names = [*prepared.rules.conditions, *(LIST_COLUMN + path for path in prepared.lists), *unsent]
            compared = compare_members(self.place.state, answers.memberships, names, self.former, placement, computed.over)
            changes, firsts = self._changes(prepared, computed, comparison, answers, compared, kept)
        return _Result(prepared, computed, answers.memberships, compared, kept, changes, firsts)

    def _computed(self, asked: Question, prepared: Prepared, reads: Callable[[], digesting.Reads], stack: ExitStack) -> Computed:
        """The answers: of all contacts, or where the accepted run's may stand, of those that something may have changed."""
        evaluation = stack.enter_context(self._evaluation(prepared.snapshot, prepared.clock))
        why = why_full(prepared, self.former, asked=self.settings.full, historical=self.historical)
        if why is None and self.former is not None:

            def restricted(keys: pl.Series) -> Evaluation:
                return stack.enter_context(evaluation.restricted(keys))

            found = in_part(asked, prepared, self.former, evaluation, restricted, reads())
            if isinstance(found, Computed):
                return found
            why = found
        digested = () if self.historical else reads().contacts
        return in_full(asked, prepared, evaluation, partial(self._placed, prepared), str(why), digested)

    def _consequences(self, result: _Result) -> Consequences:
        """What follows from the answers, decided before anything is written."""
        answers = Answered(
            self.number,
            self.settings.as_of,
            self.settings.now,
            result.prepared,
            result.placement,
            result.memberships,
            result.changes,
            frozenset(result.firsts),
            self.former,
        )
        found = Consequences(self.workspace, self.place.state, answers)
        _ = found.held, found.activation
        return found

    def _comparison(self, prepared: Prepared) -> Comparison | None:
        """The accepted runs that this one is compared with; None for a first run and a historical one."""
        if self.former is None or self.historical:
            return None
        return Comparison(self.workspace, prepared, self.former, self._evaluation)

    def _placed(self, prepared: Prepared, keys: pl.Series) -> Placement:
        contacts = prepared.snapshot.contacts
        kind = key_kind(contacts.relation.columns[contacts.key].stored) or "text"
        if self.former is None:
            return first_placement(keys, kind)
        order = self.former.order
        placement = place(order.keys, order.present, order.record.kind, keys, kind, compact=self.former.settled)
        return with_merges(placement, None if prepared.aliases is None else prepared.aliases.mapping)

    def _kept(self, prepared: Prepared, computed: Computed, reads: digesting.Reads) -> Kept:
        return keep(prepared, self.former, computed.session, computed.placement, reads)

    def _changes(
        self,
        prepared: Prepared,
        computed: Computed,
        comparison: Comparison | None,
        answers: Answers,
        compared: Compared,
        kept: Kept | None,
    ) -> tuple[pl.DataFrame, tuple[str, ...]]:
        """Who changed and why since the former run, and the segments that are computed for the first time."""
        if comparison is not None and kept is not None:
            return comparison.changes(computed.session, answers, compared.moves, kept, computed.placement), comparison.firsts
        nothing = changes_frame([], computed.placement.alignment.keys.dtype)
        return nothing, () if self.historical else tuple(sorted(prepared.rules.conditions))

    def _written(self, result: _Result, found: Consequences | None) -> _Drafted:
        """Writes what is left to write, and says what the commit will make so."""
        state, staging, prepared, placement = self.place.state, self.staging, result.prepared, result.placement
        sizes = {name: size for name, size in result.memberships.counts().items() if name in prepared.rules.conditions}
        changes, firsts, held = result.changes, result.firsts, frozenset[str]()
        status = Status.HISTORICAL
        activation = ActivationDraft()
        with self.settings.watch.stage("write"):
            if found is not None:
                status = Status.ACCEPTED if found.held.source is None else Status.HELD
                sizes, changes, firsts, held = found.sizes, found.accepted_changes, found.firsts, found.held_columns
                activation = found.draft(staging)
            members = store_members(staging, self.number, result.compared, held)
            accepted = status is Status.ACCEPTED
            order, contacts = store_contacts(state, staging, placement, prepared.snapshot.contacts.key, self.former, accepted=accepted)
            digests_file, event_files = self._write_digests(result.kept, order, placement)
            draft = RunDraft(
                id=self.number,
                status=status,
                as_of=self.settings.as_of,
                started=self.settings.now,
                committed=self.settings.now,
                contacts=contacts,
                members=members,
                changes_file=staging.write(f"runs/{self.number}/changes.parquet", "changes", changes),
                digests_file=digests_file,
                event_files=event_files,
                snapshot=snapshot_to_json(prepared.snapshot),
                definitions={
                    "definitions": prepared.rules.definitions.to_json(),
                    "reads": (result.kept.reads if result.kept is not None else digesting.Reads((), {})).to_json(),
                    "versions": versions(),
                    **_splits(prepared.rules.definitions.splits if found is None else found.splits),
                },
                report={},
                segments=figures(sizes, changes, firsts),
                held=frozenset() if found is None else frozenset(found.held.segments),
                activation=activation,
            )
        everybody = _all_changes(changes, result.memberships, placement, firsts)
        return _Drafted(draft, result.computed, changes, firsts, everybody, found)

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

    def _report(self, prepared: Prepared, drafted: _Drafted) -> dict[str, Any]:
        """The run's report, as plain JSON values."""
        draft, counters, placement = drafted.draft, drafted.computed.session.counters, drafted.computed.placement
        sizes = {name: figures.size for name, figures in draft.segments.items()}
        tables = prepared.snapshot.events
        return {
            "contacts": {
                "rows": int(placement.alignment.present.sum()),
                "positions": placement.alignment.size,
                "gone": placement.gone,
                "new": max(0, placement.alignment.size - placement.former_size) if placement.former_positions is None else None,
                **({"conditions_by_row": counters.by_row} if counters.by_row else {}),
            },
            "computed": dict(drafted.computed.told),
            "files": len(files_of(prepared.snapshot)),
            "rows_read": counters.rows,
            "bytes_read": counters.bytes,
            "queries": counters.queries,
            "seconds": {**self.settings.watch.seconds, "engine": {name: round(value, 4) for name, value in counters.seconds.items()}},
            "segments": segment_report(sizes, drafted.stored_changes, {name: sizes[name] for name in drafted.firsts}),
            "events": [
                {
                    "source": source.event or source.name,
                    "unknown_contacts": counters.unknown_events.get(index, 0),
                    "without_time": counters.timeless_events.get(index, 0),
                    **({"in_arrays": True} if index in counters.in_arrays else {}),
                }
                for index, source in enumerate(tables)
            ],
            **({} if drafted.consequences is None else {"activation": drafted.consequences.report()}),
            "lists": {name: {"unknown_keys": unknown} for name, unknown in sorted(counters.unknown_keys.items()) if name in prepared.lists},
        }


def _all_changes(changes: pl.DataFrame, memberships: Memberships, placement: Placement, firsts: tuple[str, ...]) -> ChangesOf:
    """The changes with the entries of segments computed for the first time, made when somebody asks."""

    def made(*, segment: str | None = None) -> pl.DataFrame:
        fresh = [name for name in firsts if segment in (None, name)]
        stored = changes if segment is None else changes.filter(pl.col("segment") == segment)
        columns = pl.DataFrame([memberships.column(name) for name in fresh])
        entries = first_entries(placement.alignment.keys, columns) if fresh else []
        return changes_frame([*entries, stored], placement.alignment.keys.dtype)

    return made


def _splits(splits: Mapping[str, Split]) -> dict[str, Any]:
    """How segments are divided by what a run accepts, as it is kept beside what it computed."""
    return {"splits": splits_to_json(splits)} if splits else {}


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
        skipped_file=None,
        decision=None,
        detail={"snapshot": draft.snapshot, "definitions": draft.definitions}.__getitem__,
    )
