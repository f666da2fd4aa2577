"""The name somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

LONGEST = 100
"""A name longer than this is not compared: nobody mistypes one, and the comparison is quadratic in its length."""

LEAST = 0.6
"""How much of two names must agree for one to be offered for the other; 1 is all."""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, or None if none is like it.

    Case does not count; of equally near ones the first in alphabetical order is taken, so that the answer does not
    depend on the order of a set.
    """
    wanted = name.casefold()
    if not wanted or len(wanted) > LONGEST:
        return None
    matcher = SequenceMatcher(b=wanted)
    best, found = LEAST, None
    for candidate in sorted(set(candidates)):
        matcher.set_seq1(candidate.casefold())
        # The quick ratios are upper bounds of the slow one; a later candidate must be truly nearer.
        if matcher.real_quick_ratio() >= best and matcher.quick_ratio() >= best and (ratio := matcher.ratio()) >= best:
            if found is None or ratio > best:
                found = candidate
            best = ratio
    return found


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """``did you mean `x`?``, fit for a diagnostic's help, or None."""
    found = nearest(name, candidates)
    return f"did you mean `{found}`?" if found is not None else None
