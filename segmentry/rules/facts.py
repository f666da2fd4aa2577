"""What rules say whatever the data: rules that are the same, values to look up. What is certain of a rule is in `certainties`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from segmentry.rules import nodes as n
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.types import Kind

MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def oriented(node: n.Compare) -> tuple[str, n.Value, n.Value]:
    """A comparison with its constant, if it has one, on the right."""
    if isinstance(node.left, n.Constant) and not isinstance(node.right, n.Constant):
        return MIRRORED[node.op], node.right, node.left
    return node.op, node.left, node.right


# ---------------------------------------------------------------- the same rule


def canonical(node: n.Condition) -> n.Condition:
    """The same condition in one form: chains flat, sorted and without repetitions, no double `not`, literals on the right."""
    with deep_recursion():
        return _canonical(node)[0]


def _canonical(node: n.Condition) -> tuple[n.Condition, str]:
    """With its text, by which chains are sorted."""
    match node:
        case n.And() | n.Or():
            return _canonical_chain(node)
        case n.AtLeast():
            items = sorted((_canonical(item) for item in node.items), key=_text)
            node = replace(node, items=tuple(item for item, _ in items))
        case n.Not(item=n.Not(item=item)):
            return _canonical(item)
        case n.Not():
            node = n.Not(_canonical(node.item)[0], place=node.place)
        case n.Compare():
            op, left, right = oriented(node)
            node = n.Compare(op, left, right, place=node.place)
        case n.In() | n.HasElements():
            node = replace(node, options=tuple(sorted(set(node.options), key=repr)))
    return node, repr(node)


def _canonical_chain(node: n.And | n.Or) -> tuple[n.Condition, str]:
    kind = type(node)
    by_text: dict[str, n.Condition] = {}
    for item in node.items:
        flat, text = _canonical(item)
        parts = [(part, repr(part)) for part in flat.items] if isinstance(flat, kind) else [(flat, text)]
        for part, part_text in parts:
            by_text.setdefault(part_text, part)
    texts = sorted(by_text)
    if len(texts) == 1:
        return by_text[texts[0]], texts[0]
    made = kind(tuple(by_text[text] for text in texts), place=node.place)
    return made, f"{kind.__name__}({', '.join(texts)})"


def _text(pair: tuple[n.Condition, str]) -> str:
    return pair[1]


def same_rules(conditions: Mapping[str, n.Condition]) -> list[tuple[str, Diagnostic]]:
    """Segments whose rules are the same but for order and brackets: (segment, warning that names the first such one)."""
    first: dict[n.Condition, str] = {}
    warnings = []
    for name in sorted(conditions):
        former = first.setdefault(canonical(conditions[name]), name)
        if former != name:
            message = f"`{name}` has the same rule as `{former}`"
            place = conditions[name].place
            warnings.append((name, Diagnostic("R903", message, Severity.WARNING, place, f"write member('{former}') if that is meant")))
    return warnings


# ---------------------------------------------------------------- values to look up


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """A literal that a rule asks a column for: `events` says among which rows, None among the contacts."""

    field: n.Field
    constant: n.Constant
    events: n.Events | None = None


LOOKED_UP = frozenset({Kind.TEXT, Kind.NUMBER})


def compared_values(condition: n.Condition) -> list[ComparedValue]:
    """Every text or exact number that a column is asked to equal or, for a list, to have; each once, in the rule's order."""
    found: dict[tuple[n.Field, n.Constant, str | None, str | None], ComparedValue] = {}
    pending: list[tuple[n.Node, n.Events | None]] = [(condition, None)]
    while pending:
        node, events = pending.pop()
        inside = node if isinstance(node, n.Events) else events
        for column, constant in _asked(node):
            rows = inside if column.scope is n.Scope.EVENT else None
            which = (rows.event, rows.prefix) if rows else (None, None)
            found.setdefault((column, constant, *which), ComparedValue(column, constant, rows))
        pending.extend((child, inside) for child in reversed(tuple(n.children(node))))
    return list(found.values())


def _asked(node: n.Node) -> Iterator[tuple[n.Field, n.Constant]]:
    sides: tuple[n.Value, Sequence[n.Value]] | None = None
    if isinstance(node, n.Compare) and node.op == "=":
        _, left, right = oriented(node)
        sides = left, (right,)
    elif isinstance(node, (n.In, n.HasElements)):
        sides = node.value, node.options
    if sides is None or not isinstance(sides[0], n.Field):
        return
    column = sides[0]
    for option in sides[1]:
        if isinstance(option, n.Constant) and option.type.kind in LOOKED_UP and not column.type.is_float:
            yield column, option
