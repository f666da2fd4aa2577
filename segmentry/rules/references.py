"""Which segments a rule refers to, and in which order segments can be computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from segmentry.errors import RuleError
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.nodes import REFERENCES, Condition, walk
from segmentry.rules.syntax import NOWHERE


def references(condition: Condition) -> frozenset[str]:
    """The segments that a rule names itself, be it about now or about what was."""
    return frozenset(node.segment for node in walk(condition) if isinstance(node, REFERENCES))


def all_references(conditions: Mapping[str, Condition]) -> dict[str, frozenset[str]]:
    """Per segment every segment it depends on, through others too. RuleError on a circle."""
    found: dict[str, frozenset[str]] = {}
    for name in in_order(conditions):
        direct = references(conditions[name])
        found[name] = direct.union(*(found.get(other, frozenset()) for other in direct))
    return found


def in_order(conditions: Mapping[str, Condition]) -> tuple[str, ...]:
    """The segments, each after those it refers to; otherwise by name. RuleError on a circle, with one problem for each.

    A reference to a segment that is not among them is left to whoever knows the others.
    """
    direct = {name: sorted(references(condition) & conditions.keys()) for name, condition in conditions.items()}
    circles = _circles(direct)
    if circles:
        raise RuleError(_told(circle, conditions) for circle in circles)
    sorter = TopologicalSorter(direct)
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return tuple(order)


def _circles(direct: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Circles of references that have no segment in common, each from its first name on and back to it."""
    left = {name: list(others) for name, others in direct.items()}
    circles = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            backwards: list[str] = error.args[1]
            circle = backwards[:0:-1]
            first = circle.index(min(circle))
            circle = circle[first:] + circle[:first]
            circles.append((*circle, circle[0]))
            left = {name: [other for other in others if other not in circle] for name, others in left.items() if name not in circle}
        else:
            return sorted(circles)


def _told(circle: tuple[str, ...], conditions: Mapping[str, Condition]) -> Diagnostic:
    """The circle as a problem of its first segment, at the reference that leads on."""
    wanted = circle[1]
    place = _place_of(conditions[circle[0]], wanted)
    path = " -> ".join(circle)
    message = f"`{circle[0]}` refers to itself" if len(circle) == 2 else "these segments refer to each other in a circle"
    # who goes before another by priority is referred to without being written
    ranked = [pair for pair in pairwise(circle) if _place_of(conditions[pair[0]], pair[1]) == NOWHERE]
    notes = tuple(f"`{name}` refers to `{other}` because that goes before it in a group of priority" for name, other in ranked)
    return Diagnostic("R601", f"{message}: {path}", place=place, help="leave one of these references out", notes=notes)


def _place_of(condition: Condition, segment: str) -> Place:
    """Where a rule names a segment, NOWHERE if it is not written."""
    return next(node.place for node in walk(condition) if isinstance(node, REFERENCES) and node.segment == segment)
