"""What the tests of killed runs run in a process of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from segmentry.engine.loading import load
from segmentry.engine.run import recompute
from segmentry.engine.state import commit as commits
from segmentry.engine.state.files import Staging
from segmentry.errors import SegmentryError
from tests.state.conftest import day


def kill_self(*_: object) -> None:
    """The end, at once: nothing is flushed, closed or given back."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(root: Path, as_of: str, moment: str) -> None:
    """A run that is killed when a stage begins, or at a moment within the commit."""
    if moment == "published":
        _after(Staging, "publish")
    elif moment == "committed":
        commits.remove_files = kill_self
    elif moment == "half a file":
        _after(Staging, "write")

    def progress(stage: str, _share: float) -> None:
        if stage == moment:
            kill_self()

    recompute(load(root), as_of=day(as_of), now=day(as_of), progress=progress)


def killed_after(root: Path, as_of: str, began: Any) -> None:
    """A run that somebody else kills; `began` is set when it starts."""
    began.set()
    recompute(load(root), as_of=day(as_of), now=day(as_of))


def forgetting_killed(root: Path, keys: list[object], moment: str) -> None:
    """A `forget` that is killed at a moment within its commit."""
    from segmentry.engine.state import erasure
    from tests.state.conftest import ID, State

    if moment == "published":
        _after(Staging, "publish")
    elif moment == "written":
        Staging.publish = kill_self
    else:
        erasure.remove_files = kill_self
    State.open(root / ".segmentry" / "default", ID).forget(keys, day("2026-03-01"))


def stopped_at(root: Path, as_of: str, stage: str, pipe: Connection) -> None:
    """A run that says when it reaches a stage, goes on when told to, and then says how it ended."""

    def progress(reached: str, _share: float) -> None:
        if reached == stage:
            pipe.send(reached)
            pipe.recv()

    try:
        run = recompute(load(root), as_of=day(as_of), now=day(as_of), progress=progress)
        pipe.send(f"run {run.record.id}")
    except SegmentryError as error:
        pipe.send(type(error).__name__)


def _after(owner: type, name: str) -> None:
    real: Callable[..., Any] = getattr(owner, name)

    def method(*args: Any, **settings: Any) -> None:
        real(*args, **settings)
        kill_self()

    setattr(owner, name, method)
