"""Processes that are killed, and what they run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from segmentry.engine.loading import load
from segmentry.engine.run import recompute
from segmentry.engine.state import commit as commits
from segmentry.engine.state.files import Staging
from segmentry.errors import SegmentryError
from tests.state.conftest import day

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["segmentry.engine.run", "tests.state.killing"])
"""Processes that begin with everything imported and no thread running, so that one costs no second."""


def ended(target: Callable[..., None], *arguments: object) -> int | None:
    """How a process ends that may kill itself."""
    process = SERVER.Process(target=target, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


def killed_within(seconds: float, target: Callable[..., None], *arguments: object) -> int | None:
    """How a process ends that is killed so long after it began; it sets an event, its last argument, when it does."""
    began = SERVER.Event()
    process = SERVER.Process(target=target, args=(*arguments, began))
    process.start()
    began.wait(60)
    time.sleep(seconds)
    process.kill()
    process.join(60)
    return process.exitcode


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


def gc_killed_after(root: Path, keep: timedelta, now: datetime, began: Any) -> None:
    """A `gc` that somebody else kills."""
    from tests.state.conftest import ID, State

    began.set()
    State.open(root / ".segmentry" / "default", ID).gc(keep, now)


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
