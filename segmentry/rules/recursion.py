"""Room for recursion: the pure build of the parser needs dozens of frames for one bracket of a rule."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

FRAMES = 6_000
"""Frames that one rule may need: at most 100 levels, of which the parser's pure build needs under 40 each."""

_LOCK = RLock()
"""The limit belongs to the whole process; two threads may not raise and lower it at once."""

_depth = 0


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Raises the recursion limit while a rule is worked on, once for all that is nested in it."""
    global _depth  # noqa: PLW0603 - what it counts is the process's
    with _LOCK:
        before = sys.getrecursionlimit()
        if not _depth:
            sys.setrecursionlimit(before + FRAMES)
        _depth += 1
        try:
            yield
        finally:
            _depth -= 1
            sys.setrecursionlimit(before)
