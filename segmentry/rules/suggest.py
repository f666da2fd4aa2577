"""The name somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 100
"""A name longer than this is not compared: nobody mistypes one, and the comparison is quadratic in its length."""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, or None if none is like it.

    Case does not count; of equally near ones the first in alphabetical order is taken, so that the answer does not
    depend on the order of a set.
    """
    wanted = name.casefold()
    if not wanted or len(wanted) > LONGEST:
        return None
    by_folded: dict[str, str] = {}
    for candidate in sorted(set(candidates)):
        by_folded.setdefault(candidate.casefold(), candidate)
    found = get_close_matches(wanted, by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """``did you mean `x`?``, fit for a diagnostic's help, or None."""
    found = nearest(name, candidates)
    return f"did you mean `{found}`?" if found is not None else None
