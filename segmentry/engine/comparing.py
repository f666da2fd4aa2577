"""A run beside the one before it: what more the plan must answer, and from the answers who changed and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl
from pydantic import ValidationError

from segmentry.engine.causes import Circumstances, Otherwise, causes
from segmentry.engine.config import ContactsConfig, EventsConfig, WorkspaceConfig
from segmentry.engine.definitions import LANGUAGE, Definitions, check_former, reaching
from segmentry.engine.diff import resized
from segmentry.engine.former import FormerRun
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.membership import Memberships
from segmentry.engine.otherwise import (
    FORMER_LIST,
    TOGETHER,
    Rules,
    Scenario,
    former_both,
    former_definitions,
    former_lists,
    former_members,
    lists_named,
    needed_by,
    with_former_members,
    with_member,
)
from segmentry.engine.populations import has_population
from segmentry.engine.positions import Placement, carried
from segmentry.engine.snapshot import Snapshot
from segmentry.engine.sources import pin, schema_of
from segmentry.engine.state.records import LIST_COLUMN
from segmentry.errors import RuleError, SourceError
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import Condition, Listed
from segmentry.rules.schema import Schema

Lists = Mapping[str, pl.Series]
"""The keys of static lists, by the name that conditions call them by."""


@dataclass(frozen=True)
class Question:
    """All that a run's plan answers: the segments and lists themselves, and what segments would be otherwise.

    `apart` are the former definitions where they read other columns, files or another timezone, so that they need an
    evaluation of their own.
    """

    conditions: Mapping[str, Condition]
    lists: Lists
    by_lists: Scenario = field(default_factory=Scenario)
    by_definitions: Scenario = field(default_factory=Scenario)
    by_both: Scenario = field(default_factory=Scenario)
    via: Sequence[tuple[str, str, str, str]] = ()
    can_not_run: frozenset[str] = frozenset()
    apart: Apart | None = None

    def about(self, names: Collection[str]) -> Question:
        """What of it has to be evaluated to compare these segments."""
        scenarios = (self.by_lists, self.by_definitions, self.by_both)
        asked = {*names, *(column for scenario in scenarios for name, column in scenario.columns.items() if name in names)}
        for name, other, column_in, column_out in self.via:
            asked |= {name, other, column_in, column_out} if name in names else set()
        needed = needed_by(asked, self.conditions)
        return replace(self, conditions={name: condition for name, condition in self.conditions.items() if name in needed})


@dataclass(frozen=True)
class Apart:
    """The former definitions, to be evaluated over their own sources and by their own clock."""

    snapshot: Snapshot
    clock: Clock
    conditions: Mapping[str, Condition]
    lists: Lists


def first_question(current: Rules, lists: Lists) -> Question:
    """What a run answers that has none before it, or is not compared with it."""
    return Question({**current.whole(), **_list_columns(lists)}, lists)


def question(
    workspace: LoadedWorkspace,
    current: Rules,
    lists: Lists,
    former: FormerRun,
    schema: Schema,
    clock: Clock,
    only: Collection[str] | None = None,
) -> Question:
    """What a run answers to be compared with the former one. Where nothing but the data changed, that is `via` alone.

    `only` has the segments that are compared with this one, where not all are.
    """
    whole = current.whole()
    conditions: dict[str, Condition] = {**whole, **_list_columns(lists)}
    via = []
    for name, other, column_in, with_all, column_out, with_none in with_member(whole):
        if only is None or name in only:
            conditions[column_in], conditions[column_out] = with_all, with_none
            via.append((name, other, column_in, column_out))
    then = former.definitions
    by_lists = former_lists(current, then)
    by_definitions, by_both, can_not_run, apart = Scenario(), Scenario(), frozenset[str](), None
    if then.elsewhere != current.definitions.elsewhere:
        apart, can_not_run, by_definitions, by_both = _apart(workspace, current, lists, former, clock)
    elif then.segments != current.definitions.segments:
        rules, can_not_run = _former_rules(former, schema, clock)
        by_definitions = former_definitions(current, rules)
        if by_lists.columns:
            by_both = former_both(current, rules)
    if only is not None:
        by_lists, by_definitions, by_both = (scenario.only(only) for scenario in (by_lists, by_definitions, by_both))
    if apart is None:
        conditions.update({**by_definitions.conditions, **by_both.conditions})
    conditions.update(by_lists.conditions)
    return Question(conditions, _with_former(lists, conditions, former), by_lists, by_definitions, by_both, tuple(via), can_not_run, apart)


@dataclass(frozen=True)
class Answers:
    """A run's bitmaps, and the further ones of definitions evaluated apart."""

    question: Question
    memberships: Memberships
    apart: Mapping[str, pl.Series]

    def column(self, name: str) -> pl.Series:
        return self.apart[name] if name in self.apart else self.memberships.column(name)

    def otherwise(self, segment: str) -> Otherwise:
        """What one segment would be otherwise."""
        asked = self.question

        def of(scenario: Scenario) -> pl.Series | None:
            return self.column(scenario.columns[segment]) if segment in scenario.columns else None

        return Otherwise(
            of(asked.by_lists),
            of(asked.by_definitions),
            of(asked.by_both),
            segment in asked.can_not_run,
            {other: (self.column(inside), self.column(outside)) for name, other, inside, outside in asked.via if name == segment},
        )


def explained(
    moves: pl.DataFrame,
    answers: Answers,
    former: FormerRun,
    placement: Placement,
    returned: Sequence[str],
    differs: Callable[[pl.Series], pl.Series],
    ask: Callable[[Mapping[str, Condition], Lists], Memberships],
) -> pl.DataFrame:
    """The moves with `cause` and `via`. `ask` evaluates further conditions, should several segments have decided together."""
    alignment = placement.alignment
    moved = moves["segment"].unique().to_list()
    otherwise = {name: answers.otherwise(name) for name in moved}
    named = {other for found in otherwise.values() for other in found.with_member}
    were = {name: _former_bitmap(name, former, placement) for name in named}
    changed = {name: bitmap ^ answers.column(name) for name, bitmap in were.items()}

    def together(segment: str, positions: pl.Series) -> pl.Series:
        asked = answers.question.conditions[segment]
        condition = with_former_members(asked)
        # a place in a population depends on who else was a member
        asked_of = alignment.present.arg_true() if has_population(asked) else positions
        keys = alignment.keys.gather(asked_of)
        lists = {former_members(other): keys.filter(were[other].gather(asked_of)) for other in otherwise[segment].with_member}
        found = ask({"together": condition}, {**answers.question.lists, **lists})
        return found.column("together").gather(positions)

    known = Circumstances(
        in_both=carried(former.order.present, placement) & alignment.present,
        otherwise=otherwise,
        differs=differs,
        former=were.__getitem__,
        changed=changed,
        together=together,
    )
    return causes(moves, known, returned)


def _former_bitmap(name: str, former: FormerRun, placement: Placement) -> pl.Series:
    """A segment's former membership; nobody's, if the former run did not have it."""
    if name in former.columns:
        return former.bitmap(name, placement)
    return resized(pl.Series(name, [], pl.Boolean()), placement.alignment.size)


def _list_columns(lists: Iterable[str]) -> dict[str, Condition]:
    return {LIST_COLUMN + path: Listed(path) for path in lists}


def _with_former(lists: Lists, conditions: Mapping[str, Condition], former: FormerRun) -> dict[str, pl.Series]:
    """Today's lists, and those of the former run that conditions name, segments' former members among them."""
    wanted = sorted(name for name in lists_named(conditions) if name not in lists)
    return {**lists, **{name: _former_keys(name, former) for name in wanted}}


def _former_keys(name: str, former: FormerRun) -> pl.Series:
    if not name.startswith(TOGETHER):
        return former.list_keys(name.removeprefix(FORMER_LIST))
    segment = name.removeprefix(TOGETHER)
    return former.members(segment) if segment in former.columns else pl.Series([], dtype=former.order.keys.dtype)


def _former_rules(former: FormerRun, schema: Schema, clock: Clock) -> tuple[Rules, frozenset[str]]:
    """What the former rules mean on today's data, and which can't run any more."""
    then = former.definitions
    schema = replace(schema, segments=frozenset(then.segments))
    conditions: dict[str, Condition | None] = {}
    failed = set[str]()
    for name, definition in then.segments.items():
        try:
            conditions[name] = check_former(definition, schema, clock)
        except RuleError:
            failed.add(name)
    stopped = reaching(failed, Rules(conditions, then).whole())
    running = {name: rule for name, rule in conditions.items() if name not in stopped}
    return Rules(running, then), frozenset(stopped)


def _apart(
    workspace: LoadedWorkspace, current: Rules, lists: Lists, former: FormerRun, clock: Clock
) -> tuple[Apart | None, frozenset[str], Scenario, Scenario]:
    """The former definitions where the sources, the timezone, the week or the language changed: all segments are touched."""
    then = former.definitions
    everybody = frozenset(then.segments)
    if then.language != LANGUAGE:
        return None, everybody, Scenario(), Scenario()
    try:
        snapshot = pin(_former_config(workspace.config, then), clock.as_of, workspace.root)
    except (SourceError, ValidationError):
        return None, everybody, Scenario(), Scenario()
    clock = Clock(clock.as_of, then.timezone, then.week_start)
    rules, stopped = _former_rules(former, schema_of(snapshot, everybody, look=False), clock)
    nothing = Rules({}, current.definitions)
    by_definitions, by_both = former_definitions(nothing, rules), former_both(nothing, rules)
    conditions = {**by_definitions.conditions, **by_both.conditions}
    return Apart(snapshot, clock, conditions, _with_former(lists, conditions, former)), stopped, by_definitions, by_both


def _former_config(config: WorkspaceConfig, then: Definitions) -> WorkspaceConfig:
    return config.model_copy(
        update={
            "timezone": then.timezone,
            "contacts": ContactsConfig.model_validate(then.sources["contacts"]),
            "events": [EventsConfig.model_validate(table) for table in then.sources["events"]],
        }
    )
