"""A workspace checked against one pinned snapshot: what stands between its files and a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from segmentry.engine.activation_checks import Sendable, aliases_of, check_suppress, field_problems
from segmentry.engine.aliases import Aliases
from segmentry.engine.columns import ELEMENT
from segmentry.engine.definitions import check_segments, definitions_of
from segmentry.engine.lists import read_list
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.moment import circle_in_file
from segmentry.engine.otherwise import Rules
from segmentry.engine.schemas import source_name
from segmentry.engine.snapshot import Column, Snapshot
from segmentry.engine.sources import pin, schema_of
from segmentry.errors import RuleError, SourceError
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition, Element, Events, Field, Former, HowMany, Node, Part, Scope, children, walk, way
from segmentry.rules.references import in_order
from segmentry.rules.schema import Schema


@dataclass(frozen=True)
class Prepared:
    """A workspace checked against one pinned snapshot, before anything is evaluated.

    `suppress` (grounded) says who is never sent anything, None where the workspace doesn't; it may refer to segments, and
    none can refer to it. `aliases` has contacts that were merged or re-keyed, None where the workspace names no file of them.
    `consents` (grounded) says by destination who has agreed to be told there; others may be told where it says nothing.
    `written` is all of that before it was grounded.
    """

    snapshot: Snapshot
    clock: Clock
    rules: Rules
    lists: Mapping[str, pl.Series]
    warnings: tuple[Diagnostic, ...]
    schema: Schema
    suppress: Condition | None = None
    aliases: Aliases | None = None
    consents: Mapping[str, Condition] = field(default_factory=dict)
    written: Written = field(default_factory=lambda: Written({}))

    def at(self, as_of: datetime) -> Prepared:
        """The same with what the rules mean at another instant."""
        clock = replace(self.clock, as_of=as_of)
        rules, suppress, consents = self.written.at(clock)
        return replace(self, clock=clock, rules=replace(self.rules, conditions=rules), suppress=suppress, consents=consents)


@dataclass(frozen=True)
class Written:
    """What rules mean, their clocks not resolved: the segments' (None for a list), and who is never told anything or agreed to be."""

    segments: Mapping[str, Condition | None]
    sendable: Sendable = field(default_factory=Sendable)

    def at(self, clock: Clock) -> tuple[dict[str, Condition | None], Condition | None, dict[str, Condition]]:
        """The segments' rules, `suppress` and `consent`, grounded."""
        segments = {name: None if condition is None else ground(condition, clock) for name, condition in self.segments.items()}
        suppress = None if self.sendable.suppress is None else ground(self.sendable.suppress, clock)
        return segments, suppress, {name: ground(consent, clock) for name, consent in self.sendable.consents.items()}


def prepare(workspace: LoadedWorkspace, as_of: datetime, *, look: bool = True) -> Prepared:
    """The workspace's rules and lists checked against the snapshot of `as_of`; raises SourceError and RuleError with every problem."""
    config = workspace.config
    clock = Clock(as_of, config.timezone, config.week_start)
    snapshot = pin(config, clock.as_of, workspace.root, workspace.document)
    schema = schema_of(snapshot, workspace.names, look=look)
    conditions, sendable, warnings = _check_rules(workspace, schema)
    lists, aliases = _read_beside(workspace, snapshot)
    written = Written(conditions, sendable)
    grounded, suppress, consents = written.at(clock)
    rules = Rules(grounded, definitions_of(workspace, lists))
    try:
        in_order(rules.whole())
    except RuleError as error:
        raise RuleError([circle_in_file(workspace, problem) for problem in error.diagnostics]) from None
    return Prepared(snapshot, clock, rules, lists, tuple(warnings), schema, suppress, aliases, consents, written)


def _check_rules(workspace: LoadedWorkspace, schema: Schema) -> tuple[dict[str, Condition | None], Sendable, list[Diagnostic]]:
    """What the segments' rules, `suppress` and `consent` mean, and warnings. Raises RuleError with the problems of all of them."""
    problems: list[Diagnostic] = []
    conditions: dict[str, Condition | None] = {}
    sendable = Sendable()
    warnings: list[Diagnostic] = []
    try:
        sendable, found = check_suppress(workspace, schema)
        warnings += found
    except RuleError as error:
        problems += error.diagnostics
    try:
        conditions, found = check_segments(workspace, schema)
        warnings += found
    except RuleError as error:
        problems += error.diagnostics
    if problems:
        raise RuleError(problems)
    return conditions, sendable, warnings


def _read_beside(workspace: LoadedWorkspace, snapshot: Snapshot) -> tuple[dict[str, pl.Series], Aliases | None]:
    """What is read beside the sources: static lists and aliases. Raises SourceError with every problem, of mapped columns too."""
    problems = field_problems(workspace, snapshot)
    lists: dict[str, pl.Series] = {}
    aliases: Aliases | None = None
    try:
        lists = _read_lists(workspace, snapshot.contacts.relation.columns[snapshot.contacts.key])
    except SourceError as error:
        problems += error.diagnostics
    try:
        aliases = aliases_of(workspace, snapshot)
    except SourceError as error:
        problems += error.diagnostics
    if problems:
        raise SourceError(problems)
    return lists, aliases


def columns_used(rules: Mapping[str, Condition | None], snapshot: Snapshot) -> dict[tuple[str, str], list[str]]:
    """Which rules read each column, by source and column."""
    used: dict[tuple[str, str], dict[str, None]] = {}
    for (source, column, *_), names in parts_used(rules, snapshot).items():
        used.setdefault((source, column), {}).update(dict.fromkeys(names))
    return {column: list(names) for column, names in used.items()}


def parts_used(rules: Mapping[str, Condition | None], snapshot: Snapshot) -> dict[tuple[str, ...], list[str]]:
    """Which rules read each column or field within one, by source, column and the names of fields after it."""
    used: dict[tuple[str, ...], list[str]] = {}
    for name, rule in rules.items():
        if rule is None:
            continue
        asked = list(_asked(rule))
        found = {("contacts", *way) for scope, way in asked if scope is Scope.CONTACT}
        for events in (node for node in walk(rule) if isinstance(node, Events)):
            tables = [source for source in snapshot.events if source.carries(events)]
            found |= {(source_name(source), *way) for source in tables for scope, way in asked if scope is Scope.EVENT}
        for column in sorted(found):
            used.setdefault(column, []).append(name)
    return used


def _asked(node: Node, of: tuple[Scope, tuple[str, ...]] | None = None) -> Iterator[tuple[Scope, tuple[str, ...]]]:
    """The columns that a condition reads, and how far inwards; `of` is the list whose elements it is about."""
    if isinstance(node, HowMany):
        lists = list(_asked(node.value, of))
        yield from lists
        yield from _asked(node.where, lists[0] if lists else None)
    elif isinstance(node, (Field, Former, Element, Part)):
        base, names = way(node)
        if isinstance(base, Element) and of is not None:
            yield of[0], (*of[1], ELEMENT, *names)
        elif isinstance(base, (Field, Former)):
            yield base.scope if isinstance(base, Field) else Scope.EVENT, (base.name, *names)
    else:
        for below in children(node):
            yield from _asked(below, of)


def _read_lists(workspace: LoadedWorkspace, key: Column) -> dict[str, pl.Series]:
    """Every static list's keys; raises SourceError with the problems of all of them."""
    lists: dict[str, pl.Series] = {}
    problems: list[Diagnostic] = []
    for name, path in workspace.lists().items():
        try:
            lists[name] = read_list(path, key, name).keys
        except SourceError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise SourceError(problems)
    return lists
