"""`python -m benchmarks.scaling [--contacts 1,3,10,30] [--events 1,5,20] [--segments 10,100,500] [--minutes 30] [--publish]`: curves.

One dimension at a time is varied around a base of 1 M contacts, 5 M events and 100 segments; contacts and events are told in millions.
Steps are those of the benchmark, each in a process of its own. Data that many points share are kept; large ones go after their point.
A point that is too large for what is left of the disk, or that the time does not reach any more, is left out, and the result says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import curves, report
from benchmarks.__main__ import measure
from benchmarks.machine import machine, versions
from benchmarks.peers.contract import MEMORY, THREADS
from benchmarks.workloads import workload

STEPS = ("first", "full", "next")
MILLION = 1_000_000
UNITS = {"contacts": MILLION, "events": MILLION, "segments": 1}
MOST = {"contacts": 100.0, "events": 200.0, "segments": 2_000.0}

KEPT_CONTACTS, KEPT_EVENTS = 10 * MILLION, 50 * MILLION
"""Data of more are removed once they are measured."""

SPARED = 20 << 30
"""Bytes of the disk that no point may fill."""

BYTES_PER_CONTACT, BYTES_PER_EVENT, BYTES_PER_MEMBERSHIP = 200, 40, 0.5
"""Roughly what a point takes on disk while it runs: data, two states, and what DuckDB spills."""


@dataclass(frozen=True)
class Size:
    """How large a workload is, in each dimension."""

    contacts: int = MILLION
    events: int = 5 * MILLION
    segments: int = 100

    @property
    def name(self) -> str:
        """As `workload` reads it."""
        return f"{self.contacts}-{self.events}-{self.segments}"

    @property
    def is_kept(self) -> bool:
        """Whether its data stay for points to come."""
        return self.contacts <= KEPT_CONTACTS and self.events <= KEPT_EVENTS

    def room(self) -> float:
        """Bytes that it may take on disk."""
        memberships = self.contacts * self.segments * BYTES_PER_MEMBERSHIP
        return self.contacts * BYTES_PER_CONTACT + self.events * BYTES_PER_EVENT + memberships


BASE = Size()


class LeftOutError(Exception):
    """Why a point has no figures."""


def measured(size: Size, cache: Path) -> dict[str, dict[str, float]]:
    """Every step of one point; its data are built first, where no former point has left them. LeftOutError if one ends with an error."""
    folder = cache / f"{size.contacts}-{size.events}"
    try:
        workload(size.name).build(folder)
        found = {}
        for step in STEPS:
            try:
                found[step] = measure("segmentry", step, folder, size.name, answers=False)
            except subprocess.CalledProcessError:
                raise LeftOutError(f"it ended with an error at `{step}`") from None
            told = ", ".join(f"{name} {number:,.1f}" for name, number in found[step].items())
            print(f"{size.name} {step}: {told}", file=sys.stderr)
    finally:
        shutil.rmtree(folder if not size.is_kept else folder / "segmentry", ignore_errors=True)
    return found


def _require_room_and_time(size: Size, cache: Path, until: float) -> None:
    if time.monotonic() > until:
        raise LeftOutError("no time was left")
    if shutil.disk_usage(cache).free - size.room() < SPARED:
        raise LeftOutError("there is too little room on the disk")


def curve(dimension: str, numbers: list[float], cache: Path, until: float) -> dict[str, Any]:
    """The points of one dimension, smallest first, as far as there is room and time."""
    points, left_out = [], []
    for number in sorted(numbers):
        size = replace(BASE, **{dimension: round(number * UNITS[dimension])})
        try:
            _require_room_and_time(size, cache, until)
            points.append({**asdict(size), "steps": measured(size, cache)})
        except LeftOutError as problem:
            left_out.append({"size": getattr(size, dimension), "why": str(problem)})
    return {
        "unit": UNITS[dimension],
        "points": points,
        "left_out": left_out,
        "threads": THREADS,
        "memory": MEMORY,
        "machine": machine(),
        "versions": versions(),
        "when": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def publish(found: Mapping[str, Any], kept: Path) -> None:
    """Keep the curves, in place of former ones of the same dimensions, and write docs/benchmarks.md anew."""
    former = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    report.keep(kept, {**former, **found})


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """What the command line asks for: the numbers of each dimension; all dimensions where none is named."""
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__)
    for dimension, most in MOST.items():
        unit = "" if UNITS[dimension] == 1 else "millions of "
        parser.add_argument(f"--{dimension}", type=_numbers(most), metavar="N,N", help=f"{unit}{dimension}, up to {most:g}")
    parser.add_argument("--minutes", type=float, default=60.0, help="no point begins later than that")
    parser.add_argument("--cache", type=Path, default=Path(".make/benchmarks/scaling"), help="where data and work are kept")
    parser.add_argument("--publish", action="store_true", help="keep the curves in benchmarks/results, and write docs/benchmarks.md anew")
    options = parser.parse_args(arguments)
    if not any(getattr(options, dimension) for dimension in MOST):
        options.contacts, options.events, options.segments = [1.0, 3.0, 10.0, 30.0], [1.0, 5.0, 20.0, 50.0], [10.0, 100.0, 500.0, 2000.0]
    return options


def _numbers(most: float) -> Any:
    def read(written: str) -> list[float]:
        try:
            numbers = [float(one) for one in written.split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{written!r} are no numbers with commas between them") from None
        if len(set(numbers)) < len(numbers) or len(numbers) < 2:
            raise argparse.ArgumentTypeError("a curve has two points at least, and each once")
        if not all(0 < number <= most for number in numbers):
            raise argparse.ArgumentTypeError(f"from more than 0 up to {most:g}")
        return numbers

    return read


def main() -> None:
    """Read the options, measure curve by curve, print."""
    options = options_of()
    cache = options.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + options.minutes * 60
    found = {one: curve(one, numbers, cache, until) for one in MOST if (numbers := getattr(options, one))}
    found = {one: points for one, points in found.items() if points["points"]}
    if options.publish:
        publish(found, report.RESULTS / "scaling.json")
    print(curves.section(found))


if __name__ == "__main__":
    main()
