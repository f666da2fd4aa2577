"""What a run computes, as it is kept with the run: every segment's rule and lists, the clock's settings, the sources.

Rules are kept as canonical text, so that the next run can say what would have been by the former definitions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from segmentry.engine.canonical_json import dumps
from segmentry.engine.config import WorkspaceConfig
from segmentry.engine.config_destinations import consent_texts
from segmentry.engine.loading import LoadedWorkspace, Segment
from segmentry.engine.splitting import Split, splits_from_json, splits_of, splits_to_json
from segmentry.errors import RuleError
from segmentry.rules.checker import check
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import And, Condition, Listed, Member, Not, Or
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.references import references
from segmentry.rules.schema import Schema

LANGUAGE = 1
"""The version of the rule language. It changes when a rule's meaning does; a rule of another version can't run any more."""

NOT_READ = {"email", "phone", "aliases"}
"""Keys of `contacts:` that say nothing of who is in a segment."""


@dataclass(frozen=True, slots=True)
class Priority:
    """A segment's place in a group, of whose segments a contact is in at most one: `rank` 1 goes before 2."""

    group: str
    rank: int


@dataclass(frozen=True, slots=True)
class SegmentDefinition:
    """One segment: `rule` as canonical text or `list`, the lists that beat them, and its place in a group."""

    rule: str | None
    list: str | None = None
    include: str | None = None
    exclude: str | None = None
    priority: Priority | None = None

    def to_json(self) -> dict[str, Any]:
        kept: dict[str, Any] = {"rule": self.rule, "list": self.list, "include": self.include, "exclude": self.exclude}
        kept["priority"] = None if self.priority is None else {"group": self.priority.group, "rank": self.priority.rank}
        return {key: value for key, value in kept.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SegmentDefinition:
        priority = Priority(**value["priority"]) if "priority" in value else None
        return cls(value.get("rule"), value.get("list"), value.get("include"), value.get("exclude"), priority)


@dataclass(frozen=True)
class Definitions:
    """Everything that decides what a run computes, beside its data. `lists` has a digest of each static list's keys."""

    segments: Mapping[str, SegmentDefinition]
    timezone: str = "UTC"
    week_start: str = "monday"
    sources: Mapping[str, Any] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    language: int = LANGUAGE
    suppress: str | None = None
    """The rule of who is never sent anything, as its author wrote it; it says nothing of who is in a segment."""
    consents: Mapping[str, str] = field(default_factory=dict)
    """By destination the rule of who agreed to be told there, likewise."""
    splits: Mapping[str, Split] = field(default_factory=dict)
    """By segment how it is divided, likewise."""

    def to_json(self) -> dict[str, Any]:
        return {
            "segments": {name: definition.to_json() for name, definition in self.segments.items()},
            "timezone": self.timezone,
            "week_start": self.week_start,
            "sources": dict(self.sources),
            "lists": dict(self.lists),
            "language": self.language,
            **({} if self.suppress is None else {"suppress": self.suppress}),
            **({"consents": dict(self.consents)} if self.consents else {}),
            **({"splits": splits_to_json(self.splits)} if self.splits else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Definitions:
        segments = {name: SegmentDefinition.from_json(definition) for name, definition in value["segments"].items()}
        elsewhere = value["timezone"], value["week_start"], value["sources"]
        beside = value.get("suppress"), value.get("consents", {}), splits_from_json(value.get("splits", {}))
        return cls(segments, *elsewhere, value["lists"], value["language"], *beside)

    @property
    def elsewhere(self) -> tuple[object, ...]:
        """What, when it changes, changes how every rule is evaluated."""
        return self.timezone, self.week_start, self.sources, self.language


def definitions_of(workspace: LoadedWorkspace, lists: Mapping[str, pl.Series]) -> Definitions:
    """The definitions of a workspace whose files have no problem; `lists` has each static list's keys."""
    config = workspace.config
    return Definitions(
        segments={name: definition_of(segment) for name, segment in workspace.segments.items()},
        timezone=config.timezone,
        week_start=config.week_start,
        sources=_sources(config),
        lists={path: digest_of_keys(keys) for path, keys in lists.items()},
        suppress=config.suppress,
        consents=consent_texts(workspace.document),
        splits=splits_of(workspace),
    )


def elsewhere_of(config: WorkspaceConfig) -> tuple[object, ...]:
    """`Definitions.elsewhere` of a workspace as its file is now."""
    return config.timezone, config.week_start, _sources(config), LANGUAGE


def digest_of_keys(keys: pl.Series) -> str:
    """Tells lists with different keys apart, in whatever order they stand."""
    ordered = keys.cast(pl.String()).unique().sort().to_list()
    return hashlib.sha256(dumps(ordered).encode()).hexdigest()


def check_segments(workspace: LoadedWorkspace, schema: Schema) -> tuple[dict[str, Condition | None], list[Diagnostic]]:
    """What each segment's own rule means (None for a static list), and warnings. RuleError with every problem of every rule."""
    conditions: dict[str, Condition | None] = {}
    problems: list[Diagnostic] = []
    warnings: list[Diagnostic] = []
    for name, segment in workspace.segments.items():
        if segment.syntax is None:
            conditions[name] = None
            continue
        try:
            conditions[name], found = check(segment.syntax, schema, source=segment.config.where)
        except RuleError as error:
            problems.extend(segment.locate(problem) for problem in error.diagnostics)
        else:
            warnings.extend(segment.locate(warning) for warning in found)
    if problems:
        raise RuleError(problems)
    return conditions, warnings


def check_former(definition: SegmentDefinition, schema: Schema, clock: Clock) -> Condition | None:
    """What a former rule means on today's data, grounded; None for a static list. RuleError if it can't run any more."""
    if definition.rule is None:
        return None
    return ground(check(parse_text(definition.rule), schema, proofs=False)[0], clock)


def composed(
    rule: Condition | None, definition: SegmentDefinition, list_name: Callable[[str], str] = str, before: Iterable[str] = ()
) -> Condition:
    """Rule or list, then `include`, `exclude` and priority, as one condition.

    `list_name` says what a list's path is called; `before` are the segments that go before this one in its group.
    """
    if rule is None:
        assert definition.list is not None
        rule = Listed(list_name(definition.list))
    if definition.include is not None:
        rule = Or((rule, Listed(list_name(definition.include))))
    if definition.exclude is not None:
        rule = And((rule, Not(Listed(list_name(definition.exclude)))))
    others = tuple(Not(Member(other)) for other in before)
    return And((rule, *others)) if others else rule


def going_before(priorities: Mapping[str, Priority | None]) -> dict[str, tuple[str, ...]]:
    """Of each segment in a group, those that go before it there, first ones first. `priorities` has every segment's place."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name, priority in priorities.items():
        if priority is not None:
            groups.setdefault(priority.group, []).append((priority.rank, name))
    found: dict[str, tuple[str, ...]] = {}
    for places in groups.values():
        ordered = sorted(places)
        for rank, name in ordered:
            found[name] = tuple(other for other_rank, other in ordered if other_rank < rank)
    return found


def reaching(names: Iterable[str], conditions: Mapping[str, Condition]) -> set[str]:
    """Those of the segments that are among `names` or refer to one of them, by however many steps."""
    found = set(names)
    referring = {name: references(condition) for name, condition in conditions.items()}
    while True:
        more = {name for name, named in referring.items() if name not in found and named & found}
        if not more:
            return found
        found |= more


def definition_of(segment: Segment) -> SegmentDefinition:
    """What a segment's file says of who is in. Its rule has no problem."""
    text = None if segment.syntax is None else to_text(segment.syntax)
    return SegmentDefinition(text, segment.list, segment.include, segment.exclude, priority_of(segment))


def priority_of(segment: Segment) -> Priority | None:
    """A segment's place in a group, as its file says it."""
    said = segment.config.priority
    return None if said is None else Priority(said.group, said.rank)


def _sources(config: WorkspaceConfig) -> dict[str, Any]:
    return {
        "contacts": config.contacts.model_dump(mode="json", exclude=NOT_READ),
        "events": [table.model_dump(mode="json") for table in config.events],
    }
