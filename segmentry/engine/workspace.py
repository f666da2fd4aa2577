"""`Workspace`: everything a workspace can be asked or told, one method each. The command line calls these and prints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from segmentry.engine.loading import WORKSPACE_FILE, LoadedWorkspace, load, require_workspace
from segmentry.engine.workspace_folder import When, clock_now, instant_of, remembered, run_number, seconds_of
from segmentry.engine.workspace_past import WorkspacePast
from segmentry.engine.workspace_telling import WorkspaceTelling
from segmentry.errors import NoState, NotFound, WorkspaceError
from segmentry.rules.diagnostics import Diagnostic

if TYPE_CHECKING:
    import polars as pl

    from segmentry.engine.asking import Inquiry
    from segmentry.engine.boundaries import Boundaries
    from segmentry.engine.checking import Check
    from segmentry.engine.deciding import Decided
    from segmentry.engine.explanation import Explanation
    from segmentry.engine.forecast import Forecast
    from segmentry.engine.formatting import Report
    from segmentry.engine.looking import Members
    from segmentry.engine.moment import Written
    from segmentry.engine.notices import Told
    from segmentry.engine.overlap import Overlap
    from segmentry.engine.plan import Plan
    from segmentry.engine.preview import Preview
    from segmentry.engine.proving import Verification
    from segmentry.engine.report import Progress
    from segmentry.engine.result import Run
    from segmentry.engine.segment_tests import Tested
    from segmentry.engine.state.outbox import Pinned

# What only some questions need is imported by the methods that answer those: `check` of a hundred segments takes less time
# than to import the state with SQLAlchemy, or everything that runs a plan.

SAMPLE = 10
"""Contacts that a preview shows."""


class Workspace(WorkspaceTelling, WorkspacePast):
    """A folder with `segmentry.yml` and `segments/`, in one environment.

    Files are read anew by every method, so an edit counts at once. Everything raises a `SegmentryError`.
    """

    @classmethod
    def open(cls, path: str | Path = ".", env: str = "default") -> Workspace:
        """The workspace in a folder. Raises WorkspaceError if there is none, or its `segmentry.yml` can't be used."""
        require_workspace(path, env)
        return cls(Path(path), env)

    @classmethod
    def init(cls, path: str | Path = ".", env: str = "default", *, demo: bool = False) -> list[Path]:
        """Makes a workspace in a folder, and its state; the files that were written. `demo` lays out data and segments too.

        Raises WorkspaceError, nothing written, if one is there.
        """
        from segmentry.engine.state import State
        from segmentry.engine.writing import init_files, write_new

        root = Path(path)
        written = _lay_out_demo(root) if demo else write_new(root, init_files(root.absolute().name))
        loaded = load(root, env)
        State.open(loaded.state, loaded.config.id, env, create=True).close()
        return written

    # ------------------------------------------------------------ rules

    def check(self, *, audit: bool | None = None, online: bool = False, relations: bool = False) -> Check:
        """Checks every file, source and rule, and warns; see `Check`. `audit` counts missing values (None: where data is small).

        `relations` also proves what segments are to each other whatever the data: the same, inside, without anybody in common.

        `online` also asks every destination, once the rest is in order; without it none is opened. Raises with every problem at once.
        """
        from segmentry.engine.checking import check

        loaded = load(self.root, self.env, anyway=True)
        found = check(loaded, clock_now(), audited=audit, remember=remembered, related=relations)
        if not online:
            return found
        from segmentry.engine.checking_online import ask_all, online_problems

        asked = ask_all(loaded, os.environ, clock_now, self._pinned(loaded))
        return found.online(asked, online_problems(loaded, asked))

    def preview(self, rule: Written, as_of: When = None, *, sample: int = SAMPLE, by: str | None = None) -> Preview:
        """What a rule, text or builder form, would find on the snapshot as it is; `by` names a field to break that down by.

        Raises RuleError and SourceError.
        """
        from segmentry.engine.preview import preview

        return preview(self.moment(as_of), rule, sample, by)

    def contacts(self, rule: Written, as_of: When = None) -> pl.LazyFrame:
        """The contacts, all their columns, for whom a rule holds on the snapshot as it is; `member` is evaluated with it."""
        from segmentry.engine.rows import rows_of

        moment = self.moment(as_of)
        asked = moment.ask(rule)
        keys = moment.answer({"rule": moment.grounded(asked.condition)}).members("rule")
        return rows_of(moment.contacts.relation, moment.contacts.key, keys)

    def explain(self, name: str, key: object, as_of: When = None) -> Explanation:
        """Why a contact is in a segment or not, on the snapshot as it is. Raises NotFound for an unknown segment or key."""
        from segmentry.engine.explain import explain

        moment = self.moment(as_of)
        return explain(moment, name, key, lambda known: self._was_accepted(moment.loaded, name, known))

    def verify(self, names: Sequence[str] = (), *, sample: int = 200, seed: int | None = None, as_of: When = None) -> Verification:
        """Answers `sample` contacts, and some on each side of every segment, a second time by other code; nothing is stored.

        All segments where none is named. `seed` draws the contacts; None is another one at each instant. Raises NotFound for a segment
        that there is not, RuleError and SourceError.
        """
        from segmentry.engine.proving import verify

        moment = self.moment(as_of)
        return verify(moment, list(dict.fromkeys(names)) or sorted(moment.loaded.require().names), sample, seed)

    def test(self, names: Sequence[str] = (), as_of: When = None) -> Tested:
        """Runs the tests that stand in segments' files, of all segments where none is named; `as_of` is for tests that don't say one.

        Raises NotFound for a segment that there is not, and WorkspaceError with everything that is wrong with a test.
        """
        from segmentry.engine.segment_tests import run_tests

        moment = self.moment(as_of)
        known = moment.loaded.require().names
        return run_tests(moment, list(dict.fromkeys(names)) or sorted(known))

    def boundaries(self, name: str, as_of: When = None) -> Boundaries:
        """Tests for a segment's file: of each condition of its rule a contact just in and one just out.

        Raises NotFound for a segment that there is not, and whatever is wrong with its file, its rule or the sources.
        """
        from segmentry.engine.boundaries import boundaries

        return boundaries(self.moment(clock_now().replace(microsecond=0) if as_of is None else as_of), name)

    def query_plan(self, name: str | None = None, as_of: When = None) -> Plan:
        """What a run evaluates: for one segment with what it refers to, or for all."""
        moment = self.moment(as_of)
        names = sorted(moment.loaded.require().names) if name is None else [name]
        return moment.plan({segment: moment.whole(segment) for segment in names})

    def sql(self, name: str | None = None, as_of: When = None) -> str:
        """The queries of that plan as text, and its algebra as comments."""
        from segmentry.engine.showing import plan_text

        return plan_text(self.query_plan(name, as_of))

    def statement(
        self,
        name: str | None = None,
        as_of: When = None,
        *,
        dialect: str = "duckdb",
        tables: Mapping[str, str] | None = None,
        split: bool = False,
    ) -> str:
        """All segments, or one, as one SQL statement: a row per contact, its key and a boolean column per segment.

        `dialect` is `duckdb` or `spark`; `tables` names Spark tables for `contacts`, `events_1`, ... where they are not to
        be read from the pinned files (see `engine.whole.render_whole`). With `split` a column `NAME_group` stands beside each segment
        that is divided; NotFound where none is. Raises DialectError for what can't be said.
        """
        from segmentry.engine.splitting import chosen_splits
        from segmentry.engine.whole import listed, render_whole

        moment = self.moment(as_of)
        names = sorted(moment.loaded.require().names) if name is None else [name]
        conditions = moment.with_references({segment: moment.whole(segment) for segment in names})
        lists = moment.lists(listed(conditions.values()))
        splits = chosen_splits({segment: moment.segment(segment).config for segment in names}) if split else {}
        return render_whole(
            conditions, moment.snapshot, moment.clock, dialect=dialect, wanted=names, lists=lists, tables=tables, splits=splits
        )

    def new(
        self, name: str, conditions: Sequence[tuple[str, str, str | None]], *, label: str | None = None
    ) -> tuple[Path, list[Diagnostic]]:
        """Writes the file of a new segment, each condition a field, an operator and a value: its path, and warnings.

        Raises RuleError, nothing written, where the conditions don't fit the contacts.
        """
        from segmentry.engine.checking import check_new
        from segmentry.engine.writing import new_segment, write_new

        files = new_segment(name, conditions, label)
        warnings = check_new(self.load(), files, clock_now())
        return write_new(self.root, files)[0], warnings

    def format(self, names: Sequence[str] = (), *, write: bool = True) -> Report:
        """Rewrites the rules of segment files in canonical text, all other bytes as they are; `write` False only tells."""
        from segmentry.engine.formatting import format_files

        return format_files(self.root, names, write=write)

    # ------------------------------------------------------------ runs

    def recompute(
        self,
        as_of: When = None,
        full: bool = False,
        first_run: bool = False,
        *,
        dry_run: bool = False,
        deliver: bool = False,
        wait: timedelta | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Computes every segment and commits the result whole, or not at all.

        `full` computes every contact; `first_run` makes the state where there is none; `dry_run` stores nothing. `deliver`
        sends what is due once the run is committed; without it nothing is sent. `wait` is how long to wait for another run to
        end: without it LeaseHeld is raised at once.
        """
        from segmentry.engine.report import unseen
        from segmentry.engine.result import Run
        from segmentry.engine.run import recompute

        loaded = self.load()
        done = recompute(
            loaded,
            as_of=None if as_of is None else instant_of(as_of),
            full=full,
            first_run=first_run,
            dry_run=dry_run,
            wait=seconds_of(wait),
            progress=progress or unseen,
        )
        sent = self.deliver(progress=progress) if deliver and done.committed else None
        return Run(done, {name: segment.label for name, segment in loaded.segments.items()}, sent)

    def plan(self, as_of: When = None, *, progress: Progress | None = None) -> Forecast:
        """What a run would do now: sizes, who would come and go, be enrolled and told, and what guards would hold. Writes nothing.

        Raises NoState before the first run, and whatever a run raises.
        """
        from segmentry.engine.forecast import Forecast, Waiting
        from segmentry.engine.report import unseen
        from segmentry.engine.run import recompute

        loaded = self.load()
        with self._state(loaded) as state:
            waiting = Waiting.of(state)
        done = recompute(loaded, as_of=None if as_of is None else instant_of(as_of), dry_run=True, progress=progress or unseen)
        return Forecast(done, loaded, waiting)

    def runs(self) -> pl.DataFrame:
        """Every run, the newest first: `run`, `status`, `as_of`, `started`, `contacts`, `segments`, `entered`, `exited`."""
        from segmentry.engine import looking

        with self._state() as state:
            return looking.runs(state)

    def diff(
        self, former: int | str | None = None, latter: int | str | None = None, *, segment: str | None = None, held: bool = False
    ) -> pl.DataFrame:
        """Who entered and left (columns as `Run.changes`): in the accepted run, in run `former`, or between two runs.

        Between two, cause and via are those of a contact's last change. `held`: instead, what guards hold of the run.
        """
        from segmentry.engine import looking

        with self._state() as state:
            if held:
                return looking.held_changes(state, run_number(former), segment)
            return looking.diff(state, run_number(former), run_number(latter), segment)

    def history(self, name: str, *, contacts: bool = False) -> pl.DataFrame:
        """A segment over the accepted runs, oldest first: `run`, `as_of`, `size`, `entered`, `exited`.

        With `contacts`, every single change: `run`, `as_of` and the columns of `Run.changes`.
        """
        from segmentry.engine import looking

        with self._state() as state:
            figures = looking.history(state, name)
            return state.history(name) if contacts else figures

    # ------------------------------------------------------------ deciding

    def approve(self, run: int | str, names: Sequence[str] = (), *, wait: timedelta | None = None) -> Decided:
        """Accepts what a run holds, exactly as it was shown: all of it, or these segments and sequences.

        Raises NotFound, DecisionError where the hold is over or something was edited since, and LeaseHeld.
        """
        from segmentry.engine.deciding import approve

        loaded = self.load().require()
        with self._state(loaded) as state:
            return approve(loaded, state, _known_run(run), names, clock_now(), self._newest_contacts, wait=seconds_of(wait))

    def discard(self, run: int | str, names: Sequence[str] = (), *, wait: timedelta | None = None) -> Decided:
        """Drops what a run holds; nothing of it is in any history. The next run may hold again. Raises as `approve`."""
        from segmentry.engine.deciding import discard

        with self._state() as state:
            return discard(state, _known_run(run), names, clock_now(), wait=seconds_of(wait))

    def accept_as_baseline(self, segment: str, *, wait: timedelta | None = None) -> Decided:
        """Takes a held segment's computed membership, and enrolls nobody. Raises as `approve`."""
        from segmentry.engine.deciding import approve, held_run_of

        loaded = self.load().require()
        with self._state(loaded) as state:
            run = held_run_of(state, segment)
            return approve(loaded, state, run, [segment], clock_now(), self._newest_contacts, wait=seconds_of(wait), baseline=True)

    def holds(self, *, ended: bool = False) -> pl.DataFrame:
        """What guards hold, the newest last: `run`, `kind`, `name`, `status`, `since`, `reasons`; with `ended` also what they held."""
        from segmentry.engine import looking

        with self._state() as state:
            return looking.holds(state, ended=ended)

    # ------------------------------------------------------------ looking

    def segments(self) -> pl.DataFrame:
        """Every segment: `segment`, `label`, and in the accepted run `size`, `entered`, `exited`, `run`; missing if not computed yet."""
        from segmentry.engine import looking

        loaded = self.load()
        try:
            with self._state(loaded) as state:
                return looking.segments(loaded, state.accepted())
        except NoState:
            return looking.segments(loaded, None)

    def members(self, name: str, run: int | str | None = None, *, split: Sequence[str] | None = None) -> pl.LazyFrame:
        """The contacts, all their columns, who are in a segment by the accepted run, or by another; `split`: in these groups of it.

        Raises NotFound.
        """
        return self.found_members(name, run, split=split).rows

    def found_members(self, name: str, run: int | str | None = None, *, split: Sequence[str] | None = None) -> Members:
        """As `members`, with a notice where the run's own files are no more and columns come from the newest snapshot."""
        from segmentry.engine import looking

        with self._state() as state:
            return looking.members(state, name, run_number(run), self._newest_contacts, split)

    def overlap(self, *sets: str, run: int | str | None = None) -> Overlap:
        """How far segments overlap in the accepted run, or in another: sizes, and every pair's intersection and likeness.

        A set is a segment's name or an expression over such (`vip and not uk`); without any, all segments of the run. Raises
        RuleError, NotFound and NoState.
        """
        from segmentry.engine.overlap import overlap

        with self._state() as state:
            return overlap(state, sets, run_number(run))

    def status(self) -> dict[str, Any]:
        """How the workspace stands, as plain values: the accepted run, who runs, what is unsent and paused, what needs a person."""
        from segmentry.engine import looking

        loaded = self.load()
        try:
            with self._state(loaded) as state:
                return looking.status(loaded, state, clock_now())
        except NoState:
            return looking.status(loaded, None, clock_now())

    def destinations(self) -> pl.DataFrame:
        """Every destination by the files and the state, none opened: what uses it, what is due, whether it is paused or stopped.

        Columns as `destinations.DESTINATIONS`.
        """
        from segmentry.engine.destinations import destinations

        loaded = self.load()
        try:
            with self._state(loaded) as state:
                return destinations(loaded, state, clock_now())
        except NoState:
            return destinations(loaded, None, clock_now())

    def ask_destination(self, name: str) -> Inquiry:
        """Asks a destination whose its key is and what there is; nothing is told. What is wrong is in the answer.

        Raises NotFound for one that there is not.
        """
        from segmentry.engine.asking import ask, known_name
        from segmentry.engine.state.outbox import Pinned

        loaded = self.load()
        known_name(loaded, name)
        return ask(loaded, name, os.environ, clock_now, pinned=self._pinned(loaded).get(name, Pinned()))

    def notify(self) -> Told:
        """Tells whoever `notify:` names of what needs a person, as `status` has it under `alarms`; at first, and then daily."""
        from segmentry.engine.alarms import alarms
        from segmentry.engine.connectors.posting import post
        from segmentry.engine.notices import notify

        loaded, now = self.load(), clock_now()
        with self._state(loaded) as state:
            return notify(loaded, state, alarms(loaded, state, now), now, os.environ, post)

    def _pinned(self, loaded: LoadedWorkspace) -> dict[str, Pinned]:
        """What destinations were first used with; nothing before there is a state."""
        from segmentry.engine.state import outbox

        try:
            with self._state(loaded) as state, state.catalog.reading() as connection:
                return outbox.pins(connection)
        except NoState:
            return {}

    def _was_accepted(self, loaded: LoadedWorkspace, name: str, key: int | str) -> bool | None:
        """Whether the accepted run has a contact in a segment; None where no run can tell."""
        try:
            with self._state(loaded) as state:
                return bool((state.members(name) == key).any())
        except (NoState, NotFound, WorkspaceError):
            return None


def _known_run(given: int | str) -> int:
    number = run_number(given)
    assert number is not None
    return number


def _lay_out_demo(root: Path) -> list[Path]:
    """The demo's files; heavy, so imported only here."""
    from segmentry.demo.layout import lay_out

    if (root / WORKSPACE_FILE).exists():
        raise WorkspaceError([Diagnostic("W304", f"{WORKSPACE_FILE} exists already", help="nothing was written")])
    lay_out(root, workspace_id=str(uuid4()), now=clock_now())
    return sorted(path for path in root.rglob("*") if path.is_file())
