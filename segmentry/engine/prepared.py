"""A workspace checked against one pinned snapshot: what stands between its files and a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

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
from segmentry.rules.nodes import Condition, Events, Field, Scope, walk
from segmentry.rules.references import in_order
from segmentry.rules.schema import Schema


@dataclass(frozen=True)
class Prepared:
    """A workspace checked against one pinned snapshot, before anything is evaluated."""

    snapshot: Snapshot
    clock: Clock
    rules: Rules
    lists: Mapping[str, pl.Series]
    warnings: tuple[Diagnostic, ...]
    schema: Schema


def prepare(workspace: LoadedWorkspace, as_of: datetime, *, look: bool = True) -> Prepared:
    """The workspace's rules and lists checked against the snapshot of `as_of`; raises SourceError and RuleError with every problem."""
    config = workspace.config
    clock = Clock(as_of, config.timezone, config.week_start)
    snapshot = pin(config, clock.as_of, workspace.root, workspace.document)
    schema = schema_of(snapshot, workspace.names, look=look)
    conditions, warnings = check_segments(workspace, schema)
    lists = _read_lists(workspace, snapshot.contacts.relation.columns[snapshot.contacts.key])
    grounded = {name: None if condition is None else ground(condition, clock) for name, condition in conditions.items()}
    rules = Rules(grounded, definitions_of(workspace, lists))
    try:
        in_order(rules.whole())
    except RuleError as error:
        raise RuleError([circle_in_file(workspace, problem) for problem in error.diagnostics]) from None
    return Prepared(snapshot, clock, rules, lists, tuple(warnings), schema)


def columns_used(rules: Mapping[str, Condition | None], snapshot: Snapshot) -> dict[tuple[str, str], list[str]]:
    """Which rules read each column, by source and column."""
    used: dict[tuple[str, str], list[str]] = {}
    for name, rule in rules.items():
        if rule is None:
            continue
        found = {("contacts", field.name) for field in _fields(rule, Scope.CONTACT)}
        for events in (node for node in walk(rule) if isinstance(node, Events)):
            tables = [source for source in snapshot.events if events.event is None or source.event in (None, events.event)]
            found |= {(source_name(source), field.name) for source in tables for field in _fields(rule, Scope.EVENT)}
        for column in sorted(found):
            used.setdefault(column, []).append(name)
    return used


def _fields(rule: Condition, scope: Scope) -> list[Field]:
    return [node for node in walk(rule) if isinstance(node, Field) and node.scope is scope]


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
