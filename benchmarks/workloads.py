"""The workloads by name: how their data are made, and which segments are computed. Those of any other size by their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data, grocer
from benchmarks.conditions import Condition, Segment
from benchmarks.segments import PREVIEWED, Pools, draw, made_up


@dataclass(frozen=True)
class Workload:
    """Contacts, events and segments. `build` writes the data into a folder, unless a former build did."""

    contacts: int
    events: int
    number: int
    build: Callable[[Path], None]
    pools: Callable[[], Pools] = made_up
    previewed: Sequence[Condition] = PREVIEWED
    """The conditions, joined by `and`, of a rule that is no segment."""

    def segments(self) -> list[Segment]:
        return draw(self.number, self.pools())


def _made_up(contacts: int, events: int, segments: int) -> Workload:
    return Workload(contacts, events, segments, lambda folder: data.build(folder, contacts, events))


def _real(copies: int) -> Workload:
    return Workload(
        grocer.HOUSEHOLDS * copies,
        grocer.EVENTS * copies,
        100,
        lambda folder: grocer.build(folder, copies),
        grocer.pools,
        grocer.PREVIEWED,
    )


WORKLOADS = {
    "tiny": _made_up(20_000, 100_000, 100),  # to see that everything runs, and that all answer alike: with the segments of `small`
    "small": _made_up(1_000_000, 5_000_000, 100),
    "standard": _made_up(10_000_000, 50_000_000, 100),
    "wide": _made_up(10_000_000, 50_000_000, 1_000),
    "real": _real(1),
    "replicated": _real(40),
}


def workload(size: str) -> Workload:
    """By its name, or one of so many contacts, events and segments: `3000000-5000000-100`, which are made up too."""
    numbers = re.fullmatch(r"(\d+)-(\d+)-(\d+)", size)
    return WORKLOADS[size] if numbers is None else _made_up(*map(int, numbers.groups()))
