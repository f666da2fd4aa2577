"""What tests of one text say of each other, for proofs: a beginning holds every shorter beginning, and what it contains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from segmentry.rules.letters import is_alike_everywhere, simple_lower

MOST_PAIRS = 400
"""Of more tests of one text nothing is found out."""


class TextFact(NamedTuple):
    """A test of a text: `starts`, `ends`, `contains` (of both sides without case), or `like` and `ilike`, with the pattern as written."""

    op: str
    pattern: str


OPS = {"contains": "contains", "starts with": "starts", "ends with": "ends"}


def fact_of(op: str, pattern: str) -> TextFact | None:
    """The fact that an operator of the language asks for; None for regular expressions."""
    if op in OPS:
        return TextFact(OPS[op], simple_lower(pattern))
    return TextFact(op, pattern) if op in ("like", "ilike") else None


def follows(fact: TextFact) -> list[TextFact]:
    """A fact and what it says more simply: `like 'ab%c'` begins with `ab` and ends with `c`."""
    if fact.op not in ("like", "ilike"):
        return [fact]
    found = [fact]
    if fact.op == "like" and not is_alike_everywhere(fact.pattern):
        return found
    parts = simple_lower(fact.pattern).replace("_", "%").split("%")
    found += [TextFact("starts", parts[0])] if parts[0] else []
    found += [TextFact("ends", parts[-1])] if parts[-1] else []
    return found + [TextFact("contains", part) for part in parts if part]


def implies(one: TextFact, other: TextFact) -> bool:
    """Whether every text that passes one test passes the other."""
    if one == other:
        return True
    a, b = one.pattern, other.pattern
    match one.op, other.op:
        case ("starts", "starts"):
            return a.startswith(b)
        case ("ends", "ends"):
            return a.endswith(b)
        case ("starts" | "ends" | "contains", "contains"):
            return b in a
        case ("like", "ilike"):
            return a == b and is_alike_everywhere(a)
    return False


def exclude(one: TextFact, other: TextFact) -> bool:
    """Whether no text passes both."""
    a, b = one.pattern, other.pattern
    if one.op != other.op:
        return False
    if one.op == "starts":
        return not a.startswith(b) and not b.startswith(a)
    return one.op == "ends" and not a.endswith(b) and not b.endswith(a)


def passes(text: str, fact: TextFact) -> bool | None:
    """Whether a text passes; None where that is for an engine to say."""
    if fact.op == "like":
        return is_like(text, fact.pattern)
    if not is_alike_everywhere(text + fact.pattern):
        return None
    text = simple_lower(text)
    match fact.op:
        case "starts":
            return text.startswith(fact.pattern)
        case "ends":
            return text.endswith(fact.pattern)
        case "contains":
            return fact.pattern in text
    return is_like(text, simple_lower(fact.pattern))


def is_like(text: str, pattern: str) -> bool:
    """SQL's `like` without an escape: `%` is any run, `_` any one code point. Never slower than one length times the other."""
    at = star = 0
    position, mark = 0, -1
    while position < len(text):
        if at < len(pattern) and pattern[at] == "%":
            mark, star, at = position, at, at + 1
        elif at < len(pattern) and pattern[at] in ("_", text[position]):
            position, at = position + 1, at + 1
        elif mark >= 0:
            mark += 1
            position, at = mark, star + 1
        else:
            return False
    return pattern[at:].strip("%") == ""


def contradict(asked: Sequence[TextFact], denied: Sequence[TextFact], texts: Iterable[str] | None) -> bool:
    """Whether no text passes all that is asked and nothing that is denied. `texts` are those it can be, where that is known."""
    if (len(asked) + len(denied)) * len(asked) <= MOST_PAIRS:
        said = [more for fact in asked for more in follows(fact)]
        if any(implies(fact, other) for fact in said for other in denied):
            return True
        if any(exclude(one, other) for one, other in combinations(said, 2)):
            return True
    if texts is None:
        return False
    return all(_fails(text, asked, denied) for text in texts)


def _fails(text: str, asked: Sequence[TextFact], denied: Sequence[TextFact]) -> bool:
    return any(passes(text, fact) is False for fact in asked) or any(passes(text, fact) is True for fact in denied)
