"""Segments under new names: `renamed_from` says which one of the state's a segment is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TypeVar

from segmentry.engine.definitions import Definitions, SegmentDefinition
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.state import SegmentRecord
from segmentry.errors import RuleError
from segmentry.rules.functions import REFERRING
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.syntax import Call, Syntax, Text

T = TypeVar("T")


def renames_of(workspace: LoadedWorkspace, known: Mapping[str, SegmentRecord]) -> dict[str, str]:
    """Former names of segments and the name each has now: the first of `renamed_from` that the state knows and that has no file.

    A segment that the state knows under its own name was not renamed; two can't be the same one, the first by name is it.
    """
    found: dict[str, str] = {}
    for name, segment in sorted(workspace.segments.items()):
        if name in known:
            continue
        former = (old for old in segment.config.renamed_from if old in known and old not in workspace.names and old not in found)
        old = next(former, None)
        if old is not None:
            found[old] = name
    return found


def renamed(values: Mapping[str, T], renames: Mapping[str, str]) -> dict[str, T]:
    """What goes by segments' former names, by today's."""
    return {renames.get(name, name): value for name, value in values.items()}


def renamed_definitions(then: Definitions, renames: Mapping[str, str]) -> Definitions:
    """Definitions of a former run as if its segments had had today's names, in rules that refer to them too."""
    if not renames:
        return then
    segments = {name: _renamed_definition(definition, renames) for name, definition in then.segments.items()}
    return replace(then, segments=renamed(segments, renames), splits=renamed(then.splits, renames))


def _renamed_definition(definition: SegmentDefinition, renames: Mapping[str, str]) -> SegmentDefinition:
    if definition.rule is None:
        return definition
    try:
        syntax = parse_text(definition.rule)
    except RuleError:  # of another version of the language: it can't run any more, under whatever name
        return definition
    with deep_recursion():
        changed = _renamed_syntax(syntax, renames)
    return definition if changed == syntax else replace(definition, rule=to_text(changed))


def _renamed_syntax(syntax: Syntax, renames: Mapping[str, str]) -> Syntax:
    """The rule with the names of segments replaced, wherever they stand."""
    if isinstance(syntax, Call) and syntax.name in REFERRING:
        texts = (replace(arg, value=renames.get(arg.value, arg.value)) if isinstance(arg, Text) else arg for arg in syntax.args)
        return replace(syntax, args=tuple(texts))
    parts: dict[str, object] = {}
    for part in fields(syntax):
        value = getattr(syntax, part.name)
        if isinstance(value, Syntax):
            parts[part.name] = _renamed_syntax(value, renames)
        elif isinstance(value, tuple) and any(isinstance(item, Syntax) for item in value):
            parts[part.name] = tuple(_renamed_syntax(item, renames) for item in value)
    return replace(syntax, **parts) if parts else syntax  # type: ignore[arg-type]  # the same parts, renamed
