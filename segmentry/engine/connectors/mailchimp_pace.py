"""How many requests go to Mailchimp at once, and how long to wait when it has had enough.

An account has ten connections for all its tools together. We take five at most, half as many whenever we are told that it was
too much, and then one more after a while of peace.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST = 5
PEACE = 20
"""Requests that must go well before one more is let go at once."""
LONGEST = 30.0
"""The longest wait of our own choosing, in seconds."""


class Pace:
    """Lets requests go. `draw` gives numbers from 0 to 1, for jitter."""

    def __init__(self, draw: Callable[[], float], most: int = MOST) -> None:
        self._draw = draw
        self._most = most
        self._allowed = most
        self._under_way = 0
        self._well = 0
        self._freed = threading.Condition()

    @property
    def allowed(self) -> int:
        """How many may go at once now."""
        return self._allowed

    @contextmanager
    def turn(self) -> Iterator[None]:
        """For the length of one request; waits until it is its turn."""
        with self._freed:
            self._freed.wait_for(lambda: self._under_way < self._allowed)
            self._under_way += 1
        try:
            yield
        finally:
            with self._freed:
                self._under_way -= 1
                self._freed.notify_all()

    def well(self) -> None:
        """A request went well."""
        with self._freed:
            self._well += 1
            if self._well >= PEACE and self._allowed < self._most:
                self._allowed += 1
                self._well = 0
                self._freed.notify_all()

    def too_much(self) -> None:
        """The service has had enough: half as many from now on."""
        with self._freed:
            self._allowed = max(1, self._allowed // 2)
            self._well = 0

    def wait(self, attempt: int) -> float:
        """Seconds before the attempt after so many: twice as long each time, and not the same for everybody."""
        return float(min(2.0 ** (attempt - 1), LONGEST)) * (0.5 + self._draw())
