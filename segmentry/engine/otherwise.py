"""What segments would be under other circumstances, as conditions that the run's own plan evaluates beside them.

Three circumstances, each only where something of it changed: the former contents of static lists, the former
definitions, and both. And for `via`: a segment with everybody, and with nobody, in one that it refers to. The names of
such columns have a colon, which no segment's name has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from segmentry.engine.definitions import Definitions, SegmentDefinition, composed, going_before, reaching
from segmentry.engine.populations import has_population
from segmentry.rules.nodes import Always, Condition, Listed, Member, walk
from segmentry.rules.rebuilding import rebuilt
from segmentry.rules.references import references

FORMER_LISTS = "lists:"
FORMER_DEFINITIONS = "former:"
FORMER_BOTH = "both:"
TOGETHER = "together:"
FORMER_LIST = "former:"
"""Before a list's path: its contents in the former run."""


@dataclass(frozen=True)
class Rules:
    """Segments by name: what their own rules mean (grounded; None for a list), and the rest of their definitions."""

    conditions: Mapping[str, Condition | None]
    definitions: Definitions

    def whole(self, list_name: Callable[[str], str] = str) -> dict[str, Condition]:
        """Every segment as one condition, lists, priority and all."""
        segments = self.definitions.segments
        before = going_before({name: definition.priority for name, definition in segments.items()})
        return {name: composed(rule, segments[name], list_name, before.get(name, ())) for name, rule in self.conditions.items()}


@dataclass(frozen=True)
class Scenario:
    """One circumstance: `columns` has, for each segment it touches, the name of the column that says what it would be."""

    conditions: Mapping[str, Condition] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def only(self, names: Collection[str]) -> Scenario:
        """What is needed to say it of these segments alone."""
        needed = needed_by([self.columns[name] for name in names if name in self.columns], self.conditions)
        kept = {name: column for name, column in self.columns.items() if name in names}
        return Scenario({column: condition for column, condition in self.conditions.items() if column in needed}, kept)


def former_lists(current: Rules, former: Definitions) -> Scenario:
    """Today's rules with the lists of the former run, as they were."""
    definitions = {
        name: _with_former_lists(definition, former.segments.get(name)) for name, definition in current.definitions.segments.items()
    }
    changed = Rules(current.conditions, replace(current.definitions, segments=definitions))
    return _scenario(FORMER_LISTS, changed.whole(_as_it_was(current.definitions, former)), current.whole())


def former_definitions(current: Rules, former: Rules) -> Scenario:
    """The former rules, on today's lists where they are still read."""

    def name(path: str) -> str:
        return path if path in current.definitions.lists else FORMER_LIST + path

    return _scenario(FORMER_DEFINITIONS, former.whole(name), current.whole())


def former_both(current: Rules, former: Rules) -> Scenario:
    """The former rules with the former lists."""
    return _scenario(FORMER_BOTH, former.whole(_as_it_was(current.definitions, former.definitions)), current.whole())


def with_member(conditions: Mapping[str, Condition]) -> Iterator[tuple[str, str, str, Condition, str, Condition]]:
    """For each segment and each one it refers to: the columns, and conditions, with everybody and with nobody in that one.

    Where places in a population are in question, who else is in that one matters: then both are the segment with the
    former members of it, given as a list named by `former_members`.
    """
    for name, condition in conditions.items():
        for other in sorted(references(condition)):
            inside, outside = (replaced(condition, {other: Always(answer)}) for answer in (True, False))
            if has_population(condition):
                inside = outside = replaced(condition, {other: Listed(former_members(other))})
            yield name, other, f"via:{name}:{other}:in", inside, f"via:{name}:{other}:out", outside


def with_former_members(condition: Condition) -> Condition:
    """A segment with the former members of every one it refers to, given as lists named by `former_members`."""
    return replaced(condition, {other: Listed(former_members(other)) for other in references(condition)})


def former_members(segment: str) -> str:
    """What the list of a segment's former members is called."""
    return f"{TOGETHER}{segment}"


def needed_by(names: Iterable[str], conditions: Mapping[str, Condition]) -> set[str]:
    """These segments and those that they refer to, by however many steps."""
    found: set[str] = set()
    left = [name for name in names if name in conditions]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += references(conditions[name]) & conditions.keys()
    return found


def lists_named(conditions: Mapping[str, Condition]) -> set[str]:
    """Every list that the conditions read."""
    return {node.list for condition in conditions.values() for node in walk(condition) if isinstance(node, Listed)}


def replaced(condition: Condition, members: Mapping[str, Condition]) -> Condition:
    """The condition with something else in place of `member(...)` of these segments, also of who is among a population."""
    if not members or not references(condition) & members.keys():
        return condition
    found = rebuilt(condition, lambda node: members.get(node.segment) if isinstance(node, Member) else None)
    assert isinstance(found, Condition)
    return found


def _scenario(prefix: str, otherwise: Mapping[str, Condition], current: Mapping[str, Condition]) -> Scenario:
    """The segments that are otherwise, by their own definition or by one they refer to, under names of their own."""
    own = {name for name, condition in otherwise.items() if current.get(name) != condition}
    touched = sorted(reaching(own, otherwise) & otherwise.keys())
    columns = {name: prefix + name for name in touched}
    renamed: dict[str, Condition] = {name: Member(column) for name, column in columns.items()}
    return Scenario({columns[name]: replaced(otherwise[name], renamed) for name in touched}, columns)


def _with_former_lists(definition: SegmentDefinition, former: SegmentDefinition | None) -> SegmentDefinition:
    """A segment's definition with the lists it named in the former run; a rule doesn't become a list by it, nor a list a rule."""
    if former is None:
        return definition
    same_kind = (definition.list is None) == (former.list is None)
    return replace(definition, list=former.list if same_kind else definition.list, include=former.include, exclude=former.exclude)


def _as_it_was(current: Definitions, former: Definitions) -> Callable[[str], str]:
    """Names a list of the former run: by its path while its keys are the same, else as what it was."""

    def name(path: str) -> str:
        return path if path not in former.lists or current.lists.get(path) == former.lists[path] else FORMER_LIST + path

    return name
