"""The proofs about a workspace's rules that need all of them: what is certain at an instant, what segments are to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segmentry.engine.definitions import definitions_of
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.moment import Moment, Written
from segmentry.engine.otherwise import Rules
from segmentry.rules.builder import parse_builder
from segmentry.rules.certainties import certainties_at
from segmentry.rules.checker import check
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition
from segmentry.rules.parse import parse_text
from segmentry.rules.references import all_references
from segmentry.rules.related import Relations, Stated, relations
from segmentry.rules.said import said_in

ASKED = ":asked"
"""Stands for a rule that is asked about, among segments: no segment's name has a colon."""


def certain_now(
    loaded: LoadedWorkspace, conditions: Mapping[str, Condition | None], known: Mapping[str, list[Diagnostic]], clock: Clock
) -> list[Diagnostic]:
    """Warnings about what is certain of segments' rules at the clock's instant, with their places in the files.

    `conditions` are the rules as they were checked (None for a list), `known` the warnings of each that were told already.
    """
    whole = _whole(loaded, conditions)
    further = all_references(whole)
    members = {name: ground(whole[name], clock) for name in frozenset().union(*further.values()) & whole.keys()}
    found: list[Diagnostic] = []
    for name, condition in conditions.items():
        segment = loaded.segments[name]
        if condition is None or segment.syntax is None:
            continue
        source = segment.config.where
        others = {other: members[other] for other in further[name] if other in members}
        warnings = certainties_at(condition, clock, others, said_in(segment.syntax), source, known.get(name, ()))
        found += [segment.locate(warning) for warning in warnings]
    return found


def certain_of(moment: Moment, rule: Written, known: Sequence[Diagnostic]) -> list[Diagnostic]:
    """What is certain of a rule that is asked about, beside the warnings that are `known`. Raises what its references raise."""
    syntax = parse_text(rule) if isinstance(rule, str) else parse_builder(rule)
    source = rule if isinstance(rule, str) else None
    condition, _ = check(syntax, moment.schema, source=source, proofs=False)
    members = moment.with_references({ASKED: moment.grounded(condition)})
    del members[ASKED]
    return certainties_at(condition, moment.clock, members, said_in(syntax), source, known)


def relate(loaded: LoadedWorkspace, conditions: Mapping[str, Condition | None], clock: Clock) -> Relations:
    """What segments of a workspace without problems are to each other; `conditions` as for `certain_now`."""
    stated = {name: Stated(condition, said_in(loaded.segments[name].syntax)) for name, condition in _whole(loaded, conditions).items()}
    return relations(stated, clock)


def _whole(loaded: LoadedWorkspace, conditions: Mapping[str, Condition | None]) -> dict[str, Condition]:
    """Every segment as one condition, as a run has it, before grounding."""
    return Rules(conditions, definitions_of(loaded, {})).whole()
