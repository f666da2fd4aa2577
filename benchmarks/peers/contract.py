"""What a peer is, and the process that measures one.

A peer's two steps each run in a process of their own: `python -m benchmarks.peers.contract PEER STEP FOLDER SIZE`. Step `first` computes
all segments at the first instant; step `next` computes them again, in full, an hour later, and what changed. Measured is the work alone:
the interpreter's start and the imports before it are not, reading definitions and files is. Memory is the process's peak.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from benchmarks.data import FIRST, SECOND, SIZES
from benchmarks.segments import Segment, draw

if TYPE_CHECKING:
    import polars as pl

STEPS = {"first": FIRST, "next": SECOND}
THREADS = 2
MEMORY = "4 GiB"


class Peer(Protocol):
    """One way to compute the workload. `folder` holds `data/`; what a peer keeps between steps goes into `folder / <its name>`."""

    def prepare(self, folder: Path, segments: list[Segment]) -> None:
        """Lay out what its user would have written; not measured."""

    def recompute(self, folder: Path, segments: list[Segment], as_of: datetime) -> None:
        """Compute every segment at `as_of`, keep the members, and keep what changed since the last time; measured."""

    def answers(self, folder: Path, segments: list[Segment]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
        """The last members (segment, contact) and changes (segment, contact, change); not measured."""


def peer(name: str) -> Peer:
    """The peer of that name; importing it is not measured."""
    return cast("Peer", import_module(f"benchmarks.peers.{name}"))


def main(name: str, step: str, folder: Path, size: str) -> None:
    """Run one step and print what it took as JSON."""
    segments = draw(SIZES[size].segments)
    one = peer(name)
    if step == "first":
        one.prepare(folder, segments)
    started, worked = time.perf_counter(), time.process_time()
    one.recompute(folder, segments, STEPS[step])
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    members, changes = one.answers(folder, segments)
    members.sort("segment", "contact").sink_parquet(folder / name / f"members-{step}.parquet")
    changes.sort("segment", "contact").sink_parquet(folder / name / f"changes-{step}.parquet")
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
