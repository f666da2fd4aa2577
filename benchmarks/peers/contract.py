"""What a peer is, and the process that measures one.

Each step of a peer runs in a process of its own: `python -m benchmarks.peers.contract PEER STEP FOLDER SIZE`, with `--unanswered`
behind it where nobody compares its answers. Measured is the work alone: the interpreter's start and the imports before it are not,
reading definitions and files is. Memory is the most that the process had until then. What a peer answered is written down afterwards,
for `benchmarks/answers.py`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import polars as pl

from benchmarks.answers import write_answers
from benchmarks.conditions import Segment
from benchmarks.data import FIRST, SECOND, THIRD
from benchmarks.machine import peak_bytes
from benchmarks.workloads import workload

THREADS = 2
MEMORY = "4 GiB"
UNANSWERED = "--unanswered"
"""Says that answers are not to be written down: of the largest workloads they take more memory than the work."""


@dataclass(frozen=True)
class Step:
    """A step: what is said of it, its instant, and the step whose members it is compared with for changes."""

    about: str
    as_of: datetime
    former: str | None = None
    like: str | None = None
    """The step of other peers that has the same answers."""


STEPS = {
    "first": Step("all segments, for the first time", FIRST),
    "full": Step("all of them in full an hour later, on a new snapshot, and what changed", SECOND, "first"),
    "next": Step("the same as the next run does it by itself", SECOND, "first", "full"),
    "clock": Step("one more hour later, with nothing new", THIRD, "next"),
    "preview": Step("one rule that is no segment: how many, and twenty of them", SECOND),
}
"""In this order. A peer that has no `next` has `full` before `clock`."""


@dataclass(frozen=True)
class Answer:
    """Who is in a segment, and whose membership changed: contacts as they are numbered in the data, in any order."""

    segment: str
    members: pl.Series
    changed: pl.Series | None


class Peer(Protocol):
    """One way to compute the workload. `folder` holds `data/`; what a peer keeps between steps goes into `folder / <its name>`."""

    STEPS: Sequence[str]
    """The steps that it takes part in."""

    def prepare(self, folder: Path, segments: list[Segment], step: str) -> None:
        """Before each step: lay out what its user would have written, and the files that are there by then; not measured."""

    def recompute(self, folder: Path, segments: list[Segment], step: str) -> None:
        """Compute every segment, keep the members, and keep what changed since the former step; measured.

        For `preview` that is: print how many contacts the rule of the only segment finds, with twenty of them in memory.
        """

    def answers(self, folder: Path, segments: list[Segment], step: str) -> Iterator[Answer]:
        """What the step found, segment by segment; none where a peer answers nothing. Not measured."""


def peer(name: str) -> Peer:
    """The peer of that name; importing it is not measured."""
    return cast("Peer", import_module(f"benchmarks.peers.{name}"))


def main(name: str, step: str, folder: Path, size: str, *options: str) -> None:
    """Run one step and print what it took as JSON."""
    chosen = workload(size)
    segments = [Segment("previewed", tuple(chosen.previewed))] if step == "preview" else chosen.segments()
    one = peer(name)
    one.prepare(folder, segments, step)
    started, worked = time.perf_counter(), time.process_time()
    one.recompute(folder, segments, step)
    measured = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked, "peak_bytes": peak_bytes()}
    if step != "preview" and UNANSWERED not in options:
        write_answers(folder / name, step, one.answers(folder, segments, step))
    print(json.dumps(measured))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
