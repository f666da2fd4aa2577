"""What this reading has no reading of, told before anything is read: node kinds, functions, patterns, and what newer nodes carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields

from segmentry.rules import nodes as n
from segmentry.verifying.evaluator import AGGREGATES, ARITHMETIC, CONDITIONS, HOLDS, SCALARS, TEXT_TESTS, VALUES
from segmentry.verifying.patterns import UnreadPattern, regular
from segmentry.verifying.people import Wanted

CARRIES: Mapping[type[n.Node], frozenset[str]] = {
    n.Events: frozenset({"event", "prefix", "where", "window"}),
    n.Field: frozenset({"scope", "name"}),
    n.Constant: frozenset({"value"}),
    n.Call: frozenset({"function", "args"}),
    n.Aggregate: frozenset({"function", "events", "property"}),
    n.ActivePeriods: frozenset({"function", "events", "property", "unit", "of", "at_least", "starts"}),
    n.Element: frozenset(),
    n.Part: frozenset({"of", "name"}),
    n.HowMany: frozenset({"value", "where"}),
    n.Always: frozenset({"value"}),
    n.Truth: frozenset({"value"}),
    n.Compare: frozenset({"op", "left", "right"}),
    n.In: frozenset({"value", "options"}),
    n.TextTest: frozenset({"op", "value", "pattern"}),
    n.HasElements: frozenset({"value", "options", "need_all"}),
    n.IsSet: frozenset({"value"}),
    n.Did: frozenset({"events"}),
    n.Sequence: frozenset({"steps", "within"}),
    n.Step: frozenset({"events", "negated", "within"}),
    n.Former: frozenset({"step", "name"}),
    n.Foremost: frozenset({"population", "count", "share"}),
    n.Ranked: frozenset({"population", "standing", "parts"}),
    n.Population: frozenset({"by", "among", "per", "falling"}),
    n.Member: frozenset({"segment"}),
    n.Remembered: frozenset({"segment", "memory", "as_of", "window"}),
    n.Listed: frozenset({"list"}),
    n.Sample: frozenset({"salt", "threshold"}),
    n.And: frozenset({"items"}),
    n.Or: frozenset({"items"}),
    n.Not: frozenset({"item"}),
    n.AtLeast: frozenset({"count", "items"}),
}
"""What of each node is read. A node that has come to carry more says something else than it did, unless that is left at its default."""

PARTS = frozenset({n.Events, n.Step, n.Population})
"""What is neither a condition nor a value, and read with what it is a part of."""

ALWAYS_READ = frozenset({"place", "type"})


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that has no second reading: the segment in whose rule it stands, itself, and why it has none."""

    segment: str
    node: n.Node
    why: str


def first_unread(conditions: Mapping[str, n.Condition], name: str) -> Unread | None:
    """What in a segment's rule, or in one that it refers to, can't be answered here; None if all can."""
    pending, seen = [name], {name}
    while pending:
        current = pending.pop()
        for node in n.walk(conditions[current]):
            problem = _problem(node)
            if problem is not None:
                return Unread(current, node, problem)
            if isinstance(node, n.Member) and node.segment not in seen:
                seen.add(node.segment)
                pending.append(node.segment)
    return None


def unread(conditions: Mapping[str, n.Condition], name: str) -> str | None:
    """Why a segment can't be answered here; None if it can."""
    found = first_unread(conditions, name)
    return None if found is None else found.why if found.segment == name else f"{found.why}, in `{found.segment}`"


def wanted(conditions: Mapping[str, n.Condition]) -> Wanted:
    """The columns that these conditions read."""
    nodes = [node for condition in conditions.values() for node in n.walk(condition)]
    found = [node for node in nodes if isinstance(node, n.Field)]
    contact, event = ({node.name for node in found if node.scope is scope} for scope in (n.Scope.CONTACT, n.Scope.EVENT))
    return Wanted(frozenset(contact), frozenset(event | {node.name for node in nodes if isinstance(node, n.Former)}))


def _problem(node: n.Node) -> str | None:
    kind = type(node)
    if kind not in CARRIES or not (kind in CONDITIONS or kind in VALUES or kind in PARTS):
        return f"no second reading of `{kind.__name__}` yet"
    more = [spec.name for spec in _carried(node) if spec.name not in CARRIES[kind]]
    if more:
        return f"no second reading of `{more[0]}` of `{kind.__name__}` yet"
    match node:
        case n.Call(function=function) if function not in SCALARS.keys() | ARITHMETIC | {"coalesce"}:
            return f"no second reading of `{function}` yet"
        case n.Aggregate(function=function) if kind is n.Aggregate and function not in AGGREGATES:
            return f"no second reading of `{function}` yet"
        case n.Compare(op=op) if op not in HOLDS:
            return f"no second reading of `{op}` yet"
        case n.TextTest(op=op) if op not in TEXT_TESTS:
            return f"no second reading of `{op}` yet"
        case n.TextTest(op="matches", pattern=n.Constant(value=str() as pattern)):
            return _unread_pattern(pattern)
    return None


def _carried(node: n.Node) -> Iterator[Field[object]]:
    """The parts of a node that say something: all but those left at their default."""
    for spec in fields(node):
        if spec.name in ALWAYS_READ:
            continue
        default = spec.default_factory() if spec.default_factory is not MISSING else spec.default
        if getattr(node, spec.name) != default or default is MISSING:
            yield spec


def _unread_pattern(pattern: str) -> str | None:
    try:
        regular(pattern)
    except UnreadPattern as problem:
        return f"the pattern {pattern!r} has {problem}, which has no second reading"
    return None
