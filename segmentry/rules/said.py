"""The words of a rule's conditions, for reasons that are told: canonical text, found by the place in the rule or in its builder form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from segmentry.rules import nodes as n
from segmentry.rules.diagnostics import Place
from segmentry.rules.printer import to_text
from segmentry.rules.syntax import NOWHERE, Infix, Not, Syntax

LONGEST = 90
"""Of longer words the beginning is shown."""


def said_in(syntax: Syntax | None) -> Callable[[n.Condition, bool], str]:
    """A function that gives the words of a condition, or (False) of what it leaves out; `syntax` is what was checked to be the rule.

    Without a syntax (a static list) there are words for lists and references alone.
    """
    written: dict[Place, Syntax] = {}

    def words(node: n.Condition, positive: bool) -> str:
        while isinstance(node, n.Not):
            node, positive = node.item, not positive
        if not written and syntax is not None:
            for part in _walk(syntax):
                written.setdefault(part.place, part)
        found = None if node.place == NOWHERE else written.get(node.place)
        if found is None:
            return _short(_unwritten(node, words, positive))
        return _short(_opposite(found) if not positive else _positive(found))

    return words


def _positive(syntax: Syntax) -> str:
    """What is checked to be a condition; of `a != b` that is `a = b`, in a `not`."""
    return to_text(replace(syntax, op="=") if isinstance(syntax, Infix) and syntax.op == "!=" else syntax)


def _opposite(syntax: Syntax) -> str:
    return to_text(syntax if isinstance(syntax, Infix) and syntax.op == "!=" else Not(syntax))


def _unwritten(node: n.Condition, words: Callable[[n.Condition, bool], str], positive: bool) -> str:
    """The words of what stands in no rule: lists, and what is made of them and a rule."""
    if isinstance(node, (n.And, n.Or)):
        joint = " and " if isinstance(node, n.And) is positive else " or "
        return joint.join(words(item, positive) for item in node.items)
    said = f"listed in {node.list}" if isinstance(node, n.Listed) else f"member('{node.segment}')" if isinstance(node, n.Member) else "..."
    return said if positive else f"not {said}"


def _short(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= LONGEST else words[: LONGEST - 3].rstrip() + "..."


def _walk(syntax: Syntax) -> Iterator[Syntax]:
    """A part and all below it but for `not`, whose place is that of what it negates."""
    pending = [syntax]
    while pending:
        part = pending.pop()
        if not isinstance(part, Not):
            yield part
        for spec in fields(part):
            value = getattr(part, spec.name)
            pending += [child for child in (value if isinstance(value, tuple) else (value,)) if isinstance(child, Syntax)][::-1]
