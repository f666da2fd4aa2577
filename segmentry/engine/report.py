"""What a run tells of itself: rows, seconds, bytes, and each segment's size and who came and went, by cause."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from segmentry import __version__
from segmentry.engine.digests import DUCKDB
from segmentry.engine.state import SegmentFigures
from segmentry.rules.zones import tzdata_version

Progress = Callable[[str, float], None]
"""Called with the stage that begins and the share of the run that is done, 0 to 1."""

STAGES = {"check": 0.0, "evaluate": 0.05, "digest": 0.65, "compare": 0.78, "activate": 0.86, "write": 0.9, "commit": 0.97}
"""The stages of a run, and the share of it that is done when each begins."""


def unseen(_stage: str, _share: float) -> None:
    """Progress that nobody looks at."""


@dataclass
class Stopwatch:
    """Seconds per stage, and whoever wants to see the stages begin."""

    progress: Progress = unseen
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a block; a stage tried again adds to its time."""
        self.progress(name, STAGES[name])
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - began, 4)


def segment_report(sizes: Mapping[str, int], changes: pl.DataFrame, firsts: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Per segment: `size`, and `entered` and `exited` as counts by cause. `firsts`: the sizes of segments first computed."""
    counts: dict[str, dict[str, dict[str, int]]] = {name: {"entered": {}, "exited": {}} for name in sizes}
    for segment, change, cause, rows in changes.group_by("segment", "change", "cause").len().sort("segment", "change", "cause").iter_rows():
        counts[segment][change][cause] = rows
    for name, size in firsts.items():
        counts[name]["entered"] = {"rule": size} if size else {}
    return {name: {"size": sizes[name], **counts[name]} for name in sorted(sizes)}


def figures(sizes: Mapping[str, int], changes: pl.DataFrame, firsts: tuple[str, ...]) -> dict[str, SegmentFigures]:
    """Each segment's figures in a run; the members of one computed for the first time are its entries."""
    counts = {(segment, change): rows for segment, change, rows in changes.group_by("segment", "change").len().iter_rows()}
    return {
        name: SegmentFigures(
            size, size if name in firsts else counts.get((name, "entered"), 0), counts.get((name, "exited"), 0), name in firsts
        )
        for name, size in sizes.items()
    }


def versions() -> dict[str, str]:
    """What a run's answer may depend on beside its definitions and data."""
    return {"segmentry": __version__, "engine": DUCKDB, "tzdata": tzdata_version()}
