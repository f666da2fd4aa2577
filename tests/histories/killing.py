"""The command line in a process of its own, which is killed at a step; what the tests of kills start. No step knows of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

MODULES = {
    f"segmentry.engine.{name}": name.rpartition(".")[2]
    for name in (
        "state.commit",
        "state.activated",
        "state.files",
        "state.ledger",
        "state.lease",
        "state.outbox",
        "delivering",
        "sending",
        "telling",
        "connectors.webhook",
    )
}
"""Where commits and deliveries are made: every function of these that is called is a step."""

BEGIN, END = "call", "return"


def command(root: Path, words: Sequence[str], variables: Mapping[str, str]) -> None:
    """Runs `segmentry WORDS`, and ends as that ends."""
    os.environ.update(variables)
    sys.argv = ["segmentry", *words, "--workspace", str(root)]
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        from segmentry.cli import main

        main()


def killed_at(root: Path, words: Sequence[str], variables: Mapping[str, str], step: str, event: str, number: int) -> None:
    """The same, killed when a step begins or ends for the number-th time."""
    seen: Counter[tuple[str, str]] = Counter()

    def met(name: str, what: str) -> None:
        seen[name, what] += 1
        if (name, what) == (step, event) and seen[name, what] >= number:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch(met)
    command(root, words, variables)


def recorded(root: Path, words: Sequence[str], variables: Mapping[str, str], path: Path) -> None:
    """The same, and how often each step was met is written to a file."""
    seen: Counter[str] = Counter()
    _watch(lambda name, what: seen.update([name] if what == BEGIN else []))
    try:
        command(root, words, variables)
    finally:
        path.write_text(json.dumps(seen))


def _watch(met: Callable[[str, str], None]) -> None:
    """Calls `met` as each function of the modules begins and ends, in every thread."""

    def outer(frame: FrameType, event: str, _: Any) -> Any:
        module = MODULES.get(frame.f_globals.get("__name__", ""))
        if module is None or frame.f_code.co_name.startswith("<"):
            return None
        name = f"{module}.{frame.f_code.co_name}"
        met(name, BEGIN)

        def inner(_: FrameType, event: str, __: Any) -> Any:
            if event == END:
                met(name, END)
            return inner

        frame.f_trace_lines = False
        return inner

    threading.settrace(outer)
    sys.settrace(outer)
