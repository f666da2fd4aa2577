"""The workspace at one moment, for questions that store nothing: files pinned, the rules that matter checked and grounded.

`member('x')` in a question means what this evaluation computes, on today's files, not what the last run stored. Only
segments that the question refers to are looked at, so that a draft can be tried beside a broken file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import polars as pl

from segmentry.engine.definitions import SegmentDefinition, composed, going_before, priority_of
from segmentry.engine.lists import read_list
from segmentry.engine.loading import LoadedWorkspace, Segment
from segmentry.engine.rows import rows
from segmentry.engine.schemas import schema_of
from segmentry.engine.snapshot import ContactSource, Snapshot
from segmentry.engine.sources import pin, verify_unchanged
from segmentry.errors import NotFound, RuleError, WorkspaceError
from segmentry.rules import syntax as s
from segmentry.rules.builder import parse_builder
from segmentry.rules.checker import check
from segmentry.rules.diagnostics import Diagnostic, Place, Severity
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition, IsSet, Remembered, Value
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.references import in_order, references
from segmentry.rules.schema import Schema
from segmentry.rules.suggest import did_you_mean
from segmentry.rules.types import Kind

if TYPE_CHECKING:
    from segmentry.engine.evaluation import Evaluation, Recall
    from segmentry.engine.membership import Alignment
    from segmentry.engine.plan import Plan

# What plans and evaluates is imported by the methods that do: most questions about rules, `check` above all, evaluate nothing.

Written = str | Mapping[str, object]
"""A rule as its author has it: text, or builder form."""


Among = Callable[[pl.Series], pl.Series]
"""Of some keys those that are in the snapshot."""


@dataclass(frozen=True)
class Recorded:
    """Which changes of one contact in a segment accepted runs found: their instants (aware), in order.

    `runs` are the instants of all accepted runs from an instant on; `newest` is that of the last one, None where there
    is none. `merged`: whether the contact had other keys.
    """

    instants: tuple[datetime, ...] = ()
    runs: tuple[datetime, ...] = ()
    newest: datetime | None = None
    merged: bool = False


TURNS = pl.Schema({"contact": pl.String(), "as_of": pl.Datetime("us", "UTC"), "entered": pl.Boolean(), "first": pl.Boolean()})


@dataclass(frozen=True)
class Turns:
    """Changes of contacts in a segment as accepted runs found them, oldest first: as `TURNS`; `first` are by its first computation.

    `computed` is the instant of the first run that had the segment, None where none had. `merged`: the contacts that had other keys.
    """

    computed: datetime | None
    changes: pl.DataFrame
    merged: pl.Series


class Remembering(Protocol):
    """What a workspace's accepted runs say."""

    def bitmap(self, asked: Remembered, alignment: Alignment) -> pl.Series:
        """For which positions it is so."""

    def recorded(self, segment: str, first: datetime | None, as_of: datetime, key: pl.Series) -> Recorded:
        """What runs found from `first` on of the contact with this key, and which of them are of `as_of` or later."""

    def turns(self, segment: str, keys: pl.Series) -> Turns:
        """Every change of these contacts in a segment, as it is stored."""


Remember = Callable[[LoadedWorkspace, Snapshot, Among], AbstractContextManager[Remembering]]
"""Opens what a workspace's accepted runs say, for questions about a snapshot."""


@dataclass(frozen=True)
class Asked:
    """A checked rule: its canonical text, what it means with places in that text, and warnings."""

    text: str
    condition: Condition
    warnings: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What an evaluation found, one row per contact in the snapshot's order: keys, one Boolean column per condition asked, and values."""

    keys: pl.Series
    holds: pl.DataFrame
    plan: Plan
    leaves: pl.DataFrame
    as_they_are: frozenset[str]
    """The columns that have values as they are; the others say whether they are missing."""

    def members(self, name: str) -> pl.Series:
        """The keys for which `name` holds."""
        return self.keys.filter(self.holds[name])

    def value(self, value: Value) -> pl.Series:
        """A value that was asked for: itself, or whether it is missing, as was asked."""
        return self.leaves[self.plan.value(value)]

    def missing(self, value: Value) -> pl.Series:
        """Whether a value that was asked for is missing."""
        column = self.plan.value(value)
        found = self.leaves[column]
        return found.is_null() if column in self.as_they_are else found


@dataclass(frozen=True)
class Moment:
    """One workspace, one snapshot, one clock."""

    loaded: LoadedWorkspace
    snapshot: Snapshot
    clock: Clock
    remember: Remember | None = None

    @classmethod
    def at(cls, loaded: LoadedWorkspace, as_of: datetime, remember: Remember | None = None) -> Moment:
        """The workspace at `as_of` (aware); `remember` opens what its runs know. Raises SourceError with every problem of the sources."""
        config = loaded.config
        clock = Clock(as_of, config.timezone, config.week_start)
        return cls(loaded, pin(config, as_of, loaded.root, loaded.document), clock, remember)

    @cached_property
    def schema(self) -> Schema:
        """What rules are checked against."""
        return schema_of(self.snapshot, self.loaded.names)

    # ------------------------------------------------------------ rules

    def ask(self, rule: Written) -> Asked:
        """A rule of the user's, checked. Raises RuleError with every problem at its place in what was given."""
        syntax = parse_text(rule) if isinstance(rule, str) else parse_builder(rule)
        _, warnings = check(syntax, self.schema, source=rule if isinstance(rule, str) else None)
        text = to_text(syntax)
        return Asked(text, check(parse_text(text), self.schema, source=text, proofs=False)[0], tuple(warnings))

    def field(self, name: str) -> Value:
        """A field of the contacts, or within a struct of theirs, that has one value, by its name. Raises RuleError."""
        place = Place(0, len(name))
        checked, _ = check(s.IsSet(s.Name((name,), place=place), place=place), self.schema, source=name)
        assert isinstance(checked, IsSet)
        if checked.value.type.kind is Kind.LIST:
            raise RuleError([Diagnostic("R301", f"`{name}` is a list, and has no one value", place=place, rule=name)])
        return checked.value

    def segment(self, name: str) -> Segment:
        """A segment whose file can be understood. Raises NotFound, or WorkspaceError with what is wrong in its file."""
        if name not in self.loaded.names:
            raise NotFound(f"there is no segment `{name}`" + nearest_hint(name, self.loaded.names))
        found = self.loaded.segments.get(name)
        path = f"segments/{name}.yml" if found is None else found.file
        problems = [d for d in self.loaded.diagnostics if d.severity is Severity.ERROR and d.location and d.location.file == path]
        if found is None or problems:
            raise WorkspaceError(problems)
        return found

    def own_rule(self, name: str) -> Asked | None:
        """A segment's own rule, checked; None for a static list. Problems are told at their place in its file."""
        segment = self.segment(name)
        if segment.syntax is None:
            return None
        try:
            check(segment.syntax, self.schema, source=segment.config.where, proofs=False)
        except RuleError as error:
            raise RuleError([segment.locate(problem) for problem in error.diagnostics]) from None
        text = to_text(segment.syntax)
        return Asked(text, check(parse_text(text), self.schema, source=text, proofs=False)[0])

    def whole(self, name: str) -> Condition:
        """A segment's rule or list, then `include`, `exclude` and priority, as one grounded condition."""
        return ground(self.whole_rule(name), self.clock)

    def whole_rule(self, name: str) -> Condition:
        """The same with its clocks not resolved."""
        segment, rule = self.segment(name), self.own_rule(name)
        definition = SegmentDefinition(rule.text if rule else None, segment.list, segment.include, segment.exclude)
        return composed(rule.condition if rule else None, definition, before=self.going_before(name))

    def going_before(self, name: str) -> tuple[str, ...]:
        """The segments that go before one in its group; who is in one of them is not in it."""
        return self._before.get(name, ())

    @cached_property
    def _before(self) -> dict[str, tuple[str, ...]]:
        return going_before({name: priority_of(segment) for name, segment in self.loaded.segments.items()})

    def grounded(self, condition: Condition) -> Condition:
        """A condition without a clock."""
        return ground(condition, self.clock)

    def value(self, value: Value) -> Value:
        """A value without a clock."""
        asked = ground(IsSet(value), self.clock)
        assert isinstance(asked, IsSet)
        return asked.value

    def with_references(self, conditions: Mapping[str, Condition]) -> dict[str, Condition]:
        """Grounded conditions and every segment that they refer to, by however many steps. RuleError for a circle."""
        found = dict(conditions)
        pending = sorted({name for condition in conditions.values() for name in references(condition)} - found.keys())
        while pending:
            name = pending.pop()
            if name not in found:
                found[name] = self.whole(name)
                pending.extend(sorted(references(found[name]) - found.keys()))
        try:
            in_order(found)
        except RuleError as error:
            raise RuleError([circle_in_file(self.loaded, problem) for problem in error.diagnostics]) from None
        return found

    # ------------------------------------------------------------ evaluation

    def plan(self, conditions: Mapping[str, Condition], values: Iterable[Value] = ()) -> Plan:
        """The plan for grounded conditions, with all that they refer to, and for further values of contacts."""
        from segmentry.engine.plan import make_plan

        return make_plan(self.with_references(conditions), self.snapshot, self.clock, values=values)

    def answer(
        self,
        conditions: Mapping[str, Condition],
        values: Iterable[Value] = (),
        *,
        missing: bool = False,
        but: Iterable[Value] = (),
        only: int | str | None = None,
    ) -> Answer:
        """Who each grounded condition holds for, and what each value is (`missing`: whether it is missing, of all but those of `but`).

        `only` asks about one contact, by its key; NotFound if there is none.
        """
        from segmentry.engine import algebra

        plan = self.plan(conditions, values)
        lists = self.lists(plan.listed.values())
        shown = frozenset(map(plan.value, but)) if missing else frozenset(plan.value_columns)
        hidden = frozenset(plan.value_columns) - shown
        # a place among all contacts is not found by looking at one
        restricted = None if plan.levels else only
        with self.evaluating(restricted, plan) as session:
            session.prepare(plan)
            keys = session.keys()
            leaves = session.leaves(plan, lists, missing=hidden) if len(keys) else None
        if only is not None and restricted is None and leaves is not None:
            is_it = keys == _alone(only)
            keys, leaves = keys.filter(is_it), leaves.filter(is_it)
        if leaves is None or not len(keys):
            raise NotFound(f"there is no contact {only} in the snapshot")
        bitmaps = {column: leaves[column] for column in plan.bitmap_columns}
        return Answer(keys, algebra.run(plan.steps, plan.segments, bitmaps, len(keys)), plan, leaves, shown)

    @contextmanager
    def evaluating(self, only: int | str | None = None, plan: Plan | None = None) -> Iterator[Evaluation]:
        """An evaluation of this snapshot, of all or of the contact with this key, that answers a plan's questions about earlier runs."""
        alone = None if only is None else _alone(only)
        try:
            with ExitStack() as stack:
                recall = None if plan is None else stack.enter_context(self.recalling(plan))
                yield stack.enter_context(self.evaluation(alone, recall))
        except Exception:
            verify_unchanged(self.snapshot)  # a file that changed under the reader explains whatever else went wrong
            raise

    def evaluation(self, only: pl.Series | None = None, recall: Recall | None = None) -> Evaluation:
        """An evaluation over the snapshot, as the workspace wants it; see `Evaluation`."""
        from segmentry.engine.evaluation import Evaluation

        engine, temp = self.loaded.config.engine, self.loaded.temp
        return Evaluation(
            self.snapshot, memory=engine.memory, threads=engine.threads, temp=temp, clock=self.clock, only=only, recall=recall
        )

    @contextmanager
    def recalling(self, plan: Plan) -> Iterator[Recall | None]:
        """What answers a plan's questions about earlier runs, as long as it lasts; None where it has none."""
        if not plan.remembered or self.remember is None:
            yield None
            return
        with self.remember(self.loaded, self.snapshot, self._among) as past:
            yield past.bitmap

    def recorded(self, segment: str, first: datetime | None, key: int | str) -> Recorded:
        """What accepted runs found of a contact in a segment, from `first` on (None: ever); `runs` begin with this moment."""
        if self.remember is None:
            return Recorded()
        with self.remember(self.loaded, self.snapshot, self._among) as past:
            return past.recorded(segment, first, self.clock.as_of, _alone(key))

    def turns(self, segments: Iterable[str], keys: pl.Series) -> dict[str, Turns]:
        """Every change of some contacts in segments, by segment; of one that no run has accepted yet there are none."""
        named = sorted(set(segments))
        if not named or self.remember is None:
            return {}
        with self.remember(self.loaded, self.snapshot, self._among) as past:
            return {name: past.turns(name, keys) for name in named}

    def _among(self, keys: pl.Series) -> pl.Series:
        """Of some keys those that the snapshot has."""
        name = self.contacts.key
        column = rows(self.contacts.relation).select(name).collect()[name].cast(keys.dtype, strict=False)
        return keys.filter(keys.is_in(column.implode()))

    def lists(self, paths: Iterable[str]) -> dict[str, pl.Series]:
        """The keys of static lists, by their paths as written. Raises SourceError."""
        key = self.contacts.relation.columns[self.contacts.key]
        return {path: read_list(self.loaded.root / path, key, path).keys for path in sorted(set(paths))}

    @property
    def contacts(self) -> ContactSource:
        return self.snapshot.contacts


def _alone(key: int | str) -> pl.Series:
    """One key as a column; a number that only UInt64 holds is one, since Polars would take a type that no engine reads."""
    return pl.Series([key], dtype=pl.UInt64 if isinstance(key, int) and key >= 2**63 else None)


def circle_in_file(loaded: LoadedWorkspace, problem: Diagnostic) -> Diagnostic:
    """A circle of references with its place in the file of its first segment, with which the path in its message begins."""
    first = problem.message.rsplit(": ", 1)[-1].split(" -> ")[0]
    return loaded.segments[first].locate(problem) if first in loaded.segments else problem


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or nothing."""
    found = did_you_mean(name, sorted(known))
    return f"; {found}" if found else ""
