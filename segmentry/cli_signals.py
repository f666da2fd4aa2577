"""How a command that tells somebody something ends before its time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gently() -> Iterator[None]:
    """A SIGTERM in the block is as Ctrl-C: what is under way is recorded before the process ends."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
