"""The words in which a condition was written, for reasons that are told: found by its place, in the text or in the builder form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

from segmentry.rules import nodes as n
from segmentry.rules.diagnostics import Place
from segmentry.rules.printer import to_text
from segmentry.rules.syntax import Not, Syntax

LONGEST = 70
"""Of longer words the beginning is shown."""


def said_in(syntax: Syntax | None, source: str | None) -> Callable[[n.Condition], str]:
    """A function that gives the words of every condition that `syntax` was checked to be; `source` is its text where it has one.

    Without a syntax (a static list) there are words for lists alone.
    """
    written: dict[Place, Syntax] = {}

    def words(node: n.Condition) -> str:
        if isinstance(node, n.Not):
            inner = words(node.item)
            return f"not ({inner})" if isinstance(node.item, (n.And, n.Or)) and inner.count(" ") else f"not {inner}"
        if isinstance(node, n.Listed):
            return f"listed in {node.list}"
        place = node.place
        piece = "" if source is None or place.path else source[place.start : place.end]
        if piece and piece.count("(") == piece.count(")"):  # a place may end before its last bracket
            return _short(piece)
        if not written and syntax is not None:
            for part in _walk(syntax):
                written.setdefault(part.place, part)
        return _short(to_text(written[place])) if place in written else "..."

    return words


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
